"""A tuned study in the mirror: the untuned grid, the trials of the search and the tuned grid in one experiment."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.tracking import Mirror, MirrorStats, tracked
from gan.variant import Variant

from .mirroring import STEPS, VARIANTS, client_of, make_history, make_plan, make_results, make_samples, mirror, runs_of

TRIALS = {
    name: {"optuna_study": "gaussian smoke: " + name, "optuna_trial": str(k + 5), "optuna_storage": "optuna.log"}
    for k, name in enumerate(VARIANTS)
}


def staged(stage: str, seeds: int = 2) -> dict[str, Any]:
    """Make a stage's plan: the same variants as in the others, and replicas of its own."""
    plan = make_plan(seeds)
    plan["study"] |= {"stage": stage, "target": {"name": "gaussian"}, "steps": STEPS}
    plan["variants"] = {name: Variant().settings() | {"loss": name.removeprefix("loss=")} for name in VARIANTS}
    for replica in plan["replicas"]:
        replica["id"] = f"{stage or 'untuned'}-{replica['id']}"
    return plan


def unread() -> Any:
    raise AssertionError("the history of a trial stays in the ledger")


def searched(runs_dir: Path, plan: dict[str, Any], rows: slice = slice(None), **options: Any) -> MirrorStats:
    writer = Mirror(runs_dir, plan, trials=TRIALS, **options)
    writer.push(make_results(plan).iloc[rows], unread)
    return writer.close()


def test_three_stages_stand_side_by_side_in_one_experiment(runs_dir: Path) -> None:
    stages = {stage: staged(stage) for stage in ("", "search", "tuned")}

    def all_three() -> list[MirrorStats]:
        return [
            mirror(runs_dir, stages[""]),
            searched(runs_dir, stages["search"]),
            mirror(runs_dir, stages["tuned"], trials=TRIALS),
        ]

    first = all_three()
    assert [(s.warning, s.runs_created, s.missing) for s in first] == [("", 6, 0), ("", 2, 0), ("", 6, 0)]
    assert len({run for stats in first for run in stats.parents.values()}) == 6
    parents, children = runs_of(runs_dir)
    assert (len(parents), len(children)) == (6, 8)
    assert {run.info.status for run in parents} == {"FINISHED"}
    named = {(run.data.tags.get("stage", ""), run.info.run_name) for run in parents}
    assert named == {
        (stage, prefix + name.removeprefix("loss="))
        for stage, prefix in (("", ""), ("search", ""), ("tuned", "tuned "))
        for name in VARIANTS
    }
    for child in children:
        stage, name = child.data.tags.get("stage", ""), child.data.tags["variant"]
        assert child.data.tags["mlflow.parentRunId"] == first[2 if stage else 0].parents[name]
        title = f"{'tuned ' if stage else ''}{name.removeprefix('loss=')}"
        assert child.info.run_name == f"seed={child.data.tags['seed']} {title}"
    again = all_three()
    assert [s.runs_created for s in again] == [0, 0, 0]
    assert [(s.parents, s.replicas) for s in again] == [(s.parents, s.replicas) for s in first]


def test_a_trial_has_its_run_before_it_is_trained(runs_dir: Path) -> None:
    stats = Mirror(runs_dir, staged("search"), trials=TRIALS).close()
    parents, children = runs_of(runs_dir)
    assert (stats.warning, stats.missing, children) == ("", 0, [])
    assert {run.data.tags["variant"]: run.info.run_id for run in parents} == stats.parents
    assert set(stats.parents) == set(VARIANTS)
    for run in parents:
        assert {key: run.data.tags[key] for key in TRIALS[VARIANTS[0]]} == TRIALS[run.data.tags["variant"]]
        assert (run.data.tags["stage"], run.data.tags["target"], run.info.status) == ("search", "gaussian", "RUNNING")
        assert run.data.params["loss"] == run.data.tags["variant"].removeprefix("loss=")
        assert run.data.params["generator_hidden"] == "-".join(map(str, Variant().generator_hidden))
        assert run.data.params["steps"] == str(STEPS)


def test_what_is_planned_of_a_variant_is_what_its_results_say(runs_dir: Path) -> None:
    from benchmarks.running.recording import _flat

    variant = Variant(lr=0.01, lr_ratio=4.0)
    said = tracked.planned({"target": {"name": "gaussian"}, "steps": 10}, "v", variant.settings())
    row = {f"variant/{name}": _flat(value) for name, value in variant.settings().items()}
    wanted = {**row, "target": "gaussian", "steps": 10}
    assert tracked.params(said, ("target", "steps")) == tracked.params(wanted, ("target", "steps"))


def test_a_trial_sums_up_its_replicas_and_says_its_objective(runs_dir: Path) -> None:
    plan = staged("search")

    def objective(rows: list[dict[str, Any]]) -> dict[str, float]:
        return {"objective": float(np.mean([row["ks"] for row in rows])), "failure_rate": math.inf}

    half = searched(runs_dir, plan, slice(0, 3), objective=objective)  # the second trial lacks a replica
    assert (half.warning, half.missing) == ("", 0)
    ids = [replica["id"] for replica in plan["replicas"]]
    assert half.replicas == dict.fromkeys(ids[:2], half.parents[VARIANTS[0]])
    done, waiting = (next(r for r in runs_of(runs_dir)[0] if r.data.tags["variant"] == name) for name in VARIANTS)
    assert (done.info.status, waiting.info.status) == ("FINISHED", "RUNNING")
    assert done.data.metrics["objective"] == pytest.approx(0.015) == done.data.metrics["median/ks"]
    assert done.data.metrics["replicas"] == 2 and "failure_rate" not in done.data.metrics
    assert "objective" not in waiting.data.metrics

    whole = searched(runs_dir, plan, objective=objective)
    assert (whole.runs_created, whole.missing, set(whole.replicas)) == (0, 0, set(ids))


def test_trials_that_share_their_replicas_each_have_a_run(runs_dir: Path) -> None:
    plan = staged("search")
    twin = [replica | {"variant": VARIANTS[1]} for replica in plan["replicas"][:2]]
    plan["replicas"] = [*plan["replicas"][:2], *twin]
    writer = Mirror(runs_dir, plan, trials=TRIALS)
    writer.push(make_results(plan).iloc[:2], unread)
    assert writer.close().warning == ""
    assert [run.data.metrics["median/ks"] for run in runs_of(runs_dir)[0]] == pytest.approx([0.015, 0.015])


def test_trials_that_could_not_be_mirrored_are_counted(tmp_path: Path) -> None:
    stats = searched(tmp_path, staged("search"), tracking_uri="http://127.0.0.1:9", retry_pauses=())
    assert (stats.missing, stats.runs_created) == (4, 0)
    assert "4 finished replicas are not mirrored yet" in stats.warning


def test_a_tuned_variant_leads_to_the_trial_that_won(runs_dir: Path) -> None:
    plan = staged("tuned")
    first = mirror(runs_dir, plan, trials=TRIALS)
    other = {name: tags | {"optuna_trial": "12"} for name, tags in TRIALS.items()}  # the same settings, drawn again
    second = mirror(runs_dir, plan, trials=other)
    assert second.runs_created == 0 and second.parents == first.parents
    parents, children = runs_of(runs_dir)
    assert {run.data.tags["optuna_trial"] for run in parents} == {"12"}
    assert {run.data.tags["optuna_study"] for run in parents} == {tags["optuna_study"] for tags in TRIALS.values()}
    assert not any("optuna_trial" in run.data.tags for run in children)


def test_another_winner_is_another_run(runs_dir: Path) -> None:
    plan = staged("tuned")
    first = mirror(runs_dir, plan)
    better = copy.deepcopy(plan)
    better["variants"][VARIANTS[0]]["lr"] = 0.003
    for replica in better["replicas"][:2]:
        replica["id"] += "-better"
    second = mirror(runs_dir, better)
    assert second.parents[VARIANTS[0]] != first.parents[VARIANTS[0]]
    assert second.parents[VARIANTS[1]] == first.parents[VARIANTS[1]]


def test_scores_against_validation_data_are_mirrored_beside_the_others(runs_dir: Path) -> None:
    plan = staged("tuned")
    history = make_history(plan)
    beside = history[history["metric"] == "score/ks"].assign(metric="validation/ks")
    results = make_results(plan).assign(**{"validation/ks": 0.5, "validation/coverage": math.nan})
    writer = Mirror(runs_dir, plan)
    writer.push(results, lambda: pd.concat([history, beside], ignore_index=True), make_samples)
    assert writer.close().warning == ""
    parents, children = runs_of(runs_dir)
    client = client_of(runs_dir)
    for child in children:
        points = client.get_metric_history(child.info.run_id, "validation/ks")
        assert len(points) == tracked.POINTS and (points[-1].step, points[-1].value) == (STEPS, 0.5)
        assert child.data.metrics["score/ks"] < 0.5 and "validation/coverage" not in child.data.metrics
    assert {run.data.metrics["median/validation/ks"] for run in parents} == {0.5}


def test_a_variant_of_a_plan_from_before_splits_keeps_its_run(runs_dir: Path) -> None:
    old = staged("")
    old["study"] |= {"scoring": {"evaluations": 10}}
    new = copy.deepcopy(old)
    new["study"]["scoring"]["split"] = "test"
    other = copy.deepcopy(old)
    other["study"]["scoring"]["split"] = "both"
    first = Mirror(runs_dir, old)
    first.push(make_results(old), lambda: make_history(old))
    made = first.close()
    for plan, same in ((new, True), (other, False)):
        writer = Mirror(runs_dir, plan)
        writer.push(make_results(plan), lambda plan=plan: make_history(plan))
        assert (writer.close().parents == made.parents) is same
