"""The one sentence that answers a study's question, computed from its results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.evidence import Evidence
from reports.statistics import separation, wilson
from reports.tables import at_level, goal, number, ranking, reached, score_quartiles, score_values

FEWEST = 4  # replicas a level: the quartiles of fewer are interpolated from the extremes


@dataclass(frozen=True)
class Group:
    """The replicas at one level of the factor in question."""

    level: str
    values: np.ndarray
    quartiles: np.ndarray
    reached: int

    @property
    def reached_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the share that reached the goal."""
        return wilson(self.reached, len(self.values))


def answer(evidence: Evidence) -> str:
    """Return the sentence: how the levels compare, which other factor stands out, which variant is best.

    "Better" is said only where interquartile ranges do not touch, "tends to" where a median lies outside the
    other's range; otherwise the sentence says that the levels do not differ. Fewer than `FEWEST` replicas
    at a level allow no claim.
    """
    groups = _groups(evidence, evidence.factor)
    parts = [_comparison(evidence, groups) if len(groups) > 1 else _overall(evidence, evidence.results)]
    if evidence.reached and not any(group.reached for group in groups):
        parts.append(f"no replica reaches {goal(evidence)}")
    parts += [_also(evidence, factor) for factor in evidence.factors if factor != evidence.factor]
    if len(evidence.variants) > 1:
        parts.append(_best(evidence))
    sentence = "; ".join(part for part in parts if part)
    if len(evidence.missing):
        sentence = f"so far, with {len(evidence.results)} of {len(evidence.planned)} replicas: {sentence}"
    # A leading backtick is a factor's name, which keeps its case.
    return f"{sentence[0].upper()}{sentence[1:]}."


def _groups(evidence: Evidence, factor: str | None) -> list[Group]:
    """Levels of a factor that have replicas, best median first."""
    if factor is None:
        return [_group(evidence, "", evidence.results)]
    named = ((level, at_level(evidence, factor, level)) for level in evidence.factors[factor])
    groups = [_group(evidence, level, replicas) for level, replicas in named if len(replicas)]
    sign = 1 if evidence.direction(evidence.primary) == "lower" else -1
    return sorted(groups, key=lambda group: sign * group.quartiles[1])


def _group(evidence: Evidence, level: str, replicas: pd.DataFrame) -> Group:
    return Group(
        level,
        score_values(evidence, replicas, evidence.primary),
        score_quartiles(evidence, replicas, evidence.primary),
        int(reached(evidence, replicas).sum()),
    )


def _comparison(evidence: Evidence, groups: list[Group]) -> str:
    best, worst = groups[0], groups[-1]
    apart = separation(best.values, worst.values, evidence.direction(evidence.primary))
    often, seldom = sorted((best, worst), key=lambda group: -group.reached / len(group.values))
    reach_differs = bool(evidence.reached) and _reach_apart(often, seldom)
    where = f"on {evidence.study['target_label']}"
    fewest = min(len(group.values) for group in groups)
    if fewest < FEWEST:
        claim = f"{where}, too few replicas ({fewest} at a level of `{evidence.factor}`) to compare its levels"
    elif not np.isfinite(best.quartiles[1]):
        claim = f"{where}, the median replica fails at every level of `{evidence.factor}`"
    elif apart == "clear":
        claim = f"`{evidence.factor}` matters {where}: {best.level} scores better than {worst.level}"
    elif apart == "partial":
        claim = f"{where}, `{evidence.factor}` {best.level} tends to score better than {worst.level}"
    elif reach_differs:
        claim = (
            f"{where}, `{evidence.factor}` {often.level} reaches the goal more often than {seldom.level}, "
            "though their scores overlap"
        )
    else:
        claim = f"{where}, the levels of `{evidence.factor}` do not differ beyond the spread of their replicas"
    details = "; ".join(_describe(evidence, group, spelled=group is best) for group in groups)
    return f"{claim} ({details})"


def _reach_apart(often: Group, seldom: Group) -> bool:
    return often.reached_interval[0] > seldom.reached_interval[1]


def _also(evidence: Evidence, factor: str) -> str:
    """Another factor whose best and worst level stand clearly apart, in score or in how often they reach the goal."""
    groups = _groups(evidence, factor)
    if len(groups) < 2 or min(len(group.values) for group in groups) < FEWEST:
        return ""
    best, worst = groups[0], groups[-1]
    clear = separation(best.values, worst.values, evidence.direction(evidence.primary)) == "clear"
    if not clear and not (evidence.reached and _reach_apart(best, worst)):
        return ""
    ends = []
    for group in (best, worst):
        count = f", {group.reached} of {len(group.values)}" if evidence.reached else ""
        ends.append(f"{group.level} {number(group.quartiles[1])}{count}")
    return f"`{factor}` stands out: {ends[0]}, against {ends[1]}"


def _describe(evidence: Evidence, group: Group, spelled: bool) -> str:
    """One level in numbers; the first is spelled out, so that the others can be short."""
    low, middle, high = (number(q) for q in group.quartiles)
    if middle == "failed":
        score = "the median replica failed"
    elif len(group.values) == 1:
        score = f"{evidence.label(evidence.primary)} {middle} from one replica"
    elif spelled:
        score = f"median {evidence.label(evidence.primary)} {middle}, quartiles {low} to {high}"
    else:
        score = f"{middle}, {low} to {high}"
    count = f", {group.reached} of {len(group.values)}" if evidence.reached else ""
    of_what = f" replicas reach {goal(evidence)}" if count and spelled else ""
    return f"{group.level}: {score}{count}{of_what}"


def _overall(evidence: Evidence, replicas: pd.DataFrame) -> str:
    group = _group(evidence, evidence.study["target_label"], replicas)
    return f"on {_describe(evidence, group, spelled=True)}"


def _best(evidence: Evidence) -> str:
    """The best variant, its median, and what real data scores."""
    variant = ranking(evidence)[0]
    middle = number(score_quartiles(evidence, evidence.of(variant), evidence.primary)[1])
    if middle == "failed":
        return ""
    levels = ", ".join(f"{factor} {level}" for factor, level in evidence.variants.loc[variant].items())
    floor = evidence.floor(evidence.primary)
    beside = f" against {number(floor)} for real data" if floor is not None else ""
    return f"the best variant ({levels}) has median {middle}{beside}"
