"""All that the end of a run consists of, to set two ends side by side bit for bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from reports.ledger.ledger import Ledger

PARTS = ("", "search", "tuned")
"""Where a run directory may hold a ledger."""
SAME = ("plan.json", "references.json", "real.safetensors", "tuning.json")
"""Files of a ledger that two runs of one study share; `provenance.json` tells when and where."""
WALL_TIMES = ["train_seconds"]
"""Columns of the rows that two runs do not share."""


@dataclass(frozen=True)
class Contents:
    """What a run directory holds.

    Attributes:
        rows: A table a ledger, sorted by replica, without wall times.
        history: A table a ledger, in an order that does not depend on cohorts.
        arrays: Samples and weights: type, shape and bytes by place and name.
        files: Bytes by place, of the report too.
    """

    rows: dict[str, pd.DataFrame] = field(default_factory=dict[str, pd.DataFrame], repr=False)
    history: dict[str, pd.DataFrame] = field(default_factory=dict[str, pd.DataFrame], repr=False)
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]] = field(default_factory=dict[str, Any], repr=False)
    files: dict[str, bytes] = field(default_factory=dict[str, bytes], repr=False)

    @property
    def replicas(self) -> set[str]:
        """Those that have a result."""
        return {f"{part}/{id}" for part, rows in self.rows.items() for id in rows["replica"]}

    def tables(self) -> Contents:
        """Return it without the report."""
        files = {place: content for place, content in self.files.items() if not place.startswith("report/")}
        return replace(self, files=files)

    def of(self, replicas: Collection[str]) -> Contents:
        """Return what it holds of these replicas alone, and no files."""
        found = Contents()
        for of_all, ours in ((self.rows, found.rows), (self.history, found.history)):
            for part, table in of_all.items():
                wanted = f"{part}/" + table["replica"]
                ours[part] = table[wanted.isin(list(replicas))].reset_index(drop=True)
        for place, array in self.arrays.items():
            part, _, id = place.split("/")[:3]
            if f"{part}/{id}" in replicas:
                found.arrays[place] = array
        return found


def ledgers_in(directory: Path) -> dict[str, Ledger]:
    """Return the ledgers of a run directory."""
    return {part: Ledger(directory / part) for part in PARTS if (directory / part / "plan.json").exists()}


def contents_of(directory: Path) -> Contents:
    """Read all of a run directory."""
    found = Contents()
    for part, ledger in ledgers_in(directory).items():
        rows = ledger.results()
        found.rows[part] = rows.drop(columns=WALL_TIMES, errors="ignore")
        history = ledger.history().astype({"replica": "str", "metric": "str"})
        found.history[part] = history.sort_values(["replica", "metric", "step"], ignore_index=True)
        for cohort in ledger.finished_cohorts():
            for id in set(ledger.results_of(cohort)["replica"]):
                for kind, arrays in (("samples", ledger.samples(id, cohort)), ("weights", ledger.weights(id, cohort))):
                    for name, array in arrays.items():
                        place = f"{part}/{kind}/{id}/{name}"
                        found.arrays[place] = str(array.dtype), array.shape, array.tobytes()
        for name in SAME:
            path = ledger.directory / name
            if path.exists():
                found.files[f"{part}/{name}"] = path.read_bytes()
    report = directory / "report"
    for path in sorted(report.rglob("*")):
        if path.is_file() and path.name != "provenance.json":
            found.files[path.relative_to(directory).as_posix()] = path.read_bytes()
    return found


def differences(truth: Contents, found: Contents) -> list[str]:
    """Name everything in which two ends differ by a bit."""
    return list(_differences(truth, found))


def _differences(truth: Contents, found: Contents) -> Iterator[str]:
    for kind in ("rows", "history", "arrays", "files"):
        wanted, there = getattr(truth, kind), getattr(found, kind)
        for place in sorted({*wanted, *there}):
            if place not in there or place not in wanted:
                yield f"{kind} {place}: {'missing' if place in wanted else 'should not be there'}"
            elif isinstance(wanted[place], pd.DataFrame):
                yield from _of_tables(f"{kind} {place}", wanted[place], there[place])
            elif wanted[place] != there[place]:
                yield f"{kind} {place}"


def _of_tables(name: str, wanted: pd.DataFrame, there: pd.DataFrame) -> Iterator[str]:
    # In which file a replica is recorded tells what its cohort went through, and nothing of the replica.
    wanted, there = (table.drop(columns="cohort", errors="ignore") for table in (wanted, there))
    if list(wanted) != list(there) or len(wanted) != len(there):
        other = sorted({*map(str, there)} ^ {*map(str, wanted)})
        yield f"{name}: {len(there)} rows, not {len(wanted)}; columns in one of them alone: {other}"
        return
    # Bit for bit: equal numbers of other types, or 0.0 for -0.0, are no equals.
    yield from (f"{name}: {column}" for column in wanted if not _same(wanted[column], there[column]))


def _same(wanted: pd.Series, there: pd.Series) -> bool:
    if wanted.dtype != there.dtype:
        return False
    if wanted.dtype.kind == "f":
        return wanted.to_numpy().tobytes() == there.to_numpy().tobytes()
    return wanted.equals(there)


def left_behind(directory: Path) -> list[str]:
    """Name what should not outlive a run: temporary files and folders, and checkpoints."""
    names: list[str] = []
    for path in directory.parents[1].rglob("*"):
        place = path.relative_to(directory.parents[1]).as_posix()
        temporary = path.name.startswith(".") or path.name.endswith(".tmp")
        if temporary or (path.is_file() and "checkpoints" in path.parts):
            names.append(place)
    return sorted(names)
