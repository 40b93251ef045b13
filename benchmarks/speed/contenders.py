"""Contenders: fresh processes of one thread that train when they are told to, one of them at a time."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from benchmarks.engines.work import ONE_THREAD
from benchmarks.speed.work import Place, Running, Work

MOST_STEPS = 2000  # of one round
CALIBRATION_SECONDS = 0.05

P = ParamSpec("P")
T = TypeVar("T")

_running: dict[str, Running] = {}  # of a contender's own process


class NotMeasured(Exception):
    """A contender could not do its work; the message says why."""


class Contender:
    """A process that trains what it is told to. What it was asked last is waited for at the end of the block."""

    def __init__(self) -> None:
        os.environ.update(ONE_THREAD)  # before the process imports torch
        self._process = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin)

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.shutdown(cancel_futures=True)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Let the process call a function of a module.

        Raises:
            NotMeasured: It failed, or the process ended.
        """
        try:
            return self._process.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            raise NotMeasured("its process was ended from outside, out of memory?") from None
        except (RuntimeError, MemoryError) as error:  # torch's own among them
            raise NotMeasured(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}") from None

    def build(self, work: Work, place: Place, name: str = "") -> dict[str, float]:
        """Build work under a name and train its first step.

        Returns:
            "build_seconds", and "first_seconds" of the first step, most of it compiling where something is compiled.
        """
        return self.call(_build, name, work, place)

    def calibrate(self, seconds: float, name: str = "") -> int:
        """Return how many steps of the work fill `seconds`."""
        count = 1
        while True:
            # The first time something may still be prepared, or other work in the way.
            took = min(self.steps(count, name)["wall"] for _ in range(2))
            if took > CALIBRATION_SECONDS or count >= MOST_STEPS:
                return min(max(1, round(seconds * count / took)), MOST_STEPS)
            count *= 2

    def steps(self, count: int, name: str = "") -> dict[str, float]:
        """Train; return seconds on the clock, "wall", and of the processor, "cpu"."""
        return self.call(_steps, name, count)

    def peak_bytes(self) -> int:
        """Return the most memory held so far: the GPU's where there is one, else the process's, all that it imports."""
        return self.call(_peak_bytes)


def side_by_side(tasks: Iterable[Callable[[], T]], at_once: int) -> list[T]:
    """Do what is not timed against each other, several at once."""
    with ThreadPoolExecutor(at_once) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def in_turn(contenders: Mapping[Any, Callable[[], dict[str, float]]], rounds: int) -> dict[Any, list[dict[str, float]]]:
    """Let each contender do its round, one at a time, round after round, each round beginning with another one."""
    timed: dict[Any, list[dict[str, float]]] = {key: [] for key in contenders}
    keys = list(contenders)
    for r in range(rounds):
        first = r % len(keys)
        for key in keys[first:] + keys[:first]:
            timed[key].append(contenders[key]())
    return timed


def median_seconds(timed: Iterable[Mapping[str, float]], clock: str) -> float:
    """Return the median of rounds on one of the two clocks."""
    return statistics.median(t[clock] for t in timed)


def _begin() -> None:
    """Start a contender's process: it ends when it is told to, not by Ctrl-C, and has one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import logging

    import torch

    torch.set_num_threads(1)
    # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def _build(name: str, work: Work, place: Place) -> dict[str, float]:
    started = time.perf_counter()
    _running[name] = Running(work, place)
    built = time.perf_counter()
    _running[name].steps(1)
    _wait()
    return {"build_seconds": built - started, "first_seconds": time.perf_counter() - built}


def _steps(name: str, count: int) -> dict[str, float]:
    running = _running[name]
    _wait()
    wall, cpu = time.perf_counter(), time.process_time()
    running.steps(count)
    _wait()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _wait() -> None:
    """Wait for a GPU to have done what it was told to."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_bytes() -> int:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # Linux: of this program alone, not of the one that started it
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
