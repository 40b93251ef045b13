"""A search: kept, resumed, judged, and apart from what is reported."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from benchmarks.machine import system
from benchmarks.running.runner import Options, Summary, rehearse
from benchmarks.tuning import Search, plan_summary
from benchmarks.tuning.objective import Judge
from gan.replica import Replica
from gan.variant import Variant
from studies import schema

from .tuned import Engine, findings, record_of, score, search_of, trials_of, tune, with_few_trees, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")


class Whole(NamedTuple):
    """A search that was finished undisturbed; it is read, or copied."""

    folder: Path
    search: Search
    summary: Summary

    def copied(self, folder: Path) -> Path:
        """Copy the study's file and its runs to another folder; return the file's path there."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / "made.toml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        with_few_trees(patch)
        patch.setattr(system, "has_compiler", lambda _: False)
        return Whole(folder, *tune(write(folder), folder / "runs"))


def test_a_search_is_whole_and_apart_from_the_report(whole: Whole) -> None:
    _, search, summary = whole
    plans = [ledger.plan() for ledger in (search.ledger, search.ledger.search(), search.ledger.tuned())]
    untuned, searched, tuned = ({r.seed for r in plan.replicas} for plan in plans)
    assert untuned == tuned == {0, 1} and searched == {100_000, 100_001}
    assert [plan.study.scoring["split"] for plan in plans] == ["both", "validation", "both"]
    assert [plan.study.stage for plan in plans] == ["untuned", "search", "tuned"]
    trials = trials_of(search)
    assert {len(its) for its in trials.values()} == {6} and summary.trials == 12
    assert all(t["state"] == "COMPLETE" for its in trials.values() for t in its)
    for variant, found in record_of(search)["variants"].items():
        best = min(found["trials"], key=lambda t: t["values"])
        assert found["best"] == best["number"] and found["settings"] == best["params"]
        settings = search.ledger.tuned().plan().variants[variant]
        assert settings == search.ledger.plan().variants[variant] | best["params"]
        assert abs(sum(found["importances"].values()) - 1) < 1e-9


def test_a_finished_search_is_read_back_as_it_was_written_and_trains_nothing_again(
    whole: Whole, tmp_path: Path
) -> None:
    path, engine = whole.copied(tmp_path), Engine()
    ledger = search_of(path, tmp_path / "runs").ledger
    before, record = (ledger.directory / "tuning.json").read_bytes(), ledger.tuning()
    assert record is not None and record.tune == whole.search.tuning
    ledger.write_json("tuning.json", record)
    assert (ledger.directory / "tuning.json").read_bytes() == before
    again, summary = tune(path, tmp_path / "runs", engine)
    assert engine.asked == [] and summary.trained == 0
    assert findings(whole.search) == findings(again)


def test_the_variants_of_a_batch_train_side_by_side(whole: Whole) -> None:
    plan = whole.search.ledger.search().plan()
    losses = {r.id: plan.variants[r.variant]["loss"] for r in plan.replicas}
    # 2 losses x 3 trials x 2 seeds of one shape: two batches, a cohort each.
    assert [len(c.replicas) for c in plan.cohorts] == [12, 12]
    assert all({losses[id] for id in c.replicas} == {"non_saturating", "saturating"} for c in plan.cohorts)


def test_more_trials_go_on_where_the_search_ended(whole: Whole, tmp_path: Path) -> None:
    path = write(tmp_path)
    first, _ = tune(path, tmp_path / "runs", trials=3)
    before = trials_of(first)
    more, _ = tune(path, tmp_path / "runs")
    assert all(trials_of(more)[v][:3] == its for v, its in before.items())
    assert findings(more) == findings(whole.search)
    # Fewer again: equal budgets, so the winners are chosen among the first three.
    fewer, _ = tune(path, tmp_path / "runs", trials=3)
    assert findings(fewer) == findings(first) and trials_of(fewer) == before


def test_a_failed_replica_counts_and_its_neighbours_do_not_change(whole: Whole, tmp_path: Path) -> None:
    victim = trials_of(whole.search)["loss=saturating"][1]["replicas"][0]
    search, _ = tune(write(tmp_path), tmp_path / "runs", Engine(lambda r: r.id == victim))
    both = (trials_of(own) for own in (search, whole.search))
    trials, clean = ({(v, t["number"]): t for v, its in own.items() for t in its[:3]} for own in both)
    trial = trials.pop(place := ("loss=saturating", 1))
    assert trial["scores"][0] is None and trial["statuses"] == ["diverged", "ok"]
    assert trial["values"] == [(1.0 + trial["scores"][1]) / 2]
    # The first batch knows nothing of results: all else in it is as it was.
    del clean[place]
    assert trials == clean


def test_a_grid_with_conditions_takes_every_point_once(tmp_path: Path) -> None:
    space = """
[tune.space]
penalty = { choices = ["none", "r1"] }
penalty_weight = { low = 0.1, high = 10.0, log = true, points = 3, when = { penalty = ["r1"] } }
"""
    path = write(tmp_path, space=space, sampler='"grid"', trials="4", batch="3")
    search, _ = tune(path, tmp_path / "runs")
    for its in trials_of(search).values():
        points = {(t["params"]["penalty"], round(t["params"].get("penalty_weight", 0), 9)) for t in its}
        assert len(its) == 4 and points == {("none", 0), ("r1", 0.1), ("r1", 1.0), ("r1", 10.0)}


def test_conditional_settings_are_drawn_only_where_they_matter(tmp_path: Path) -> None:
    space = """
[tune.space]
penalty = { choices = ["none", "r1"] }
penalty_weight = { low = 0.1, high = 10.0, log = true, when = { penalty = ["r1"] } }
critic_steps = { low = 1, high = 3 }
generator_hidden = { choices = [[16], [16, 16]] }
"""
    search, _ = tune(write(tmp_path, space=space, trials="12", batch="6"), tmp_path / "runs")
    params = [t["params"] for its in trials_of(search).values() for t in its]
    assert {p["penalty"] for p in params} == {"none", "r1"}
    assert all(("penalty_weight" in p) == (p["penalty"] == "r1") for p in params)
    assert {tuple(p["generator_hidden"]) for p in params} == {(16,), (16, 16)}
    assert all(type(p["critic_steps"]) is int for p in params)
    plan = search.ledger.search().plan()
    by_id = {r.id: plan.variants[r.variant] for r in plan.replicas}
    for cohort in plan.cohorts:  # grouped by shape
        shapes = {(str(by_id[id]["generator_hidden"]), by_id[id]["critic_steps"]) for id in cohort.replicas}
        assert len(shapes) == 1


def test_the_same_settings_are_trained_once(tmp_path: Path) -> None:
    engine, space = Engine(), '[tune.space]\nlatent = { choices = ["normal", "uniform"] }\n'
    search, _ = tune(write(tmp_path, space=space), tmp_path / "runs", engine)
    searched = search.ledger.search().finished()
    assert len(searched) == 2 * 2 * 2 and len(engine.asked) == len(searched) + 4 + 4
    assert all(len(its) == 6 and all(t["values"] for t in its) for its in trials_of(search).values())


def test_two_objectives_give_a_front_and_its_steadiest_winner(tmp_path: Path) -> None:
    def fails(replica: Replica) -> bool:  # the better the score, the more often it fails
        return score(replica) < 0.25 and replica.seed % 2 == 0

    search, _ = tune(write(tmp_path, second='"failure_rate"', trials="12"), tmp_path / "runs", Engine(fails))
    for found in record_of(search)["variants"].values():
        values = {t["number"]: t["values"] for t in found["trials"]}
        beaten = {n for n, a in values.items() for b in values.values() if b != a and b[0] <= a[0] and b[1] <= a[1]}
        assert set(found["front"]) == set(values) - beaten
        assert found["best"] == min(found["front"], key=lambda n: (values[n][1], values[n][0]))


@pytest.mark.parametrize("rule", ["diverged", "wilcoxon"])
def test_hopeless_trials_stop_early_and_count_as_stopped(tmp_path: Path, rule: str) -> None:
    def fails(replica: Replica) -> bool:
        return rule == "diverged" and replica.variant.beta1 > 0.45

    engine = Engine(fails)
    search, _ = tune(write(tmp_path, pruning=f'"{rule}"', seeds="6", trials="9"), tmp_path / "runs", engine)
    trials = [t for its in trials_of(search).values() for t in its]
    stopped = [t for t in trials if t["state"] == "PRUNED"]
    first = {"diverged": 3, "wilcoxon": 4}[rule]
    assert stopped and all(len(t["replicas"]) == (first if t in stopped else 6) for t in trials)
    assert all(not t["values"] for t in stopped)
    # Work is saved: what was not trained is in no ledger.
    assert len(search.ledger.search().finished()) == 6 * (len(trials) - len(stopped)) + first * len(stopped)
    if rule == "diverged":
        assert all((t["params"]["beta1"] > 0.45) == (t in stopped) for t in trials)
    again, summary = tune(tmp_path / "made.toml", tmp_path / "runs", Engine(fails))
    assert summary.trained == 0 and findings(again) == findings(search)


JUDGED: list[tuple[dict[str, str], list[float]]] = [
    ({}, [0.5]),
    ({"failed": "0.4"}, [(0.1 + 0.2 + 0.3 + 0.4 + 0.4) / 5]),  # failing never pays: 0.9 counts as no worse
    ({"aggregate": '"median"'}, [0.3]),
    ({"aggregate": '"iqm"'}, [(0.2 + 0.3 + 0.9) / 3]),
    ({"second": '"failure_rate"'}, [0.5, 0.2]),
    ({"second": '"missed_rate"'}, [0.5, 0.4]),
]


@pytest.mark.parametrize(("changed", "values"), JUDGED, ids=str)
def test_the_objective_is_the_aggregate_with_failures_at_their_price(
    tmp_path: Path, changed: dict[str, str], values: list[float]
) -> None:
    study = schema.resolve(schema.load(str(write(tmp_path, seeds="5", **changed))), "smoke")
    assert study.tune is not None
    rows: list[dict[str, Any]] = [{"status": "ok", "ks": ks} for ks in (0.1, 0.2, 0.3, 0.9)]
    assert Judge.of(study, study.tune).values([*rows, {"status": "diverged", "ks": float("nan")}]) == pytest.approx(
        values
    )


def test_the_winner_is_the_best_in_the_score_s_own_direction(tmp_path: Path) -> None:
    search, _ = tune(write(tmp_path, 'score = "bins_covered"', failed="0.0", sampler='"random"'), tmp_path / "runs")
    for found in record_of(search)["variants"].values():
        values = [t["values"][0] for t in found["trials"]]
        assert values[found["best"]] == max(values) > min(values)
        assert len({t["params"]["lr"] for t in found["trials"]}) == 6  # batches draw other settings


def test_the_summary_counts_what_failed_in_both_grids(tmp_path: Path) -> None:
    def fails(replica: Replica) -> bool:
        return replica.seed == 1 and replica.variant.lr == 7.0710678e-4  # an untuned one of each variant

    _, summary = tune(write(tmp_path), tmp_path / "runs", Engine(fails))
    assert summary.diverged == 2


def test_a_kind_of_replica_is_rehearsed_once_in_a_search(tmp_path: Path) -> None:
    def cohort(steps: int, plugins: tuple[str, ...] = ("mine",)) -> Any:
        replica = SimpleNamespace(variant=Variant(critic_steps=steps))
        return SimpleNamespace(
            replicas=[replica], target="gaussian", scoring="both", plugins=plugins, rehearsals=lambda _: {"l": steps}
        )

    asked: list[int] = []
    engine: Any = SimpleNamespace(run=lambda cohorts, *_: iter(asked.extend(cohorts) or []))
    options, rehearsed = Options("smoke", "cpu", 1, tmp_path, tmp_path), set()
    for steps in (1, 2, 1, 2, 3):
        rehearse(engine, [cohort(steps), cohort(9, ())], options, rehearsed)
    assert asked == [1, 2, 3]


def test_a_dry_run_knows_what_is_left(whole: Whole, tmp_path: Path) -> None:
    path = write(tmp_path)

    def left(path: Path) -> list[int]:
        return [row["to_train"] for row in plan_summary(search_of(path, tmp_path / "runs"))]

    assert left(path) == [4, 24, 4]
    path = whole.copied(tmp_path)
    assert left(path) == [0, 0, 0]
    # Another level of a factor, or one less, is another search as far as it is new.
    text = path.read_text()
    path.write_text(text.replace('"saturating"]', '"saturating", "wasserstein"]'))
    assert left(path) == [2, 12, 6]
    path.write_text(text.replace(', "saturating"]', "]"))
    assert left(path)[0] == 0
    found = search_of(path, tmp_path / "runs").ledger.directory / "tuning.json"
    found.write_text("[1]")  # set aside by the next run, which knows the trials
    assert left(path)[:2] == [0, 0]
