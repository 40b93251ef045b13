"""The command line around tuning: which studies, what they are given, what is said of them. Nothing is trained."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from benchmarks import tuning
from benchmarks.engines import WorkerDied
from benchmarks.engines.registry import ENGINES, EngineKind, this_machine
from benchmarks.running import session
from benchmarks.running.runner import Options, Summary
from reports.ledger.ledger import Ledger

from ..typed import Ganbench, Said
from .tuned import SCALE, SPACE, STUDY, write

PARTS = """
[parts.fast.scales.smoke]
seeds = 2
steps = 12
[parts.slow.scales.full]
seeds = 2
steps = 24
"""
SMOKE = ("--scale", "smoke")
DRY = ("--dry-run", "--json")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, ganbench: Ganbench) -> None:
    """Write a study that is not tuned, one that is, and a file with two, each at a scale of its own."""
    (tmp_path / "plain.toml").write_text(STUDY.split("[tune]")[0] + SCALE)
    write(tmp_path).rename(tmp_path / "mine.toml")
    (tmp_path / "several.toml").write_text(STUDY + SPACE + PARTS)


class Trained(NamedTuple):
    study: str
    command: str
    options: Options


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Trained]:
    """Take note of what would be trained."""
    done: list[Trained] = []

    def tune(search: tuning.Search, options: Options, *_: object) -> Summary:
        done.append(Trained(search.study.name, search.command, options))
        found = {"loss=saturating": "lr 0.003"}
        return Summary(search.study.name, options.scale, str(search.ledger.directory), trials=8, tuned=found)

    def run(ledger: Ledger, plan: Any, options: Options, *_: object) -> Summary:
        done.append(Trained(plan.study.name, plan.command, options))
        return Summary(plan.study.name, options.scale, str(ledger.directory))

    monkeypatch.setitem(ENGINES, "local", EngineKind("local", this_machine, cast(Any, lambda *_: nullcontext())))
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
    words = ("run", "plain.toml", "mine.toml", *SMOKE, "--no-report")
    assert ganbench(*words).code == 0
    assert ganbench(*words, "--tune").code == 0
    assert [t.study for t in trained] == ["plain", "mine"] * 2
    assert [t.command.split()[1] for t in trained] == ["run", "run", "run", "tune"]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (Summary("mine", "smoke", "", failed=1), 1),
        (KeyboardInterrupt(), 130),
        (WorkerDied("a worker died"), 1),
        (tuning.StorageLost("a database is full"), 1),
    ],
)
def test_what_is_not_whole_exits_with_its_code_and_says_how_it_goes_on(
    end: Any, code: int, ganbench: Ganbench, trained: list[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tune(*_: object) -> Summary:
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr(session.tuning, "tune", tune)
    said = ganbench("tune", "mine.toml", *SMOKE, "--no-report")
    assert said.code == code
    assert isinstance(end, Summary) or "the same command goes on" in said.err


def test_a_dry_run_has_a_row_for_each_stage(ganbench: Ganbench, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plans = json.loads(ganbench("tune", "mine.toml", *SMOKE, *DRY).out)
    assert [plan["stage"] for plan in plans] == ["untuned", "search", "tuned"]
    assert [plan["to_train"] for plan in plans] == [4, 24, 4]
    table = ganbench("tune", "mine.toml", *SMOKE, "--dry-run").out
    assert "stage" in table and "search" in table
    assert "stage" not in ganbench("run", "mine.toml", *SMOKE, "--dry-run").out
    assert sorted(tmp_path.rglob("*")) == before


def planned(said: Said) -> list[str]:
    """Return the studies of a dry run, each once, in order."""
    assert said.code == 0, said.err
    return list(dict.fromkeys(plan["study"] for plan in json.loads(said.out)))


def test_without_names_the_default_studies_with_a_section_tune_are_meant(ganbench: Ganbench) -> None:
    said = ganbench("tune", *SMOKE, *DRY)
    assert planned(said) == ["tuned-gaussian", "tuned-digits"]
    assert "tuned-mnist: left out, it has no scale smoke" in said.err
    every = planned(ganbench("run", "--tune", *SMOKE, *DRY))
    assert {"gaussian", "digits", "tuned-gaussian", "tuned-digits"} <= set(every) and "mnist" not in every


def test_a_file_of_several_studies_goes_by_one_name(ganbench: Ganbench) -> None:
    for verb in ("run", "tune"):
        said = ganbench(verb, "tuned", *DRY)
        assert planned(said) == ["tuned-gaussian", "tuned-digits"]
        (line,) = said.err.splitlines()
        assert line.startswith("tuned-mnist: left out") and "full" in line
    assert planned(ganbench("tune", "tuned-digits", "tuned", *DRY)) == ["tuned-digits", "tuned-gaussian"]
    said = ganbench("tune", "several.toml", *SMOKE, *DRY)
    assert planned(said) == ["several-fast"] and "several-slow: left out" in said.err


def test_what_a_person_types_again_names_the_study(ganbench: Ganbench, trained: list[Trained]) -> None:
    ganbench("tune", "tuned-digits", "several.toml", *SMOKE, "--no-report")
    ganbench("tune", "several.toml", "--scale", "full", "--no-report")
    assert [(t.study, t.command.split()[2]) for t in trained] == [
        ("tuned-digits", "tuned-digits"),
        ("several-fast", "several.toml"),
        ("several-slow", "several.toml"),
    ]


NOWHERE = "sqlite:////nowhere/at/all.db"
REFUSED: dict[str, list[str]] = {
    "tune plain.toml --scale smoke": ["plain.toml", "tune", "expected", "[tune]"],
    "tune tuned-mnist --scale smoke": ["tuned.toml", "mnist", "smoke", "full"],
    "run several.toml --scale laptop": ["several.toml", "laptop", "--scale"],
    "tune tund": ["tund", "did you mean 'tuned'"],
    "tune --scale smok": ["--scale smok", "did you mean 'smoke'"],
    "tune all tuned": ["all", "alone"],
    "tune mine.toml --trials 0": ["--trials"],
    f"tune mine.toml --scale smoke --storage {NOWHERE}": ["nowhere", "expected"],
    "dashboard": ["runs", "no study was tuned", "ganbench tune"],
    "dashboard gaussian": ["gaussian", "not tuned", "ganbench tune gaussian"],
    "dashboard gausian": ["gausian", "did you mean 'gaussian'"],
    f"dashboard --storage {NOWHERE}": ["nowhere", "expected"],
    "report tuned": ["tuned", "not run yet"],
}
"""What is typed, and words of the message."""


@pytest.mark.parametrize("typed", REFUSED)
def test_bad_input_exits_2_with_one_message(typed: str, ganbench: Ganbench, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    said = ganbench(*typed.split())
    assert said.code == 2, said
    assert [word for word in REFUSED[typed] if word not in said.err] == [], said.err
    assert sorted(tmp_path.rglob("*")) == before
