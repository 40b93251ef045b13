"""From samples to scores: one scorer per target, made once and used at every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.scores import KS_SIZE, Split, fid_name, sample_sizes, scores_of
from gan.scores.coverage import bin_coverage, class_coverage, mixture_coverage, perfect_mixture
from gan.scores.divergence import Density, divergence_floor, jensen_shannon, optimal_discriminator_gap
from gan.scores.ks import ks_floor, ks_statistic
from gan.targets import Gaussian, Images, Mixture, Point

if TYPE_CHECKING:
    from gan.scores.quality import Quality

NOISE_SEED: Final = 0
"""Of the uniform noise that image scores are set beside."""

FLOOR_DRAWS: Final = 20
"""Sets of true samples that the floor of a divergence is the mean of."""


Discriminator = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A trained D on the real line, from points [m] to probabilities [m]."""


@dataclass(frozen=True)
class Players:
    """What a score of the end may know beside the samples.

    Attributes:
        discriminator: The trained D, on the real line.
        known: The generator's exact distribution, where it has one.
    """

    discriminator: Discriminator | None = None
    known: Density | None = None


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

    def final(self, samples: Tensor, players: Players = Players()) -> dict[str, float]:
        """Scores of the end: as `curve`, of samples [final_size, dimension], and of the players."""
        ...

    def references(self) -> dict[str, dict[str, Any]]:
        """What to set beside each score.

        Returns:
            By score: ``label``, ``direction``, ``n`` (samples), ``floor`` (what real data score at the same
            n; None where there is none) and ``noise`` (what uniform noise scores; None on the real line).
            Deterministic.
        """
        ...


class PointScorer:
    """The distance of the game of two numbers from its equilibrium x = y = 0; its one sample is (x, y)."""

    curve_size = final_size = 1

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`; samples [1, 2]."""
        _expect(samples, (1, 2))
        return {"radius": float(samples.double().norm())}

    def final(self, samples: Tensor, players: Players = Players()) -> dict[str, float]:
        """See `Scorer.final`."""
        return self.curve(samples)

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`: there are no data to set beside it."""
        return {s.name: reference(s.label, s.direction, 1, None, None) for s in scores_of(Point())}


class RealLineScorer:
    """KS, bins covered, divergence and, of a mixture, its modes; of the discriminator its distance from the best.

    Args:
        target: A distribution on the real line.
    """

    def __init__(self, target: Gaussian | Mixture) -> None:
        self.target = target
        self.curve_size, self.final_size = sample_sizes(target)

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`."""
        _expect(samples, (self.curve_size, 1))
        values = _float64(samples)
        return self._coverage(values) | {"jsd_10k": jensen_shannon(values, self.target)}

    def final(self, samples: Tensor, players: Players = Players()) -> dict[str, float]:
        """See `Scorer.final`."""
        _expect(samples, (self.final_size, 1))
        values = _float64(samples)
        scores = self._coverage(values[:KS_SIZE]) | {"jsd_100k": jensen_shannon(values, self.target)}
        if players.discriminator is not None:
            gap = optimal_discriminator_gap(values, self.target, players.discriminator, players.known)
            scores["d_gap"] = gap
        return scores

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`: here the floors are known, and there is no noise to speak of."""
        floors: dict[str, float | None] = {"ks": ks_floor(KS_SIZE), "coverage": 1.0, "d_gap": None}
        for n in (self.curve_size, self.final_size):
            floors[f"jsd_{n // 1000}k"] = divergence_floor(self._draws(n), self.target)
        if isinstance(self.target, Mixture):
            floors |= perfect_mixture(self.target.modes, KS_SIZE).scores()
        sizes = {"jsd_100k": self.final_size}
        return {
            s.name: reference(s.label, s.direction, sizes.get(s.name, KS_SIZE), floors[s.name], None)
            for s in scores_of(self.target)
        }

    def _draws(self, n: int) -> Iterator[NDArray[np.float64]]:
        for seed in range(FLOOR_DRAWS):
            yield _float64(self.target.sample((n,), torch.Generator().manual_seed(seed)))

    def _coverage(self, values: NDArray[np.float64]) -> dict[str, float]:
        cdf = self.target.cdf
        scores = {"ks": ks_statistic(values, cdf), "coverage": bin_coverage(values, cdf)}
        if isinstance(self.target, Mixture):
            scores |= mixture_coverage(values, self.target.centres, self.target.std).scores()
        return scores


class ImageScorer:
    """FID, classes covered and the high-quality share, by the features of the target's pinned classifier.

    What a real image serves for, by split, so that no floor compares images with themselves:

    =====================  ==================================  ==================================
    .                      test                                validation
    =====================  ==================================  ==================================
    FID's real side        test                                validation
    FID's floor            validation; digits: train, for its  train
                           validation is too small
    quality references     train                               train
    quality threshold      validation                          validation
    shares of the classes  train                               train
    the other floors       test                                train, judged by other train images
    =====================  ==================================  ==================================

    So test images are for reporting alone, and a split of validation never looks at them. Quality has one
    threshold: what judges samples is the same in both splits. The classifier knows the images of train, which its
    floors may flatter. MNIST's and Fashion-MNIST's validation is a part of train, so a generator that memorises
    does well on it; test tells. FID's bias falls with the number of real images too, and digits has 300 in
    validation against 500 in test: read each split beside its own floor.

    Args:
        target: The images.
        data_dir: A torchvision root.
        device: Where features are extracted.
        split: The real images to compare with.
    """

    def __init__(
        self, target: Images, data_dir: Path, device: torch.device | str = "cpu", split: Split = "test"
    ) -> None:
        # torch-fidelity takes seconds to import, and the real line does not need it.
        from gan.scores.fid import extract, make_extractor, statistics
        from gan.scores.quality import REFERENCES, Quality

        self.target = target
        self.curve_size, self.final_size = sample_sizes(target)
        data = target.load(data_dir)
        extractor = make_extractor(target, device)
        self._extract: Callable[[Tensor], tuple[Tensor, NDArray[np.int64]]] = partial(extract, extractor)
        held_out = self._extract(data.validation)[0]

        def quality(train: Tensor) -> Quality:
            return Quality.of(references=self._extract(train[:REFERENCES])[0], held_out=held_out)

        self._quality = self._floor_quality = quality(data.train)
        self.real = data.test if split == "test" else data.validation
        if split == "test":
            self._real = statistics(self._extract(data.test)[0])
            self.floor_images = data.validation if len(data.validation) >= self.final_size else data.train
            self._coverage_floor = data.test
        else:
            self._real = statistics(held_out)
            self.floor_images = self._coverage_floor = data.train[: self.final_size]
            self._floor_quality = quality(data.train[self.final_size :])
        counts = data.train_labels.bincount().double()
        self._shares = (counts / counts.sum()).numpy()

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`."""
        _expect(samples, (self.curve_size, self.target.dimension))
        return self._score(samples)

    def final(self, samples: Tensor, players: Players = Players()) -> dict[str, float]:
        """See `Scorer.final`."""
        _expect(samples, (self.final_size, self.target.dimension))
        return self._score(samples)

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`."""
        sizes = {self.curve_size, self.final_size}
        distances = {n: self._score(self.floor_images[:n]) for n in sizes}
        coverages = {n: self._score(self._coverage_floor[:n], self._floor_quality) for n in sizes}
        noises = {n: self._score(self.noise(n)) for n in sizes}
        table: dict[str, dict[str, Any]] = {}
        for score in scores_of(self.target):
            name, n = score.name, self.final_size if score.final else self.curve_size
            floors = distances if name.startswith("fid") else coverages
            table[name] = reference(score.label, score.direction, n, floors[n][name], noises[n][name])
        return table

    def _score(self, samples: Tensor, quality: Quality | None = None) -> dict[str, float]:
        from gan.scores.fid import fid, statistics

        features, classes = self._extract(samples)
        coverage = class_coverage(classes, (quality or self._quality).judge(features), self._shares)
        return {fid_name(len(samples)): fid(statistics(features), self._real)} | coverage.scores()

    def noise(self, n: int) -> Tensor:
        """Return uniform noise, [n, pixels], the same every time."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        return torch.randint(256, (n, self.target.dimension), generator=generator, dtype=torch.uint8)


def reference(label: str, direction: str, n: int, floor: float | None, noise: float | None) -> dict[str, Any]:
    """Return what stands beside a score, as `Scorer.references` has it."""
    return {"label": label, "direction": direction, "n": n, "floor": floor, "noise": noise}


def _float64(samples: Tensor) -> NDArray[np.float64]:
    return samples.detach().to("cpu", torch.float64).flatten().numpy()


def _expect(samples: Tensor, shape: tuple[int, int]) -> None:
    if samples.shape != shape:
        raise ValueError(f"samples of shape {tuple(samples.shape)}; this score is defined for {shape}")
