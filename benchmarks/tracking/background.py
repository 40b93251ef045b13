"""Work done behind the training: jobs in order on one thread, tried again when they fail, never raising."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.machine.redaction import without_credentials

Job = Callable[[], None]
"""May be run again after it failed: it picks up where it stopped."""

PAUSE = 30.0
"""Seconds without an attempt after one that failed; what waits is tried when a job comes after them, and at the end."""


class Background:
    """Runs jobs one by one, and those that failed again: after a pause, when another comes, and at the end.

    Args:
        name: Of the thread.
        ready: Run before each job. While it fails no job is tried: what is away costs one attempt, not one a job.
        pauses: Seconds before each further attempt, at the end, at what could not be done before.
    """

    def __init__(self, name: str, ready: Job, pauses: Sequence[float]) -> None:
        self.error = ""
        """Why the last job to fail did, without credentials; empty again when all was done in the end."""
        self.seconds = 0.0
        """Spent in jobs."""
        self.abandoned = threading.Event()
        """Nobody waits any longer: a long job may end early."""
        self._ready, self._pauses = ready, pauses
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        # A daemon: a job that never returns must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Run a job, later."""
        self._jobs.put(job)

    def close(self, timeout: float | None) -> None:
        """Wait until all is done or given up, for at most `timeout` seconds; then nothing more is begun."""
        self._jobs.put(None)
        try:
            self._thread.join(timeout)
        finally:
            self.abandoned.set()

    def _work(self) -> None:
        resume = 0.0
        while (job := self._jobs.get()) is not None:
            self._waiting.append(job)
            if time.monotonic() >= resume and not self._all_done():
                resume = time.monotonic() + PAUSE
        for pause in (0.0, *self._pauses):
            if self.abandoned.wait(pause) or self._all_done():
                return

    def _all_done(self) -> bool:
        """Try each waiting job once."""
        for _ in range(len(self._waiting)):
            if self.abandoned.is_set() or not self._done(self._ready):
                return False
            job = self._waiting.popleft()
            if not self._done(job):
                self._waiting.append(job)
        if not self._waiting:
            self.error = ""
        return not self._waiting

    def _done(self, job: Job) -> bool:
        """Run a job; on any failure remember why."""
        began = time.perf_counter()
        try:
            job()
        except Exception as error:
            self.error = without_credentials(f"{type(error).__name__}: {error}")
            return False
        finally:
            self.seconds += time.perf_counter() - began
        return True
