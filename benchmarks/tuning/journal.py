"""What a kill may leave of Optuna's journal, mended before it is opened."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gan.errors import InputError
from gan.files import quarantine

JOURNAL = "optuna.log"
"""Its name in a run directory."""


def check(path: Path) -> None:
    """Refuse a file that is no journal, which Optuna notices only when it is too late.

    Raises:
        InputError: Naming the first line that is no operation; the last may be cut short.
    """
    if problem := _problem(path):
        raise InputError(f"{path}: {problem}; expected the journal that tuning wrote; move it away and run again")


def is_damaged(path: Path) -> bool:
    """Say whether there is a file that is no journal."""
    return path.exists() and bool(_problem(path))


def _problem(path: Path) -> str:
    if not path.is_file():
        return "not a file"
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            operation = json.loads(line) if line.endswith(b"\n") else {"op_code": 0}
        except ValueError:
            operation = None
        if not (isinstance(operation, dict) and "op_code" in operation):
            return f"line {number}: not an operation of Optuna's journal"
    return ""


def is_torn(path: Path) -> bool:
    """Say whether the last line was cut short."""
    content = path.read_bytes() if path.is_file() else b""
    return bool(content) and not content.endswith(b"\n")


def mend(path: Path) -> str:
    """Set aside what a killed process, a disk or a hand left of the journal; call it under the run directory's lock.

    A line without its end reads well once and spoils the file for good when the next one is appended to it. What it
    said is not lost: whoever wrote it does it again. Nor is what a journal said that is damaged as a whole: its trials
    are drawn again, and their replicas are in the ledger.

    Args:
        path: The journal; it need not be there.

    Returns:
        One line that says what was done, empty where all was well.
    """
    # The journal's own lock is a link that outlives its process; no process of ours can hold it now.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return ""
    if problem := _problem(path):
        return put_away(path, problem)
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return ""
    torn = next(p for i in range(1, 1_000_000) if not (p := path.with_name(f"{path.name}.torn-{i}")).exists())
    torn.write_bytes(content[whole:])
    with path.open("r+b") as file:
        file.truncate(whole)
        os.fsync(file.fileno())
    return f"{path}: the last line was cut short; it is set aside as {torn.name}, and what it said is done again"


def put_away(path: Path, why: str) -> str:
    """Set the whole journal aside; return one line that says so."""
    return f"{path}: {why}; set aside as {quarantine(path).name}, and its trials are drawn again"
