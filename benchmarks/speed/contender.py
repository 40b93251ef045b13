"""A contender: a plain loop or the engine, in a fresh process of one thread that trains when it is asked to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.engines.work import ONE_THREAD
from gan.replica import Cohort
from gan.targets import ImageData, Images
from reports.speed.results import Seconds

if TYPE_CHECKING:
    from benchmarks.speed.plain import PlainLoop, Style

MOST_STEPS = 2000  # of one round
CALIBRATION_SECONDS = 0.05


class Training(Protocol):
    """Something that trains."""

    def steps(self, count: int) -> None:
        """Train `count` steps."""


@dataclass(frozen=True)
class Plain:
    """A plain loop."""

    system: str
    batch: int
    style: Style
    length: int
    """Steps of its run."""

    def build(self, device: str) -> PlainLoop:
        """Return it, before its first step."""
        import torch

        from benchmarks.speed import plain

        return plain.make(self.system, self.batch, self.style, torch.device(device), self.length)


@dataclass(frozen=True)
class Engine:
    """The engine on a cohort: on all of its replicas side by side, or on the first of a loop."""

    cohort: Cohort

    @property
    def replicas(self) -> int:
        """Replicas that train at once."""
        return 1 if self.cohort.mode == "loop" else len(self.cohort.replicas)

    def build(self, device: str) -> Stack:
        """Return it, before its first step."""
        return Stack(self, device)


class Stack:
    """The replicas of an `Engine` in training."""

    def __init__(self, engine: Engine, device: str) -> None:
        import torch

        from gan.engine import programs
        from gan.engine.cohort import Trainer

        if engine.cohort.steps > programs.traced_after:
            programs.trace_at_once()  # as it is for all but the first steps of the run
        replicas = engine.cohort.replicas[: engine.replicas]
        self.run = Trainer(engine.cohort, replicas, Path(), torch.device(device))
        self.length, self.done = engine.cohort.steps, 0

    def steps(self, count: int) -> None:
        """Train `count` steps, beginning again at step 0, with the state as it is, where the run is over."""
        from gan.engine.process_setup import one_thread

        with one_thread():
            while count:
                part = min(count, self.length - self.done)
                self.run.advance(self.done, self.done + part)
                self.done, count = (self.done + part) % self.length, count - part


class Noise(Images):
    """Noise in place of a data set's training images."""

    def load(self, data_dir: Path, download: bool = False) -> ImageData:
        """Return uniform noise; `data_dir` is not looked at."""
        import torch

        from benchmarks.speed.plain import noise

        images, labels = noise(), torch.zeros(self.train_size, dtype=torch.int64)
        return ImageData(images, labels, images[:1], labels[:1], images[:1], labels[:1])


class Contender:
    """The process of a contender, in which its first step was trained.

    Args:
        work: What to train.
        device: ``cpu`` or ``cuda``.

    Attributes:
        first_seconds: On the clock, of the first step.
    """

    def __init__(self, work: Plain | Engine, device: str) -> None:
        self._process = fresh_process()
        self.first_seconds = self._process.submit(_build, work, device).result().wall

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def steps(self, count: int) -> Seconds:
        """Train; return how long it took."""
        return self._process.submit(_steps, count).result()

    def calibrate(self, seconds: float) -> int:
        """Return how many steps fill `seconds`."""
        count = 1
        while True:
            # The first time something may still be prepared, or other work in the way.
            took = min(self.steps(count).wall for _ in range(2))
            if took > CALIBRATION_SECONDS or count >= MOST_STEPS:
                return min(max(1, round(seconds * count / took)), MOST_STEPS)
            count *= 2


def fresh_process() -> ProcessPoolExecutor:
    """Return a new process of one thread, as a pool of one."""
    os.environ.update(ONE_THREAD)  # before the process imports torch
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin)


def in_turn(turns: Sequence[Callable[[], Seconds]], rounds: int) -> list[list[Seconds]]:
    """Let each contender have its turn, one at a time, each round beginning with another one.

    Returns:
        The rounds of each, in the order of `turns`.
    """
    timed: list[list[Seconds]] = [[] for _ in turns]
    for r in range(rounds):
        for i in range(len(turns)):
            k = (i + r) % len(turns)
            timed[k].append(turns[k]())
    return timed


_training: Training | None = None  # of a contender's own process


def _begin() -> None:
    """Start a contender's process: it ends when its pool does, not by Ctrl-C, and has one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import logging

    import torch

    torch.set_num_threads(1)
    # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def _build(work: Plain | Engine, device: str) -> Seconds:
    global _training
    _training = work.build(device)
    return _steps(1)


def _steps(count: int) -> Seconds:
    assert _training is not None
    _wait()
    wall, cpu = time.perf_counter(), time.process_time()
    _training.steps(count)
    _wait()
    return Seconds(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def _wait() -> None:
    """Wait for a GPU to have done what was asked of it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
