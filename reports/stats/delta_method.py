"""Intervals of thousands of runs, from how much each of them moves the estimate: resampling would take minutes.

This is what the bootstrap comes to as runs grow many (the nonparametric delta method, or infinitesimal jackknife; Efron
1982, chapter 6): normal limits, their variance the sum of the squared influences of what is independent. From `MANY`
runs, or clusters of runs, on the two are hard to tell apart, and `reports.stats.intervals` takes this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

MANY = 2_000
"""Of what would be drawn again, above which it is not: BCa needs a table of their number squared."""


def iqm_limits(
    samples: Sequence[NDArray[np.float64]], estimate: float, confidence: float, *, clustered: bool
) -> tuple[float, float] | None:
    """Confidence limits of the interquartile mean of all runs together.

    The influence of a run is that on a trimmed mean (Huber and Ronchetti 2009, section 3.3).

    Args:
        samples: The runs of each stratum, or of each cluster; infinite where a run failed, never NaN.
        estimate: Their interquartile mean.
        confidence: Two-sided level.
        clustered: The samples are clusters, which are drawn as a whole; else runs are drawn within each.

    Returns:
        None where failed runs are so near to the middle half that a resample's mean might fail.
    """
    runs = np.concatenate(samples)
    ordered, cut = np.sort(runs), runs.size // 4
    independent = len(samples) if clustered else runs.size
    # A share of a quarter varies from resample to resample by at most 0.44 / sqrt(independent): here 4.5 times that.
    reach = math.ceil(2 * runs.size / math.sqrt(independent))
    if not np.isfinite(ordered[[max(cut - reach, 0), min(runs.size - 1 - cut + reach, runs.size - 1)]]).all():
        return None
    moved = np.clip(runs, ordered[cut], ordered[runs.size - 1 - cut])
    moved = (moved - moved.mean()) / (runs.size - 2 * cut)
    starts = np.cumsum([0, *(sample.size for sample in samples[:-1])])
    sums = np.add.reduceat(moved, starts)
    if clustered:
        return _normal(estimate, float(np.sum(sums**2)), confidence)
    sizes = np.array([sample.size for sample in samples])
    return _normal(estimate, float(np.sum((moved - np.repeat(sums / sizes, sizes)) ** 2)), confidence)


def improvement_limits(
    x: NDArray[np.float64], y: NDArray[np.float64], direction: str, confidence: float, *, paired: bool
) -> tuple[float, float, float]:
    """Return the probability that a run of the first group beats one of the other, and its confidence limits.

    By placements, which are the influences of the Mann-Whitney statistic (DeLong, DeLong and Clarke-Pearson 1988).

    Args:
        x: Shape [runs, settings]; infinite where a run failed, never NaN.
        y: The other group, with as many settings.
        direction: "lower" or "higher": which end is good.
        confidence: Two-sided level.
        paired: Row i of both groups is drawn together, and not compared with itself.
    """
    first = np.mean([_wins(a, b, direction) for a, b in zip(x.T, y.T, strict=True)], axis=0)
    second = 1 - np.mean([_wins(b, a, direction) for a, b in zip(x.T, y.T, strict=True)], axis=0)
    if paired:
        above = np.mean(np.greater(x, y).astype(float) - np.less(x, y), axis=1)
        own = (1 + (-above if direction == "lower" else above)) / 2
        first, second = ((len(x) * share - own) / (len(x) - 1) for share in (first, second))
    estimate = float(first.mean())
    one, other = (first - estimate) / len(x), (second - estimate) / len(y)
    variance = np.sum((one + other) ** 2) if paired else np.sum(one**2) + np.sum(other**2)
    low, high = _normal(estimate, float(variance), confidence)
    return estimate, max(low, 0.0), min(high, 1.0)


def _wins(runs: NDArray[np.float64], others: NDArray[np.float64], direction: str) -> NDArray[np.float64]:
    """Share of the others that each run beats, a tie one half, shape [runs]."""
    ordered = np.sort(others)
    below = (np.searchsorted(ordered, runs, "left") + np.searchsorted(ordered, runs, "right")) / (2 * others.size)
    return 1 - below if direction == "lower" else below


def signed_rank_p(positive: float, ranks: NDArray[np.float64]) -> float:
    """Two-sided p of a sum of positive ranks, normal and with a correction for continuity.

    Under no effect each rank is positive or negative alike, so that their sum has the mean sum(ranks) / 2 and the
    variance sum(ranks²) / 4, with ties and zeros as without (Hollander, Wolfe and Chicken 2014, section 3.1).

    Args:
        positive: The sum of the ranks of positive differences.
        ranks: Of all differences that are not zero.
    """
    away = abs(positive - float(np.sum(ranks)) / 2) - 0.5
    spread = math.sqrt(float(np.sum(ranks**2))) / 2
    return min(1.0, 2 * float(special.ndtr(-away / spread))) if spread else 1.0


def _normal(estimate: float, variance: float, confidence: float) -> tuple[float, float]:
    half = float(stats.norm.isf((1 - confidence) / 2)) * math.sqrt(variance)
    return estimate - half, estimate + half
