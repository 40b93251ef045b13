"""Every score on the real line gives the right answer for the generators whose answer is known."""

from __future__ import annotations

from functools import cache

import pytest

from gan.conformance import battery
from gan.conformance.battery import Cell
from gan.conformance.line_battery import LineSubject
from gan.scores import scores_of
from gan.targets import Gaussian, Mixture

SUBJECTS = {"gaussian": Gaussian(), "mixture": Mixture()}


@cache
def cells(target: str) -> dict[tuple[str, str], Cell]:
    """Return what the scores of a target gave, by score and generator."""
    found = battery.run(scores_of(SUBJECTS[target]), LineSubject(SUBJECTS[target]))
    return {(cell.score, cell.generator): cell for cell in found}


def every_cell() -> list[tuple[str, str, str]]:
    """Return each score, its generators, and the target: what a test each looks at."""
    return [
        (target, score.name, generator)
        for target, made in SUBJECTS.items()
        for score in scores_of(made)
        for generator in LineSubject(made).generators
        if generator in score.known
    ]


@pytest.mark.parametrize(("target", "score", "generator"), every_cell())
def test_a_score_gives_the_right_answer(target: str, score: str, generator: str) -> None:
    assert cells(target)[score, generator].wrong == ""


@pytest.mark.parametrize("target", SUBJECTS)
def test_answers_are_of_generators_that_there_are(target: str) -> None:
    names = {*LineSubject(Mixture()).generators}
    assert {name for score in scores_of(SUBJECTS[target]) for name in score.known} <= names
