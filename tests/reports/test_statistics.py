from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reports.statistics import bands, passes, ranked_quantiles, separation, wilson

finite = st.floats(-1e6, 1e6, width=32)
runs = arrays(np.float64, st.integers(1, 30), elements=finite)
levels = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@given(runs, st.sampled_from(["lower", "higher"]))
def test_quantiles_of_finite_runs_are_numpys(values: np.ndarray, direction: str) -> None:
    expected = np.quantile(values, levels)
    np.testing.assert_allclose(ranked_quantiles(values, levels, direction), expected, rtol=1e-9, atol=1e-6)


@given(runs, st.integers(1, 10))
def test_a_failed_run_equals_a_run_worse_than_all_others(values: np.ndarray, failures: int) -> None:
    failed = np.append(values, np.full(failures, np.nan))
    for direction, bad in (("lower", 1e12), ("higher", -1e12)):
        stated = ranked_quantiles(failed, levels, direction)
        as_number = np.quantile(np.append(values, np.full(failures, bad)), levels)
        touched = np.abs(as_number) > 1e7
        np.testing.assert_allclose(stated[~touched], as_number[~touched], rtol=1e-6, atol=1e-3)
        assert np.isinf(stated[touched]).all()


def test_a_median_on_a_failed_run_is_infinite_towards_the_bad_end() -> None:
    assert ranked_quantiles([0.1, np.nan, np.nan], [0.5], "lower")[0] == np.inf
    assert ranked_quantiles([0.1, np.nan, np.nan], [0.5], "higher")[0] == -np.inf
    # Between a finished and a failed run there is no number either.
    assert ranked_quantiles([0.1, 0.2, np.nan, np.nan], [0.5], "lower")[0] == np.inf
    assert ranked_quantiles([0.1, 0.2, 0.3, np.nan, np.nan], [0.5], "lower")[0] == 0.3


def test_one_run_constant_runs_and_no_runs() -> None:
    assert ranked_quantiles([0.4]).tolist() == [0.4, 0.4, 0.4]
    assert ranked_quantiles([2.0, 2.0, 2.0]).tolist() == [2.0, 2.0, 2.0]
    assert np.isnan(ranked_quantiles([])).all()


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_closed_formula(counts: tuple[int, int]) -> None:
    successes, trials = counts
    z, p = 1.959963984540054, successes / trials
    middle = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    assert wilson(successes, trials) == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_wilson_by_hand() -> None:
    # 8 of 10: centre (0.8 + 0.19207) / 1.38415 = 0.71674, half width 0.22662.
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-4)
    assert wilson(0, 10)[0] == 0 and wilson(0, 10)[1] == pytest.approx(0.27753, abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_separation_in_words() -> None:
    low, high = np.linspace(0, 1, 11), np.linspace(10, 11, 11)
    assert separation(low, high) == "clear"
    assert separation(low, low) == "none"
    assert separation(low, low + 0.2) == "none"  # each median inside the other range
    assert separation(low, low + 0.4) == "partial"
    assert separation(low, np.full(11, np.nan)) == "clear"
    assert separation(np.full(4, np.nan), np.full(4, np.nan)) == "none"


def test_a_threshold_is_met_on_the_good_side_and_never_by_a_failed_run() -> None:
    values = [0.1, 0.2, np.nan]
    assert passes(values, 0.1, "lower").tolist() == [True, False, False]
    assert passes(values, 0.2, "higher").tolist() == [False, True, False]


def test_a_stopped_run_ranks_last_in_scores_and_leaves_losses() -> None:
    curves = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, np.nan], [4.0, np.nan], [5.0, np.nan]])
    assert bands(curves, "lower")[1].tolist() == [3.0, np.inf]
    assert bands(curves, None)[1].tolist() == [3.0, 1.5]
