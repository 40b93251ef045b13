"""What is read of a tuned run directory, and what its tables say."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from gan.errors import InputError
from reports.ledger.ledger import Ledger
from reports.tuning.answer import tuning_answer, tuning_sentences
from reports.tuning.effects import Findings, at_bound
from reports.tuning.evidence import gather_tuning
from reports.tuning.figures import importances
from reports.tuning.tables import (
    budget_table,
    front_table,
    importances_table,
    ranking_table,
    search_table,
    trials_csv,
    winners_table,
)

from .tuned import FACTORS, SPACE, mirrored, write_tuned

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return write_tuned(tmp_path_factory.mktemp("tuning") / "run", seeds=9, failing=0.1, second="failure_rate")


@pytest.fixture(scope="module")
def found(run: Ledger) -> Findings:
    return Findings(gather_tuning(run))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return write_tuned(tmp_path_factory.mktemp("made") / "run", {"loss": ["a", "b"]}, seeds=3, trials=3)


@pytest.fixture
def small(made: Ledger, tmp_path: Path) -> Ledger:
    """A copy, which a test may change."""
    return Ledger(Path(shutil.copytree(made.directory, tmp_path / "run")))


def change(ledger: Ledger, edit: Change) -> Ledger:
    record = ledger.tuning()
    edit(record)
    ledger.write_json("tuning.json", record)
    return ledger


# Reading.

DAMAGED: list[tuple[Change, str]] = [
    (lambda r: r.pop("tune"), "tune: expected a table, which is not there"),
    (lambda r: r["tune"].update(direction="down"), "tune.direction: expected lower or higher, not 'down'"),
    (lambda r: r["tune"].update(failed="1"), "tune.failed: expected a number, not '1'"),
    (lambda r: r["tune"].update(trials=True), "tune.trials: expected a whole number, not True"),
    (
        lambda r: r["variants"].update({"loss=c": r["variants"]["loss=a"]}),
        "variants: 'loss=c' is no variant of the plan",
    ),
    (lambda r: r["variants"].update({"loss=a": 3}), "variants.loss=a: expected a table, not 3"),
    (lambda r: r["variants"]["loss=a"].pop("trials"), "variants.loss=a.trials: expected a list"),
    (lambda r: r["variants"]["loss=a"]["trials"][1].update(state="DONE"), "trials.1.state: Valid: COMPLETE"),
    (lambda r: r["variants"]["loss=a"]["trials"][1].update(values=["x"]), "trials.1.values: expected numbers, not 'x'"),
    (lambda r: r["variants"]["loss=a"].update(best=99), "best and front: expected numbers of its trials, not 99"),
    (lambda r: r["tune"].update(score="fid_10k"), "optimised the score 'fid_10k', which the study has not"),
]


@pytest.mark.parametrize(("edit", "said"), DAMAGED, ids=[said[:24] for _, said in DAMAGED])
def test_a_damaged_record_is_the_users_error_in_one_line(small: Ledger, edit: Change, said: str) -> None:
    with pytest.raises(InputError) as caught:
        gather_tuning(change(small, edit))
    message = str(caught.value)
    assert said in message and "\n" not in message and message.startswith(str(small.directory))


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_what_is_no_record_at_all_is_named(small: Ledger, text: str) -> None:
    (small.directory / "tuning.json").write_text(text)
    with pytest.raises(InputError, match=r"tuning\.json"):
        gather_tuning(small)


def test_a_study_that_was_not_tuned_is_the_users_error(small: Ledger) -> None:
    (small.directory / "tuning.json").unlink()
    with pytest.raises(InputError, match="expected the run directory of a study that was tuned"):
        gather_tuning(small)


def test_an_interrupted_search_says_what_is_missing(small: Ledger) -> None:
    def interrupt(record: dict[str, Any]) -> None:
        record["complete"] = False
        record["variants"]["loss=b"]["trials"][2] |= {"state": "RUNNING", "values": [], "scores": [], "statuses": []}

    tuning = gather_tuning(change(small, interrupt))
    assert not tuning.complete
    assert tuning.complaints == ["The search of loss=b has ended 2 of 3 trials."]
    assert [len(tuning.objectives(s)) for s in tuning.searches.values()] == [3, 2]
    assert tuning_answer(small).startswith("So far, with what has finished: on N(3, 2²)")


def test_a_search_of_fewer_points_than_trials_may_be_complete(small: Ledger) -> None:
    tuning = gather_tuning(change(small, lambda r: r["tune"].update(trials=50, sampler="grid")))
    assert tuning.complete and tuning.complaints == []


def test_objectives_of_trials_without_a_score_are_the_worst_there_is(small: Ledger) -> None:
    def prune(record: dict[str, Any]) -> None:
        record["variants"]["loss=a"]["trials"][0] |= {"state": "PRUNED", "values": []}
        record["variants"]["loss=a"]["trials"][1]["values"] = [7.0]  # beyond what a failed replica stands for
        record["variants"]["loss=a"]["best"] = 2

    tuning = gather_tuning(change(small, prune))
    values = tuning.objectives(tuning.searches["loss=a"])
    assert values[0] == 7.0 == values.max() and values[2] < 1


# What is found.


def test_gains_are_the_paired_ratios_of_the_same_seeds(found: Findings) -> None:
    before, after = found.tuning.paired()
    for place, gain in enumerate(found.gains.values()):
        ratios = np.log(after[:, place] / before[:, place])
        assert np.log(gain.interval.estimate) == pytest.approx(np.sort(ratios)[2:-2].mean())  # of 9 the middle 5
        assert gain.pairs == 9 and gain.p_holm >= gain.p
    assert found.gain.resolved and found.gain.interval.high < 1


def test_the_made_reversal_is_seen_in_the_ranking_and_in_the_effects(found: Findings) -> None:
    assert found.ranking.outcome == "reversed"
    said = tuning_sentences(found)
    assert "tuning each variant with the same 24 trials changes the ranking" in said[0]
    loss = next((b, a) for b, a in found.effects if b.factors == ("loss",))
    assert loss[1] is not None and loss[0].interval.estimate > 1 > loss[1].interval.estimate
    assert ranking_table(found)["variant"].iloc[0].startswith("saturating")


def test_an_unchanged_order_is_not_called_a_change(tmp_path: Path) -> None:
    worth = {"a": 0.02, "b": 0.06}
    untuned, tuned = (lambda levels, share=share: share * worth[levels["loss"]] for share in (1.0, 0.5))
    text = tuning_answer(write_tuned(tmp_path / "run", {"loss": ["a", "b"]}, before=untuned, after=tuned))
    assert "leaves the order of the 2 variants as it was" in text and "changes" not in text


def test_trials_to_beat_the_untuned_settings_is_where_the_curve_crosses_them(found: Findings) -> None:
    for variant, reference in found.untuned_objectives.items():
        curve = found.progress[variant]
        count = found.trials_to_beat(variant)
        assert [mean < reference for mean in curve] == [k >= (count or 99) for k in range(1, len(curve) + 1)]
    assert any(found.trials_to_beat(variant) for variant in found.untuned_objectives)


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ({"low": 0.0, "high": 1.0}, 0.04, "low"),
        ({"low": 0.0, "high": 1.0}, 0.06, None),
        ({"low": 1e-4, "high": 1e-2, "log": True}, 9e-3, "high"),
        ({"low": 1e-4, "high": 1e-2, "log": True}, 6e-4, None),
        ({"low": 1e-4, "high": 1e-2}, 4e-4, "low"),
        ({"low": 32, "high": 512}, 512, "high"),
        ({"choices": ["none", "r1"]}, "r1", None),
        ({}, 0.3, None),
    ],
)
def test_a_winner_near_an_end_of_its_range_is_flagged(
    parameter: dict[str, Any], value: Any, expected: str | None
) -> None:
    assert at_bound(parameter, value) == expected


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random", "grid"])
def test_a_sampler_that_learns_is_judged_in_the_order_it_drew(tmp_path: Path, sampler: str) -> None:
    ledger = write_tuned(tmp_path / "run", {"loss": ["a", "b"]}, seeds=6, trials=8, failing=0, sampler=sampler)
    record = ledger.tuning()
    for search in record["variants"].values():
        for trial, value in zip(search["trials"], [0.5, 0.4, 0.4, 0.2, 0.3, 0.01, 0.3, 0.005], strict=True):
            trial["values"] = [value]
        search |= {"best": 7, "settings": search["trials"][7]["params"]}
    ledger.write_json("tuning.json", record)
    plan = ledger.tuned().plan().to_json()
    for name, search in record["variants"].items():
        plan["variants"][name] = {**ledger.plan().variants[name], **search["settings"]}
    ledger.tuned().write_json("plan.json", plan)
    found = Findings(gather_tuning(ledger))
    said, table = " ".join(tuning_sentences(found)), budget_table(found).iloc[0]
    assert found.tuning.complaints == []
    if sampler in ("tpe", "cmaes"):
        assert "half of the trials, as they were drawn, reached 40 times" in said.lower()  # 0.2 of 0.005
        assert "the first trial drawn that beat the untuned settings was number 6" in said and "expected" not in said
        reached = ["0.500", "0.400", "0.200", "0.00500"]
        assert table[["1 trial", "2 trials", "4 trials", "8 trials"]].tolist() == reached
        assert "(" in table["4 in any order"] and table["trials to beat them"] == 6
    else:
        curve = [interval.estimate for interval in found.budget["loss=a"]]
        assert "would be expected to reach" in said and "as they were drawn" not in said
        assert found.progress["loss=a"] == curve and "4 in any order" not in table
        assert "(" in table["4 trials"] and found.trials_to_beat("loss=a") == next(
            k for k, mean in enumerate(curve, start=1) if mean < found.untuned_objectives["loss=a"]
        )
    assert "the untuned settings are scored over 6 seeds of the study's own, a trial over 4 seeds" in said


def test_a_share_that_is_not_told_is_no_share_of_nothing(small: Ledger) -> None:
    def lacking(record: dict[str, Any]) -> None:
        record["variants"]["loss=a"]["importances"] = {"lr": 0.45, "penalty_weight": 0.55}
        record["variants"]["loss=b"]["importances"] = {"lr": 0.55, "beta1": 0.45, "penalty": 0.0}

    tuning = gather_tuning(change(small, lacking))
    table = {row[0].strip("`"): row[1:] for row in importances_table(tuning).to_numpy().tolist()}
    assert table["penalty_weight"] == ["55 %", "–"] and table["beta1"] == ["–", "45 %"]
    assert table["penalty"] == ["–", "0 %"] and table["batch_size"] == ["–", "–"]
    picture = importances(tuning)
    (ax,) = picture.figure.axes
    shown = [text.get_text() for text in ax.get_yticklabels()]
    # By the means of those that have them: 0.55, 0.5, 0.45 and 0.
    assert shown[:4] == ["penalty_weight", "lr", "beta1", "penalty"]
    widths = [float(bar.get_width()) for bar in ax.patches if isinstance(bar, Rectangle)]
    assert sum(np.isnan(widths)) == 7 and "A parameter without a bar" in picture.caption


def test_a_record_may_know_more_than_the_report(small: Ledger) -> None:
    def started(record: dict[str, Any]) -> None:
        record["tune"]["startup"] = 4
        for search in record["variants"].values():
            search["startup"] = 4

    assert gather_tuning(change(small, started)).complete


def test_flags_stand_in_the_table_and_in_the_answer(found: Findings) -> None:
    table = winners_table(found)
    flagged = int(table.map(lambda cell: "†" in str(cell)).to_numpy().sum())
    assert flagged == len(found.bounds) > 0
    assert any("a wider range may score better" in said for said in tuning_sentences(found))


def test_upside_down_it_is_the_same_study(run: Ledger, found: Findings, tmp_path: Path) -> None:
    turned = Findings(gather_tuning(mirrored(run, tmp_path / "run")))
    plain = Findings(replace(found.tuning, record={**found.tuning.record}))
    plain.tuning.__dict__["log"] = False  # a coverage is compared by differences
    assert not turned.tuning.log and turned.curve == "coverage"
    assert turned.ranking.ranks == plain.ranking.ranks and turned.ranking.outcome == plain.ranking.outcome
    assert turned.ranking.first == (pytest.approx(plain.ranking.first[0]), pytest.approx(plain.ranking.first[1]))
    assert turned.ranking.tau == pytest.approx(plain.ranking.tau)
    for one, other in zip(turned.gains.values(), plain.gains.values(), strict=True):
        assert one.interval.estimate == pytest.approx(-other.interval.estimate) and one.p == other.p
    for one, other in zip(turned.held_out, plain.held_out, strict=True):
        for effect in ("optimism", "splits", "untuned", "learned"):
            own, opposite = getattr(one, effect), getattr(other, effect)
            assert own[:3] == pytest.approx([-opposite.estimate, -opposite.high, -opposite.low], abs=1e-6)
    for grid, own in turned.checkpoints.items():
        assert [c.step for c in own] == [c.step for c in plain.checkpoints[grid]]
    for variant, curve in turned.budget.items():
        assert [i.estimate for i in curve] == pytest.approx([1 - i.estimate for i in plain.budget[variant]])
        assert turned.trials_to_beat(variant) == plain.trials_to_beat(variant)
    said = " ".join(tuning_sentences(turned))
    assert "differ on held-out seeds by −" in said and "improves the scores" in said and "fell" in said


# Tables.


def test_every_trial_is_a_row_with_its_levels_settings_and_scores(found: Findings) -> None:
    table = pd.read_csv(io.StringIO(trials_csv(found.tuning)), keep_default_na=False, na_values=[""])
    assert len(table) == 24 * 4 and set(FACTORS) < set(table)
    assert [f"param/{p['name']}" for p in SPACE] == [c for c in map(str, table) if c.startswith("param/")]
    scores = table[[f"score/{seed}" for seed in found.tuning.record["validation_seeds"]]]
    assert scores.isna().sum(axis=1).equals(table["failed"])
    assert np.allclose(scores.fillna(1.0).mean(axis=1), table["objective"])
    assert (table["param/penalty_weight"].notna() == (table["param/penalty"] == "r1")).all()


def test_failures_of_a_search_are_counted_and_left_out_where_it_was_pruned(found: Findings, tmp_path: Path) -> None:
    table = search_table(found.tuning)
    statuses = [s for search in found.tuning.searches.values() for t in search.trials for s in t.statuses]
    counted = sum(int(cell.split("/")[0]) for cell in table["replicas failed"])
    assert counted == sum(s != "ok" for s in statuses) > 0
    pruned = write_tuned(tmp_path / "run", {"loss": ["a", "b"]}, seeds=3, trials=12, failing=0.2, pruning="diverged")
    assert "replicas failed" not in search_table(gather_tuning(pruned))
    assert "search's replicas" not in tuning_answer(pruned)
    whole = write_tuned(tmp_path / "whole", {"loss": ["a", "b"]}, seeds=3, trials=12, failing=0.2)
    assert "search's replicas" in tuning_answer(whole)


def test_the_front_is_of_both_objectives_with_the_winner_bold(found: Findings) -> None:
    table = front_table(found.tuning)
    assert table["trial"].astype(str).str.startswith("**").sum() == 4
    assert "share of replicas that failed" in table


def test_a_budget_of_one_trial_and_one_seed_has_numbers_and_no_intervals(tmp_path: Path) -> None:
    alone = Findings(gather_tuning(write_tuned(tmp_path / "run", {}, seeds=1, trials=1)))
    assert list(budget_table(alone))[1:2] == ["1 trial"] and importances_table(alone.tuning).empty
    assert "(" not in budget_table(alone)["1 trial"].iloc[0]
    assert "too few for a test" in tuning_sentences(alone)[0]


def test_nothing_that_is_not_retrained_is_compared(tmp_path: Path) -> None:
    ledger = write_tuned(tmp_path / "run", {"loss": ["a", "b"]}, seeds=3, trials=4, retrained=False)
    tuning = gather_tuning(ledger)
    assert tuning.tuned is None and not tuning.complete
    assert "tuned" not in ranking_table(Findings(tuning))
    assert "no winner has been retrained" in tuning_answer(ledger)
