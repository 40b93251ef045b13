"""The answer follows the data, and claims no more than it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.ledger.ledger import Ledger
from reports.pages.study import compile_report, render_report
from reports.stats.intervals import iqm, iqm_interval
from reports.study.answer import answer, levels, sentences
from reports.study.effects import (
    beyond_reach,
    by_size,
    contrasts_table,
    effect,
    evaluation_variance,
    p_value,
    seeds_for,
    size,
    unresolved_sentences,
    variance_table,
)
from reports.study.evidence import gather
from reports.study.tables import at_level, levels_table, number, score_iqm, score_values

Make = Callable[..., Ledger]


def test_every_level_of_the_factor_in_question_is_told(make_ledger: Make, tmp_path, gaussian, gathered) -> None:
    evidence = gather(make_ledger(tmp_path / "runs", {"lr_ratio": [0.5, 1, 2]}, 8, 0.0))
    told = levels(evidence)
    reference = evidence.reference["lr_ratio"]
    for contrast in evidence.contrasts:
        assert f"{contrast.levels[0]} {effect(contrast.interval.estimate)} (" in told
        assert told.count("not resolved") == sum(not c.resolved for c in evidence.contrasts)
    assert told.startswith(f"Against `lr_ratio` {reference}") and told in sentences(evidence)
    assert levels(gathered(gaussian)) == ""  # two levels: the headline has it all


def test_the_answer_follows_the_data(gaussian, altered: Make, gathered) -> None:
    def swap(rows: pd.DataFrame) -> pd.DataFrame:
        place = {(r.variant, r.seed): r.id for r in gaussian.plan().replicas}
        other = {"non_saturating": "saturating", "saturating": "non_saturating"}
        old = zip(rows["variant"], rows["variant/loss"], strict=True)
        names = [variant.replace(f"loss={loss}", f"loss={other[loss]}") for variant, loss in old]
        return rows.assign(replica=[place[v, s] for v, s in zip(names, rows["seed"], strict=True)])

    plain, swapped = sentences(gathered(gaussian))[0], sentences(gather(altered(gaussian, swap)))[0]
    assert "`loss` saturating scores worse than non_saturating" in plain and len(plain.split()) <= 60
    assert "`loss` saturating scores better than non_saturating" in swapped


def test_the_answer_says_when_nothing_is_resolved_and_what_it_would_take(gaussian, altered: Make) -> None:
    def noise(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.sort_values("replica")  # by a hash: without regard to the variant
        return rows.assign(ks=0.2 * np.exp(0.3 * np.random.default_rng(5).standard_normal(len(rows))))

    evidence = gather(altered(gaussian, noise))
    said = sentences(evidence)
    assert "the effect of `loss` on the KS statistic is not resolved" in said[0] and "better" not in said[0]
    assert re.search(r"a 10 % difference takes about \d+\)\.$", said[0])
    assert "o effect of another factor is resolved; no interaction is resolved" in said[2]
    assert any("two-way interactions" in s for s in unresolved_sentences(evidence))
    assert "No variant's median reaches" in unresolved_sentences(evidence)[0]


def test_the_numbers_of_the_answer_are_the_data(gaussian, gathered) -> None:
    evidence = gathered(gaussian)
    text = answer(evidence)
    for level in ("non_saturating", "saturating"):
        replicas = at_level(evidence, "loss", level)
        assert f"{level} {(replicas['ks'] <= 0.05).sum()}/{len(replicas)} (" in text
    (main,) = [c for c in evidence.contrasts if c.factors == ("loss",)]
    # By hand: the ratio of geometric means over the other factors, within each seed; the middle 6 of the 10.
    logs = evidence.results.assign(log=np.log(evidence.results["ks"])).groupby(["seed", "loss"])["log"].mean().unstack()
    ratios = np.sort((logs["saturating"] - logs["non_saturating"]).to_numpy(float))
    middle = float(np.exp(ratios[2:-2].mean()))
    assert main.interval.estimate == pytest.approx(middle) and f"with {effect(middle)} times the KS statistic" in text


def test_the_answer_names_the_largest_other_effect_and_interaction(gaussian, altered: Make) -> None:
    def shift(rows: pd.DataFrame) -> pd.DataFrame:
        """BatchNorm ten times worse, and under the saturating loss a hundred times; each seed a little different."""
        batch = rows["variant/generator_norm"] == "batch"
        factor = np.where(batch & (rows["variant/loss"] == "saturating"), 100, np.where(batch, 10, 1))
        return rows.assign(ks=1e-4 * factor * np.exp(np.random.default_rng(0).normal(0, 1e-3, len(rows))))

    said = sentences(gather(altered(gaussian, shift)))
    # The mean effect of BatchNorm is the geometric mean of 10 and 100.
    assert "`generator_norm` batch against none: 31.6 times the score" in said[2]
    assert "with `generator_norm` batch the effect of `loss` saturating is 10.0 times what it is with none" in said[2]


def test_two_seeds_resolve_nothing_and_the_report_says_so(make_ledger: Make, tmp_path) -> None:
    ledger = make_ledger(tmp_path / "run", factors={"loss": ["non_saturating", "saturating"]}, seeds=2, failing=0.0)
    evidence = gather(ledger)
    said = beyond_reach(evidence)
    assert said.startswith("2 paired seeds cannot resolve the one contrast:") and "0.50" in said
    assert "is not resolved" in sentences(evidence)[0] and "cannot resolve the one" in sentences(evidence)[1]
    # Of two runs an interval is the two runs: it holds the median half of the time.
    still_open = " ".join(unresolved_sentences(evidence))
    assert "at most 50 %" in still_open and "cannot resolve" in still_open
    assert "nominal 95 % interval" in sentences(evidence)[0]
    assert seeds_for(evidence, evidence.contrasts[0]) is None


def first(value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what gives the first replica a score."""
    return lambda rows: rows.assign(ks=rows["ks"].where(rows["replica"] != rows["replica"].iloc[0], value))


def alike(value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.assign(ks=value)


def failing(rows: pd.DataFrame) -> pd.DataFrame:
    """Let one level fail."""
    return rows.assign(status=np.where(rows["variant/loss"] == "saturating", "diverged", "ok"))


NO_SCORE = "1 that did not fail has no KS statistic"
ODD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    **{name: (first(value), [NO_SCORE]) for name, value in {"NaN": math.nan, "infinity": math.inf}.items()},
    **{f"{value:g}": (first(value), [NO_SCORE]) for value in (1e300, -1e300)},
    "one of almost nothing": (first(1e-300), ["None of 6 replicas failed; reached"]),
    "all NaN": (
        alike(math.nan),
        ["no replica has a KS statistic, so nothing is compared", "6 that did not fail have no"],
    ),
    "all the largest": (alike(float(np.finfo(float).max)), ["no replica has a KS statistic, so nothing is compared"]),
    "all tie": (alike(0.1), ["with 2 variants alike"]),
    "all fail": (
        lambda rows: rows.assign(status="diverged"),
        ["no replica has a KS statistic, so nothing is compared"],
    ),
    "a level fails": (failing, ["no score of saturating in most seeds", "Failed: non_saturating 0/3"]),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_scores_are_said_as_they_are(case: str, small: Ledger, altered: Make, tmp_path: Path) -> None:
    """And the report of the oddest compiles."""
    change, expected = ODD[case]
    ledger = altered(small, change)
    text = answer(gather(ledger))
    assert all(words in text for words in expected), text
    assert not re.search(r"\b(nan|inf)\b|∞ times| 0 times| among 1 |e150", text), text
    if case in ("-1e+300", "one of almost nothing", "all NaN"):
        assert sentences(gather(ledger))[0] in compile_report(ledger, tmp_path / "report").read_text()


def test_the_best_variant_is_said_to_be_chosen_after_the_fact(gaussian, altered: Make, gathered) -> None:
    evidence = gathered(gaussian)
    said = sentences(evidence)[-1]
    lowest = min(iqm(own["ks"]) for _, own in evidence.results.groupby("variant"))
    assert said.startswith("Lowest of 12 interquartile means (chosen after the fact, so flattering)")
    assert f"KS statistic {number(lowest)} (" in said and "best" not in answer(evidence)


def test_a_zero_turns_ratios_into_differences_and_the_reason_is_given(gaussian, altered: Make, gathered) -> None:
    assert gathered(gaussian).without_ratio("ks") == ""

    def zero(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(ks=rows["ks"].mask(rows.index == 3, 0.0))

    evidence = gather(altered(gaussian, zero))
    assert not any(c.ratio for c in evidence.contrasts)
    assert "differences and not ratios, because a score is exactly 0" in render_report(evidence, [])
    assert evidence.without_ratio("coverage") == "" and "not ratios" not in render_report(gathered(gaussian), [])


@pytest.mark.parametrize("factors", [{}, {"loss": ["non_saturating", "saturating"]}])
def test_one_seed_has_no_interval(make_ledger: Make, tmp_path, factors: dict[str, list[str]]) -> None:
    evidence = gather(make_ledger(tmp_path / "run", factors=factors, seeds=1, failing=0.0))
    text = answer(evidence)
    assert "no interval can be given" in sentences(evidence)[0]
    assert not re.search(r"[\d/]\d* \([\d–]|95 %|better|nan", text)
    assert variance_table(evidence).empty and "one seed a variant" in " ".join(unresolved_sentences(evidence))


def test_a_study_without_a_grid_gives_its_mean_and_verdicts(make_ledger: Make, tmp_path) -> None:
    evidence = gather(make_ledger(tmp_path / "run", factors={}, seeds=16, failing=0.1))
    first, rates, *_ = sentences(evidence)
    mean = score_iqm(evidence, evidence.results, "ks")
    assert effect(mean.estimate) in first and "95 % interval" in first and "over 16 replicas" in first
    failures = (evidence.results["status"] != "ok").sum()
    assert 0 < failures < 5 and f"Failed: {failures}/16 (" in rates and f"{failures} diverged" in rates
    assert contrasts_table(evidence).empty and evidence.contrasts == []


def test_means_over_variants_draw_whole_seeds(gaussian, altered: Make) -> None:
    """Scores that a seed decides are as many as the seeds, in however many variants they are repeated."""

    def by_seed(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(ks=0.02 * np.exp(0.3 * rows["seed"]) + 1e-6 * rows.index)

    evidence = gather(altered(gaussian, by_seed))
    pooled = score_iqm(evidence, at_level(evidence, "loss", "saturating"), "ks")
    alone = score_iqm(evidence, evidence.of(evidence.variants.index[0]), "ks")
    assert pooled.high - pooled.low > 0.7 * (alone.high - alone.low)
    replicas = at_level(evidence, "loss", "saturating")
    strata = iqm_interval([score_values(evidence, own, "ks") for _, own in replicas.groupby("variant")])
    assert pooled.estimate == strata.estimate and pooled.high - pooled.low > 1.5 * (strata.high - strata.low)
    assert f"({number(pooled.low)} to {number(pooled.high)})" in " ".join(
        levels_table(evidence).astype(str).to_numpy().ravel()
    )
    assert "they count replicas as independent" in " ".join(render_report(evidence, []).split())


def test_the_table_of_effects_is_by_size_and_complete(digits, gathered) -> None:
    evidence = gathered(digits)
    table = contrasts_table(evidence)
    sizes = [size(c) for c in by_size(evidence.contrasts)]
    assert sizes == sorted(sizes, reverse=True) and len(table) == len(evidence.contrasts) == 6
    assert set(table["resolved"]) <= {"**yes**", "no"}
    assert table["P(improvement)"].eq("–").sum() == 3  # of the interactions
    # A failed side has no finite ratio.
    assert table["ratio (95 % interval)"].str.contains("∞").any()


def test_variance_is_shared_out_where_nothing_failed(gaussian, digits, gathered) -> None:
    table = variance_table(gathered(gaussian))
    parts = table["share of variance"].str.removesuffix(" %").astype(float)
    assert parts.sum() == pytest.approx(100, abs=0.5) and table["source"].iloc[-1] == "rest"
    needed = table.set_index("source")["seeds to resolve 10 %"]
    assert int(needed["`loss`"].replace(",", "")) > 1 and needed["rest"] == "–"
    assert variance_table(gathered(digits)).empty  # some replicas failed: there is no variance to share


def test_an_evaluation_repeated_says_what_is_noise(gaussian, altered: Make, gathered) -> None:
    said = evaluation_variance(gathered(gaussian))
    # In the fixture seeds differ by a third and evaluations by a hundredth.
    assert re.search(
        r"99\.\d % of the variance of the logarithm of the KS statistic lies between seeds and 0\.\d %", said
    )
    noisy = gather(altered(gaussian, lambda rows: rows.assign(**{"repeat/ks": rows["ks"].sample(frac=1).to_numpy()})))
    assert not re.search(r" 0\.\d % between", evaluation_variance(noisy))
    unrepeated = gather(altered(gaussian, lambda rows: rows.drop(columns="repeat/ks")))
    assert evaluation_variance(unrepeated) == ""


def test_effects_and_p_values_as_written() -> None:
    assert [effect(v) for v in (np.inf, -np.inf, -0.5, 0.0, -0.0)] == ["∞", "−∞", "−0.500", "0", "0"]
    assert [p_value(p) for p in (1e-6, 0.02, 1.0, np.nan)] == ["< 0.0001", "0.020", "1.0", "–"]
