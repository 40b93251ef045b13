"""The answers: tables, figures and a report a person can read, from a ledger alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.ledger import Ledger

__all__ = ["compile_report", "load_results"]


def compile_report(ledger: Ledger, out: Path) -> Path:
    """Compile a study's report into a folder: see `reports.compile.compile_report`."""
    from reports.compile import compile_report as compile_

    return compile_(ledger, out)


def load_results(run_dir: str | Path) -> pd.DataFrame:
    """Return the tidy results of a run directory, one row a replica, with the columns of `results.csv`.

    Raises:
        InputError: The directory holds no finished replica.
    """
    from benchmarks.ledger import Ledger
    from reports.evidence import gather

    return gather(Ledger(Path(run_dir))).results
