"""The tracking store: what the mirror asks of MLflow, each in one call that either is done or raises.

The one module that knows MLflow.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from benchmarks.tracking import tracked

if TYPE_CHECKING:
    from mlflow import entities
    from mlflow.tracking import MlflowClient

BATCH = 800  # metrics of one call: with the params it stays below the 1,000 entities a call may hold
PAGE = 1000  # runs of one call

# MLflow's own patience is minutes; with the ledger as the truth there is no reason to wait: try again later.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
# MLflow sends any request again whose answer did not come, also the one that makes a run: it would be there twice.
_ONCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}

_WRITTEN_BEHIND: set[str] = set()
"""Files of databases that are expendable."""

Point = tuple[str, float, int, int]  # metric, value, milliseconds since 1970, step

PARENT = "mlflow.parentRunId"
ASKED = ("replica", "status", "stage", PARENT)
"""Tags of a replica's run that the mirror asks for: all of a study's runs stay in memory, with nothing else of them."""


@dataclass
class Run:
    """A run of the store, as far as the mirror needs to know it."""

    id: str
    start: int
    """Milliseconds since 1970."""
    over: bool = False
    artifacts: str = ""
    """Where its files are, a URI."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    params: dict[str, str] = field(default_factory=dict[str, str])
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    """The last value of each."""

    @property
    def key(self) -> tuple[str, ...]:
        """What it stands for: a replica, by its id; a variant, by its name and the digest of its settings; nothing."""
        replica, variant, settings = (self.tags.get(name, "") for name in ("replica", "variant", "settings"))
        return (replica,) if replica else (variant, settings) if variant and settings else ()


def deduplicate(runs: Iterable[Run]) -> tuple[dict[tuple[str, ...], Run], list[Run]]:
    """Choose one run for each variant and each replica: one that is over, else the earliest, in every process alike.

    A run is there twice when an answer was lost: the store made it, nobody heard of it, and it was made again. Or when
    a slow store carried out what had been given up, or two machines mirrored the same replica at once.

    Returns:
        The runs that stay, by their key, and those to be removed.
    """
    chosen: dict[tuple[str, ...], Run] = {}
    ordered = sorted(runs, key=lambda run: (not run.over, run.start, run.id))
    return chosen, [run for run in ordered if run.key and chosen.setdefault(run.key, run) is not run]


def is_remote(uri: str) -> bool:
    """Say whether a store is a server, which has its own place for artifacts."""
    return urlsplit(uri).scheme in ("http", "https")


class Store:
    """A database or a server.

    Args:
        uri: Where it is.
        expendable: It is a file that holds nothing but a copy of ledgers: of a crash of the machine, not of a program,
            it may come out damaged, to be deleted and made again.
    """

    def __init__(self, uri: str, *, expendable: bool = False) -> None:
        self._uri, self._expendable = uri, expendable
        self._open: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the first time takes seconds, and makes a database that is not there."""
        if self._open is None:
            self._open = _connect(self._uri, self._expendable)
        return self._open

    def experiment(self, name: str, location: str | None, note: str) -> str:
        """Return the id of an experiment, made or brought back where it is not there.

        Args:
            name: Its name.
            location: Of its artifacts, a URI; None where the store knows.
            note: What a new one says.
        """
        there = self.client.get_experiment_by_name(name)
        if there is None:
            return self.client.create_experiment(name, location, tags={"mlflow.note.content": note})
        if there.lifecycle_stage == "deleted":
            self.client.restore_experiment(there.experiment_id)
        return there.experiment_id

    def describe(self, experiment: str, note: str) -> None:
        """Write an experiment's note."""
        self.client.set_experiment_tag(experiment, "mlflow.note.content", note)

    def runs(self, experiment: str, where: str) -> list[Run]:
        """Return the runs that a filter finds, all of them."""
        found: list[Run] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([experiment], where, max_results=PAGE, page_token=token)
            found += map(_run_of, page)
            token = page.token
            if not token:
                return found

    def create(self, experiment: str, name: str, tags: Mapping[str, str], start: int) -> Run:
        """Make a run that began at `start`, in milliseconds since 1970."""
        return _run_of(self.client.create_run(experiment, start, dict(tags), name))

    def log(self, run: Run, points: Sequence[Point], params: Mapping[str, str]) -> None:
        """Write any number of metrics and at most 100 params; what is there already is not written twice."""
        from mlflow.entities import Metric, Param

        for first in range(0, max(len(points), 1), BATCH):
            metrics = [Metric(*point) for point in points[first : first + BATCH]]
            given = [] if first else [Param(*item) for item in params.items()]
            self.client.log_batch(run.id, metrics, given)

    def tag(self, run: str, key: str, value: str) -> None:
        """Write a tag of a run."""
        self.client.set_tag(run, key, value)

    def finish(self, run: Run, state: str, end: int) -> None:
        """End a run as FINISHED or FAILED at `end`, in milliseconds since 1970."""
        self.client.set_terminated(run.id, state, end)

    def delete(self, run: Run) -> None:
        """Remove a run from sight; MLflow keeps it until its garbage is collected."""
        self.client.delete_run(run.id)

    def add_files(self, run: Run, contents: Mapping[str, bytes]) -> None:
        """Write a run's artifacts, over what is there."""
        location = urlsplit(run.artifacts)
        if location.scheme == "file":  # directly: MLflow's way costs more than the rest of the run
            tracked.write_files(Path(url2pathname(location.path)), contents)
        elif contents:
            with tempfile.TemporaryDirectory() as directory:
                tracked.write_files(Path(directory), contents)
                self.client.log_artifacts(run.id, directory)


def _connect(uri: str, expendable: bool) -> MlflowClient:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.update(_ONCE)
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised, and reported once
    if not is_remote(uri) and not uri.startswith("sqlite"):
        _ask_once(uri)
    if expendable:
        _write_behind(uri)
    return MlflowClient(tracking_uri=uri)


def _write_behind(uri: str) -> None:
    """Let the system write an SQLite file to the disk when it likes, instead of waiting for the disk at each commit.

    MLflow commits half a dozen times a run. What programs see of the file, and what they find after one was killed,
    is the same.
    """
    from sqlalchemy import Engine, event, make_url

    if not _WRITTEN_BEHIND:
        event.listen(Engine, "connect", _ease)
    _WRITTEN_BEHIND.add(str(make_url(uri).database))


def _ease(connection: Any, _: object) -> None:
    """Set up a new connection of any engine of this process."""
    if isinstance(connection, sqlite3.Connection):
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if file in _WRITTEN_BEHIND:
            connection.execute("PRAGMA synchronous = OFF")


def _ask_once(uri: str) -> None:
    """Raise at once for a database that is away: MLflow would go on trying for minutes."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _run_of(run: entities.Run) -> Run:
    info, data = run.info, run.data
    over = info.status in ("FINISHED", "FAILED")
    found = Run(info.run_id, info.start_time, over, info.artifact_uri or "", dict(data.tags))
    if "replica" in found.tags:
        found.tags = {name: found.tags[name] for name in ASKED if name in found.tags}
    else:
        found.params, found.metrics = dict(data.params), dict(data.metrics)
    return found
