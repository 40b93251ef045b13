"""A file of several studies of one question: each of `[parts.NAME]` is laid over what the parts share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, cast

from gan.errors import InputError, shown

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")  # as of a study file


def split(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Return the content of each study of a file with parts, by the part's name.

    A part's value wins over the shared one. Tables are laid over each other key by key, but for those that make sense
    as a whole alone: a target with a name, the goal `report.reached`, a bundle of settings in the grid, and what is
    searched of one setting.

    Raises:
        InputError: The parts are not tables, or there are none.
    """
    parts: Any = content["parts"]
    if not isinstance(parts, dict):
        raise InputError(f"{path}: parts: expected tables [parts.NAME], one a study, got {shown(parts)}")
    if not parts:
        raise InputError(f"{path}: parts: empty; expected at least one table [parts.NAME], one a study")
    shared = {key: value for key, value in content.items() if key != "parts"}
    studies: dict[str, dict[str, Any]] = {}
    for name, own in cast("dict[str, Any]", parts).items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{path}: parts.{name}: expected a name of letters, digits, '-' and '_'")
        if not isinstance(own, dict):
            raise InputError(f"{path}: parts.{name}: expected a table that is laid over the rest, got {shown(own)}")
        studies[name] = _laid_over(shared, cast("dict[str, Any]", own), ())
    return studies


def _laid_over(shared: dict[str, Any], own: dict[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    merged = dict(shared)
    for key, value in own.items():
        below, old = (*at, key), shared.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and not _whole(below, cast("dict[str, Any]", value)):
            merged[key] = _laid_over(cast("dict[str, Any]", old), cast("dict[str, Any]", value), below)
        else:
            merged[key] = value
    return merged


def _whole(at: tuple[str, ...], table: dict[str, Any]) -> bool:
    """Say whether a table replaces the shared one: half of each would be nothing."""
    another_target = at == ("target",) and "name" in table
    leaf = len(at) == 3 and (at[0] == "grid" or at[:2] == ("tune", "space"))
    return another_target or leaf or at == ("report", "reached")
