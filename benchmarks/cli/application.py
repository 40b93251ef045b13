"""The application, and what its commands share."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, get_type_hints

import typer

from benchmarks.options import Names, RunOptions

app = typer.Typer(
    name="ganbench",
    help="Ask why a GAN trains or fails: run a grid of variants with many seeds, and read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def train_command(without: Collection[str]) -> Callable[[Callable[[list[str], RunOptions], None]], Any]:
    """Register a command that takes names of studies and the fields of `RunOptions` as options.

    Args:
        without: The fields that it does not take.
    """

    def register(command: Callable[[list[str], RunOptions], None]) -> Callable[..., None]:
        def called(names: list[str] | None, **given: Any) -> None:
            command(names or [], RunOptions(**given))

        hints = get_type_hints(RunOptions, include_extras=True)
        taken = {"names": (Names, None)}
        taken |= {field.name: (hints[field.name], field.default) for field in fields(RunOptions)}
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for name, (kind, default) in taken.items()
            if name not in without
        ]
        called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        called.__doc__ = command.__doc__
        return app.command(command.__name__)(called)

    return register


def emit(content: Any, as_json: bool, show: Any) -> None:
    """Print a result as JSON, or let `show` print it for a person."""
    if as_json:
        # A reader must get JSON, whatever letters the locale has.
        plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        print(json.dumps(content, indent=1, ensure_ascii=plain, default=str))
    else:
        show(content)
