"""A study at one scale: its grid spelled out, everything named, everything checked."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any

from gan.errors import InputError, nearest, shown
from gan.replica import Scoring
from gan.scores import scores_of
from gan.targets import Target, make_target
from gan.variant import Variant
from studies.files import is_ours
from studies.fit import check_fit, check_scores, check_size, check_theory
from studies.grid import MOST_VARIANTS, Factors, factors_of, make_variant, reference_level, variant_name
from studies.outcome import make_outcome
from studies.published import claim_texts, figures_of
from studies.sections import Study
from studies.space import make_tuning
from studies.tune import FIRST_VALIDATION_SEED, MOST_REPLICAS, Tuning


@dataclass(frozen=True)
class Resolved:
    """A study at one scale: everything named, everything checked."""

    name: str
    title: str
    question: str
    scale: str
    target: Target
    target_settings: dict[str, Any]
    factors: dict[str, list[Any]]
    """Grid factors and their levels, in the file's order; the levels of bundles are their names."""
    variants: dict[str, Variant]
    """By name, in the grid's order."""
    seeds: int
    steps: int
    scoring: Scoring
    report: dict[str, Any]
    levels: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Of each variant by name, its level of each factor."""
    reference: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of each factor, the level that the others are contrasted with."""
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the base that are changed at this scale."""
    claims: dict[int, str] = field(default_factory=dict[int, str])
    """The documents' claims that the study is about, by number."""
    checks: list[str] = field(default_factory=list[str])
    """Statements of theory that the report checks."""
    published: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Published figures to hold the results against."""
    tune: Tuning | None = None
    """How each variant is tuned; None for a study that tunes nothing."""
    first_seed: int = 0
    """Seeds count from here."""
    stage: str = ""
    """Of a study that is tuned: its grid as it stands, ``untuned``, its ``search``, or the ``tuned`` grid."""
    fewer_seeds: dict[str, int] = field(default_factory=dict[str, int])
    """Variants that were stopped early, and the seeds they had."""


def resolve(study: Study, scale: str, seeds: int | None = None, trials: int | None = None) -> Resolved:
    """Spell a study out at one scale.

    Args:
        study: As loaded.
        scale: One of `studies.scales.SCALES`.
        seeds: Instead of the scale's number of seeds.
        trials: Instead of the scale's number of trials of a variant, where it is tuned.

    Raises:
        InputError: The scale is not there, or a target, factor, level, setting or score is not what it should be.
    """
    place = study.place
    if scale not in study.scales:
        raise InputError(f"{place}: scales: no scale '{scale}'; {nearest(scale, study.scales)}")
    chosen = study.scales[scale]
    try:
        target = make_target(study.target.name, **(study.target.model_extra or {}))
    except InputError as error:
        raise InputError(f"{place}: target: {error}") from None
    factors = factors_of(study.grid, place)
    _check_overrides(chosen.base, scale, factors, place)
    base = {f"base.{k}": v for k, v in study.base.items()}
    base |= {f"scales.{scale}.base.{k}": v for k, v in chosen.base.items()}
    start = make_variant(base, place)
    _check_size(factors, seeds, chosen.seeds, scale, place)
    check_scores(study.scoring.scores, target, place)
    scoring = Scoring.from_settings(study.scoring.model_dump())
    variants: dict[str, Variant] = {}
    levels: dict[str, dict[str, Any]] = {}
    names: dict[Variant, str] = {}
    for combination in itertools.product(*factors.values()):
        placed = {key: value for level in combination for key, value in level.placed.items()}
        written = {factor: level.written for factor, level in zip(factors, combination, strict=True)}
        name = variant_name(written)
        variant = make_variant({**base, **placed}, place)
        check_fit(variant, scoring, target, place)
        check_size(variant, target, place)
        twin = names.setdefault(variant, name)
        if twin != name:
            raise InputError(f"{place}: grid: {twin!r} and {name!r} are the same GAN; expected levels that differ")
        variants[name], levels[name] = variant, written
    _check_report(study, target, place)
    tune = make_tuning(study, scale, factors, variants, target, scoring, trials)
    if tune is not None:
        _check_seeds(seeds, place)
        # What is tuned on validation data is scored on them as well as on test data: their difference is the optimism.
        scoring = replace(scoring, split="both")
    written = {factor: [level.written for level in its] for factor, its in factors.items()}
    reference = {factor: reference_level(its, start) for factor, its in factors.items()}
    report = study.report.model_dump(include={"score", "factor", "reached"})
    if outcome := make_outcome(study, target, factors, reference, place):
        report["outcome"] = outcome
    return Resolved(
        name=study.name,
        title=study.title,
        question=study.question,
        scale=scale,
        target=target,
        target_settings={"name": study.target.name, **(study.target.model_extra or {})},
        factors=written,
        variants=variants,
        seeds=seeds or chosen.seeds,
        steps=chosen.steps,
        scoring=scoring,
        report={**report, "notes": chosen.notes},
        levels=levels,
        reference=reference,
        overrides=dict(chosen.base),
        claims={number: claim_texts()[number] for number in sorted(study.report.claims)},
        checks=list(study.report.checks),
        # A person's own file may share a study's name without being that study.
        published=figures_of(study.name, target, written) if is_ours(study.path) else [],
        tune=tune,
        stage="untuned" if tune else "",
    )


def _check_overrides(overrides: dict[str, Any], scale: str, factors: Factors, place: str) -> None:
    """Refuse an override that the grid would win over: it would change nothing."""
    for name in overrides:
        if name in factors:
            raise InputError(
                f"{place}: scales.{scale}.base.{name}: a factor of the grid, which sets it; expected another setting"
            )


def _check_size(factors: Factors, asked: int | None, seeds: int, scale: str, place: str) -> None:
    """Refuse more variants, and more replicas of them, than a machine could plan."""
    variants = math.prod(len(levels) for levels in factors.values())
    if variants > MOST_VARIANTS:
        raise InputError(f"{place}: grid: {variants:,} combinations; expected at most {MOST_VARIANTS:,}")
    key = f"scales.{scale}.seeds" if asked is None else "--seeds"
    replicas = variants * (seeds if asked is None else asked)
    if replicas > MOST_REPLICAS:
        raise InputError(
            f"{place}: {key}: {replicas:,} replicas in all; expected at most {MOST_REPLICAS:,}, so at most "
            f"{MOST_REPLICAS // variants:,} seeds of the {variants:,} variants"
        )


def _check_seeds(seeds: int | None, place: str) -> None:
    """Refuse seeds that a trial has: a study is not scored on what it was tuned on."""
    if seeds is not None and seeds >= FIRST_VALIDATION_SEED:
        raise InputError(
            f"{place}: --seeds: expected less than {FIRST_VALIDATION_SEED:,}, the first seed of a trial, got {seeds}"
        )


def _check_report(study: Study, target: Target, place: str) -> None:
    report = study.report
    scores = [s for s in scores_of(target, study.scoring.scores) if s.final]
    finals, ranking = [s.name for s in scores], [s.name for s in scores if s.direction is not None]
    for key, name in [("score", report.score), *((f"reached.{n}", n) for n in report.reached)]:
        if name not in finals:
            raise InputError(
                f"{place}: report.{key}: {shown(name)} is no final score of {target.name}; {nearest(name, ranking)}"
            )
        if name not in ranking:
            raise InputError(
                f"{place}: report.{key}: {shown(name)} describes samples and ranks nothing; expected one of "
                f"{', '.join(ranking)}"
            )
    for factor in study.grid:
        if factor in finals:
            raise InputError(f"{place}: grid.{factor}: a score of {target.name}; expected another name for the factor")
    if study.grid and report.factor is None:
        raise InputError(f"{place}: report.factor: missing; expected the factor that the question is about")
    if report.factor is not None and report.factor not in study.grid:
        known = nearest(report.factor, study.grid) if study.grid else "expected no such key without a grid"
        raise InputError(f"{place}: report.factor: {shown(report.factor)} is not in the grid; {known}")
    lists: dict[str, list[Any]] = {"claims": list(report.claims), "checks": list(report.checks)}
    for key, listed in lists.items():
        for entry in listed:
            if listed.count(entry) > 1:
                raise InputError(f"{place}: report.{key}: {shown(entry)} is listed twice; expected distinct {key}")
    check_theory(list(report.checks), target, place)
