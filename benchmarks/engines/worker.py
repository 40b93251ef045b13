"""A worker process of the local engine: its two ends of a pipe, and what is said through it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from benchmarks.engines import WorkerDied
from benchmarks.engines.retries import Attempt
from benchmarks.engines.work import Job, Train, train_job
from benchmarks.machine.interrupts import SIGNALS

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

LISTEN_SECONDS = 0.2  # between looks of a worker that trains for a word of its coordinator
END_SECONDS = 5.0  # for a worker to end by itself


class Stop:
    """Said to a worker: keep the state of what you train, and leave it."""


class Ready:
    """Said by a worker: I can train. Later it says steps (int), notes (str), and one of the next two or an error."""


class Worker:
    """The coordinator's side of a worker. The process is started when there is something to do.

    Args:
        train: What it does with a cohort, instead of `gan.engine.cohort.train`.
    """

    pipe: Connection

    def __init__(self, train: Train | None = None) -> None:
        self.attempt: Attempt | None = None
        """What it is training."""
        self.steps = 0
        """Replica-steps of it so far."""
        self.dead = False
        self.was_ready = False
        """It lived long enough to train."""
        self._train = train
        self._process: SpawnProcess | None = None
        self._asked_to_stop = False

    def begin(self, attempt: Attempt, job: Job) -> None:
        """Let it train."""
        if self._process is not None and not self._process.is_alive():  # it died with nothing to do
            self.end(at_once=True)
        if self._process is None:
            self._start()
        self.attempt, self.steps, self._asked_to_stop = attempt, 0, False
        self._send(job)

    def stop(self) -> None:
        """Ask it to leave what it trains, once."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._send(Stop())

    def messages(self) -> Iterator[Any]:
        """Yield what it has said since; find out whether it died."""
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                self.was_ready |= isinstance(message, Ready)
                yield message
        except (EOFError, OSError):
            self.dead = True

    def free(self) -> Attempt:
        """Take from it what it was training."""
        assert self.attempt is not None
        attempt, self.attempt = self.attempt, None
        return attempt

    def bury(self) -> str:
        """Clear away a process that died; say how."""
        assert self._process is not None
        self._process.join(END_SECONDS)
        code = self._process.exitcode
        self.end(at_once=True)
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}" + (", out of memory?" if code == -signal.SIGKILL else "")
        return f"exit {code}"

    def end(self, *, at_once: bool) -> None:
        """End the process: when it is idle, or at once."""
        if self._process is None:
            return
        self.pipe.close()  # which an idle worker takes for an end
        if at_once:
            self._process.kill()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process, self.attempt = None, None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.dead = self.was_ready = False
        process = context.Process(target=_work, args=(theirs, self._train), daemon=True)
        # To stop is the coordinator's business. A process is born with its parent's mask, and takes it off when it
        # ignores what is behind it; a signal that comes meanwhile waits for the parent. multiprocessing starts its
        # resource tracker with the first process, and takes the mask off after it: so that one is started before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        except OSError as error:
            self.pipe.close()
            raise WorkerDied(f"no process can be started ({error.strerror})") from None
        finally:
            theirs.close()  # or the pipe would not end with the worker
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._process = process

    def _send(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # it has just died; `messages` will find out
            self.pipe.send(message)


def _work(pipe: Connection, train: Train | None) -> None:
    """Train what the coordinator says, until there is no coordinator."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_the_coordinator, name="coordinator-watch", daemon=True).start()
    if train is None:
        from gan.engine.cohort import train
    pipe.send(Ready())
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(job, Job):  # and no Stop that came too late
            with contextlib.suppress(OSError):  # the coordinator is gone, and this process about to be
                pipe.send(train_job(job, train, pipe.send, pipe.send, _listening(pipe)))


def _end_with_the_coordinator() -> None:
    """End this process when the coordinator does, however it ends: a killed one leaves no worker behind."""
    coordinator = multiprocessing.parent_process()
    if coordinator is not None:
        connection.wait([coordinator.sentinel])
        os._exit(1)


def _listening(pipe: Connection) -> Callable[[], bool]:
    """Return what says whether the coordinator said Stop; between two looks at the pipe it says no."""
    looked = time.monotonic()

    def stopping() -> bool:
        nonlocal looked
        if time.monotonic() - looked < LISTEN_SECONDS:
            return False
        looked = time.monotonic()
        return pipe.poll() and isinstance(pipe.recv(), Stop)

    return stopping
