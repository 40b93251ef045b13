"""Intervals and tests of many runs, each held against what it stands for: the resampling, or the exact test."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.stats import intervals, paired
from reports.stats.delta_method import MANY
from reports.stats.intervals import Interval, iqm_interval, probability_of_improvement
from reports.stats.paired import signed_rank

RUNS = MANY + 100
WITHIN = 0.06  # of the interval's width: limits of 2,000 resamples are that uncertain


def agree(one: Interval, other: Interval) -> bool:
    """Whether two intervals have the same estimate, and limits that lie within the error of resampling."""
    width = other.high - other.low
    near = abs(one.low - other.low) < WITHIN * width and abs(one.high - other.high) < WITHIN * width
    return near and one.estimate == pytest.approx(other.estimate, rel=1e-12)


def resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "MANY", 10**9)


@pytest.fixture
def scores() -> NDArray[np.float64]:
    """Skewed scores with a tenth of failures, shape [runs]."""
    values = np.random.default_rng(0).lognormal(sigma=0.8, size=RUNS)
    values[::10] = np.nan
    return values


def test_the_interval_of_many_runs_is_that_of_resampling(
    scores: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    strata = [scores[:1500], scores[1500:] + 1]
    normal = [iqm_interval([scores]), iqm_interval(strata)]
    resampled(monkeypatch)
    other = [iqm_interval([scores]), iqm_interval(strata)]
    assert [found.method for found in normal] == ["normal"] * 2 and [found.method for found in other] != ["normal"] * 2
    assert all(map(agree, normal, other))


def test_the_interval_of_many_clusters_is_that_of_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    shared = random.normal(size=(RUNS, 1)) + 0.3 * random.normal(size=(RUNS, 3))
    clusters = [own[: 2 + i % 2] for i, own in enumerate(shared)]
    normal, alone = iqm_interval(clusters, clustered=True), iqm_interval([np.concatenate(clusters)])
    resampled(monkeypatch)
    assert normal.method == "normal" and agree(normal, iqm_interval(clusters, clustered=True))
    assert normal.high - normal.low > 1.3 * (alone.high - alone.low)  # what is shared counts once


@pytest.mark.parametrize(("failed", "method"), [(0.1, "normal"), (0.24, "percentile"), (0.6, "percentile")])
def test_failures_near_the_middle_half_are_resampled(failed: float, method: str) -> None:
    values = np.random.default_rng(2).normal(size=RUNS)
    values[: int(failed * RUNS)] = np.nan
    found = iqm_interval([values])
    assert found.method == method
    assert np.isinf(found.high) == (failed > 0.2) and np.isfinite(found.low) == (failed < 0.5)


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_the_improvement_of_many_runs_is_that_of_resampling(
    is_paired: bool, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "MANY", 700)  # the table that is resampled has as many entries as pairs of runs
    random = np.random.default_rng(3)
    one = np.round(random.normal(size=(800, 2)), 1)  # with ties
    other = np.round(0.7 * one + random.normal(0.1, 1, size=(800, 2)), 1)
    one[::20], other[::30] = np.nan, np.nan
    normal = probability_of_improvement(one, other, direction, paired=is_paired)
    resampled(monkeypatch)
    assert normal.method == "normal" and agree(
        normal, probability_of_improvement(one, other, direction, paired=is_paired)
    )


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1])
def test_the_test_of_many_pairs_is_the_exact_one(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = np.round(np.random.default_rng(4).normal(shift, 1, size=paired.EXACT + 50), 1)  # with ties and zeros
    gaps[:5] = np.inf
    many = signed_rank(gaps)
    monkeypatch.setattr(paired, "EXACT", 10**9)
    exact = signed_rank(gaps)
    assert many.effect == exact.effect and many.p == pytest.approx(exact.p, rel=0.02)
    assert exact.p > 1e-4  # or this held nothing
