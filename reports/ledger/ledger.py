"""The ledger: a run directory, and the truth about a run.

    runs/<study>/<scale>/
      plan.json                     what is to be trained, decided once
      references.json               what real data and noise score at the same N
      real.safetensors              some training images, of an image target
      provenance.json               hardware, versions, commit, clock and wall times, tracking ids
      cohorts/<cohort>.parquet      one row a replica; its presence means the cohort is finished
      history/<cohort>.parquet      replica, step, metric, value
      samples/<cohort>.safetensors  <replica>/final, <replica>/progress, <replica>/steps
      weights/<cohort>.safetensors  <replica>/<player>/<tensor>
      scores/<cohort>.parquet       final scores that were taken again from the weights, in place of the row's own
      digests/<cohort>.json         sha256 of these four files; references.json there: of the two shared ones
      checkpoints/<cohort>/         of a cohort in training, where its workers left it
      run.lock                      held by the one process that may write here

A cohort that had to be cut into pieces (`benchmarks/engines/retries.py`) is there as its pieces, each under its own id.

Of a study that was tuned it also holds:

      optuna.log                    every trial, Optuna's journal (unless they are kept elsewhere)
      tuning.json                   what the search found
      search/                       a ledger: the replicas of every trial, on validation seeds and data
      tuned/                        a ledger: the same variants, each with the settings of its best trial

Every file is written under a temporary name, flushed to the disk and renamed: it is there whole or not at all. What is
damaged all the same, by a disk or a hand, `benchmarks/upkeep/integrity.py` sets aside before anything is trained.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from gan.errors import InputError
from gan.files import quarantine, write_atomically
from reports.ledger.records import DIGESTS, REFERENCES, PlanRecord, Provenance, Record, References, problem_in
from reports.ledger.tables import HISTORY, REQUIRED, joined, read_table, stacked, with_scores
from reports.ledger.tuning_record import TuningRecord

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]
FOLDERS = ("cohorts", "history", "samples", "weights", "digests")


class Ledger:
    """One run directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.unreadable: dict[str, str] | None = None
        """Of a tolerant ledger: each file that could not be read, by its place in the directory, and why."""

    def tolerant(self) -> Ledger:
        """Return this ledger for reading what is left of it.

        Its tables and arrays leave out the files that are damaged, foreign or gone, where this one raises, and
        `unreadable` names them. A report is made of what there is; `run` must not train around a damaged file.
        """
        other = copy.copy(self)
        other.unreadable = {}
        return other

    def open_for_writing(self) -> None:
        """Make the directory.

        Raises:
            InputError: It cannot be written to.
        """
        try:
            for part in FOLDERS:
                (self.directory / part).mkdir(parents=True, exist_ok=True)
            probe = self.directory / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"{self.directory}: the runs directory cannot be written to ({error.strerror}); "
                "expected a writable folder, set by --runs-dir"
            ) from None

    # What is there.

    def finished_cohorts(self) -> list[str]:
        """Return the ids of the cohorts whose results are recorded, sorted."""
        return sorted(p.stem for p in (self.directory / "cohorts").glob("*.parquet"))

    def finished(self, *, but_failed: bool = False) -> set[str]:
        """Return the ids of the replicas that have a result, of whatever status, or leave out what could not be run."""
        tables = [self._read("cohorts", c, REQUIRED["cohorts"]) for c in self.finished_cohorts()]
        columns = [[t[name].to_pylist() for name in ("replica", "status")] for t in tables if t is not None]
        rows = [row for ids, statuses in columns for row in zip(ids, statuses, strict=True)]
        return {replica for replica, status in rows if not (but_failed and status == "failed")}

    def results(self) -> pd.DataFrame:
        """Return one row a replica of all finished cohorts, sorted by replica id."""
        tables = [t for c in self.finished_cohorts() if (t := self._read("cohorts", c)) is not None and len(t)]
        if not tables:
            return pd.DataFrame({"replica": pd.Series(dtype="str"), "status": pd.Series(dtype="str")})
        rows = stacked(tables).drop_duplicates("replica").sort_values("replica", ignore_index=True)
        again = [self.scores_of(c) for c in self.finished_cohorts()]
        return with_scores(rows, again)

    def results_of(self, cohort: str) -> pd.DataFrame:
        """Return one row a replica of a finished cohort, in its order."""
        return with_scores(self._table("cohorts", cohort), [self.scores_of(cohort)])

    def scores_of(self, cohort: str) -> pd.DataFrame | None:
        """Return the scores that were taken again: replica, scored_by, scores; None where none were."""
        found = self._read("scores", cohort) if self.file("scores", cohort).exists() else None
        return None if found is None else found.to_pandas()

    def inspect(self) -> dict[str, str]:
        """Return the files of finished cohorts that are gone, damaged or foreign, and what is wrong with each.

        Of histories and samples, which are large, only what tells whether they can be read; and nothing of a cohort
        whose rows are lost, since nothing of it is used.
        """
        reader = self.tolerant()
        for cohort in reader.finished_cohorts():
            if reader._read("cohorts", cohort):
                reader._read("history", cohort, HISTORY[:1])
                reader._keys("samples", cohort)
        return dict(sorted((reader.unreadable or {}).items()))

    def history_of(self, cohort: str, metrics: list[str] | None = None) -> pd.DataFrame:
        """Return the history of a finished cohort."""
        return self._table("history", cohort, metrics)

    def history(self, metrics: list[str] | None = None) -> pd.DataFrame:
        """Return the columns replica, step, metric, value, of the metrics named or of all."""
        return joined(self.history_of(cohort, metrics) for cohort in self.finished_cohorts())

    def places(self) -> dict[str, str]:
        """Return the id of the cohort that holds each finished replica."""
        tables = {c: self._read("cohorts", c, ["replica"]) for c in self.finished_cohorts()[::-1]}
        return {id: cohort for cohort, own in tables.items() if own is not None for id in own["replica"].to_pylist()}

    def samples(self, replica: str, cohort: str | None = None) -> Arrays:
        """Return what a replica generated: `final`, `progress`, `steps`; empty where it left nothing."""
        return self._tensors("samples", replica, cohort)

    def weights(self, replica: str, cohort: str | None = None) -> Arrays:
        """Return a replica's final parameters and buffers by name."""
        return self._tensors("weights", replica, cohort)

    def plan(self) -> PlanRecord:
        """Return `plan.json`.

        Raises:
            InputError: It is not there, or not what was written.
        """
        plan = self.find_plan()
        if plan is None:
            raise InputError(f"{self.directory}: no plan.json there; expected the run directory of a study")
        return plan

    def find_plan(self) -> PlanRecord | None:
        """Return `plan.json`, or None before there is one."""
        return self._record("plan.json", PlanRecord.model_validate_json)

    def begun(self, *, but_failed: bool = False) -> tuple[PlanRecord | None, set[str]]:
        """Return what planning goes on from: the plan that is there, and the replicas that it need not place again.

        What is damaged counts as not there: it is set aside before anything is trained. Without a plan nothing counts
        as placed, so that the cohorts come out as they were.
        """
        reader = self.tolerant()
        plan = reader.find_plan()
        if plan is None or plan.problem_with_cohorts():
            return None, set()
        return plan, reader.finished(but_failed=but_failed)

    def references(self) -> References:
        """Return what real data and noise score, by score; empty before that is recorded."""
        return self._record("references.json", REFERENCES.validate_json) or {}

    def tuning(self) -> TuningRecord | None:
        """Return `tuning.json`, what a search for better settings found; None where there was none."""
        return self._record("tuning.json", TuningRecord.model_validate_json)

    def search(self) -> Ledger:
        """Return the ledger of the trials' replicas."""
        return Ledger(self.directory / "search")

    def tuned(self) -> Ledger:
        """Return the ledger of the variants trained with their best trials' settings."""
        return Ledger(self.directory / "tuned")

    def real_images(self) -> NDArray[Any] | None:
        """Return some training images, uint8 [n, pixels], of an image target."""
        path = self.directory / "real.safetensors"
        try:
            return load_file(path).get("images") if path.exists() else None
        except (OSError, SafetensorError) as error:
            self._refuse(path, "images", error)
            return None

    def provenance(self) -> Provenance:
        """Return hardware, versions and times of the sessions that trained this run; without any before the first."""
        return self._record("provenance.json", Provenance.model_validate_json) or Provenance(sessions=[])

    # Writing.

    def write_cohort(
        self, cohort: str, rows: pd.DataFrame, history: pd.DataFrame, samples: Arrays, weights: Arrays
    ) -> None:
        """Record a finished cohort; its row file, written last, is what makes it finished."""
        contents = {
            "history": history.to_parquet(index=False),
            "samples": save(samples),
            "weights": save(weights),
            "cohorts": rows.to_parquet(index=False),
        }
        self.write_digests(cohort, {part: hashlib.sha256(content).hexdigest() for part, content in contents.items()})
        for part, content in contents.items():  # the rows last
            write_atomically(self.file(part, cohort), content)

    def write_scores(self, cohort: str, scores: pd.DataFrame) -> None:
        """Record final scores that were taken again, beside the cohort's rows, which stay.

        Args:
            cohort: A finished one.
            scores: The columns replica, scored_by and scores; what was recorded so before is merged by the caller.
        """
        self.file("scores", cohort).parent.mkdir(exist_ok=True)
        write_atomically(self.file("scores", cohort), scores.to_parquet(index=False))

    def set_aside_failures(self) -> int:
        """Forget the cohorts that could not be run, so that they are planned again; return how many.

        Their rows stay beside the others under other names; diverged replicas are results and stay.
        """
        failed = [c for c in self.finished_cohorts() if (self.results_of(c)["status"] == "failed").any()]
        return len([quarantine(self.file("cohorts", cohort), "failed") for cohort in failed])

    def digests(self, cohort: str) -> dict[str, str]:
        """Return the sha256 of each part of a cohort; empty where none was written.

        Raises:
            InputError: The file is not what was written.
        """
        return self._record(f"digests/{cohort}.json", DIGESTS.validate_json) or {}

    def write_digests(self, cohort: str, digests: dict[str, str]) -> None:
        """Record what the parts of a cohort will hold, before they are written."""
        write_atomically(self.file("digests", cohort), as_json(digests))

    def drop_checkpoints(self, cohort: str = "*", *, but: Collection[str] = ()) -> None:
        """Delete the checkpoints of a cohort that is recorded, or of all but some; what was set aside there stays."""
        for folder in (f for f in (self.directory / "checkpoints").glob(cohort) if f.name not in but):
            for path in (*folder.glob("*.safetensors"), *folder.glob(".*.tmp")):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def write_json(self, name: str, content: Record | Any) -> None:
        """Write one of the directory's JSON files."""
        write_atomically(self.directory / name, as_json(content.to_json() if isinstance(content, Record) else content))

    # Files.

    def file(self, part: str, cohort: str) -> Path:
        """Return where a part of a cohort lies: one of FOLDERS."""
        tables = dict.fromkeys(("cohorts", "history", "scores"), "parquet")
        suffix = (tables | {"digests": "json"}).get(part, "safetensors")
        return self.directory / part / f"{cohort}.{suffix}"

    def _table(self, part: str, cohort: str, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a whole table, or of a history some metrics."""
        found = self._read(part, cohort, metrics=metrics)
        return pd.DataFrame(columns=pd.Index(REQUIRED[part])) if found is None else found.to_pandas()

    def _read(
        self, part: str, cohort: str, columns: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> pa.Table | None:
        """Read a table; None of a file that a tolerant ledger has noted instead."""
        path = self.file(part, cohort)
        try:
            return read_table(path, part, columns, metrics)
        except Exception as error:  # of damaged bytes a decoder may make anything
            self._refuse(path, "table", error)
            return None

    def _refuse(self, path: Path, kind: str, error: Exception) -> None:
        """Raise for a file that cannot be read; a tolerant ledger notes it, without the place it has on a machine."""
        lines = str(error.args[0] if isinstance(error, KeyError) else error).splitlines() or [type(error).__name__]
        reason = lines[0].replace(str(path), path.name)
        problem = "not there" if isinstance(error, FileNotFoundError) else f"not the {kind} this run wrote ({reason})"
        if self.unreadable is None:
            raise InputError(f"{path}: {problem}; move it away and run again") from None
        self.unreadable[path.relative_to(self.directory).as_posix()] = problem

    def _record(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        """Read a JSON file; None where it is not there, or a tolerant ledger has noted it instead."""
        path = self.directory / name
        if not path.exists():
            return None
        try:
            return parse(path.read_bytes())
        except OSError as error:
            self._refuse(path, "JSON", error)
        except ValidationError as error:
            self._refuse(path, "JSON", ValueError(problem_in(error)))
        return None

    def _tensors(self, part: str, replica: str, cohort: str | None) -> Arrays:
        cohort = cohort or self.places().get(replica)
        keys = [k for k in self._keys(part, cohort) if k.startswith(f"{replica}/")] if cohort else []
        if not (cohort and keys):
            return {}
        with safe_open(self.file(part, cohort), framework="np") as file:
            return {k.removeprefix(f"{replica}/"): file.get_tensor(k) for k in keys}

    def _keys(self, part: str, cohort: str) -> list[str]:
        """Return the names of the arrays that a cohort's file holds."""
        path = self.file(part, cohort)
        try:
            with safe_open(path, framework="np") as file:
                return list(file.keys())
        except (OSError, SafetensorError) as error:
            self._refuse(path, "arrays", error)
            return []


def find_runs(runs_dir: Path) -> list[Ledger]:
    """Return the run directories under `runs_dir`, by study and scale."""
    return [Ledger(plan.parent) for plan in sorted(Path(runs_dir).glob("*/*/plan.json"))]


def as_json(content: Any) -> bytes:
    """Return what one of the directory's JSON files holds."""
    return (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode()
