"""Whole seeds drawn again: the interval of any number that replicas of shared seeds make together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reports.stats.intervals import CONFIDENCE, HELD, RESAMPLES, Interval, percentile_limits


def seed_draws(seeds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """Places of seeds drawn with replacement, shape [resamples, seeds].

    Replicas of one seed share their random numbers, in every variant and before and after tuning; one draw for all
    of them keeps what is paired together (Davison and Hinkley 1997, section 3.8).
    """
    return np.random.default_rng(seed).integers(seeds, size=(resamples, seeds))


def seed_interval(table: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray]) -> Interval:
    """A statistic of replicas with its 95 % percentile bootstrap interval over seeds.

    Args:
        table: What the statistic is of, the seeds along its first axis.
        statistic: A function of many such tables, the seeds along the second axis of them all, that returns one number
            a table.

    Returns:
        Without limits where there are fewer than two seeds; NaN without any.
    """
    if not len(table):
        return Interval.alone()
    estimate = float(statistic(table[None])[0])
    if len(table) < 2:
        return Interval.alone(estimate)
    draws = seed_draws(len(table))
    held = max(1, HELD // table.size)  # tables in memory at once
    resampled = np.concatenate([statistic(table[draws[at : at + held]]) for at in range(0, len(draws), held)])
    return Interval(estimate, *percentile_limits(resampled, CONFIDENCE), "percentile")
