"""The answer to a study's question: sentences computed from its contrasts, the first of them the answer itself."""

from __future__ import annotations

import math

import numpy as np

from reports.stats.contrasts import Contrast
from reports.study import literature
from reports.study.effects import (
    FEW,
    beyond_reach,
    by_size,
    effect,
    effect_interval,
    favours,
    named,
    p_value,
    seeds_for,
    size,
)
from reports.study.evidence import Evidence
from reports.study.outcome import answers, sentence
from reports.study.tables import (
    at_level,
    counted,
    goal,
    number,
    ranking,
    repeated,
    score_iqm,
    score_values,
    share,
    spread,
    summarise,
)


def answer(evidence: Evidence) -> str:
    """Return the whole answer: what the factor in question does, how often training failed, what else was found.

    No level is called better unless its contrast is resolved: p at most 0.05 after Holm's correction over the
    study's family of contrasts. The one exception names itself: which variant has the best mean is chosen after the
    fact and tested by nothing, so its mean flatters it.
    """
    return " ".join(sentences(evidence))


def sentences(evidence: Evidence) -> list[str]:
    """Return the answer's sentences; the first is what an index shows."""
    family = evidence.contrasts
    alone = not repeated(evidence.results)
    said = [_headline(evidence, family, alone)]
    if not alone:
        said += [sentence(answer, evidence.study.target_label) for answer in answers(evidence)[1:]]
        said.append(_levels(evidence, family))
    short = beyond_reach(evidence)
    if short and not alone:
        said.append(short)
    said.append(_rates(evidence))
    if family and not alone and not short:
        said.append(_others(evidence, family))
    if len(evidence.variants) > 1:
        said.append(_best(evidence))
    table = literature.comparison(evidence)
    if table is not None:
        said.append(literature.verdict_words(table))
    # A leading backtick is a factor's name, which keeps its case.
    return [f"{s[0].upper()}{s[1:]}." for s in said if s]


def _headline(evidence: Evidence, family: list[Contrast], alone: bool) -> str:
    own = [c for c in family if c.kind == "main" and c.factors[0] == evidence.factor and c.pairs]
    asked = [] if alone else answers(evidence)
    if asked and asked[0].effect.counts is not None:  # a rate, which failed replicas have too
        text = sentence(asked[0], evidence.study.target_label)
    elif not np.isfinite(score_values(evidence, evidence.results, evidence.primary)).any():
        text = f"on {evidence.study.target_label}, no replica has a {evidence.label(evidence.primary)}"
        text += ", so nothing is compared" if family else ""
    elif alone:
        text = _alone(evidence)
    elif asked:
        text = sentence(asked[0], evidence.study.target_label)
    elif own:
        text = _effect(evidence, own)
    elif evidence.factors and max(map(len, evidence.factors.values())) > 1:
        where = f"on {evidence.study.target_label}"
        text = f"{where}, no seed has finished in every variant, so the levels of `{evidence.factor}` are not compared"
    else:
        text = _overall(evidence)
    if len(evidence.missing):
        return f"so far, with {len(evidence.results)} of {len(evidence.planned)} replicas: {text}"
    return text


def _effect(evidence: Evidence, own: list[Contrast]) -> str:
    """The factor in question: the largest of its resolved effects, or of all where none is."""
    where, score = f"on {evidence.study.target_label}", evidence.label(evidence.primary)
    resolved = [c for c in by_size(own) if c.resolved]
    shown = (resolved or sorted(own, key=lambda c: (math.isnan(c.p), c.p, -size(c))))[0]
    level, against = shown.levels[0], shown.against[0]
    held = f"Holm-adjusted p {_equals(shown.p_holm)}; {shown.pairs} paired seeds"
    if math.isnan(shown.p_holm):
        held = f"{shown.pairs} paired seed{'s' if shown.pairs > 1 else ''}, too few for a test"
    if not resolved:
        needed = seeds_for(evidence, shown)
        ending = f"; a 10 % difference takes about {needed:,}" if needed else ""
        most = "" if len(own) == 1 else ", the surest of its effects,"
        return (
            f"{where}, the effect of `{shown.factors[0]}` on the {score} is not resolved: {level} against "
            f"{against}{most} gives {_compared(shown, held + ending, ' the score')}"
        )
    verb = "scores better than" if favours(shown, evidence.direction(evidence.primary)) else "scores worse than"
    amount = _compared(shown, held, f" the {score}")
    text = f"{where}, `{shown.factors[0]}` {level} {verb} {against}, with {amount}"
    if len(own) == 1:
        return text
    if len(own) == 2:
        return f"{text}; its other effect is {'resolved too' if len(resolved) == 2 else 'not resolved'}"
    others = len(resolved) - 1
    if others == len(own) - 1:
        return f"{text}; its other {others} effects are resolved too"
    return f"{text}; {others} of its other {len(own) - 1} effects {'is' if others == 1 else 'are'} resolved"


def levels(evidence: Evidence) -> str:
    """Return the sentence on every level of the factor in question, where it has more than two; empty elsewhere."""
    text = _levels(evidence, evidence.contrasts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _levels(evidence: Evidence, family: list[Contrast]) -> str:
    own = [c for c in family if c.kind == "main" and c.factors[0] == evidence.factor and c.pairs >= FEW]
    if len(own) < 2:
        return ""
    each = [
        f"{c.levels[0]} {effect_interval(c.interval)}{'' if c.resolved else ', not resolved'}" for c in by_size(own)
    ]
    what = "times the" if own[0].ratio else "difference in"
    against = f"against `{evidence.factor}` {own[0].against[0]}"
    return f"{against}, level by level, {what} {evidence.label(evidence.primary)}: {'; '.join(each)}"


def _compared(contrast: Contrast, held: str = "", what: str = "") -> str:
    """An effect in words: "0.72 times the KS statistic (95 % interval 0.61 to 0.85)"; `held` goes with the interval."""
    interval = contrast.interval
    level = "95 %" if contrast.pairs >= FEW else "nominal 95 %"
    ends = f"{level} interval {effect(interval.low)} to {effect(interval.high)}"
    bounds = [] if math.isnan(interval.low) else [ends]
    inside = "; ".join([*bounds, held] if held else bounds)
    amount = effect(interval.estimate)
    text = f"{amount} times{what}" if contrast.ratio else f"a difference of {amount}"
    if math.isinf(interval.estimate) or (contrast.ratio and interval.estimate == 0):
        worse = contrast.against if interval.estimate <= 0 else contrast.levels
        text = f"no score of {' with '.join(worse)} in most seeds"
    return f"{text} ({inside})" if inside else text


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _alone(evidence: Evidence) -> str:
    """One seed a variant: what was measured, and that it has no interval."""
    where, score = f"on {evidence.study.target_label}", evidence.label(evidence.primary)
    factor = evidence.factor
    if factor is None or len(evidence.factors[factor]) < 2:
        own = number(score_iqm(evidence, evidence.results, evidence.primary).estimate)
        return f"{where}, {_scored(score, own)}, from one seed, of which no interval can be given"
    measured = []
    for level in evidence.factors[factor]:
        replicas = at_level(evidence, factor, level)
        if len(replicas):
            measured.append(f"{level} {number(score_iqm(evidence, replicas, evidence.primary).estimate)}")
    return (
        f"{where}, with one seed a variant no interval can be given and nothing compared "
        f"(`{factor}`, {score}: {'; '.join(measured)})"
    )


def _scored(score: str, value: str) -> str:
    return "the interquartile mean fails" if value == "failed" else f"{score} {value}"


def _overall(evidence: Evidence) -> str:
    """A study without a grid: its mean."""
    mean = score_iqm(evidence, evidence.results, evidence.primary)
    score, floor = evidence.label(evidence.primary), evidence.floor(evidence.primary)
    where = f"on {evidence.study.target_label}"
    if math.isinf(mean.estimate):
        return f"{where}, too many replicas fail for an interquartile mean of the {score}"
    beside = f", where real data score {number(floor)}" if floor is not None else ""
    low, high = number(mean.low), number(mean.high)
    level = "95 %" if len(evidence.results) >= FEW else "nominal 95 %"
    bounds = "" if low == "–" else f" ({level} interval {low} to {high})"
    return (
        f"{where}, the interquartile mean of the {score} is {number(mean.estimate)}{bounds} over "
        f"{len(evidence.results)} replicas{beside}"
    )


def _rates(evidence: Evidence) -> str:
    """How many replicas failed and how many reached the goal, by level of the factor in question."""
    factor = evidence.factor
    groups = {"": evidence.results}
    if factor and len(evidence.factors[factor]) > 1:
        groups = {level: at_level(evidence, factor, level) for level in evidence.factors[factor]}
    counts = {level: summarise(evidence, replicas) for level, replicas in groups.items() if len(replicas)}

    def shares(key: str) -> str:
        # A bare number beside a count would be read as part of it.
        names = {level: f"`{factor}` {level}:" if level[:1].isdigit() else level for level in counts}
        return ", ".join(
            f"{names[level]} {share(c[key], c['seeds'], limits=c['repeated'])}".strip() for level, c in counts.items()
        )

    total, count = sum(c["failures"] for c in counts.values()), len(evidence.results)
    none = f"none of {count} replicas failed" if count > 1 else "the one replica did not fail"
    parts = [f"failed: {shares('failures')}" if total else none]
    without = int((evidence.results[evidence.primary].isna() & (evidence.results["status"] == "ok")).sum())
    if without:
        parts[0] += (
            f"; {without} that did not fail {'have' if without > 1 else 'has'} no {evidence.label(evidence.primary)}"
        )
    away = int(((evidence.results["verdict"] == "diverged") & (evidence.results["status"] == "ok")).sum())
    if away:
        parts[0] += f", but the value of {away} ran away" if not total else f"; the value of {away} others ran away"
    if evidence.reached:
        parts.append(f"reached the goal ({goal(evidence)}): {shares('reached')}")
    verdicts = summarise(evidence, evidence.results)["verdicts"]
    if verdicts:
        parts.append(f"verdicts: {counted(verdicts)}")
    return "; ".join(parts)


def _others(evidence: Evidence, family: list[Contrast]) -> str:
    """The largest resolved effect of another factor, and the largest resolved interaction."""
    resolved = [c for c in by_size(family) if c.resolved]
    main = next((c for c in resolved if c.kind == "main" and c.factors[0] != evidence.factor), None)
    mixed = next((c for c in resolved if c.kind == "interaction"), None)
    parts = []
    if main:
        parts.append(f"the largest other effect is {named(main)}: {_compared(main, what=' the score')}")
    elif len(evidence.factors) > 1:
        parts.append("no effect of another factor is resolved")
    if mixed:
        parts.append(f"the largest interaction: {_interaction(mixed)}")
    elif any(c.kind == "interaction" for c in family):
        parts.append("no interaction is resolved")
    return "; ".join(parts)


def _interaction(contrast: Contrast) -> str:
    """How much the first factor's effect depends on the second's level, in words."""
    (one, two), (level, with_), (_, apart) = contrast.factors, contrast.levels, contrast.against
    times = _compared(contrast, what=f" what it is with {apart}")
    change = times if contrast.ratio else f"another than with {apart}, by {_compared(contrast)}"
    return f"with `{two}` {with_} the effect of `{one}` {level} is {change}"


def _best(evidence: Evidence) -> str:
    """The variant with the best mean, which was chosen by it; and what real data scores."""
    variant, *others = ranking(evidence)
    mean = score_iqm(evidence, evidence.of(variant), evidence.primary)
    if math.isinf(mean.estimate):
        return "the interquartile mean fails in every variant"
    varied = [factor for factor, own in evidence.factors.items() if len(own) > 1] or list(evidence.factors)
    levels = ", ".join(f"{factor} {level}" for factor, level in evidence.variants.loc[variant, varied].items())
    equals = sum(score_iqm(evidence, evidence.of(v), evidence.primary).estimate == mean.estimate for v in others)
    levels = f"{equals + 1} variants alike" if equals else levels
    floor = evidence.floor(evidence.primary)
    beside = f", beside {number(floor)} for real data" if floor is not None else ""
    score = evidence.label(evidence.primary)
    best = "lowest" if evidence.direction(evidence.primary) == "lower" else "highest"
    means = "scores" if math.isnan(mean.low) else "interquartile means"
    return (
        f"{best} of {len(others) + 1} {means} (chosen after the fact, so flattering): {score} {spread(mean)} with "
        f"{levels}{beside}"
    )
