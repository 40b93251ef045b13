"""What a report knows: rows, grid and verdicts, lined up with the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gan.columns import JUDGED
from gan.errors import InputError
from gan.verdict import VERDICTS
from reports.api import load_results
from reports.ledger.ledger import Ledger
from reports.ledger.records import PlannedReport, PlannedStudy, PlanRecord, ScoreReference
from reports.ledger.verdicts import curves_of, judge_replica, judgements, with_final
from reports.stats.intervals import Interval
from reports.study.answer import answer
from reports.study.evidence import gather, plain, to_csv, to_json
from reports.study.tables import best_first, counted, number, ranking, share, spread, summarise, variants_table

Make = Callable[..., Ledger]


def test_results_csv_has_its_columns_and_every_replica(digits, gathered) -> None:
    evidence = gathered(digits)
    losses = [f"loss_{p}{s}" for s in ("", "_last", "_epoch") for p in ("discriminator", "generator")]
    scores = ["fid_500", "modes", "hq_share", "mode_kl"]
    assert list(evidence.results) == [
        *("study", "scale", "target", "variant", "seed", "loss", "generator_norm", "discriminator"),
        *("status", *JUDGED, "steps", *losses, "value_discriminator"),
        *(*scores, *(f"repeat/{s}" for s in scores), "replica"),
    ]
    plan = digits.plan()
    assert evidence.results["replica"].tolist() == [r.id for r in plan.replicas]
    lines = to_csv(evidence.results).splitlines()
    assert len(lines) == len(plan.replicas) + 1
    diverged = evidence.results[evidence.results["status"] == "diverged"]
    assert len(diverged) > 0 and diverged["fid_500"].isna().all() and set(diverged["verdict"]) == {"diverged"}


def test_a_row_read_back_is_the_row(digits, tmp_path, gathered) -> None:
    (tmp_path / "results.csv").write_text(to_csv(gathered(digits).results))
    written, read = gathered(digits).results, load_results(tmp_path)
    assert list(read) == list(written) and set(read["generator_norm"]) == {"none", "batch"}
    np.testing.assert_allclose(read["fid_500"], written["fid_500"], rtol=1e-6)


def test_a_notebook_gets_the_same_table(gaussian, gathered) -> None:
    pd.testing.assert_frame_equal(load_results(gaussian.directory), gathered(gaussian).results)
    # By name: what is published with this repository.
    assert set(load_results("gaussian")["study"]) == {"gaussian"}
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        load_results("gausian")
    with pytest.raises(InputError, match="neither a published study nor a run directory"):
        load_results(gaussian.directory / "cohorts")


def test_the_order_in_which_cohorts_finished_changes_nothing(gaussian, altered: Make, gathered) -> None:
    shuffled = altered(gaussian, lambda rows: rows.sample(frac=1, random_state=3))
    assert to_csv(gather(shuffled).results) == to_csv(gathered(gaussian).results)
    assert answer(gather(shuffled)) == answer(gathered(gaussian))


def test_a_replica_is_called_what_the_plan_calls_it(small, copy_of: Make) -> None:
    def widen(plan: dict[str, Any]) -> None:
        plan["study"]["factors"]["lr_ratio"] = [1]

        def name(old: str) -> str:
            return f"{old} lr_ratio=1"

        plan["variants"] = {name(k): {**v, "lr_ratio": 1.0} for k, v in plan["variants"].items()}
        plan["levels"] = {name(k): {**v, "lr_ratio": 1} for k, v in plan["levels"].items()}
        plan["replicas"] = [{**r, "variant": name(r["variant"])} for r in plan["replicas"]]

    evidence = gather(copy_of(small, widen))
    assert len(evidence.results) == 6 and evidence.missing.empty and evidence.complaints == []
    assert evidence.results["variant"].str.endswith("lr_ratio=1").all()


def test_named_bundles_are_levels(bundles, gathered) -> None:
    evidence = gathered(bundles)
    assert evidence.factors == {"recipe": ["plain", "r1"], "beta1": ["0", "0.5"]}
    assert set(evidence.results["recipe"]) == {"plain", "r1"}
    assert evidence.reference == {"recipe": "r1", "beta1": "0"}
    (main, *_) = [c for c in evidence.contrasts if c.factors == ("recipe",)]
    assert (main.levels, main.against) == (("plain",), ("r1",)) and main.interval.estimate > 1.5


def test_levels_that_agree_to_six_digits_are_two_levels(gaussian, copy_of: Make, tmp_path) -> None:
    """The report's tables, `results.csv` and what is read back from it say which one a replica has."""
    close = 1 + 1e-9

    def nearly(plan: dict[str, Any]) -> None:
        plan["study"]["factors"]["lr_ratio"] = [0.5, 1.0, close]
        for levels in plan["levels"].values():
            levels["lr_ratio"] = close if levels["lr_ratio"] == 2 else levels["lr_ratio"]

    before, evidence = gather(gaussian), gather(copy_of(gaussian, nearly))
    assert evidence.factors["lr_ratio"] == ["0.5", "1", "1.000000001"]
    assert evidence.results["lr_ratio"].tolist() == before.results["lr_ratio"].replace(2, close).tolist()
    assert [c.interval for c in evidence.contrasts] == [c.interval for c in before.contrasts]
    (tmp_path / "results.csv").write_text(to_csv(evidence.results))
    assert load_results(tmp_path)["lr_ratio"].tolist() == evidence.results["lr_ratio"].tolist()


def test_the_grid_holds_each_replica_in_its_place(digits, gathered) -> None:
    evidence = gathered(digits)
    grid = evidence.grid("fid_500")
    assert grid.shape == (10, 2, 2, 2)
    place = {"loss": 0, "generator_norm": 1, "discriminator": 2}
    for row in evidence.results.to_dict("records"):
        at = tuple(evidence.factors[f].index(row[f]) for f in place)
        cell = grid[(row["seed"], *at)]
        assert cell == (row["fid_500"] if row["status"] == "ok" else np.inf)
    # Where higher is better the worst is the other infinity, whatever was scored before the failure.
    assert (np.isneginf(evidence.grid("modes")) == np.isposinf(grid)).all()


def test_a_replica_that_has_not_finished_is_no_failure(small, copy_of: Make) -> None:
    ledger = copy_of(small)
    (ledger.directory / "cohorts" / f"{ledger.plan().cohorts[1].id}.parquet").unlink()
    evidence = gather(ledger)
    grid = evidence.grid("ks")
    assert np.isnan(grid[:, 1]).all() and np.isfinite(grid[:, 0]).all()
    assert [c.pairs for c in evidence.contrasts] == [0] and len(evidence.whole_grid()) == 0
    assert not evidence.contrasts[0].resolved
    assert "no seed has finished in every variant" in answer(evidence)


def test_contrasts_are_computed_once_and_by_ratio_where_scores_span_decades(gaussian, altered: Make, gathered) -> None:
    evidence = gathered(gaussian)
    assert sorted(evidence.results["lr_ratio"].unique()) == [0.5, 1, 2]  # a numeric factor stays numeric
    assert [evidence.label(s) for s in ("ks", "coverage")] == ["KS statistic", "share of 100 bins covered"]
    assert evidence.contrasts is evidence.contrasts and all(c.ratio for c in evidence.contrasts)
    assert evidence.spans_decades("fid_10k")
    assert not any(evidence.spans_decades(score) for score in ("modes", "coverage"))
    # A score of exactly zero has no logarithm: differences then.
    zero = gather(altered(gaussian, lambda rows: rows.assign(ks=rows["ks"].where(rows["seed"] > 0, 0.0))))
    assert not any(c.ratio for c in zero.contrasts)


def test_an_unknown_score_names_the_nearest(small, copy_of: Make) -> None:
    ledger = copy_of(small, lambda plan: plan["study"]["report"].update(reached={"coverages": 1}))
    with pytest.raises(InputError, match="did you mean 'coverage'"):
        gather(ledger)


def test_a_folder_without_a_plan_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no plan\.json"):
        gather(Ledger(tmp_path))


def test_verdicts_come_from_the_history_and_the_goal(gaussian, small, copy_of: Make, gathered) -> None:
    results = gathered(gaussian).results
    assert set(results["verdict"]) <= set(VERDICTS) and "converged" in set(results["verdict"])
    met = results["time_to_goal"].notna()
    assert (results.loc[results["verdict"] == "converged", "ks"] <= 0.06).all() and met.any()
    # A goal that nobody can meet: nobody converges.
    strict = gather(copy_of(small, lambda plan: plan["study"]["report"].update(reached={"ks": 1e-9})))
    assert "converged" not in set(strict.results["verdict"]) and strict.results["time_to_goal"].isna().all()


def test_nothing_is_said_of_a_replica_without_history() -> None:
    rows = pd.DataFrame({"replica": ["a", "b", "c"], "status": ["ok", "failed", "diverged"], "steps": 10})
    study = PlannedStudy(name="made", scale="smoke", steps=10, factors={}, report=PlannedReport())
    empty = pd.DataFrame({"replica": [], "step": [], "metric": [], "value": []})
    plan = PlanRecord(study=study, variants={}, replicas=[], cohorts=[])
    table = judgements(rows, [empty], plan, {})
    assert table["verdict"].tolist() == [None, None, "diverged"] and table["drift"].isna().all()
    assert curves_of(empty) == {}


def test_a_score_taken_only_at_the_end_counts_towards_the_goal(small, copy_of: Make) -> None:
    """No curve of it is in the history, as of the distance of D from the optimum."""
    ledger = copy_of(small)
    for path in (ledger.directory / "history").iterdir():
        table = pd.read_parquet(path)
        table[table["metric"] != "score/ks"].to_parquet(path, index=False)
    results = gather(ledger).results
    met = results["ks"] <= 0.05
    assert (
        met.any()
        and (results.loc[met, "time_to_goal"] == 1500).all()
        and results.loc[~met, "time_to_goal"].isna().all()
    )
    assert (results.loc[results["verdict"] == "converged", "ks"] <= 0.05).all()
    # A replica without any history is not judged by its end alone.
    for path in (ledger.directory / "history").iterdir():
        path.unlink()
    assert gather(ledger).results["verdict"].isna().all()


def test_the_final_score_is_the_last_point_of_its_curve() -> None:
    curves: Any = {"score/ks": [(5, 0.3), (10, 0.2)], "output/fake": [(10, 0.5)]}
    found = with_final(curves, 10, {"score/ks": 0.1, "score/d_gap": 0.02, "score/modes": np.nan, "score/fid": None})
    assert found["score/ks"] == [(5, 0.3), (10, 0.1)] and found["score/d_gap"] == [(10, 0.02)]
    assert set(found) == {"score/ks", "output/fake", "score/d_gap"} and curves["score/ks"][-1] == (10, 0.2)


def test_json_is_strict() -> None:
    content = {"a": [np.float64(np.nan), (1.5, -np.inf)], "b": {"c": np.inf, "d": None, "e": "inf"}, "f": True}
    assert plain(content) == {"a": [None, [1.5, "-inf"]], "b": {"c": "inf", "d": None, "e": "inf"}, "f": True}
    assert "NaN" not in to_json(content)


def test_curves_are_by_step_whatever_the_order() -> None:
    rows = [("a", 2, "x", 0.2), ("b", 1, "x", 1.1), ("a", 1, "x", 0.1), ("a", 1, "y", np.nan)]
    history = pd.DataFrame(rows, columns=pd.Index(["replica", "step", "metric", "value"]))
    curves = curves_of(history)
    assert curves["a"]["x"] == [(1, 0.1), (2, 0.2)] and curves["b"] == {"x": [(1, 1.1)]}
    assert np.isnan(curves["a"]["y"][0][1])


def test_failures_count_and_rank_last(digits, gathered) -> None:
    evidence = gathered(digits)
    rows = digits.results()
    for variant in evidence.variants.index:
        mine = rows[rows["variant"] == variant]
        summary = summarise(evidence, evidence.of(variant))
        assert summary["failures"] == (mine["status"] != "ok").sum() == summary["verdicts"].get("diverged", 0)
        assert summary["seeds"] == len(mine) == 10 == sum(summary["verdicts"].values())
        assert best_first(evidence, evidence.of(variant))["status"].ne("ok").is_monotonic_increasing
    collapsed = [v for v in evidence.variants.index if "loss=saturating" in v and "conv" in v]
    assert set(ranking(evidence)[-len(collapsed) :]) == set(collapsed)
    assert "failed" in variants_table(evidence).tail(len(collapsed)).to_markdown()


def test_a_replica_that_failed_with_a_score_still_counts_as_failed(gaussian, altered: Make) -> None:
    first = gaussian.plan().replicas[0].variant
    broken = altered(
        gaussian, lambda rows: rows.assign(status=rows["status"].mask(rows["variant"] == first, "diverged"))
    )
    evidence = gather(broken)
    summary = summarise(evidence, evidence.of(first))
    assert summary["reached"] == 0 and summary["failures"] == 10 and ranking(evidence)[-1] == first
    assert np.isposinf(evidence.grid("ks")).sum() == 10


def test_the_median_time_to_the_goal_counts_those_that_never_got_there(digits, gathered) -> None:
    evidence = gathered(digits)
    for variant in evidence.variants.index:
        replicas = evidence.of(variant)
        expected = np.median(replicas["time_to_goal"].fillna(np.inf))
        found = summarise(evidence, replicas)["time_to_goal"]
        assert found == expected or (np.isinf(expected) and np.isinf(found))


def test_numbers_read_as_a_person_writes_them() -> None:
    assert [number(v) for v in (0.03, 12.0, 1234.5, 2.468e14, -1e7, 0.00001, np.inf, np.nan, None)] == [
        *("0.0300", "12", "1,234", "2.47e14", "-1.00e7", "1.0e-05", "failed", "–", "–")
    ]
    assert spread(Interval(0.2, 0.1, 0.3, "BCa")) == "0.200 (0.100 to 0.300)"
    assert spread(Interval(0.2, np.nan, np.nan, "none")) == "0.200" and spread(Interval(1.0, 1.0, 1.0, "BCa")) == "1"
    assert spread(Interval(np.inf, 0.1, np.inf, "percentile")) == "failed"
    assert share(12, 16) == "12/16 (51–90 %)" and share(None, 3) == "–"
    assert counted({"converged": 14, "unsettled": 2}) == "14 converged, 2 unsettled" and counted({}) == "–"


def test_the_plan_and_the_references_say_what_a_verdict_needs() -> None:
    study = PlannedStudy(name="made", scale="smoke", steps=10, factors={}, report=PlannedReport())
    known, unknown = ({"loss": "non_saturating"}, {"loss": "of_a_plugin"})
    plan = PlanRecord(study=study, variants={"a": known, "b": unknown, "c": {}}, replicas=[], cohorts=[])
    fooled: Any = {"output/fake": [(9, 0.01), (10, 0.01)], "gradient/generator": [(1, 1.0), (9, 1e-4), (10, 1e-4)]}
    few: Any = {"score/bins": [(4, 9.0), (8, 2.0), (9, 2.0), (10, 2.0)]}

    def verdict(curves: Any, variant: str, covers: bool = False) -> str:
        references = {"bins": ScoreReference(direction="higher", floor=10.0, covers=covers)}
        found = judge_replica({"variant": variant, "status": "ok", "steps": 10}, curves, plan, references)
        return found.verdict if found else ""

    assert [verdict(fooled, variant) for variant in "abc"] == ["starved", "unsettled", "starved"]
    assert verdict(few, "a", covers=True) == "collapsed"
    assert verdict(few, "a") == "unsettled"  # it counts no coverage, by its name or its reference
