from __future__ import annotations

import csv
import io
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.tracking import Mirror, tracked
from benchmarks.tracking.mirrored import ui_command

from .mirroring import STEPS, VARIANTS, client_of, make_history, make_plan, make_results, mirror, runs_of


def test_every_replica_is_a_child_of_its_variant(runs_dir: Path) -> None:
    plan = make_plan()
    stats = mirror(runs_dir, plan)
    parents, children = runs_of(runs_dir)
    assert stats.warning == ""
    assert stats.runs_created == len(parents) + len(children) == 2 + 6
    assert stats.parents == {run.data.tags["variant"]: run.info.run_id for run in parents}
    assert stats.replicas == {run.data.tags["replica"]: run.info.run_id for run in children}
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == stats.parents[child.data.tags["variant"]]


def test_a_child_carries_what_the_ledger_says(runs_dir: Path) -> None:
    plan = make_plan()
    row = make_results(plan).iloc[4].to_dict()
    mirror(runs_dir, plan)
    (child,) = [run for run in runs_of(runs_dir)[1] if run.data.tags["replica"] == row["replica"]]
    for name in ("study", "scale", "variant", "seed", "replica", "status"):
        assert child.data.tags[name] == str(row[name])
    assert child.data.tags["git_commit"] == child.data.tags["mlflow.source.git.commit"] == "abc123"
    assert child.info.status == "FINISHED"
    assert child.data.params["loss"] == row["variant/loss"]
    assert child.data.params["generator_hidden"] == "32, 32"
    assert float(child.data.params["lr_discriminator"]) == pytest.approx(8e-4)
    assert float(child.data.params["lr_generator"]) == pytest.approx(2e-4)
    for name in ("loss_discriminator", "value_discriminator", "train_seconds"):
        assert child.data.metrics[name] == row[name]
    assert child.data.metrics["loss/discriminator"] == STEPS / 7
    assert child.data.metrics["score/ks"] == row["ks"]  # the final score is the last point of its curve
    assert child.data.metrics["score/coverage"] == row["coverage"]
    assert child.info.end_time - child.info.start_time == 1500


def test_a_metric_has_few_points_and_ends_where_the_history_ends(runs_dir: Path) -> None:
    plan = make_plan(seeds=1)
    mirror(runs_dir, plan)
    client = client_of(runs_dir)
    child = runs_of(runs_dir)[1][0]
    points = client.get_metric_history(child.info.run_id, "loss/discriminator")
    steps = [point.step for point in points]
    assert len(points) == tracked.POINTS
    assert sorted(steps)[-1] == STEPS
    assert max(np.diff(sorted(steps))) < 2 * STEPS / tracked.POINTS
    assert all(point.value == point.step / 7 for point in points)


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 19, 200])
def test_thinning_keeps_both_ends_and_repeats_nothing(count: int) -> None:
    points = [(step, float(step)) for step in range(count)]
    thin = tracked._thin(points)
    assert len(thin) == min(count, tracked.POINTS)
    assert thin[0] == points[0] and thin[-1] == points[-1]
    assert sorted(set(thin)) == thin


def test_a_diverged_replica_fails_and_logs_only_finite_values(runs_dir: Path) -> None:
    plan = make_plan()
    lost = plan["replicas"][1]["id"]
    mirror(runs_dir, plan, diverged=lost)
    parents, children = runs_of(runs_dir)
    (child,) = [run for run in children if run.data.tags["replica"] == lost]
    assert (child.info.status, child.data.tags["status"]) == ("FAILED", "diverged")
    assert child.data.tags["reason"] == "loss is not finite"
    assert child.data.metrics["failed_step"] == 17
    assert "value_discriminator" not in child.data.metrics and "score/coverage" not in child.data.metrics
    assert child.data.metrics["loss/discriminator"] <= STEPS / 2 / 7
    for run in [*parents, *children]:
        assert all(abs(value) < 1e300 for value in run.data.metrics.values())


REFERENCES = {"ks": {"direction": "lower", "floor": 0.009}, "coverage": {"direction": "higher", "floor": 1.0}}


def verdicts_of(runs_dir: Path) -> dict[str, str]:
    return {run.data.tags["replica"]: run.data.tags.get("verdict", "") for run in runs_of(runs_dir)[1]}


def test_a_child_carries_its_verdict(runs_dir: Path) -> None:
    plan = make_plan()
    plan["study"]["report"] = {"reached": {"ks": 0.05}}
    lost, good, flat = (plan["replicas"][k]["id"] for k in (1, 2, 3))
    history = make_history(plan, diverged=lost)
    settled = history["replica"].eq(good) & history["metric"].eq("score/ks")
    history.loc[settled, "value"] = 0.02
    writer = Mirror(runs_dir, plan, references=lambda: REFERENCES)
    rows = make_results(plan, lost)
    rows.loc[rows["replica"] == flat, "ks"] = 0.3
    writer.push(rows, lambda: history)
    assert writer.close().warning == ""
    verdicts = verdicts_of(runs_dir)
    assert (verdicts[lost], verdicts[good], verdicts[flat]) == ("diverged", "converged", "unsettled")


def test_without_references_or_history_nothing_is_judged(runs_dir: Path) -> None:
    plan = make_plan(seeds=1)
    mirror(runs_dir, plan)
    assert set(verdicts_of(runs_dir).values()) == {""}
    row = {"status": "failed", "steps": 10}
    assert tracked.verdict(row, {"score/ks": [(10, 0.01)]}, plan["study"], REFERENCES) == ""
    assert tracked.verdict({**row, "status": "ok"}, {}, plan["study"], REFERENCES) == ""


def test_the_verdict_is_the_report_s_own() -> None:
    from reports.ledger.verdicts import COVERING, judgements

    assert tracked.COVERING == COVERING
    plan = make_plan()
    study = plan["study"] | {"report": {"reached": {"ks": 0.05}}}
    results, history = make_results(plan), make_history(plan)
    ours = [
        tracked.verdict(
            {str(k): v for k, v in row.items()}, tracked.split_curves(history)[row["replica"]], study, REFERENCES
        )
        for _, row in results.iterrows()
    ]
    assert ours == judgements(results, [history], study, REFERENCES)["verdict"].tolist()


def test_single_layers_and_second_scores_are_not_mirrored(runs_dir: Path) -> None:
    plan = make_plan(seeds=1)
    history = make_history(plan)
    layers = history[history["metric"] == "loss/discriminator"].assign(metric="gradient/generator/1")
    whole = layers.assign(metric="gradient/generator")
    writer = Mirror(runs_dir, plan)
    writer.push(make_results(plan).assign(**{"repeat/ks": 0.01}), lambda: pd.concat([history, layers, whole]))
    assert writer.close().warning == ""
    for child in runs_of(runs_dir)[1]:
        assert "gradient/generator" in child.data.metrics
        assert not any(name.startswith(("gradient/generator/", "repeat/")) for name in child.data.metrics)
        assert "score/repeat/ks" not in child.data.metrics


def test_a_parent_sums_up_when_all_its_replicas_are_there(runs_dir: Path) -> None:
    plan = make_plan()
    lost = plan["replicas"][1]["id"]
    results, history = make_results(plan, lost), make_history(plan)
    first = Mirror(runs_dir, plan)
    first.push(results.iloc[:5], lambda: history)  # one replica of the second variant is still to come
    first.close()
    parents = {run.data.tags["variant"]: run for run in runs_of(runs_dir)[0]}
    done, waiting = (parents[variant] for variant in VARIANTS)
    assert done.info.status == "FINISHED" and waiting.info.status == "RUNNING"
    assert done.data.metrics["median/ks"] == statistics.median([0.01, 0.03])
    assert (done.data.metrics["replicas"], done.data.metrics["failures"]) == (3, 1)
    assert "median/ks" not in waiting.data.metrics

    second = Mirror(runs_dir, plan)
    second.push(results, lambda: history)
    second.close()
    assert {run.info.status for run in runs_of(runs_dir)[0]} == {"FINISHED"}


def test_pushing_again_makes_nothing_new(runs_dir: Path) -> None:
    plan = make_plan()
    first = mirror(runs_dir, plan)
    before = runs_of(runs_dir)

    def unread() -> pd.DataFrame:
        raise AssertionError("the history of a mirrored cohort is not read")

    again = Mirror(runs_dir, plan)
    again.push(make_results(plan), unread)
    again.push(make_results(plan), unread)
    stats = again.close()
    assert stats.warning == "" and stats.runs_created == 0
    assert (stats.parents, stats.replicas) == (first.parents, first.replicas)
    assert [[run.to_dictionary() for run in runs] for runs in runs_of(runs_dir)] == [
        [run.to_dictionary() for run in runs] for runs in before
    ]


def test_what_was_half_written_is_finished_not_repeated(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(seeds=1)
    write, calls = tracked.write_files, []

    def fail_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("disk full")
        write(*arguments)

    monkeypatch.setattr(tracked, "write_files", fail_once)
    stats = mirror(runs_dir, plan, retry_pauses=(0.0,))
    parents, children = runs_of(runs_dir)
    assert stats.warning == "" and (len(parents), len(children)) == (2, 2)
    client = client_of(runs_dir)
    for child in children:
        assert child.info.status == "FINISHED"
        assert len(client.get_metric_history(child.info.run_id, "loss/discriminator")) == tracked.POINTS


def note_of(runs_dir: Path) -> str:
    client = client_of(runs_dir)
    experiment = client.get_experiment_by_name("gaussian")
    assert experiment is not None
    return experiment.tags["mlflow.note.content"]


def test_the_experiment_carries_question_answer_and_report(runs_dir: Path) -> None:
    plan = make_plan(seeds=1)
    mirror(runs_dir, plan)
    assert "Does it fail?" in note_of(runs_dir)
    writer = Mirror(runs_dir, plan)
    writer.describe(answer="It does not.", report="reports/gaussian/report.md")
    writer.close()
    assert all(part in note_of(runs_dir) for part in ("Does it fail?", "It does not.", "reports/gaussian/report.md"))


def test_artifacts_lie_where_mlflow_looks(runs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = make_plan(seeds=1)
    mirror(runs_dir, plan)
    client = client_of(runs_dir)
    child = runs_of(runs_dir)[1][0]
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["curves.csv", "samples"]
    assert [f.path for f in client.list_artifacts(child.info.run_id, "samples")] == ["samples/quantiles.csv"]
    assert child.info.artifact_uri.startswith((runs_dir / "mlartifacts" / "gaussian").as_uri())
    copy = client.download_artifacts(child.info.run_id, "curves.csv", str(tmp_path_factory.mktemp("copy")))
    curves = pd.read_csv(copy)
    assert len(curves) == 60 and np.allclose(curves["loss/discriminator"], curves["step"] / 7)


def test_the_game_of_two_numbers_has_curves_alone() -> None:
    progress = np.zeros((5, 1, 2), np.float32)
    files = tracked.files({"radius": [(1, 2.0)]}, {"final": progress[0], "progress": progress, "steps": np.arange(5)})
    assert set(files) == {"curves.csv"}


def test_image_samples_become_grids() -> None:
    rng = np.random.default_rng(0)
    final = rng.integers(0, 256, (100, 64), np.uint8)
    progress = rng.integers(0, 256, (3, 16, 64), np.uint8)
    files = tracked.files({}, {"final": final, "progress": progress, "steps": np.array([1, 2, 3])})
    grid = np.asarray(Image.open(io.BytesIO(files["samples/final.png"])))
    assert grid.shape == (10 * 9 * 4, 10 * 9 * 4)  # ten rows of 8 pixels and a gap, four times enlarged
    row, column = 7, 3
    cell = grid[row * 36 : row * 36 + 32 : 4, column * 36 : column * 36 + 32 : 4]
    assert np.array_equal(cell, final[row * 10 + column].reshape(8, 8))
    assert np.asarray(Image.open(io.BytesIO(files["samples/progress.png"]))).shape == (3 * 36, 16 * 36)


def test_samples_that_are_not_finite_are_left_out() -> None:
    progress = np.stack([np.linspace(0, 1, 101), np.full(101, math.nan)])[..., None]
    files = tracked.files({}, {"progress": progress, "steps": np.array([10, 20])})
    rows = list(csv.DictReader(io.StringIO(files["samples/quantiles.csv"].decode())))
    assert [row["step"] for row in rows] == ["10"]
    assert float(rows[0]["0.50"]) == pytest.approx(0.5)


def test_a_missing_server_is_reported_and_never_raises(tmp_path: Path) -> None:
    stats = mirror(tmp_path, make_plan(), tracking_uri="http://127.0.0.1:9", retry_pauses=())
    assert (stats.missing, stats.runs_created) == (6, 0)
    assert stats.warning.startswith("MLflow: 6 finished replicas are not mirrored yet") and "\n" not in stats.warning


def test_mlflow_says_nothing_on_the_terminal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import mirroring as t, pathlib, sys\n"
        "assert 'mlflow' not in sys.modules\n"
        "stats = t.mirror(pathlib.Path('runs'), t.make_plan(1))\n"
        "assert stats.runs_created == 4 and not stats.warning, stats\n"
    )
    here = Path(__file__).parent
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here)]),
        "PYTHONWARNINGS": "",
    }
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_ui_is_bound_to_this_machine(tmp_path: Path) -> None:
    command, environment = ui_command(tmp_path, port=5055)
    assert command[command.index("--host") + 1] == "127.0.0.1" and command.count("--host") == 1
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    assert environment["PATH"] == os.environ["PATH"]
