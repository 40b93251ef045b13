"""Rankings before and after: what may be said to have changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reports.stats.ranking import change, compare_rankings, kendall, pairwise, ranks, turned

RNG = np.random.default_rng(2)
NAMES = ["a", "b", "c"]


def scores(*typical: float, seeds: int = 10, noise: float = 0.05) -> np.ndarray:
    return np.array(typical) * np.exp(
        noise * np.random.default_rng(len(typical)).standard_normal((seeds, len(typical)))
    )


def compared(before: np.ndarray, after: np.ndarray, direction: str = "lower"):
    return compare_rankings(before, after, NAMES[: before.shape[1]], direction=direction, log=True)


def test_kendall_is_scipys_on_each_row() -> None:
    one, other = RNG.integers(0, 5, size=(2, 30, 6)).astype(float)
    expected = [stats.kendalltau(a, b)[0] for a, b in zip(one, other, strict=True)]
    assert kendall(one, other) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(kendall(np.array([np.inf, np.inf]), np.array([1.0, 2.0])))


def test_equal_means_share_the_better_rank_and_failed_ones_the_last() -> None:
    assert ranks([0.2, 0.1, 0.2], "lower") == [2, 1, 2]
    assert ranks([0.2, 0.1, 0.3], "higher") == [2, 3, 1]
    assert ranks([np.inf, 0.1, np.inf, np.nan], "lower") == [2, 1, 2, 0]


def test_the_same_scores_are_the_same_ranking() -> None:
    table = scores(1, 2, 3)
    found = compared(table, table)
    assert found.outcome == "same" and found.tau.estimate == 1 == found.tau.low
    assert found.first == ([1, 0, 0], [1, 0, 0]) and not any(pair.reversed for pair in found.pairs)


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_a_resolved_comparison_that_turns_round_is_a_reversal(direction: str) -> None:
    found = compared(scores(1, 2, 3), scores(2, 1, 3), direction)
    assert found.outcome == "reversed"
    assert [pair.reversed for pair in found.pairs] == [True, False, False]
    assert found.pairs[0].change == "**reversed**" and found.pairs[1].change == "holds"
    assert -1 <= found.tau.low <= found.tau.estimate < 1


def test_an_order_that_chance_may_have_changed_is_no_reversal() -> None:
    noisy = scores(1, 1.01, 3, noise=0.4)
    found = compared(noisy, noisy[:, [1, 0, 2]])
    assert found.ranks[0] != found.ranks[1] and found.outcome == "unresolved"
    assert all(0 < chance < 1 for chance in (*found.first[0][:2], *found.first[1][:2]))


def test_what_turns_round_is_the_sense_of_the_test_and_not_of_an_estimate() -> None:
    up = pairwise(scores(1, 2), NAMES[:2], direction="lower", log=True)[0]
    down = pairwise(scores(2, 1), NAMES[:2], direction="lower", log=True)[0]
    assert up.resolved and down.resolved and up.effect < 0 < down.effect
    assert turned(up, down) and change(up, down) == "**reversed**"
    beside = replace(up, interval=down.interval)  # outliers may draw the estimate to the other side
    assert not turned(up, beside) and change(up, beside) == "holds"
    unsure = replace(down, p_holm=0.2)
    assert not turned(up, unsure) and change(up, unsure) == "no longer resolved"
    assert change(unsure, up) == "resolved by tuning" and change(unsure, unsure) == "not resolved"


def test_few_seeds_never_reverse_anything_however_far_apart() -> None:
    found = compared(scores(1, 100, seeds=3), scores(100, 1, seeds=3))
    assert found.outcome == "unresolved" and found.pairs[0].change == "not resolved"


def test_failed_means_leave_the_order_open_and_missing_ones_unknown() -> None:
    table = scores(1, 2, 3)
    lost, absent, last, partly = (table.copy() for _ in range(4))
    lost[:, 1:], absent[:, 2], last[:, 2], partly[0, 1] = np.inf, np.nan, np.inf, np.nan
    assert compared(table, lost).outcome == "failed"
    assert compared(table, last).outcome == "same"  # a failed one ranks last
    unknown = compared(table, absent)
    assert unknown.outcome == "unknown" and unknown.seeds == 0 and np.isnan(unknown.tau.estimate)
    assert compared(table, partly).seeds == len(table) - 1


def test_chances_of_the_first_rank_split_ties() -> None:
    assert compared(np.ones((6, 2)), np.ones((6, 2))).first[0] == [0.5, 0.5]


def test_one_variant_has_no_ranking_to_speak_of() -> None:
    found = compared(scores(1), scores(2))
    assert found.pairs == [] and np.isnan(found.tau.estimate) and found.outcome == "same"
