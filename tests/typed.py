"""A command that was typed, and what came of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import typer.main


class Said(NamedTuple):
    """Exit status, standard output and standard error."""

    code: int
    out: str
    err: str


Ganbench = Callable[..., Said]
"""Runs the command line with these words."""

built = functools.cache(typer.main.get_command)
"""The commands, which a process builds once: it types one of them, a test some."""
