"""Whole seeds drawn again: the interval of any number that replicas of shared seeds make together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reports.statistics import CONFIDENCE, RESAMPLES, Interval, percentile_limits


def seed_draws(seeds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """Places of seeds drawn with replacement, shape [resamples, seeds].

    Replicas of one seed share their random numbers, in every variant and before and after tuning; one draw for all
    of them keeps what is paired together (Davison and Hinkley 1997, section 3.8).
    """
    return np.random.default_rng(seed).integers(seeds, size=(resamples, seeds))


def seed_interval(table: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> Interval:
    """A statistic of replicas with its 95 % percentile bootstrap interval over seeds.

    Args:
        table: What the statistic is of, the seeds along its first axis.
        statistic: A function of such a table.

    Returns:
        Without limits where there are fewer than two seeds; NaN without any.
    """
    if not len(table):
        return Interval(np.nan, np.nan, np.nan, "none")
    estimate = float(statistic(table))
    if len(table) < 2:
        return Interval(estimate, np.nan, np.nan, "none")
    resampled = np.array([statistic(table[drawn]) for drawn in seed_draws(len(table))])
    return Interval(estimate, *percentile_limits(resampled, CONFIDENCE), "percentile")
