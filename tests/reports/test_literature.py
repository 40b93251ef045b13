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
    return table_of(study(ledger, [one], **others)).iloc[0]


def table_of(evidence: Evidence) -> pd.DataFrame:
    table = literature.comparison(evidence)
    assert table is not None
    return table


def ours(ledger: Ledger, level: str = "non_saturating", quantity: str = QUANTITY) -> np.ndarray:
    results = gathered(ledger).results
    return np.sort(results.loc[(results["loss"] == level) & (results["status"] == "ok"), quantity].to_numpy(float))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, make_ledger) -> Ledger:
    return make_ledger(tmp_path_factory.mktemp("published") / "runs", FACTORS, 6, 0.0)


def test_a_study_without_figures_has_no_table(ledger):
    assert literature.comparison(study(ledger, [])) is None


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


@pytest.mark.parametrize(
    ("seeds", "failing", "verdict", "shown"),
    [
        (3, 1.0, "not comparable: no finished replica", "3 of 3 diverged; `loss=non_saturating`"),
        (1, 0.0, "not comparable: one seed gives no range", "1 seed; `loss=non_saturating`"),
    ],
)
def test_too_few_replicas_are_compared_with_nothing(tmp_path, make_ledger, seeds, failing, verdict, shown):
    row = row_of(make_ledger(tmp_path / "runs", FACTORS, seeds, failing), figure(0.5))
    assert row["verdict"] == verdict and row["ours"].endswith(shown) and " to " not in row["ours"]


def test_diverged_replicas_are_counted_not_dropped_in_silence(tmp_path, make_ledger):
    ledger = make_ledger(tmp_path / "runs", FACTORS, 12, 0.4)
    finished = len(ours(ledger))
    assert 1 < finished < 12
    row = row_of(ledger, figure(0.5, quantity="loss_generator_last"))
    assert row["seeds"] == finished and f"; {12 - finished} of 12 diverged" in row["ours"]


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


def by_epoch(evidence: Evidence, epochs: int) -> Evidence:
    """Epoch k of the replica in place i has the loss 10 k + i / 100, its rows out of order."""
    rows = [
        (replica, 97 * k, f"epoch/loss/{player}", 10 * k + i / 100 + (5 if player == "generator" else 0))
        for i, replica in enumerate(evidence.results["replica"])
        for k in range(epochs, 0, -1)
        for player in ("discriminator", "generator")
    ]
    table = pd.DataFrame(rows, columns=pd.Index(HISTORY))
    return replace(evidence, ledger=WithCurves(evidence.ledger.directory, table))


@pytest.mark.parametrize(
    ("quantity", "offset"), [("loss_discriminator_epoch", 0), ("loss_generator", 5), ("epoch/loss/generator", 5)]
)
def test_a_figure_of_an_epoch_is_held_against_that_epochs_mean(ledger, quantity, offset):
    one = figure(30.015 + offset, quantity=quantity, at_epoch=3)
    table = table_of(by_epoch(study(ledger, [one]), 5))
    assert table["verdict"][0] == "within" and table["where it falls"][0] == "2 of 6 seeds lie below"
    assert f"({30 + offset:.2f} to {30.05 + offset:.2f}), 6 seeds" in table["ours"][0]


@pytest.mark.parametrize(
    ("one", "epochs", "why"),
    [
        ({"at_epoch": 45}, 2, "it is of epoch 45, and 2 are recorded"),
        ({"at_epoch": 45}, 0, "it is of epoch 45, and 0 are recorded"),
        ({"at_epoch": 1, "quantity": "ks"}, 2, "`ks` is not measured by epoch"),
    ],
)
def test_an_epoch_that_was_not_recorded_is_said(ledger, one, epochs, why):
    assert table_of(by_epoch(study(ledger, [figure(0.3, **one)]), epochs))["verdict"][0] == f"not comparable: {why}"


def test_the_caption_gives_the_probability_for_the_seeds_there_are(ledger):
    table = table_of(study(ledger, [figure(0.5), figure(0.5, steps=9)]))
    assert literature.caption(table).endswith(": 71 % for 6.")  # 5 / 7
    spread = table_of(study(ledger, [figure(0.5, spread=0.1)]))
    assert spread["published"][0] == "0.5 ± 0.1" and "mean of several runs" in literature.caption(spread)


SHORT = figure(1, steps=3000)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ([None], "the published figure lies within the range of our seeds"),
        ([None] * 2, "both published figures lie within the range of our seeds"),
        ([None] * 3, "all 3 published figures lie within the range of our seeds"),
        ([figure(99.0)] * 2, "none of the 2 published figures lie"),
        ([figure(99.0)], "the published figure lies outside the range of our seeds ("),
        ([SHORT], "the published figure is not comparable: 1,500 of 3,000 steps"),
        ([SHORT] * 2, "none of the 2 published figures is comparable: 1,500 of 3,000 steps"),
        (
            [None, SHORT, figure(99.0, label="far")],
            "1 of the 3 published figures lies within the range of our seeds, 1 lies outside (far: 99 ",
        ),
    ],
)
def test_the_words_count_what_is_within_outside_and_not_comparable(ledger, figures, words):
    middle = figure(float(ours(ledger)[1:3].mean()))
    said = literature.verdict_words(table_of(study(ledger, [one or middle for one in figures])))
    assert said.startswith(words) and said.endswith("1 is not comparable") == (len(figures) == 3 and SHORT in figures)
