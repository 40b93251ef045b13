"""Final scores are taken again from saved weights: to the bit, without training, and whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.upkeep.integrity import repair
from gan.engine import evaluation
from gan.plugins import registry
from gan.scores import line, scores_of
from gan.targets import Gaussian
from reports.ledger.ledger import Ledger

from ..small import small_study
from ..typed import Ganbench, Said
from .here import train_here

STUDY = small_study("lr = [1e-3, 2e-3]", factor="lr", base='generator_norm = "batch"')
PLUGIN = """
from gan.plugins import Score
COMPONENTS = [
    Score("mine", "Mine", "lower", lambda samples, reference: float(samples.values.std()), needs=frozenset({"line"}))
]
"""
LEDGER = Path("runs/study/smoke")
SCORE = ("score", "study", "--scale", "smoke")


@pytest.fixture
def trained(ganbench: Ganbench, no_compiler: None, no_plugins: None, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a study that was trained, where nothing can be trained any more."""
    train_here(monkeypatch)
    Path("study.toml").write_text(STUDY)
    said = ganbench("run", "study.toml", "--scale", "smoke", "--tracking-uri", "off", "--no-report")
    assert said.code == 0, said.err

    def none(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was trained")

    monkeypatch.setattr("gan.engine.cohort.train", none)
    return Ledger(LEDGER)


def scores_in(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of scores; a score of the players is taken once."""
    scores = [score for score in scores_of(Gaussian()) if score.final and score.name != "d_gap"]
    return rows[[*(s.name for s in scores), *(f"repeat/{s.name}" for s in scores if not s.players)]]


def test_scores_taken_again_are_those_of_the_training_to_the_bit(trained: Ledger, ganbench: Ganbench) -> None:
    before, references = trained.results(), trained.references()
    said = ganbench(*SCORE, "--json")
    assert said.code == 0, said.err
    (done,) = json.loads(said.out)
    assert done["replicas"] == 4 and done["without_weights"] == 0
    after = trained.results()
    assert all(trained.scores_of(cohort) is not None for cohort in trained.finished_cohorts())
    pd.testing.assert_frame_equal(scores_in(after), scores_in(before), check_exact=True)
    assert np.isfinite(scores_in(after).to_numpy(float)).all() and len(scores_in(after).columns) == 11
    assert set(after["scored_by"]) == set(before["scored_by"])
    assert trained.references() == references


def test_one_more_score_is_a_column_more_and_curves_stay(trained: Ledger, ganbench: Ganbench) -> None:
    Path("mine.py").write_text(PLUGIN)
    before, history = trained.results(), trained.history()
    assert "mine" not in before
    said = ganbench(*SCORE, "--scores", "mine", "--plugin", "mine")
    assert said.code == 0 and "4 replicas scored again (mine); none trained" in said.out
    after = trained.results()
    assert (after["mine"] > 0).all() and (after["repeat/mine"] != after["mine"]).all()
    pd.testing.assert_frame_equal(after[before.columns], before)
    pd.testing.assert_frame_equal(trained.history(), history)
    assert trained.references()["mine"].floor == pytest.approx(2.0, rel=0.05)
    assert ganbench("report", "study", "--scale", "smoke").code == 0
    assert "mine" in (LEDGER / "report" / "report.md").read_text()


def test_a_run_says_that_definitions_changed_and_scoring_again_settles_it(
    trained: Ledger, ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Said:
        return ganbench("run", "study.toml", "--scale", "smoke", "--tracking-uri", "off", "--no-report")

    assert "scored by other definitions" not in run().err
    monkeypatch.setattr(line, "KS", dataclasses.replace(line.KS, version=99, measure=lambda samples, reference: 0.25))
    evaluation._scorer.cache_clear()
    said = run()
    assert said.code == 0 and "4 replicas were scored by other definitions than today's" in said.err
    assert "`ganbench score study --scale smoke` scores them again without training" in said.err
    before = trained.results()
    assert ganbench(*SCORE).code == 0
    assert (trained.results()["ks"] == 0.25).all()
    assert set(trained.results()["scored_by"]).isdisjoint(before["scored_by"])
    assert "scored by other definitions" not in run().err


def test_replicas_without_weights_keep_their_scores(trained: Ledger, ganbench: Ganbench) -> None:
    before = trained.results()
    for cohort in trained.finished_cohorts():
        trained.file("weights", cohort).unlink()
    said = ganbench(*SCORE)
    assert said.code == 2 and "the weights of finished replicas are gone" in said.err and "4 of study" in said.err
    pd.testing.assert_frame_equal(trained.results(), before)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--scores", "kss"), "--scores 'kss': no final score of gaussian; did you mean 'ks'?"),
        (("--scores", "jsd_10k"), "--scores 'jsd_10k': no final score of gaussian; did you mean 'jsd_100k'?"),
        (("--scores", "fid_10k"), "no final score of gaussian"),
    ],
)
def test_an_unknown_score_is_refused(
    trained: Ledger, ganbench: Ganbench, words: tuple[str, ...], expected: str
) -> None:
    said = ganbench(*SCORE, *words)
    assert said.code == 2 and expected in said.err and not (LEDGER / "scores").exists()


def test_a_kill_leaves_what_was_there(trained: Ledger, ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from gan.engine import rescoring as engine

    before, taken, final_scores = trained.results(), [], engine.final_scores

    def killed(*given: Any, **named: Any) -> dict[str, float]:
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(1)
        return final_scores(*given, **named)

    monkeypatch.setattr(engine, "final_scores", killed)
    assert ganbench(*SCORE).code == 130
    pd.testing.assert_frame_equal(trained.results(), before)
    monkeypatch.setattr(engine, "final_scores", final_scores)
    assert ganbench(*SCORE).code == 0


def test_weights_of_other_networks_are_refused(trained: Ledger, ganbench: Ganbench) -> None:
    plan = json.loads((LEDGER / "plan.json").read_text())
    for settings in plan["variants"].values():
        settings["generator_hidden"] = [9]
    (LEDGER / "plan.json").write_text(json.dumps(plan))
    said = ganbench(*SCORE)
    assert said.code == 2 and "weights of other networks: generator/0.weight: expected the shape [9, 20]" in said.err
    assert registry.loaded == {}


def test_damaged_scores_are_set_aside_and_those_of_the_training_stand_again(
    trained: Ledger, ganbench: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trained.results()
    monkeypatch.setattr(line, "KS", dataclasses.replace(line.KS, version=99, measure=lambda samples, reference: 0.25))
    evaluation._scorer.cache_clear()
    assert ganbench(*SCORE).code == 0 and (trained.results()["ks"] == 0.25).all()
    (cohort,) = trained.finished_cohorts()
    trained.file("scores", cohort).write_bytes(b"PAR1 and nothing else")
    (said,) = repair(trained)
    assert "set aside as" in said and "the scores of its training stand again" in said
    pd.testing.assert_frame_equal(trained.results(), before)
    # And where the rows themselves are damaged, scores of theirs go with them.
    assert ganbench(*SCORE).code == 0
    trained.file("cohorts", cohort).write_bytes(b"PAR1 and nothing else")
    repair(trained)
    assert trained.finished_cohorts() == [] and not trained.file("scores", cohort).exists()


def test_a_run_that_goes_takes_its_scores_along(trained: Ledger, ganbench: Ganbench) -> None:
    assert ganbench(*SCORE).code == 0
    assert ganbench("clean", "study", "--scale", "smoke", "--what", "runs", "--yes").code == 0
    assert not LEDGER.exists()
