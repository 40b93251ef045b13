"""MLflow over http with PostgreSQL behind it, and what is refused of servers before anything is written."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from benchmarks.tuning.storage import exclusive
from gan.errors import InputError

from ..benchmarks.test_reachable import answering
from ..faults import commands
from ..faults.servers import TrackingServer
from ..faults.test_two_at_once import wait_until
from .postgres import PASSWORD, Postgres

pytestmark = pytest.mark.integration

PATIENCE = 480.0  # seconds, where a command takes half a minute on a quiet machine


@pytest.fixture(scope="module")
def mlflow_server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """Start an MLflow server on a database of its own."""
    server = TrackingServer(tmp_path_factory.mktemp("mlflow"), postgres.database("mlflow"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def runs_of(postgres: Postgres, study: str) -> list[dict[str, Any]]:
    """Return the runs of an experiment as its database has them, with their tags."""
    rows = postgres.ask(
        "select r.run_uuid, r.status, r.lifecycle_stage, json_object_agg(t.key, t.value)::text from runs r "
        "join tags t using (run_uuid) join experiments e using (experiment_id) "
        f"where e.name = '{study}' group by 1, 2, 3",
        "mlflow",
    )
    return [{**json.loads(tags), "id": id, "status": status, "stage": stage} for id, status, stage, tags in rows]


def replicas_of(runs: list[dict[str, Any]]) -> list[str]:
    return sorted(run["replica"] for run in runs if "replica" in run and run["stage"] == "active")


def test_a_study_is_mirrored_to_postgresql_over_http(
    postgres: Postgres, mlflow_server: TrackingServer, tmp_path: Path
) -> None:
    study = commands.write_study(tmp_path, steps="20")
    done = commands.ganbench(tmp_path, "run", f"{study}.toml", "--scale", "smoke", "--tracking-uri", mlflow_server.uri)
    assert "warning" not in done.stdout + done.stderr
    runs = runs_of(postgres, study)
    assert len(replicas_of(runs)) == len(set(replicas_of(runs))) == 16
    assert {run["status"] for run in runs} == {"FINISHED"}
    ((points,),) = postgres.ask(
        "select count(*) from metrics m join runs r using (run_uuid) join experiments e using (experiment_id) "
        f"where e.name = '{study}'",
        "mlflow",
    )
    assert points > 16 * 10
    for run in runs:
        if "replica" in run:
            place = f"{mlflow_server.uri}/get-artifact?path=curves.csv&run_uuid={run['id']}"
            with urllib.request.urlopen(place, timeout=30) as curves:
                assert curves.read().startswith(b"step,")
    again = commands.ganbench(
        tmp_path, "sync", study, "--scale", "smoke", "--tracking-uri", mlflow_server.uri, "--json"
    )
    assert [(s["created"], s["removed"], s["missing"]) for s in json.loads(again.stdout)] == [(0, 0, 0)]


def test_two_drivers_mirror_to_one_server_at_once(
    postgres: Postgres, mlflow_server: TrackingServer, tmp_path: Path
) -> None:
    study = commands.write_study(tmp_path, steps="20", name="shared")
    words = [
        ["run", f"{study}.toml", "--scale", "smoke", "--seeds", seeds, "--runs-dir", where, "--workers", "1"]
        for seeds, where in (("1", "one"), ("2", "two"))
    ]
    started = [commands.start(tmp_path, *own, "--tracking-uri", mlflow_server.uri) for own in words]
    assert [process.wait(PATIENCE) for process in started] == [0, 0]
    for own in ("one", "two"):
        commands.ganbench(
            tmp_path, "sync", study, "--scale", "smoke", "--runs-dir", own, "--tracking-uri", mlflow_server.uri
        )
    runs = runs_of(postgres, study)
    parents = [run["variant"] for run in runs if "settings" in run and run["stage"] == "active"]
    assert len(parents) == len(set(parents)) == 8
    held = replicas_of(runs)
    assert len(held) == len(set(held)) == 16  # the eight of the first seed are both drivers'


def found(folder: Path, runs: str, study: str) -> Any:
    """Return what a search found, but for where its trials are kept."""
    content = json.loads((folder / runs / study / "smoke/tuning.json").read_text())
    return {key: content[key] for key in ("complete", "variants")}


def test_a_killed_search_in_postgresql_goes_on_and_has_one_driver_at_a_time(postgres: Postgres, tmp_path: Path) -> None:
    tune = commands.TUNE.replace("trials = 4", "trials = 8")
    study, url = commands.write_study(tmp_path, commands.STUDY + tune, steps="50"), postgres.database("searched")
    words = ["tune", f"{study}.toml", "--scale", "smoke", "--tracking-uri", "off", "--no-report", "--workers", "1"]
    commands.ganbench(tmp_path, *words, "--runs-dir", "journal")
    driver = commands.start(tmp_path, *words, "--runs-dir", "one", "--storage", url)
    wait_until(lambda: any((tmp_path / "one" / study / "smoke/search/cohorts").glob("*.parquet")), driver)
    second = commands.ganbench(tmp_path, *words, "--runs-dir", "two", "--storage", url, check=2)
    assert "another driver is searching there" in second.stderr and PASSWORD not in second.stderr
    assert not list((tmp_path / "two").rglob("*.parquet"))
    assert driver.poll() is None, "it ended before the second one was refused"
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    commands.ganbench(tmp_path, *words, "--runs-dir", "one", "--storage", url)
    assert found(tmp_path, "one", study) == found(tmp_path, "journal", study)
    assert postgres.ask("select state::text, count(*) from trials group by 1", "searched") == [("COMPLETE", 8 * 8)]


def refused(folder: Path, *typed: str) -> str:
    """Run a command that must refuse its input in one line and write nothing; return the line."""
    before = sorted(folder.rglob("*"))
    done = commands.ganbench(folder, *typed, check=2)
    assert sorted(folder.rglob("*")) == before
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert PASSWORD not in done.stderr and "secret" not in done.stderr and "guest:guest" not in done.stderr
    return lines[0]


@pytest.mark.parametrize("option", ["--storage", "--tracking-uri"])
def test_a_database_that_cannot_be_used_is_refused(postgres: Postgres, tmp_path: Path, option: str) -> None:
    study = commands.write_study(tmp_path, commands.STUDY + commands.TUNE)
    typed = ["tune", f"{study}.toml", "--scale", "smoke", option]
    name = f"closed_{option.strip('-').replace('-', '_')}"
    open_to_none = postgres.database(name)
    assert "does not exist" in refused(tmp_path, *typed, postgres.url("nowhere"))
    assert "password authentication failed" in refused(tmp_path, *typed, postgres.url(name, password="another-secret"))
    assert "no right to make tables" in refused(tmp_path, *typed, postgres.url(name, "guest", "guest"))
    from optuna.storages import RDBStorage

    if option == "--storage":
        storage = RDBStorage(open_to_none)
        storage.remove_session()
        storage.engine.dispose()
        postgres.ask("grant select on all tables in schema public to guest", name)
        assert "no right to write" in refused(tmp_path, *typed, postgres.url(name, "guest", "guest"))
    closed = postgres.url(name).replace(str(postgres.port), "9")
    assert "Connection refused" in refused(tmp_path, *typed, closed)


def test_a_tracking_server_that_cannot_be_used_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = commands.write_study(tmp_path)
    typed = ["run", f"{study}.toml", "--scale", "smoke", "--tracking-uri"]
    with answering({"/version": (200, "2.9.1")}) as other:
        assert "the server is MLflow 2.9.1 and this is MLflow 3" in refused(tmp_path, *typed, other)
    assert "no server answers there" in refused(tmp_path, *typed, "http://127.0.0.1:9")


def test_a_driver_learns_that_its_lock_was_lost(postgres: Postgres) -> None:
    url = postgres.database("locks")
    with exclusive(url, "one search") as check_exclusive, exclusive(url, "another"):
        with pytest.raises(InputError, match="another driver is searching there"), exclusive(url, "one search"):
            raise AssertionError
        check_exclusive()
        postgres.ask("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'", "locks")
        with pytest.raises(OperationalError):
            check_exclusive()
    with exclusive(url, "one search"):
        pass
