"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys

# In the order of `ganbench --help`.
from benchmarks.cli import train, read, keep, serve, conform, machine  # isort: skip
from benchmarks.cli.application import app
from benchmarks.cli.refusal import UsageError, refuse, refuse_words, show_anything

__all__ = ["app", "conform", "keep", "machine", "main", "read", "serve", "train"]


def main() -> None:
    """Run the command line.

    Exit 0: done; 1: some replicas could not be run, or a report lacks some; 2: the input is wrong; 130: interrupted.
    """
    from benchmarks.machine.redaction import guard_tracebacks
    from gan.errors import InputError

    guard_tracebacks()
    show_anything()
    try:
        code = app(prog_name="ganbench", standalone_mode=False)
    except InputError as error:
        refuse(str(error))
        sys.exit(2)
    except UsageError as error:
        refuse_words(error)
        sys.exit(2)
    sys.exit(code or 0)
