"""How the command line refuses: one message on stderr, which any terminal can show."""

from __future__ import annotations

import io
import sys
from typing import Any, Final

import typer

from benchmarks.machine.redaction import without_credentials
from gan.errors import nearest, printable

UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]
"""Of everything that is wrong with the words of a command; typer has no public name for it."""


def refuse(message: str) -> None:
    """Say what is wrong with the input."""
    print(f"error: {printable(without_credentials(message))}", file=sys.stderr)


def refuse_words(error: Any) -> None:
    """Say what is wrong with the words of a command; without any, show what there is instead."""
    if len(sys.argv) == 1:
        print(error.format_message())
    else:
        refuse(_usage(error))


def _usage(error: Any) -> str:
    """Return in one line what is wrong with the words of a command, and what was expected."""
    command: Any = error.ctx.command if error.ctx else None
    path = error.ctx.command_path if error.ctx else "ganbench"
    said = " ".join(error.format_message().split()).rstrip(".")
    said = said.replace("Invalid value for ", "").replace("Input should be ", "expected ")
    if hasattr(error, "possibilities"):
        options = [option for param in command.params for option in param.opts if option.startswith("--")]
        return f"{path} {error.option_name}: no such option; {nearest(error.option_name, [*options, '--help'])}"
    if said.startswith("No such command"):
        name = said.split("'")[1]
        return f"{path} {name}: no such command; {nearest(name, command.commands)}"
    return f"{path}: {said}" if "expected " in said else f"{path}: {said}; expected what `{path} --help` says"


def show_anything() -> None:
    """Let output be shown where the locale lacks letters, instead of ending in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
