"""Every score of images gives the right answer for the generators whose answer is known."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from gan.conformance import battery
from gan.conformance.battery import Cell
from gan.conformance.image_battery import ImageSubject
from gan.scores import scores_of
from gan.targets import Images

DATA_DIR = Path(os.environ.get("GAN_DATA_DIR", "data"))
DIGITS = Images("digits")


@cache
def cells(dataset: str) -> dict[tuple[str, str], Cell]:
    """Return what the scores of a set of images gave, by score and generator."""
    target = Images("digits" if dataset == "digits" else "mnist")
    found = battery.run(scores_of(target), ImageSubject(target, DATA_DIR))
    return {(cell.score, cell.generator): cell for cell in found}


def every_cell() -> list[tuple[str, str]]:
    """Return each score and the generators that it has an answer for."""
    return [(score.name, generator) for score in scores_of(DIGITS) for generator in score.known]


@pytest.mark.parametrize(("score", "generator"), every_cell())
def test_a_score_gives_the_right_answer(score: str, generator: str) -> None:
    assert cells("digits")[score, generator].wrong == ""


@pytest.mark.slow
def test_scores_give_the_right_answers_on_mnist() -> None:
    if not Images("mnist").available(DATA_DIR):
        pytest.skip(f"no MNIST files under {DATA_DIR}: set GAN_DATA_DIR")
    wrong = {place: cell.wrong for place, cell in cells("mnist").items() if cell.wrong}
    assert wrong == {}


def test_answers_are_of_generators_that_there_are() -> None:
    assert {name for score in scores_of(DIGITS) for name in score.known} <= {*ImageSubject(DIGITS).generators}
