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

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds without an attempt after the first failure in a row, and after many: each pause is twice the one before."""


class Background:
    """Runs jobs one by one, and those that failed again: after a pause, when another comes, and at the end.

    Args:
        name: Of the thread.
        ready: Run before each job. While it fails no job is tried: what is away costs one attempt, not one a job.
        pauses: Seconds before each further attempt, at the end, at what could not be done before.
        check: Run at the very end where everything was done, but something had failed on the way.
    """

    def __init__(self, name: str, ready: Job, pauses: Sequence[float], check: Job) -> None:
        self.error = ""
        """Why the last job to fail did, without credentials; empty again when all was done in the end."""
        self.seconds = 0.0
        """Spent in jobs."""
        self.abandoned = threading.Event()
        """Nobody waits any longer: a long job may end early."""
        self._ready, self._pauses, self._check = ready, pauses, check
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
        pause, resume = FIRST_PAUSE, 0.0
        while self._await_job(until=resume):
            if time.monotonic() < resume:
                continue
            if self._all_done():
                pause = FIRST_PAUSE
            else:
                pause, resume = min(2 * pause, LONGEST_PAUSE), time.monotonic() + pause
        self._end()

    def _await_job(self, until: float) -> bool:
        """Wait for the next job, or only until a time when others wait to be tried again; False: there is no next."""
        try:
            job = self._jobs.get(timeout=max(0.0, until - time.monotonic()) if self._waiting else None)
        except queue.Empty:
            return True
        if job is not None:
            self._waiting.append(job)
        return job is not None

    def _all_done(self) -> bool:
        """Try each waiting job once."""
        for _ in range(len(self._waiting)):
            if self.abandoned.is_set() or not self._done(self._ready):
                return False
            if self._done(self._waiting[0]):
                self._waiting.popleft()
            else:
                self._waiting.rotate(-1)  # it may be its own fault: the next one first
        return not self._waiting

    def _end(self) -> None:
        """Try what is left until all is done, or nothing more was in as many attempts as there are pauses."""
        pauses, left = iter(self._pauses), len(self._waiting)
        while not self._all_done():
            if len(self._waiting) < left:
                pauses, left = iter(self._pauses), len(self._waiting)
            pause = next(pauses, None)
            if pause is None or self.abandoned.wait(pause):
                return
        if not self.error or self._done(self._check):
            self.error = ""

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
