from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.stats.contrasts import Contrast, contrasts, shares
from reports.stats.intervals import iqm, iqm_interval, probability_of_improvement
from reports.stats.paired import holm

TWO = {"norm": ("off", "on"), "rate": ("1", "2")}
TWO_REFERENCE = {"norm": "off", "rate": "1"}
THREE = {"norm": ("off", "on"), "loss": ("ns", "sat"), "rate": ("1", "2", "4")}
THREE_REFERENCE = {"norm": "off", "loss": "ns", "rate": "2"}


def by_name(found: list[Contrast]) -> dict[str, Contrast]:
    return {contrast.name: contrast for contrast in found}


def noise(seeds: int, *levels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, *levels))


def test_a_grid_of_two_by_two_by_hand() -> None:
    # Scores of seeds 1 to 6: off/1, off/2, on/1, on/2. The seeds differ by far more than the levels.
    seeds = 100.0 * np.arange(6)
    step = 0.1 * np.arange(6)
    grid = np.array([[s, s + 1, s + 4, s + 7 + 2 * t] for s, t in zip(seeds, step, strict=True)]).reshape(6, 2, 2)
    found = by_name(contrasts(grid, TWO, TWO_REFERENCE))
    # norm: (4 + 7 + 2 step) / 2 - 1 / 2 = 5 + step. rate: (1 + 7 + 2 step) / 2 - 4 / 2 = 2 + step.
    # Interaction: (7 + 2 step - 4) - (1 - 0) = 2 + 2 step. The middle four of six steps average 0.25.
    estimates = {name: contrast.interval.estimate for name, contrast in found.items()}
    assert estimates == pytest.approx(
        {"norm on against off": 5.25, "rate 2 against 1": 2.25, "norm on against off × rate 2 against 1": 2.5}
    )
    for contrast in found.values():
        assert (contrast.pairs, contrast.p, contrast.effect) == (6, 2 / 64, 1)
        assert contrast.p_holm == pytest.approx(6 / 64) and not contrast.resolved  # three tests of 2/64 each
        assert contrast.interval.low < contrast.interval.estimate < contrast.interval.high


def test_the_family_is_every_main_effect_and_two_way_interaction() -> None:
    found = contrasts(noise(8, 2, 2, 3), THREE, THREE_REFERENCE)
    assert [(c.kind, c.factors, c.levels, c.against) for c in found] == [
        ("main", ("norm",), ("on",), ("off",)),
        ("main", ("loss",), ("sat",), ("ns",)),
        ("main", ("rate",), ("1",), ("2",)),
        ("main", ("rate",), ("4",), ("2",)),
        ("interaction", ("norm", "loss"), ("on", "sat"), ("off", "ns")),
        ("interaction", ("norm", "rate"), ("on", "1"), ("off", "2")),
        ("interaction", ("norm", "rate"), ("on", "4"), ("off", "2")),
        ("interaction", ("loss", "rate"), ("sat", "1"), ("ns", "2")),
        ("interaction", ("loss", "rate"), ("sat", "4"), ("ns", "2")),
    ]
    np.testing.assert_allclose([c.p_holm for c in found], holm([c.p for c in found]))
    assert [c.improvement is None for c in found] == [c.kind == "interaction" for c in found]


def test_a_contrast_is_the_statistics_of_averages() -> None:
    grid = noise(12, 2, 3)
    contrast = contrasts(grid, {"a": ("1", "2"), "b": ("1", "2", "3")}, {"a": "1", "b": "1"})[0]
    difference = grid[:, 1].mean(axis=1) - grid[:, 0].mean(axis=1)
    assert contrast.interval[:3] == pytest.approx(iqm_interval([difference], None)[:3], rel=1e-2)
    assert contrast.p == pytest.approx(np.array(stats.wilcoxon(difference))[1])
    assert contrast.improvement == probability_of_improvement(grid[:, 1], grid[:, 0], paired=True)


def test_an_additive_grid_has_no_interaction_and_rounding_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    seed, norm, loss, rate = rng.normal(size=(20, 1, 1, 1)), rng.normal(size=2), rng.normal(size=2), rng.normal(size=3)
    grid = 1000 * (seed + norm[:, None, None] + loss[:, None] + rate)
    for log in (False, True):
        for contrast in contrasts(np.exp(grid / 1000) if log else grid, THREE, THREE_REFERENCE, log=log):
            if contrast.kind == "interaction":
                assert contrast.p == contrast.p_holm == 1 and contrast.effect == 0
                assert contrast.interval == (*[1.0 if log else 0.0] * 3, "percentile")
            else:
                assert contrast.p == pytest.approx(2**-19) and contrast.resolved and abs(contrast.effect) == 1


def test_on_a_log_score_a_contrast_is_a_ratio_of_geometric_means() -> None:
    rng = np.random.default_rng(0)
    grid = rng.lognormal(size=(10, 2, 2)) * np.array([[1, 1], [3, 3]])
    contrast = contrasts(grid, TWO, TWO_REFERENCE, log=True)[0]
    ratios = np.sqrt(grid[:, 1].prod(axis=1) / grid[:, 0].prod(axis=1))
    assert contrast.ratio and contrast.interval.estimate == pytest.approx(np.exp(iqm(np.log(ratios), None)))
    assert 0 < contrast.interval.low < contrast.interval.estimate < contrast.interval.high
    scaled = contrasts(7 * grid, TWO, TWO_REFERENCE, log=True)[0]
    assert scaled.interval[:3] == pytest.approx(contrast.interval[:3], rel=1e-2)
    with pytest.raises(ValueError, match="positive"):
        contrasts(grid - grid.min(), TWO, TWO_REFERENCE, log=True)


def test_signs_follow_the_score_and_improvement_the_direction() -> None:
    grid = noise(12, 2, 2) + np.array([[0, 0], [5, 5]])
    lower, higher = (contrasts(grid, TWO, TWO_REFERENCE, direction=d)[0] for d in ("lower", "higher"))
    assert lower.interval == higher.interval and lower.interval.estimate > 0
    assert lower.effect == higher.effect == 1
    assert lower.improvement and lower.improvement.estimate < 0.01
    assert higher.improvement and higher.improvement.estimate > 0.99
    mirrored = contrasts(-grid, TWO, TWO_REFERENCE, direction="higher")[0]
    assert mirrored.interval.estimate == pytest.approx(-lower.interval.estimate)
    assert (mirrored.effect, mirrored.p) == (-1, lower.p)


def test_the_order_of_seeds_levels_and_factors_does_not_matter() -> None:
    grid = noise(12, 2, 2, 3)
    grid[3, 1, 1, 2], grid[5, 0, 1, 1], grid[6, 1, 0, 0] = np.inf, np.inf, np.nan
    found = by_name(contrasts(grid, THREE, THREE_REFERENCE))
    levels = THREE | {"rate": ("4", "1", "2")}
    reordered = by_name(contrasts(grid[::-1][..., [2, 0, 1]], levels, THREE_REFERENCE))
    factors = {name: THREE[name] for name in ("rate", "norm", "loss")}
    turned = by_name(contrasts(np.moveaxis(grid, 3, 1), factors, THREE_REFERENCE))
    assert found.keys() == reordered.keys()
    for name, contrast in found.items():
        other = reordered[name]
        assert (other.interval, other.pairs, other.effect) == (contrast.interval, contrast.pairs, contrast.effect)
        assert (other.p, other.p_holm) == (contrast.p, contrast.p_holm)
        if contrast.improvement and other.improvement:
            assert other.improvement.estimate == pytest.approx(contrast.improvement.estimate)
    assert sorted(c.p for c in turned.values()) == sorted(c.p for c in found.values())


def test_a_failed_replica_is_worst_whatever_its_sign() -> None:
    grid = noise(8, 2, 2)
    failed = grid.copy()
    failed[:7, 1, 0] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lower = contrasts(failed, TWO, TWO_REFERENCE)
        higher = contrasts(failed, TWO, TWO_REFERENCE, direction="higher")
        ratio = contrasts(np.exp(failed), TWO, TWO_REFERENCE, log=True)
        fall = contrasts(np.exp(failed), TWO, TWO_REFERENCE, log=True, direction="higher")
    assert lower[0].interval.estimate == np.inf and higher[0].interval.estimate == -np.inf
    assert lower[0].interval.high == np.inf and lower[0].interval.method == "percentile"
    assert ratio[0].interval.estimate == np.inf and fall[0].interval.estimate == 0
    assert lower[0].effect > 0 > higher[0].effect
    assert lower[0].improvement and lower[0].improvement.estimate < 0.5
    # rate 2 against 1: the failed side is now the reference's.
    assert lower[1].interval.estimate == -np.inf
    for one, other in zip(
        contrasts(-failed, TWO, TWO_REFERENCE),
        contrasts(np.where(np.isinf(failed), np.inf, -failed), TWO, TWO_REFERENCE),
        strict=True,
    ):
        assert one == other


def test_where_both_sides_fail_there_is_no_difference() -> None:
    grid = noise(10, 2, 2)
    grid[:, 1] += 100
    partly, level = grid.copy(), grid.copy()
    partly[:4] = np.inf
    contrast = contrasts(partly, TWO, TWO_REFERENCE)[0]
    assert contrast.pairs == 10 and contrast.p == pytest.approx(2 / 2**6)
    assert contrast.effect == pytest.approx((55 - 10) / 55)
    # A level that always fails hides no other factor.
    level[:, :, 1] = np.inf
    norm, loss = contrasts(level, TWO, TWO_REFERENCE)[:2]
    assert norm.interval.estimate == pytest.approx(100, abs=2) and norm.resolved
    assert np.isinf(loss.interval.estimate) and loss.resolved


def test_a_missing_replica_leaves_out_its_seed_where_it_is_needed() -> None:
    factors, reference = {"rate": ("1", "2", "4")}, {"rate": "1"}
    grid = noise(10, 3)
    grid[:4, 2] = np.nan
    found = by_name(contrasts(grid, factors, reference))
    assert found["rate 2 against 1"].pairs == 10 and found["rate 4 against 1"].pairs == 6
    expected = by_name(contrasts(grid[4:], factors, reference))["rate 4 against 1"]
    assert found["rate 4 against 1"].interval == expected.interval
    assert found["rate 4 against 1"].improvement == expected.improvement
    # A replica that failed is not missing.
    grid[:4, 2] = np.inf
    assert [c.pairs for c in contrasts(grid, factors, reference)] == [10, 10]


@pytest.mark.parametrize("complete", [0, 1])
def test_fewer_than_two_complete_seeds_resolve_nothing(complete: int) -> None:
    grid = noise(5, 2, 2)
    grid[complete:, 1, 1] = np.nan
    for contrast in contrasts(grid, TWO, TWO_REFERENCE):
        assert contrast.pairs == complete and contrast.interval.method == "none"
        assert math.isnan(contrast.p) and math.isnan(contrast.p_holm) and math.isnan(contrast.effect)
        assert contrast.resolved is False
        assert math.isnan(contrast.interval.low) and math.isnan(contrast.interval.estimate) == (complete == 0)


@pytest.mark.parametrize("score", [0.3, np.inf])
def test_constant_and_failed_scores_have_no_contrasts(score: float) -> None:
    for contrast in contrasts(np.full((6, 2, 2), score), TWO, TWO_REFERENCE):
        assert (contrast.interval[:3], contrast.p, contrast.effect) == ((0, 0, 0), 1, 0)


def test_factors_of_one_level_and_grids_that_do_not_fit() -> None:
    found = contrasts(noise(6, 1, 2), {"norm": ("on",), "rate": ("1", "2")}, {"rate": "1"})
    assert [c.name for c in found] == ["rate 2 against 1"]
    with pytest.raises(ValueError, match=r"\[seeds, 2, 2\]"):
        contrasts(noise(6, 2, 3), TWO, TWO_REFERENCE)
    with pytest.raises(ValueError, match="reference level of rate"):
        contrasts(noise(6, 2, 2), TWO, {"norm": "off", "rate": "3"})


# Shares of variance.


def test_shares_by_hand() -> None:
    # Scores 0, 2, 4, 10 about their mean 4. Sums of squares: rows 1 and 7, 36; columns 2 and 6, 16; the rest of 56, 4.
    grid = np.array([[[0.0, 2.0], [4.0, 10.0]]])
    found = shares(grid, TWO)
    assert found == pytest.approx({"norm": 36 / 56, "rate": 16 / 56, "norm × rate": 4 / 56, "rest": 0})
    again = np.concatenate([grid, grid, grid])
    assert shares(again, TWO) == pytest.approx(found)


@given(st.integers(0, 1000), st.booleans())
def test_shares_sum_to_one_and_are_an_analysis_of_variance(seed: int, log: bool) -> None:
    grid = np.exp(noise(6, 2, 2, 3, seed=seed))
    found = shares(grid, THREE, log=log)
    assert sum(found.values()) == pytest.approx(1) and min(found.values()) >= 0
    scores = np.log(grid) if log else grid
    means = scores.mean(axis=(0, 1, 2))
    assert found["rate"] == pytest.approx(means.var() / scores.var())
    f = stats.f_oneway(*scores.reshape(-1, 3).T).statistic
    assert found["rate"] / (1 - found["rate"]) == pytest.approx(f * 2 / (scores.size - 3))


def test_shares_of_constant_scores_are_zero_and_a_failure_has_none() -> None:
    grid = np.full((5, 2, 2, 3), 0.1)
    assert set(shares(grid, THREE).values()) == {0}
    for bad in (np.inf, np.nan):
        grid[0, 0, 0, 0] = bad
        with pytest.raises(ValueError, match="finite"):
            shares(grid, THREE)
