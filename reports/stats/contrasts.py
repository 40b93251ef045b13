"""Contrasts of a factorial grid: what each level changes, and whether it depends on another factor's level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.stats.intervals import Interval, iqm_interval, probability_of_improvement, worst_of
from reports.stats.paired import holm, signed_rank

ALPHA = 0.05  # a family's rate of false positives


@dataclass(frozen=True)
class Contrast:
    """One comparison of levels, paired by seed.

    Attributes:
        kind: "main": a level against its factor's reference level; "interaction": how much the first factor's
            difference changes with the second factor's level (a difference of differences).
        factors: One factor for a main effect, two for an interaction.
        levels: The level of each factor.
        against: The reference level of each factor.
        interval: Interquartile mean over seeds of the paired difference, level less reference in the score's
            units, or of the ratio, level over reference.
        ratio: Whether the interval is of a ratio.
        pairs: Seeds that have every replica the contrast needs.
        p: Two-sided p of the signed-rank test; NaN with fewer than 2 pairs.
        p_holm: The same, adjusted for all contrasts of the grid.
        effect: Matched-pairs rank-biserial correlation in [-1, 1]; positive where the level's score is higher,
            whichever direction is good. NaN with fewer than 2 pairs.
        improvement: Probability that a replica with the level beats one of any seed with the reference
            level, both at the same levels of the other factors. None for an interaction.
    """

    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    interval: Interval
    ratio: bool
    pairs: int
    p: float
    p_holm: float
    effect: float
    improvement: Interval | None

    @property
    def resolved(self) -> bool:
        """Whether the adjusted p is at most 0.05; never without a p."""
        return self.p_holm <= ALPHA

    @property
    def name(self) -> str:
        """Such as "lr_ratio 2 against 1", for an interaction two of them joined by "×"."""
        parts = zip(self.factors, self.levels, self.against, strict=True)
        return " × ".join(f"{factor} {level} against {reference}" for factor, level, reference in parts)


class Paired(NamedTuple):
    """The paired differences of one contrast, before any statistics."""

    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    differences: NDArray[np.float64]  # [pairs]: an infinity, one side failed; NaN, both did
    replicas: tuple[NDArray[np.float64], NDArray[np.float64]] | None  # main effects: two sides of [pairs, settings]


def contrasts(
    grid: NDArray[np.float64],
    factors: Mapping[str, Sequence[str]],
    reference: Mapping[str, str],
    *,
    log: bool = False,
    direction: str = "lower",
) -> list[Contrast]:
    """Every main effect and two-way interaction of a grid, with intervals, exact tests and one correction.

    A seed shares its random numbers between variants, so variants are compared within a seed: for each, the
    differences are averaged over the levels of the other factors (the balanced estimate of a factorial design; Box,
    Hunter and Hunter 2005, chapter 5), and these averages are the sample. Its interquartile mean, a signed-rank
    test of it, and Holm's correction over all contrasts of the grid together make the answer.

    Args:
        grid: One score a replica, shape [seeds, levels of the first factor, levels of the second, ...]. An
            infinity, of either sign, is a failed replica: worst, and so is any average with a difference from it.
            Where both sides failed there is no difference: the seed's other differences speak for it, so that one
            level that always fails does not hide the other factors. NaN is a replica that does not exist: the
            contrasts that need it leave out its seed.
        factors: The labels of each factor's levels, in the order of the axes.
        reference: The label of each factor's reference level. A factor of one level needs none.
        log: Compare logarithms: the contrasts are then ratios of geometric means.
        direction: "lower" or "higher": which end of the score is good.

    Returns:
        Main effects in the order of factors and levels, then interactions.

    Raises:
        ValueError: The labels do not fit the grid's shape, a reference is none of its factor's levels, or a
            logarithm is asked of a score that is not positive.
    """
    samples = list(paired_differences(grid, factors, reference, log=log, direction=direction))
    tests = [signed_rank(sample.differences if sample.differences.size > 1 else []) for sample in samples]
    adjusted = holm([test.p for test in tests])
    found = []
    for sample, test, p_holm in zip(samples, tests, adjusted, strict=True):
        interval = iqm_interval([sample.differences], None)
        improvement = probability_of_improvement(*sample.replicas, direction, paired=True) if sample.replicas else None
        found.append(
            Contrast(
                *sample[:4],
                interval=interval.exp() if log else interval,
                ratio=log,
                pairs=sample.differences.size,
                p=test.p,
                p_holm=float(p_holm),
                effect=test.effect,
                improvement=improvement,
            )
        )
    return found


def paired_differences(
    grid: NDArray[np.float64],
    factors: Mapping[str, Sequence[str]],
    reference: Mapping[str, str],
    *,
    log: bool = False,
    direction: str = "lower",
) -> Iterator[Paired]:
    """Yield the samples that `contrasts` describes; arguments and errors are its own."""
    scores = _prepared(grid, factors, log, direction)
    names = list(factors)
    base = {factor: _base(factor, levels, reference) for factor, levels in factors.items()}
    others = {factor: [i for i in range(len(levels)) if i != base[factor]] for factor, levels in factors.items()}
    largest = np.max(np.abs(np.where(np.isfinite(scores), scores, 0)), axis=tuple(range(1, scores.ndim)), initial=0)

    def cells(chosen: Mapping[int, int]) -> NDArray[np.float64]:
        """Scores at the chosen levels, by axis: [seeds, settings of the other factors]."""
        index = tuple(chosen.get(axis, slice(None)) for axis in range(len(names)))
        return np.reshape(scores[:, *index], (len(scores), -1))

    for axis, factor in enumerate(names):
        for level in others[factor]:
            sides = cells({axis: level}), cells({axis: base[factor]})
            differences, complete = _difference(sides, [1, -1], largest)
            yield Paired(
                kind="main",
                factors=(factor,),
                levels=(factors[factor][level],),
                against=(factors[factor][base[factor]],),
                differences=differences,
                replicas=(sides[0][complete], sides[1][complete]),
            )

    for (i, first), (j, second) in combinations(enumerate(names), 2):
        for one, two in product(others[first], others[second]):
            corners = [cells({i: a, j: b}) for a, b in product((one, base[first]), (two, base[second]))]
            yield Paired(
                kind="interaction",
                factors=(first, second),
                levels=(factors[first][one], factors[second][two]),
                against=(factors[first][base[first]], factors[second][base[second]]),
                differences=_difference(corners, [1, -1, -1, 1], largest)[0],
                replicas=None,
            )


def shares(grid: NDArray[np.float64], factors: Mapping[str, Sequence[str]], *, log: bool = False) -> dict[str, float]:
    """Share of a grid's variance that each factor and each pair of factors explains.

    The sums of squares of a balanced analysis of variance (Fisher 1925; Montgomery 2017, chapter 5) over their
    total.

    Args:
        grid: One score a replica, shape [seeds, levels of the first factor, ...]: finite, and at least one seed.
        factors: The labels of each factor's levels, in the order of the axes.
        log: Take logarithms first.

    Returns:
        A share for each factor, for each pair as "one × two", and for the "rest": seeds, chance and interactions
        of more factors. They sum to 1, or are all 0 where the scores are constant.

    Raises:
        ValueError: A score is missing or failed, or as for `contrasts`.
    """
    scores = _prepared(grid, factors, log, "lower")
    if not scores.size or not np.isfinite(scores).all():
        raise ValueError("shares of variance need a finite score of every replica")
    rounding = 1e-12 * float(np.max(np.abs(scores)))
    scores = scores - scores.mean()
    total = float(np.mean(scores**2))
    names = list(factors)

    def explained(*axes: int) -> float:
        return float(np.mean(scores.mean(axis=tuple(a for a in range(scores.ndim) if a - 1 not in axes)) ** 2))

    parts = {name: explained(axis) for axis, name in enumerate(names)}
    for (i, one), (j, two) in combinations(enumerate(names), 2):
        parts[f"{one} × {two}"] = max(0.0, explained(i, j) - parts[one] - parts[two])
    if total <= rounding**2:
        return dict.fromkeys([*parts, "rest"], 0.0)
    found = {name: part / total for name, part in parts.items()}
    return found | {"rest": max(0.0, 1 - sum(found.values()))}


def _prepared(
    grid: NDArray[np.float64], factors: Mapping[str, Sequence[str]], log: bool, direction: str
) -> NDArray[np.float64]:
    """The grid to be averaged, in logarithms where asked, every failed replica worst."""
    scores = np.asarray(grid, dtype=np.float64)
    expected = tuple(len(levels) for levels in factors.values())
    if scores.shape[1:] != expected:
        raise ValueError(f"a grid of shape [seeds, {', '.join(map(str, expected))}]: got {scores.shape}")
    finite = np.isfinite(scores)
    if log and (scores[finite] <= 0).any():
        raise ValueError("a logarithm needs positive scores")
    worst = np.where(np.isinf(scores), worst_of(direction), scores)
    return np.log(worst, where=finite, out=worst) if log else worst


def _base(factor: str, levels: Sequence[str], reference: Mapping[str, str]) -> int:
    """Place of a factor's reference level among its levels."""
    if len(levels) == 1:
        return 0
    if reference.get(factor) not in levels:
        raise ValueError(f"the reference level of {factor} is one of {list(levels)}, not {reference.get(factor)!r}")
    return list(levels).index(reference[factor])


def _difference(
    sides: Sequence[NDArray[np.float64]], signs: Sequence[int], largest: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Combine scores, each of shape [seeds, settings], setting by setting; average; say which seeds are complete.

    Averages below the rounding of the seed's largest score become 0, and the rest keep ten digits, so that
    equal differences are ties: what is only rounding is no evidence of a sign or of a rank.
    """
    complete = np.logical_not(np.isnan(np.asarray(sides)).any(axis=(0, 2)))
    with np.errstate(invalid="ignore"):  # inf - inf: both sides failed
        combined = np.sum([sign * side for sign, side in zip(signs, sides, strict=True)], axis=0)
        there = ~np.isnan(combined)
        count = there.sum(axis=1)
        average = np.where(count > 0, np.where(there, combined, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    average = np.where(np.abs(average) <= 1e-12 * largest, 0.0, average)[complete]
    return np.array([float(f"{value:.10g}") for value in average]), complete
