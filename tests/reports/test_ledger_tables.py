"""Tables of cohorts are read as pandas would read them, and what is no such table is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reports.ledger.tables import read_table, stacked

ROWS = pd.DataFrame({"replica": ["a", "b"], "status": ["ok", "failed"], "ks": [0.1, np.nan], "failed_step": [None, 3]})
ROWS = ROWS.astype({"failed_step": "Int64"})
HISTORY = pd.DataFrame({"replica": ["a", "a", "b"], "step": [1, 2, 1], "metric": ["x", "y", "x"], "value": [0.1, 2, 3]})
HISTORY = HISTORY.astype({"replica": "category", "metric": "category"})


def test_a_stack_of_tables_is_that_of_pandas(tmp_path: Path) -> None:
    kinds = [ROWS, ROWS.iloc[:1], ROWS.assign(ks=[1, 2]), ROWS.assign(more="x"), ROWS, ROWS]
    paths = [tmp_path / f"{i}.parquet" for i in range(len(kinds))]
    for path, rows in zip(paths, kinds, strict=True):
        rows.to_parquet(path, index=False)
    expected = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    pd.testing.assert_frame_equal(stacked(read_table(path, "cohorts") for path in paths), expected)


@pytest.mark.parametrize("metrics", [None, ["x"], ["y", "z"], ["z"]])
def test_some_metrics_are_read_as_pandas_reads_them(tmp_path: Path, metrics: list[str] | None) -> None:
    path = tmp_path / "history.parquet"
    HISTORY.to_parquet(path, index=False)
    expected = pd.read_parquet(path, filters=[("metric", "in", metrics)] if metrics else None)
    pd.testing.assert_frame_equal(read_table(path, "history", metrics=metrics).to_pandas(), expected)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.drop(columns="status"), "no column status"),
        (ROWS.set_index("replica"), "no column replica"),
        (ROWS.assign(replica=[1, 2]), "holds no ids"),
        (ROWS.assign(replica=pd.Series(["a", None])), "holds no ids"),
    ],
)
def test_what_is_no_table_of_rows_is_refused(tmp_path: Path, rows: pd.DataFrame, said: str) -> None:
    path = tmp_path / "rows.parquet"
    rows.to_parquet(path)
    with pytest.raises((KeyError, ValueError), match=said):
        read_table(path, "cohorts")


def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"replica": broken, "status": ["ok"]}), path)
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        read_table(path, "cohorts")
