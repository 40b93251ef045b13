"""What every refusal of the command line must be."""

from __future__ import annotations

import re
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..typed import Said

LONGEST = 1_000
"""Characters of a message: one that lists every setting of a variant has about 600."""
SLOWEST = 90
"""Seconds until an answer is a hang; the slowest takes about one, and a busy machine longer."""
EXPECTATIONS = ("expected", "did you mean", "Valid: ", "`ganbench ", "move it away and run again")
"""How a message says what to do instead."""


@contextmanager
def answering(words: tuple[str, ...]) -> Generator[None]:
    """Fail where no answer comes."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer in {SLOWEST} s: ganbench {' '.join(words)}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SLOWEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return what a folder holds, to see that nothing was written."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def problem(said: Said, *places: str, lines: int = 1) -> str:
    """Say what is wrong with a refusal; empty where it is one message with a place and what was expected.

    Args:
        said: By the command line.
        places: Patterns of what the message must name, as a file and a key.
        lines: That it may have: more than one where it tells ways out.
    """
    message = said.err.removesuffix("\n")
    wrong = {
        "no exit with 2": said.code != 2,
        "a traceback": "Traceback" in said.err,
        "something on stdout": said.out != "",
        "no error": not message.startswith("error: "),
        "not one line": not 1 <= len(message.splitlines()) <= lines,
        "a character that hides": not message.replace("\n", "").isprintable(),
        "too long": len(message) > LONGEST,
        "no expectation": not any(word in message for word in EXPECTATIONS),
        **{f"no {place}": not re.search(place, message) for place in places},
    }
    found = [name for name, is_so in wrong.items() if is_so]
    return f"{', '.join(found)}: {said}" if found else ""
