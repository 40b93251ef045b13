"""A tracking store in memory, which may fail: before a call, after it, or while the call is still under way."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from benchmarks.tracking.store import PARENT, Point, Run, Store


@dataclass
class StoredRun(Run):
    """A run with all that was written to it. As a database of MLflow's it takes the same point twice as one."""

    name: str = ""
    state: str = "RUNNING"
    end: int = 0
    points: set[Point] = field(default_factory=set[Point])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def curve(self, metric: str) -> list[tuple[int, float]]:
        return sorted((step, value) for name, value, _, step in self.points if name == metric)


class Server:
    """What is there, whoever is connected."""

    def __init__(self) -> None:
        self.all: dict[str, StoredRun] = {}
        self.deleted: set[str] = set()
        self.note = ""
        self.under_way: list[Callable[[], None]] = []

    @property
    def runs(self) -> list[StoredRun]:
        return [run for id, run in self.all.items() if id not in self.deleted]

    @property
    def parents(self) -> list[StoredRun]:
        return [run for run in self.runs if PARENT not in run.tags]

    @property
    def children(self) -> list[StoredRun]:
        return [run for run in self.runs if PARENT in run.tags]

    def child(self, replica: str) -> StoredRun:
        (run,) = (run for run in self.children if run.tags["replica"] == replica)
        return run

    def settle(self) -> None:
        """Carry out what was given up."""
        for work in self.under_way:
            with contextlib.suppress(ValueError):  # on a run that was removed since
                work()
        self.under_way.clear()

    def of(self, run: Run | str) -> StoredRun:
        id = run if isinstance(run, str) else run.id
        if id not in self.all or id in self.deleted:
            raise ValueError(f"{id} must be in the 'active' state")
        return self.all[id]


class FlakyStore(Store):
    """A connection to a server that fails as a seed says.

    Args:
        server: What is there.
        seed: Of the failures.
        share: Of calls that fail.
        until: Calls after which none fails any longer; or all do, where `dies`.
        dies: The server is gone after these calls.
        fates: What becomes of a call that fails: it was not done, it was done, or it will be.
    """

    def __init__(
        self,
        server: Server,
        seed: int = 0,
        share: float = 0.0,
        until: int = 0,
        dies: bool = False,
        fates: Sequence[str] = ("before", "after", "later"),
    ) -> None:
        self.server, self.share, self.until, self.dies, self.fates = server, share, until, dies, fates
        self.random, self.calls = random.Random(seed), 0

    def _ask(self, work: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls > self.until:
            if self.dies:
                raise ConnectionError("the server is gone")
            return deepcopy(work())
        if self.server.under_way and self.random.random() < 0.3:
            self.server.settle()
        if self.random.random() >= self.share:
            return deepcopy(work())
        fate = self.random.choice(self.fates)
        if fate == "after":
            work()
        if fate == "later":
            self.server.under_way.append(work)
        raise ConnectionError(f"http://me:secret@host: failed {fate} the call")

    def experiment(self, name: str, location: str | None, note: str) -> str:
        def work() -> str:
            self.server.note = self.server.note or note
            return "1"

        return self._ask(work)

    def describe(self, experiment: str, note: str) -> None:
        self._ask(lambda: setattr(self.server, "note", note))

    def runs(self, experiment: str, where: str) -> list[Run]:
        return self._ask(lambda: self.server.runs)

    def create(self, experiment: str, name: str, tags: Mapping[str, str], start: int) -> Run:
        def work() -> Run:
            id = f"{len(self.server.all) * 7919 % 10007:05}"  # in no order
            self.server.all[id] = StoredRun(id, start, tags=dict(tags), name=name)
            return self.server.all[id]

        return self._ask(work)

    def log(self, run: Run, points: Sequence[Point], params: Mapping[str, str]) -> None:
        def work() -> None:
            there = self.server.of(run)
            if any(there.params.get(name, value) != value for name, value in params.items()):
                raise ValueError("Changing param values is not allowed")
            there.params |= params
            there.points |= set(points)
            there.metrics |= {name: value for name, value, _, _ in points}

        self._ask(work)

    def tag(self, run: str, key: str, value: str) -> None:
        self._ask(lambda: self.server.of(run).tags.update({key: value}))

    def finish(self, run: Run, state: str, end: int) -> None:
        self._ask(lambda: vars(self.server.of(run)).update(over=True, state=state, end=end))

    def delete(self, run: Run) -> None:
        self._ask(lambda: self.server.deleted.add(self.server.of(run).id))

    def add_files(self, run: Run, contents: Mapping[str, bytes]) -> None:
        self._ask(lambda: self.server.of(run).files.update(contents))
