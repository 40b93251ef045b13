"""Statistics of pairs: a run under two settings, or evaluated twice. `reports.stats.intervals` hands them on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from reports.stats.delta_method import signed_rank_p

EXACT = 500
"""Pairs up to which the signed-rank test counts all patterns of signs: their work grows with the cube of the pairs."""


class VarianceParts(NamedTuple):
    """Two components of a score's variance, in the score's units squared."""

    seed: float
    evaluation: float


class SignedRank(NamedTuple):
    """A signed-rank test: the two-sided p, and the matched-pairs rank-biserial correlation in [-1, 1]."""

    p: float
    effect: float


def variance_parts(first: ArrayLike, second: ArrayLike) -> VarianceParts:
    """Split a score's variance over runs into that between seeds and that of evaluating one run twice.

    One-way random effects by the method of moments (Searle, Casella and McCulloch 1992, chapter 3): the
    mean squares within runs, MSW, and between them, MSB, of two evaluations each estimate
    ``evaluation`` and ``evaluation + 2 seed``. A negative component is set to 0.

    Args:
        first: One evaluation of each run, shape [runs]. Runs without two finite ones are left out.
        second: Another evaluation of the same runs.

    Returns:
        Variances; NaN where there are too few runs: two for the seeds, one for the evaluation.
    """
    pairs = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if not pairs.size:
        return VarianceParts(math.nan, math.nan)
    within = float(np.mean((pairs[0] - pairs[1]) ** 2) / 2)
    if pairs.shape[1] < 2:
        return VarianceParts(math.nan, within)
    between = 2 * float(np.var(pairs.mean(axis=0), ddof=1))
    return VarianceParts(max(0.0, (between - within) / 2), within)


def smallest_p(pairs: int) -> float:
    """Return the smallest two-sided p an exact signed-rank test of so many pairs can reach: all signs agree."""
    return min(1.0, 2.0 ** (1 - pairs))


def seeds_needed(spread: float, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many seeds (pairs) a two-sided signed-rank test needs to find a difference.

    The pairs of a paired t-test by the normal approximation with Guenther's (1981) term for the estimated
    variance, over the signed-rank test's efficiency relative to it, 3/pi for normal differences (Hodges and
    Lehmann 1956). For Holm's correction of m tests, ask with alpha / m.

    Args:
        spread: Standard deviation of the paired differences over seeds, at least 0.
        difference: Mean difference to be found, in the same units; its sign does not matter.
        power: Probability of finding it.
        alpha: Level of the test.

    Returns:
        At least one more than a p of alpha asks for at all: with fewer, the exact test's levels are too coarse.

    Raises:
        ValueError: The difference is 0 or not finite, or the spread is negative or not finite.
    """
    if not math.isfinite(difference) or difference == 0 or not 0 <= spread < math.inf:
        raise ValueError(f"a difference other than 0 and a spread of at least 0: got {difference} and {spread}")
    z_alpha, z_power = float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))
    paired_t = ((z_alpha + z_power) * spread / difference) ** 2 + z_alpha**2 / 2
    possible = 1 + math.ceil(1 - math.log2(alpha))  # pairs at which `smallest_p` is at most alpha, and one more
    return max(possible, math.ceil(paired_t * math.pi / 3))


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Wilcoxon's (1945) signed-rank test of paired differences, exact with ties, zeros and infinities too.

    Zeros are ranked and then left out (Pratt 1959): dropping them first would let a tie make the remaining pairs
    look more decisive. The p conditions on the ranks, and counts all 2^n sign patterns by convolution, so
    ties need no approximation; without ties or zeros it is scipy's exact p. Of more than `EXACT` pairs it is the
    normal approximation of the same conditional distribution.

    Args:
        differences: One a pair, shape [pairs]. An infinity (one side failed) ranks largest; NaN (both sides
            failed) counts as a zero.

    Returns:
        p, and the effect (Kerby 2014): positive ranks less negative ranks, over all ranks, so that zeros draw it
        to 0; its sign is the differences'. Both NaN without pairs.
    """
    gaps = np.asarray(differences, dtype=np.float64).ravel()
    if not gaps.size:
        return SignedRank(math.nan, math.nan)
    gaps = np.where(np.isnan(gaps), 0.0, gaps)
    ranks = np.rint(2 * stats.rankdata(np.abs(gaps))).astype(int)  # doubled: midranks are halves
    positive, negative = int(ranks[gaps > 0].sum()), int(ranks[gaps < 0].sum())
    effect = (positive - negative) / int(ranks.sum())
    if gaps.size > EXACT:
        return SignedRank(signed_rank_p(positive / 2, ranks[gaps != 0] / 2), effect)
    null = np.zeros(positive + negative + 1)  # probability of each sum of positive ranks
    null[0] = 1
    for rank in ranks[gaps != 0]:
        null[rank:], null[:rank] = (null[rank:] + null[:-rank]) / 2, null[:rank] / 2
    return SignedRank(min(1.0, 2 * float(null[: min(positive, negative) + 1].sum())), effect)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted for the family's error rate (Holm 1979), shape [tests]; NaN is no test and stays NaN."""
    p = np.asarray(p_values, dtype=np.float64).ravel()
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sorts last
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
