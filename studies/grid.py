"""The grid of a study: its factors, the settings that each level stands for, and the variants they make."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from gan.columns import NAMES, number_label
from gan.errors import InputError, nearest, shown
from gan.plugins import registry
from gan.plugins.components import Kind
from gan.variant import COMPONENT_FIELDS, FIELDS, Variant
from studies.sections import expectation, one_of

MOST_VARIANTS = 5_000
"""Of a grid: all of them are spelled out and checked before anything is trained."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # of a factor or a bundle: a variant's name is made of them


@dataclass(frozen=True)
class Level:
    """One level of a factor."""

    written: Any
    """As it stands in the file; of a bundle its name."""
    settings: dict[str, Any]
    """What it sets."""
    key: str
    """The place of its settings in the file; of a bundle each stands below it."""
    bundle: bool = False

    @property
    def placed(self) -> dict[str, Any]:
        """Its settings under the keys they stand at in the file."""
        return {f"{self.key}.{k}" if self.bundle else self.key: v for k, v in self.settings.items()}


Factors = dict[str, list[Level]]


def factors_of(grid: Mapping[str, Any], place: str) -> Factors:
    """Read `[grid]`: a factor is a list of levels of one setting, or a table of named bundles of settings.

    Args:
        grid: As the file has it.
        place: The file, and its part, for messages.

    Raises:
        InputError: A factor, level or setting that is not what it should be.
    """
    factors = {name: _factor(name, content, place) for name, content in grid.items()}
    set_by: dict[str, str] = {}  # setting: the factor that sets it
    for name, levels in factors.items():
        for level in levels:
            for setting in level.settings:
                if set_by.setdefault(setting, name) != name:
                    key, other = level.key + (f".{setting}" if level.bundle else ""), set_by[setting]
                    raise InputError(
                        f"{place}: {key}: the factor {other} sets {setting} already; expected it in one factor"
                    )
    return factors


def _factor(name: str, content: Any, place: str) -> list[Level]:
    key = f"grid.{name}"
    if isinstance(content, dict):
        return _bundles(name, cast("dict[str, Any]", content), place)
    if name not in FIELDS:
        raise InputError(f"{place}: {key}: no such factor; {nearest(name, FIELDS)}")
    if not isinstance(content, list):
        raise InputError(f"{place}: {key}: expected a list of levels, or a table of bundles, got {shown(content)}")
    if not content:
        raise InputError(f"{place}: {key}: empty; expected at least one level")
    _check_length(content, key, place)
    levels: list[Any] = []
    for level in content:
        if level in levels:
            raise InputError(f"{place}: {key}: {shown(level)} is listed twice; expected distinct levels")
        levels.append(level)
    return [Level(level, {name: level}, key) for level in levels]


def _bundles(name: str, content: dict[str, Any], place: str) -> list[Level]:
    key = f"grid.{name}"
    if name in FIELDS:
        raise InputError(
            f"{place}: {key}: named bundles need a name of their own, and {name} is a setting; "
            "expected another name, or a list of its levels"
        )
    if name in NAMES or not _NAME.fullmatch(name):
        raise InputError(
            f"{place}: {key}: not a name for a factor; expected letters, digits and '_', and no column of results.csv"
        )
    if not content:
        raise InputError(f"{place}: {key}: empty; expected at least one bundle")
    _check_length(content, key, place)
    levels: list[Level] = []
    for bundle, settings in content.items():
        if not _NAME.fullmatch(bundle):
            raise InputError(f"{place}: {key}.{bundle}: expected a name of letters, digits, '_', '.', '+' and '-'")
        if not isinstance(settings, dict):
            raise InputError(f"{place}: {key}.{bundle}: expected a table of settings, got {shown(settings)}")
        for setting in settings:
            if setting not in FIELDS:
                raise InputError(
                    f"{place}: {key}.{bundle}.{setting}: no such setting of a variant; {nearest(setting, FIELDS)}"
                )
        levels.append(Level(bundle, dict(settings), f"{key}.{bundle}", bundle=True))
    return levels


def _check_length(content: Sized, key: str, place: str) -> None:
    if len(content) > MOST_VARIANTS:
        raise InputError(f"{place}: {key}: {len(content):,} levels; expected at most {MOST_VARIANTS:,}")


def reference_level(levels: list[Level], base: Variant) -> Any:
    """Return the level that a factor's others are contrasted with: the base's own if it is there, else the first."""
    settings = base.settings()
    own = [level for level in levels if all(settings[k] == v for k, v in level.settings.items())]
    return (own or levels)[0].written


def variant_name(levels: Mapping[str, Any]) -> str:
    """Return a variant's name in its study: its levels, such as ``loss=saturating lr_ratio=2``."""
    return " ".join(f"{factor}={_label(level)}" for factor, level in levels.items()) or "base"


def _label(level: Any) -> str:
    if isinstance(level, list):
        return "-".join(map(str, level))
    return number_label(level) if isinstance(level, float) else str(level)


@cache
def _adapter() -> TypeAdapter[Variant]:
    """Build the checks from Variant's annotations once: a grid asks hundreds of times."""
    return TypeAdapter(Variant)


def make_variant(placed: Mapping[str, Any], place: str) -> Variant:
    """Build a variant from settings under the keys they stand at in the file; later ones win.

    Raises:
        InputError: No such setting, or a value that it cannot have.
    """
    keys: dict[str, str] = {}
    for key in placed:
        name = key.rpartition(".")[2]
        if name not in FIELDS:
            raise InputError(f"{place}: {key}: no such setting of a variant; {nearest(name, FIELDS)}")
        keys[name] = key
    return _validated({name: placed[key] for name, key in keys.items()}, keys, place)


def check_value(name: str, value: Any, key: str, place: str) -> None:
    """Refuse a value that a setting of a variant cannot have.

    Args:
        name: The setting, one of a variant's fields.
        value: As the file has it.
        key: Its place there, for messages.
        place: The file, for messages.

    Raises:
        InputError: Naming the key and what was expected.
    """
    _validated({name: value}, {name: key}, place)


def _validated(settings: Mapping[str, Any], keys: Mapping[str, str], place: str) -> Variant:
    """Build a variant, or say which key holds what it cannot."""
    for field in COMPONENT_FIELDS:
        valid = [*(["none"] if field == "penalty" else []), *registry.names(cast(Kind, field))]
        if field in settings and settings[field] not in valid:
            raise InputError(f"{place}: {keys[field]}: {one_of(valid, settings[field])}; {registry.NEEDS_PLUGIN}")
    # Through JSON, because only there are types strict and lists still welcome as tuples.
    content = json.dumps(settings, default=str)
    try:
        return _adapter().validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{place}: {keys[str(first['loc'][0])]}: {expectation(first)}") from None
