"""What the command line says of tuned studies that were run: status, replicas, reports, Optuna's dashboard."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import tuning
from benchmarks.running import reporting
from benchmarks.tuning.journal import JOURNAL
from gan.errors import InputError
from reports.ledger.ledger import Ledger

from ..typed import Ganbench


def ledger_of(runs: Path, study: str = "mine", scale: str = "smoke", replica: str = "aaaa0000") -> Ledger:
    """Make a run directory with one replica of two that were planned."""
    ledger = Ledger(runs / study / scale)
    ledger.open_for_writing()
    replicas = [{"id": replica, "variant": "base", "seed": 0}, {"id": "ffff0000", "variant": "base", "seed": 1}]
    ledger.write_json(
        "plan.json",
        {
            "study": {"name": study, "scale": scale, "steps": 1, "factors": {}, "report": {}},
            "command": "",
            "variants": {"base": {}},
            "replicas": replicas,
            "cohorts": [],
        },
    )
    rows = pd.DataFrame([{"replica": replica, "cohort": "c0", "variant": "base", "status": "ok", "ks": 0.25}])
    history = pd.DataFrame([(replica, 1, "loss/generator", 0.5)], columns=["replica", "step", "metric", "value"])
    ledger.write_cohort("c0", rows, history, {}, {})
    return ledger


def write_tuning(ledger: Ledger, storage: str = JOURNAL) -> None:
    empty = {"params": {}, "values": [], "scores": [], "statuses": [], "replicas": [], "variant": "", "mlflow_run": ""}
    states = enumerate(("COMPLETE", "PRUNED", "RUNNING"))
    trials = [{**empty, "number": number, "batch": 0, "state": state} for number, state in states]
    base = {"optuna_study": "mine", "trials": trials, "importances": {}, "importances_note": ""}
    tune = {"score": "ks", "label": "KS statistic", "direction": "lower", "aggregate": "mean", "failed": 1.0}
    tune |= {"seeds": 2, "trials": 4, "batch": 2, "sampler": "tpe", "second": None, "pruning": "none", "seed": 0}
    found = dict.fromkeys(("study", "scale", "title", "question", "target_label", "command"), "mine")
    found |= {"complete": False, "tune": {**tune, "space": []}, "validation_seeds": [], "storage": storage}
    found["variants"] = {"base": {**base, "front": [], "settings": {}, "best": None}}
    ledger.write_json("tuning.json", found)


def test_status_counts_the_trials_of_a_tuned_study(ganbench: Ganbench, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path / "runs")
    words = ("status", "mine", "--scale", "smoke")
    assert "trials" not in json.loads(ganbench(*words, "--json").out)[0]
    write_tuning(ledger)
    (found,) = json.loads(ganbench(*words, "--json").out)
    assert found["trials"] == {"each": 4, "done": {"base": 2}, "complete": False}
    assert found["total"] == {"ok": 1, "diverged": 0, "failed": 0, "missing": 1}
    assert "2 of 4" in ganbench(*words).out


def test_status_of_a_file_with_parts_is_that_of_those_that_were_run(ganbench: Ganbench, tmp_path: Path) -> None:
    for study in ("tuned-gaussian", "tuned-digits", "gaussian"):
        ledger_of(tmp_path / "runs", study)
    found = json.loads(ganbench("status", "tuned", "--scale", "smoke", "--json").out)
    assert [status["study"] for status in found] == ["tuned-gaussian", "tuned-digits"]


def test_show_finds_replicas_of_the_search_and_of_the_tuned_grid(ganbench: Ganbench, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path / "runs")
    for part, replica in ((ledger.search(), "bbbb0000"), (ledger.tuned(), "cccc0000")):
        made = ledger_of(tmp_path / part.directory.name, replica=replica)
        made.directory.rename(part.directory)
    for replica in ("aaaa0000", "bbbb0000", "cccc0000"):
        shown = json.loads(ganbench("show", replica[:4], "--json").out)
        assert (shown["replica"], shown["results"]["ks"]) == (replica, 0.25)
        assert shown["replica_again"].endswith("--rerun --runs-dir runs")


def test_the_report_of_a_tuned_study_is_the_one_on_tuning(
    ganbench: Ganbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(kind: str) -> Callable[..., Path]:
        def compile(ledger: Ledger, out: Path, *_: object) -> Path:
            out.mkdir(parents=True)
            (out / "summary.json").write_text("{}")
            (out / "report.md").write_text(kind)
            return out / "report.md"

        return compile

    stand_in = types.ModuleType("reports.pages.tuning")
    monkeypatch.setattr(stand_in, "compile_tuning", compiling("tuning"), raising=False)
    monkeypatch.setitem(sys.modules, "reports.pages.tuning", stand_in)
    monkeypatch.setattr("reports.pages.study.compile_report", compiling("grid"))
    monkeypatch.setattr(reporting, "_evidence", lambda _: None)
    write_tuning(ledger_of(tmp_path / "runs"))
    ledger_of(tmp_path / "runs", "plain")
    assert ganbench("report", "mine", "plain", "--scale", "smoke").code == 0
    written = {name: (tmp_path / f"runs/{name}/smoke/report/report.md").read_text() for name in ("mine", "plain")}
    assert written == {"mine": "tuning", "plain": "grid"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Take note of what the dashboard would serve, until a person stops it."""
    calls: list[tuple[str, str, int]] = []

    def dashboard(storage: str, host: str, port: int, ready: Callable[[], None]) -> None:
        calls.append((storage, host, port))
        ready()
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "dashboard", dashboard)
    return calls


def test_the_dashboard_opens_the_journal_written_last(
    ganbench: Ganbench, served: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    for age, study in enumerate(("tuned-digits", "tuned-gaussian", "mine")):
        path = ledger_of(tmp_path / "runs", study).directory / JOURNAL
        path.write_text("")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    said = ganbench("dashboard", "--port", "8123")
    assert said.code == 0  # Ctrl-C is how it is left
    assert served == [(f"runs/tuned-digits/smoke/{JOURNAL}", "127.0.0.1", 8123)]
    assert said.out.index(f"runs/tuned-gaussian/smoke/{JOURNAL}") < said.out.index(f"runs/mine/smoke/{JOURNAL}")
    assert "http://127.0.0.1:8123" in said.out
    named = ganbench("dashboard", "mine", "--scale", "smoke")
    assert served[1:] == [(f"runs/mine/smoke/{JOURNAL}", "127.0.0.1", 8080)] and "tuned" not in named.out
    assert "tuned-gaussian" in ganbench("dashboard", "tuned", "--scale", "smoke").out
    assert served[2][0] == f"runs/tuned-digits/smoke/{JOURNAL}"


def test_the_dashboard_never_says_a_password(ganbench: Ganbench, served: list[tuple[str, str, int]]) -> None:
    url = "postgresql://me:secret@host/trials"
    said = ganbench("dashboard", "--storage", url)
    assert served == [(url, "127.0.0.1", 8080)]
    assert "secret" not in said.out + said.err and "host/trials" in said.out


def test_trials_kept_in_a_database_are_asked_for_by_its_url(ganbench: Ganbench, tmp_path: Path) -> None:
    write_tuning(ledger_of(tmp_path / "runs"), storage="postgresql://host/trials")
    said = ganbench("dashboard", "mine", "--scale", "smoke")
    assert said.code == 2 and "postgresql://host/trials" in said.err and "--storage" in said.err


@pytest.mark.parametrize("error", [OSError(98, "Address already in use"), InputError("optuna.log: not a storage")])
def test_a_dashboard_that_cannot_be_served_exits_2(
    error: Exception, ganbench: Ganbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dashboard(*_: object) -> None:
        raise error

    monkeypatch.setattr(tuning, "dashboard", dashboard)
    said = ganbench("dashboard", "--storage", "sqlite:///trials.db")
    assert said.code == 2 and said.err.startswith("error: ") and len(said.err.splitlines()) == 1
    assert not said.out  # where it is has been said of one that is served
