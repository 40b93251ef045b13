"""The local engine's processes: what becomes of cohorts when they die, and of them when the coordinator does."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import CheckpointConfig, Outcome, WorkerDied
from benchmarks.engines.local import LocalEngine
from benchmarks.engines.work import Interrupted, Job, train_job
from gan.errors import CodeError, InputError
from gan.replica import Cohort

from .worker_doings import cohort_of, seeds_of


@pytest.fixture(autouse=True)
def doings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of what workers do, under a name that a new process finds too."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("worker_doings")


def run(doing: str, cohorts: list[Cohort], data: Path, workers: int = 1) -> tuple[list[Outcome], list[str], int]:
    said, steps = list[str](), list[int]()
    train = getattr(importlib.import_module("worker_doings"), doing)
    with LocalEngine(workers, said.append, train=train) as engine:
        outcomes = list(engine.run(cohorts, data, "cpu", steps.append))
    return outcomes, said, sum(steps)


def test_the_replica_that_kills_its_worker_is_found_and_the_others_finish(tmp_path: Path) -> None:
    outcomes, said, steps = run("kill_at_seed_3", [cohort_of(range(6)), cohort_of([8, 9], "other")], tmp_path, 2)
    assert seeds_of(outcomes) == [0, 1, 2, 3, 4, 5, 8, 9]
    (failed,) = [o for o in outcomes if o.result is None]
    assert seeds_of([failed]) == [3] and "SIGKILL" in failed.error
    assert steps == 7 * 10  # what was trained in vain is taken back
    assert all(2 <= o.cohort.width <= max(2, len(o.cohort.replicas)) for o in outcomes)
    assert any("seed" not in line and "failed" in line for line in said)


@pytest.mark.parametrize("doing", ["kill_once", "half_a_message"])
def test_one_death_costs_a_cohort_nothing_but_time(doing: str, tmp_path: Path) -> None:
    cohorts = [cohort_of(range(4)), cohort_of([7, 8, 9], "other")]
    outcomes, said, steps = run(doing, cohorts, tmp_path)
    assert sorted(outcomes[i].cohort.id for i in range(2)) == ["other", "whole"] and len(outcomes) == 2
    assert all(o.result for o in outcomes) and steps == 70
    assert len(said) == (2 if doing == "kill_once" else 1) and all("tried again" in line for line in said)


@pytest.mark.parametrize(
    ("doing", "found", "said"),
    [
        ("honest", Outcome, ""),
        ("raise_at_seed_3", Outcome, "MemoryError: no room for seed 3"),
        ("leave", Interrupted, ""),
        ("refuse", InputError, "no such data"),
        ("fill_the_disk", OSError, "No space left on device"),
        ("forget_a_key", CodeError, "KeyError: 'key'"),
    ],
)
def test_what_becomes_of_training_is_returned(doing: str, found: type[Any], said: str, doings: Any) -> None:
    job = Job(cohort_of([2, 3]), Path("data"), "cpu", None)
    answer = train_job(job, getattr(doings, doing), lambda _: None, print, lambda: False)
    assert type(answer) is found
    assert said in (answer.error if isinstance(answer, Outcome) else str(answer))
    assert not isinstance(answer, Outcome) or (answer.result is None) == bool(said)


def test_what_a_person_gave_is_refused_as_it_was_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such data"):
        run("refuse", [cohort_of([0])], tmp_path)


def test_a_process_that_was_broken_spoils_no_other_cohort(tmp_path: Path) -> None:
    cohorts = [cohort_of([seed], str(seed)) for seed in range(4)]
    outcomes, _, _ = run("break_at_seed_1", cohorts, tmp_path)
    failed = {o.cohort.id: o.error for o in outcomes if o.result is None}
    assert failed == {"1": "RuntimeError: CUDA error: an illegal access"} and len(outcomes) == 4


def test_a_signal_to_the_whole_group_blames_no_replica(tmp_path: Path, doings: Any) -> None:
    asked = [False]
    with LocalEngine(1, stopping=lambda: asked[0], train=doings.wait_and_die) as engine:
        found = engine.run([cohort_of([0], "slow")], tmp_path, "cpu", lambda _: None)
        threading.Timer(0.0, lambda: asked.__setitem__(0, until((tmp_path / "slow").exists))).start()
        with pytest.raises(KeyboardInterrupt):
            list(found)


def test_a_process_that_cannot_be_started_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", none_left)
    with pytest.raises(WorkerDied, match="no process can be started"):
        run("honest", [cohort_of([0])], tmp_path)


def test_workers_that_cannot_start_are_not_the_cohort_s_fault(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="ended before they could train"):
        run("UNBORN", [cohort_of([0])], tmp_path)


def test_a_request_to_stop_ends_the_training_and_loses_nothing_that_is_finished(tmp_path: Path, doings: Any) -> None:
    cohorts = [cohort_of([0], "quick"), cohort_of([1], "slow"), cohort_of([2], "never begun")]
    outcomes: list[Outcome] = []

    def stopping() -> bool:
        return bool(outcomes) and (tmp_path / "slow").exists()

    engine = LocalEngine(1, stopping=stopping, train=doings.wait_to_be_stopped)
    with engine, pytest.raises(KeyboardInterrupt):
        for outcome in engine.run(cohorts, tmp_path, "cpu", lambda _: None, CheckpointConfig(tmp_path / "kept", 60.0)):
            outcomes.append(outcome)  # noqa: PERF402, for `stopping` looks at it meanwhile
    assert [o.cohort.id for o in outcomes] == ["quick"] and not (tmp_path / "never begun").exists()


SCRIPT = """
import time
from pathlib import Path
from worker_doings import cohort_of, wait_to_be_stopped
from benchmarks.engines import CheckpointConfig
from benchmarks.engines.local import LocalEngine

if __name__ == "__main__":
    with LocalEngine(1, train=wait_to_be_stopped) as engine:
        here = Path(__file__).parent
        for _ in engine.run([cohort_of([0], "slow")], here, "cpu", print, CheckpointConfig(here, 60.0)):
            pass
"""


def children(process: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_killed_coordinator_leaves_no_worker_behind(tmp_path: Path) -> None:
    script = tmp_path / "coordinator.py"  # a file: workers import the main module again
    script.write_text(SCRIPT, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parents[2], Path(__file__).parent]))}
    with subprocess.Popen([sys.executable, str(script)], env=env) as coordinator:
        assert until((tmp_path / "slow").exists)  # a worker trains
        workers = children(coordinator.pid)
        assert workers
        coordinator.kill()
    assert until(lambda: not any(lives(worker) for worker in workers), 30)


def test_a_signal_to_a_worker_that_is_just_starting_is_not_heeded() -> None:
    # In a process of its own: only with its first worker does multiprocessing start more than that one.
    program = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from worker_doings import cohort_of, honest
from benchmarks.engines.retries import Attempt
from benchmarks.engines.work import Job
from benchmarks.engines.worker import Worker
worker = Worker(honest)
worker.begin(Attempt(cohort_of([0])), Job(cohort_of([0]), Path(), "cpu", None))
os.kill(worker._process.pid, signal.SIGINT)
print(worker.pipe.poll(60) and type(worker.pipe.recv()).__name__)
worker.end(at_once=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Ready\n", "")
