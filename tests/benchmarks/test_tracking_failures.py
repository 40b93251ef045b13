"""The mirror when the store is away, slow, forgetful or hangs: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import functools
import re
import socket
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.tracking import Mirror, MirrorStats, background
from benchmarks.tracking.background import Background
from benchmarks.tracking.holdings import PARENT, Run, sort_out

from .flaky import FlakyStore, Server
from .mirroring import VARIANTS, client_of, make_history, make_plan, make_results, make_samples, mirror, runs_of

QUICK = (0.0,) * 3


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.0)


@functools.cache
def trained() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up what the replicas of every plan here left: hundreds of sessions read it."""
    return make_results(make_plan()), make_history(make_plan(), points=3)


def push(server: Server, plan: dict[str, Any], kind: type[FlakyStore] = FlakyStore, **flaky: Any) -> MirrorStats:
    """Mirror all of a plan, in two cohorts, as a session or a `sync` does."""
    store = kind(server, **flaky)
    trials = {name: {"optuna_trial": str(k)} for k, name in enumerate(VARIANTS)} if plan["study"].get("stage") else None
    writer = Mirror(Path("runs"), plan, store=lambda _: store, retry_pauses=QUICK, trials=trials)
    results, history = trained()
    for rows in (results.iloc[::2], results.iloc[1::2]):
        writer.push(rows, lambda: history, make_samples)
    writer.describe("It does not.")
    return writer.close()


def assert_whole(server: Server, plan: dict[str, Any]) -> None:
    """One finished run for each variant and each replica, under the right parent, each metric once a step."""
    search = bool(plan["study"].get("stage"))
    parents = {run.tags["variant"]: run for run in server.parents}
    assert sorted(run.tags["variant"] for run in server.parents) == sorted(VARIANTS)
    wanted = [] if search else [replica["id"] for replica in plan["replicas"]]
    assert sorted(run.tags["replica"] for run in server.children) == sorted(wanted)
    for run in server.runs:
        assert run.over and run.params
        assert max(Counter((name, step) for name, _, _, step in server.points[run.id]).values()) == 1
    for child in server.children:
        assert child.tags[PARENT] == parents[child.tags["variant"]].id
    assert all(parent.metrics["replicas"] == 3 for parent in server.parents)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=3),
    share=st.floats(0.05, 0.9),
    until=st.integers(1, 80),
    dies=st.booleans(),
    stage=st.sampled_from(["", "search"]),
)
def test_whatever_fails_in_the_end_every_replica_has_one_finished_run(
    seeds: list[int], share: float, until: int, dies: bool, stage: str
) -> None:
    plan, server = make_plan(), Server()
    plan["study"] |= {"stage": stage, "target": {"name": "gaussian"}, "steps": 1000} if stage else {}
    for seed in seeds:  # sessions, each ended by a kill or not
        stats = push(server, plan, seed=seed, share=share, until=until, dies=dies)
        assert "secret" not in stats.warning
    server.settle()
    stats = push(server, plan)
    assert (stats.warning, stats.missing) == ("", 0)
    assert_whole(server, plan)
    before = {run.id for run in server.runs}
    for _ in range(2):
        again = push(server, plan)
        assert (again.warning, again.runs_created, again.removed) == ("", 0, 0)
    assert {run.id for run in server.runs} == before


def test_a_lost_answer_makes_no_second_run() -> None:
    plan, server = make_plan(), Server()
    for seed in range(20):
        push(server, plan, seed=seed, share=0.3, until=1000, fates=["after"])
        assert len(server.all) <= 2 + 6
    push(server, plan)
    assert_whole(server, plan)


def test_what_a_slow_store_writes_after_all_adds_nothing_twice() -> None:
    class Slow(FlakyStore):
        def log(self, run: Run, points: Any, params: Any) -> None:
            def work() -> None:
                FlakyStore(self.server).log(run, points, params)

            if points and PARENT not in run.tags:
                self.server.under_way.append(work)
                raise TimeoutError("given up")
            work()

    plan, server = make_plan(), Server()
    assert push(server, plan, kind=Slow).error
    time.sleep(0.002)  # clock times differ
    push(server, plan)
    server.settle()
    assert_whole(server, plan)


def test_children_of_a_run_that_is_removed_move_to_the_one_that_stays() -> None:
    plan, server = make_plan(), Server()
    push(server, plan)
    before = sorted(run.id for run in server.runs)
    twin = server.parents[0]
    server.all["earlier"] = Run(
        "earlier", twin.start - 1, over=True, tags=twin.tags, metrics=twin.metrics, params={"a": "b"}
    )
    server.points["earlier"] = server.points[twin.id]
    assert push(server, plan).removed == 1
    assert_whole(server, plan)
    assert sorted({*before, "earlier"} - {twin.id}) == sorted(run.id for run in server.runs)
    assert sum(child.tags[PARENT] == "earlier" for child in server.children) == 3


def test_a_replica_that_was_trained_after_it_failed_replaces_its_run() -> None:
    plan, server = make_plan(), Server()
    failed = make_results(plan)
    failed.loc[1, "status"] = "failed"
    first = Mirror(Path("runs"), plan, store=lambda _: FlakyStore(server))
    first.push(failed, lambda: make_history(plan))
    first.close()
    assert [run.metrics["failures"] for run in server.parents] == [1, 0]
    assert push(server, plan).warning == ""
    assert sorted(run.tags["replica"] for run in server.children) == sorted(r["id"] for r in plan["replicas"])
    assert {run.tags["status"] for run in server.children} == {"ok"}
    assert [run.metrics["failures"] for run in server.parents] == [0, 0]


def run(id: str, start: int, over: bool = False, *, parent: str = "", **tags: str) -> Run:
    return Run(id, start, over, tags=tags | ({PARENT: parent} if parent else {}))


def test_of_two_runs_the_finished_one_is_kept_else_the_earlier() -> None:
    runs = [
        run("a", 1, replica="r1"),
        run("b", 2, over=True, replica="r1"),
        run("d", 5, replica="r2"),
        run("c", 5, replica="r2"),
        run("e", 3, replica="r2", parent="q"),
        run("p", 1, variant="v", settings="s"),
        run("q", 2, variant="v", settings="s"),
        run("o", 2, variant="v", settings="other"),
        run("u", 2),  # a person's own
    ]
    for ordered in (runs, runs[::-1]):
        held = sort_out(ordered)
        assert {key: kept.id for key, kept in held.replicas.items()} == {"r1": "b", "r2": "e"}
        assert {key: kept.id for key, kept in held.parents.items()} == {("v", "s"): "p", ("v", "other"): "o"}
        assert sorted(extra.id for extra in held.extras) == ["a", "c", "d", "q"]
        assert held.strays == [("e", "p")]


# With MLflow itself.


def test_a_database_locked_in_the_middle_is_caught_up_with(runs_dir: Path) -> None:
    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def impatient(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> tuple[str, Any]:
        return re.sub("busy_timeout = [0-9]+", "busy_timeout = 20", statement), parameters  # not MLflow's 20 seconds

    locked = sqlite3.connect(runs_dir / "mlflow.db", isolation_level=None, check_same_thread=False)
    failed = threading.Event()

    def history() -> Any:
        """Lock the database between making the parents and the first replica."""
        if not failed.is_set():
            locked.execute("begin exclusive")
            failed.set()
        return make_history(plan)

    plan = make_plan()
    writer = Mirror(runs_dir, plan)
    try:
        writer.push(make_results(plan).iloc[:3], lambda: make_history(plan))
        writer.push(make_results(plan).iloc[3:], history)
        assert failed.wait(60)
        give_up = time.monotonic() + 30
        while not writer._jobs.error:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        assert "locked" in writer._jobs.error
        locked.rollback()
        stats = writer.close()
    finally:
        locked.close()
        event.remove(Engine, "before_cursor_execute", impatient)
    assert (stats.warning, stats.missing, stats.removed) == ("", 0, 0)
    parents, children = runs_of(runs_dir)
    assert sorted(run.data.tags["replica"] for run in children) == sorted(stats.replicas)
    assert {run.info.status for run in [*parents, *children]} == {"FINISHED"} and len(parents) == 2


def test_the_same_points_written_again_are_there_once(runs_dir: Path) -> None:
    plan = make_plan(seeds=1)
    mirror(runs_dir, plan)
    client, (_, (child, _)) = client_of(runs_dir), runs_of(runs_dir)
    before = client.get_metric_history(child.info.run_id, "score/ks")
    client.update_run(child.info.run_id, status="RUNNING")  # as if it had been killed at the last moment
    assert mirror(runs_dir, plan).runs_created == 0
    again = client.get_metric_history(child.info.run_id, "score/ks")
    assert [(m.step, m.value, m.timestamp) for m in again] == [(m.step, m.value, m.timestamp) for m in before]
    assert client.get_run(child.info.run_id).info.status == "FINISHED"


def test_a_server_that_accepts_and_never_answers_costs_a_few_timeouts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(background, "FIRST_PAUSE", 60.0)
    plan = make_plan()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        writer = Mirror(tmp_path, plan, tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", retry_pauses=())
        for k in range(6):
            writer.push(make_results(plan).iloc[[k]], lambda: make_history(plan))
        stats = writer.close()
        silent.settimeout(0.0)
        attempts = 0
        with pytest.raises(BlockingIOError):
            while True:
                silent.accept()[0].close()
                attempts += 1
    assert (stats.missing, stats.runs_created) == (6, 0) and "Timeout" in stats.warning
    assert attempts == 2  # for the first job, and at the end


# Behind the training.


def work(jobs: Background, count: int = 1, fails: int = 0) -> list[int]:
    """Put jobs that note their number; the first fails some times."""
    done: list[int] = []
    left = [fails]

    def job(k: int) -> None:
        if k == 0 and left[0]:
            left[0] -= 1
            raise OSError("disk full")
        done.append(k)

    for k in range(count):
        jobs.put(lambda k=k: job(k))
    return done


def nothing() -> None:
    pass


def test_what_failed_is_tried_again_and_holds_up_nothing() -> None:
    jobs = Background("test", nothing, QUICK, nothing)
    done = work(jobs, count=3, fails=2)
    jobs.close(10)
    assert (sorted(done), jobs.error) == ([0, 1, 2], "")
    assert jobs.seconds >= 0


def test_what_never_succeeds_says_why_and_ends() -> None:
    jobs = Background("test", nothing, QUICK, nothing)
    done = work(jobs, count=3, fails=99)
    jobs.close(10)
    assert (done, jobs.error) == ([1, 2], "OSError: disk full")


def test_credentials_in_an_error_are_struck_out() -> None:
    def fail() -> None:
        raise OSError("API request to http://me:pass@word@host/api failed")

    jobs = Background("test", fail, (), nothing)
    jobs.put(nothing)
    jobs.close(10)
    assert jobs.error == "OSError: API request to http://***@host/api failed"


def test_while_the_store_is_away_it_is_not_asked_for_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 60.0)
    asked: list[None] = []

    def away() -> None:
        asked.append(None)
        raise TimeoutError("the server accepts and never answers")

    jobs = Background("test", away, QUICK, nothing)
    done = work(jobs, count=50)
    jobs.close(10)
    # Once when the first came, then at the end: at once and after each pause.
    assert done == [] and len(asked) <= 2 + len(QUICK)


def test_what_waits_is_tried_again_though_no_other_job_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.01)
    jobs, succeeded = Background("test", nothing, (), nothing), threading.Event()
    fails = [OSError("away"), OSError("away")]

    def job() -> None:
        if fails:
            raise fails.pop()
        succeeded.set()

    jobs.put(job)
    assert succeeded.wait(10)
    jobs.close(10)
    assert jobs.error == ""


def test_the_end_waits_no_longer_than_it_is_told_and_then_nothing_is_begun() -> None:
    stuck, release = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        release.wait(30)

    jobs = Background("test", nothing, QUICK, nothing)
    jobs.put(hang)
    done = work(jobs)
    assert stuck.wait(10)
    began = time.monotonic()
    jobs.close(0.05)
    assert time.monotonic() - began < 5
    release.set()
    jobs._thread.join(10)
    assert done == [] and not jobs._thread.is_alive()


def test_where_something_failed_all_is_looked_at_once_more() -> None:
    def looks(fails: int) -> int:
        looked: list[None] = []
        jobs = Background("test", nothing, QUICK, lambda: looked.append(None))
        work(jobs, fails=fails)
        jobs.close(10)
        assert jobs.error == ""
        return len(looked)

    assert (looks(fails=0), looks(fails=1)) == (0, 1)
