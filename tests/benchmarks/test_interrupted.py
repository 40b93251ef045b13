"""Interrupted searches: killed at any write, they end like undisturbed ones."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from benchmarks.tuning import journal
from gan.replica import Replica
from reports.ledger.ledger import Ledger

from .tuned import FEW, Engine, findings, search_of, trials_of, tune, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")


class Killed(BaseException):
    """The process is gone."""


class Breaking:
    """Lets `left` writes through, those to the journal and those of cohorts, and is gone at the next.

    Args:
        left: How many.
        torn: Leave half of what was being written to the journal.
    """

    def __init__(self, left: int, torn: bool) -> None:
        self.left, self.torn, self.done = left, torn, 0
        self.append, self.write = JournalFileBackend.append_logs, Ledger.write_cohort

    def install(self, patch: pytest.MonkeyPatch) -> None:
        breaking = self

        def append(backend: Any, logs: list[dict[str, Any]]) -> None:
            if breaking.spent():
                if breaking.torn:
                    with Path(backend._file_path).open("a") as file:
                        file.write(json.dumps(logs[0])[: 7 + breaking.left % 20])
                raise Killed
            breaking.append(backend, logs)

        def write_cohort(ledger: Ledger, *content: Any) -> None:
            if breaking.spent():
                raise Killed
            breaking.write(ledger, *content)

        patch.setattr(JournalFileBackend, "append_logs", append)
        patch.setattr(Ledger, "write_cohort", write_cohort)

    def spent(self) -> bool:
        self.done += 1
        return self.left < self.done


Fails = Callable[[Replica], bool]


def writes_of(path: Path, runs: Path, fails: Fails = lambda _: False) -> tuple[Any, int]:
    """Tune undisturbed, and count what is written."""
    counted = Breaking(10**9, torn=False)
    with pytest.MonkeyPatch.context() as patch:
        counted.install(patch)
        return tune(path, runs, Engine(fails))[0], counted.done


def holds(path: Path, runs: Path, undisturbed: Any, kills: list[Breaking], fails: Fails = lambda _: False) -> None:
    """Tune with kills, and once more: the end is that of the undisturbed search, and no replica was trained in vain."""
    engine = Engine(fails)
    for kill in kills:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            kill.install(patch)
            tune(path, runs, engine)
    search, _ = tune(path, runs, engine)
    assert findings(search) == findings(undisturbed)
    results = [ledger.results() for ledger in (search.ledger.search(), undisturbed.ledger.search())]
    assert results[0].equals(results[1])
    # What a kill leaves unwritten, a cohort at the most, is trained again; nothing else is.
    cohort = max(len(c.replicas) for c in search.ledger.search().plan().cohorts)
    assert len(engine.asked) - len(set(engine.asked)) <= cohort * len(kills)


RULES: dict[str, dict[str, str]] = {
    **{sampler: {"sampler": f'"{sampler}"'} for sampler in ("tpe", "random", "cmaes")},
    "two objectives": {"second": '"failure_rate"'},
    "pruning": {"pruning": '"diverged"', "seeds": "4"},
}


@pytest.mark.parametrize(
    "rule", ["tpe", *(pytest.param(rule, marks=pytest.mark.slow) for rule in RULES if rule != "tpe")]
)
def test_interrupted_searches_end_like_undisturbed_ones(tmp_path: Path, rule: str) -> None:
    def fails(replica: Replica) -> bool:
        return rule in ("two objectives", "pruning") and replica.variant.beta1 > 0.45

    path, rng = write(tmp_path, **(FEW | RULES[rule])), random.Random(rule)
    undisturbed, writes = writes_of(path, tmp_path / "undisturbed", fails)
    for case in range({"tpe": 6, "pruning": 3}.get(rule, 2)):
        kills = [Breaking(rng.randrange(writes), torn=rng.random() < 0.5) for _ in range(2)]
        holds(path, tmp_path / str(case), undisturbed, kills, fails)


@pytest.mark.slow
def test_a_search_may_be_killed_at_any_write(tmp_path: Path) -> None:
    path = write(tmp_path)
    undisturbed, writes = writes_of(path, tmp_path / "undisturbed")
    for left in range(writes):
        holds(path, tmp_path / str(left), undisturbed, [Breaking(left, torn=left % 2 == 0)])


def test_a_torn_line_is_cut_off_and_its_trial_is_told_again(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    search = search_of(path := tmp_path / "made.toml", tmp_path / "runs")
    whole = findings(search)
    log = search.ledger.directory / journal.JOURNAL
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])
    again, summary = tune(path, tmp_path / "runs")
    assert findings(again) == whole and summary.trained == 0
    assert log.read_bytes().startswith(b"".join(lines[:-1])) and log.read_bytes().endswith(b"\n")


def test_another_batch_size_ends_the_batch_that_was_cut_short_first(tmp_path: Path) -> None:
    path = write(tmp_path, trials="6", batch="2")
    undisturbed, _ = tune(path, tmp_path / "runs")
    before = trials_of(undisturbed)
    log, kept, written = undisturbed.ledger.directory / journal.JOURNAL, [], Counter[int]()
    for line in log.read_text().splitlines(keepends=True):
        operation = json.loads(line)
        written[operation.get("study_id")] += "distributions" in operation
        if "distributions" not in operation or written[operation["study_id"]] <= 3:
            kept.append(line)
    log.write_text("".join(kept))  # three trials of each variant, half of the second batch
    search, _ = tune(write(tmp_path, trials="6", batch="3"), tmp_path / "runs")
    assert {variant: its[:4] for variant, its in trials_of(search).items()} == {v: its[:4] for v, its in before.items()}
