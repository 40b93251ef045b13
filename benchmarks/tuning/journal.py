"""What a kill may leave of Optuna's journal, mended before it is opened; and the lock under which that is safe."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gan.errors import InputError

JOURNAL = "optuna.log"
"""Its name in a run directory."""


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Keep other processes of this machine from tuning in a run directory; the lock dies with its process.

    Raises:
        InputError: One does already, or the directory cannot be written to.
    """
    lock = FileLock(directory / "tuning.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{directory}: another process is tuning there; expected one at a time, or another --runs-dir"
        ) from None
    except OSError as error:
        raise InputError(f"{directory}: cannot be written to ({error.strerror}); expected a writable folder") from None
    try:
        yield
    finally:
        lock.release()


def check(path: Path) -> None:
    """Refuse a file that is no journal, which Optuna notices only when it is too late.

    Raises:
        InputError: Naming the first line that is no operation; the last may be cut short.
    """
    if not path.is_file():
        raise InputError(f"{path}: not a file; expected the journal that tuning wrote; move it away and run again")
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            operation = json.loads(line) if line.endswith(b"\n") else {"op_code": 0}
        except ValueError:
            operation = None
        if not (isinstance(operation, dict) and "op_code" in operation):
            raise InputError(
                f"{path}: line {number}: not an operation of Optuna's journal; expected the journal that tuning wrote; "
                "move it away and run again"
            )


def is_torn(path: Path) -> bool:
    """Say whether the last line was cut short."""
    content = path.read_bytes() if path.is_file() else b""
    return bool(content) and not content.endswith(b"\n")


def mend(path: Path) -> str:
    """Set aside what a process that was killed while appending left behind; call it under the lock.

    A line without its end reads well once and spoils the file for good when the next one is appended to it. What it
    said is not lost: whoever wrote it does it again.

    Args:
        path: The journal; it need not be there.

    Returns:
        One line that says what was done, empty where all was well.
    """
    # The journal's own lock is a link that outlives its process; no process of ours can hold it now.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return ""
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
