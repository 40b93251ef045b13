"""A command that was typed, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Said(NamedTuple):
    """Exit status, standard output and standard error."""

    code: int
    out: str
    err: str


Ganbench = Callable[..., Said]
"""Runs the command line with these words."""
