"""Two levels of a factor compared on an outcome, paired by seed: a difference of rates, or of a score.

A seed shares its random numbers between variants, so that its replicas are one cluster: a seed is drawn, not a replica.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from reports.stats.intervals import CONFIDENCE, iqm_interval
from reports.stats.paired import signed_rank

POWER = 0.8
"""Of the smallest effect that a design is said to see."""
EFFICIENCY = 3 / math.pi
"""Of the signed-rank test beside the t-test, for normal differences (Hodges and Lehmann 1956)."""
INNER = 2 * CONFIDENCE - 1
"""Two-sided level of the interval that lies within a margin where two one-sided tests call levels equivalent
(Schuirmann 1987)."""


class Comparison(NamedTuple):
    """One level against another.

    Attributes:
        estimate: The difference, level less reference; of a score that is compared by ratios its logarithm.
        low: The 95 % interval.
        high: Its other end.
        inner: The 90 % interval, for equivalence.
        p: Two-sided, exact, of the differences by seed; NaN with fewer than 2 seeds.
        seeds: That have every replica.
        smallest: The effect that so many seeds see in four of five studies, at a p of 0.05; NaN where unknown.
    """

    estimate: float
    low: float
    high: float
    inner: tuple[float, float]
    p: float
    seeds: int
    smallest: float


def compare_rates(one: NDArray[np.float64], other: NDArray[np.float64]) -> Comparison:
    """How much more often an event comes with one level than with another.

    The limits are Newcombe's (1998, method 10) from Wilson's of both rates, each of as many replicas as its clusters
    are worth: their number over the design effect 1 + (m - 1) r, with r the intraclass correlation by analysis of
    variance (Donner and Klar 2000, section 4.3); where it is undefined, all replicas of a seed count as one. That both
    levels share the seeds makes them no wider, and is left out. The p is a signed-rank test's of the differences by
    seed.

    Args:
        one: Whether each replica had the event: 1 or 0, shape [seeds, settings]; NaN for one that is not there, which
            leaves out its seed.
        other: The same of the other level.
    """
    there = ~np.isnan(one).any(axis=1) & ~np.isnan(other).any(axis=1)
    one, other = one[there], other[there]
    if not len(one):
        return Comparison(math.nan, math.nan, math.nan, (math.nan, math.nan), math.nan, 0, math.nan)
    rates = float(one.mean()), float(other.mean())
    numbers = [side.size / _design_effect(side) for side in (one, other)]
    differences = one.mean(axis=1) - other.mean(axis=1)

    def limits(confidence: float) -> tuple[float, float]:
        (low, high), (low_other, high_other) = (
            _wilson(rate, number, confidence) for rate, number in zip(rates, numbers, strict=True)
        )
        estimate = rates[0] - rates[1]
        below = math.hypot(rates[0] - low, high_other - rates[1])
        above = math.hypot(high - rates[0], rates[1] - low_other)
        return estimate - below, estimate + above

    p = signed_rank(np.round(differences, 10)).p if len(one) > 1 else math.nan
    return Comparison(rates[0] - rates[1], *limits(CONFIDENCE), limits(INNER), p, len(one), _smallest(differences))


def compare_scores(differences: NDArray[np.float64]) -> Comparison:
    """How much a score differs between two levels.

    Args:
        differences: Of each seed, [seeds], averaged over the other factors; an infinity where one side failed.
    """
    outer, inner = (iqm_interval([differences], None, confidence=level) for level in (CONFIDENCE, INNER))
    p = signed_rank(differences).p if len(differences) > 1 else math.nan
    return Comparison(
        outer.estimate, outer.low, outer.high, (inner.low, inner.high), p, len(differences), _smallest(differences)
    )


def _smallest(differences: NDArray[np.float64]) -> float:
    """Return the difference that a signed-rank test of so many finds with `POWER`: `seeds_needed`, solved for it."""
    if len(differences) < 2 or not np.isfinite(differences).all() or not np.ptp(differences):
        return math.nan
    sure = float(stats.norm.isf((1 - CONFIDENCE) / 2))
    worth = len(differences) * EFFICIENCY - sure**2 / 2  # pairs of a test with a known variance
    reach = sure + float(stats.norm.ppf(POWER))
    return reach * float(np.std(differences, ddof=1)) / math.sqrt(worth) if worth > 0 else math.nan


def _design_effect(events: NDArray[np.float64]) -> float:
    """Return by how much fewer independent replicas those of clusters are worth, from [seeds, settings]."""
    seeds, size = events.shape
    if size == 1 or seeds < 2:
        return 1.0
    between = size * float(np.var(events.mean(axis=1), ddof=1))
    within = float(np.mean(np.var(events, axis=1, ddof=1)))
    total = between + (size - 1) * within
    correlation = (between - within) / total if total > 0 else 1.0
    return 1 + (size - 1) * min(max(correlation, 0.0), 1.0)


def _wilson(rate: float, number: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's (1927) limits of a rate of a number of trials, which need not be whole."""
    z = float(special.ndtri(0.5 + 0.5 * confidence))
    centre = (rate + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * math.sqrt(rate * (1 - rate) / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    return max(centre - half, 0.0), min(centre + half, 1.0)
