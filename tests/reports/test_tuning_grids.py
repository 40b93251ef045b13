"""Grids that do not belong together, and variants that the search found nothing for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.ledger.ledger import Ledger
from reports.pages.tuning import both_grids
from reports.stats.ranking import compare_rankings
from reports.tuning.answer import tuning_sentences
from reports.tuning.effects import Findings
from reports.tuning.evidence import gather_tuning
from reports.tuning.tables import checkpoints_table, held_table, ranking_table

from .tuned import write_tuned

TWO = {"loss": ["a", "b"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return write_tuned(tmp_path_factory.mktemp("made") / "run", TWO, seeds=6, trials=4)


@pytest.fixture
def small(made: Ledger, tmp_path: Path) -> Ledger:
    """A copy, which a test may change."""
    return Ledger(Path(shutil.copytree(made.directory, tmp_path / "run")))


def change(ledger: Ledger, edit: Callable[[dict[str, Any]], object]) -> None:
    plan = ledger.plan().to_json()
    edit(plan)
    ledger.write_json("plan.json", plan)


def test_grids_that_belong_together_raise_no_complaint(small: Ledger) -> None:
    tuning = gather_tuning(small)
    assert tuning.complaints == [] and tuning.compared == tuning.variants and tuning.complete


def test_a_whole_number_may_stand_for_a_float_and_a_tuple_for_a_list(small: Ledger) -> None:
    record = small.tuning()
    for name, search in record["variants"].items():
        search["settings"]["penalty_weight"] = 2
        search["settings"]["generator_hidden"] = [16, 16]
        change(
            small.tuned(),
            lambda plan, name=name: plan["variants"][name].update(penalty_weight=2.0, generator_hidden=[16, 16]),
        )
    small.write_json("tuning.json", record)
    assert gather_tuning(small).complaints == []


@pytest.mark.parametrize(
    ("key", "value"), [("target", {"name": "digits"}), ("steps", 3), ("scoring", {"evaluations": 9})]
)
def test_a_tuned_grid_of_another_study_is_left_out(small: Ledger, key: str, value: Any) -> None:
    change(small.tuned(), lambda plan: plan["study"].update({key: value}))
    tuning = gather_tuning(small)
    (said,) = tuning.complaints
    assert tuning.tuned is None and not tuning.complete
    assert f"its `{key}` is {json.dumps(value)} and that of the untuned grid" in said


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda own: own.update(lr=0.5), "trained with `lr` 0.5, where its winner has"),
        (lambda own: own.update(loss="a"), 'trained with `loss` "a", where the untuned grid has "b"'),
        (lambda own: own.update(extra=1), "trained with `extra` 1, where the untuned grid has null"),
    ],
)
def test_a_variant_of_other_settings_is_left_out_and_named(
    small: Ledger, edit: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(small.tuned(), lambda plan: edit(plan["variants"]["loss=b"]))
    tuning = gather_tuning(small)
    (complaint,) = tuning.complaints
    assert complaint.startswith("`tuned/`: loss=b: ") and said in complaint and "left out" in complaint
    assert tuning.tuned is not None and set(tuning.tuned.results["variant"]) == {"loss=a"} == set(tuning.compared)
    assert not tuning.complete and len(both_grids(tuning)) == 12 + 6
    headline = tuning_sentences(Findings(tuning))[0]
    assert "over 1 of 2 variants it" in headline and headline.startswith("So far")


def test_a_winner_that_the_search_found_since_is_seen(small: Ledger) -> None:
    record = small.tuning()
    search = record["variants"]["loss=a"]
    other = next(trial for trial in search["trials"] if trial["number"] != search["best"])
    search |= {"best": other["number"], "settings": other["params"]}
    small.write_json("tuning.json", record)
    (said,) = gather_tuning(small).complaints
    assert said.startswith("`tuned/`: loss=a: trained with `")


def test_variants_that_only_one_grid_has_are_named(small: Ledger) -> None:
    def rename(plan: dict[str, Any]) -> None:
        for part in ("variants", "levels"):
            plan[part]["loss=c"] = plan[part].pop("loss=b")
        for replica in plan["replicas"]:
            replica["variant"] = replica["variant"].replace("=b", "=c")

    change(small.tuned(), rename)
    tuning = gather_tuning(small)
    assert tuning.complaints == [
        "`tuned/`: loss=c: the untuned grid has no such variant, so it is left out.",
        "`tuned/`: loss=b: not in its plan.",
    ]
    assert np.isnan(tuning.paired()[1][:, 1]).all()


# Variants without a complete trial.


@pytest.fixture(scope="module")
def unwon(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    directory = tmp_path_factory.mktemp("unwon") / "run"
    ledger = write_tuned(
        directory, {"loss": ["a", "b", "c"]}, trials=6, pruning="diverged", hopeless=lambda own: own["loss"] == "b"
    )
    return Findings(gather_tuning(ledger))


def test_a_variant_without_a_complete_trial_is_named_and_not_called_tuned(unwon: Findings) -> None:
    assert unwon.tuning.unwon == ["loss=b"] and unwon.tuning.complete
    headline, *said = tuning_sentences(unwon)
    assert "tuning 2 of 3 variants with the same 6 trials" in headline and "over 2 of 3 variants it" in headline
    assert "all variants" not in " ".join([headline, *said]) and "each variant" not in headline
    assert any("o trial of b was seen to its end: it keeps its untuned settings" in text for text in said)
    assert any(text.startswith("Over 2 of 3 variants, the winners") for text in said)


def test_what_is_said_over_variants_leaves_it_out(unwon: Findings) -> None:
    before, after = unwon.tuning.paired()[:, :, [0, 2]]
    ratios = np.log(after / before).mean(axis=1)
    assert np.log(unwon.gain.interval.estimate) == pytest.approx(np.sort(ratios)[2:-2].mean())  # of 8 the middle 4
    assert unwon.gains["loss=b"].pairs == 0 and np.isnan(unwon.gains["loss=b"].p_holm)
    assert [c.variant for c in unwon.checkpoints["tuned"]] == ["loss=a", "loss=c"]
    assert len(unwon.checkpoints["untuned"]) == 3 and len(checkpoints_table(unwon)) == 5
    assert held_table(unwon)["variant"].tolist() == ["a", "c", "*2 of 3 variants*"]
    table = ranking_table(unwon).set_index("variant")
    assert table.loc["b (not tuned)", "tuned against untuned (ratio)"] == "–" != table.loc["a"].iloc[-2]


@pytest.mark.parametrize("losses", [["a"], ["a", "b"]])
def test_where_nothing_was_tuned_nothing_is_said_to_be(tmp_path: Path, losses: list[str]) -> None:
    ledger = write_tuned(
        tmp_path / "run", {"loss": losses}, seeds=6, trials=4, pruning="diverged", hopeless=lambda _: True
    )
    found = Findings(gather_tuning(ledger))
    said = tuning_sentences(found)
    assert "nothing was tuned: no trial of the search was seen to its end" in said[0]
    assert "improves" not in " ".join(said) and found.held_out == [] and found.gain.pairs == 0


def test_a_grid_that_lacks_a_variant_has_no_ranking_to_compare(small: Ledger) -> None:
    change(small.tuned(), lambda plan: plan["variants"]["loss=b"].update(lr=0.5))
    tuning = gather_tuning(small)
    before, after = tuning.paired()
    assert compare_rankings(before, after, tuning.variants, direction="lower", log=True).outcome == "unknown"
