"""A real tracking server on a database of files, which can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

START_SECONDS = 300.0  # that a server may take to answer


class TrackingServer:
    """`mlflow server` on 127.0.0.1, with its database and artifacts in a folder.

    Args:
        folder: Made where it is not there.
        store: The URL of another database.
    """

    def __init__(self, folder: Path, store: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.database = folder, folder / "mlflow.db"
        self.store = store or f"sqlite:///{self.database}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"--host 127.0.0.1 --port {self.port} --workers 1".split()
        env = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": self.store,
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.folder / "artifacts"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the server is a child of this process: they are killed together
            )
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < give_up, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def ask(self, question: str) -> list[tuple[object, ...]]:
        """Ask the database itself, whether the server runs or not."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(question).fetchall()

    def count(self, question: str) -> int:
        """Return the one number that answers a question."""
        ((number,),) = self.ask(question)
        return int(str(number))

    def finished(self) -> int:
        """Return how many replicas have a finished run."""
        return self.count(
            "select count(*) from runs r join tags t on t.run_uuid = r.run_uuid and t.key = 'replica'"
            " where r.lifecycle_stage = 'active' and r.status in ('FINISHED', 'FAILED')"
        )

    def figures(self) -> dict[str, int]:
        """Return what there is, and what is there twice."""
        active = "select run_uuid from runs where lifecycle_stage = 'active'"
        replicas = f"select value from tags where key = 'replica' and run_uuid in ({active})"
        groups = "select count(*) from (select 1 from {} having count(*) > 1)"
        metrics = f"metrics where run_uuid in ({active}) group by run_uuid, key, step"
        return {
            "replicas": self.count(f"select count(*) from ({replicas})"),
            "distinct": self.count(f"select count(distinct value) from ({replicas})"),
            "finished": self.finished(),
            "unfinished": self.count(f"select count(*) from runs where status = 'RUNNING' and run_uuid in ({active})"),
            "removed": self.count("select count(*) from runs where lifecycle_stage = 'deleted'"),
            "metric_points": self.count(f"select count(*) from metrics where run_uuid in ({active})"),
            "metrics_twice": self.count(groups.format(metrics)),
            "orphans": self.count(
                f"select count(*) from tags where key = 'mlflow.parentRunId' and run_uuid in ({active})"
                f" and value not in ({active})"
            ),
        }
