"""One process at a time in a run directory, by a lock that dies with its process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gan.errors import InputError

LOCK = "run.lock"
"""Its name in a run directory."""


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Keep other processes of this machine from writing to a run directory, which is there.

    The file stays; what counts is the lock on it, which the system takes back from a process that ends, however it
    ends.

    Raises:
        InputError: Another process has it, or the directory cannot be written to.
    """
    lock = FileLock(directory / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{directory}: another process is running there; expected one at a time: wait for it, or give another "
            "--runs-dir"
        ) from None
    except OSError as error:
        raise InputError(f"{directory}: cannot be written to ({error.strerror}); expected a writable folder") from None
    try:
        yield
    finally:
        lock.release()
