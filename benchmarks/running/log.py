"""The log of a run, in `log.txt` of the run directory and, with `-v`, on stderr: what was said, whole tracebacks."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.machine.redaction import without_credentials

LOG: Final = logging.getLogger("ganbench")
"""What the harness says; nothing of it reaches the terminal but with `-v`."""

LOG_FILE: Final = "log.txt"


class _Formatter(logging.Formatter):
    """Writes a record without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


_FORMAT: Final = _Formatter("%(asctime)s %(levelname)s %(message)s")


@contextmanager
def logged(directory: Path) -> Generator[Path]:
    """Append what is logged meanwhile to the log of a run directory, which exists; yield the log's path."""
    path = directory / LOG_FILE
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(_FORMAT)
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    try:
        yield path
    finally:
        LOG.removeHandler(handler)
        handler.close()


def show_log() -> None:
    """Show on stderr too what is logged."""
    handler = logging.StreamHandler()
    handler.setFormatter(_FORMAT)
    LOG.addHandler(handler)
