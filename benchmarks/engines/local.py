"""The local engine: one process a core (or one for a GPU), each with one thread.

Each worker has a pipe of its own and shares nothing with the others: one that is killed, in the middle of a message or
of anything else, takes no lock and no half of a result with it. That is why this is no process pool of the library's.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.engines import Keeping, Outcome, WorkerDied
from benchmarks.engines.retries import Attempt
from benchmarks.engines.work import ONE_THREAD, Job, Left, Train
from benchmarks.engines.worker import Ready, Worker
from gan.errors import InputError
from gan.replica import Cohort

POLL_SECONDS = 0.5
STARTS = 5  # of workers in a row that end before they can train


class LocalEngine:
    """Worker processes on this machine; they stay from study to study.

    Args:
        workers: How many.
        say: Told in a line what a person should know of.
        stopping: Says whether a person asked to stop.
        train: What a worker does with a cohort, instead of `gan.engine.cohort.train`.
    """

    def __init__(
        self,
        workers: int,
        say: Callable[[str], None] = print,
        stopping: Callable[[], bool] = lambda: False,
        train: Train | None = None,
    ) -> None:
        os.environ.update(ONE_THREAD)
        self._workers = [Worker(train) for _ in range(workers)]
        self._say, self._stopping = say, stopping
        self._starts = 0  # in a row that failed
        self._left = False  # a cohort was, by a worker that was asked to stop

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
        keeping: Keeping | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        waiting = deque(Attempt(cohort) for cohort in cohorts)
        self._left = False
        while waiting or any(worker.attempt for worker in self._workers):
            stopping = self._stopping()
            for worker in self._workers:
                if stopping and worker.attempt:
                    worker.stop()
                elif not stopping and not worker.attempt and waiting:
                    attempt = waiting.popleft()
                    worker.begin(attempt, Job(attempt.cohort, data_dir, device, keeping))
            busy = [worker for worker in self._workers if worker.attempt]
            if not busy:
                break
            connection.wait([worker.pipe for worker in busy], POLL_SECONDS)
            for worker in busy:
                for message in worker.messages():
                    yield from self._heard(worker, message, waiting, on_progress)
                if worker.attempt and worker.dead:
                    yield from self._lost(worker, waiting, on_progress)
        if waiting or self._left:
            raise KeyboardInterrupt

    def _heard(
        self, worker: Worker, message: Any, waiting: deque[Attempt], on_progress: Callable[[int], None]
    ) -> Iterator[Outcome]:
        """Do what a worker's message asks for; hand out the cohort that it is."""
        match message:
            case int():
                worker.told += message
                on_progress(message)
            case str():
                self._say(message)
            case Ready():
                self._starts = 0
            case InputError() | OSError():
                raise message
            case Left():
                worker.free()
                self._left = True
            case Outcome(result=None):
                on_progress(-worker.told)
                again = worker.free().after_error(broken=message.broken)
                if message.broken:
                    worker.end(at_once=True)
                waiting.extendleft(reversed(again))
                if not again:
                    yield message
            case Outcome():
                worker.free()
                yield message

    def _lost(self, worker: Worker, waiting: deque[Attempt], on_progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Decide what becomes of the cohort of a worker that died."""
        on_progress(-worker.told)
        attempt, why = worker.free(), worker.bury()
        if self._stopping():  # whoever asked may have asked the workers too
            waiting.appendleft(attempt)
            return
        if not worker.was_ready:  # the cohort has nothing to do with it
            waiting.appendleft(attempt)
            self._starts += 1
            if self._starts == STARTS:
                raise WorkerDied(f"{STARTS} workers in a row ended before they could train ({why})")
            return
        again, said, blamed = attempt.blamed(why)
        waiting.extendleft(reversed(again))
        self._say(said)
        yield from blamed
