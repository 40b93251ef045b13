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
from .tuned import Engine, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")


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


def trained(folder: Path, tracking_uri: str | None, study: dict[str, str], tuned: bool = True) -> Path:
    """Run the study, or tune it, in a folder with a study file; return its runs directory."""
    path, runs = write(folder, **study), folder / "runs"
    options = Options("smoke", "cpu", 1, runs, runs, tracking_uri=tracking_uri)
    quiet = Progress(Console(quiet=True))
    if tuned:
        search = tuning.prepare(schema.load(str(path)), str(path), options)
        tuning.tune(search, options, Referring(lambda r: r.seed == 100_001 and r.variant.beta1 < 0.2), quiet)
    else:
        runner.run(*runner.prepare(schema.load(str(path)), str(path), options), options, Referring(), quiet)
    return runs


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


@pytest.fixture
def folder(tmp_path: Path, migrated: Path) -> Callable[[str], Path]:
    """Make a folder with a tracking database under `runs`."""

    def make(name: str) -> Path:
        (tmp_path / name / "runs").mkdir(parents=True)
        shutil.copy(migrated, tmp_path / name / "runs" / "mlflow.db")
        return tmp_path / name

    return make


def ledger_in(runs: Path) -> Ledger:
    return Ledger(runs / "made" / "smoke")


def test_what_is_synced_is_what_would_have_been_mirrored(folder: Callable[[str], Path]) -> None:
    study = {"tune": 'second = "missed_rate"\n', "trials": "3"}
    live = trained(folder("live"), None, study)
    runs = trained(folder("late"), "off", study)
    (done,) = syncing.sync([ledger_in(runs)], runs, None)
    assert (done.problem, done.missing, done.removed) == ("", 0, 0)
    assert done.there == 2 * 4 + 2 * 3 * 2  # two grids, and the trials of two variants with two seeds
    assert done.created == 2 * (2 + 4) + 2 * 3
    assert shown(runs) == shown(live)
    for repeated in range(2):
        (again,) = syncing.sync([ledger_in(runs)], runs, None)
        assert vars(again) == vars(done) | {"created": 0}, repeated
    assert shown(runs) == shown(live)


def test_after_a_sync_the_trials_and_their_runs_name_each_other(folder: Callable[[str], Path]) -> None:
    runs = trained(folder("late"), "off", {"trials": "3"})
    ledger = ledger_in(runs)
    syncing.sync([ledger], runs, None)
    client, known = client_of(runs), json.loads((ledger.directory / "tuning.json").read_text())
    for found in known["variants"].values():
        for trial in found["trials"]:
            run = client.get_run(trial["mlflow_run"])
            assert (run.data.tags["optuna_study"], run.data.tags["variant"]) == (
                found["optuna_study"],
                trial["variant"],
            )
            assert run.data.metrics["objective"] == trial["values"][0]
    winners = {
        variant: client.get_run(run).data.tags["optuna_trial"]
        for variant, run in ledger.tuned().provenance().mlflow.parents.items()
    }
    assert winners == {variant: str(found["best"]) for variant, found in known["variants"].items()}
    assert set(ledger.provenance().mlflow.replicas) == ledger.finished()


def test_only_what_is_missing_is_written(folder: Callable[[str], Path]) -> None:
    runs = trained(folder("live"), None, {}, tuned=False)
    before, client = shown(runs), client_of(runs)
    lost = [run for run in client.search_runs(["1"]) if run.data.tags.get("seed") == "1"]
    for run in lost:
        client.delete_run(run.info.run_id)
    (done,) = syncing.sync([ledger_in(runs)], runs, None)
    assert (done.there, done.created, done.missing) == (4, len(lost), 0)
    assert shown(runs) == before


def test_an_unreachable_store_leaves_the_records_as_they_are(
    folder: Callable[[str], Path], ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = trained(folder("live"), None, {}, tuned=False)
    before = ledger_in(runs).provenance()
    away = ["--tracking-uri", "http://me:secret@127.0.0.1:9"]
    said = ganbench("sync", "made", "--scale", "smoke", "--runs-dir", str(runs), *away)
    assert said.code == 2 and "no server answers there (Connection refused)" in said.err
    # Or it goes away when the first look at it is over.
    monkeypatch.setattr(reachable, "check_store", lambda uri: None)
    monkeypatch.setattr(syncing, "Mirror", functools.partial(Mirror, retry_pauses=()))
    said = ganbench("sync", "made", "--scale", "smoke", "--runs-dir", str(runs), *away)
    assert said.code == 1 and "4 missing" in said.out
    typed = f"`ganbench sync made --scale smoke --runs-dir {runs}` with your --tracking-uri mirrors them"
    assert typed in " ".join(said.out.split())
    assert "secret" not in said.out + said.err
    assert ledger_in(runs).provenance() == before


def test_a_run_without_its_store_forgets_no_ids(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    live = folder("live")
    runs = trained(live, None, {}, tuned=False)
    before = ledger_in(runs).provenance().mlflow
    monkeypatch.setattr(runner, "Mirror", functools.partial(Mirror, retry_pauses=()))
    trained(live, "http://127.0.0.1:9", {}, tuned=False)
    assert ledger_in(runs).provenance().mlflow == before


def test_the_command_says_what_it_did(folder: Callable[[str], Path], ganbench: Ganbench) -> None:
    runs = trained(folder("late"), "off", {}, tuned=False)
    where = ["--scale", "smoke", "--runs-dir", str(runs)]
    said = ganbench("sync", *where)
    assert (said.code, said.out) == (0, "made smoke: 4 mirrored, 6 runs made, 0 extra ones removed, 0 missing\n")
    (study,) = json.loads(ganbench("sync", "made", *where, "--json").out)
    assert study == {
        "study": "made",
        "scale": "smoke",
        "there": 4,
        "created": 0,
        "removed": 0,
        "missing": 0,
        "problem": "",
    }
    assert ganbench("sync", *where, "--tracking-uri", "off").code == 2
    assert ganbench("sync", "mode", *where).code == 2


def test_what_is_synced_without_provenance_can_be_read(folder: Callable[[str], Path]) -> None:
    runs = trained(folder("late"), "off", {}, tuned=False)
    (ledger_in(runs).directory / "provenance.json").unlink()  # or set aside, when it was damaged
    (done,) = syncing.sync([ledger_in(runs)], runs, None)
    provenance = ledger_in(runs).provenance()
    assert not done.problem and provenance.sessions == [] and len(provenance.mlflow.replicas) == 4


def test_a_full_disk_is_one_message(
    folder: Callable[[str], Path], ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    runs = trained(folder("late"), "off", {}, tuned=False)
    where = ["--scale", "smoke", "--runs-dir", str(runs)]
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write_json", full)
        said = ganbench("sync", *where)
    assert said.code == 1 and said.err.startswith(f"error: {runs}: cannot be written (No space left")
    assert len(said.err.splitlines()) == 1
    assert "4 mirrored, 0 runs made" in ganbench("sync", *where).out


def test_a_study_in_training_is_left_alone_and_said_so(folder: Callable[[str], Path], ganbench: Ganbench) -> None:
    runs = trained(folder("late"), "off", {}, tuned=False)
    with locked(ledger_in(runs).directory):
        said = ganbench("sync", "--scale", "smoke", "--runs-dir", str(runs))
    assert said.code == 1 and "another process" in said.out


def test_mlflow_sends_nothing_twice_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    shutil.copy(migrated, tmp_path / "mlflow.db")
    client_of(tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert store._ONCE.keys() == {"MLFLOW_HTTP_REQUEST_MAX_RETRIES"}
