"""The local engine: one process a core (or one for a GPU), each with one thread.

Each worker has its pipe and shares nothing with the others: one that is killed, in the middle of a message or
of anything else, takes no lock and no half of a result with it. That is why this is no process pool of the library's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.engines import CheckpointConfig, Outcome, Say, Stopping
from benchmarks.engines.retries import CohortQueue
from benchmarks.engines.work import ONE_THREAD, Job, Train
from benchmarks.engines.worker import Ready, Worker
from gan.replica import Cohort

POLL_SECONDS = 0.5


class LocalEngine:
    """Worker processes on this machine; they stay from study to study.

    Args:
        workers: How many.
        say: Called with a line that a person should know of.
        stopping: Says whether a person asked to stop.
        train: What a worker does with a cohort, instead of `gan.engine.cohort.train`.
    """

    def __init__(
        self,
        workers: int,
        say: Say = print,
        stopping: Stopping = lambda: False,
        train: Train | None = None,
    ) -> None:
        os.environ.update(ONE_THREAD)
        self._workers = [Worker(train) for _ in range(workers)]
        self._say, self._stopping = say, stopping

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end(at_once=kind is not None)

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        queue = CohortQueue(cohorts, self._say)
        while queue or any(worker.attempt for worker in self._workers):
            stopping = self._stopping()
            for worker in self._workers:
                if stopping and worker.attempt:
                    worker.stop()
                elif not stopping and not worker.attempt and queue:
                    attempt = queue.take()
                    worker.begin(attempt, Job(attempt.cohort, data_dir, device, checkpoints))
            busy = [worker for worker in self._workers if worker.attempt]
            if not busy:
                break
            connection.wait([worker.pipe for worker in busy], POLL_SECONDS)
            for worker in busy:
                for message in worker.messages():
                    yield from self._take_in(worker, message, queue, on_progress)
                if worker.attempt and worker.dead:
                    yield from self._bury(worker, queue, on_progress)
        queue.close()

    def _take_in(
        self, worker: Worker, message: Any, queue: CohortQueue, on_progress: Callable[[int], None]
    ) -> list[Outcome]:
        """Do what a worker's message asks for; return the outcome that it is."""
        match message:
            case int():
                worker.steps += message
                on_progress(message)
            case str():
                self._say(message)
            case Ready():
                queue.started()
            case _:
                if isinstance(message, Outcome) and message.result is None:
                    on_progress(-worker.steps)
                attempt = worker.free()
                if isinstance(message, Outcome) and message.broken:
                    worker.end(at_once=True)
                return queue.returned(attempt, message)
        return []

    def _bury(self, worker: Worker, queue: CohortQueue, on_progress: Callable[[int], None]) -> list[Outcome]:
        """Clear away a worker that died, and decide what becomes of its cohort."""
        on_progress(-worker.steps)
        attempt, why = worker.free(), worker.bury()
        if self._stopping():  # the request may have gone to the workers too
            queue.put_back(attempt)
        elif worker.was_ready:
            return queue.worker_died(attempt, why)
        else:
            queue.start_failed(attempt, why)
        return []
