"""MLflow mirrors the ledger: an experiment per study, a parent run per variant, a child run per replica.

The ledger is the truth and this is a copy for people who browse: one thread of the coordinator writes it,
behind the training. What goes wrong here is remembered and reported once; it never reaches the runner.
Only this module knows MLflow, which takes seconds to import and is imported when first needed.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from benchmarks import tracked
from gan.replica import digest_of

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

BATCH = 800  # metrics of one call: with the params it stays below the 1,000 entities a call may hold
RETRY_PAUSES = (1.0, 4.0)  # seconds, at the end of a study, for what could not be written before

# MLflow's own patience is minutes; with the ledger as the truth there is no reason to wait: try again later.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

Samples = Callable[[str], Mapping[str, np.ndarray]]
Row = dict[str, Any]  # of a cohort's results
Point = tuple[str, float, int, int]  # metric, value, milliseconds since 1970, step


@dataclass
class MirrorStats:
    """What the mirror did. The ids belong in `provenance.json`."""

    experiment: str = ""
    parents: dict[str, str] = field(default_factory=dict[str, str])
    """Run id of each variant."""
    replicas: dict[str, str] = field(default_factory=dict[str, str])
    """Run id of each replica that is mirrored, now or in an earlier session."""
    runs_created: int = 0
    start_seconds: float = 0.0
    """Importing MLflow, opening the database and reading what is there: once a session."""
    write_seconds: float = 0.0
    """Everything else, in the background."""
    missing: int = 0
    """Replicas that could not be mirrored; pushing their cohort again, in any session, mirrors them."""
    error: str = ""

    @property
    def warning(self) -> str:
        """Return one line for a person, empty when all is well."""
        if not self.missing and not self.error:
            return ""
        reason = " ".join(self.error.split())[:300] or "the tracking store did not answer in time"
        return f"MLflow: {self.missing} finished replicas are not mirrored yet (the ledger has them): {reason}"


def default_tracking_uri(runs_dir: Path) -> str:
    """Return the URI of the database that lies in the runs directory."""
    return f"sqlite:///{runs_dir.resolve().as_posix()}/mlflow.db"


def ui_command(runs_dir: Path, port: int = 5000, tracking_uri: str | None = None) -> list[str]:
    """Return the command line that shows the mirror in a browser, on this machine alone."""
    uri = tracking_uri or default_tracking_uri(runs_dir)
    artifacts = (runs_dir.resolve() / "mlartifacts").as_uri()
    store = ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    # One worker: MLflow's default of four costs four times its start and memory, for one reader.
    options = f"--host 127.0.0.1 --port {port} --workers 1".split()
    return [sys.executable, "-m", "mlflow", "server", *store, *options]


class Mirror:
    """Writes one study at one scale to MLflow, behind the training.

    Args:
        runs_dir: Where runs live; holds the default database and the artifacts.
        plan: The ledger's `plan.json`: the study, the variants and the replicas that each is to have.
        tracking_uri: Another store; a server keeps the artifacts itself.
        git_commit: Commit of the code that trains, for the tags.
        retry_pauses: Seconds before each further attempt at what could not be written, at the end.
        references: Reads what real data score, by score, when a replica is judged; without it none has a verdict.
    """

    def __init__(
        self,
        runs_dir: Path,
        plan: Mapping[str, Any],
        *,
        tracking_uri: str | None = None,
        git_commit: str = "",
        retry_pauses: Sequence[float] = RETRY_PAUSES,
        references: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._runs_dir = runs_dir.resolve()
        self._uri = tracking_uri or default_tracking_uri(runs_dir)
        self._study: Mapping[str, Any] = plan["study"]
        self._variants: Mapping[str, Any] = plan.get("variants", {})
        self._command, self._commit = str(plan.get("command", "")), git_commit
        self._retry_pauses, self._references = retry_pauses, references
        self._planned: defaultdict[str, set[str]] = defaultdict(set)
        for replica in plan["replicas"]:
            self._planned[replica["variant"]].add(replica["id"])
        self._rows: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._pushed: set[str] = set()
        self._unfinished: dict[str, Run] = {}
        self._complete: dict[str, int] = {}  # variant: replicas in its aggregates
        self._client: MlflowClient | None = None
        self._stats = MirrorStats()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: a server that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def push(self, results: pd.DataFrame, history: Callable[[], pd.DataFrame], samples: Samples | None = None) -> None:
        """Mirror a finished cohort, later. What MLflow already has is left as it is.

        Args:
            results: One row a replica, as the ledger keeps them.
            history: Reads the cohort's history (columns replica, step, metric, value) when it is needed.
            samples: From a replica's id to its arrays "final" [n, D], "progress" [evaluations, n, D] and
                "steps" [evaluations], as `Ledger.samples`; called only for replicas not yet mirrored.
        """
        rows = [{str(name): value for name, value in row.items()} for row in results.to_dict("records")]
        self._pushed.update(row["replica"] for row in rows)
        self._jobs.put(lambda: self._write_cohort(rows, history, samples))

    def describe(self, answer: str = "", report: str = "") -> None:
        """Put the study's question, its answer and where the report is on the experiment, later."""
        self._jobs.put(lambda: self._write_note(answer, report))

    def close(self, timeout: float = 120.0) -> MirrorStats:
        """Wait until all is written, for at most `timeout` seconds, and say what was done."""
        self._jobs.put(None)
        self._thread.join(timeout)
        self._stats.missing = len(self._pushed - set(self._stats.replicas))
        return replace(self._stats, parents=dict(self._stats.parents), replicas=dict(self._stats.replicas))

    def _work(self) -> None:
        waiting: list[Callable[[], None]] = []
        for job in iter(self._jobs.get, None):
            if self._done(job):
                waiting = [w for w in waiting if not self._done(w)]  # the store is back
            else:
                waiting.append(job)
        for pause in self._retry_pauses:
            if waiting:
                time.sleep(pause)
                waiting = [w for w in waiting if not self._done(w)]
        if not waiting:
            self._stats.error = ""

    def _done(self, job: Callable[[], None]) -> bool:
        """Run a job; on any failure remember why. A job may be run again: it picks up where it stopped."""
        began = time.perf_counter() - self._stats.start_seconds
        try:
            job()
        except Exception as error:
            self._stats.error = f"{type(error).__name__}: {error}"
            return False
        finally:
            self._stats.write_seconds += time.perf_counter() - self._stats.start_seconds - began
        return True

    def _connect(self) -> MlflowClient:
        """Open the store once, make the experiment, and learn which runs it has."""
        if self._client is not None:
            return self._client
        start = time.perf_counter()
        try:
            client = _open(self._uri)
            self._stats.experiment = self._find_or_create_experiment(client)
            for run in _runs(client, self._stats.experiment, f"tags.scale = '{self._study['scale']}'"):
                self._remember(run)
            self._client = client
        finally:
            self._stats.start_seconds += time.perf_counter() - start
        return client

    def _find_or_create_experiment(self, client: MlflowClient) -> str:
        name = str(self._study["name"])
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # Explicit, because the default is the current directory; a server has a place of its own.
            remote = urlsplit(self._uri).scheme in ("http", "https")
            location = None if remote else (self._runs_dir / "mlartifacts" / name).as_uri()
            return client.create_experiment(name, location, tags={"mlflow.note.content": self._note("", "")})
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _remember(self, run: Run) -> None:
        replica, over = run.data.tags.get("replica"), run.info.status in ("FINISHED", "FAILED")
        if replica is None:
            variant = run.data.tags.get("variant", "")
            if run.data.tags.get("settings") == self._settings(variant):  # else of a study edited since
                self._stats.parents[variant] = run.info.run_id
                self._complete[variant] = int(run.data.metrics.get("replicas", 0)) if over else 0
        elif over:
            self._stats.replicas[replica] = run.info.run_id
        else:
            self._unfinished[replica] = run

    def _create(self, name: str, tags: Mapping[str, Any], start: float) -> Run:
        """Create a run. `start` is in seconds since 1970."""
        common = {
            "study": self._study["name"],
            "scale": self._study["scale"],
            "git_commit": self._commit,
            "mlflow.source.git.commit": self._commit,
            "mlflow.source.name": self._command,
        }
        texts = {key: tracked.text(value) for key, value in {**common, **tags}.items() if tracked.text(value)}
        run = self._connect().create_run(self._stats.experiment, int(start * 1000), texts, name)
        self._stats.runs_created += 1
        return run

    def _note(self, answer: str, report: str) -> str:
        parts = [str(self._study.get("title", "")), str(self._study.get("question", "")), answer]
        return "\n\n".join(part for part in [*parts, f"Report: {report}" if report else ""] if part)

    def _write_note(self, answer: str, report: str) -> None:
        note = self._note(answer, report)
        self._connect().set_experiment_tag(self._stats.experiment, "mlflow.note.content", note)

    def _write_cohort(self, rows: list[Row], history: Callable[[], pd.DataFrame], samples: Samples | None) -> None:
        self._connect()
        for row in rows:
            self._rows[row["variant"]][row["replica"]] = row
        new = [row for row in rows if row["replica"] not in self._stats.replicas]
        curves = tracked.split_curves(history()) if new else {}
        for row in new:
            arrays = samples(row["replica"]) if samples else {}
            self._write_replica(row, curves.get(row["replica"], {}), arrays)
        for variant in {row["variant"]: None for row in rows}:
            self._write_aggregates(variant)

    def _write_replica(self, row: Row, curves: tracked.Curves, samples: Mapping[str, np.ndarray]) -> None:
        client, replica, seconds = self._connect(), row["replica"], float(row.get("train_seconds", 0.0))
        seconds = seconds if math.isfinite(seconds) else 0.0
        run = self._unfinished.get(replica)
        if run is None:
            own = {name: row.get(name) for name in tracked.IDENTITY if name != "steps"}
            judged = tracked.verdict(row, curves, self._study, self._references()) if self._references else ""
            own |= {"mlflow.parentRunId": self._parent(row), "verdict": judged}
            run = self._create(f"{row['variant']} seed={row['seed']}", own, time.time() - seconds)
            self._unfinished[replica] = run
        # Timestamps hang on the run's start, so that writing a half-written run again adds nothing twice.
        start, steps = run.info.start_time, max(int(row["steps"]), 1)
        points = [
            (name, value, start + int(1000 * seconds * step / steps), step)
            for name, series in tracked.metrics(row, curves).items()
            for step, value in series
        ]
        _log(client, run.info.run_id, points, tracked.params(row, ("target", "steps", "seed", "device")))
        self._write_artifacts(run, tracked.files(curves, samples))
        state = "FINISHED" if row["status"] == "ok" else "FAILED"
        client.set_terminated(run.info.run_id, state, start + int(1000 * seconds))
        self._stats.replicas[replica] = run.info.run_id
        del self._unfinished[replica]

    def _parent(self, row: Row) -> str:
        variant = row["variant"]
        if variant not in self._stats.parents:
            tags = {"variant": variant, "target": row["target"], "settings": self._settings(variant)}
            run = self._create(variant, tags, time.time() - 1)
            self._stats.parents[variant] = run.info.run_id
            _log(self._connect(), run.info.run_id, [], tracked.params(row, ("target", "steps")))
        return self._stats.parents[variant]

    def _settings(self, variant: str) -> str:  # a digest of what a parent run stands for
        return digest_of([self._variants.get(variant), *map(self._study.get, ("target", "steps", "scoring"))])

    def _write_aggregates(self, variant: str) -> None:
        """Once every planned replica of a variant is known: medians and failures, on the parent."""
        rows, planned = self._rows[variant], self._planned[variant]
        if not planned <= rows.keys() or self._complete.get(variant, 0) == len(planned):
            return
        chosen = [rows[replica] for replica in sorted(planned)]
        client, run_id, now = self._connect(), self._parent(chosen[0]), int(time.time() * 1000)
        _log(client, run_id, [(name, value, now, 0) for name, value in tracked.aggregates(chosen).items()], {})
        client.set_terminated(run_id, "FINISHED", now)
        self._complete[variant] = len(planned)

    def _write_artifacts(self, run: Run, contents: Mapping[str, bytes]) -> None:
        location = urlsplit(run.info.artifact_uri or "")
        if location.scheme == "file":  # directly: MLflow's way costs more than the rest of the run
            tracked.write_files(Path(url2pathname(location.path)), contents)
        elif contents:
            with tempfile.TemporaryDirectory() as directory:
                tracked.write_files(Path(directory), contents)
                self._connect().log_artifacts(run.info.run_id, directory)


def _open(uri: str) -> MlflowClient:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri)


def _runs(client: MlflowClient, experiment: str, where: str) -> Iterator[Run]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment], where, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _log(client: MlflowClient, run_id: str, points: Sequence[Point], params: Mapping[str, str]) -> None:
    """Write any number of metrics and at most 100 params, in as few calls as may be."""
    from mlflow.entities import Metric, Param

    for first in range(0, max(len(points), 1), BATCH):
        metrics = [Metric(*point) for point in points[first : first + BATCH]]
        given = [] if first else [Param(*item) for item in params.items()]
        client.log_batch(run_id, metrics, given)
