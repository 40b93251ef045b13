"""MLflow mirrors the ledger: an experiment per study, a parent run per variant, a child run per replica.

Of a tuned study the variants stand there twice, untuned and tuned, told apart by the tag `stage`; between them is the
search, with one run a trial and none a replica: hundreds of children would bury what a person compares.

The ledger is the truth and this is a copy for people who browse: one thread of the coordinator writes it,
behind the training. What goes wrong here is remembered and reported once; it never reaches the runner.
Only this module knows MLflow, which takes seconds to import and is imported when first needed.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from benchmarks import tracked
from benchmarks.background import Background
from benchmarks.mirrored import MirrorStats, default_tracking_uri
from gan.replica import Scoring, digest_of

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

BATCH = 800  # metrics of one call: with the params it stays below the 1,000 entities a call may hold
RETRY_PAUSES = (1.0, 4.0)  # seconds, at the end of a study, for what could not be written before
SEARCH, TUNED = "search", "tuned"  # stages of a study that is tuned, after "untuned"; others have none

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


class Mirror:
    """Writes one study at one scale to MLflow, behind the training.

    Args:
        runs_dir: Where runs live; holds the default database and the artifacts.
        plan: The ledger's `plan.json`: the study, the variants and the replicas that each is to have.
        tracking_uri: Another store; a server keeps the artifacts itself.
        git_commit: Commit of the code that trains, for the tags.
        retry_pauses: Seconds before each further attempt at what could not be written, at the end.
        references: Reads what real data score, by score, when a replica is judged; without it none has a verdict.
        trials: Further tags of variants' runs, such as which trial of which Optuna study one is. Their runs are made
            at once, so that a trial knows its run while it trains.
        objective: From a variant's results, further metrics of its run.
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
        trials: Mapping[str, Mapping[str, str]] | None = None,
        objective: Callable[[list[Row]], Mapping[str, float]] | None = None,
    ) -> None:
        self._runs_dir = runs_dir.resolve()
        self._uri = tracking_uri or default_tracking_uri(runs_dir)
        self._study: Mapping[str, Any] = plan["study"]
        self._variants: Mapping[str, Any] = plan.get("variants", {})
        self._command, self._commit = str(plan.get("command", "")), git_commit
        self._stage = str(self._study.get("stage", ""))
        self._references, self._trials, self._objective = references, trials or {}, objective
        planned: defaultdict[str, set[str]] = defaultdict(set)
        for replica in plan["replicas"]:
            planned[replica["variant"]].add(replica["id"])
        self._planned = dict(planned)
        self._rows: dict[str, Row] = {}
        self._pushed: set[str] = set()
        self._unfinished: dict[str, Run] = {}
        self._complete: dict[str, int] = {}  # variant: replicas in its aggregates
        self._tags: dict[str, Mapping[str, str]] = {}  # of each variant's run
        self._client: MlflowClient | None = None
        self._stats = MirrorStats()
        self._jobs = Background("mlflow-mirror", retry_pauses)
        if self._trials:
            self._jobs.put(self._announce)

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
        self._jobs.close(timeout)
        stats = replace(self._stats, parents=dict(self._stats.parents), replicas=dict(self._stats.replicas))
        stats.error, stats.write_seconds = self._jobs.error, self._jobs.seconds - stats.start_seconds
        stats.missing = len(self._due() - set(stats.replicas))
        return stats

    def _due(self) -> set[str]:
        """Return the replicas that are to be mirrored by now: a trial's once all of them are there."""
        if self._stage != SEARCH:
            return self._pushed
        return {id for planned in self._planned.values() if planned <= self._pushed for id in planned}

    def _connect(self) -> MlflowClient:
        """Open the store once, make the experiment, and learn which runs it has."""
        if self._client is not None:
            return self._client
        start = time.perf_counter()
        try:
            client = _open(self._uri)
            self._stats.experiment = self._find_or_create_experiment(client)
            where = f"tags.scale = '{self._study['scale']}'"
            # Runs of no stage have no such tag, and MLflow cannot ask for that.
            where += f" and tags.stage = '{self._stage}'" if self._stage else ""
            for run in _runs(client, self._stats.experiment, where):
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
        tags, over = run.data.tags, run.info.status in ("FINISHED", "FAILED")
        replica, variant = tags.get("replica"), tags.get("variant", "")
        if tags.get("stage", "") != self._stage:
            return
        if replica is None:
            if tags.get("settings") == self._settings(variant):  # else of a study edited since
                self._stats.parents[variant], self._tags[variant] = run.info.run_id, tags
                self._summed(variant, int(run.data.metrics.get("replicas", 0)) if over else 0)
        elif over:
            self._stats.replicas[replica] = run.info.run_id
        else:
            self._unfinished[replica] = run

    def _create(self, name: str, tags: Mapping[str, Any], start: float) -> Run:
        """Create a run. `start` is in seconds since 1970."""
        common = {
            "study": self._study["name"],
            "scale": self._study["scale"],
            "stage": self._stage,
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
        self._rows |= {row["replica"]: row for row in rows}
        new = [row for row in rows if row["replica"] not in self._stats.replicas and self._stage != SEARCH]
        curves = tracked.split_curves(history()) if new else {}
        for row in new:
            arrays = samples(row["replica"]) if samples else {}
            self._write_replica(row, curves.get(row["replica"], {}), arrays)
        # By the plan, not by the rows: two trials that drew the same settings share their replicas.
        here = {row["replica"] for row in rows}
        for variant in [variant for variant, planned in self._planned.items() if planned & here]:
            self._write_aggregates(variant)

    def _write_replica(self, row: Row, curves: tracked.Curves, samples: Mapping[str, np.ndarray]) -> None:
        client, replica, seconds = self._connect(), row["replica"], float(row.get("train_seconds", 0.0))
        seconds = seconds if math.isfinite(seconds) else 0.0
        run = self._unfinished.get(replica)
        if run is None:
            own = {name: row.get(name) for name in tracked.IDENTITY if name != "steps"}
            judged = tracked.verdict(row, curves, self._study, self._references()) if self._references else ""
            own |= {"mlflow.parentRunId": self._parent(row), "verdict": judged}
            run = self._create(f"{self._title(row['variant'])} seed={row['seed']}", own, time.time() - seconds)
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

    def _title(self, variant: str) -> str:
        return f"{variant} {TUNED}" if self._stage == TUNED else variant

    def _parent(self, row: Row) -> str:
        variant = row["variant"]
        if variant not in self._stats.parents:
            tags = {"variant": variant, "target": row["target"], "settings": self._settings(variant)}
            self._tags[variant] = self._trials.get(variant, {})
            run = self._create(self._title(variant), {**tags, **self._tags[variant]}, time.time() - 1)
            self._stats.parents[variant] = run.info.run_id
            _log(self._connect(), run.info.run_id, [], tracked.params(row, ("target", "steps")))
        return self._stats.parents[variant]

    def _announce(self) -> None:
        """Make the runs of the trials, and mend the tags of those that stand for another trial by now."""
        client = self._connect()
        for variant, tags in ((name, self._trials.get(name, {})) for name in self._planned):
            run_id = self._parent(tracked.planned(self._study, variant, self._variants.get(variant, {})))
            for key, value in tags.items():
                if self._tags[variant].get(key) != value:
                    client.set_tag(run_id, key, value)

    def _settings(self, variant: str) -> str:  # a digest of what a parent run stands for
        scoring = Scoring(**self._study["scoring"]).identity() if "scoring" in self._study else None
        return digest_of([self._variants.get(variant), self._study.get("target"), self._study.get("steps"), scoring])

    def _write_aggregates(self, variant: str) -> None:
        """Once every planned replica of a variant is known: medians and failures, on the parent."""
        planned = self._planned[variant]
        if not planned <= self._rows.keys() or self._complete.get(variant, 0) == len(planned):
            return
        chosen = [self._rows[replica] for replica in sorted(planned)]
        values = tracked.aggregates(chosen) | dict(self._objective(chosen) if self._objective else {})
        client, now = self._connect(), int(time.time() * 1000)
        run_id = self._parent({**chosen[0], "variant": variant})
        points = [(name, value, now, 0) for name, value in values.items() if tracked.is_finite(value)]
        _log(client, run_id, points, {})
        client.set_terminated(run_id, "FINISHED", now)
        self._summed(variant, len(planned))

    def _summed(self, variant: str, replicas: int) -> None:
        """Note how many replicas a variant's run sums up; of a search that is all that is mirrored of them."""
        self._complete[variant] = replicas
        planned = self._planned.get(variant, set())
        if self._stage == SEARCH and replicas == len(planned):
            self._stats.replicas |= dict.fromkeys(planned, self._stats.parents[variant])

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
