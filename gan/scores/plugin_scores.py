"""Scores of plugins, taken beside those of a target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from gan.plugins import PluginScore
from gan.scores import KS_SIZE
from gan.scores.scorer import ImageScorer, Players, RealLineScorer, Scorer, reference
from gan.targets import Gaussian, Mixture, Target

OWN_FLOOR_DRAWS: Final = 4
"""Sets of true samples that a floor on the real line is the mean of: nobody knows what a measurement costs."""

NOBODY: Final = Players()


class WithPluginScores:
    """A target's scorer, with scores of plugins beside its own.

    On the real line they are taken on 10,000 samples, so that the curve and the result are one protocol; of images on
    all that there are. Real samples are 10,000 drawn once; of images those of the split that FID compares with, and
    the floor is what FID's floor is taken on.

    Args:
        inner: Of a target on the real line or of images.
        scores: Of plugins, that are for such a target.
    """

    def __init__(self, inner: RealLineScorer | ImageScorer, scores: Sequence[PluginScore]) -> None:
        self.inner, self.scores = inner, tuple(scores)
        self.target: Target = inner.target
        self.curve_size, self.final_size = inner.curve_size, inner.final_size
        if isinstance(inner, ImageScorer):
            self._real, self._floors = inner.real, [inner.floor_images]
        else:
            *self._floors, self._real = [_draw(inner.target, seed) for seed in range(OWN_FLOOR_DRAWS + 1)]

    def curve(self, samples: Tensor) -> dict[str, float]:
        """See `Scorer.curve`."""
        ours = self.inner.curve(samples)
        return ours | {s.name: self._measure(s, samples) for s in self.scores if s.curve}

    def final(self, samples: Tensor, players: Players = NOBODY) -> dict[str, float]:
        """See `Scorer.final`."""
        ours = self.inner.final(samples, players)
        return ours | {s.name: self._measure(s, samples) for s in self.scores if s.final}

    def references(self) -> dict[str, dict[str, Any]]:
        """See `Scorer.references`."""
        table = self.inner.references()
        for score in self.scores:
            n = self._size(self.final_size if score.final else self.curve_size)
            floor = statistics.fmean(self._measure(score, real[:n]) for real in self._floors)
            noise = self._measure(score, self.inner.noise(n)) if isinstance(self.inner, ImageScorer) else None
            table[score.name] = reference(score.label, score.direction, n, floor, noise)
        return table

    def _size(self, n: int) -> int:
        return n if isinstance(self.inner, ImageScorer) else KS_SIZE

    def _measure(self, score: PluginScore, samples: Tensor) -> float:
        """Measure samples, on copies: what a plugin does to them is its own business."""
        own = samples[: self._size(len(samples))].detach().cpu().clone()
        try:
            return float(score.measure(own, self.target, self._real.clone()))
        except Exception as error:
            raise RuntimeError(f"the score {score.name}: {type(error).__name__}: {error}") from error


def _draw(target: Gaussian | Mixture, seed: int) -> Tensor:
    return target.sample((KS_SIZE,), torch.Generator().manual_seed(seed))


def with_plugin_scores(inner: Scorer, scores: Sequence[PluginScore]) -> Scorer:
    """Return a scorer with scores beside its own; the game of two numbers, which has no data, takes none."""
    if not scores:
        return inner
    assert isinstance(inner, RealLineScorer | ImageScorer), "a study is refused that takes them elsewhere"
    return WithPluginScores(inner, scores)
