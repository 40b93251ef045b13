"""The grid with the winners' settings: whether it belongs to the untuned one, and what of it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan.errors import InputError, nearest
from reports.ledger.ledger import Ledger
from reports.study.evidence import Evidence, gather

SHARED = ("target", "steps", "scoring", "factors")
"""What two grids must have in common for their replicas to pair by seed."""


def with_primary(evidence: Evidence, score: str, directory: Path) -> Evidence:
    """Return evidence whose primary score is the one that was tuned.

    Raises:
        InputError: The study has no such final score.
    """
    if score not in evidence.scores:
        raise InputError(
            f"{directory}: the search optimised the score '{score}', which the study has not; "
            f"{nearest(score, evidence.scores)}"
        )
    if evidence.primary == score:
        return evidence
    report = evidence.study.report.model_copy(update={"score": score})
    study = evidence.study.model_copy(update={"report": report})
    return replace(evidence, plan=evidence.plan.model_copy(update={"study": study}))


def tuned_grid(
    ledger: Ledger, untuned: Evidence, score: str, winners: Mapping[str, Mapping[str, Any]]
) -> tuple[Evidence | None, list[str]]:
    """Read the grid with the winners' settings, less what was trained with others, and say what is wrong with it.

    A tuned grid may be of before the search went on, or of another study's search that was put in its place: what
    tells is the settings, which must be the untuned ones with the winner's in their place.

    Args:
        ledger: Of the tuned grid.
        untuned: The grid that it is set beside.
        score: That was tuned.
        winners: Each variant's searched settings.

    Returns:
        The grid, None where nothing of it can be used; and a sentence for everything that was left out.
    """
    if ledger.find_plan() is None or not ledger.finished_cohorts():
        return None, ["`tuned/`: no replica with tuned settings has finished yet."]
    try:
        tuned = with_primary(gather(ledger), score, ledger.directory)
    except InputError as error:
        said = str(error).replace(f"{ledger.directory}: ", "").rstrip(".")
        return None, [f"`tuned/`: {said}."]
    for key in SHARED:
        own, other = (_plain(getattr(evidence.study, key)) for evidence in (tuned, untuned))
        if own != other:
            has, should = _text(own), _text(other)
            return None, [f"`tuned/`: its `{key}` is {has} and that of the untuned grid {should}, so it is left out."]
    strange = {name: _strange(name, tuned, untuned, winners.get(name, {})) for name in tuned.plan.variants}
    absent = [name for name in untuned.plan.variants if name not in strange]
    said = {name: f"{why}, so it is left out" for name, why in strange.items() if why}
    said |= dict.fromkeys(absent, "not in its plan")
    complaints = [f"`tuned/`: {name or 'the one variant'}: {why}." for name, why in said.items()]
    belongs = tuned.results["variant"].map(lambda name: not strange[name])
    if not belongs.any():
        return None, complaints
    return replace(tuned, results=tuned.results[belongs].reset_index(drop=True)), complaints


def _strange(name: str, tuned: Evidence, untuned: Evidence, won: Mapping[str, Any]) -> str:
    """Say in what a tuned variant is not the untuned one with its winner's settings; empty where it is."""
    if name not in untuned.plan.variants:
        return "the untuned grid has no such variant"
    expected, own = (_plain(s) for s in ({**untuned.plan.variants[name], **won}, tuned.plan.variants[name]))
    for key in [*expected, *own]:
        if own.get(key) != expected.get(key):
            has, should = (_text(settings.get(key)) for settings in (own, expected))
            whose = "its winner" if key in won else "the untuned grid"
            return f"trained with `{key}` {has}, where {whose} has {should}"
    return ""


def _plain(value: Any) -> Any:
    """Return a value as JSON reads it back: a tuple is a list."""
    return json.loads(json.dumps(value))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
