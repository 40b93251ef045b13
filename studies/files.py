"""Where the studies stand, and how any of their TOML files is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from gan.errors import InputError

STUDIES_DIR: Final = Path(__file__).parent
RESERVED: Final = ("published", "claims", "all")
"""Names that no study may have: two files beside the studies, and the word for every study."""


def available() -> dict[str, Path]:
    """Return the studies of this repository by name."""
    return {p.stem: p for p in sorted(STUDIES_DIR.glob("*.toml")) if p.stem not in RESERVED}


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
