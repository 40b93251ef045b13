"""The trials that a search space can draw: each must make a GAN, and a grid has only so many."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from gan.errors import InputError
from gan.replica import Scoring
from gan.targets import Target
from gan.variant import Variant
from studies.fit import FITTED, SIZES, UNEVEN, check_fit, check_size
from studies.tune import Parameter, Tuning, apply

MOST_CHECKED: Final = 200_000
"""Combinations of settings that are tried out: seconds."""
MOST_POINTS: Final = 100_000
"""Of a grid that is searched: all of them are drawn up and shuffled."""


def check_trials(tuning: Tuning, variants: Mapping[str, Variant], target: Target, scoring: Scoring, place: str) -> None:
    """Refuse a space in which some trial would make no GAN, or in which nothing of a variant is searched.

    Args:
        tuning: What is searched.
        variants: Of the study's grid, by name.
        target: What they learn.
        scoring: How they are scored.
        place: The file, and its part, for messages.

    Raises:
        InputError: Naming the end or the choices that make no GAN.
    """
    for variant in variants.values():
        check_size(apply(variant, _largest(tuning)), target, f"{place}: tune.space")
    conditions = {other for parameter in tuning.space for other in parameter.when}
    # On images a batch between two that fit may not; the ends first, for they may be billions apart.
    uneven = frozenset[str]() if target.train_size is None else UNEVEN

    def corners(parameter: Parameter, every: Collection[str]) -> Sequence[Any]:
        values = _corners(parameter, every=parameter.name in every)
        return values if parameter.name in FITTED | conditions else values[:1]

    def reached(variant: Variant) -> Iterator[dict[str, Any]]:
        yield from tuning.combinations(variant, lambda p: corners(p, frozenset()))
        yield from tuning.combinations(variant, lambda p: corners(p, uneven | conditions))

    left = MOST_CHECKED
    for name, variant in variants.items():
        for params in reached(variant):
            left -= 1
            if left < 0:
                raise InputError(
                    f"{place}: tune.space: more than {MOST_CHECKED:,} combinations of what decides whether a trial "
                    "makes a GAN; expected fewer choices"
                )
            if not params:
                raise InputError(f"{place}: tune.space: of {name} nothing is searched; expected a setting without when")
            try:
                check_fit(apply(variant, params), scoring, target, place)
            except InputError as error:
                key, said = _guilty(tuning, variant, params, scoring, target)
                detail = str(error).removeprefix(f"{place}: ")
                raise InputError(f"{place}: {key}: {said} makes no GAN of {name}: {detail}") from None


def _largest(tuning: Tuning) -> dict[str, Any]:
    """Return, of what shapes networks and batches, the largest that is searched."""
    sizes = [parameter for parameter in tuning.space if parameter.name in SIZES]
    return {p.name: max(p.choices, key=_numbers) if p.choices else p.high for p in sizes}


def _numbers(size: Any) -> int:
    return sum(a * b for a, b in itertools.pairwise([1, *size, 1])) if isinstance(size, list) else size


def _corners(parameter: Parameter, every: bool) -> Sequence[Any]:
    """Return all choices, and the ends of a range, between which all fits where they do; or every whole number."""
    if parameter.kind == "categorical":
        return list(parameter.choices)
    assert parameter.low is not None and parameter.high is not None
    if every:
        return range(int(parameter.low), int(parameter.high) + 1, parameter.step or 1)
    return [parameter.low, parameter.high]


def _guilty(
    tuning: Tuning, variant: Variant, params: Mapping[str, Any], scoring: Scoring, target: Target
) -> tuple[str, str]:
    """Say which of a trial's settings makes no GAN: the fewest of them that already make none."""
    parameters = {parameter.name: parameter for parameter in tuning.space if parameter.name in FITTED & params.keys()}
    for size in range(1, len(parameters) + 1):
        for names in itertools.combinations(parameters, size):
            chosen = {name: params[name] for name in names}
            if not _fits(apply(variant, chosen), scoring, target):
                said = " with ".join(f"{name} {value!r}" for name, value in chosen.items())
                return f"tune.space.{_key(parameters[names[0]], params[names[0]])}", said
    raise AssertionError("a variant of the grid fits as it is")


def _fits(variant: Variant, scoring: Scoring, target: Target) -> bool:
    try:
        check_fit(variant, scoring, target, "")
    except InputError:
        return False
    return True


def _key(parameter: Parameter, value: Any) -> str:
    """Return the key, below the space, that a value comes from; one between the ends comes from the whole range."""
    if parameter.kind == "categorical":
        return f"{parameter.name}.choices"
    ends = {parameter.low: ".low", parameter.high: ".high"}
    return parameter.name + ends.get(cast("float", value), "")


def check_grid_size(tuning: Tuning, variants: Mapping[str, Variant], key: str, place: str) -> None:
    """Refuse more trials of a variant than a grid has points.

    Args:
        tuning: What is searched.
        variants: Of the study's grid, by name: they may differ in what is searched.
        key: Where the number of trials stands, for messages.
        place: The file, and its part, for messages.

    Raises:
        InputError: Naming the number of points.
    """
    if tuning.sampler != "grid":
        return
    for name, variant in variants.items():
        points = itertools.islice(tuning.combinations(variant, Parameter.grid), MOST_POINTS + 1)
        size = sum(1 for _ in points)
        if size > MOST_POINTS:
            raise InputError(
                f"{place}: tune.space: more than {MOST_POINTS:,} points of the grid for {name}; expected fewer"
            )
        if size < tuning.trials:
            raise InputError(
                f"{place}: {key}: expected at most the {size} points of the grid for {name}, got {tuning.trials}"
            )
