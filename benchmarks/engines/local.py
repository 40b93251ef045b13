"""The local engine: one process a core (or one for a GPU), each with one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.engines import Outcome, WorkerDied
from gan.errors import InputError
from gan.replica import Cohort

# Set before torch is imported: a worker is one thread, its compiler included.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
POLL_SECONDS = 0.5


class LocalEngine:
    """A pool of worker processes on this machine; they stay from study to study.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress: SimpleQueue[int] = context.SimpleQueue()
        os.environ.update(ONE_THREAD)
        self._pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(self._progress,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in processes:
                process.terminate()

    def run(
        self, cohorts: Sequence[Cohort], data_dir: Path, device: str, on_progress: Callable[[int], None]
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        pending: set[Future[Outcome]] = {self._pool.submit(_train, c, data_dir, device) for c in cohorts}
        while pending:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            while not self._progress.empty():
                on_progress(self._progress.get())
            for future in done:
                try:
                    yield future.result()
                except BrokenProcessPool:
                    raise WorkerDied("a worker process died (out of memory, or killed)") from None


_tell: Callable[[int], None]


def _start(progress: SimpleQueue[int]) -> None:
    """Prepare a worker: Ctrl-C is the coordinator's business, and without a coordinator there is nothing to do."""
    global _tell
    _tell = progress.put
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_coordinator, name="coordinator-watch", daemon=True).start()


def _end_with_the_coordinator() -> None:
    """End this process when the coordinator does, however it ends: a killed one leaves no worker behind."""
    coordinator = multiprocessing.parent_process()
    if coordinator is not None:
        connection.wait([coordinator.sentinel])
        os._exit(1)


def _train(cohort: Cohort, data_dir: Path, device: str) -> Outcome:
    from gan.cohort import train

    started = time.perf_counter()
    try:
        result = train(cohort, data_dir, device, _tell)
    except InputError:
        raise
    except Exception as error:
        # A cohort that cannot be trained is a result like any other; the others go on.
        reason = traceback.format_exception_only(error)[-1].strip()
        return Outcome(cohort, None, reason, time.perf_counter() - started)
    return Outcome(cohort, result, "", time.perf_counter() - started)
