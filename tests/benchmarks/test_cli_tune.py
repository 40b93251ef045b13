"""The command line around tuning: which studies, what they are given, what is said of them. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from benchmarks import tuning
from benchmarks.engines import WorkerDied
from benchmarks.running import session
from benchmarks.running.runner import Options, Summary
from reports.ledger.ledger import Ledger

from ..typed import Ganbench, Said

GRID = """
title = "A small study"
question = "Does it run?"
[target]
name = "gaussian"
[base]
batch_size = 16
[grid]
loss = ["non_saturating", "saturating"]
[report]
score = "ks"
factor = "loss"
reached = { ks = 0.05 }
"""
SCALE = """
[scales.smoke]
seeds = 2
steps = 12
"""
TUNE = """
[tune]
failed = 1.0
seeds = 2
trials = 4
batch = 2
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
"""
PARTS = """
[parts.fast.scales.smoke]
seeds = 2
steps = 12
[parts.slow.scales.full]
seeds = 2
steps = 24
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, ganbench: Ganbench) -> None:
    """Write a study that is not tuned, one that is, and a file with two, each at a scale of its own."""
    (tmp_path / "plain.toml").write_text(GRID + SCALE)
    (tmp_path / "mine.toml").write_text(GRID + SCALE + TUNE)
    (tmp_path / "several.toml").write_text(GRID + TUNE + PARTS)


class Trained(NamedTuple):
    study: str
    command: str
    options: Options


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Trained]:
    """Take note of what would be trained."""
    done: list[Trained] = []

    class Engine:
        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def tune(search: tuning.Search, options: Options, *_: object) -> Summary:
        done.append(Trained(search.study.name, search.command, options))
        found = {"loss=saturating": "lr 0.003"}
        return Summary(search.study.name, options.scale, str(search.ledger.directory), trials=8, tuned=found)

    def run(ledger: Ledger, plan: Any, options: Options, *_: object) -> Summary:
        done.append(Trained(plan.study.name, plan.command, options))
        return Summary(plan.study.name, options.scale, str(ledger.directory))

    monkeypatch.setattr(session, "LocalEngine", Engine)
    monkeypatch.setattr(session.runner, "run", run)
    monkeypatch.setattr(session.tuning, "tune", tune)
    return done


def test_tune_takes_what_run_takes_and_its_own_options(ganbench: Ganbench, trained: list[Trained]) -> None:
    words = "tune mine.toml --scale smoke --device cpu --workers 3 --seeds 5 --mode loop --tracking-uri off --no-report"
    said = ganbench(*words.split(), "--retry-failed", "--trials", "6", "--storage", "sqlite:///trials.db")
    assert (said.code, said.err) == (0, "")
    ((name, command, options),) = trained
    assert name == "mine"
    assert command.startswith("ganbench tune mine.toml --scale smoke") and "--trials 6" in command
    assert (options.trials, options.storage, options.seeds, options.mode) == (6, "sqlite:///trials.db", 5, "loop")
    assert (options.workers, options.tracking_uri, options.retry_failed) == (3, "off", True)
    assert "8 trials" in said.out and "loss=saturating: lr 0.003" in said.out


def test_run_tunes_only_when_asked_and_only_what_says_how(ganbench: Ganbench, trained: list[Trained]) -> None:
    words = ("run", "plain.toml", "mine.toml", "--scale", "smoke", "--no-report")
    assert ganbench(*words).code == 0
    assert ganbench(*words, "--tune").code == 0
    assert [t.study for t in trained] == ["plain", "mine"] * 2
    assert [t.command.split()[1] for t in trained] == ["run", "run", "run", "tune"]


def test_a_run_that_lacks_replicas_exits_1(
    ganbench: Ganbench, trained: list[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.tuning, "tune", lambda *_: Summary("mine", "smoke", "", failed=1))
    assert ganbench("tune", "mine.toml", "--scale", "smoke", "--no-report").code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (WorkerDied("a worker died"), 1), (tuning.StorageLost("a database is full"), 1)],
)
def test_what_was_cut_short_says_how_it_goes_on(
    error: BaseException,
    code: int,
    ganbench: Ganbench,
    trained: list[Trained],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_short(*_: object) -> Summary:
        raise error

    monkeypatch.setattr(session.tuning, "tune", cut_short)
    said = ganbench("tune", "mine.toml", "--scale", "smoke", "--no-report")
    assert said.code == code and "the same command goes on" in said.err


def test_a_dry_run_has_a_row_for_each_stage(ganbench: Ganbench, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plans = json.loads(ganbench("tune", "mine.toml", "--scale", "smoke", "--dry-run", "--json").out)
    assert [plan["stage"] for plan in plans] == ["untuned", "search", "tuned"]
    assert [plan["to_train"] for plan in plans] == [4, 16, 4]
    table = ganbench("tune", "mine.toml", "--scale", "smoke", "--dry-run").out
    assert "stage" in table and "search" in table
    assert "stage" not in ganbench("run", "mine.toml", "--scale", "smoke", "--dry-run").out
    assert sorted(tmp_path.rglob("*")) == before


def planned(said: Said) -> list[str]:
    """Return the studies of a dry run, each once, in order."""
    assert said.code == 0, said.err
    return list(dict.fromkeys(plan["study"] for plan in json.loads(said.out)))


def test_without_names_the_default_studies_with_a_section_tune_are_meant(ganbench: Ganbench) -> None:
    said = ganbench("tune", "--scale", "smoke", "--dry-run", "--json")
    assert planned(said) == ["tuned-gaussian", "tuned-digits"]
    assert "tuned-mnist: left out, it has no scale smoke" in said.err
    every = planned(ganbench("run", "--tune", "--scale", "smoke", "--dry-run", "--json"))
    assert {"gaussian", "digits", "tuned-gaussian", "tuned-digits"} <= set(every) and "mnist" not in every


def test_a_file_of_several_studies_goes_by_one_name(ganbench: Ganbench) -> None:
    dry = ("--dry-run", "--json")
    for verb in ("run", "tune"):
        said = ganbench(verb, "tuned", *dry)
        assert planned(said) == ["tuned-gaussian", "tuned-digits"]
        (line,) = said.err.splitlines()
        assert line.startswith("tuned-mnist: left out") and "full" in line
    assert planned(ganbench("tune", "tuned-digits", *dry)) == ["tuned-digits"]
    assert planned(ganbench("tune", "tuned-digits", "tuned", *dry)) == ["tuned-digits", "tuned-gaussian"]
    said = ganbench("tune", "several.toml", "--scale", "smoke", *dry)
    assert planned(said) == ["several-fast"] and "several-slow: left out" in said.err


def test_what_a_person_types_again_names_the_study(ganbench: Ganbench, trained: list[Trained]) -> None:
    ganbench("tune", "tuned", "several.toml", "--scale", "smoke", "--no-report")
    ganbench("tune", "several.toml", "--scale", "full", "--no-report")
    assert [(t.study, t.command.split()[2]) for t in trained] == [
        ("tuned-gaussian", "tuned-gaussian"),
        ("tuned-digits", "tuned-digits"),
        ("several-fast", "several.toml"),
        ("several-slow", "several.toml"),
    ]


REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "nothing says how": (["tune", "plain.toml", "--scale", "smoke"], ["plain.toml", "tune", "expected", "[tune]"]),
    "a part named itself": (["tune", "tuned-mnist", "--scale", "smoke"], ["tuned.toml", "mnist", "smoke", "full"]),
    "no part is left": (["run", "several.toml", "--scale", "laptop"], ["several.toml", "laptop", "--scale"]),
    "unknown study": (["tune", "tund"], ["tund", "did you mean 'tuned'"]),
    "unknown scale": (["tune", "--scale", "smok"], ["--scale smok", "did you mean 'smoke'"]),
    "all and more": (["tune", "all", "tuned"], ["all", "alone"]),
    "no trials": (["tune", "mine.toml", "--trials", "0"], ["--trials"]),
    "unreachable storage": (
        ["tune", "mine.toml", "--scale", "smoke", "--storage", "sqlite:////nowhere/at/all.db"],
        ["nowhere", "expected"],
    ),
    "dashboard of nothing": (["dashboard"], ["runs", "no study was tuned", "ganbench tune"]),
    "dashboard of an untuned study": (["dashboard", "gaussian"], ["gaussian", "not tuned", "ganbench tune gaussian"]),
    "dashboard of an unknown study": (["dashboard", "gausian"], ["gausian", "did you mean 'gaussian'"]),
    "dashboard of no storage": (["dashboard", "--storage", "sqlite:////nowhere/at/all.db"], ["nowhere", "expected"]),
    "report of what was not run": (["report", "tuned"], ["tuned", "not run yet"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_exits_2_with_one_message(case: str, ganbench: Ganbench, tmp_path: Path) -> None:
    words, expected = REFUSED[case]
    before = sorted(tmp_path.rglob("*"))
    said = ganbench(*words)
    assert said.code == 2, said
    for word in expected:
        assert word in said.err, said.err
    assert sorted(tmp_path.rglob("*")) == before
