from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.ledger.ledger import HISTORY, Ledger
from reports.ledger.records import PlannedStudy
from reports.study import literature
from reports.study.evidence import Evidence, gather

FACTORS = {"loss": ["non_saturating", "saturating"]}
QUANTITY = "loss_discriminator_last"
gathered = functools.cache(gather)  # no test changes a ledger


class WithCurves(Ledger):
    """A ledger whose history is the table given."""

    def __init__(self, directory: Path, table: pd.DataFrame) -> None:
        super().__init__(directory)
        self.table = table

    def history(self, metrics: list[str] | None = None) -> pd.DataFrame:
        return self.table if metrics is None else self.table[self.table["metric"].isin(metrics)]


def figure(value: float, **others: Any) -> dict[str, Any]:
    row = {"quantity": QUANTITY, "label": "D's loss", "value": value, "spread": None, "at_epoch": None, "steps": 1500}
    return row | {"protocol": "last step", "source": "a notebook", "not_comparable": ""} | others


def study(ledger: Ledger, figures: list[dict[str, Any]], **others: Any) -> Evidence:
    """What was gathered, under a plan that holds these figures."""
    evidence = gathered(ledger)
    changes = {"published": figures, "reference": {"loss": "non_saturating"}, "overrides": {}} | others
    planned = PlannedStudy.model_validate({**evidence.study.to_json(), **changes})
    return replace(evidence, plan=evidence.plan.model_copy(update={"study": planned}))


def row_of(ledger: Ledger, one: dict[str, Any], **others: Any) -> pd.Series:
    table = literature.comparison(study(ledger, [one], **others), ledger)
    assert table is not None and len(table) == 1
    return table.iloc[0]


def ours(ledger: Ledger, level: str = "non_saturating", quantity: str = QUANTITY) -> np.ndarray:
    results = gathered(ledger).results
    return np.sort(results.loc[(results["loss"] == level) & (results["status"] == "ok"), quantity].to_numpy(float))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, make_ledger) -> Ledger:
    return make_ledger(tmp_path_factory.mktemp("published") / "runs", FACTORS, 6, 0.0)


def test_a_study_without_figures_has_no_table(ledger):
    assert literature.comparison(study(ledger, []), ledger) is None


def test_a_value_between_two_seeds_is_within_and_its_place_is_counted(ledger):
    values = ours(ledger)
    row = row_of(ledger, figure(values[1:3].mean()))
    assert row["verdict"] == "within" and row["seeds"] == 6
    assert row["where it falls"] == "2 of 6 seeds lie below"
    assert (
        f"{np.median(values):#.4g} ({values[0]:#.4g} to {values[-1]:#.4g}), 6 seeds; `loss=non_saturating`"
        == row["ours"]
    )


def test_the_range_includes_its_ends_and_nothing_beyond(ledger):
    values = ours(ledger)
    at_end = row_of(ledger, figure(float(values[-1])))
    assert at_end["verdict"] == "within" and at_end["where it falls"] == "5 of 6 seeds lie below, 1 equal"
    assert row_of(ledger, figure(float(np.nextafter(values[-1], 9))))["verdict"] == "outside"
    assert row_of(ledger, figure(float(values[0]) - 0.1))["where it falls"] == "0 of 6 seeds lie below"


def test_only_the_figures_own_variant_stands_beside_it(ledger):
    other = row_of(ledger, figure(0.5, variant_levels={"loss": "saturating"}))
    assert f"{np.median(ours(ledger, 'saturating')):#.4g}" in other["ours"] and other["seeds"] == 6
    unknown = row_of(ledger, figure(0.5, variant_levels={"loss": "hinge"}))
    assert unknown["verdict"] == "not comparable: no variant has `loss` hinge"
    nowhere = row_of(ledger, figure(0.5), reference={})
    assert nowhere["verdict"] == "not comparable: it is of one system, and 2 variants fit"


def test_diverged_replicas_are_counted_not_dropped_in_silence(tmp_path, make_ledger):
    ledger = make_ledger(tmp_path / "runs", FACTORS, 12, 0.4)
    finished = len(ours(ledger))
    assert 1 < finished < 12
    row = row_of(ledger, figure(0.5, quantity="loss_generator_last"))
    assert row["seeds"] == finished and f"; {12 - finished} of 12 diverged" in row["ours"]


def test_without_a_finished_replica_nothing_is_compared(tmp_path, make_ledger):
    row = row_of(make_ledger(tmp_path / "runs", FACTORS, 3, 1.0), figure(0.5))
    assert (
        row["verdict"] == "not comparable: no finished replica"
        and row["ours"] == "3 of 3 diverged; `loss=non_saturating`"
    )


def test_one_seed_gives_no_range(tmp_path, make_ledger):
    row = row_of(make_ledger(tmp_path / "runs", FACTORS, 1, 0.0), figure(0.5))
    assert row["verdict"] == "not comparable: one seed gives no range"
    assert "1 seed;" in row["ours"] and " to " not in row["ours"]


@pytest.mark.parametrize(
    ("one", "others", "why"),
    [
        ({"steps": 23450}, {}, "1,500 of 23,450 steps"),
        ({"steps": 100}, {}, "1,500 steps, not 100"),
        ({}, {"overrides": {"batch_size": 32}}, "this scale changes batch_size"),
        ({"not_comparable": "other features"}, {}, "other features"),
        ({"not_comparable": "other features", "steps": 9000}, {}, "other features; 1,500 of 9,000 steps"),
        ({"quantity": "fid_10k"}, {}, "`fid_10k` is not measured here"),
    ],
)
def test_another_protocol_is_not_comparable_and_says_why(ledger, one, others, why):
    row = row_of(ledger, figure(0.5, **one), **others)
    assert row["verdict"] == f"not comparable: {why}" and row["where it falls"] == "–"


def by_epoch(evidence: Evidence, epochs: int) -> pd.DataFrame:
    """Epoch k of the replica in place i has the loss 10 k + i / 100, its rows out of order."""
    rows = [
        (replica, 97 * k, f"epoch/loss/{player}", 10 * k + i / 100 + (5 if player == "generator" else 0))
        for i, replica in enumerate(evidence.results["replica"])
        for k in range(epochs, 0, -1)
        for player in ("discriminator", "generator")
    ]
    return pd.DataFrame(rows, columns=pd.Index(HISTORY))


@pytest.mark.parametrize(
    ("quantity", "offset"), [("loss_discriminator_epoch", 0), ("loss_generator", 5), ("epoch/loss/generator", 5)]
)
def test_a_figure_of_an_epoch_is_held_against_that_epochs_mean(ledger, quantity, offset):
    evidence = study(ledger, [figure(30.015 + offset, quantity=quantity, at_epoch=3)])
    table = literature.comparison(evidence, WithCurves(ledger.directory, by_epoch(evidence, 5)))
    assert table is not None
    assert table["verdict"][0] == "within" and table["where it falls"][0] == "2 of 6 seeds lie below"
    assert f"({30 + offset:.2f} to {30.05 + offset:.2f}), 6 seeds" in table["ours"][0]


def test_an_epoch_that_was_not_reached_is_said(ledger):
    evidence = study(ledger, [figure(0.3, at_epoch=45), figure(0.3, quantity="ks", at_epoch=1)])
    table = literature.comparison(evidence, WithCurves(ledger.directory, by_epoch(evidence, 2)))
    assert table is not None
    assert table["verdict"][0] == "not comparable: it is of epoch 45, and 2 are recorded"
    assert table["verdict"][1] == "not comparable: `ks` is not measured by epoch"
    silent = literature.comparison(evidence, WithCurves(ledger.directory, by_epoch(evidence, 0)))
    assert silent is not None and silent["verdict"][0].endswith("and 0 are recorded")


@pytest.mark.parametrize("seeds", [2, 5, 24])
def test_a_new_run_falls_inside_the_range_as_often_as_the_caption_says(seeds):
    draws = np.random.default_rng(3).exponential(size=(40_000, seeds + 1))
    own, new = draws[:, 1:], draws[:, 0]
    share = ((own.min(axis=1) <= new) & (new <= own.max(axis=1))).mean()
    assert share == pytest.approx(literature.inside(seeds), abs=4 * np.sqrt(0.25 / 40_000))
    assert literature.inside(0) == literature.inside(1) == 0


def test_the_caption_gives_the_probability_for_the_seeds_there_are(ledger):
    table = literature.comparison(study(ledger, [figure(0.5), figure(0.5, steps=9)]), ledger)
    assert table is not None
    assert literature.caption(table).endswith(": 71 % for 6.")  # 5 / 7
    spread = literature.comparison(study(ledger, [figure(0.5, spread=0.1)]), ledger)
    assert spread is not None
    assert spread["published"][0] == "0.5 ± 0.1" and "mean of several runs" in literature.caption(spread)


def test_the_words_count_what_is_within_outside_and_not_comparable(ledger):
    middle = float(ours(ledger)[1:3].mean())
    table = literature.comparison(
        study(ledger, [figure(middle), figure(99.0, label="far"), figure(1, steps=9)]), ledger
    )
    assert table is not None
    words = literature.verdict_words(table)
    assert words.startswith("1 of the 3 published figures lies within the range of our seeds, 1 lies outside (far: 99 ")
    assert words.endswith("1 is not comparable")
    cases = {
        "the published figure lies within the range of our seeds": [figure(middle)],
        "both published figures lie within the range of our seeds": [figure(middle)] * 2,
        "all 3 published figures lie within the range of our seeds": [figure(middle)] * 3,
        "none of the 2 published figures lie": [figure(99.0)] * 2,
        "the published figure lies outside the range of our seeds (": [figure(99.0)],
    }
    for words, figures in cases.items():
        table = literature.comparison(study(ledger, figures), ledger)
        assert table is not None and literature.verdict_words(table).startswith(words)


def test_the_words_give_the_reason_when_nothing_is_comparable(ledger):
    one = literature.comparison(study(ledger, [figure(1, steps=3000)]), ledger)
    two = literature.comparison(study(ledger, [figure(1, steps=3000)] * 2), ledger)
    assert one is not None and two is not None
    assert literature.verdict_words(one) == "the published figure is not comparable: 1,500 of 3,000 steps"
    assert literature.verdict_words(two) == "none of the 2 published figures is comparable: 1,500 of 3,000 steps"
