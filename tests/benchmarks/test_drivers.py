"""Several drivers of one search: here threads of one process and a database in a file; PostgreSQL has its own tests."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options, Summary
from benchmarks.tuning import Search, StorageLost, prepare, tune
from benchmarks.tuning.claims import Claims, joined
from benchmarks.tuning.findings import write_findings
from benchmarks.tuning.storage import opened
from benchmarks.tuning.trials import Trials
from benchmarks.tuning.tune import Driver, _claimed, next_batch, open_trials
from gan.errors import InputError
from studies import schema

from . import tuned

pytestmark = pytest.mark.usefixtures("few_trees")

VALIDATION = 100_000  # seeds from here are a search's


class Board:
    """Who has claimed what, among the threads of a test."""

    def __init__(self) -> None:
        self.lock, self.owners, self.present = threading.Lock(), dict[str, "Own"](), 0
        self.shared = threading.Lock()
        self.waiting = threading.Event()  # some driver is, for the others


class Own(Claims):
    """The claims of one driver."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def claim(self, what: str) -> bool:
        with self.board.lock:
            return self.board.owners.setdefault(what, self) is self

    def release(self, what: str) -> None:
        with self.board.lock:
            assert self.board.owners.pop(what) is self

    def drivers(self) -> int:
        return self.board.present

    @contextmanager
    def undisturbed(self) -> Generator[None]:
        with self.board.shared:
            yield

    def gone(self) -> None:
        with self.board.lock:
            self.board.owners = {what: owner for what, owner in self.board.owners.items() if owner is not self}
            self.board.present -= 1


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    """Let drivers claim on a board instead of in a database."""
    shared = Board()

    @contextmanager
    def on_the_board(url: str | None, search: str) -> Iterator[Claims]:
        own = Own(shared)
        with shared.lock:
            shared.present += 1
        try:
            yield own
        finally:
            own.gone()

    monkeypatch.setattr(sys.modules[tune.__module__], "joined", on_the_board)

    def wait(stopping: Callable[[], bool]) -> None:
        shared.waiting.set()
        time.sleep(0.02)

    monkeypatch.setattr(sys.modules[tune.__module__], "wait", wait)
    return shared


class Dies(tuned.Engine):
    """An engine whose driver dies while another waits for the trials that it has claimed, one of them trained."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board, self.claimed = board, threading.Event()

    def run(self, cohorts: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for outcome in super().run(cohorts, *args, **kwargs):
            yield outcome
            if any(r.seed >= VALIDATION for r in outcome.cohort.replicas):
                self.claimed.set()
                assert self.board.waiting.wait(30)
                raise StorageLost("the driver dies here")


def together(*drivers: Callable[[], Any]) -> list[Any]:
    """Run drivers side by side; return what each returned or raised."""
    results: list[Any] = [None] * len(drivers)
    start = threading.Barrier(len(drivers))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = drivers[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(drivers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def of_trials(engine: tuned.Engine, search: Search) -> list[str]:
    """Return the replicas of trials that an engine trained."""
    trained = set(search.ledger.search().results()["replica"])
    return [id for id in engine.asked if id in trained]


def without_where(trials: dict[str, list[dict[str, Any]]]) -> Any:
    return {
        of: [{k: v for k, v in t.items() if k not in ("mlflow_run", "trained_in")} for t in its]
        for of, its in trials.items()
    }


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_two_drivers_find_what_one_finds_and_repeat_no_trial(board: Board, tmp_path: Path, sampler: str) -> None:
    path = tuned.write(tmp_path, f'sampler = "{sampler}"', **tuned.FEW)
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    alone, _ = tuned.tune(path, tmp_path / "alone")  # a journal keeps trials as a database does
    opened(tmp_path, url, print)  # PostgreSQL's drivers make the tables one after the other
    engines = [tuned.Engine(), tuned.Engine()]
    (one, first), (other, second) = together(
        *(lambda i=i: tuned.tune(path, tmp_path / f"driver{i}", engines[i], storage=url) for i in range(2))
    )
    trained = [*of_trials(engines[0], one), *of_trials(engines[1], other)]
    assert len(trained) == len(set(trained)) == 2 * 4 * 2  # variants, trials, seeds
    leads = [s for s in (first, second) if not s.elsewhere]
    assert len(leads) == 1
    leader, helper = (one, other) if leads[0] is first else (other, one)
    assert without_where(tuned.trials_of(leader)) == without_where(tuned.trials_of(alone))
    assert leader.ledger.tuned().finished() == alone.ledger.tuned().finished()
    assert not helper.ledger.finished() and not helper.ledger.tuned().finished()


def test_what_a_dead_driver_left_is_taken_over(board: Board, searched: Path, tmp_path: Path) -> None:
    path, url = tuned.write(tmp_path, **tuned.FEW), f"sqlite:///{tmp_path / 'trials.db'}"
    alone = tuned.search_of(searched / "made.toml", searched / "runs")
    dies = Dies(board)

    def lives() -> tuple[Search, Summary]:
        assert dies.claimed.wait(30)
        return tuned.tune(path, tmp_path / "lives", storage=url)

    died, (living, summary) = together(lambda: tuned.tune(path, tmp_path / "dies", dies, storage=url), lives)
    assert isinstance(died, StorageLost), died
    assert not summary.elsewhere  # the one that led is dead
    assert without_where(tuned.trials_of(living)) == without_where(tuned.trials_of(alone))
    # And the dead one comes back: nothing is left for it but the grids.
    engine = tuned.Engine()
    again, _ = tuned.tune(path, tmp_path / "dies", engine, storage=url)
    assert not of_trials(engine, again)
    assert without_where(tuned.trials_of(again)) == without_where(tuned.trials_of(alone))


def opened_search(folder: Path) -> tuple[Search, dict[str, Trials], Options]:
    """A search that has just begun: what it is, its trials, and the options it was begun with."""
    path, options = tuned.write(folder), Options("smoke", "cpu", 1, folder / "runs", folder)
    search = prepare(schema.load(str(path)), str(path), options)
    search.ledger.open_for_writing()
    trials = open_trials(opened(search.ledger.directory, None, print), search)
    return search, trials, options


def test_what_another_told_a_moment_ago_is_not_claimed(tmp_path: Path) -> None:
    search, trials, options = opened_search(tmp_path)
    batch = next_batch(trials, search)
    trials[batch[0].of].tell(batch[0].trial, [0.1], [0.1, 0.1])
    driver = Driver(search, options, tuned.Engine(), Progress(Console(quiet=True)))
    assert _claimed(batch, trials, driver) == batch[1:]


def test_what_another_is_just_telling_does_not_disturb(tmp_path: Path) -> None:
    search, trials, _ = opened_search(tmp_path)
    told = next_batch(trials, search)[0]
    # Notes are written one by one, then the trial is told: findings are written between any two of them.
    notes = {"name": told.name, "scores": [0.1, 0.1], "statuses": ["ok", "ok"], "replicas": ["a", "b"]}
    for key, value in notes.items():
        trials[told.of].note(told.trial, **{key: value})
        write_findings(trials, search, complete=False)
        [shown] = [t for t in search.ledger.tuning()["variants"][told.of]["trials"] if t["number"] == told.trial.number]
        assert shown["state"] == "RUNNING"
        assert not any(shown[what] for what in ("scores", "statuses", "replicas", "variant"))


def test_a_file_has_one_driver_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    refused = pytest.raises(InputError, match=r"another driver is using it; expected one at a time, or postgresql://")
    with joined(url, "a search"), refused, joined(url, "a search"):
        raise AssertionError
    with joined(url, "a search") as own:
        assert own.claim("anything") and own.drivers() == 1
