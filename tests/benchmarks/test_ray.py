"""The Ray engine without a cluster: its decisions, with a cluster played; what a machine holds against the driver."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.engines import Keeping, Outcome, WorkerDied, remote
from benchmarks.engines.work import Job, Left
from benchmarks.planning import cost
from gan.errors import InputError, Stopped
from gan.files import digest
from gan.plugins import registry
from gan.replica import Cohort
from gan.targets import Images

from .test_engines import seeds_of
from .worker_doings import cohort_of, honest, told_of

pytest.importorskip("ray")
engine = importlib.import_module("benchmarks.engines.ray")
errors = importlib.import_module("ray.exceptions")

Doing = Callable[["PlayedCluster", remote.Order, str], Any]
"""What a task comes to on a machine: said, or raised."""


class PlayedCluster:
    """Stands in for Ray: a task is done when it is waited for, on the next of the machines that it may go to."""

    def __init__(self, doing: Doing, nodes: tuple[str, ...] = ("a", "b")) -> None:
        self.doing, self.alive = doing, dict.fromkeys(nodes, True)
        self.said: list[tuple[int, str, Any]] = []
        self.asked: dict[int, tuple[remote.Order, list[str], Any]] = {}
        self.results: dict[int, tuple[str, Any]] = {}
        self.turns = itertools.count()
        self.trained: list[tuple[str, str]] = []
        """Cohort and machine of every task that was done."""
        self.most = 0
        """Tasks in flight at once."""
        self.put_in: list[Any] = []
        self.cancelled: set[int] = set()

    def nodes(self) -> list[dict[str, Any]]:
        more = {"Resources": {"CPU": 1, "node:__internal_head__": 1}, "NodeManagerHostname": "host"}
        return [{"NodeID": name, "Alive": alive, **more} for name, alive in self.alive.items()]

    def options(self, **options: Any) -> Any:
        excluded = (options.get("label_selector") or {}).get(engine.NODE, "!in()")[4:-1].split(",")

        def hand_in(number: int = -1, desk: Any = None, wanted: Any = None, order: bytes = b"", sent: Any = ()) -> Any:
            if number < 0:  # only to see whether a machine is there
                return f"probe of {options['scheduling_strategy'].node_id}"
            assert wanted == remote.identity()
            self.asked[number] = pickle.loads(order), excluded, sent
            return number

        return SimpleNamespace(remote=hand_in)

    def wait(self, refs: list[Any], timeout: float, num_returns: int = 1) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, sum(isinstance(ref, int) for ref in refs))
        done = [ref for ref in refs if isinstance(ref, str) or self.done(ref)]
        done = done[:num_returns]
        return done, [ref for ref in refs if ref not in done]

    def done(self, number: int) -> bool:
        """Do a task, if there is a machine that may; once."""
        order, excluded, sent = self.asked[number]
        allowed = [name for name, alive in self.alive.items() if alive and name not in excluded]
        if number not in self.results and number not in self.cancelled and allowed and not self.results:
            node = allowed[next(self.turns) % len(allowed)]
            self.trained.append((order.job.cohort.id, node))
            self.said.append((number, "begun", node))
            self.results[number] = node, trained(order) if sent else self.doing(self, order, node)
        return number in self.results or number in self.cancelled

    def get(self, ref: Any) -> Any:
        if isinstance(ref, str) and not self.alive[ref[-1]]:
            raise errors.TaskUnschedulableError("no such node")
        if not isinstance(ref, int):
            return ref
        if ref in self.cancelled:
            raise errors.TaskCancelledError
        node, found = self.results.pop(ref)
        if isinstance(found, errors.RayError):
            raise found
        return node, found

    def hear(self) -> list[tuple[int, str, Any]]:
        said, self.said = self.said, []
        return said

    def put(self, what: Any) -> Any:
        self.put_in.append(what)
        return what

    def cancel(self, ref: Any) -> None:
        self.cancelled.add(ref)


def trained(order: remote.Order) -> Outcome:
    return Outcome(order.job.cohort, told_of(order.job.cohort))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Train cohorts on a played cluster; return it, the outcomes and what was said."""

    def run(cluster: PlayedCluster, cohorts: list[Cohort], **more: Any) -> tuple[list[Outcome], list[str]]:
        desk = SimpleNamespace(hear=SimpleNamespace(remote=cluster.hear), stop=SimpleNamespace(remote=lambda: None))
        monkeypatch.setattr(engine, "ray", cluster)
        monkeypatch.setattr(engine, "task", cluster)
        monkeypatch.setattr(engine, "is_there", cluster)
        only_on = "NodeAffinitySchedulingStrategy"
        monkeypatch.setattr(engine, only_on, lambda node, soft: SimpleNamespace(node_id=node))
        made = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: desk))
        monkeypatch.setattr(engine, "Desk", made)
        said: list[str] = []
        ours = engine.RayEngine(say=said.append, **more)
        return list(ours.run(cohorts, Path("data"), "cpu", lambda _: None)), said

    return run


def cohorts_of(count: int) -> list[Cohort]:
    return [cohort_of([2 * i, 2 * i + 1], f"c{i}") for i in range(count)]


def test_a_bounded_number_of_cohorts_is_in_flight_in_order(play: Any) -> None:
    cluster = PlayedCluster(lambda _, order, node: trained(order))
    outcomes, said = play(cluster, cohorts_of(9))
    assert [o.cohort.id for o in outcomes] == [f"c{i}" for i in range(9)] and said == []
    assert cluster.most == 4  # twice what two machines of one CPU train at once


def test_nothing_to_train_is_nothing(play: Any) -> None:
    assert play(PlayedCluster(lambda *_: None), []) == ([], [])


def test_without_a_machine_the_cohorts_wait_for_one(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = PlayedCluster(lambda _, order, node: trained(order))
    cluster.alive = dict.fromkeys(cluster.alive, False)
    waits = itertools.count()

    def wait(seconds: float) -> None:
        if next(waits) == 2:
            cluster.alive["c"] = True

    monkeypatch.setattr(engine, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(engine.time, "sleep", wait)
    outcomes, said = play(cluster, cohorts_of(2))
    assert len(outcomes) == 2 and len(said) == 1 and "waiting" in said[0]


def test_a_lost_machine_is_nobody_s_fault(play: Any) -> None:
    def doing(cluster: PlayedCluster, order: remote.Order, node: str) -> Any:
        if node == "b":
            cluster.alive["b"] = False
            return errors.WorkerCrashedError()
        return trained(order)

    cluster = PlayedCluster(doing)
    outcomes, said = play(cluster, cohorts_of(4))
    assert seeds_of(outcomes) == list(range(8)) and all(o.result for o in outcomes)
    assert sorted(o.cohort.id for o in outcomes) == ["c0", "c1", "c2", "c3"]  # whole
    assert [line for line in said if "lost" in line] == said and len(said) == 1


def test_a_cohort_that_loses_machine_after_machine_is_cut(play: Any) -> None:
    def doing(cluster: PlayedCluster, order: remote.Order, node: str) -> Any:
        if any(r.seed == 1 for r in order.job.cohort.replicas):
            cluster.alive[node] = False
            return errors.NodeDiedError("gone")
        return trained(order)

    outcomes, said = play(PlayedCluster(doing, nodes=tuple("abcdefghijklmnopqrstuvwxyz")), cohorts_of(2))
    assert seeds_of(outcomes) == [0, 1, 2, 3]
    (failed,) = [o for o in outcomes if o.result is None]
    assert seeds_of([failed]) == [1] and "machines were lost" in failed.error
    assert sum("trained elsewhere" in line for line in said) >= engine.LOSSES - 1


def test_a_process_that_dies_on_a_machine_that_lives_is_the_cohort_s(play: Any) -> None:
    def doing(cluster: PlayedCluster, order: remote.Order, node: str) -> Any:
        poisoned = any(r.seed == 3 for r in order.job.cohort.replicas)
        return errors.WorkerCrashedError() if poisoned else trained(order)

    outcomes, _ = play(PlayedCluster(doing), cohorts_of(3))
    (failed,) = [o for o in outcomes if o.result is None]
    assert seeds_of([failed]) == [3] and seeds_of(outcomes) == list(range(6))


def test_tasks_that_never_begin_end_the_run(play: Any) -> None:
    def doing(cluster: PlayedCluster, order: remote.Order, node: str) -> Any:
        cluster.said.clear()
        return errors.WorkerCrashedError()

    with pytest.raises(WorkerDied, match="before they could train"):
        play(PlayedCluster(doing), cohorts_of(1))


def test_a_machine_that_differs_gets_nothing_more(play: Any) -> None:
    cluster = PlayedCluster(lambda _, order, node: "torch is 2 there, and 1 here" if node == "a" else trained(order))
    outcomes, said = play(cluster, cohorts_of(8))
    assert seeds_of(outcomes) == list(range(16)) and all(o.result for o in outcomes)
    assert said == ["refused: machine host (node a): torch is 2 there, and 1 here"]
    handed_before = 4  # to either machine, before it was known
    assert {node for _, node in cluster.trained[handed_before:]} == {"b"}


def test_without_a_machine_left_there_is_one_error(play: Any) -> None:
    with pytest.raises(InputError, match=r"no machine of the Ray cluster can train: .*node a.*node b.*torch is 2"):
        play(PlayedCluster(lambda *_: "torch is 2 there, and 1 here"), cohorts_of(8))


def test_what_ends_a_local_run_ends_this_one(play: Any) -> None:
    with pytest.raises(OSError, match="No space left"):
        play(PlayedCluster(lambda *_: OSError(28, "No space left on device")), cohorts_of(2))


def test_a_request_to_stop_takes_back_what_has_not_begun(play: Any) -> None:
    asked = [False]

    def doing(cluster: PlayedCluster, order: remote.Order, node: str) -> Any:
        asked[0] = True
        return trained(order)

    cluster = PlayedCluster(doing)
    with pytest.raises(KeyboardInterrupt):
        play(cluster, cohorts_of(6), stopping=lambda: asked[0])
    assert len(cluster.trained) == 1 and len(cluster.cancelled) == 3


def test_data_are_sent_once(play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "files_of", lambda target, folder: {"MNIST/raw/x": b"images"})
    cluster = PlayedCluster(lambda *_: remote.LacksData())
    outcomes, _ = play(cluster, [cohort_of([i], f"c{i}", target=Images("mnist")) for i in range(6)])
    assert len(outcomes) == 6 and cluster.put_in == [{"MNIST/raw/x": b"images"}]


# On a machine.


def order_of(
    cohort: Cohort, tmp_path: Path, train: Any = honest, keeping: Keeping | None = None, plan: str = ""
) -> Any:
    return remote.Order(Job(cohort, tmp_path, "cpu", keeping), plan, remote.plugins_of(cohort), train)


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
    outcome = remote.work(order_of(cohort_of([1, 2]), tmp_path), lambda *what: bool(said.append(what)), None)
    assert isinstance(outcome, Outcome) and outcome.machine and outcome.machine["host"] == socket.gethostname()
    assert said == [("begun", None), ("steps", 20)]
    assert isinstance(remote.work(order_of(cohort_of([1]), tmp_path), lambda *_: True, None), Left)


def test_checkpoints_are_kept_where_the_run_is_seen(tmp_path: Path) -> None:
    folders: list[tuple[Path, float]] = []

    def train(cohort: Cohort, data: Path, device: str, tell: Any, kept: Any) -> Any:
        folders.append((kept.folder, kept.seconds))
        raise Stopped

    keeping = Keeping(tmp_path / "checkpoints", 60.0)
    (tmp_path / "plan.json").write_text("{}")
    seen = order_of(cohort_of([1]), tmp_path, train, keeping, digest(tmp_path / "plan.json"))
    assert isinstance(remote.work(seen, quiet, None), Left)
    remote.work(order_of(cohort_of([1]), tmp_path, train, keeping, "another"), quiet, None)
    assert folders[0] == (tmp_path / "checkpoints" / "whole", 60.0)
    assert tmp_path not in folders[1][0].parents and folders[1][1] == math.inf and not folders[1][0].parent.exists()


def test_a_broken_process_ends_before_it_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(code: int) -> None:
        raise SystemExit(code)

    def train(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal access")

    monkeypatch.setattr(remote, "_broken", False)
    monkeypatch.setattr(os, "_exit", ends)
    outcome = remote.work(order_of(cohort_of([1]), tmp_path, train), quiet, None)
    assert isinstance(outcome, Outcome) and outcome.broken
    said: list[Any] = []
    with pytest.raises(SystemExit):
        remote.work(order_of(cohort_of([1]), tmp_path), lambda *what: bool(said.append(what)), None)
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

    order = order_of(cohort_of([1], target=target), machine)
    assert isinstance(remote.work(order, quiet, None), remote.LacksData)
    for _ in range(2):
        remote._found.clear()  # as in another process of the machine
        assert isinstance(remote.work(order, quiet, sent), Outcome)
    assert len(fetched) == 1 and set(loaded) == {machine / "cache" / "sent" / target.digest[:16]}


def test_data_that_are_not_the_pinned_ones_refuse_the_machine(machine: Path) -> None:
    target = Images("mnist")
    for path in target.files(machine / "none"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not a gzip file")
    said = remote.work(order_of(cohort_of([1], target=target), machine), quiet, None)
    assert isinstance(said, str) and "mnist" in said


PLUGIN = """
from gan.plugins import Loss

COMPONENTS = [Loss("mine", lambda logit: -logit, lambda logit: logit, lambda logit: -logit)]
"""


def test_a_plugin_of_one_file_is_sent(machine: Path, no_plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = machine / "own.py"
    path.write_text(PLUGIN, encoding="utf-8")
    cohort = cohort_of([1], plugins=(str(path),))
    order = order_of(cohort, machine)
    path.unlink()
    monkeypatch.setattr(registry, "loaded", {})
    outcome = remote.work(order, quiet, None)
    assert isinstance(outcome, Outcome) and outcome.cohort is cohort
    (kept,) = (machine / "cache" / "plugins").rglob("own.py")
    assert kept.read_text(encoding="utf-8") == PLUGIN


def test_a_package_that_differs_refuses_the_machine(machine: Path, no_plugins: None) -> None:
    (machine / "own.py").write_text(PLUGIN, encoding="utf-8")
    sys.path.append(str(machine))
    order = order_of(cohort_of([1]), machine)
    theirs = {"own": remote.Plugin("0" * 64, None)}
    said = remote.work(remote.Order(order.job, "", theirs, honest), quiet, None)
    assert isinstance(said, str) and "expected 000000000000" in said


# On the command line.


def ganbench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def refused(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    from benchmarks import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganbench", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and not list(tmp_path.iterdir())
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run gaussian --engine rya", "did you mean 'ray'? Valid: local, ray."),
        ("tune tuned-gaussian --address auto", "expected --engine ray"),
        ("run gaussian --gpus-per-cohort 0.5", "expected --engine ray"),
        ("run gaussian --nodes 4", "expected --dry-run"),
        ("run gaussian --engine ray --address nowhere", "no address; expected auto"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(words, tmp_path, monkeypatch, capsys)


def test_without_ray_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'pip install "gan-stability[ray]"' in refused("run gaussian --engine ray", tmp_path, monkeypatch, capsys)


def test_an_address_nobody_answers_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        for scheme in ("", "ray://"):
            words = f"run gaussian --engine ray --address {scheme}127.0.0.1:{port}"
            assert "nobody answers there" in refused(words, tmp_path, monkeypatch, capsys)


def test_a_dry_run_tells_what_many_machines_take(tmp_path: Path) -> None:
    told = ganbench("run", "gaussian", "--dry-run", "--nodes", "3", "--workers", "2", "--engine", "ray", cwd=tmp_path)
    assert "On 3 nodes of 2 workers: 320 replicas in 10 cohorts" in told.stdout and not list(tmp_path.iterdir())


def test_no_study_takes_less_than_its_longest_cohort() -> None:
    plan = {"study": "s", "to_train": 8, "cohorts": [{}] * 8, "estimated_disk_mb": 1.0}
    plan |= {"estimated_core_seconds": 7200, "longest_cohort_seconds": 900}
    few, many = dict(plan), dict(plan)
    cost.spread([few], 2, 2)
    cost.spread([many], 100, 2)
    assert (few["estimated_hours"], few["limited_by"]) == (0.5, "the work in all")
    assert (many["estimated_hours"], many["limited_by"]) == (0.25, "the longest cohort")
    assert "longest cohort takes 15.0 minutes" in cost.told([many]) and "minutes" not in cost.told([few])
    assert json.dumps(many)
