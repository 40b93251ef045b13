"""Two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gan.errors import InputError
from reports.ledger.ledger import Ledger
from reports.stats import intervals
from reports.study.compare import compare, paired, render

Make = Callable[..., Ledger]


def rewrite(ledger: Ledger, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    for path in (ledger.directory / "cohorts").glob("*.parquet"):
        change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_a_run_equals_itself_bit_for_bit(gaussian) -> None:
    compared = compare(gaussian.directory, gaussian.directory)
    assert compared["bits"]["equal"] == compared["bits"]["replicas"] == 120 and compared["bits"]["differing"] == []
    assert compared["settings"] == [] and compared["only_a"] == compared["only_b"] == []
    for row in compared["variants"]:
        assert row["a"] == row["b"] and row["difference"]["estimate"] == 1 and row["difference"]["equal"] == 10
        assert row["difference"]["p"] == 1
    text = render(compared)
    assert "with their 95 % bootstrap intervals" in text
    assert "All 120 replicas that are in both have the same results, bit for bit." in text
    assert "No setting differs." in text
    json.dumps(compared)


def test_intervals_of_thousands_of_runs_are_not_called_bootstrapped(small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "MANY", 2)
    assert "with their 95 % normal intervals" in render(compare(small.directory, small.directory))


def test_one_bit_is_a_difference(small, copy_of: Make) -> None:
    other = copy_of(small)
    victim = other.plan().replicas[0]

    def flip(rows: pd.DataFrame) -> pd.DataFrame:
        here = rows["replica"] == victim.id
        return rows.assign(loss_generator=rows["loss_generator"].mask(here, np.nextafter(rows["loss_generator"], 9)))

    rewrite(other, flip)
    bits = compare(small.directory, other.directory)["bits"]
    assert bits["equal"] == 5 and bits["differing"] == [{"variant": victim.variant, "seed": victim.seed}]
    # How long it took is no result.
    rewrite(other, lambda rows: rows.assign(train_seconds=1e9))
    assert compare(small.directory, other.directory)["bits"]["equal"] == 5


def test_the_difference_is_paired_by_seed(gaussian, copy_of: Make) -> None:
    other = copy_of(gaussian)
    rewrite(other, lambda rows: rows.assign(ks=rows["ks"] * np.exp(0.5 + rows["seed"] / 1000)))
    compared = compare(gaussian.directory, other.directory)
    for row in compared["variants"]:
        difference = row["difference"]
        # Seeds differ by far more than this; paired they agree.
        assert difference["low"] < difference["estimate"] == pytest.approx(np.exp(0.5045)) and difference["low"] > 1.64
        assert difference["p"] == pytest.approx(stats.wilcoxon(np.arange(1, 11))[1])
        assert difference["p_holm"] == pytest.approx(12 * difference["p"])
    assert "ratio of b to a" in render(compared) and "1.66 (1.6" in render(compared)


def test_variants_and_seeds_of_one_run_alone_are_not_compared(make_ledger: Make, tmp_path: Path) -> None:
    losses: dict[str, list[Any]] = {"loss": ["non_saturating", "saturating"]}
    one = make_ledger(tmp_path / "one", factors=losses, seeds=5, failing=0.0)
    other = make_ledger(tmp_path / "two", factors={"loss": ["saturating", "wasserstein"]}, seeds=3, failing=0.0)
    compared = compare(one.directory, str(other.directory))
    (row,) = compared["variants"]
    assert row["variant"] == "loss=saturating" and row["difference"]["pairs"] == 3
    assert (row["a"]["seeds"], row["b"]["seeds"]) == (5, 3)
    assert compared["only_a"] == ["loss=non_saturating"] and compared["only_b"] == ["loss=wasserstein"]
    assert {"setting": "seeds", "a": "5", "b": "3"} in compared["settings"]
    text = render(compared)
    assert "Only in a: loss=non_saturating." in text and "Only in b: loss=wasserstein." in text


def test_settings_that_differ_are_named(small, copy_of: Make) -> None:
    def change(plan: dict[str, Any]) -> None:
        plan["study"]["steps"] = 99
        plan["study"]["target"]["std"] = 4.0
        plan["study"]["report"]["notes"] = "prose is no setting"
        plan["variants"]["loss=saturating"]["lr"] = 1e-3
        plan["variants"]["loss=saturating"]["generator_hidden"] = [64]

    found = {
        row["setting"]: (row["a"], row["b"])
        for row in compare(small.directory, copy_of(small, change).directory)["settings"]
    }
    assert found == {
        "steps": ("1500", "99"),
        "target.std": ("2", "4"),
        "variant.lr (in 1 of 2 variants)": ("0.0007", "0.001"),
        "variant.generator_hidden (in 1 of 2 variants)": ("(32, 32)", "(64)"),
    }


def test_a_failed_side_is_the_worse_one(digits, copy_of: Make) -> None:
    other = copy_of(digits)
    rewrite(other, lambda rows: rows.assign(status="ok", fid_500=rows["fid_500"].fillna(1.0)))
    compared = compare(digits.directory, other.directory)
    worst = next(r for r in compared["variants"] if r["a"]["failures"] > 5)
    assert worst["difference"]["estimate"] == 0 and worst["b"]["failures"] == 0
    # Strict JSON has no infinity, and a table has.
    back = compare(other.directory, digits.directory)
    assert next(r for r in back["variants"] if r["b"]["failures"] > 5)["difference"]["estimate"] == "inf"
    json.dumps([compared, back], allow_nan=False)
    text = render(compared)
    assert "nan" not in text and "failed in a" in text and "∞" in render(back)


def test_one_seed_gives_no_interval_and_no_p(make_ledger: Make, tmp_path: Path) -> None:
    one = make_ledger(tmp_path / "one", factors={}, seeds=1, failing=0.0)
    compared = compare(one.directory, one.directory)
    (row,) = compared["variants"]
    assert row["difference"]["low"] is None and row["difference"]["pairs"] == 1
    # A single pair's signed-rank p is 1 whatever it is: that is no test.
    assert row["difference"]["p"] is None and row["difference"]["p_holm"] is None
    json.dumps(compared, allow_nan=False)
    assert "nan" not in render(compared) and "the one variant" in render(compared)


def test_runs_without_a_common_score_are_refused(small, digits) -> None:
    with pytest.raises(InputError, match="no score in common"):
        compare(small.directory, digits.directory)


def test_pairs_by_hand() -> None:
    a, b = np.array([1.0, np.nan, 2.0, np.nan]), np.array([2.0, 3.0, np.nan, np.nan])
    assert paired(a, b, True, "lower")[:3].tolist() == [np.log(2), -np.inf, np.inf]
    assert paired(a, b, False, "higher")[:3].tolist() == [1.0, np.inf, -np.inf]
    assert np.isnan(paired(a, b, True, "lower")[3])
