"""The one exception that means: the user's input is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something a person typed, or a file they gave, cannot be used.

    The message names the place, says what was expected and suggests the nearest valid name.
    The command line prints it without a traceback and exits with 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which names are valid, the nearest first: ``did you mean 'loss'? Valid: ...``.

    Args:
        name: What was given.
        valid: The names that would have been accepted.

    Returns:
        A phrase to end an error message with.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    suggestion = f"did you mean '{close[0]}'? " if close else ""
    return f"{suggestion}Valid: {', '.join(names)}."
