"""The mirror of one study at one scale: an experiment per study, a parent run per variant, a child run per replica.

Of a tuned study the variants are there twice, untuned and tuned, distinguished by the tag `stage`; between them is the
search, with one run a trial and none a replica: hundreds of children would bury what a person compares.

The ledger is the truth and this is a copy for people who browse: one thread of the coordinator writes it, behind the
training. Recording is idempotent: a run is found again by what it stands for, that of a replica by the replica's id. So
what could not be recorded is recorded by the next push, of this session or `ganbench sync`. What goes wrong here
is remembered and reported once; it never reaches the runner. After a failure the store is asked again what it holds
before more is written, so that no lost answer makes a second run.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tracking import tracked
from benchmarks.tracking.background import Background, Job
from benchmarks.tracking.mirrored import catch_up, default_tracking_uri
from benchmarks.tracking.store import PARENT, Point, Run, Store, deduplicate, is_remote
from gan.replica import Scoring, digest_of
from gan.verdict import Curves
from reports.ledger.records import MirrorRecord, PlanRecord, References
from reports.ledger.verdicts import LAYERS, curves_of, judge_replica

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = 120.0  # seconds that the end of a study waits for the mirror
RETRY_PAUSES = (1.0, 4.0)  # seconds, at the end of a study, for what could not be written before
SEARCH, TUNED = "search", "tuned"  # stages of a study that is tuned, after "untuned"; others have none

Samples = Callable[[str], Mapping[str, np.ndarray]]
Row = dict[str, Any]  # of a cohort's results


class Mirror:
    """Writes one study at one scale to a tracking store, behind the training.

    Args:
        runs_dir: Where runs live; holds the default database and the artifacts.
        plan: The ledger's: the study, the variants and the replicas that each is to have.
        tracking_uri: Another store; a server keeps the artifacts itself.
        git_commit: Commit of the code that trains, for the tags.
        retry_pauses: Seconds before each further attempt at what could not be written, at the end.
        references: Reads what real data score, by score, when a replica is judged; without it none has a verdict.
        trials: Further tags of variants' runs, such as which trial of which Optuna study one is. Their runs are made
            at once, so that a trial knows its run while it trains.
        objective: From a variant's results, further metrics of its run.
        store: Opens the store; tests have one of their own.
    """

    def __init__(
        self,
        runs_dir: Path,
        plan: PlanRecord,
        *,
        tracking_uri: str | None = None,
        git_commit: str = "",
        retry_pauses: Sequence[float] = RETRY_PAUSES,
        references: Callable[[], References] | None = None,
        trials: Mapping[str, Mapping[str, str]] | None = None,
        objective: Callable[[list[Row]], Mapping[str, float]] | None = None,
        store: Callable[[str], Store] | None = None,
    ) -> None:
        self._runs_dir = runs_dir.resolve()
        self._uri = tracking_uri or default_tracking_uri(runs_dir)
        self._plan, self._study, self._variants, self._stage = plan, plan.study, plan.variants, plan.study.stage
        self._command, self._commit = plan.command, git_commit
        self._references, self._trials, self._objective = references, trials or {}, objective
        planned: defaultdict[str, set[str]] = defaultdict(set)
        for replica in plan.replicas:
            planned[replica.variant].add(replica.id)
        self._planned = dict(planned)
        self._rows: dict[str, Row] = {}  # how each replica ended
        self._pushed: set[str] = set()
        # What the store holds; to be learnt again where it is not known.
        # The default database belongs to this project alone, and `ganbench sync` makes it again.
        self._store = store(self._uri) if store else Store(self._uri, expendable=tracking_uri is None)
        self._known = False
        self._parents: dict[str, Run] = {}
        self._replicas: dict[str, Run] = {}
        self._catch_up = catch_up(self._study, runs_dir, tracking_uri)
        self._experiment, self._created, self._removed, self._start_seconds = "", 0, 0, 0.0
        self._jobs = Background("mlflow-mirror", self._learn, retry_pauses)
        if self._trials:
            self._put(self._announce)

    def push(self, results: pd.DataFrame, history: Callable[[], pd.DataFrame], samples: Samples | None = None) -> None:
        """Mirror a finished cohort, later. What the store already has is left as it is.

        Args:
            results: One row a replica, as the ledger keeps them.
            history: Reads the cohort's history (columns replica, step, metric, value) when it is needed.
            samples: From a replica's id to its arrays "final" [n, D], "progress" [evaluations, n, D] and
                "steps" [evaluations], as `Ledger.samples`; called only for replicas not yet mirrored.
        """
        rows = [{str(name): value for name, value in row.items()} for row in results.to_dict("records")]
        self._pushed.update(row["replica"] for row in rows)
        self._put(lambda: self._write_cohort(rows, history, samples))

    def describe(self, answer: str = "", report: str = "") -> None:
        """Put the study's question, its answer and where the report is on the experiment, later."""
        self._put(lambda: self._store.describe(self._experiment, self._note(answer, report)))

    def close(self, timeout: float | None = PATIENCE) -> MirrorRecord:
        """Wait until all is written or given up, and say what was done.

        Args:
            timeout: Seconds to wait at most; None: as long as anything gets done.
        """
        self._jobs.close(timeout)
        over = {id: run.id for id, run in dict(self._replicas).items() if run.over}
        parents = {variant: run.id for variant, run in dict(self._parents).items()}
        if self._stage == SEARCH:  # a trial's run is all that is mirrored of its replicas
            over = {id: parents[v] for v in parents if self._is_summed(v) for id in self._planned.get(v, ())}
        return MirrorRecord(
            experiment=self._experiment,
            parents=parents,
            replicas=over,
            runs_created=self._created,
            removed=self._removed,
            start_seconds=self._start_seconds,
            write_seconds=self._jobs.seconds - self._start_seconds,
            missing=len(self._due() - over.keys()),
            error=self._jobs.error,
            catch_up=self._catch_up,
        )

    def _due(self) -> set[str]:
        """Return the replicas that are to be mirrored by now: a trial's once all of them are there."""
        if self._stage != SEARCH:
            return self._pushed
        return {id for planned in self._planned.values() if planned <= self._pushed for id in planned}

    # What the store holds.

    def _put(self, job: Job) -> None:
        def write() -> None:
            self._known = False  # unless the job is done: of a call that failed nobody knows what the store made
            job()
            self._known = True

        self._jobs.put(write)

    def _learn(self) -> None:
        """Open the store, make the experiment, learn its runs, and put right what is there twice; unless known."""
        if self._known:
            return
        start, name = time.perf_counter(), self._study.name
        try:
            # Explicit, because the default is the current directory; a server has its own place.
            location = None if is_remote(self._uri) else (self._runs_dir / "mlartifacts" / name).as_uri()
            self._experiment = self._store.experiment(name, location, self._note("", ""))
            where = f"tags.scale = '{self._study.scale}'"
            # Runs of no stage have no such tag, and MLflow cannot ask for that.
            where += f" and tags.stage = '{self._stage}'" if self._stage else ""
            found = self._store.runs(self._experiment, where)
            runs, extras = deduplicate(run for run in found if run.tags.get("stage", "") == self._stage)
            instead = {extra.id: runs[extra.key].id for extra in extras}
            for run in runs.values():
                if parent := instead.get(run.tags.get(PARENT, "")):
                    self._store.tag(run.id, PARENT, parent)
            for extra in extras:
                self._store.delete(extra)
                self._removed += 1
            self._replicas = {key[0]: run for key, run in runs.items() if len(key) == 1}
            # Of a variant with other settings the study was edited since.
            parents = [(*key, run) for key, run in runs.items() if len(key) == 2]
            self._parents = {v: run for v, settings, run in parents if settings == self._settings(v)}
            self._known = True
        finally:
            self._start_seconds += time.perf_counter() - start

    def _settings(self, variant: str) -> str:  # a digest of what a parent run stands for
        scoring = Scoring.from_settings(self._study.scoring).changed()
        return digest_of([self._variants.get(variant), self._study.target, self._study.steps, scoring])

    # Writing.

    def _note(self, answer: str, report: str) -> str:
        factors = ", ".join(self._study.factors)
        runs = factors and f"A run is a variant, named by its level of {factors}; the runs below it are its seeds."
        parts = [self._study.title, self._study.question, answer, runs]
        place = f"a run named 'report of scale {self._study.scale}' holds the report as a page"
        where = report and f"Report: {report}; {place}."
        return "\n\n".join(part for part in [*parts, where] if part)

    def _create(self, name: str, tags: Mapping[str, Any], start: float) -> Run:
        """Create a run. `start` is in seconds since 1970."""
        common = {
            "study": self._study.name,
            "scale": self._study.scale,
            "stage": self._stage,
            "git_commit": self._commit,
            "mlflow.source.git.commit": self._commit,
            "mlflow.source.name": self._command,
        }
        texts = {key: tracked.text(value) for key, value in {**common, **tags}.items() if tracked.text(value)}
        run = self._store.create(self._experiment, name, texts, int(start * 1000))
        self._created += 1
        return run

    def _write_cohort(self, rows: list[Row], history: Callable[[], pd.DataFrame], samples: Samples | None) -> None:
        self._rows |= {row["replica"]: tracked.outcome(row) for row in rows}
        new = [row for row in rows if self._stage != SEARCH and not self._is_mirrored(row)]
        curves = curves_of(history(), but=(LAYERS,)) if new else {}
        for row in new:
            if self._jobs.abandoned.is_set():
                raise TimeoutError("nobody waited any longer")
            arrays = samples(row["replica"]) if samples else {}
            self._write_replica(row, curves.get(row["replica"], {}), arrays)
        # By the plan, not by the rows: two trials that drew the same settings share their replicas.
        here = {row["replica"] for row in rows}
        for variant in [variant for variant, planned in self._planned.items() if planned & here]:
            self._write_aggregates(variant)

    def _is_mirrored(self, row: Row) -> bool:
        run = self._replicas.get(row["replica"])
        return run is not None and run.over and not _is_outdated(run, row)

    def _write_replica(self, row: Row, curves: Curves, samples: Mapping[str, np.ndarray]) -> None:
        replica, seconds = row["replica"], float(row.get("train_seconds", 0.0))
        seconds = seconds if math.isfinite(seconds) else 0.0
        if replica in self._replicas and _is_outdated(self._replicas[replica], row):
            self._store.delete(self._replicas.pop(replica))
        run = self._replicas.get(replica)
        if run is None:
            own = {name: row.get(name) for name in tracked.IDENTITY if name != "steps"}
            judged = judge_replica(row, curves, self._plan, self._references()) if self._references else None
            own |= {PARENT: self._parent(row).id, "verdict": judged.verdict if judged else ""}
            run = self._create(f"seed={row['seed']} {self._title(row['variant'])}", own, time.time() - seconds)
            self._replicas[replica] = run
        # Timestamps hang on the run's start, so that writing a half-written run again adds nothing twice.
        steps = max(int(row["steps"]), 1)
        points: list[Point] = [
            (name, value, run.start + int(1000 * seconds * step / steps), step)
            for name, series in tracked.metrics(row, curves).items()
            for step, value in series
        ]
        self._store.log(run, points, tracked.params(row, ("target", "steps", "seed", "device")))
        self._store.add_files(run, tracked.files(curves, samples))
        self._store.finish(run, "FINISHED" if row["status"] == "ok" else "FAILED", run.start + int(1000 * seconds))
        run.over = True

    def _title(self, variant: str) -> str:
        """Name a variant by its levels, first what it is: MLflow's list of runs shows twenty letters of a name."""
        levels = re.sub(r"(?<!\S)(?!trial=)\w+=", "", variant) or self._study.name
        return f"{TUNED} {levels}" if self._stage == TUNED else levels

    def _unit(self) -> str:
        return "validation seeds" if self._stage == SEARCH else "seeds, which are the runs below it"

    def _parent(self, row: Row) -> Run:
        variant, run = row["variant"], self._parents.get(row["variant"])
        if run is None:
            tags = {"variant": variant, "target": row["target"], "settings": self._settings(variant)}
            tags["mlflow.note.content"] = f"Variant: {variant}. Each `median/` is a median over its {self._unit()}."
            run = self._create(self._title(variant), {**tags, **self._trials.get(variant, {})}, time.time() - 1)
            self._parents[variant] = run
        if not run.params:  # or it was made, and then an answer was lost
            run.params = tracked.params(row, ("target", "steps"))
            self._store.log(run, [], run.params)
        return run

    def _announce(self) -> None:
        """Make the runs of the trials, and correct the tags of those that stand for another trial by now."""
        for variant in self._planned:
            run = self._parent(tracked.planned(self._study, variant, self._variants.get(variant, {})))
            for key, value in self._trials.get(variant, {}).items():
                if run.tags.get(key) != value:
                    self._store.tag(run.id, key, value)
                    run.tags[key] = value

    def _write_aggregates(self, variant: str) -> None:
        """Once every planned replica of a variant is known: medians and failures, on the parent."""
        planned = self._planned[variant]
        if not planned <= self._rows.keys():
            return
        chosen = [self._rows[replica] for replica in sorted(planned)]
        values = tracked.aggregates(chosen) | dict(self._objective(chosen) if self._objective else {})
        said = tracked.planned(self._study, variant, self._variants.get(variant, {}))
        run = self._parent({**said, **chosen[0], "variant": variant})
        values = {name: float(value) for name, value in values.items() if tracked.is_finite(value)}
        new = {name: value for name, value in values.items() if not _is_same(run.metrics.get(name), value)}
        if not new and run.over:
            return
        now = int(time.time() * 1000)
        at = now if run.metrics else run.start  # the first time the same in all attempts: no point is there twice
        if new:
            self._store.log(run, [(name, value, at, 0) for name, value in new.items()], {})
        self._store.finish(run, "FINISHED", now)
        run.metrics |= new
        run.over = True

    def _is_summed(self, variant: str) -> bool:
        run = self._parents[variant]
        return run.over and run.metrics.get("replicas") == len(self._planned.get(variant, ()))


def _is_same(there: float | None, value: float) -> bool:
    return there is not None and math.isclose(there, value, rel_tol=1e-12)


def _is_outdated(run: Run, row: Row) -> bool:
    """Say whether a run tells of a failure, and the replica was trained since."""
    return run.tags.get("status") == "failed" and row["status"] != "failed"
