"""Tuning as plain data: what is searched, with what budget, and what a trial's settings make of a variant.

`space.py` reads it from `[tune]` of a study file and checks it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_type_hints

from gan.variant import Variant

FIRST_VALIDATION_SEED: Final = 100_000
"""The seeds of trials count from here; those of a study stay below, so that none is tuned on and reported."""

MOST_REPLICAS: Final = 1_000_000
"""Of a study's grid: as many as were taken through every stage; see `docs/scaling.md`."""

MOST_SEARCHED: Final = 200_000
"""Replicas of a search, whose trials cost more than a grid's replicas to keep and to draw."""

Kind = Literal["float", "int", "categorical"]
Aggregate = Literal["mean", "median", "iqm"]
Sampler = Literal["tpe", "random", "grid", "cmaes"]
Second = Literal["failure_rate", "missed_rate"]
Pruning = Literal["none", "wilcoxon", "diverged"]

_HINTS: Final[dict[str, Any]] = get_type_hints(Variant)


@dataclass(frozen=True)
class Parameter:
    """One setting of a variant that is searched: a range of numbers, or a few choices."""

    name: str
    """A field of Variant."""
    kind: Kind
    low: int | float | None = None
    """Ends of a range, both part of it; whole numbers of an int."""
    high: int | float | None = None
    log: bool = False
    """The range is searched evenly in the logarithm."""
    step: int | None = None
    """Between the values of an int; 1 where there is none."""
    choices: tuple[Any, ...] = ()
    """Of a categorical; widths are lists."""
    points: int | None = None
    """How many values of a range a grid takes."""
    when: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    """Other settings and the values under which it is searched; elsewhere the variant keeps its own."""

    def settings(self) -> dict[str, Any]:
        """Return every field as plain JSON values."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return content | {"choices": list(self.choices), "when": {name: list(v) for name, v in self.when.items()}}

    def grid(self) -> list[Any]:
        """Return the values a grid takes: the choices, or the points of the range, ascending, both ends included.

        Points are evenly spaced, in the logarithm where the range is; those of an int are rounded, each once. An int
        without points takes every step of its range.
        """
        if self.kind == "categorical":
            return list(self.choices)
        assert self.low is not None and self.high is not None
        if self.points is None:
            assert self.kind == "int"
            return list(range(int(self.low), int(self.high) + 1, self.step or 1))
        shares = [i / (self.points - 1) for i in range(1, self.points - 1)]
        if self.log:
            inside = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            inside = [self.low + (self.high - self.low) * share for share in shares]
        values = [self.low, *inside, self.high]
        return list(dict.fromkeys(round(value) for value in values)) if self.kind == "int" else values


@dataclass(frozen=True)
class Tuning:
    """How each variant of a study's grid is tuned, all with the same budget."""

    score: str
    """A final score of the target; a trial's objective is its aggregate over seeds."""
    label: str
    """The score's, for axes and tables."""
    direction: Literal["lower", "higher"]
    """Which way is better."""
    aggregate: Aggregate
    failed: float
    """The score that a failed replica stands for; no replica counts as worse."""
    seeds: int
    """Replicas of a trial."""
    trials: int
    """Of each variant."""
    batch: int
    """Trials of each variant that are drawn at once, knowing nothing of each other."""
    sampler: Sampler
    second: Second | None
    """Beside the score: the share of a trial's replicas that fail, or that miss the study's goal."""
    pruning: Pruning
    seed: int
    """Of the sampler."""
    space: tuple[Parameter, ...]
    """In the order they are drawn."""

    def settings(self) -> dict[str, Any]:
        """Return every field as plain JSON values."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return content | {"space": [parameter.settings() for parameter in self.space]}

    def active(self, variant: Variant, params: Mapping[str, Any], parameter: Parameter) -> bool:
        """Say whether a parameter is searched.

        Args:
            variant: The one that is tuned.
            params: Settings of the trial so far.
            parameter: The next one; its `when` asks for these settings, or else the variant's own.
        """
        return all(_plain(params.get(name, getattr(variant, name))) in of for name, of in parameter.when.items())

    def combinations(self, variant: Variant, values: Callable[[Parameter], Iterable[Any]]) -> Iterator[dict[str, Any]]:
        """Yield the settings of every trial that takes these values, the last parameter fastest.

        Args:
            variant: The one that is tuned; it may decide which parameters are searched.
            values: Of a parameter those to take.
        """
        yield from self._deeper(variant, values, {}, self.space)

    def _deeper(
        self,
        variant: Variant,
        values: Callable[[Parameter], Iterable[Any]],
        params: dict[str, Any],
        rest: tuple[Parameter, ...],
    ) -> Iterator[dict[str, Any]]:
        if not rest:
            yield params
        elif self.active(variant, params, rest[0]):
            for value in values(rest[0]):
                yield from self._deeper(variant, values, {**params, rest[0].name: value}, rest[1:])
        else:
            yield from self._deeper(variant, values, params, rest[1:])


def apply(variant: Variant, params: Mapping[str, Any]) -> Variant:
    """Return a variant with a trial's settings in place of its values, each as the type its field has.

    Args:
        variant: The one that is tuned.
        params: Settings as plain JSON values: widths are lists, and a whole number may stand for a float.
    """
    return dataclasses.replace(variant, **{name: typed(name, value) for name, value in params.items()})


def typed(name: str, value: Any) -> Any:
    """Return the value of a variant's setting as the type its field has: replicas are named by it."""
    if isinstance(value, list):
        return tuple(cast("list[int]", value))
    return float(value) if _HINTS[name] is float else value


def number_type(name: str) -> Literal["float", "int"] | None:
    """Return which numbers a variant's setting takes; None for one that takes words or widths."""
    return "float" if _HINTS[name] is float else "int" if _HINTS[name] is int else None


def _plain(value: Any) -> Any:
    return list(cast("tuple[int, ...]", value)) if isinstance(value, tuple) else value
