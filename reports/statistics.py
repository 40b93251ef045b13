"""Statistics of repeated training runs: pure functions over arrays, in which a failed run always counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

QUARTILES = (0.25, 0.5, 0.75)


def worst_of(direction: str) -> float:
    """The value a failed run stands for: +inf where lower is better, -inf where higher is."""
    return np.inf if direction == "lower" else -np.inf


def ranked_quantiles(
    values: ArrayLike, probabilities: Sequence[float] = QUARTILES, direction: str = "lower"
) -> NDArray[np.float64]:
    """Quantiles over runs, with every failed run ranked last instead of dropped.

    Dropping failures makes an unstable method look better the more often it fails. Order statistics
    need no number for a failure, only its rank, so they stay defined until the failures reach them.
    Between order statistics the interpolation is linear (Hyndman and Fan 1996, definition 7, numpy's
    default), so on finite values the result is ``numpy.quantile``'s.

    Args:
        values: One score a run, shape [runs]; NaN marks a failed run. Infinities count as failed too.
        probabilities: Levels in [0, 1].
        direction: "lower" or "higher": which end is good.

    Returns:
        Shape [len(probabilities)], ascending in the score's own units; an infinity where the quantile
        touches a failed run; NaN where there are no runs at all.
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    if runs.size == 0:
        return np.full(len(probabilities), np.nan)
    ordered = np.sort(np.where(np.isfinite(runs), runs, worst_of(direction)))
    quantiles = np.empty(len(probabilities))
    for i, probability in enumerate(probabilities):
        position = probability * (runs.size - 1)
        below, weight = int(np.floor(position)), position - np.floor(position)
        # A weight of 1e-16 is rounding in the position, not a share of the next run.
        if weight < 1e-12 or ordered[below] == ordered[below + 1]:
            quantiles[i] = ordered[below]
        elif 1 - weight < 1e-12:
            quantiles[i] = ordered[below + 1]
        elif np.isinf(ordered[below]) or np.isinf(ordered[below + 1]):
            quantiles[i] = worst_of(direction)
        else:
            quantiles[i] = ordered[below] + weight * (ordered[below + 1] - ordered[below])
    return quantiles


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
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def separation(one: ArrayLike, other: ArrayLike, direction: str = "lower") -> str:
    """How far two groups of runs stand apart, in words: "clear", "partial" or "none".

    A description by quartiles, not a test: "clear" when the interquartile ranges do not touch, "partial"
    when a median lies outside the other group's range, "none" otherwise.

    Args:
        one: Scores of one group, shape [runs], NaN for a failed run.
        other: The same of the other group.
        direction: "lower" or "higher": which end is good.
    """
    low_a, mid_a, high_a = ranked_quantiles(one, direction=direction)
    low_b, mid_b, high_b = ranked_quantiles(other, direction=direction)
    if high_a < low_b or high_b < low_a:
        return "clear"
    inside = low_b <= mid_a <= high_b and low_a <= mid_b <= high_a
    return "none" if inside else "partial"


def better(one: float, other: float, direction: str = "lower") -> bool:
    """Whether the first score beats the second; NaN beats nothing."""
    return one < other if direction == "lower" else one > other


def passes(values: ArrayLike, threshold: float, direction: str = "lower") -> NDArray[np.bool_]:
    """Which runs reached a threshold: at or beyond it on the good side. A failed run (NaN) has not.

    Args:
        values: One score a run, shape [runs].
        threshold: In the score's own units.
        direction: "lower" or "higher".

    Returns:
        Shape [runs].
    """
    runs = np.asarray(values, dtype=np.float64)
    good = runs <= threshold if direction == "lower" else runs >= threshold
    return good & np.isfinite(runs)


def bands(
    curves: ArrayLike, direction: str | None = None, probabilities: Sequence[float] = QUARTILES
) -> NDArray[np.float64]:
    """Quantiles over runs at each step of a curve.

    Args:
        curves: Shape [runs, steps], NaN where a run had already stopped.
        direction: Given, a stopped run ranks last (scores). None, the quantiles are over the runs still
            training: a loss has no bad end to rank a stopped run at.
        probabilities: Levels in [0, 1].

    Returns:
        Shape [len(probabilities), steps]; infinite where the quantile falls on a stopped run, NaN where no
        run is left.
    """
    runs = np.asarray(curves, dtype=np.float64)
    columns = []
    for column in runs.T:
        still = column[np.isfinite(column)] if direction is None else column
        columns.append(ranked_quantiles(still, probabilities, direction or "lower"))
    return np.array(columns).reshape(-1, len(probabilities)).T
