"""Work done behind the training: jobs in order on one thread, tried again when they fail, never raising."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

Job = Callable[[], None]
"""May be run again after it failed: it picks up where it stopped."""


class Background:
    """Runs jobs one by one, and those that fail again: when a later one succeeds, and at the end.

    Args:
        name: Of the thread.
        pauses: Seconds before each further attempt, at the end, at what could not be done before.
    """

    def __init__(self, name: str, pauses: Sequence[float]) -> None:
        self.error = ""
        """Why the last job to fail did; empty again when all was done in the end."""
        self.seconds = 0.0
        """Spent in jobs."""
        self._pauses = pauses
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # A daemon: a job that never returns must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Run a job, later."""
        self._jobs.put(job)

    def close(self, timeout: float) -> None:
        """Wait until all is done, for at most `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        waiting: list[Job] = []
        for job in iter(self._jobs.get, None):
            if self._done(job):
                waiting = [w for w in waiting if not self._done(w)]  # what was in the way is gone
            else:
                waiting.append(job)
        for pause in self._pauses:
            if waiting:
                time.sleep(pause)
                waiting = [w for w in waiting if not self._done(w)]
        if not waiting:
            self.error = ""

    def _done(self, job: Job) -> bool:
        """Run a job; on any failure remember why."""
        began = time.perf_counter()
        try:
            job()
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            return False
        finally:
            self.seconds += time.perf_counter() - began
        return True
