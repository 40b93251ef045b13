from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from reports.stats import intervals
from reports.stats.intervals import (
    bands,
    iqm,
    iqm_interval,
    passes,
    probability_of_improvement,
    ranked_quantiles,
    survival,
)
from reports.stats.paired import holm, seeds_needed, signed_rank, smallest_p, variance_parts
from reports.stats.rates import performance_profile, profile_band, wilson, wilson_limits

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


@pytest.mark.parametrize(
    ("values", "direction", "median"),
    [
        ([0.1, math.nan, math.nan], "lower", math.inf),
        ([0.1, math.nan, math.nan], "higher", -math.inf),
        ([0.1, 0.2, math.nan, math.nan], "lower", math.inf),  # between a finished and a failed run there is no number
        ([0.1, 0.2, 0.3, math.nan, math.nan], "lower", 0.3),
        ([0.4], "lower", 0.4),
        ([], "lower", math.nan),
    ],
)
def test_a_median_on_a_failed_run_is_infinite_towards_the_bad_end(
    values: list[float], direction: str, median: float
) -> None:
    np.testing.assert_equal(ranked_quantiles(values, [0.5], direction)[0], median)


def test_a_threshold_is_met_on_the_good_side_and_never_by_a_failed_run() -> None:
    values = [0.1, 0.2, np.nan]
    assert passes(values, 0.1, "lower").tolist() == [True, False, False]
    assert passes(values, 0.2, "higher").tolist() == [False, True, False]


# The interquartile mean and its interval.


@given(runs)
def test_iqm_of_finite_runs_is_scipys_trimmed_mean(values: np.ndarray) -> None:
    expected = stats.trim_mean(values, 0.25)
    assert iqm(values, "lower") == iqm(values, "higher") == pytest.approx(expected, rel=1e-9, abs=1e-6)


SIX = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("values", "direction", "mean"),
    [
        ([0, 10, 20, 30, 40, 50, 60, 1e9], "lower", 35),  # (20 + 30 + 40 + 50) / 4
        ([1, 2, 9], "lower", 4),  # a quarter of three runs, rounded down, is none
        ([7], "lower", 7),
        ([], "lower", math.nan),
        # A failed run is worst.
        ([*SIX, math.nan, math.nan], "lower", 4.5),
        ([*SIX, math.nan, -math.inf], "higher", 2.5),
        ([*SIX, math.nan, math.inf, math.nan], "lower", math.inf),
        ([*SIX, math.nan, math.nan, math.nan], "higher", -math.inf),
        # Of differences an infinity keeps its sign, and where both sides failed there is none.
        ([-math.inf, 1.0, 3.0, math.inf], None, 2),
        ([-math.inf, math.nan, math.nan, 3.0], None, 0),
        ([-math.inf, -math.inf, -math.inf, 1.0], None, -math.inf),
        ([-math.inf, -math.inf, math.inf, math.inf], None, math.nan),
    ],
)
def test_iqm_by_hand(values: list[float], direction: str | None, mean: float) -> None:
    np.testing.assert_equal(iqm(values, direction), mean)


def test_the_interval_is_scipys_bca() -> None:
    scores = np.sort(np.random.default_rng(1).lognormal(size=20))
    found = iqm_interval([scores], resamples=500, seed=3)
    expected = stats.bootstrap(
        [scores], lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), n_resamples=500, rng=np.random.default_rng(3)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.method == "BCa" and found.low < found.estimate < found.high
    assert found.estimate == iqm(scores)


def test_the_interval_scales_with_the_scores_and_ignores_their_order() -> None:
    scores = np.random.default_rng(0).normal(size=12)
    one = iqm_interval([scores])
    other = iqm_interval([10 + 3 * scores[::-1]])
    # Rounding decides whether a resample equals the estimate, which moves the limits a little.
    assert other[:3] == pytest.approx([10 + 3 * value for value in one[:3]], rel=1e-3)
    assert iqm_interval([scores[::-1]]) == one
    assert iqm_interval([scores], confidence=0.5).high < one.high
    assert iqm_interval([scores], seed=1) != one == iqm_interval([scores])


def test_strata_take_their_difference_out_of_the_interval() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(0, 1, 12), rng.normal(100, 1, 12)
    stratified, pooled = iqm_interval([low, high]), iqm_interval([np.concatenate([low, high])])
    assert stratified.estimate == pooled.estimate
    assert stratified.high - stratified.low < 0.1 * (pooled.high - pooled.low)
    # A stratum of one run beside larger ones cannot be resampled: all are then resampled together, not held fixed.
    single = iqm_interval([[1.0, 2.0], [3.0], [4.0]])
    assert single.low < 2.5 < single.high
    # Where there are only such nothing was repeated: four variants of one run each say nothing of chance.
    single = iqm_interval([[1.0], [2.0], [3.0], [4.0]])
    assert single.estimate == 2.5 and single.method == "none" and math.isnan(single.low) and math.isnan(single.high)
    assert iqm_interval([low, []]) == iqm_interval([low])


def test_a_pure_seed_effect_widens_the_interval_of_clusters() -> None:
    rng = np.random.default_rng(0)
    own, shared = rng.normal(size=(12, 6)), rng.normal(size=(12, 1))  # [seeds, variants]

    def width(scores: np.ndarray, clustered: bool) -> float:
        found = iqm_interval(list(scores if clustered else scores.T), clustered=clustered)
        assert found.estimate == iqm(scores) and found.method == "BCa"
        return found.high - found.low

    independent = [width(own, clustered) for clustered in (True, False)]
    assert independent[0] == pytest.approx(independent[1], rel=0.4)
    by_seed = np.repeat(shared, 6, axis=1) + 1e-3 * own
    # Six variants that say the same are no more runs: sqrt(6) times as wide as if they were.
    assert width(by_seed, True) > 2 * width(by_seed, False)
    one = iqm_interval([shared.ravel()])
    assert width(by_seed, True) == pytest.approx(one.high - one.low, rel=0.25)


def test_clusters_of_one_run_are_runs_and_one_cluster_has_no_interval() -> None:
    scores = np.random.default_rng(3).normal(size=10)
    assert iqm_interval([[s] for s in scores], clustered=True) == iqm_interval([scores])
    assert iqm_interval([scores], clustered=True).method == "none"
    assert iqm_interval([[1.0], [2.0]], clustered=True).method != "none"
    assert iqm_interval([], clustered=True).method == iqm_interval([[0.3]], clustered=True).method == "none"
    # Clusters need not be of one size, and a failed run ranks last in its own.
    uneven = iqm_interval([[1.0, 2.0, 3.0], [2.0, 4.0], [5.0]], clustered=True)
    assert uneven.low < uneven.estimate == iqm([1, 2, 3, 2, 4, 5]) < uneven.high
    failed = iqm_interval([[1.0, 2.0], [1.5, 2.5], [1.2, np.nan], [np.nan, np.nan]], clustered=True)
    assert failed.high == np.inf and failed.method == "percentile"


def test_constant_scores_and_single_runs() -> None:
    assert iqm_interval([[2.0] * 8]) == (2, 2, 2, "percentile")
    assert iqm_interval([[2.0] * 4, [2.0] * 4]) == (2, 2, 2, "percentile")
    one = iqm_interval([[0.3]])
    assert one.estimate == 0.3 and math.isnan(one.low) and math.isnan(one.high) and one.method == "none"
    assert iqm_interval([[np.nan]]).estimate == np.inf
    assert iqm_interval([]).method == iqm_interval([[]]).method == "none"


def test_failed_runs_reach_a_limit_before_they_reach_the_estimate() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = iqm_interval([[*range(1, 9), np.nan, np.nan]])
        assert some.method == "percentile" and math.isfinite(some.estimate)
        assert math.isfinite(some.low) and some.high == np.inf
        higher = iqm_interval([[*range(1, 9), np.nan, np.nan]], "higher")
        assert higher.low == -np.inf and math.isfinite(higher.high)
        assert iqm_interval([[np.nan] * 5])[:3] == (np.inf, np.inf, np.inf)
        both = iqm_interval([[-np.inf] * 4 + [np.inf] * 4], None)
        assert math.isnan(both.estimate) and both[1:3] == (-np.inf, np.inf)


# Groups of runs.


@given(runs, runs)
def test_improvement_is_the_mann_whitney_statistic(one: np.ndarray, other: np.ndarray) -> None:
    one, other = np.round(one / 1e5), np.round(other / 1e5)  # rounded, so that there are ties
    greater = stats.mannwhitneyu(one, other, method="asymptotic").statistic / (one.size * other.size)
    assert probability_of_improvement(one, other, "higher", resamples=2).estimate == pytest.approx(greater)
    assert probability_of_improvement(one, other, "lower", resamples=2).estimate == pytest.approx(1 - greater)


def test_improvement_interval_agrees_with_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 15), rng.normal(0.5, 1, 20)
    found = probability_of_improvement(one, other, resamples=4000)
    plain = stats.bootstrap(
        [one, other],
        lambda a, b, axis: (a[..., :, None] < b[..., None, :]).mean(axis=(-2, -1)),
        method="percentile",
        n_resamples=4000,
        rng=rng,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.02)
    assert found.low < found.estimate < found.high and found.method == "percentile"


@pytest.mark.parametrize(
    ("one", "other", "direction", "expected"),
    [
        ([1.0, 2.0], [math.nan, math.nan], "lower", (1, 1, 1, "percentile")),
        ([math.nan, math.nan], [math.inf, math.nan], "higher", (0.5, 0.5, 0.5, "percentile")),
        ([3.0, 3.0], [3.0, 3.0], "lower", (0.5, 0.5, 0.5, "percentile")),
        ([1.0], [2.0], "lower", (1, math.nan, math.nan, "none")),
        ([], [1.0], "lower", (math.nan, math.nan, math.nan, "none")),
    ],
)
def test_improvement_with_failures_ties_and_single_runs(
    one: list[float], other: list[float], direction: str, expected: tuple[float, float, float, str]
) -> None:
    np.testing.assert_equal(tuple(probability_of_improvement(one, other, direction)), expected)


def test_improvement_compares_within_settings() -> None:
    # The second setting is 100 higher for both: runs of different settings are never compared.
    one, other = np.array([[1.0, 101.0], [2.0, 102.0]]), np.array([[3.0, 103.0], [4.0, 104.0]])
    assert probability_of_improvement(one, other).estimate == 1
    assert probability_of_improvement(one.ravel(), other.ravel()).estimate == 0.75


def test_pairing_takes_the_seeds_out_of_the_improvement() -> None:
    seeds = np.random.default_rng(0).normal(size=30)
    apart = probability_of_improvement(seeds, seeds + 0.1)
    paired = probability_of_improvement(seeds, seeds + 0.1, paired=True)
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)
    with pytest.raises(ValueError, match="as many runs"):
        probability_of_improvement([1.0, 2.0], [1.0], paired=True)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("many", [False, True])
def test_the_improvement_of_paired_runs_covers_the_truth(
    correlation: float, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of different seeds are independent, however alike those of one seed are."""
    monkeypatch.setattr(intervals, "MANY", 0 if many else 10**6)
    rng, shift, covered = np.random.default_rng(5), 0.3, 0
    truth = stats.norm.cdf(shift / math.sqrt(2))
    for _ in range(300):
        one, other = rng.multivariate_normal([0, shift], [[1, correlation], [correlation, 1]], size=16).T
        found = probability_of_improvement(one, other, paired=True, resamples=500)
        assert found.low <= found.estimate <= found.high
        covered += found.low <= truth <= found.high
    assert covered >= 0.9 * 300


def test_a_profile_is_the_share_that_reaches_each_threshold() -> None:
    values = [0.1, 0.2, 0.2, 0.4, np.nan]
    assert performance_profile(values, [0.05, 0.1, 0.2, 1.0]).tolist() == [0, 0.2, 0.6, 0.8]
    assert performance_profile(values, [0.05, 0.2, 1.0], "higher").tolist() == [0.8, 0.6, 0]
    assert np.isnan(performance_profile([], [0.1])).all()
    low, high = profile_band(values, [0.05, 0.2])
    assert (low[1], high[1]) == wilson(3, 5) and (low[0], high[0]) == wilson(0, 5)
    assert profile_band([], [0.1]).tolist() == [[0], [1]]


# Survival.


def test_survival_by_hand() -> None:
    # At risk 6, 5, 3, 1: 5/6, then 5/6 x 4/5, then x 2/3; the run last seen at 8 leaves without an event.
    curve = survival([1, 2, 2, 4, 5, 8], [True, True, False, True, False, False])
    assert curve.times.tolist() == [1, 2, 4, 5, 8]
    assert curve.probability == pytest.approx([5 / 6, 4 / 6, 4 / 9, 4 / 9, 4 / 9])
    # Exponential Greenwood at time 1: variance of log(-log S) is (1/30) / log(5/6)^2.
    half = 1.959964 * math.sqrt(1 / 30) / abs(math.log(5 / 6))
    centre = math.log(-math.log(5 / 6))
    assert curve.low[0] == pytest.approx(math.exp(-math.exp(centre + half)), abs=1e-6)
    assert curve.high[0] == pytest.approx(math.exp(-math.exp(centre - half)), abs=1e-6)


def test_survival_without_events_without_runs_and_of_bad_times() -> None:
    none = survival([100, 100, 100], [False] * 3)
    assert none.times.tolist() == [100] and none.probability.tolist() == [1] and np.isnan(none.low).all()
    every = survival([5, 5], [True, True])
    assert every.probability.tolist() == [0]
    assert survival([], []).times.size == 0
    with pytest.raises(ValueError, match="finite times"):
        survival([1, np.nan], [True, False])


# Two evaluations of each run.


def test_variance_parts_are_those_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 15)) + rng.normal(size=15)
    parts = variance_parts(first, second)
    f = stats.f_oneway(*np.stack([first, second], axis=1)).statistic
    assert (parts.evaluation + 2 * parts.seed) / parts.evaluation == pytest.approx(f)


def test_variance_parts_are_never_negative_and_leave_out_failed_runs() -> None:
    assert variance_parts([1, 2], [2, 1]) == (0, 0.5)  # equal means: all variance is the evaluation's
    assert variance_parts([1, 1, 1], [1, 1, 1]) == (0, 0)
    assert variance_parts([1, 5, 10, np.nan, 3], [3, 5, 12, 1, np.inf]) == variance_parts([1, 5, 10], [3, 5, 12])
    one = variance_parts([1.0], [3.0])
    assert math.isnan(one.seed) and one.evaluation == 2
    assert np.isnan(variance_parts([np.nan], [1.0])).all()


# Paired tests.


@given(arrays(np.float64, st.integers(1, 25), elements=finite, unique=True))
def test_signed_rank_without_ties_is_scipys(differences: np.ndarray) -> None:
    if np.unique(np.abs(differences)).size < differences.size or (differences == 0).any():
        return
    found = signed_rank(differences)
    statistic, p = np.array(stats.wilcoxon(differences, method="exact"), dtype=float)
    assert found.p == pytest.approx(p)
    total = differences.size * (differences.size + 1) / 2
    assert abs(found.effect) == pytest.approx(1 - 2 * statistic / total)
    assert signed_rank(-differences) == pytest.approx((found.p, -found.effect))


@given(arrays(np.int64, st.integers(1, 9), elements=st.integers(-3, 3)))
def test_signed_rank_with_ties_and_zeros_counts_every_sign_pattern(differences: np.ndarray) -> None:
    ranks = stats.rankdata(np.abs(differences)) * (differences != 0)
    signs = 1 - 2 * ((np.arange(2**differences.size)[:, None] >> np.arange(differences.size)) & 1)
    null = (ranks * signs).sum(axis=1)
    observed = (ranks * np.sign(differences)).sum()
    assert signed_rank(differences).p == pytest.approx(np.mean(np.abs(null) >= abs(observed) - 1e-9))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([np.inf, 1, 2, 3, 4, 5], [6, 1, 2, 3, 4, 5]),
        ([-np.inf, 1, 2, 3, 4, 5], [-6, 1, 2, 3, 4, 5]),
        ([np.inf, np.inf, 1], [2, 2, 1]),
        ([np.nan, 1, 2], [0, 1, 2]),
        ([np.nan], [0, 0, 0]),
    ],
)
def test_a_failed_side_ranks_largest_and_two_are_a_tie(one: list[float], other: list[float]) -> None:
    assert signed_rank(one) == signed_rank(other)


def test_signed_rank_by_hand() -> None:
    # Ranks 1, 2, 3, 4, signs - + + +: (9 - 1) / 10. Zeros hold ranks 1 to 3.
    assert signed_rank([-1, 2, 3, 4]).effect == 0.8 and signed_rank([0, 0, 0, 4]).effect == 0.4
    assert signed_rank([0, 0, 0]) == (1, 0) and signed_rank([5.0]) == (1, 1)
    assert np.isnan(signed_rank([])).all()


@given(st.integers(1, 40))
def test_the_smallest_p_is_that_of_pairs_that_agree(pairs: int) -> None:
    assert smallest_p(pairs) == pytest.approx(signed_rank(np.arange(1, pairs + 1)).p)
    assert smallest_p(0) == 1


def test_holm_by_hand_and_without_a_test() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, np.nan, 0.03]) == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)  # two tests, not three
    assert holm([]).size == 0 and np.isnan(holm([np.nan])).all()
    assert holm([0.9, 0.9]).tolist() == [1, 1]


@pytest.mark.parametrize(("effect", "power"), [(0.4, 0.8), (0.5, 0.9), (0.7, 0.8), (1.0, 0.8)])
def test_the_seeds_needed_give_the_power_asked_for(effect: float, power: float) -> None:
    pairs = seeds_needed(2.0, 2.0 * effect, power=power)
    studies = np.random.default_rng(0).normal(effect, 1, (4000, pairs))
    _, p = stats.wilcoxon(studies, axis=1, method="exact")
    found = np.mean(np.asarray(p) <= 0.05)
    assert power - 0.02 < found < power + 0.04


@pytest.mark.parametrize(("spread", "difference", "more"), [(0.01, 1, 3), (1, 1, 1.01), (1, 0.1, 2), (30, 0.01, 1.5)])
def test_more_seeds_for_more_spread_and_smaller_differences(spread: float, difference: float, more: float) -> None:
    pairs = seeds_needed(spread, difference)
    assert seeds_needed(spread * more, difference) >= pairs >= seeds_needed(spread, difference * more)
    assert seeds_needed(spread, -difference) == pairs
    assert seeds_needed(spread, difference, power=0.95) >= pairs <= seeds_needed(spread, difference, alpha=0.005)
    assert smallest_p(pairs) <= 0.05


def test_seeds_needed_has_a_floor_and_refuses_what_has_no_answer() -> None:
    assert seeds_needed(0, 1) == seeds_needed(0.1, 1) == 7
    for spread, difference in ((1, 0), (-1, 1), (1, math.nan), (math.inf, 1)):
        with pytest.raises(ValueError, match="difference other than 0"):
            seeds_needed(spread, difference)


@pytest.mark.parametrize("trials", [1, 2, 7, 160])
def test_wilson_limits_have_scipy_s_bits(trials: int) -> None:
    wanted = [stats.binomtest(k, trials).proportion_ci(0.95, method="wilson") for k in range(trials + 1)]
    limits = wilson_limits(range(trials + 1), trials)
    assert limits.T.tolist() == [[float(interval.low), float(interval.high)] for interval in wanted]
    assert wilson(trials, trials) == tuple(limits[:, trials]) and wilson(0, 0) == (0.0, 1.0)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf, -math.inf]), min_size=1), st.booleans())
def test_a_profile_counts_what_passes(values: list[float], lower: bool) -> None:
    direction, thresholds = "lower" if lower else "higher", [0.1, 0.15, 0.2, 0.3]
    wanted = [passes(values, threshold, direction).mean() for threshold in thresholds]
    assert performance_profile(values, thresholds, direction).tolist() == wanted


@given(arrays(np.float64, (5, 3), elements=st.sampled_from([1.0, 2.5, 2.5, 4.0, math.nan, math.inf])))
def test_bands_are_the_quantiles_of_each_column(curves: np.ndarray) -> None:
    for direction in ("lower", "higher"):
        each = [ranked_quantiles(column, direction=direction) for column in curves.T]
        np.testing.assert_array_equal(bands(curves, direction), np.array(each).T)
    still = [ranked_quantiles(column[np.isfinite(column)]) for column in curves.T]
    np.testing.assert_array_equal(bands(curves), np.array(still).T)
