"""What a study's question asks of its factor: `[report.outcome]`, checked against the grid and spelled out."""

from __future__ import annotations

from typing import Any, Final

from gan.columns import level_label
from gan.errors import InputError, nearest, shown
from gan.scores import scores_of, spans_decades
from gan.targets import Target
from gan.verdict import VERDICTS
from studies.grid import Factors
from studies.sections import Study

UNUSABLE: Final = "unusable"
"""The event of a generator that is of no use: any of the verdicts that say so."""
REACHED: Final = "reached"
"""The event of a replica that met the goal at the end."""
EVENTS: Final = (UNUSABLE, REACHED, *VERDICTS)
RATE_MARGIN: Final = 0.1
"""Of rates, where a study states none."""
MORE: Final = " > "


def make_outcome(
    study: Study, target: Target, factors: Factors, reference: dict[str, Any], place: str
) -> dict[str, Any] | None:
    """Return the outcome with its event, margin and hypotheses, which are labels of levels; None: none is declared.

    Args:
        study: As loaded; its `report.factor` is in the grid, and its `report.score` one of the target's.
        target: The study's.
        factors: The grid's levels.
        reference: Of each factor the level that the others are compared with.
        place: The file, for messages.

    Raises:
        InputError: An event or a level that there is not, or a key that does not go with the kind.
    """
    outcome, factor = study.report.outcome, study.report.factor
    if outcome is None:
        return None
    where = f"{place}: report.outcome"
    if factor is None:
        raise InputError(f"{where}: levels of no factor to compare; expected a grid and report.factor, or no outcome")
    if outcome.kind == "score" and outcome.event is not None:
        raise InputError(f'{where}.event: {shown(outcome.event)} of a score; expected no event, or kind = "rate"')
    event = (outcome.event or UNUSABLE) if outcome.kind == "rate" else None
    if event is not None and event not in EVENTS:
        raise InputError(f"{where}.event: {shown(event)} is no event; {nearest(event, EVENTS)}")
    margin = outcome.margin or (RATE_MARGIN if outcome.kind == "rate" else None)
    if margin is not None and outcome.kind == "rate" and margin >= 1:
        raise InputError(f"{where}.margin: expected a difference of rates below 1, got {shown(margin)}")
    if margin is not None and outcome.kind == "score" and margin <= 1 and _by_ratios(study, target):
        raise InputError(f"{where}.margin: expected a factor above 1, for {study.report.score} is compared by ratios")
    levels = [level_label(level.written) for level in factors[factor]]
    against = level_label(reference[factor])
    asked = [(level, against) for level in levels if level != against]
    if outcome.hypotheses:
        asked = [_hypothesis(text, levels, f"{where}.hypotheses[{i}]") for i, text in enumerate(outcome.hypotheses)]
    return {"kind": outcome.kind, "event": event, "margin": margin, "hypotheses": asked}


def _by_ratios(study: Study, target: Target) -> bool:
    """Say whether the report's score spans decades."""
    name = study.report.score
    log = any(score.name == name and score.log for score in scores_of(target, study.scoring.scores))
    return log or spans_decades(name)


def _hypothesis(text: str, levels: list[str], where: str) -> tuple[str, str]:
    """Read `saturating > non_saturating`."""
    more, sign, less = text.partition(MORE)
    if not sign:
        raise InputError(f"{where}: expected LEVEL > LEVEL, such as '{levels[-1]}{MORE}{levels[0]}', got {shown(text)}")
    for level in (more, less):
        if level not in levels:
            raise InputError(f"{where}: no such level {shown(level)}; {nearest(level, levels)}")
    if more == less:
        raise InputError(f"{where}: {shown(more)} on both sides; expected two levels")
    return more, less
