"""The mirror when the store is away, slow, forgetful or hangs: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.tracking import Mirror, MirrorStats, background
from benchmarks.tracking.background import Background
from benchmarks.tracking.store import PARENT, Run, deduplicate

from .flaky import FlakyStore, Server, StoredRun
from .mirroring import VARIANTS, make_history, make_plan, make_results, make_samples, record_of, remember

QUICK = (0.0,) * 3


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PAUSE", 0.0)


@functools.cache
def trained() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up what the replicas of every plan here left: hundreds of sessions read it."""
    return make_results(make_plan()), make_history(make_plan(), points=3)


def push(server: Server, plan: dict[str, Any], kind: type[FlakyStore] = FlakyStore, **flaky: Any) -> MirrorStats:
    """Mirror all of a plan, in two cohorts, as a session or a `sync` does."""
    store = kind(server, **flaky)
    trials = {name: {"optuna_trial": str(k)} for k, name in enumerate(VARIANTS)} if plan["study"].get("stage") else None
    writer = Mirror(Path("runs"), record_of(plan), store=lambda _: store, retry_pauses=QUICK, trials=trials)
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
        assert max(Counter((name, step) for name, _, _, step in run.points).values()) == 1
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
    plan["study"]["stage"] = stage
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
    server.all["earlier"] = StoredRun(**vars(twin) | {"id": "earlier", "start": twin.start - 1})
    assert push(server, plan).removed == 1
    assert_whole(server, plan)
    assert sorted({*before, "earlier"} - {twin.id}) == sorted(run.id for run in server.runs)
    assert sum(child.tags[PARENT] == "earlier" for child in server.children) == 3


def test_a_replica_that_was_trained_after_it_failed_replaces_its_run() -> None:
    plan, server = make_plan(), Server()
    failed = make_results(plan)
    failed.loc[1, "status"] = "failed"
    remember(server, plan, failed)
    assert [run.metrics["failures"] for run in server.parents] == [1, 0]
    assert push(server, plan).warning == ""
    assert sorted(run.tags["replica"] for run in server.children) == sorted(r["id"] for r in plan["replicas"])
    assert {run.tags["status"] for run in server.children} == {"ok"}
    assert [run.metrics["failures"] for run in server.parents] == [0, 0]


def test_a_write_that_failed_half_way_is_finished_not_repeated() -> None:
    class Forgetful(FlakyStore):
        full = True

        def add_files(self, run: Run, contents: Any) -> None:
            if Forgetful.full:
                Forgetful.full = False
                raise OSError("disk full")
            super().add_files(run, contents)

    plan, server = make_plan(), Server()
    assert push(server, plan, kind=Forgetful).warning == "" and len(server.all) == 2 + 6
    assert_whole(server, plan)


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
        chosen, extras = deduplicate(ordered)
        assert {key: kept.id for key, kept in chosen.items()} == {
            ("r1",): "b",
            ("r2",): "e",
            ("v", "s"): "p",
            ("v", "other"): "o",
        }
        assert sorted(extra.id for extra in extras) == ["a", "c", "d", "q"]


def test_a_server_that_accepts_and_never_answers_costs_a_few_timeouts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(background, "PAUSE", 60.0)
    plan = make_plan()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        writer = Mirror(
            tmp_path, record_of(plan), tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", retry_pauses=()
        )
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


def nothing() -> None:
    pass


def begin(count: int, fails: int = 0, ready: Callable[[], None] = nothing) -> tuple[Background, list[int]]:
    """Begin jobs that note their number, of which the first fails some times; return what is noted, too."""
    jobs, done, left = Background("test", ready, QUICK), list[int](), [fails]

    def job(k: int) -> None:
        if k == 0 and left[0]:
            left[0] -= 1
            raise OSError("API request to http://me:pass@word@host/api failed")
        done.append(k)

    for k in range(count):
        jobs.put(functools.partial(job, k))
    return jobs, done


@pytest.mark.parametrize(
    ("fails", "finished", "error"),
    [(2, [0, 1, 2], ""), (99, [1, 2], "OSError: API request to http://***@host/api failed")],
)
def test_what_failed_is_tried_again_holds_up_nothing_and_in_the_end_says_why(
    fails: int, finished: list[int], error: str
) -> None:
    jobs, done = begin(3, fails)
    jobs.close(10)
    assert (sorted(done), jobs.error) == (finished, error) and jobs.seconds >= 0


def test_while_the_store_is_away_it_is_not_asked_for_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PAUSE", 60.0)
    asked: list[None] = []

    def away() -> None:
        asked.append(None)
        raise TimeoutError("the server accepts and never answers")

    jobs, done = begin(50, ready=away)
    jobs.close(10)
    # Once when the first came, then at the end: at once and after each pause.
    assert done == [] and len(asked) <= 2 + len(QUICK)


def test_the_end_waits_no_longer_than_it_is_told_and_then_nothing_is_begun() -> None:
    stuck, release = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        release.wait(30)

    jobs, done = begin(0)
    jobs.put(hang)
    jobs.put(lambda: done.append(1))
    assert stuck.wait(10)
    began = time.monotonic()
    jobs.close(0.05)
    assert time.monotonic() - began < 5
    release.set()
    jobs._thread.join(10)
    assert done == [] and not jobs._thread.is_alive()
