"""Where the studies stand, and how any of their TOML files is read."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

from gan.errors import InputError
from studies.parts import split

STUDIES_DIR: Final = Path(__file__).parent
RESERVED: Final = ("published", "claims", "all")
"""Names that no study may have: two files beside the studies, and the word for every study."""


def available() -> dict[str, Path]:
    """Return the files of this repository's studies by the study's name; several names may share a file."""
    return {name: path for path in _paths() for name in _names(path, path.stat().st_mtime_ns)}


def groups() -> dict[str, list[str]]:
    """Return the studies of each of this repository's files with parts, by the file's name."""
    names = {path.stem: list(_names(path, path.stat().st_mtime_ns)) for path in _paths()}
    return {stem: studies for stem, studies in names.items() if studies != [stem]}


def _paths() -> list[Path]:
    return [path for path in sorted(STUDIES_DIR.glob("*.toml")) if path.stem not in RESERVED]


@cache
def _names(path: Path, modified: int) -> tuple[str, ...]:
    """Read once which studies a file holds; one that says nothing sensible is told so when it is loaded."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(part_name(path, part) for part in split(content, path)) if "parts" in content else (path.stem,)
    except (OSError, ValueError):
        return (path.stem,)


def part_name(path: Path, part: str) -> str:
    """Return the name of the study that a part of a file is."""
    return f"{path.stem}-{part}"


def is_ours(path: Path) -> bool:
    """Say whether a study file is one of this repository's: what is published is published of these alone."""
    return path.resolve().parent == STUDIES_DIR.resolve()


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        expected: What should have been there, to say when it is not.

    Raises:
        InputError: It is not there, cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None
