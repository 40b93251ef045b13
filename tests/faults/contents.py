"""All that the end of a run consists of, to compare two ends bit for bit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from reports.ledger.ledger import Ledger

PARTS = ("", "search", "tuned")
"""Where a run directory may hold a ledger."""
SAME = ("plan.json", "references.json", "real.safetensors", "tuning.json")
"""Files of a ledger that two runs of one study share; `provenance.json` has their times and places."""
DIFFERENT = ["train_seconds", "cohort"]
"""Columns that two runs do not share: which file a replica is recorded in depends on what its cohort went through."""


class Contents(dict[str, Any]):
    """What a run directory holds, by place.

    `replica/<ledger>/<id>/...` has the numbers, curves, samples and weights of a replica, `columns/<ledger>` the types
    of the table of results; every other place is that of a file.
    """

    @property
    def replicas(self) -> set[str]:
        """Those that have a result."""
        return {place.removesuffix("/row").removeprefix("replica/") for place in self if place.endswith("/row")}

    def tables(self) -> Contents:
        """Return it without the report."""
        return Contents({place: content for place, content in self.items() if not place.startswith("report/")})

    def of(self, replicas: Collection[str]) -> Contents:
        """Return what it holds of these replicas alone."""
        places = [(place, "/".join(place.split("/")[1:3])) for place in self if place.startswith("replica/")]
        return Contents({place: self[place] for place, replica in places if replica in replicas})


def ledgers_in(directory: Path) -> dict[str, Ledger]:
    """Return the ledgers of a run directory."""
    return {part: Ledger(directory / part) for part in PARTS if (directory / part / "plan.json").exists()}


def contents_of(directory: Path) -> Contents:
    """Read all of a run directory."""
    found = Contents()
    for part, ledger in ledgers_in(directory).items():
        rows = ledger.results().drop(columns=DIFFERENT, errors="ignore").set_index("replica", drop=False)
        found[f"columns/{part}"] = rows.dtypes.astype(str).to_dict()
        for id, row in rows.to_dict(orient="index").items():
            found[f"replica/{part}/{id}/row"] = {column: _bits(value) for column, value in row.items()}
        history = ledger.history().astype({"replica": "str", "metric": "str"}).sort_values("step")
        for (id, metric), curve in history.groupby(["replica", "metric"]):
            found[f"replica/{part}/{id}/{metric}"] = curve["step"].tolist(), curve["value"].to_numpy().tobytes()
        for cohort in ledger.finished_cohorts():
            for id in set(ledger.results_of(cohort)["replica"]):
                for kind, arrays in (("samples", ledger.samples(id, cohort)), ("weights", ledger.weights(id, cohort))):
                    for name, array in arrays.items():
                        place = f"replica/{part}/{id}/{kind}/{name}"
                        found[place] = str(array.dtype), array.shape, array.tobytes()
        found |= {f"{part}/{name}": path.read_bytes() for name in SAME if (path := ledger.directory / name).exists()}
    for path in (directory / "report").rglob("*"):
        if path.is_file() and path.name != "provenance.json":
            found[path.relative_to(directory).as_posix()] = path.read_bytes()
    return found


def _bits(value: Any) -> Any:
    """Return a number so that 0.0 and -0.0 are two, and NaN and nothing one. Columns have the types."""
    if pd.isna(value):
        return None
    return float(value).hex() if isinstance(value, int | float) else value


def differences(truth: Contents, found: Contents) -> list[str]:
    """Name everything in which two ends differ by a bit."""
    said: list[str] = []
    for place in sorted({*truth, *found}):
        wanted, there = truth.get(place), found.get(place)
        if place.endswith("/row") and wanted and there:
            said += [f"{place}: {column}" for column in {*wanted, *there} if wanted.get(column) != there.get(column)]
        elif wanted != there:
            said.append(f"{place}: {'missing' if there is None else 'is there' if wanted is None else 'differs'}")
    return said


def left_behind(directory: Path) -> list[str]:
    """Name what should not outlive a run: temporary files and folders, and checkpoints."""
    runs = directory.parents[1]
    return sorted(
        path.relative_to(runs).as_posix()
        for path in runs.rglob("*")
        if path.name.startswith(".") or path.name.endswith(".tmp") or (path.is_file() and "checkpoints" in path.parts)
    )
