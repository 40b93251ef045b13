"""The expected best of some of the trials, against all subsets there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reports.tuning.budget import best_so_far, expected_best_limits, subset_weights


def expected_best(values, direction: str = "lower") -> np.ndarray:
    return np.array([interval.estimate for interval in expected_best_limits(values, direction, resamples=2)])


VALUES = np.random.default_rng(5).lognormal(size=8)


@pytest.mark.parametrize(("direction", "best"), [("lower", min), ("higher", max)])
@pytest.mark.parametrize(
    "values", [VALUES, np.array([1.0, 1.0, 0.2, 1.0]), np.array([3.0])], ids=["plain", "ties", "one"]
)
def test_expected_best_is_the_mean_over_all_subsets(values: np.ndarray, direction: str, best) -> None:
    found = expected_best(values, direction)
    for k in range(1, len(values) + 1):
        assert found[k - 1] == pytest.approx(np.mean([best(s) for s in itertools.combinations(values, k)]))


@pytest.mark.parametrize(("direction", "sign"), [("lower", -1), ("higher", 1)])
def test_more_trials_never_make_it_worse_and_all_of_them_reach_the_best(direction: str, sign: int) -> None:
    found = expected_best(VALUES, direction)
    assert (sign * np.diff(found) > 0).all()
    assert found[0] == pytest.approx(VALUES.mean())
    assert found[-1] == (VALUES.min() if direction == "lower" else VALUES.max())


def test_the_order_of_the_trials_does_not_matter_but_to_the_best_so_far() -> None:
    shuffled = np.random.default_rng(1).permutation(VALUES)
    assert (expected_best(VALUES) == expected_best(shuffled)).all()
    assert expected_best_limits(VALUES) == expected_best_limits(shuffled)
    assert (best_so_far([3, 1, 2, 0.5]) == [3, 1, 1, 0.5]).all()
    assert (best_so_far([3, 1, 2, 5], "higher") == [3, 3, 3, 5]).all()


def test_equal_trials_give_their_value_exactly_and_weights_are_those_of_a_mean() -> None:
    assert (expected_best(np.full(24, 0.1)) == 0.1).all()
    assert subset_weights(200).sum(axis=1) == pytest.approx(1)


def test_intervals_hold_the_estimate_and_widen_with_the_spread() -> None:
    narrow, wide = (expected_best_limits(1 + spread * VALUES) for spread in (0.1, 1.0))
    for intervals in (narrow, wide):
        assert all(i.low <= i.estimate <= i.high for i in intervals)
    assert all(w.high - w.low > n.high - n.low for w, n in zip(wide, narrow, strict=True))
    # At one trial it is the interval of a mean, which chance decides as the central limit theorem says.
    many = expected_best_limits(np.random.default_rng(0).normal(size=400))[0]
    assert many.high - many.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_one_trial_has_no_interval_and_an_infinite_objective_is_refused() -> None:
    (alone,) = expected_best_limits([0.3])
    assert alone.estimate == 0.3 and np.isnan(alone.low)
    assert expected_best_limits([]) == []
    with pytest.raises(ValueError, match="finite"):
        expected_best([0.3, np.inf])
