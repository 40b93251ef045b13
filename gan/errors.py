"""The exceptions with a meaning of their own: the user's input is wrong, and: the user asked to stop."""

from __future__ import annotations

import difflib
import traceback
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LONGEST: Final = 80
"""Characters of a value that a message repeats: what a person gave may be a whole file in one line."""


class InputError(ValueError):
    """Something a person typed, or a file they gave, cannot be used.

    The message names the place, says what was expected and suggests the nearest valid name.
    The command line prints it without a traceback and exits with 2.
    """


class CodeError(InputError):
    """An error in code, a plugin's as a rule: it ends the run, and no replica is recorded for it.

    Attributes:
        details: The whole traceback.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message, details)
        self.details = details

    def __str__(self) -> str:
        return str(self.args[0])


class Stopped(Exception):
    """Training was asked to stop; a checkpoint says where."""


def place_in_code(error: BaseException, *paths: Path) -> str:
    """Return where in a person's file an error came up, and what it says, in one line.

    Args:
        error: As caught.
        paths: The files; of an error that came up outside of them the last place is given.
    """
    what = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}: line {error.lineno}: {what}"
    frames = traceback.extract_tb(error.__traceback__)
    if error.__cause__ is not None:
        frames += traceback.extract_tb(error.__cause__.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename).resolve() in paths] or frames
    return f"{theirs[-1].filename}: line {theirs[-1].lineno}: {what}" if theirs else what


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which names are valid, the nearest first: ``did you mean 'loss'? Valid: ...``.

    Args:
        name: What was given.
        valid: The names that would have been accepted.

    Returns:
        A phrase to end an error message with.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name[:LONGEST], names, n=1, cutoff=0.5)
    suggestion = f"did you mean '{close[0]}'? " if close else ""
    return f"{suggestion}Valid: {', '.join(names)}."


def shown(value: object) -> str:
    """Return a value as a message repeats it: as Python writes it, on one line, and cut where it is long."""
    # A part of a long text or list is enough; the whole of a nested one may be beyond what can be written.
    if isinstance(value, str | bytes):
        value = value[: LONGEST + 1]
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; or a number of thousands of digits
        return f"a {type(value).__name__} too large to show"
    return shortened(text, LONGEST)


def shortened(text: str, most: int) -> str:
    """Return a text, cut where it has more than so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(message: str) -> str:
    r"""Return a message with what would move a terminal's cursor, or hide, written out as ``\x1b`` and the like.

    Letters of every script and line ends stay.
    """
    return "".join(c if c == "\n" or not _hidden(c) else ascii(c)[1:-1] for c in message)


def _hidden(character: str) -> bool:
    """Say whether a character is a control, a format, a lone half of another, or ends a line nobody sees."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
