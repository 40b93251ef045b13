"""Optuna's journal in a run directory, and what a kill, a disk or a hand may have left of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gan.errors import InputError
from gan.files import quarantine

JOURNAL = "optuna.log"
"""Its name in a run directory."""


class Damaged(InputError):
    """A storage holds something else than tuning wrote there.

    Attributes:
        what: Is wrong with it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; expected the trials as tuning left them, or another --storage or --runs-dir")
        self.what = what


def check(path: Path) -> None:
    """Refuse a file that is no journal, which Optuna notices only when it is too late.

    Raises:
        Damaged: Naming the first line that is no operation; the last may be cut short.
    """
    if not path.is_file():
        raise Damaged(f"{path}: not a file")
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            whole = not line.endswith(b"\n") or "op_code" in dict(json.loads(line))
        except (TypeError, ValueError):
            whole = False
        if not whole:
            raise Damaged(f"{path}: line {number}: not an operation of Optuna's journal")


def is_torn(path: Path) -> bool:
    """Say whether the last line was cut short."""
    return path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0


def repair(path: Path) -> str:
    """Cut off what a killed process left of a line; call it under the run directory's lock.

    A line without its end reads well once and spoils the file for good when the next one is appended to it. What it
    said is not lost: its writer does it again.

    Args:
        path: The journal; it need not be there.

    Returns:
        One line that says what was done, empty where all was well.

    Raises:
        Damaged: The file is no journal.
    """
    # The journal's own lock is a link that outlives its process; no process of this project can hold it now.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return ""
    check(path)
    if not is_torn(path):
        return ""
    with path.open("r+b") as file:
        file.truncate(path.read_bytes().rfind(b"\n") + 1)
        os.fsync(file.fileno())
    return f"{path}: the last line was cut short; what it said is done again"


def quarantine_journal(path: Path, why: str) -> str:
    """Set the whole journal aside; return one line that says so."""
    why = why.removeprefix(f"{path}: ")
    return f"{path}: {why}; set aside as {quarantine(path).name}, and its trials are drawn again"
