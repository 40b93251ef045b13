"""What the documents claim, and the figures that were published of a study: `claims.toml` and `published.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from annotated_types import Ge, Gt, Lt, MinLen
from pydantic import Field, ValidationError

from gan.columns import NUMBERS
from gan.errors import InputError, nearest, shown
from gan.scores import scores_of
from gan.targets import Target
from studies.files import STUDIES_DIR, available, read_toml
from studies.sections import CLAIMS, Section, explain

PUBLISHED: Final = STUDIES_DIR / "published.toml"
CLAIM_TEXTS: Final = STUDIES_DIR / "claims.toml"

_Text = Annotated[str, MinLen(1)]
_Finite = Annotated[float, Gt(-float("inf")), Lt(float("inf"))]


class PublishedFigure(Section):
    """A published number that a study measures again."""

    quantity: _Text
    """The column of its results to hold against it: a loss or a final score."""
    label: _Text
    """For a table."""
    value: _Finite
    spread: Annotated[float, Gt(0), Lt(float("inf"))] | None = None
    """Standard deviation over seeds, where it was published."""
    at_epoch: Annotated[int, Ge(1)] | None = None
    """The epoch whose mean was published; without one the number is of the end."""
    steps: Annotated[int, Ge(1)]
    """Length of the published run."""
    protocol: _Text
    """How the number was taken."""
    source: _Text
    not_comparable: str = ""
    """Why it cannot be compared number by number; empty where it can."""
    variant_levels: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The levels of the replicas it is about; all of the study where it is empty."""


class Figure(PublishedFigure):
    """One of `[[figures]]`."""

    study: _Text
    """The study that measures it again."""


class _Published(Section):
    figures: list[Figure] = Field(default_factory=list[Figure])


class _Claims(Section):
    claims: dict[str, _Text]


def figures(path: Path = PUBLISHED) -> list[Figure]:
    """Read every published figure.

    Raises:
        InputError: The file is not there or says something a figure cannot; the message names the place.
    """
    content = read_toml(path, "the published figures")
    try:
        found = _Published.model_validate(content).figures
    except ValidationError as error:
        model = Figure if len(error.errors()[0]["loc"]) > 1 else _Published
        raise InputError(f"{path}: {explain(error, model)}") from None
    studies = available()
    for i, figure in enumerate(found):
        if figure.study not in studies:
            raise InputError(
                f"{path}: figures.{i}.study: no such study {shown(figure.study)}; {nearest(figure.study, studies)}"
            )
    return found


def figures_of(
    study: str, target: Target, factors: Mapping[str, list[Any]], path: Path = PUBLISHED
) -> list[dict[str, Any]]:
    """Return the figures published of one study, as plain data for its plan.

    Args:
        study: Its name.
        target: Its target, whose final scores a figure may be of.
        factors: The levels of its factors, as they are written.
        path: Another file of figures.

    Raises:
        InputError: A figure is of a quantity that the study does not measure, or of a level that it has not.
    """
    found: list[dict[str, Any]] = []
    known = (*NUMBERS, *(score.name for score in scores_of(target) if score.final))
    for i, figure in enumerate(_read(path)):
        if figure.study != study:
            continue
        place = f"{path}: figures.{i}"
        if figure.quantity not in known:
            raise InputError(
                f"{place}.quantity: {shown(figure.quantity)} is not measured on {target.name}; "
                f"{nearest(figure.quantity, known)}"
            )
        if figure.at_epoch is not None and not (figure.quantity.endswith("_epoch") and target.train_size is not None):
            raise InputError(
                f"{place}.at_epoch: {shown(figure.quantity)} on {target.name} has no epochs; expected the mean of an "
                "epoch, such as loss_discriminator_epoch, of an image target"
            )
        for factor, level in figure.variant_levels.items():
            if factor not in factors:
                raise InputError(f"{place}.variant_levels.{factor}: no factor of {study}; {nearest(factor, factors)}")
            if level not in factors[factor]:
                levels = shown(factors[factor])
                raise InputError(f"{place}.variant_levels.{factor}: expected one of {levels}, got {shown(level)}")
        found.append(figure.model_dump(exclude={"study"}))
    return found


@cache
def _read(path: Path) -> tuple[Figure, ...]:
    """Read a file of figures once: every scale of every study asks for it."""
    return tuple(figures(path))


@cache
def claim_texts(path: Path = CLAIM_TEXTS) -> dict[int, str]:
    """Return the documents' claims by number.

    Raises:
        InputError: The file is not there, or does not word exactly the claims there are.
    """
    content = read_toml(path, "the documents' claims")
    try:
        worded = _Claims.model_validate(content).claims
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, _Claims)}") from None
    numbers = [str(n) for n in range(1, CLAIMS + 1)]
    for number in numbers:
        if number not in worded:
            raise InputError(f"{path}: claims.{number}: missing; expected the claims 1 to {CLAIMS}")
    for number in worded:
        if number not in numbers:
            raise InputError(f"{path}: claims.{number}: no such claim; expected the claims 1 to {CLAIMS}")
    return {int(number): text for number, text in worded.items()}
