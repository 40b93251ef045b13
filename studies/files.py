"""Where the studies stand, and how any of their TOML files is read."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from gan.errors import LONGEST, InputError, shortened, shown
from studies.parts import split

STUDIES_DIR: Final = Path(__file__).parent
RESERVED: Final = ("published", "claims", "all")
"""Names that no study may have: two files beside the studies, and the word for every study."""
LARGEST: Final = 100_000
"""Bytes of a file that is read: many times the longest study, and soon read whatever it holds."""
DEEPEST: Final = 16
"""Tables and lists within each other: a setting that is searched in a part of a file needs eight."""
# Controls but the end of a line and the tab, and the marks that turn the direction of a text.
_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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
    """Read once which studies a file holds; one that cannot be read is refused when it is loaded."""
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


def check_name(name: str, place: str) -> None:
    """Refuse a name that cannot be a study's: it is a folder's too, and a word on the command line.

    Args:
        name: Of the study.
        place: What gave it the name, for messages.

    Raises:
        InputError: It holds other characters, or is a word of ganbench's own.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"{place}: expected a name of letters, digits, '-' and '_'")
    if name in RESERVED:
        raise InputError(f"{place}: a word of ganbench's own; expected another name than {', '.join(RESERVED)}")


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file that a person wrote.

    Args:
        path: The file.
        expected: What should have been there, to say when it is not.

    Raises:
        InputError: It is not there, cannot be read, is not TOML, or holds what no study could mean.
    """
    written = _read(path, expected)
    try:
        content = tomllib.loads(written.decode("utf-8-sig"))  # editors for Windows begin a file with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; expected {expected}") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be read; expected {expected}") from None
    except ValueError as error:  # TOML that is none, or a number of thousands of digits
        raise InputError(f"{path}: not a TOML file: {shortened(str(error), 200)}; expected {expected}") from None
    _check_plain(content, path)
    return content


def _read(path: Path, expected: str) -> bytes:
    """Read a file, if it is one: a pipe would never answer, and some devices never end."""
    try:
        found = path.stat()
        content = path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST else b""
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason}); expected {expected}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise InputError(f"{path}: {kind}; expected {expected}")
    if found.st_size > LARGEST:
        raise InputError(f"{path}: {found.st_size:,} bytes, more than {LARGEST:,}; expected {expected}")
    return content


def _check_plain(content: dict[str, Any], path: Path) -> None:
    """Refuse keys and values that TOML allows and no study could mean, in every section.

    What is checked later may then print a key as it is, and write a number to any file.
    """
    left: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while left:
        at, value = left.pop()
        key = ".".join(at)
        if isinstance(value, dict):
            for name in cast("dict[str, Any]", value):
                if not (name and name.isprintable() and len(name) <= LONGEST):
                    place = f"{path}: {key}" if key else str(path)
                    raise InputError(f"{place}: the key {shown(name)}; expected letters, 1 to {LONGEST} of them")
        if isinstance(value, dict | list):
            if len(at) == DEEPEST:
                raise InputError(f"{path}: {key}: nested too deeply; expected at most {DEEPEST} tables and lists")
            items = value.items() if isinstance(value, dict) else enumerate(cast("list[Any]", value))
            left += [((*at, str(name)), child) for name, child in cast("Iterable[tuple[Any, Any]]", items)]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InputError(f"{path}: {key}: expected a whole number of at most 64 bits, got {shown(value)}")
        elif isinstance(value, str) and (hidden := _HIDDEN.search(value)):
            raise InputError(f"{path}: {key}: expected plain text, without the character {hidden[0]!a}")
