"""What the mirror writes of a study, to a store in memory; and once to MLflow itself."""

from __future__ import annotations

import copy
import gc
import json
import os
import statistics
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import sqlalchemy

from benchmarks.tracking import Mirror, tracked
from benchmarks.tracking.mirrored import default_tracking_uri
from benchmarks.tracking.reported import mirror_report
from benchmarks.tracking.store import ASKED, PARENT, Store
from reports.ledger.records import MirrorRecord, ScoreReference

from .flaky import FlakyStore, Server
from .mirroring import (
    STEPS,
    VARIANTS,
    client_of,
    make_history,
    make_plan,
    make_results,
    make_samples,
    mirror,
    record_of,
    remember,
    runs_of,
)

REFERENCES = {
    "ks": ScoreReference(direction="lower", floor=0.009),
    "coverage": ScoreReference(direction="higher", floor=1.0),
}


class Mirrored(NamedTuple):
    """A study in the mirror: a replica diverged, one scored well, one badly throughout."""

    server: Server
    stats: MirrorRecord
    rows: dict[Any, dict[Any, Any]]
    lost: str
    good: str
    flat: str


@pytest.fixture(scope="module")
def mirrored() -> Mirrored:
    plan, server = make_plan(), Server()
    plan["study"]["report"] = {"reached": {"ks": 0.05}}
    lost, good, flat = (plan["replicas"][k]["id"] for k in (1, 2, 3))
    curves = ("loss/discriminator", "score/ks", "validation/ks", "gradient/generator", "gradient/generator/1")
    history = make_history(plan, diverged=lost, metrics=curves)
    history.loc[history["replica"].eq(good) & history["metric"].eq("score/ks"), "value"] = 0.02
    results = make_results(plan, lost).assign(**{"repeat/ks": 0.01, "validation/ks": 0.5})
    results.loc[results["replica"] == flat, "ks"] = 0.3
    stats = remember(server, plan, results, history, references=lambda: REFERENCES)
    rows = {row["replica"]: row for row in results.to_dict("records")}
    return Mirrored(server, stats, rows, lost, good, flat)


def test_every_replica_is_a_child_of_its_variant(mirrored: Mirrored) -> None:
    server, stats = mirrored.server, mirrored.stats
    assert (stats.warning, stats.missing, stats.runs_created) == ("", 0, 2 + 6)
    assert stats.parents == {run.tags["variant"]: run.id for run in server.parents}
    assert stats.replicas == {run.tags["replica"]: run.id for run in server.children}
    assert all(run.tags[PARENT] == stats.parents[run.tags["variant"]] for run in server.children)


def test_a_child_carries_what_the_ledger_says(mirrored: Mirrored) -> None:
    child, row = mirrored.server.child(mirrored.good), mirrored.rows[mirrored.good]
    for name in ("study", "scale", "variant", "seed", "replica", "status"):
        assert child.tags[name] == str(row[name])
    assert child.name == "seed=2 saturating"
    assert child.tags["git_commit"] == child.tags["mlflow.source.git.commit"] == "abc123"
    assert (child.state, child.end - child.start) == ("FINISHED", 1500)
    assert (child.params["loss"], child.params["generator_hidden"]) == (row["variant/loss"], "32, 32")
    assert float(child.params["lr_discriminator"]) == pytest.approx(8e-4)
    assert float(child.params["lr_generator"]) == pytest.approx(2e-4)
    for name in ("loss_discriminator", "value_discriminator", "train_seconds"):
        assert child.metrics[name] == row[name]
    assert child.metrics["score/coverage"] == row["coverage"]
    assert set(child.files) == {"curves.csv", "samples/quantiles.csv"}


def test_a_metric_has_few_points_and_ends_where_the_history_or_the_score_ends(mirrored: Mirrored) -> None:
    child, row = mirrored.server.child(mirrored.good), mirrored.rows[mirrored.good]
    for metric, last in (("loss/discriminator", STEPS / 7), ("score/ks", row["ks"]), ("validation/ks", 0.5)):
        curve = child.curve(metric)
        assert len(curve) == tracked.POINTS and curve[-1] == (STEPS, last)
    assert all(value == step / 7 for step, value in child.curve("loss/discriminator"))


def test_a_diverged_replica_fails_and_logs_only_finite_values(mirrored: Mirrored) -> None:
    child = mirrored.server.child(mirrored.lost)
    assert (child.state, child.tags["status"], child.tags["reason"]) == ("FAILED", "diverged", "loss is not finite")
    assert child.metrics["failed_step"] == 17
    assert not {"value_discriminator", "score/coverage"} & child.metrics.keys()
    assert child.metrics["loss/discriminator"] <= STEPS / 2 / 7
    assert all(abs(value) < 1e300 for run in mirrored.server.runs for value in run.metrics.values())


def test_a_child_carries_its_verdict(mirrored: Mirrored) -> None:
    verdicts = [mirrored.server.child(id).tags["verdict"] for id in (mirrored.lost, mirrored.good, mirrored.flat)]
    assert verdicts == ["diverged", "converged", "never_learned"]  # whose distance grew and grew
    server = Server()
    remember(server, make_plan(1))  # which knows of no references
    assert not any("verdict" in run.tags for run in server.children)


def test_single_layers_and_second_scores_are_not_mirrored(mirrored: Mirrored) -> None:
    for child in mirrored.server.children:
        assert "gradient/generator" in child.metrics
        assert not any(name.startswith(("gradient/generator/", "repeat/", "score/rep")) for name in child.metrics)


def test_a_parent_sums_up_when_all_its_replicas_are_there() -> None:
    plan, server = make_plan(), Server()
    results = make_results(plan, plan["replicas"][1]["id"])
    remember(server, plan, results.iloc[:5])  # one replica of the second variant is still to come
    done, waiting = (next(run for run in server.parents if run.tags["variant"] == name) for name in VARIANTS)
    assert (done.state, waiting.state) == ("FINISHED", "RUNNING")
    assert done.metrics["median/ks"] == statistics.median([0.01, 0.03])
    assert (done.metrics["replicas"], done.metrics["failures"]) == (3, 1)
    assert "median/ks" not in waiting.metrics
    remember(server, plan, results)
    assert {run.state for run in server.parents} == {"FINISHED"}


def test_pushing_again_writes_nothing_and_reads_no_history(mirrored: Mirrored) -> None:
    def unread() -> pd.DataFrame:
        raise AssertionError("the history of a mirrored cohort is not read")

    before = copy.deepcopy(mirrored.server.all)
    again = Mirror(Path("runs"), record_of(make_plan()), store=lambda _: FlakyStore(mirrored.server))
    for _ in range(2):
        again.push(pd.DataFrame(list(mirrored.rows.values())), unread)
    stats = again.close()
    assert (stats.warning, stats.runs_created) == ("", 0)
    assert (stats.parents, stats.replicas) == (mirrored.stats.parents, mirrored.stats.replicas)
    assert mirrored.server.all == before


def test_the_experiment_carries_question_answer_and_report() -> None:
    plan, server = make_plan(1), Server()
    remember(server, plan)
    assert "Does it fail?" in server.note
    writer = Mirror(Path("runs"), record_of(plan), store=lambda _: FlakyStore(server))
    writer.describe(answer="It does not.", report="reports/gaussian/report.md")
    writer.close()
    assert all(part in server.note for part in ("Does it fail?", "It does not.", "reports/gaussian/report.md"))


def calls(seeds: int) -> int:
    plan, store = make_plan(seeds), FlakyStore(Server())
    mirror(Path("runs"), plan, history=make_history(plan, points=3), store=lambda _: store)
    return store.calls


def test_a_replica_costs_four_calls() -> None:
    """It is made, written to in one go, given its files, and ended."""
    assert (calls(seeds=7) - calls(seeds=2)) / (2 * 5) == 4


class Frame:
    """Something as large as a history, whose end can be watched."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.table = make_history(plan, points=3)


def test_of_a_written_cohort_only_ids_and_scores_stay() -> None:
    plan, store = make_plan(2), FlakyStore(Server())
    writer = Mirror(Path("runs"), record_of(plan), store=lambda _: store)
    results, frames = make_results(plan), []
    watched = weakref.ref(results)

    def read() -> Any:
        frames.append(weakref.ref(frame := Frame(plan)))
        return frame.table

    writer.push(results, read, make_samples)
    del results
    stats = writer.close()
    gc.collect()
    assert stats.missing == 0 and watched() is None and [frame() for frame in frames] == [None]
    kept = {"replica", "target", "status", "steps", "ks", "coverage"}
    assert all(set(row) == kept for row in writer._rows.values()) and len(writer._rows) == 4


# MLflow itself.


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A runs directory whose store has a plan of two replicas; tests write to it what leaves these as they are."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "mlflow.db").write_bytes(migrated.read_bytes())
    assert mirror(folder, make_plan(1)).warning == ""
    return folder


def test_mlflow_has_the_runs_their_points_and_their_files(runs_dir: Path, tmp_path: Path) -> None:
    client, (parents, children) = client_of(runs_dir), runs_of(runs_dir)
    assert (len(parents), len(children)) == (2, 2)
    assert {run.info.status for run in [*parents, *children]} == {"FINISHED"}
    child = children[0]
    points = client.get_metric_history(child.info.run_id, "loss/discriminator")
    assert len(points) == tracked.POINTS and all(point.value == point.step / 7 for point in points)
    assert child.data.params["loss"] and child.info.end_time - child.info.start_time == 1500
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["curves.csv", "samples"]
    assert child.info.artifact_uri.startswith((runs_dir / "mlartifacts" / "gaussian").as_uri())
    curves = pd.read_csv(client.download_artifacts(child.info.run_id, "curves.csv", str(tmp_path)))
    assert len(curves) == 60 and np.allclose(curves["loss/discriminator"], curves["step"] / 7)
    assert "Does it fail?" in client.get_experiment_by_name("gaussian").tags["mlflow.note.content"]


def test_the_same_points_written_again_are_there_once(runs_dir: Path) -> None:
    client, (_, (child, _)) = client_of(runs_dir), runs_of(runs_dir)
    before = client.get_metric_history(child.info.run_id, "score/ks")
    client.update_run(child.info.run_id, status="RUNNING")  # as if it had been killed at the last moment
    assert mirror(runs_dir, make_plan(1)).runs_created == 0
    again = client.get_metric_history(child.info.run_id, "score/ks")
    assert [(m.step, m.value, m.timestamp) for m in again] == [(m.step, m.value, m.timestamp) for m in before]
    assert client.get_run(child.info.run_id).info.status == "FINISHED"


def test_of_the_runs_of_replicas_only_what_is_asked_again_is_read(runs_dir: Path) -> None:
    store = Store(default_tracking_uri(runs_dir))
    runs = store.runs(store.client.get_experiment_by_name("gaussian").experiment_id, "")  # pyright: ignore
    replicas = [run for run in runs if "replica" in run.tags]
    assert len(replicas) == 2 and all(run.tags.keys() <= set(ASKED) and not run.metrics for run in replicas)
    assert all(run.metrics and run.params for run in runs if "settings" in run.tags)


def test_only_our_own_database_is_written_behind(runs_dir: Path) -> None:
    """A person's own holds more than a copy of ledgers."""
    (runs_dir / "theirs.db").write_bytes((runs_dir / "mlflow.db").read_bytes())
    theirs = f"sqlite:///{(runs_dir / 'theirs.db').as_posix()}"
    Store(theirs).client.search_experiments()
    found: list[int] = []
    for uri in (default_tracking_uri(runs_dir), theirs):
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            found.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
        engine.dispose()
    assert found == [0, 2]


FILES = {"report.html": b"<p>It does not.</p>", "untuned/results.csv": b"seed\n0\n"}


def test_the_report_is_a_run_of_its_own_and_there_once(runs_dir: Path) -> None:
    plan = make_plan(1)
    before = {run.info.run_id for part in runs_of(runs_dir) for run in part}

    def put(files: dict[str, bytes]) -> tuple[str, set[str]]:
        assert mirror_report(files, record_of(plan).study, "It does not.", runs_dir, None) == ""
        parents, children = runs_of(runs_dir)
        (run,) = [run for run in parents if run.data.tags.get("stage") == "report"]
        assert {run.info.run_id for run in [*parents, *children]} == before | {run.info.run_id}
        assert run.data.tags["mlflow.note.content"] == "It does not." and run.info.status == "FINISHED"
        return run.info.run_id, {file.path for file in client_of(runs_dir).list_artifacts(run.info.run_id)}

    first, files = put(FILES)
    assert files == {"report.html", "untuned"}
    assert put(FILES) == (first, files)  # nothing is written that is there
    other, files = put({"report.html": b"<p>It does.</p>"})
    assert other != first and files == {"report.html"}  # in place of the former one
    assert mirror(runs_dir, plan).runs_created == 0  # which the mirror takes no notice of


def test_a_store_that_is_away_is_said_in_one_line_without_its_password_and_never_raises(tmp_path: Path) -> None:
    uri = "http://ann:hush@127.0.0.1:9"
    stats = mirror(tmp_path, make_plan(), tracking_uri=uri, retry_pauses=())
    assert (stats.missing, stats.runs_created) == (6, 0)
    assert stats.warning.startswith("MLflow: 6 finished replicas are not mirrored yet")
    report = mirror_report(FILES, record_of(make_plan()).study, "", tmp_path, uri)
    assert report.startswith("MLflow: the report is not there yet")
    for said in (stats.warning, report):
        assert "ganbench sync" in said and "\n" not in said and "hush" not in said


SILENT = """
import json, pathlib, sys
import pandas as pd
from benchmarks.tracking import Mirror
from reports.ledger.records import PlanRecord
assert 'mlflow' not in sys.modules
plan, rows = json.loads(sys.argv[1])
mirror = Mirror(pathlib.Path('runs'), PlanRecord.model_validate_json(plan))
mirror.push(pd.DataFrame(rows), lambda: pd.DataFrame(columns=['replica', 'step', 'metric', 'value']))
stats = mirror.close()
assert stats.runs_created == 4 and not stats.warning, stats
"""


def test_mlflow_says_nothing_on_the_terminal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    plan = make_plan(1)
    given = json.dumps([json.dumps(plan), make_results(plan).drop(columns="failed_step").to_dict("records")])
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": ""}
    words = [sys.executable, "-c", SILENT, given]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
