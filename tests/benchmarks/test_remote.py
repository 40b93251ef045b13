"""What a worker on another machine holds against the driver before it trains, and what it finds or is sent."""

from __future__ import annotations

import math
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import CheckpointConfig, Outcome, remote
from benchmarks.engines.work import Interrupted, Job
from gan.errors import Stopped
from gan.files import digest
from gan.plugins import registry
from gan.replica import Cohort
from gan.targets import Images

from .worker_doings import cohort_of, honest


def job_of(
    cohort: Cohort, tmp_path: Path, train: Any = honest, checkpoints: CheckpointConfig | None = None, plan: str = ""
) -> Any:
    return remote.RemoteJob(Job(cohort, tmp_path, "cpu", checkpoints), plan, remote.plugins_of(cohort), train)


def quiet(kind: str, what: Any) -> bool:
    return False


def test_a_difference_names_both_values() -> None:
    wanted = remote.identity()
    assert remote.difference(wanted) == ""
    assert remote.difference({**wanted, "torch": "1.0"}) == f"torch is {wanted['torch']} there, and 1.0 here"
    assert "the sha256 of the code" in remote.difference({**wanted, "the sha256 of the code in gan/": "0"})


def test_the_digest_of_the_code_is_of_all_that_decides_results() -> None:
    found = {path.name for kind in remote.CODE for path in Path(remote.gan.__file__).parent.rglob(kind)}
    assert {"step.py", "bmm.cpp", "mnist.safetensors"} <= found


def test_a_task_tells_and_is_told(tmp_path: Path) -> None:
    said: list[Any] = []
    outcome = remote.work(job_of(cohort_of([1, 2]), tmp_path), lambda *what: bool(said.append(what)), None)
    assert isinstance(outcome, Outcome) and outcome.machine and outcome.machine["host"] == socket.gethostname()
    assert said == [("begun", None), ("steps", 20)]
    assert isinstance(remote.work(job_of(cohort_of([1]), tmp_path), lambda *_: True, None), Interrupted)


def test_checkpoints_are_kept_where_the_run_is_seen(tmp_path: Path) -> None:
    folders: list[tuple[Path, float]] = []

    def train(cohort: Cohort, data: Path, device: str, tell: Any, kept: Any) -> Any:
        folders.append((kept.folder, kept.seconds))
        raise Stopped

    checkpoints = CheckpointConfig(tmp_path / "checkpoints", 60.0)
    (tmp_path / "plan.json").write_text("{}")
    seen = job_of(cohort_of([1]), tmp_path, train, checkpoints, digest(tmp_path / "plan.json"))
    assert isinstance(remote.work(seen, quiet, None), Interrupted)
    remote.work(job_of(cohort_of([1]), tmp_path, train, checkpoints, "another"), quiet, None)
    assert folders[0] == (tmp_path / "checkpoints" / "whole", 60.0)
    assert tmp_path not in folders[1][0].parents and folders[1][1] == math.inf and not folders[1][0].parent.exists()


def test_a_broken_process_ends_before_it_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(code: int) -> None:
        raise SystemExit(code)

    def train(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal access")

    monkeypatch.setattr(remote, "_broken", False)
    monkeypatch.setattr(os, "_exit", ends)
    outcome = remote.work(job_of(cohort_of([1]), tmp_path, train), quiet, None)
    assert isinstance(outcome, Outcome) and outcome.broken
    said: list[Any] = []
    with pytest.raises(SystemExit):
        remote.work(job_of(cohort_of([1]), tmp_path), lambda *what: bool(said.append(what)), None)
    assert said == []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has no image data, and a cache of its own."""
    monkeypatch.setattr(remote, "_found", {})
    monkeypatch.setenv("GAN_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("GAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_data_that_are_nowhere_are_asked_for_and_kept(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, fetched, loaded = Images("mnist"), [], []
    names = [path.relative_to(machine).as_posix() for path in target.files(machine)]
    monkeypatch.setattr(Images, "load", lambda self, folder, download=False: loaded.append(folder))

    def sent() -> dict[str, bytes]:
        fetched.append(1)
        return dict.fromkeys(names, b"content")

    job = job_of(cohort_of([1], target=target), machine)
    assert isinstance(remote.work(job, quiet, None), remote.LacksData)
    for _ in range(2):
        remote._found.clear()  # as in another process of the machine
        assert isinstance(remote.work(job, quiet, sent), Outcome)
    assert len(fetched) == 1 and set(loaded) == {machine / "cache" / "sent" / target.digest[:16]}


def test_data_that_are_not_the_pinned_ones_refuse_the_machine(machine: Path) -> None:
    target = Images("mnist")
    for path in target.files(machine / "none"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not a gzip file")
    said = remote.work(job_of(cohort_of([1], target=target), machine), quiet, None)
    assert isinstance(said, str) and "mnist" in said


PLUGIN = """
from gan.plugins import Loss

COMPONENTS = [Loss("mine", lambda real, fake: (-real, fake), lambda fake, real: -fake)]
"""


def test_a_plugin_of_one_file_is_sent(machine: Path, no_plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = machine / "own.py"
    path.write_text(PLUGIN, encoding="utf-8")
    cohort = cohort_of([1], plugins=(str(path),))
    job = job_of(cohort, machine)
    path.unlink()
    monkeypatch.setattr(registry, "loaded", {})
    outcome = remote.work(job, quiet, None)
    assert isinstance(outcome, Outcome) and outcome.cohort is cohort
    (kept,) = (machine / "cache" / "plugins").rglob("own.py")
    assert kept.read_text(encoding="utf-8") == PLUGIN


def test_a_package_that_differs_refuses_the_machine(machine: Path, no_plugins: None) -> None:
    (machine / "own.py").write_text(PLUGIN, encoding="utf-8")
    sys.path.append(str(machine))
    job = job_of(cohort_of([1]), machine)
    theirs = {"own": remote.Plugin("0" * 64, None)}
    said = remote.work(remote.RemoteJob(job.job, "", theirs, honest), quiet, None)
    assert isinstance(said, str) and "expected 000000000000" in said
