"""The answer to a question whose outcome the study declares: a verdict, with what it rests on.

The asked factor is compared on the asked outcome, and only its hypotheses share Holm's correction; every other contrast
of the report is exploratory. Where another factor decides what the asked one does, its levels are compared one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan.verdict import UNUSABLE as OF_NO_USE
from reports.ledger.records import PlannedOutcome
from reports.stats.contrasts import ALPHA, contrasts, paired_differences
from reports.stats.outcomes import Comparison, compare_rates, compare_scores
from reports.stats.paired import holm
from reports.study.evidence import Evidence, once
from reports.study.tables import number, reached
from studies.outcome import REACHED, UNUSABLE

Decision = Literal["yes", "no", "equivalent", "cannot tell"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What one level changes against another, in the units that a report shows.

    Attributes:
        estimate: A difference of rates or of a score, or a ratio of a score.
        low: The 95 % interval.
        high: Its other end.
        counts: Of rates: replicas with the event, and replicas, with either level.
    """

    estimate: float
    low: float
    high: float
    counts: tuple[tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True)
class Answer:
    """What a study says of one of its hypotheses.

    Attributes:
        decision: Yes, no (the reverse is resolved), equivalent within the margin, or cannot tell.
        factor: The asked factor.
        levels: More with the first than with the second, by hypothesis.
        what: The event, or the score's name.
        effect: Of the first level against the second.
        ratio: The effect is a ratio.
        margin: Within which levels are equivalent; None: none is stated.
        p: After Holm's correction over the hypotheses.
        hypotheses: Their number.
        seeds: Paired.
        smallest: The effect that so many seeds see in four of five studies; NaN where unknown.
        depends_on: The other factor that decides the effect, where one does.
        simple: Its levels and the effect at each.
    """

    decision: Decision
    factor: str
    levels: tuple[str, str]
    what: str
    effect: Effect
    ratio: bool
    margin: float | None
    p: float
    hypotheses: int
    seeds: int
    smallest: float
    depends_on: str = ""
    simple: tuple[tuple[str, Effect], ...] = ()


@once
def answers(evidence: Evidence) -> list[Answer]:
    """Return an answer to each hypothesis, in the study's order; empty where no outcome is declared."""
    outcome, factor = evidence.study.report.outcome, evidence.factor
    if outcome is None or factor is None or len(evidence.factors[factor]) < 2:
        return []
    kind = _Rate(evidence, outcome) if outcome.kind == "rate" else _Score(evidence, outcome)
    compared = [kind.compare(kind.grid, levels) for levels in outcome.hypotheses]
    adjusted = holm([comparison.p for comparison in compared])
    found: list[Answer] = []
    for levels, comparison, p in zip(outcome.hypotheses, compared, adjusted, strict=True):
        depends_on, simple = _simple_effects(evidence, kind, levels)
        found.append(
            Answer(
                decision=_decide(comparison, float(p), kind.margin),
                factor=factor,
                levels=levels,
                what=kind.what,
                effect=kind.shown(kind.grid, levels, comparison),
                ratio=kind.ratio,
                margin=outcome.margin,
                p=float(p),
                hypotheses=len(compared),
                seeds=comparison.seeds,
                smallest=kind.scale(comparison.smallest),
                depends_on=depends_on,
                simple=simple,
            )
        )
    return found


def _decide(comparison: Comparison, p: float, margin: float) -> Decision:
    if p <= ALPHA and comparison.estimate != 0:
        return "yes" if comparison.estimate > 0 else "no"
    low, high = comparison.inner
    return "equivalent" if -margin < low and high < margin else "cannot tell"


class _Rate:
    """Rates of an event."""

    ratio = False

    def __init__(self, evidence: Evidence, outcome: PlannedOutcome) -> None:
        assert outcome.event is not None
        self.evidence, self.what = evidence, outcome.event
        self.margin = math.nan if outcome.margin is None else outcome.margin
        self.grid = evidence.placed(_events(evidence, outcome.event))
        self.exploratory = contrasts(self.grid, evidence.factors, evidence.reference, direction="lower")

    def compare(self, grid: Floats, levels: tuple[str, str]) -> Comparison:
        return compare_rates(*_sides(self.evidence, grid, levels))

    def shown(self, grid: Floats, levels: tuple[str, str], comparison: Comparison) -> Effect:
        one, other = _sides(self.evidence, grid, levels)
        there = ~np.isnan(one).any(axis=1) & ~np.isnan(other).any(axis=1)
        counts = ((int(one[there].sum()), one[there].size), (int(other[there].sum()), other[there].size))
        return Effect(comparison.estimate, comparison.low, comparison.high, counts)

    def scale(self, value: float) -> float:
        return value


class _Score:
    """The score that ranks variants, by ratios where it spans decades."""

    def __init__(self, evidence: Evidence, outcome: PlannedOutcome) -> None:
        self.evidence, self.ratio = evidence, evidence.log(evidence.primary)
        self.what, self.grid = evidence.label(evidence.primary), evidence.grid(evidence.primary)
        self.exploratory = evidence.contrasts
        margin = math.nan if outcome.margin is None else outcome.margin
        # A factor says nothing of differences, which a score of 0 leads to.
        stated = evidence.spans_decades(evidence.primary) == self.ratio
        self.margin = math.nan if not stated else math.log(margin) if self.ratio else margin

    def compare(self, grid: Floats, levels: tuple[str, str]) -> Comparison:
        evidence, factor = self.evidence, self.evidence.factor
        assert factor is not None
        level, against = levels
        pairs = paired_differences(
            grid,
            evidence.factors,
            evidence.reference | {factor: against},
            log=self.ratio,
            direction=evidence.direction(evidence.primary),
        )
        own = next(pair for pair in pairs if (pair.kind, pair.factors, pair.levels) == ("main", (factor,), (level,)))
        return compare_scores(own.differences)

    def shown(self, grid: Floats, levels: tuple[str, str], comparison: Comparison) -> Effect:
        return Effect(self.scale(comparison.estimate), self.scale(comparison.low), self.scale(comparison.high))

    def scale(self, value: float) -> float:
        if not self.ratio:
            return value
        return math.exp(value) if value < math.log(np.finfo(float).max) else math.inf


def _events(evidence: Evidence, event: str) -> pd.Series:
    """Return whether each replica of the results had an event: 1 or 0; NaN where that is not known."""
    results = evidence.results
    if event == REACHED:
        return pd.Series(reached(evidence, results), results.index, dtype=float)
    names = OF_NO_USE if event == UNUSABLE else (event,)
    known = results["verdict"].notna() & (results["status"] != "failed")  # which the machine did, and not the variant
    return results["verdict"].isin(names).astype(float).where(known)


def _sides(evidence: Evidence, grid: Floats, levels: tuple[str, str]) -> list[Floats]:
    """Return the grid at each of two levels of the asked factor, [seeds, settings of the others]."""
    assert evidence.factor is not None
    names = list(evidence.factors)
    axis = names.index(evidence.factor)
    places = [evidence.factors[evidence.factor].index(level) for level in levels]
    return [np.take(grid, place, axis=axis + 1).reshape(len(grid), -1) for place in places]


def _simple_effects(
    evidence: Evidence, kind: _Rate | _Score, levels: tuple[str, str]
) -> tuple[str, tuple[tuple[str, Effect], ...]]:
    """Return the factor whose interaction with the asked one is surest, if resolved, and the effect at each level."""
    resolved = [c for c in kind.exploratory if c.kind == "interaction" and c.resolved and evidence.factor in c.factors]
    if not resolved:
        return "", ()
    surest = min(resolved, key=lambda contrast: contrast.p_holm)
    (other,) = [name for name in surest.factors if name != evidence.factor]
    return other, tuple(_at_each_level(evidence, kind, levels, other))


def _at_each_level(
    evidence: Evidence, kind: _Rate | _Score, levels: tuple[str, str], other: str
) -> Iterator[tuple[str, Effect]]:
    axis = list(evidence.factors).index(other) + 1
    for place, level in enumerate(evidence.factors[other]):
        # The other factor held at one level: what is averaged over it are copies of that level.
        held = np.broadcast_to(np.take(kind.grid, [place], axis=axis), kind.grid.shape)
        comparison = kind.compare(held, levels)
        yield level, kind.shown(np.take(kind.grid, [place], axis=axis), levels, comparison)


# In words


DECISIONS: dict[Decision, str] = {"yes": "Yes", "no": "No", "cannot tell": "Cannot tell"}


def sentence(answer: Answer, where: str) -> str:
    """Return an answer as a sentence without its full stop: the decision, what was compared, and the evidence."""
    more, less = answer.levels
    if not answer.seeds:
        return f"Cannot tell: on {where}, no seed has finished with both `{answer.factor}` {more} and {less}"
    decision = DECISIONS.get(answer.decision) or f"Equivalent within {_amount(answer, answer.margin or 0.0)}"
    text = f"{decision}: on {where}, {_compared(answer)} ({_evidence(answer)})"
    if answer.decision == "cannot tell" and not math.isnan(answer.smallest):
        text += f"; so many seeds see {_amount(answer, answer.smallest)}"
    if answer.simple:
        each = "; ".join(f"{level} {_brief(answer, effect)}" for level, effect in answer.simple)
        text += f". That depends on `{answer.depends_on}`: with {each}"
    return text


def _compared(answer: Answer) -> str:
    """Return what came with either level, and the difference."""
    (more, less), effect = answer.levels, answer.effect
    if effect.counts is None:
        if math.isinf(effect.estimate) or (answer.ratio and effect.estimate == 0):
            return f"in most seeds only one of `{answer.factor}` {more} and {less} has every {answer.what}"
        with_ = f"with `{answer.factor}` {more} the {answer.what}"
        if answer.ratio:
            return f"{with_} is {_plain(answer, effect.estimate)} times that with {less}"
        return f"{with_} less that with {less} is {_plain(answer, effect.estimate)}"
    ends = {UNUSABLE: "leaves the generator of no use", REACHED: "reaches the goal"}
    (some, of), (others, among) = effect.counts
    way = "more" if effect.estimate > 0 else "fewer"
    points = f"{_amount(answer, abs(effect.estimate))} {way}" if effect.estimate else "no difference"
    return (
        f"`{answer.factor}` {more} {ends.get(answer.what, f'ends {answer.what}')} in {some} of {of} replicas, "
        f"{less} in {others} of {among}: {points}"
    )


def _evidence(answer: Answer) -> str:
    effect = answer.effect
    corrected = f"Holm-adjusted over {answer.hypotheses} hypotheses, " if answer.hypotheses > 1 else ""
    bounds = f"95 % interval {_plain(answer, effect.low)} to {_plain(answer, effect.high)}; "
    p = "no test" if math.isnan(answer.p) else f"{corrected}p {_equals(answer.p)}"
    seeds = f"{answer.seeds} paired seed{'s' if answer.seeds > 1 else ''}"
    return f"{'' if math.isnan(effect.low) else bounds}{p}; {seeds}"


def _brief(answer: Answer, effect: Effect) -> str:
    ends = "" if math.isnan(effect.low) else f" ({_plain(answer, effect.low)} to {_plain(answer, effect.high)})"
    return f"{_amount(answer, effect.estimate)}{ends}"


def _amount(answer: Answer, value: float) -> str:
    """Return an effect with its unit: "44 points", "4.69 times", "a difference of 1.5"."""
    if answer.effect.counts is not None:
        return f"{_plain(answer, value)} point{'' if _plain(answer, abs(value)) == '1' else 's'}"
    return f"{_plain(answer, value)} times" if answer.ratio else f"a difference of {_plain(answer, value)}"


def _plain(answer: Answer, value: float) -> str:
    """Return an effect without its unit; of rates in points, hundredths."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{100 * value:.0f}" if answer.effect.counts is not None else "0" if value == 0 else number(value)
    return "0" if text == "-0" else text.replace("-", "−")


def _equals(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"= {p:#.2g}"
