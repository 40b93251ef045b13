"""The answer that a study declares: what decides it, and that its decision is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.ledger.ledger import Ledger
from reports.stats.outcomes import compare_rates, compare_scores
from reports.study.answer import sentences
from reports.study.evidence import Evidence, gather
from reports.study.outcome import answers

Make = Callable[..., Ledger]


def column(successes: int, trials: int) -> np.ndarray:
    return (np.arange(trials) < successes).astype(float)[:, None]


@pytest.mark.parametrize(
    ("one", "other", "limits"),
    [((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 10), (0.6075, 1.0)), ((0, 10), (0, 10), (-0.2775, 0.2775))],
)
def test_limits_of_a_difference_of_rates_are_newcombe_s(
    one: tuple[int, int], other: tuple[int, int], limits: tuple[float, float]
) -> None:
    """Newcombe (1998), table II, method 10, contrasts d and g to i; and Wilson's limit of 0 of 10."""
    found = compare_rates(column(*one), column(*other))
    assert (found.low, found.high) == pytest.approx(limits, abs=5e-5)


def test_replicas_of_a_seed_that_end_alike_are_one() -> None:
    """And where all end alike, nothing says that they are more."""
    alone, other = column(6, 12), column(2, 12)
    copies = compare_rates(np.repeat(alone, 5, axis=1), np.repeat(other, 5, axis=1))
    assert copies == compare_rates(alone, other)
    never = np.zeros((8, 4))
    assert compare_rates(never, never).high == pytest.approx(compare_rates(never[:, :1], never[:, :1]).high)
    assert compare_rates(never, never).p == 1.0


def test_a_seed_without_all_its_replicas_is_left_out() -> None:
    one, other = column(6, 12), column(2, 12)
    one[3], other[11] = math.nan, math.nan
    there = [i for i in range(12) if i not in (3, 11)]
    assert compare_rates(one, other) == compare_rates(one[there], other[there])
    assert compare_rates(one[[3]], other[[3]]).seeds == 0


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.5, 0.2), (0.9, 0.95)])
@pytest.mark.parametrize("seeds", [8, 24])
def test_intervals_of_clustered_rates_cover_the_truth(rates: tuple[float, float], seeds: int) -> None:
    """The rates of seeds differ, beta distributed about the level's: correlation 1/6 within a seed."""
    rng, covered, wrong = np.random.default_rng(seeds), 0, 0
    for _ in range(300):
        sides = [rng.random((seeds, 4)) < rng.beta(5 * rate, 5 * (1 - rate), (seeds, 1)) for rate in rates]
        found = compare_rates(sides[0].astype(float), sides[1].astype(float))
        covered += found.low <= rates[0] - rates[1] <= found.high
        wrong += found.p <= 0.05
    assert covered >= 0.93 * 300
    assert wrong <= 0.07 * 300 or rates[0] != rates[1]


def test_a_score_s_comparison_is_its_interval_and_wilcoxon_s_test() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, 20)
    found = compare_scores(differences)
    assert found.p == pytest.approx(stats.wilcoxon(differences, method="exact")[1])
    assert found.low < found.inner[0] < found.estimate < found.inner[1] < found.high and found.seeds == 20


def test_the_smallest_effect_is_seen_in_four_of_five_studies() -> None:
    rng, spread = np.random.default_rng(1), 1.0
    smallest = np.median([compare_scores(rng.normal(0, spread, 24)).smallest for _ in range(50)])
    seen = [compare_scores(rng.normal(smallest, spread, 24)).p <= 0.05 for _ in range(400)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.06)
    assert math.isnan(compare_scores(np.zeros(5)).smallest)


# Decisions


def asking(
    ledger: Ledger, copy_of: Make, altered: Make, change: Callable[[pd.DataFrame], Any], **outcome: Any
) -> Evidence:
    asked = {"event": None, "margin": 0.1, "hypotheses": [["saturating", "non_saturating"]]} | outcome
    copied = copy_of(ledger, lambda plan: plan["study"]["report"].update(outcome=asked))
    return gather(altered(copied, change))


def ended(rows: pd.DataFrame, when: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    """Let replicas diverge when asked, and no other."""
    bad = when(rows)
    return rows.assign(status=np.where(bad, "diverged", "ok"), ks=rows["ks"].fillna(0.1).where(~bad))


SATURATING = "variant/loss"
RATES: dict[str, tuple[Callable[[pd.DataFrame], Any], str, int]] = {
    "all of one": (lambda rows: rows[SATURATING] == "saturating", "yes", 100),
    "all of the other": (lambda rows: rows[SATURATING] != "saturating", "no", -100),
    "every second seed of both": (lambda rows: rows["seed"] % 2 == 0, "cannot tell", 0),
    "one replica": (lambda rows: rows.index == rows.index[0], "cannot tell", 2),
}


@pytest.mark.parametrize("case", RATES)
def test_a_rate_is_decided(case: str, gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    when, decision, points = RATES[case]
    evidence = asking(gaussian, copy_of, altered, lambda rows: ended(rows, when), kind="rate", event="diverged")
    (answer,) = answers(evidence)
    assert (answer.decision, round(100 * abs(answer.effect.estimate))) == (decision, abs(points))
    assert answer.effect.counts is not None and sum(n for _, n in answer.effect.counts) == len(evidence.results)
    first = sentences(evidence)[0]
    assert first.startswith({"yes": "Yes: ", "no": "No: ", "cannot tell": "Cannot tell: "}[decision])
    assert "`loss` saturating ends diverged in" in first


def test_a_wide_margin_makes_them_equivalent(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    evidence = asking(
        gaussian,
        copy_of,
        altered,
        lambda rows: ended(rows, RATES["one replica"][0]),
        kind="rate",
        event="diverged",
        margin=0.5,
    )
    assert answers(evidence)[0].decision == "equivalent"
    assert sentences(evidence)[0].startswith("Equivalent within 50 points: ")


FACTORS = {"one way": 3.0, "the other way": 1 / 3, "not at all": 1.0}


@pytest.mark.parametrize("way", FACTORS)
def test_a_score_is_decided(way: str, gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    def shifted(rows: pd.DataFrame) -> pd.DataFrame:
        """One score a seed, and a factor of the loss."""
        ks = 0.01 * (1 + rows["seed"] % 5) * np.where(rows[SATURATING] == "saturating", FACTORS[way], 1.0)
        return rows.assign(ks=ks, status="ok")

    evidence = asking(gaussian, copy_of, altered, shifted, kind="score", margin=1.25)
    (answer,) = answers(evidence)
    assert answer.decision == {"one way": "yes", "the other way": "no", "not at all": "equivalent"}[way]
    assert answer.ratio and answer.effect.estimate == pytest.approx(FACTORS[way])


def test_where_another_factor_decides_its_levels_are_compared(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    def when(rows: pd.DataFrame) -> Any:
        return (rows[SATURATING] == "saturating") & (rows["variant/generator_norm"] == "batch")

    evidence = asking(gaussian, copy_of, altered, lambda rows: ended(rows, when), kind="rate", event="diverged")
    (answer,) = answers(evidence)
    assert answer.depends_on == "generator_norm"
    assert {level: round(effect.estimate, 3) for level, effect in answer.simple} == {"none": 0.0, "batch": 1.0}
    counts = dict(answer.simple)["batch"].counts
    assert counts is not None and counts[0][0] == counts[0][1] == len(evidence.results) // 4 and counts[1][0] == 0
    assert "That depends on `generator_norm`: with none 0 points" in sentences(evidence)[0]


def test_a_factor_is_no_margin_of_differences(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    """One score of 0 turns ratios into differences: 1.25 would hold any of them."""

    def zero(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(ks=0.01 * (rows["seed"] % 5), status="ok")  # alike at both levels

    (answer,) = answers(asking(gaussian, copy_of, altered, zero, kind="score", margin=1.25))
    assert not answer.ratio and answer.effect.estimate == 0 and answer.decision == "cannot tell"


def test_a_rate_is_answered_where_all_failed(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    evidence = asking(
        gaussian, copy_of, altered, lambda rows: rows.assign(status="diverged"), kind="rate", event="diverged"
    )
    assert "`loss` saturating ends diverged in" in sentences(evidence)[0]


def test_a_level_without_scores_is_no_multiple(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    def failing(rows: pd.DataFrame) -> pd.DataFrame:
        return ended(rows, lambda rows: rows[SATURATING] == "saturating")

    evidence = asking(gaussian, copy_of, altered, failing, kind="score", margin=1.25)
    first = sentences(evidence)[0]
    assert (
        answers(evidence)[0].decision == "yes"
        and "∞ times" not in first
        and "and non_saturating has every KS statistic" in first
    )


def test_hypotheses_share_one_correction(gaussian: Ledger, copy_of: Make, altered: Make) -> None:
    both = [["saturating", "non_saturating"], ["non_saturating", "saturating"]]
    evidence = asking(gaussian, copy_of, altered, lambda rows: rows, kind="score", margin=1.25, hypotheses=both)
    first, second = answers(evidence)
    assert first.p == second.p and first.effect.estimate == pytest.approx(1 / second.effect.estimate)
    alone = answers(asking_one(evidence))[0]
    assert first.p == pytest.approx(min(1.0, 2 * alone.p))
    assert (
        "Holm-adjusted over 2 hypotheses" in sentences(evidence)[0] and "Holm" not in sentences(asking_one(evidence))[0]
    )


def asking_one(evidence: Evidence) -> Evidence:
    """Return the same evidence with the first hypothesis alone."""
    import dataclasses

    outcome = evidence.study.report.outcome
    assert outcome is not None
    report = evidence.study.report.model_copy(
        update={"outcome": outcome.model_copy(update={"hypotheses": outcome.hypotheses[:1]})}
    )
    study = evidence.study.model_copy(update={"report": report})
    return dataclasses.replace(evidence, plan=evidence.plan.model_copy(update={"study": study}))
