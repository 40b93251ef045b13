"""The tables of a ledger: files of some rows each, thousands of which are read and set one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.api.types import union_categoricals

from reports.ledger.records import PlannedReplica

HISTORY = ["replica", "step", "metric", "value"]
REQUIRED = {"cohorts": ["replica", "status"], "history": HISTORY, "scores": ["replica", "scored_by"]}
"""Columns without which a table is not one of this run's."""


def read_table(
    path: Path, part: str, columns: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> pa.Table:
    """Read a table of a cohort.

    Args:
        path: A parquet file.
        part: Of the run directory, a key of `REQUIRED`.
        columns: Only these; all without.
        metrics: Of a history only these; all without.

    Raises:
        Exception: It cannot be read, or is not such a table; of damaged bytes a decoder may make anything.
    """
    # Not pandas.read_parquet: most of its time for a file of some rows goes into looking for more files.
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        kept_by_pandas = (schema.pandas_metadata or {}).get("index_columns", [])  # which are no columns to it
        lacking = [n for n in columns or REQUIRED[part] if n not in schema.names or n in kept_by_pandas]
        if lacking:
            raise KeyError(f"no column {', '.join(lacking)}")
        table = file.read(columns=columns)
    table.validate(full=True)
    if part == "cohorts" and (not _is_text(table.schema.field("replica").type) or table["replica"].null_count):
        raise ValueError("the column replica holds no ids")
    if not metrics:
        return table
    mask = pc.is_in(table["metric"], pa.array(metrics, pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
    found = table.filter(mask)
    return found if len(found) else table.slice(0, 0)  # which knows its categories


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def stacked(tables: Iterable[pa.Table]) -> pd.DataFrame:
    """Return tables one below the other, at least one of them; neighbours of one kind, which most are, at once."""
    kinds = groupby(tables, key=lambda table: (table.schema, table.schema.metadata))
    return pd.concat([pa.concat_tables(own).to_pandas() for _, own in kinds], ignore_index=True)


def with_scores(rows: pd.DataFrame, again: Iterable[pd.DataFrame | None]) -> pd.DataFrame:
    """Return rows of results with the scores that were taken again in place of their own, by replica."""
    found = [scores for scores in again if scores is not None and len(scores)]
    if not found or rows.empty:
        return rows
    scores = pd.concat(found).drop_duplicates("replica").set_index("replica")
    rows = rows.copy()
    for name in scores:
        own = rows[name] if name in rows else pd.Series(float("nan"), index=rows.index)
        rows[name] = rows["replica"].map(scores[name]).where(rows["replica"].isin(scores.index), own)
    return rows


def planned_table(replicas: Iterable[PlannedReplica]) -> pd.DataFrame:
    """Return what a plan asks for, one row a replica: columns id, variant, seed."""
    rows = [(replica.id, replica.variant, replica.seed) for replica in replicas]
    return pd.DataFrame(rows, columns=pd.Index(["id", "variant", "seed"]))


def joined(histories: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return histories one below the other, their names as categories: as texts they would take most of the memory."""
    names = dict.fromkeys(["replica", "metric"], "category")
    nothing = pd.DataFrame(columns=pd.Index(HISTORY)).astype(names | {"step": "int64", "value": "float64"})
    frames = [rows.astype(names) for rows in histories if len(rows)] or [nothing]
    # Sorted, so that what is grouped by a name comes in the names' own order.
    whole = {name: union_categoricals([rows[name] for rows in frames], sort_categories=True) for name in names}
    return pd.concat([rows[["step", "value"]] for rows in frames], ignore_index=True).assign(**whole)[HISTORY]
