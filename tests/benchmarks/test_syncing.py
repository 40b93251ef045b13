"""`ganbench sync`: the mirror catches up from the ledgers, and repeating it changes nothing."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import tuning
from benchmarks.engines import Outcome
from benchmarks.machine import system
from benchmarks.machine.lock import locked
from benchmarks.running import runner
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options
from benchmarks.tracking import Mirror, reachable, store
from benchmarks.upkeep import syncing
from reports.ledger.ledger import Ledger
from studies import schema

from ..typed import Ganbench
from .mirroring import client_of
from .tuned import Engine, with_few_trees, write

REFERENCES = {
    "ks": {"label": "KS statistic", "direction": "lower", "n": 10000, "floor": 0.009, "noise": None},
    "coverage": {"label": "coverage", "direction": "higher", "n": 10000, "floor": 1.0, "noise": None},
}


class Referring(Engine):
    """Says what real data score, too: by that a goal is a threshold from above or from below."""

    def run(self, *given: Any, **more: Any) -> Iterator[Outcome]:
        for outcome in super().run(*given, **more):
            assert outcome.result is not None
            outcome.result.references.update(REFERENCES)
            yield outcome


def train(folder: Path, tracking_uri: str | None, tuned: bool = False) -> Path:
    """Run the study, or tune it, in a folder with a study file; return its runs directory."""
    path = write(folder, tune='second = "missed_rate"\n', trials="3") if tuned else write(folder)
    runs = folder / "runs"
    options = Options("smoke", "cpu", 1, runs, runs, tracking_uri=tracking_uri)
    quiet = Progress(Console(quiet=True))
    if tuned:
        search = tuning.prepare(schema.load(str(path)), str(path), options)
        tuning.tune(search, options, Referring(lambda r: r.seed == 100_001 and r.variant.beta1 < 0.2), quiet)
    else:
        runner.run(*runner.prepare(schema.load(str(path)), str(path), options), options, Referring(), quiet)
    return runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Callable[..., Path]:
    """Train the study once with its mirror and once without, untuned and tuned; each when it is first asked for."""

    @functools.cache
    def once(tracking_uri: str | None, tuned: bool) -> Path:
        folder = tmp_path_factory.mktemp("trained")
        (folder / "runs").mkdir()
        shutil.copy(migrated, folder / "runs" / "mlflow.db")
        with pytest.MonkeyPatch.context() as patch:
            with_few_trees(patch)
            patch.setattr(system, "has_compiler", lambda _: False)
            train(folder, tracking_uri, tuned)
        return folder

    return once


@pytest.fixture
def live(trained: Callable[..., Path], tmp_path: Path) -> Path:
    """A runs directory whose store has all of the study."""
    return shutil.copytree(trained(None, False), tmp_path / "live") / "runs"


@pytest.fixture
def late(trained: Callable[..., Path], tmp_path: Path) -> Path:
    """A runs directory whose store has nothing."""
    return shutil.copytree(trained("off", False), tmp_path / "late") / "runs"


@pytest.fixture
def late_tuned(trained: Callable[..., Path], tmp_path: Path) -> Path:
    """The same of the study tuned."""
    return shutil.copytree(trained("off", True), tmp_path / "late") / "runs"


def shown(runs: Path) -> list[dict[str, Any]]:
    """Return all that MLflow has of the study, without ids, clock times and what tells one folder from another."""
    client = client_of(runs)
    experiment = client.get_experiment_by_name("made")
    found = client.search_runs([experiment.experiment_id], max_results=5000)
    titles = {run.info.run_id: [run.info.run_name, run.data.tags.get("stage")] for run in found}
    own = ("mlflow.parentRunId", "mlflow.source.name")
    return sorted(
        (
            {
                "title": titles[run.info.run_id],
                "parent": titles.get(run.data.tags.get("mlflow.parentRunId", "")),
                "status": run.info.status,
                "tags": {k: v for k, v in run.data.tags.items() if k not in own},
                "params": run.data.params,
                "metrics": run.data.metrics,
                "points": {n: len(client.get_metric_history(run.info.run_id, n)) for n in run.data.metrics},
                "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            }
            for run in found
        ),
        key=json.dumps,
    )


def ledger_in(runs: Path) -> Ledger:
    return Ledger(runs / "made" / "smoke")


def test_what_is_synced_is_what_would_have_been_mirrored(trained: Callable[..., Path], late_tuned: Path) -> None:
    live, ledger = trained(None, True) / "runs", ledger_in(late_tuned)
    (done,) = syncing.sync([ledger], late_tuned, None)
    assert (done.problem, done.missing, done.removed) == ("", 0, 0)
    assert done.there == 2 * 4 + 2 * 3 * 2  # two grids, and the trials of two variants with two seeds
    assert done.created == 2 * (2 + 4) + 2 * 3
    assert shown(late_tuned) == shown(live)
    for repeated in range(2):
        (again,) = syncing.sync([ledger], late_tuned, None)
        assert vars(again) == vars(done) | {"created": 0}, repeated
    assert shown(late_tuned) == shown(live)

    # The trials and their runs name each other.
    client, known = client_of(late_tuned), ledger.tuning()
    for found in known["variants"].values():
        for trial in found["trials"]:
            run = client.get_run(trial["mlflow_run"])
            tags = (run.data.tags["optuna_study"], run.data.tags["variant"])
            assert tags == (found["optuna_study"], trial["variant"])
            assert run.data.metrics["objective"] == trial["values"][0]
    winners = {
        variant: client.get_run(run).data.tags["optuna_trial"]
        for variant, run in ledger.tuned().provenance().mlflow.parents.items()
    }
    assert winners == {variant: str(found["best"]) for variant, found in known["variants"].items()}
    assert set(ledger.provenance().mlflow.replicas) == ledger.finished()


def test_an_unreachable_store_leaves_the_records_as_they_are(
    live: Path, ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger_in(live).provenance()
    away = ["--tracking-uri", "http://me:secret@127.0.0.1:9"]
    said = ganbench("sync", "made", "--scale", "smoke", "--runs-dir", str(live), *away)
    assert said.code == 2 and "no server answers there (Connection refused)" in said.err
    # Or it goes away when the first look at it is over.
    monkeypatch.setattr(reachable, "check_store", lambda uri: None)
    monkeypatch.setattr(syncing, "Mirror", functools.partial(Mirror, retry_pauses=()))
    said = ganbench("sync", "made", "--scale", "smoke", "--runs-dir", str(live), *away)
    assert said.code == 1 and "4 missing" in said.out
    typed = f"`ganbench sync made --scale smoke --runs-dir {live}` with your --tracking-uri mirrors them"
    assert typed in " ".join(said.out.split())
    assert "secret" not in said.out + said.err
    assert ledger_in(live).provenance() == before


def test_a_run_without_its_store_forgets_no_ids(live: Path, no_compiler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ledger_in(live).provenance().mlflow
    monkeypatch.setattr(runner, "Mirror", functools.partial(Mirror, retry_pauses=()))
    train(live.parent, "http://127.0.0.1:9")
    assert ledger_in(live).provenance().mlflow == before


def test_the_command_says_what_it_did(late: Path, ganbench: Ganbench) -> None:
    where = ["--scale", "smoke", "--runs-dir", str(late)]
    with locked(ledger_in(late).directory):
        said = ganbench("sync", *where)
    assert said.code == 1 and "another process" in said.out
    said = ganbench("sync", *where)
    assert (said.code, said.out) == (0, "made smoke: 4 mirrored, 6 runs made, 0 extra ones removed, 0 missing\n")
    (study,) = json.loads(ganbench("sync", "made", *where, "--json").out)
    counts = {"there": 4, "created": 0, "removed": 0, "missing": 0}
    assert study == {"study": "made", "scale": "smoke", **counts, "problem": ""}
    assert ganbench("sync", *where, "--tracking-uri", "off").code == 2
    assert ganbench("sync", "mode", *where).code == 2


def test_a_full_disk_is_one_message_and_a_lost_provenance_is_written_again(
    late: Path, ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (ledger_in(late).directory / "provenance.json").unlink()  # or set aside, when it was damaged
    where = ["--scale", "smoke", "--runs-dir", str(late)]
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write_json", full)
        said = ganbench("sync", *where)
    assert said.code == 1 and said.err.startswith(f"error: {late}: cannot be written (No space left")
    assert len(said.err.splitlines()) == 1
    assert "4 mirrored, 0 runs made" in ganbench("sync", *where).out
    provenance = ledger_in(late).provenance()
    assert provenance.sessions == [] and len(provenance.mlflow.replicas) == 4


def test_mlflow_sends_nothing_twice_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    shutil.copy(migrated, tmp_path / "mlflow.db")
    client_of(tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert store._ONCE.keys() == {"MLFLOW_HTTP_REQUEST_MAX_RETRIES"}
