"""What a notebook imports: the results of a study as a table, and its report compiled into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from reports.ledger.ledger import Ledger

__all__ = ["PUBLISHED", "compile_report", "load_results"]

PUBLISHED = Path(__file__).parent / "published"
"""The reports that this repository publishes, a folder each."""


def compile_report(ledger: Ledger, out: Path) -> Path:
    """Compile a study's report into a folder: see `reports.pages.study.compile_report`."""
    from reports.pages.study import compile_report as compile_

    return compile_(ledger, out)


def load_results(study: str | Path) -> pd.DataFrame:
    """Return the tidy results of a study, one row a replica, with the columns of `results.csv`.

    Args:
        study: The name of a study whose report is published in this repository ("gaussian"), or a run directory
            (`runs/<study>/<scale>`), or a folder with a report's `results.csv`.

    Returns:
        Scores in their own units; NaN where a replica has none.

    Raises:
        InputError: There is no such study, or the run directory holds no finished replica.
    """
    import pandas as pd

    from gan.errors import InputError, nearest
    from reports.ledger.ledger import Ledger
    from reports.study.evidence import gather

    if (Path(study) / "plan.json").exists():
        return gather(Ledger(Path(study))).results
    for folder in (PUBLISHED / study, Path(study)):
        if (folder / "results.csv").exists():
            # Only an empty cell is missing: a level may well be called "None" or "NA".
            return pd.read_csv(folder / "results.csv", keep_default_na=False, na_values=[""])
    names = [path.parent.name for path in PUBLISHED.glob("*/results.csv")]
    raise InputError(
        f"{study}: neither a published study nor a run directory with a plan.json; {nearest(str(study), names)}"
    )
