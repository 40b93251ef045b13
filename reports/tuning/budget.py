"""What a search's budget buys: the best objective to be expected of fewer trials than were run."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.stats.intervals import CONFIDENCE, RESAMPLES, Interval, percentile_limits


def subset_weights(trials: int) -> NDArray[np.float64]:
    """How often each trial, by rank, is the best of a random subset.

    Of the C(n, k) subsets of k out of n trials, those whose best is the trial of rank i hold it and k - 1 of the
    n - i worse ones: C(n - i, k - 1) of them.

    Args:
        trials: How many there are, n.

    Returns:
        Shape [n, n]: row k - 1, column i - 1 is C(n - i, k - 1) / C(n, k); each row sums to 1.
    """
    rows = [[comb(trials - i, k - 1) / comb(trials, k) for i in range(1, trials + 1)] for k in range(1, trials + 1)]
    return np.array(rows, dtype=np.float64).reshape(trials, trials)


def expected_best_limits(
    objectives: ArrayLike, direction: str = "lower", *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Expected best objective after k of n trials, exact and without replacement, with 95 % intervals over trials.

    The estimate is sum_i x_(i) C(n-i, k-1) / C(n, k): the curve of best score against budget by which Lucic et al.
    (2018, "Are GANs created equal?") compare models, and Dodge et al. (2019, "Show your work") with replacement. It
    averages over all orders of the trials, and so is a statement about the search only where their order says
    nothing: random search, not a sampler that learns.

    For the percentile intervals trials are drawn again with replacement. Toward the full budget they are too narrow on
    the good side: no resample holds a better trial than the best there was.

    Args:
        objectives: One a trial, shape [n], finite: a trial without a score stands for the worst.
        direction: "lower" or "higher": which end is good.
        resamples: How many.
        seed: Of the resampling. The order of the trials does not matter.

    Returns:
        One interval a number of trials, 1 to n: of the mean of all trials first, of the best of them last; without
        limits where there is one trial.

    Raises:
        ValueError: An objective is not finite.
    """
    ordered = _best_first(objectives, direction)
    weights = subset_weights(ordered.size)
    estimates = _expectations(ordered[None], weights)[0].tolist()
    if ordered.size < 2:
        return [Interval(estimate, np.nan, np.nan, "none") for estimate in estimates]
    # Sorted places pick the values in order, best first.
    places = np.sort(np.random.default_rng(seed).integers(ordered.size, size=(resamples, ordered.size)), axis=1)
    curves = _expectations(ordered[places], weights)
    return [
        Interval(estimate, *percentile_limits(curve, CONFIDENCE), "percentile")
        for estimate, curve in zip(estimates, curves.T, strict=True)
    ]


def best_so_far(objectives: ArrayLike, direction: str = "lower") -> NDArray[np.float64]:
    """Best objective among the first k trials in the order they were drawn, shape [n]."""
    values = np.asarray(objectives, dtype=np.float64).ravel()
    return np.minimum.accumulate(values) if direction == "lower" else np.maximum.accumulate(values)


def _expectations(ordered: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected best of sorted objectives, shape [samples, trials], from the best on: equal ones give no rounding."""
    best = ordered[:, :1]
    return best + (ordered - best) @ weights.T


def _best_first(objectives: ArrayLike, direction: str) -> NDArray[np.float64]:
    values = np.asarray(objectives, dtype=np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError("objectives must be finite: a trial without a score stands for the worst")
    return np.sort(values) if direction == "lower" else np.sort(values)[::-1]
