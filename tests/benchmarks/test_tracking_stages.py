"""A tuned study in the mirror: the untuned grid, the trials of the search and the tuned grid in one experiment."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tracking import Mirror, MirrorStats
from benchmarks.tracking.store import PARENT
from gan.variant import Variant

from .flaky import FlakyStore, Server
from .mirroring import STEPS, VARIANTS, make_plan, make_results, record_of, remember

TRIALS = {
    name: {"optuna_study": "gaussian smoke: " + name, "optuna_trial": str(k + 5), "optuna_storage": "optuna.log"}
    for k, name in enumerate(VARIANTS)
}


def unread() -> Any:
    raise AssertionError("the history of a trial stays in the ledger")


def searched(server: Server, plan: dict[str, Any], rows: slice = slice(None), **options: Any) -> MirrorStats:
    writer = Mirror(Path("runs"), record_of(plan), trials=TRIALS, store=lambda _: FlakyStore(server), **options)
    writer.push(make_results(plan).iloc[rows], unread)
    return writer.close()


def test_three_stages_stand_side_by_side_in_one_experiment() -> None:
    server = Server()

    def all_three() -> list[MirrorStats]:
        tuned = remember(server, make_plan(2, "tuned"), trials=TRIALS)
        return [remember(server, make_plan(2)), searched(server, make_plan(2, "search")), tuned]

    first = all_three()
    assert [(s.warning, s.runs_created, s.missing) for s in first] == [("", 6, 0), ("", 2, 0), ("", 6, 0)]
    assert len({run for stats in first for run in stats.parents.values()}) == len(server.parents) == 6
    assert len(server.children) == 8 and {run.state for run in server.runs} == {"FINISHED"}
    assert {(run.tags.get("stage", ""), run.name) for run in server.parents} == {
        (stage, prefix + name.removeprefix("loss="))
        for stage, prefix in (("", ""), ("search", ""), ("tuned", "tuned "))
        for name in VARIANTS
    }
    for child in server.children:
        stage, name = child.tags.get("stage", ""), child.tags["variant"]
        assert child.tags[PARENT] == first[2 if stage else 0].parents[name]
        title = f"{'tuned ' if stage else ''}{name.removeprefix('loss=')}"
        assert child.name == f"seed={child.tags['seed']} {title}"
    again = all_three()
    assert [s.runs_created for s in again] == [0, 0, 0]
    assert [(s.parents, s.replicas) for s in again] == [(s.parents, s.replicas) for s in first]


def test_a_trial_has_its_run_before_it_is_trained() -> None:
    server = Server()
    stats = remember(server, make_plan(2, "search"), make_results(make_plan()).iloc[:0], trials=TRIALS)
    assert (stats.warning, stats.missing, server.children) == ("", 0, [])
    assert {run.tags["variant"]: run.id for run in server.parents} == stats.parents
    assert set(stats.parents) == set(VARIANTS)
    for run in server.parents:
        assert {key: run.tags[key] for key in TRIALS[VARIANTS[0]]} == TRIALS[run.tags["variant"]]
        assert (run.tags["stage"], run.tags["target"], run.state) == ("search", "gaussian", "RUNNING")
        assert run.params["loss"] == run.tags["variant"].removeprefix("loss=")
        assert run.params["generator_hidden"] == "-".join(map(str, Variant().generator_hidden))
        assert run.params["steps"] == str(STEPS)


def test_a_trial_sums_up_its_replicas_and_says_its_objective() -> None:
    plan, server = make_plan(2, "search"), Server()

    def objective(rows: list[dict[str, Any]]) -> dict[str, float]:
        return {"objective": float(np.mean([row["ks"] for row in rows])), "failure_rate": math.inf}

    half = searched(server, plan, slice(0, 3), objective=objective)  # the second trial lacks a replica
    assert (half.warning, half.missing) == ("", 0)
    ids = [replica["id"] for replica in plan["replicas"]]
    assert half.replicas == dict.fromkeys(ids[:2], half.parents[VARIANTS[0]])
    done, waiting = (next(run for run in server.parents if run.tags["variant"] == name) for name in VARIANTS)
    assert (done.state, waiting.state) == ("FINISHED", "RUNNING")
    assert done.metrics["objective"] == pytest.approx(0.015) == done.metrics["median/ks"]
    assert done.metrics["replicas"] == 2 and "failure_rate" not in done.metrics
    assert "objective" not in waiting.metrics

    whole = searched(server, plan, objective=objective)
    assert (whole.runs_created, whole.missing, set(whole.replicas)) == (0, 0, set(ids))


def test_trials_that_share_their_replicas_each_have_a_run() -> None:
    plan, server = make_plan(2, "search"), Server()
    twin = [replica | {"variant": VARIANTS[1]} for replica in plan["replicas"][:2]]
    plan["replicas"] = [*plan["replicas"][:2], *twin]
    assert searched(server, plan, slice(0, 2)).warning == ""
    assert [run.metrics["median/ks"] for run in server.parents] == pytest.approx([0.015, 0.015])


def test_a_tuned_variant_leads_to_the_trial_that_won() -> None:
    plan, server = make_plan(2, "tuned"), Server()
    first = remember(server, plan, trials=TRIALS)
    other = {name: tags | {"optuna_trial": "12"} for name, tags in TRIALS.items()}  # the same settings, drawn again
    second = remember(server, plan, trials=other)
    assert second.runs_created == 0 and second.parents == first.parents
    assert {run.tags["optuna_trial"] for run in server.parents} == {"12"}
    assert {run.tags["optuna_study"] for run in server.parents} == {tags["optuna_study"] for tags in TRIALS.values()}
    assert not any("optuna_trial" in run.tags for run in server.children)


def test_another_winner_is_another_run() -> None:
    plan, server = make_plan(2, "tuned"), Server()
    first = remember(server, plan)
    better = copy.deepcopy(plan)
    better["variants"][VARIANTS[0]]["lr"] = 0.003
    for replica in better["replicas"][:2]:
        replica["id"] += "-better"
    second = remember(server, better)
    assert second.parents[VARIANTS[0]] != first.parents[VARIANTS[0]]
    assert second.parents[VARIANTS[1]] == first.parents[VARIANTS[1]]


@pytest.mark.parametrize(("split", "same"), [("test", True), ("both", False)])
def test_a_variant_of_a_plan_from_before_splits_keeps_its_run(split: str, same: bool) -> None:
    plan, server = make_plan(2), Server()
    plan["study"]["scoring"] = {"evaluations": 10}
    old = remember(server, plan)
    plan["study"]["scoring"]["split"] = split
    assert (remember(server, plan).parents == old.parents) is same
