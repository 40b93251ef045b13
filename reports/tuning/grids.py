"""The grid with the winners' settings: whether it belongs to the untuned one, and what of it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from gan.errors import InputError, nearest
from reports.ledger.ledger import Ledger
from reports.study.evidence import Evidence, gather

SHARED = ("target", "steps", "scoring", "factors")
"""What two grids must have in common for their replicas to pair by seed."""


class TunedGrid(NamedTuple):
    """The grid with the winners' settings."""

    gathered: Evidence | None
    """As its ledger has it; None where nothing of it can be used."""
    belonging: Evidence | None
    """Without the variants that were trained with other settings; None likewise."""
    complaints: list[str]
    """A sentence for everything that is missing or was left out."""


def with_primary(evidence: Evidence, score: str) -> Evidence:
    """Return evidence whose primary score is the one that was tuned.

    Raises:
        InputError: The study has no such final score.
    """
    if score not in evidence.scores:
        raise InputError(
            f"{evidence.ledger.directory}: the search optimised the score '{score}', which the study has not; "
            f"{nearest(score, evidence.scores)}"
        )
    if evidence.primary == score:
        return evidence
    report = evidence.study.report.model_copy(update={"score": score})
    study = evidence.study.model_copy(update={"report": report})
    return replace(evidence, plan=evidence.plan.model_copy(update={"study": study}))


def tuned_grid(ledger: Ledger, untuned: Evidence, score: str, winners: Mapping[str, Mapping[str, Any]]) -> TunedGrid:
    """Read the grid with the winners' settings, less what was trained with others.

    A tuned grid may be of before the search went on, or of another study's search that was put in its place. The
    settings show it: they must be the untuned ones with the winner's in their place.

    Args:
        ledger: Of the tuned grid.
        untuned: The grid that it is set beside.
        score: That was tuned.
        winners: Each variant's searched settings.
    """
    if ledger.find_plan() is None or not ledger.finished_cohorts():
        return TunedGrid(None, None, ["`tuned/`: no replica with tuned settings has finished yet."])
    try:
        gathered = gather(ledger)
        tuned = with_primary(gathered, score)
    except InputError as error:
        why = str(error).replace(f"{ledger.directory}: ", "").rstrip(".")
        return TunedGrid(None, None, [f"`tuned/`: {why}."])
    for key in SHARED:
        has, should = getattr(tuned.study, key), getattr(untuned.study, key)
        if has != should:
            why = f"its `{key}` is {_text(has)} and that of the untuned grid {_text(should)}, so it is left out"
            return TunedGrid(None, None, [f"`tuned/`: {why}."])
    reasons = {name: _mismatch(name, tuned, untuned, winners.get(name, {})) for name in tuned.plan.variants}
    said = {name: f"{why}, so it is left out" for name, why in reasons.items() if why}
    said |= {name: "not in its plan" for name in untuned.plan.variants if name not in reasons}
    complaints = [f"`tuned/`: {name or 'the one variant'}: {why}." for name, why in said.items()]
    belongs = ~tuned.results["variant"].isin([name for name, why in reasons.items() if why])
    if not belongs.any():
        return TunedGrid(None, None, complaints)
    return TunedGrid(gathered, replace(tuned, results=tuned.results[belongs].reset_index(drop=True)), complaints)


def _mismatch(name: str, tuned: Evidence, untuned: Evidence, won: Mapping[str, Any]) -> str:
    """Say in what a tuned variant is not the untuned one with its winner's settings; empty where it is."""
    if name not in untuned.plan.variants:
        return "the untuned grid has no such variant"
    expected, settings = {**untuned.plan.variants[name], **won}, tuned.plan.variants[name]
    for key in [*expected, *settings]:
        if settings.get(key) != expected.get(key):
            whose = "its winner" if key in won else "the untuned grid"
            return f"trained with `{key}` {_text(settings.get(key))}, where {whose} has {_text(expected.get(key))}"
    return ""


def _text(value: Any) -> str:
    """Return a setting as a plan has it."""
    return json.dumps(value, ensure_ascii=False)
