"""From samples to scores: one scorer per target, made once and used at every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.scores import fid_name, sample_sizes, scores_of
from gan.scores.coverage import ModeCoverage, bin_coverage, class_coverage, mixture_coverage, perfect_mixture
from gan.scores.ks import ks_floor, ks_statistic
from gan.targets import Gaussian, Images, Mixture, Target

NOISE_SEED: Final = 0
"""Of the uniform noise that image scores are set beside."""


class Scorer(Protocol):
    """Measures samples of one target.

    Attributes:
        curve_size: Samples that `curve` takes.
        final_size: Samples that `final` takes.
    """

    curve_size: int
    final_size: int

    def curve(self, samples: Tensor) -> dict[str, float]:
        """Scores through training.

        Args:
            samples: [curve_size, dimension], finite; float for the real line, uint8 for images; any device.

        Raises:
            ValueError: Another shape: N is part of what a score means.
        """
        ...

    def final(self, samples: Tensor) -> dict[str, float]:
        """Scores of the end: as `curve`, of samples [final_size, dimension]."""
        ...

    def references(self) -> dict[str, dict[str, Any]]:
        """What to set beside each score.

        Returns:
            By score: ``label``, ``direction``, ``n`` (samples), ``floor`` (what real data score at the same
            n) and ``noise`` (what uniform noise scores; None on the real line). Deterministic.
        """
        ...


def make_scorer(target: Target, data_dir: Path, device: torch.device | str = "cpu") -> Scorer:
    """The scorer of a target; of images it reads the data and extracts real features once.

    Args:
        target: What the samples should be like.
        data_dir: A torchvision root; only MNIST and Fashion-MNIST look at it.
        device: Where features are extracted; statistics are on the CPU.

    Raises:
        InputError: Data or weights that are missing or not the pinned ones.
    """
    return ImageScorer(target, data_dir, device) if isinstance(target, Images) else RealLineScorer(target)


class RealLineScorer:
    """KS, bins covered and, of a mixture, its modes.

    Args:
        target: A distribution on the real line.
    """

    def __init__(self, target: Gaussian | Mixture) -> None:
        self.target = target
        self.curve_size, self.final_size = sample_sizes(target)

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`: the scores of the end are cheap enough for every evaluation."""
        return self.final(samples)

    def final(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.final`."""
        _expect(samples, (self.final_size, 1))
        values = samples.detach().to("cpu", torch.float64).flatten().numpy()
        cdf = self.target.cdf
        scores = {"ks": ks_statistic(values, cdf), "coverage": bin_coverage(values, cdf)}
        if isinstance(self.target, Mixture):
            scores |= mixture_coverage(values, self.target.centres, self.target.std).scores()
        return scores

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`: here the floors are known, and there is no noise to speak of."""
        floors = {"ks": ks_floor(self.final_size), "coverage": 1.0}
        if isinstance(self.target, Mixture):
            floors |= perfect_mixture(self.target.modes, self.final_size).scores()
        return {
            score.name: _reference(score.label, score.direction, self.final_size, floors[score.name], None)
            for score in scores_of(self.target)
        }


class ImageScorer:
    """FID, classes covered and the high-quality share, by the features of the target's pinned classifier.

    Real images are used once each, so that nothing is compared with itself:

    - test: the FID's real side; and, as held-out real images, the floors of the other scores;
    - validation: the quality threshold, and the FID floor (digits: train, for validation is too small);
    - train: the quality references, and the real shares of the classes.

    Args:
        target: The images.
        data_dir: A torchvision root.
        device: Where features are extracted.
    """

    def __init__(self, target: Images, data_dir: Path, device: torch.device | str = "cpu") -> None:
        # torch-fidelity takes seconds to import, and the real line does not need it.
        from gan.scores.fid import extract, make_extractor, statistics
        from gan.scores.quality import REFERENCES, Quality

        self.target = target
        self.curve_size, self.final_size = sample_sizes(target)
        data = target.load(data_dir)
        extractor = make_extractor(target, device)
        self._extract: Callable[[Tensor], tuple[Tensor, NDArray[np.int64]]] = partial(extract, extractor)
        self._test = data.test
        self._disjoint = data.validation if len(data.validation) >= self.final_size else data.train
        self._real = statistics(self._extract(data.test)[0])
        self._quality = Quality.of(
            references=self._extract(data.train[:REFERENCES])[0], held_out=self._extract(data.validation)[0]
        )
        counts = data.train_labels.bincount().double()
        self._shares = (counts / counts.sum()).numpy()

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`."""
        _expect(samples, (self.curve_size, self.target.dimension))
        return self._score(samples)

    def final(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.final`."""
        _expect(samples, (self.final_size, self.target.dimension))
        return self._score(samples)

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`."""
        sizes = {self.curve_size, self.final_size}
        # A FID compares with test, so its floor takes other real images; the rest compares with train.
        distances = {n: self._score(self._disjoint[:n]) for n in sizes}
        coverages = {n: self._score(self._test[:n]) for n in sizes}
        noises = {n: self._score(self._noise(n)) for n in sizes}
        table: dict[str, dict[str, Any]] = {}
        for score in scores_of(self.target):
            name, n = score.name, self.final_size if score.final else self.curve_size
            floors = distances if name.startswith("fid") else coverages
            table[name] = _reference(score.label, score.direction, n, floors[n][name], noises[n][name])
        return table

    def _score(self, samples: Tensor) -> dict[str, float]:
        from gan.scores.fid import fid, statistics

        features, classes = self._extract(samples)
        coverage = self._coverage(features, classes)
        return {fid_name(len(samples)): fid(statistics(features), self._real)} | coverage.scores()

    def _coverage(self, features: Tensor, classes: NDArray[np.int64]) -> ModeCoverage:
        return class_coverage(classes, self._quality.judge(features), self._shares)

    def _noise(self, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(NOISE_SEED)
        return torch.randint(256, (n, self.target.dimension), generator=generator, dtype=torch.uint8)


def _reference(label: str, direction: str, n: int, floor: float, noise: float | None) -> dict[str, Any]:
    return {"label": label, "direction": direction, "n": n, "floor": floor, "noise": noise}


def _expect(samples: Tensor, shape: tuple[int, int]) -> None:
    if samples.shape != shape:
        raise ValueError(f"samples of shape {tuple(samples.shape)}; this score is defined for {shape}")
