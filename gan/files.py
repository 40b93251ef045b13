"""Files that are there whole or not at all, and files that are not what they should be."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a system says of a disk, or a quota, that is full."""


_TEMPORARY = re.compile(r"\..+\.(?P<process>\d+)\.tmp")


def temporary(path: Path) -> Path:
    """Return the name under which this process writes a file, before it renames it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(paths: Iterable[Path]) -> None:
    """Delete of these files, and folders, what processes that are no more left half-written under such names.

    What may not be deleted stays.
    """
    for path in list(paths):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _lives(int(found["process"])):
            with suppress(PermissionError):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Say whether a process of this number is at work, other than this one."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()


@contextmanager
def written_atomically(path: Path) -> Generator[IO[bytes]]:
    """Open a file to write to under a temporary name; flush it to the disk at the end, and rename it into place.

    Raises:
        OSError: It cannot be written; then the file is as it was, and no other is left.
    """
    unfinished = temporary(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all; see `written_atomically`."""
    with written_atomically(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk: without it a power cut may undo a rename."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def quarantine(path: Path, mark: str = "set-aside") -> Path:
    """Rename what cannot be used to a name beside it that nothing reads, and return that: nothing is deleted."""
    aside = next(p for i in range(1, 1_000_000) if not (p := path.with_name(f"{path.name}.{mark}-{i}")).exists())
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
