"""Where the mirror may lie, and how it is shown: what a person can get wrong is said before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tuning
from benchmarks.tracking import MirrorStats, check_uri, mirrored
from benchmarks.tracking.mirrored import catch_up, ui_command
from gan.errors import InputError

from ..typed import Ganbench
from .mirroring import make_plan, record_of

GOOD = [
    None,
    "off",
    "http://127.0.0.1:5000",
    "https://me:p%40ss@example.org/mlflow",
    "http://[::1]:5000",
    "sqlite:////data/mlflow.db",
    "sqlite:///runs/mlflow.db",
]
BAD = {
    "mlruns": "Valid: http, https, mssql, mysql, off, postgresql, sqlite.",
    "offf": "did you mean 'off'?",
    "file:///data/mlruns": "Valid:",
    "HTTP://host": "did you mean 'http'?",
    "sqlite:/mlflow.db": "such as sqlite:////data/mlflow.db",
    "postgres://host/db": "did you mean 'postgresql'?",
    "sqlite:///:memory:": "a database in memory",
    "sqlite+nothing:///a.db": "not the URI of a database",
    "postgresql://host:port/db": "not the URI of a database",
    "mssql+pymssql://host/db": "its driver is not installed",
    "http://": "no such host or port",
    "http://host:99999": "no such host or port",
    "http://[::1": "no such host or port",
    "http://me:1/ss@host": "special characters of a password as %40",
    "http://host name": "a space or a control character",
}


@pytest.mark.parametrize("uri", GOOD, ids=str)
def test_a_well_formed_uri_is_taken_whoever_answers_there(uri: str | None) -> None:
    check_uri(uri)


@pytest.mark.parametrize("uri", BAD)
def test_a_malformed_uri_is_the_user_s_input(uri: str) -> None:
    with pytest.raises(InputError) as refused:
        check_uri(uri)
    message = str(refused.value)
    assert message.startswith("--tracking-uri") and "expected" in message and BAD[uri] in message
    assert "\n" not in message and "ss@" not in message


@pytest.mark.parametrize(
    "words",
    [
        "run gaussian --scale smoke --tracking-uri htp://me:secret@host",
        "ui --tracking-uri http://me:secret@host:5000",  # a server shows its own pages
        "ui --tracking-uri off",
    ],
)
def test_it_is_refused_before_anything_is_planned(words: str, ganbench: Ganbench, tmp_path: Path) -> None:
    said = ganbench(*words.split())
    assert said.code == 2 and said.err.startswith("error: --tracking-uri ") and "expected" in said.err
    assert said.err.count("\n") == 1 and "secret" not in said.err + said.out
    assert list(tmp_path.iterdir()) == []


def test_the_warning_says_what_to_type() -> None:
    typed = catch_up(record_of(make_plan()).study, Path("runs"), None)
    stats = MirrorStats(missing=3, error="OSError: no\n  route", catch_up=typed)
    assert stats.warning == (
        "MLflow: 3 finished replicas are not mirrored yet (the ledger has them): OSError: no route; "
        "`ganbench sync gaussian --scale smoke` mirrors them"
    )
    assert MirrorStats().warning == ""


@pytest.mark.parametrize(
    ("runs", "uri", "more"),
    [
        ("runs", None, "`"),
        ("my runs", None, " --runs-dir 'my runs'`"),
        ("/data/runs", "http://host:5000", " --runs-dir /data/runs --tracking-uri http://host:5000`"),
        ("runs", "mssql://host/db?a=1&b=2", " --tracking-uri 'mssql://host/db?a=1&b=2'`"),
        ("runs", "http://me:secret@host", "` with your --tracking-uri"),  # stars cannot be typed
    ],
)
def test_what_to_type_finds_the_runs_and_the_store_again(runs: str, uri: str | None, more: str) -> None:
    said = catch_up(record_of(make_plan()).study, Path(runs), uri)
    assert said == f"`ganbench sync gaussian --scale smoke{more}"


def test_both_servers_are_bound_to_this_machine(
    ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(tuning, "dashboard", lambda place, host, port, ready: asked.append((host, port)))
    journal = tmp_path / "optuna.log"
    assert ganbench("dashboard", "--storage", str(journal), "--port", "8123").code == 0
    assert asked == [("127.0.0.1", 8123)]
    monkeypatch.setenv("MLFLOW_HOST", "0.0.0.0")
    command, environment = ui_command(tmp_path, 5055, "postgresql://me:secret@host/db")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@host/db"
    assert not any("secret" in word for word in command)  # which whoever lists the processes sees
    assert [command[k + 1] for k, word in enumerate(command) if word in ("--host", "-h")] == ["127.0.0.1"]


def test_what_the_ui_s_server_says_is_passed_on_without_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = "import os, sys; print('at', os.environ['MLFLOW_BACKEND_STORE_URI']); sys.exit(3)"

    def talking(*given: Any) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-c", script], ui_command(*given)[1]

    monkeypatch.setattr(mirrored, "ui_command", talking)
    assert mirrored.serve_ui(tmp_path, 5000, "postgresql://me:secret@host/db") == 3
    assert capsys.readouterr().err == "at postgresql://***@host/db\n"
