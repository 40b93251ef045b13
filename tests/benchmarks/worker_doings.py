"""What workers do in tests of the engine: functions that a process can be handed, and finds by this module's name."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.engines import Outcome
from gan.errors import InputError, Stopped
from gan.replica import Cohort, CohortResult, Replica, ReplicaResult, Scoring
from gan.targets import Gaussian
from gan.variant import Variant

if TYPE_CHECKING:
    from gan.engine.checkpoint import Checkpoints

Tell = Callable[[int], None]


def cohort_of(seeds: Sequence[int], name: str = "whole", **changes: Any) -> Cohort:
    replicas = tuple(Replica(f"r{seed}", Variant(), seed) for seed in seeds)
    given: dict[str, Any] = dict(target=Gaussian(), steps=10, scoring=Scoring(), mode="vmap", compiled=False)
    return Cohort(id=name, replicas=replicas, width=max(2, len(seeds)), **(given | changes))


def seeds_of(outcomes: Sequence[Outcome]) -> list[int]:
    return sorted(r.seed for o in outcomes for r in o.cohort.replicas)


def result_of(cohort: Cohort) -> CohortResult:
    return CohortResult([ReplicaResult(r, {"process": os.getpid()}, []) for r in cohort.replicas], {})


def honest(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    tell(cohort.steps * len(cohort.replicas))
    return result_of(cohort)


def kill_at_seed_3(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    if any(r.seed == 3 for r in cohort.replicas):
        tell(1)
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(cohort, data, device, tell, kept)


def raise_at_seed_3(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    if any(r.seed == 3 for r in cohort.replicas):
        raise MemoryError("no room for seed 3")
    return honest(cohort, data, device, tell, kept)


def kill_once(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    mark = data / cohort.id
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(cohort, data, device, tell, kept)


def half_a_message(cohort: Cohort, data: Path, device: str, tell: Any, kept: Any) -> CohortResult:
    """Die in the middle of saying something."""
    if not (mark := data / "half").exists():
        mark.touch()
        os.write(tell.__self__.fileno(), b"\x00\x00\x10\x00half of a kilobyte and more")
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(cohort, data, device, tell, kept)


def refuse(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    raise InputError(f"{data}: no such data")


def wait_to_be_stopped(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Checkpoints) -> CohortResult:
    if cohort.id == "quick":
        return result_of(cohort)
    (data / cohort.id).touch()
    while not kept.stopping():
        time.sleep(0.01)
    raise Stopped


def tell_for_three_seconds(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    """Leave as a result when it began and ended."""
    began = time.time()
    while time.time() - began < 3:
        time.sleep(0.2)
        tell(1)
    return CohortResult([], {}, {"span": np.array([began, time.time()])})


broken = False


def break_at_seed_1(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    """Break the process at seed 1, for good."""
    global broken
    broken |= any(r.seed == 1 for r in cohort.replicas)
    if broken:
        raise RuntimeError("CUDA error: an illegal access")
    return honest(cohort, data, device, tell, kept)


def leave(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    raise Stopped


def forget_a_key(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    raise KeyError("key")


def fill_the_disk(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    raise OSError(errno.ENOSPC, "No space left on device")


def wait_and_die(cohort: Cohort, data: Path, device: str, tell: Tell, kept: Any) -> CohortResult:
    """Be killed, as by whoever asks the coordinator to stop."""
    (data / cohort.id).touch()
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Unborn:
    """Kills the process that reads it."""

    def __reduce__(self) -> Any:
        return (os._exit, (7,))


UNBORN = Unborn()
