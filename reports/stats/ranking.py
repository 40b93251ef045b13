"""Whether two rankings of the same variants agree, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.stats.contrasts import Contrast, contrasts
from reports.stats.intervals import CONFIDENCE, Interval, iqm, percentile_limits, worst_of
from reports.stats.iqm import interquartile_mean
from reports.stats.paired import holm
from reports.stats.resampling import seed_draws

Outcome = Literal["same", "unresolved", "reversed", "failed", "unknown"]


@dataclass(frozen=True)
class Pair:
    """Two variants held against each other, before and after, each family corrected by itself."""

    one: str
    other: str
    before: Contrast
    after: Contrast

    @property
    def reversed(self) -> bool:
        """Whether the comparison is turned round."""
        return turned(self.before, self.after)

    @property
    def change(self) -> str:
        """What became of the comparison, in words."""
        return change(self.before, self.after)


@dataclass(frozen=True)
class Ranking:
    """Two rankings of variants by the interquartile mean over the same seeds."""

    variants: list[str]
    seeds: int
    """How many there are of every variant, before and after; chances and agreement are of these."""
    means: tuple[list[float], list[float]]
    """Interquartile means before and after."""
    ranks: tuple[list[int], list[int]]
    """1 is best; equal means share the better rank; 0 where there is no replica."""
    first: tuple[list[float], list[float]]
    """Share of resamples in which each variant ranks first, a tie split; NaN with fewer than two seeds."""
    tau: Interval
    """Kendall's tau between the rankings."""
    pairs: list[Pair]
    """In the order of the variants."""

    @property
    def outcome(self) -> Outcome:
        """Whether the ranking changes: "reversed" only if a resolved comparison turns round.

        "failed" where failed replicas reach the means of several variants, which then share the last rank;
        "unknown" where a variant has no replica on one side.
        """
        if not all(rank for ranks in self.ranks for rank in ranks):
            return "unknown"
        if any(pair.reversed for pair in self.pairs):
            return "reversed"
        if any(np.isinf(means).sum() > 1 for means in self.means):
            return "failed"
        return "same" if self.ranks[0] == self.ranks[1] else "unresolved"


def turned(before: Contrast, after: Contrast) -> bool:
    """Whether two comparisons are both resolved, and in opposite senses.

    The sense is that of the test which resolves them, the sign of the ranks: the estimate's may differ by outliers.
    """
    return before.resolved and after.resolved and before.effect * after.effect < 0


def change(before: Contrast, after: Contrast) -> str:
    """What became of a comparison, in words."""
    if turned(before, after):
        return "**reversed**"
    words = {(True, True): "holds", (True, False): "no longer resolved", (False, True): "resolved by tuning"}
    return words.get((before.resolved, after.resolved), "not resolved")


def compare_rankings(
    before: NDArray[np.float64], after: NDArray[np.float64], variants: list[str], *, direction: str, log: bool
) -> Ranking:
    """Compare the ranking of variants before with the one after.

    Args:
        before: One score a replica, shape [seeds, variants]; an infinity is a failed replica, NaN one that is missing.
        after: The same replicas under other settings.
        variants: Names of the columns.
        direction: "lower" or "higher": which end is good.
        log: Compare two variants by ratios.

    Returns:
        Means, ranks and pairs of all that there is; chances and tau over the seeds that are whole on both sides.
    """
    sides = (before, after)
    whole = ~np.isnan(np.concatenate(sides, axis=1)).any(axis=1)
    means = [[iqm(column[~np.isnan(column)], direction) for column in side.T] for side in sides]
    draws = seed_draws(int(whole.sum())) if whole.sum() > 1 else np.empty((0, 0), dtype=np.int64)
    drawn = [_middle(side[whole][draws], direction) if draws.size else None for side in sides]
    tau = Interval.alone()
    if len(variants) > 1 and whole.any():
        tau = _agreement([_middle(side[whole][None], direction)[0] for side in sides], drawn)
    families = [pairwise(side, variants, direction=direction, log=log) for side in sides]
    names = combinations(variants, 2)
    return Ranking(
        variants=list(variants),
        seeds=int(whole.sum()),
        means=(means[0], means[1]),
        ranks=(ranks(means[0], direction), ranks(means[1], direction)),
        first=(_first(drawn[0], direction, len(variants)), _first(drawn[1], direction, len(variants))),
        tau=tau,
        pairs=[Pair(*pair, *two) for pair, two in zip(names, zip(*families, strict=True), strict=True)],
    )


def pairwise(scores: NDArray[np.float64], variants: list[str], *, direction: str, log: bool) -> list[Contrast]:
    """Every two variants against each other, paired by seed, the first against the second, Holm over all of them.

    Args:
        scores: Shape [seeds, variants], as for `compare_rankings`.
        variants: Names of the columns.
        direction: "lower" or "higher".
        log: Compare by ratios.

    Returns:
        In the order of `itertools.combinations`.
    """
    family = []
    for i, j in combinations(range(len(variants)), 2):
        levels = {"variant": ["second", "first"]}
        family += contrasts(scores[:, [j, i]], levels, {"variant": "second"}, log=log, direction=direction)
    adjusted = holm([contrast.p for contrast in family]).tolist()
    return [replace(contrast, p_holm=p) for contrast, p in zip(family, adjusted, strict=True)]


def kendall(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's tau-b (Kendall 1945) of the last axis, from -1 (reversed) to 1 (the same order).

    Args:
        one: Shape [..., items]; infinities may be tied.
        other: The same shape.

    Returns:
        Shape [...]; NaN where one side is tied throughout, or there is one item.
    """
    upper = np.triu_indices(one.shape[-1], 1)
    signs = [
        (x[..., upper[0]] > x[..., upper[1]]).astype(float) - (x[..., upper[0]] < x[..., upper[1]])
        for x in (one, other)
    ]
    scale = np.sqrt((signs[0] ** 2).sum(axis=-1) * (signs[1] ** 2).sum(axis=-1))
    agreement = (signs[0] * signs[1]).sum(axis=-1)
    return np.divide(agreement, scale, out=np.full_like(scale, np.nan), where=scale > 0)


def ranks(means: list[float], direction: str) -> list[int]:
    """Rank of each mean, 1 for the best; equal means share the better rank, and 0 stands for no mean."""
    sign = 1 if direction == "lower" else -1
    return [0 if np.isnan(m) else 1 + sum(sign * other < sign * m for other in means) for m in means]


def _middle(scores: NDArray[np.float64], direction: str) -> NDArray[np.float64]:
    """Interquartile means over seeds, shape [draws, seeds, variants] to [draws, variants], failed replicas worst."""
    return interquartile_mean(np.where(np.isfinite(scores), scores, worst_of(direction)), axis=1)


def _first(drawn: NDArray[np.float64] | None, direction: str, variants: int) -> list[float]:
    if drawn is None:
        return [np.nan] * variants
    best = drawn.min(axis=1, keepdims=True) if direction == "lower" else drawn.max(axis=1, keepdims=True)
    won = drawn == best
    return (won / won.sum(axis=1, keepdims=True)).mean(axis=0).tolist()


def _agreement(means: list[NDArray[np.float64]], drawn: list[NDArray[np.float64] | None]) -> Interval:
    estimate = float(kendall(means[0], means[1]))
    if drawn[0] is None or drawn[1] is None or np.isnan(estimate):
        return Interval.alone(estimate)
    resampled = kendall(drawn[0], drawn[1])
    known = resampled[~np.isnan(resampled)]
    return Interval(estimate, *percentile_limits(known, CONFIDENCE), "percentile")
