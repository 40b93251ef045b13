"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys

# In the order of `ganbench --help`.
from benchmarks.cli import train, read, serve, machine  # isort: skip
from benchmarks.cli.options import app

__all__ = ["app", "machine", "main", "read", "serve", "train"]


def main() -> None:
    """Run the command line.

    Exit 0: done; 1: some replicas could not be run, or a report lacks some; 2: the input is wrong; 130: interrupted.
    """
    from gan.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
