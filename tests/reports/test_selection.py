"""Selection and report apart, and best and last checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from reports.stats.intervals import iqm
from reports.stats.resampling import seed_interval
from reports.study.evidence import Evidence
from reports.tuning.answer import tuning_sentences
from reports.tuning.effects import Findings
from reports.tuning.evidence import Tuning, gather_tuning
from reports.tuning.selection import (
    POOLED,
    checkpoint_table,
    checkpoints,
    curve_of_objective,
    held_out,
    splits_of,
    tuning_curve,
)
from reports.tuning.tables import held_table

from .made import GAUSSIAN
from .tuned import Levels, write_tuned


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    def lost(stage: str, levels: Levels) -> float:
        return 0.3 if (stage, levels["loss"]) == ("tuned", "saturating") else 0.0

    return gather_tuning(write_tuned(tmp_path_factory.mktemp("selection") / "run", seeds=10, trials=8, lost=lost))


def test_selection_is_what_the_search_saw_and_the_rest_is_held_out(tuning: Tuning) -> None:
    *each, pooled = held_out(tuning)
    assert [h.variant for h in each] == tuning.variants and pooled.variant == POOLED
    for held in each:
        trial = tuning.searches[held.variant].winner
        assert trial is not None and held.selected == trial.values[0]
        assert tuning.tuned is not None
        own = tuning.tuned.of(held.variant)
        for column, interval in (("validation/ks", held.validation), ("ks", held.test)):
            assert interval.estimate == pytest.approx(own[column].fillna(1.0).mean())  # 1: what a failed one counts
            assert interval.low < interval.estimate < interval.high
        assert held.optimism.estimate == pytest.approx(held.validation.estimate / held.selected)
        assert held.splits.estimate == pytest.approx(held.test.estimate / held.validation.estimate)
        before = tuning.untuned.of(held.variant)
        alone = before["ks"].mean() / before["validation/ks"].mean()
        assert held.untuned.estimate == pytest.approx(alone)
        assert held.learned.estimate == pytest.approx(held.splits.estimate / alone)
    logs = [np.log(h.optimism.estimate) for h in each]
    assert np.log(pooled.optimism.estimate) == pytest.approx(np.mean(logs))
    assert np.log(pooled.learned.estimate) == pytest.approx(np.mean([np.log(h.learned.estimate) for h in each]))


def test_winners_score_worse_on_seeds_that_did_not_choose_them(tuning: Tuning) -> None:
    pooled = held_out(tuning)[-1]
    assert pooled.optimism.low > 1  # the made winners do
    assert pooled.splits.low < 1 < pooled.splits.high  # and the made test data are like the validation data


def test_what_the_splits_differ_by_for_everybody_is_not_what_the_selection_learned(tmp_path: Path) -> None:
    for name, tuned in (("same", 1.3), ("learned", 1.3 * 1.15)):
        factor = {"tuned": tuned}
        ledger = write_tuned(
            tmp_path / name,
            {"loss": ["a", "b"]},
            seeds=12,
            trials=4,
            split=lambda stage, factor=factor: factor.get(stage, 1.3),
        )
        pooled = held_out(gather_tuning(ledger))[-1]
        assert pooled.splits.low > 1.2 and pooled.untuned.estimate == pytest.approx(1.3, rel=0.03)
        assert pooled.splits.estimate == pytest.approx(tuned, rel=0.03)
        assert pooled.learned.estimate == pytest.approx(tuned / 1.3, rel=0.03)
        assert (pooled.learned.low > 1) == (name == "learned")


def test_without_validation_scores_of_the_untuned_what_was_learned_is_not_told(tuning: Tuning) -> None:
    bare = replace(tuning.untuned, results=tuning.untuned.results.drop(columns="validation/ks"))
    for held in held_out(replace(tuning, untuned=bare)):
        assert np.isnan(held.untuned.estimate) and np.isnan(held.learned.estimate) and held.splits.estimate > 0
    said = " ".join(tuning_sentences(Findings(replace(tuning, untuned=bare))))
    assert "not known for the untuned settings" in said and "nan" not in said


@pytest.mark.parametrize(
    ("target", "other", "told"),
    [
        (GAUSSIAN, "latents", "nothing here speaks of data"),
        ({"name": "digits"}, "images", "a set of their own"),
        ({"name": "mnist"}, "images", "last 10,000 of train"),
        ({"name": "fashion_mnist"}, "images", "last 10,000 of train"),
    ],
)
def test_what_the_splits_are_is_told_by_the_kind_of_target(
    tuning: Tuning, target: dict[str, Any], other: str, told: str
) -> None:
    study = tuning.untuned.study.model_copy(update={"target": target})
    plan = tuning.untuned.plan.model_copy(update={"study": study})
    moved = replace(tuning, untuned=replace(tuning.untuned, plan=plan))
    found = Findings(moved)
    assert splits_of(moved).other == other and told in splits_of(moved).told
    assert any(f"test over validation {other}" in said for said in tuning_sentences(found))
    assert "test against validation " + other + ", winners" in held_table(found)


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_no_replica_counts_as_worse_than_a_failed_one(tuning: Tuning, direction: str) -> None:
    tune = {**tuning.tune, "direction": direction, "failed": 0.5}
    own = replace(tuning, record={**tuning.record, "tune": tune})
    found = own.aggregated(np.array([0.1, 0.9, np.nan]))
    assert found == pytest.approx(np.mean([0.1, 0.5, 0.5] if direction == "lower" else [0.5, 0.9, 0.5]))


def test_held_out_and_untuned_objectives_are_clamped_as_the_searchs(tuning: Tuning) -> None:
    variant = tuning.variants[0]
    tight = replace(tuning, record={**tuning.record, "tune": {**tuning.tune, "failed": 1e-3}})  # below every score
    assert Findings(tight).untuned_objectives[variant] == pytest.approx(1e-3)
    held = held_out(tight)[0]
    assert held.validation.estimate == pytest.approx(1e-3) == held.test.estimate


def test_without_validation_columns_or_a_tuned_grid_there_is_nothing_to_compare(tuning: Tuning) -> None:
    assert tuning.tuned is not None
    bare = replace(tuning.tuned, results=tuning.tuned.results.drop(columns="validation/ks"))
    assert held_out(replace(tuning, tuned=bare)) == [] == held_out(replace(tuning, tuned=None))


def test_an_interval_of_paired_replicas_is_narrower_than_their_own_spread() -> None:
    def average(tables: NDArray[np.float64]) -> NDArray[np.float64]:
        return tables.mean(axis=1)

    common = np.random.default_rng(0).normal(size=40)
    table = np.stack([common, common + 1], axis=1)
    gap = seed_interval(table, lambda t: t[..., 1].mean(axis=1) - t[..., 0].mean(axis=1))
    assert gap.low == pytest.approx(1) == gap.high
    mean = seed_interval(table[:, 0], average)
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * common.std() / np.sqrt(40), rel=0.2)
    assert np.isnan(seed_interval(table[:1, 0], average).low) and np.isnan(
        seed_interval(table[:0, 0], average).estimate
    )


@pytest.mark.parametrize(
    ("score", "curves", "expected"),
    [
        ("ks", ["ks"], "ks"),
        ("fid_10k", ["fid_2k", "mode_kl"], "fid_2k"),
        ("jsd_100k", ["jsd_10k", "jsd_100k"], "jsd_100k"),
        ("mode_kl", ["modes", "mode_coverage", "mode"], None),
        ("mode_kl", ["mode_10k", "mode_kl_2k"], None),
        ("fid_500", ["fid", "fid_score", "fid_2k"], "fid_2k"),
        ("fid_10k", ["modes"], None),
    ],
)
def test_the_curve_of_an_objective_is_itself_or_its_kin(score: str, curves: list[str], expected: str | None) -> None:
    metrics = {f"{side}/{name}" for side in ("score", "validation") for name in curves}
    assert curve_of_objective(score, metrics) == expected
    assert curve_of_objective(score, {m for m in metrics if m.startswith("score/")}) is None


def test_the_best_checkpoint_is_chosen_on_validation_and_read_on_test(tuning: Tuning) -> None:
    assert tuning_curve(tuning) == "ks"
    evidence = tuning.untuned
    table = checkpoint_table(evidence, "ks", "lower")
    history = evidence.ledger.history()
    assert table[["variant", "seed"]].equals(evidence.results[["variant", "seed"]])
    for replica, found in zip(evidence.results["replica"], table.to_dict("records"), strict=True):
        own = history[history["replica"] == replica].pivot(index="step", columns="metric", values="value")
        test, validation = own["score/ks"], own["validation/ks"]
        assert found["step"] == validation.idxmin() and found["best"] == test[validation.idxmin()]
        assert found["last"] == test.iloc[-1]


def test_a_failed_replica_keeps_its_best_checkpoint_and_loses_its_last(tuning: Tuning) -> None:
    assert tuning.tuned is not None
    failed = tuning.tuned.results["status"] != "ok"
    table = checkpoint_table(tuning.tuned, "ks", "lower")
    assert failed.any() and table["last"].isna().sum() == failed.sum() and table["best"].notna().all()
    found = {c.variant: c for c in checkpoints(tuning, tuning.tuned, "ks")}
    assert sum(c.failures for c in found.values()) == failed.sum()
    for variant, own in table.groupby("variant"):
        both = own.dropna()
        assert found[str(variant)].gain.pairs == len(both)
        ratios = np.log(both["best"] / both["last"])
        assert np.log(found[str(variant)].gain.interval.estimate) == pytest.approx(iqm(ratios, None))


def test_a_lost_history_is_no_failed_checkpoint(tuning: Tuning) -> None:
    gone = set(tuning.untuned.results["replica"].head(10))

    class Lossy(type(tuning.untuned.ledger)):
        def history(self, metrics: list[str] | None = None) -> pd.DataFrame:
            rows = super().history(metrics)
            return rows[~rows["replica"].isin(gone)]

    reader = Lossy(tuning.untuned.ledger.directory)
    evidence: Evidence = replace(tuning.untuned, ledger=reader)
    assert len(checkpoint_table(evidence, "ks", "lower")) == len(evidence.results) - len(gone)


def test_checkpoints_of_replicas_that_all_failed_have_no_gain(tmp_path) -> None:
    lost = gather_tuning(write_tuned(tmp_path / "run", {"loss": ["a", "b"]}, seeds=3, trials=2, lost=lambda *_: 1.0))
    for own in checkpoints(lost, lost.untuned, "ks"):
        assert own.gain.pairs == 0 and np.isinf(own.last.estimate) and np.isfinite(own.best.estimate)
