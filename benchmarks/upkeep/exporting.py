"""Hand a run to somebody else: one archive that a colleague reads with pandas or R, and without this harness."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from benchmarks.running import reporting
from gan.columns import level_label, setting_columns
from gan.errors import InputError, nearest
from reports.export import columns
from reports.export.archive import Archive, archive
from reports.ledger.ledger import HISTORY, Arrays, Ledger
from reports.pages.study import render
from reports.study.evidence import Evidence, gather, to_json
from reports.tuning.evidence import TunedStudy, gather_tuning
from reports.tuning.tables import trials_table

FORMATS = ("csv", "parquet")
NOT_RESULTS = ("train_seconds",)
"""Columns of the ledger that two equal runs do not share: `provenance.json` has the times."""
_HISTORY = pa.schema([("replica", pa.string()), ("step", pa.int64()), ("metric", pa.string()), ("value", pa.float64())])


@dataclass(frozen=True)
class ExportOptions:
    """What an archive is to hold beside results and histories."""

    format: str = "csv"
    samples: bool = False
    weights: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"--format {self.format}: no such format; {nearest(self.format, FORMATS)}")


@dataclass
class Exported:
    """An archive that was written."""

    archive: str
    studies: list[str] = field(default_factory=list[str])
    files: int = 0
    bytes: int = 0
    incomplete: list[str] = field(default_factory=list[str])
    """What its studies lack, a line each."""


def _name(ledger: Ledger) -> str:
    """Return a study's folder in an archive."""
    return f"{ledger.directory.parent.name}-{ledger.directory.name}"


@dataclass
class _Grid:
    """A ledger that is exported: the study's own, and of a tuned one those of the search and of the winners."""

    part: str
    """Its folder in the archive: empty, ``search/`` or ``tuned/``."""
    evidence: Evidence
    columns: list[columns.Meaning] = field(default_factory=list[columns.Meaning])
    metrics: set[str] = field(default_factory=set[str])

    @property
    def ledger(self) -> Ledger:
        """A tolerant one: what it could not read it names."""
        return self.evidence.ledger

    @property
    def replicas(self) -> dict[str, str]:
        """Replicas by the file that holds them; one that two files hold is taken from the first, as results are."""
        wanted, held = set(self.evidence.results["replica"]), dict[str, str]()
        for cohort in self.ledger.finished_cohorts():
            for replica in self.ledger.results_of(cohort).get("replica", ()):
                if replica in wanted:
                    held.setdefault(replica, cohort)
        return held


def export(
    ledgers: Sequence[Ledger], out: Path | None, options: ExportOptions, *, force: bool = False
) -> list[Exported]:
    """Write archives of run directories.

    Args:
        ledgers: The run directories.
        out: One archive of all of them; without it one each, `<study>-<scale>.zip` in the current directory.
        options: What they hold.
        force: Overwrite archives of before.

    Returns:
        One item an archive.

    Raises:
        InputError: There is nothing to export, or the archive would overwrite a file.
        OSError: The archive cannot be written.
    """
    archives = [(out, list(ledgers))] if out else [(Path(f"{_name(ledger)}.zip"), [ledger]) for ledger in ledgers]
    for path, _ in archives:  # before an hour is spent on the first
        if path.suffix != ".zip":
            raise InputError(f"{path}: expected a name that ends in .zip")
        if path.is_dir() or not path.parent.is_dir():
            raise InputError(f"{path}: expected a file in a folder that is there")
        if path.exists() and not force:
            raise InputError(f"{path}: there is a file of that name; expected another --out, or --force")
    done: list[Exported] = []
    for path, own in archives:
        written = Exported(str(path))
        with archive(path) as opened:
            for ledger in own:
                written.studies.append(ledger.directory.parent.name)
                written.incomplete += _study(opened, ledger, options)
        written.files, written.bytes = len(opened.names), path.stat().st_size
        done.append(written)
    return done


def _study(archive: Archive, ledger: Ledger, options: ExportOptions) -> list[str]:
    """Write a study; return what it lacks, a line each."""
    name, top = ledger.directory.parent.name, f"{_name(ledger)}/"
    tuning = gather_tuning(ledger) if ledger.tuning() else None
    grids, lacking = _grids(ledger, tuning)
    said: list[columns.Meaning] = []
    if tuning:
        archive.add(f"{top}tuning.json", to_json(tuning.record.model_dump()).encode())
        trials = _plain(trials_table(tuning))
        said = columns.of_trials(map(str, trials), tuning.untuned.factors)
        _add_table(archive, f"{top}trials", trials, options.format)
    for grid in grids:
        lacking += _add_grid(archive, top + grid.part, grid, options)
    with tempfile.TemporaryDirectory() as scratch:
        report = reporting.compile_study(ledger, Path(scratch) / "report")
        lacking = reporting.gaps_of(report) + [f"{name}: {line}" for line in lacking]
        for path in sorted(report.parent.rglob("*")):
            if path.is_file():
                archive.add(f"{top}report/{path.relative_to(report.parent).as_posix()}", path.read_bytes())
        readme = _readme(ledger, report, grids, said, lacking, options)
    archive.add(f"{top}README.md", readme.encode())  # the last, for it says what could not be read
    return lacking


def _grids(ledger: Ledger, tuning: TunedStudy | None) -> tuple[list[_Grid], list[str]]:
    grids, lacking = [_Grid("", tuning.untuned if tuning else gather(ledger))], list[str]()
    for part, own in (("search/", ledger.search()), ("tuned/", ledger.tuned())) if tuning else ():
        try:
            grids.append(_Grid(part, gather(own)))
        except InputError as error:
            lacking.append(f"{part}: {str(error).removeprefix(f'{own.directory}: ')}")
    return grids, lacking


def _add_grid(archive: Archive, top: str, grid: _Grid, options: ExportOptions) -> list[str]:
    """Write what one ledger holds; return what it lacks that the report does not say."""
    evidence, ledger, replicas = grid.evidence, grid.ledger, grid.replicas
    results, variants = results_table(evidence), variants_table(evidence)
    grid.columns = columns.of_results(
        map(str, dict.fromkeys([*results, *variants])), evidence.plan, evidence.references
    )
    _add_history(archive, f"{top}history", grid, replicas, options.format)
    for name, content in (("plan", evidence.plan), ("references", evidence.references)):
        archive.add(f"{top}{name}.json", to_json(content).encode())
    archive.add(f"{top}provenance.json", to_json(ledger.provenance()).encode())
    _add_table(archive, f"{top}results", results, options.format)
    for part, read in (("samples", ledger.samples), ("weights", ledger.weights)):
        for replica in sorted(replicas) if getattr(options, part) else ():
            if arrays := read(replica, replicas[replica]):
                archive.add(f"{top}{part}/{replica}.npz", _npz(arrays))
    _add_table(archive, f"{top}variants", variants, "csv")
    said = evidence.complaints if grid.part == "search/" else []  # the report has those of the others
    named = " ".join(evidence.complaints)
    unread = {place: why for place, why in (ledger.unreadable or {}).items() if f"`{place}`" not in named}
    return [f"{grid.part}{': ' if grid.part else ''}{line}" for line in said] + [
        f"`{grid.part}{place}`: {why}" for place, why in unread.items()
    ]


def results_table(evidence: Evidence) -> pd.DataFrame:
    """Return one row a replica: the columns of a report's `results.csv`, then all else that the ledger says of it."""
    rows = evidence.ledger.results()
    more = [name for name in rows if name not in evidence.results and name not in NOT_RESULTS]
    return _plain(evidence.results.merge(rows[["replica", *more]], how="left", on="replica"))


def variants_table(evidence: Evidence) -> pd.DataFrame:
    """Return one row a variant: its level of each factor, and under `variant/<name>` every setting."""
    rows = [
        {"variant": name, **evidence.variants.loc[name].to_dict(), **setting_columns(settings)}
        for name, settings in evidence.plan.variants.items()
    ]
    return _plain(pd.DataFrame(rows))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one type a column, so that every format can hold it: where they are mixed, text."""
    for name in [name for name in table if pd.api.types.is_object_dtype(table[name].dtype)]:
        kinds = {type(value) for value in table[name] if not pd.isna(value)}
        if len(kinds) > 1:
            table[name] = table[name].map(level_label, na_action="ignore")
    return table.infer_objects()


def _add_table(archive: Archive, name: str, table: pd.DataFrame, format: str) -> None:
    with archive.open(f"{name}.{format}") as file:
        if format == "parquet":
            table.to_parquet(file, index=False)
        else:
            _write_csv(table, file, header=True)


def _write_csv(table: pd.DataFrame, file: Any, *, header: bool) -> None:
    """Write numbers with as many digits as it takes to read the same ones again."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    table.to_csv(text, index=False, header=header, lineterminator="\n")
    text.detach()


def _add_history(archive: Archive, name: str, grid: _Grid, replicas: Mapping[str, str], format: str) -> None:
    """Write the histories, of which one cohort's at a time is in memory."""
    with archive.open(f"{name}.{format}") as file, ExitStack() as stack:
        writer = stack.enter_context(parquet.ParquetWriter(file, _HISTORY)) if format == "parquet" else None
        if not writer:
            _write_csv(pd.DataFrame(columns=pd.Index(HISTORY)), file, header=True)
        for rows in _histories(grid, replicas):
            grid.metrics.update(rows["metric"].unique())
            if writer:
                writer.write_table(pa.Table.from_pandas(rows, _HISTORY, preserve_index=False))
            else:
                _write_csv(rows, file, header=False)


def _histories(grid: _Grid, replicas: Mapping[str, str]) -> Iterator[pd.DataFrame]:
    for cohort in grid.ledger.finished_cohorts():
        own = {replica for replica, held in replicas.items() if held == cohort}
        rows = grid.ledger.history_of(cohort) if own else pd.DataFrame()
        if len(rows):
            yield rows.loc[rows["replica"].isin(list(own)), HISTORY].astype({"replica": str, "metric": str})


def _npz(arrays: Arrays) -> bytes:
    """Return arrays as numpy reads them, without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, **cast("dict[str, Any]", dict(sorted(arrays.items()))))
    return buffer.getvalue()


def _readme(
    ledger: Ledger,
    report: Path,
    grids: Sequence[_Grid],
    trials: Collection[columns.Meaning],
    lacking: Sequence[str],
    options: ExportOptions,
) -> str:
    evidence, sessions = grids[0].evidence, [s for g in grids for s in g.ledger.provenance().sessions]
    versions = sessions[-1].versions if sessions else {}
    everything = {meaning[0]: meaning for grid in reversed(grids) for meaning in grid.columns}
    return render(
        "export.md.j2",
        study=evidence.study,
        primary=evidence.primary,
        summary=reporting.summary_of(report),
        command=tuned.command if (tuned := ledger.tuning()) else evidence.plan.command,
        commits=sorted({session.commit for session in sessions if session.commit}),
        versions=[f"{name} {version}" for name, version in versions.items() if version[:1].isdigit()],
        lacking=lacking,
        format=options.format,
        wish=options,
        parts=[grid.part for grid in grids],
        tuned=bool(trials),
        results=list(everything.values()),
        trials=list(trials),
        metrics=columns.of_metrics(sorted({metric for grid in grids for metric in grid.metrics})),
    )
