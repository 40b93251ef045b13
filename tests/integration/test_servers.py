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
from ..faults.refusals import everything, problem
from ..faults.servers import TrackingServer
from ..faults.test_two_at_once import wait_until
from ..typed import Ganbench
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
    """Return the runs of an experiment as its database has them, with their tags and how many points they hold."""
    rows = postgres.ask(
        "select r.run_uuid, r.status, r.lifecycle_stage, json_object_agg(t.key, t.value)::text, "
        "(select count(*) from metrics m where m.run_uuid = r.run_uuid) from runs r "
        "join tags t using (run_uuid) join experiments e using (experiment_id) "
        f"where e.name = '{study}' group by 1, 2, 3",
        "mlflow",
    )
    names = ("id", "status", "stage", "points")
    return [json.loads(tags) | dict(zip(names, (*of, points), strict=True)) for *of, tags, points in rows]


def test_two_drivers_mirror_a_study_to_postgresql_over_http_at_once(
    postgres: Postgres, mlflow_server: TrackingServer, tmp_path: Path
) -> None:
    study, server = commands.write_study(tmp_path, steps="20"), ["--tracking-uri", mlflow_server.uri]
    where = {
        "one": ["--runs-dir", "one"],
        "two": ["--runs-dir", "two"],
    }  # the eight of the first seed are both drivers'
    words = ["run", f"{study}.toml", "--scale", "smoke", "--workers", "1", "--no-report", *server]
    started = [  # both train the eight of the first seed
        commands.start(tmp_path, *words, *where["one"], "--seeds", "1"),
        commands.start(tmp_path, *words, *where["two"], "--seeds", "2"),
    ]
    assert [process.wait(PATIENCE) for process in started] == [0, 0]
    sync = ["sync", study, "--scale", "smoke", "--json", *server]
    for runs in where.values():
        commands.ganbench(tmp_path, *sync, *runs)
    (again,) = json.loads(commands.ganbench(tmp_path, *sync, *where["two"]).stdout)
    assert (again["created"], again["removed"], again["missing"]) == (0, 0, 0)

    runs = [run for run in runs_of(postgres, study) if run["stage"] == "active"]
    parents = [run["variant"] for run in runs if "settings" in run]
    replicas = [run for run in runs if "replica" in run]
    assert len(parents) == len(set(parents)) == 8
    assert len(replicas) == len({run["replica"] for run in replicas}) == 16
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert all(run["points"] > 10 for run in replicas)
    place = f"{mlflow_server.uri}/get-artifact?path=curves.csv&run_uuid={replicas[0]['id']}"
    with urllib.request.urlopen(place, timeout=30) as curves:
        assert curves.read().startswith(b"step,")


def found(folder: Path, runs: str, study: str) -> Any:
    """Return what a search found, but for where its trials are kept."""
    content = json.loads((folder / runs / study / "smoke/tuning.json").read_text())
    return {key: content[key] for key in ("complete", "variants")}


def test_a_killed_search_in_postgresql_goes_on_and_has_one_driver_at_a_time(postgres: Postgres, tmp_path: Path) -> None:
    fewer = {"generator_norm": '["none"]', "latent": '["normal"]', "steps": "50", "trials": "8"}
    study, url = commands.write_study(tmp_path, commands.STUDY + commands.TUNE, **fewer), postgres.database("searched")
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
    assert postgres.ask("select state::text, count(*) from trials group by 1", "searched") == [("COMPLETE", 2 * 8)]


@pytest.mark.parametrize("option", ["--storage", "--tracking-uri"])
def test_a_database_that_cannot_be_used_is_refused(
    postgres: Postgres, ganbench: Ganbench, tmp_path: Path, option: str
) -> None:
    name = f"closed_{option.strip('-').replace('-', '_')}"
    open_to_none, guest = postgres.database(name), postgres.url(name, "guest", "guest")
    commands.write_study(tmp_path, commands.STUDY + commands.TUNE)
    before = everything(tmp_path)

    def refused(url: str, why: str) -> None:
        """Hold that a database is refused in one line without its password, and nothing written."""
        said = ganbench("tune", "stormy.toml", "--scale", "smoke", option, url)
        assert not problem(said, why)
        assert not any(secret in said.err for secret in (PASSWORD, "secret", "guest:guest"))
        assert everything(tmp_path) == before

    refused(postgres.url("nowhere"), "does not exist")
    refused(postgres.url(name, password="another-secret"), "password authentication failed")
    refused(guest, "no right to make tables")
    refused(open_to_none.replace(str(postgres.port), "9"), "Connection refused")
    if option == "--storage":
        from optuna.storages import RDBStorage

        storage = RDBStorage(open_to_none)
        storage.remove_session()
        storage.engine.dispose()
        postgres.ask("grant select on all tables in schema public to guest", name)
        refused(guest, "no right to write")


def test_a_tracking_server_that_cannot_be_used_is_refused_before_anything_is_written(
    ganbench: Ganbench, tmp_path: Path
) -> None:
    commands.write_study(tmp_path)
    before, typed = everything(tmp_path), ["run", "stormy.toml", "--scale", "smoke", "--tracking-uri"]
    with answering({"/version": (200, "2.9.1")}) as other:
        assert not problem(ganbench(*typed, other), "the server is MLflow 2.9.1 and this is MLflow 3")
    assert not problem(ganbench(*typed, "http://127.0.0.1:9"), "no server answers there")
    assert everything(tmp_path) == before


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
