"""Shares of runs that succeed, and how sure they are: Wilson's interval and performance profiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from reports.stats.intervals import CONFIDENCE


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927): inside [0, 1], and never empty at 0 or at n.

    Args:
        successes: How many of the trials succeeded.
        trials: How many there were; with none, nothing is known and the interval is (0, 1).
        confidence: Two-sided level.

    Returns:
        The lower and the upper limit.
    """
    if trials == 0:
        return 0.0, 1.0
    low, high = wilson_limits([successes], trials, confidence)[:, 0].tolist()
    return low, high


def wilson_limits(successes: ArrayLike, trials: int, confidence: float = 0.95) -> NDArray[np.float64]:
    """Wilson's limits of many counts out of as many trials, at least one, shape [2, counts].

    `scipy.stats.binomtest` has the same bits, and takes half a millisecond for each, most of it for a test.
    """
    counts = np.asarray(successes, dtype=np.float64)
    z = special.ndtri(0.5 + 0.5 * confidence)
    rate, scale = counts / trials, 2 * (trials + z**2)
    centre = (2 * trials * rate + z**2) / scale
    half = z / scale * np.sqrt(4 * trials * rate * (1 - rate) + z**2)
    return np.array([np.where(counts == 0, 0.0, centre - half), np.where(counts == trials, 1.0, centre + half)])


def performance_profile(values: ArrayLike, thresholds: Sequence[float] | NDArray, direction: str = "lower") -> NDArray:
    """Share of runs at or beyond each threshold (Dolan and More 2002; Agarwal et al. 2021, section 4.2).

    Args:
        values: One score a run, shape [runs]; a failed run (NaN or an infinity) reaches no threshold.
        thresholds: In the score's own units.
        direction: "lower" or "higher": which side of a threshold is good.

    Returns:
        Shape [thresholds]; NaN without runs.
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    return _passed(runs, thresholds, direction) / runs.size if runs.size else np.full(len(thresholds), np.nan)


def profile_band(
    values: ArrayLike, thresholds: Sequence[float] | NDArray, direction: str = "lower", confidence: float = CONFIDENCE
) -> NDArray[np.float64]:
    """Pointwise Wilson limits of `performance_profile`, shape [2, thresholds]: each threshold's own interval."""
    runs = np.asarray(values, dtype=np.float64).ravel()
    if not runs.size:  # nothing is known
        return np.array([np.zeros(len(thresholds)), np.ones(len(thresholds))])
    return wilson_limits(_passed(runs, thresholds, direction), runs.size, confidence)


def _passed(runs: NDArray[np.float64], thresholds: Sequence[float] | NDArray, direction: str) -> NDArray[np.int64]:
    """How many runs reach each threshold, shape [thresholds]: as `passes`, without looking at every run each time."""
    finite = np.sort(runs[np.isfinite(runs)])
    if direction == "lower":
        return np.searchsorted(finite, thresholds, side="right")
    return finite.size - np.searchsorted(finite, thresholds, side="left")
