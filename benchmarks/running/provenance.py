"""What a session leaves that is no result: it goes to `provenance.json`, cohort by cohort."""

from __future__ import annotations

import datetime
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from benchmarks.engines import Outcome
from benchmarks.machine import system
from reports.ledger.ledger import Ledger
from reports.ledger.records import Provenance, SessionRecord

GROWTH = 1.01
"""Of a session's cohorts between two times that it is written: the first hundred each time, then ever more at once, or
writing would take ever longer."""


class Session:
    """One session of training in a run directory: the machine, versions, times and tracking ids.

    Args:
        ledger: The run directory.
        command: What a person types to run this again.
        engine: Where cohorts trained: ``local``, or ``ray`` on a cluster.
        workers: Processes.
        device: Kind of device.
        estimated_core_seconds: What was expected.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        command: str,
        workers: int,
        device: str,
        estimated_core_seconds: int,
        engine: str = "local",
    ) -> None:
        self.ledger = ledger
        earlier = ledger.provenance()
        self.earlier = earlier.sessions
        self.mlflow = earlier.mlflow
        self.cohorts: dict[str, float] = {}
        self.machines: dict[str, dict[str, Any]] = {}
        """Those that trained, where these may be others, by host: what each is, and how many cohorts it trained."""
        self.halved: dict[str, list[str]] = {}
        """Of each cohort that was halved, so that last bits may differ: its replicas."""
        self._noted = 0
        self.trained = 0
        self.checkpoint_seconds = self.recording_seconds = 0.0
        self.known: dict[str, Any] = {
            "started": _now(),
            "command": command,
            "engine": engine,
            "workers": workers,
            "device": device,
            "commit": system.commit(),
            "hardware": system.hardware(device),
            "versions": system.versions(),
            "estimated_core_seconds": estimated_core_seconds,
        }
        self.began = time.perf_counter()

    @contextmanager
    def recording(self, outcome: Outcome) -> Generator[None]:
        """Note a cohort before it is recorded: no kill leaves results without the machine that they come from."""
        began = time.perf_counter()
        self.cohorts[outcome.cohort.id] = round(outcome.seconds, 3)
        self.trained += len(outcome.cohort.replicas)
        self.checkpoint_seconds += outcome.checkpoint_seconds
        is_whole = outcome.cohort.as_planned
        if not is_whole:
            self.halved[outcome.cohort.id] = [r.id for r in outcome.cohort.replicas]
        is_known = not outcome.machine or outcome.machine["host"] in self.machines
        if outcome.machine:
            known = self.machines.setdefault(outcome.machine["host"], {**outcome.machine, "cohorts": 0})
            known["cohorts"] += 1
        if len(self.cohorts) >= GROWTH * self._noted or not is_known or not is_whole:
            self._noted = len(self.cohorts)
            self.write(began - self.began)
        yield
        self.recording_seconds += time.perf_counter() - began

    def write(self, wall_seconds: float) -> None:
        """Add this session to those that trained something, and what the mirror holds now."""
        session = SessionRecord(
            **self.known,
            finished=_now(),
            trained=self.trained,
            wall_seconds=round(wall_seconds, 1),
            tracking_seconds=round(self.mlflow.write_seconds, 1),
            cohort_seconds=self.cohorts,
            **({"machines": list(self.machines.values())} if self.machines else {}),
            **({"halved": self.halved} if self.halved else {}),
            checkpoint_seconds=round(self.checkpoint_seconds, 3),
            recording_seconds=round(self.recording_seconds, 3),
        )
        sessions = [*self.earlier, *([session] if self.trained else [])]
        self.ledger.write_json("provenance.json", Provenance(sessions=sessions, mlflow=self.mlflow))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
