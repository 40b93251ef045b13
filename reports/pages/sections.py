"""The sections of a study's report, in the order in which they stand there.

A section is a function of the evidence and a block of `templates/report.md.j2` of the same name: the function returns
what the block shows, or None where the report has no such section.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from gan.columns import level_label
from gan.thresholds import thresholds_table
from gan.verdict import RULES
from reports.study import literature, tables
from reports.study.answer import sentences
from reports.study.effects import MANY, contrasts_table, evaluation_variance, unresolved_sentences, variance_table
from reports.study.evidence import Evidence
from reports.study.outcome import answers
from reports.study.tables import markdown
from reports.theory import statements

Section = dict[str, Any]
"""What a block shows, by the names that it has there; a table is its markdown."""


def shared(evidence: Evidence) -> Section:
    """Return what every block may name."""
    return {
        "study": evidence.study,
        "command": evidence.plan.command,
        "primary": evidence.label(evidence.primary),
        "direction": evidence.direction(evidence.primary),
        "goal": tables.goal(evidence),
        "several": sum(len(levels) > 1 for levels in evidence.factors.values()) > 1,
        "ratio": any(contrast.ratio for contrast in evidence.contrasts),
        "repeated": tables.repeated(evidence.results),
        "variants": evidence.results["variant"].nunique(),
    }


def head(evidence: Evidence) -> Section:
    """The question, the answer, what is missing, and how the study was made."""
    counts = evidence.results["status"].value_counts()
    overrides = evidence.study.overrides
    return {
        "answer": sentences(evidence),
        "conclusions": [check.measured.conclusion for check in statements.checks(evidence)],
        "claims": claims(evidence),
        "overrides": ", ".join(f"`{name}` {level_label(value)}" for name, value in overrides.items()),
        "device": evidence.plan.device,
        "replicas": len(evidence.results),
        "planned": len(evidence.planned),
        "complaints": evidence.complaints,
        "missing": missing_by_variant(evidence),
        "diverged": int(counts.get("diverged", 0)),
        "failed": int(counts.get("failed", 0)),
    }


def effects(evidence: Evidence) -> Section | None:
    """The contrasts, largest first."""
    family = evidence.contrasts
    if not family:
        return None
    named = [f"`{name}` {level}" for name, level in evidence.reference.items() if len(evidence.factors[name]) > 1]
    return {
        "contrasts": family,
        "exploratory": bool(answers(evidence)),
        "shown": min(len(family), MANY),
        "tested": sum(not math.isnan(contrast.p) for contrast in family),
        "pairs": max(contrast.pairs for contrast in family),
        "interactions": any(contrast.kind == "interaction" for contrast in family),
        "reference": ", ".join(named),
        "without_ratio": evidence.without_ratio(evidence.primary),
        "table": markdown(contrasts_table(evidence)),
    }


def by_variant(evidence: Evidence) -> Section:
    """Each variant's scores and how its replicas ended, and what its levels stand for."""
    return {
        "table": markdown(tables.variants_table(evidence)),
        "bundles": markdown(tables.bundles_table(evidence)),
    }


def by_level(evidence: Evidence) -> Section | None:
    """Each level of each factor, pooled over the others: of one factor these are the variants again."""
    return {"table": markdown(tables.levels_table(evidence))} if shared(evidence)["several"] else None


def variance(evidence: Evidence) -> Section | None:
    """What explains the variance of the scores."""
    table, evaluation = markdown(variance_table(evidence)), evaluation_variance(evidence)
    return {"table": table, "evaluation": evaluation} if table or evaluation else None


def published(evidence: Evidence) -> Section | None:
    """Published figures beside those of the same system here."""
    table = literature.comparison(evidence)
    return None if table is None else {"table": markdown(table), "caption": literature.caption(table)}


def theory(evidence: Evidence) -> Section | None:
    """Statements of theory beside what was measured."""
    checks = [{"statement": check, "table": markdown(check.measured.table)} for check in statements.checks(evidence)]
    return {"checks": checks} if checks else None


def figures(evidence: Evidence) -> Section:
    """The figures, which every report has: they are drawn before it is written."""
    return {}


def unresolved(evidence: Evidence) -> Section:
    """What the study could not settle."""
    return {"sentences": unresolved_sentences(evidence)}


def scores(evidence: Evidence) -> Section:
    """What the scores mean, and how a verdict is reached."""
    rows = [(f"`{name}`", tables.number(value), meaning) for name, value, meaning in thresholds_table()]
    words = [(f"`{v.name}`", v.meaning, "yes" if v.usable else "no") for v in RULES]
    return {
        "floors": tables.has_floors(evidence),
        "fid": any(score.startswith("fid") for score in evidence.references),
        "table": markdown(tables.scores_table(evidence)),
        "verdicts": markdown(pd.DataFrame(words, columns=pd.Index(["verdict", "meaning", "of use"]))),
        "thresholds": markdown(pd.DataFrame(rows, columns=pd.Index(["threshold", "value", "meaning"]))),
    }


def reproduce(evidence: Evidence) -> Section:
    """The command, the settings that all variants share, and every replica's id."""
    return {
        "settings": markdown(tables.settings_table(evidence)),
        "ids": markdown(tables.replicas_table(evidence)),
    }


SECTIONS: list[Callable[[Evidence], Section | None]] = [
    head,
    effects,
    by_variant,
    by_level,
    variance,
    published,
    theory,
    figures,
    unresolved,
    scores,
    reproduce,
]


def claims(evidence: Evidence) -> list[str]:
    """Return the claims that the study bears on, "1: the saturating loss ..."."""
    texts = evidence.study.claim_texts
    return [f"{n}: {texts[str(n)]}" if str(n) in texts else str(n) for n in evidence.study.claims]


def missing_by_variant(evidence: Evidence) -> dict[str, int]:
    """How many planned replicas of each variant have not finished."""
    counts = evidence.missing.groupby("variant", sort=False).size()
    return {str(variant): int(count) for variant, count in counts.items()}
