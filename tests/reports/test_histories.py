"""Histories are read as far as a report needs them, and a report of a large grid stays one that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.running import reporting
from reports.figures import effects, layout, overview, training
from reports.figures.primitives import DPI
from reports.ledger.histories import Curves, Records
from reports.ledger.ledger import Ledger
from reports.pages.study import compile_report
from reports.study.evidence import gather, once

from .made import by_name, make_evidence, make_history


def history(*rows: tuple[str, int, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index(["replica", "step", "metric", "value"]))


# Curves.


def test_curves_are_those_of_a_pivot_whatever_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"replica": rng.choice(list("abcd"), 60), "step": rng.integers(0, 20, 60)})
    table = table.drop_duplicates().assign(value=lambda own: rng.random(len(own)))
    wanted = table[table["replica"].isin(["d", "b"])].pivot(index="replica", columns="step", values="value")
    steps, values = Curves(table.sample(frac=1, random_state=1)).of(["d", "nobody", "b"])
    assert steps.tolist() == wanted.columns.tolist()
    np.testing.assert_array_equal(values, wanted.reindex(["d", "nobody", "b"]).to_numpy())


def test_of_several_records_of_one_step_the_last_number_counts() -> None:
    table = history(("a", 1, "m", 1.0), ("a", 1, "m", 2.0), ("a", 1, "m", np.nan), ("a", 2, "m", np.nan))
    steps, values = Curves(table).of(["a"])
    assert steps.tolist() == [1, 2] and values[0, 0] == 2.0 and np.isnan(values[0, 1])


def test_nobody_s_curves_have_no_steps() -> None:
    curves = Curves(history())
    assert "a" not in curves and [part.shape for part in curves.of(["a", "b"])] == [(0,), (2, 0)]


# What is read.


class Watched(Ledger):
    """A ledger that remembers which histories it was asked for."""

    asked: list[tuple[str, tuple[str, ...] | None]]

    def history_of(self, cohort: str, metrics: list[str] | None = None) -> pd.DataFrame:
        self.asked.append((cohort, None if metrics is None else tuple(metrics)))
        return super().history_of(cohort, metrics)


def test_a_report_reads_each_whole_history_once_and_else_single_metrics(
    unprinted: None, small: Ledger, tmp_path: Path
) -> None:
    ledger = Watched(small.directory)
    ledger.asked = []
    compile_report(ledger, tmp_path / "report")
    whole = [cohort for cohort, metrics in ledger.asked if metrics is None]
    assert sorted(whole) == ledger.finished_cohorts()
    assert all(len(metrics) <= 3 for _, metrics in ledger.asked if metrics is not None)


def test_only_one_cohort_s_history_is_held_at_a_time() -> None:
    given: list[int] = []

    def read(_: list[str] | None) -> Any:
        for number in range(3):
            given.append(number)
            yield history((f"r{number}", number, "m", 1.0), (f"r{number}", 9, "m", np.nan))

    records = Records(read)
    for seen, _ in enumerate(records.cohorts()):
        assert given == list(range(seen + 1))
    assert records.survey == ({"m"}, {"r0": 0, "r1": 1, "r2": 2})
    assert len(given) == 3  # surveyed on the way


def test_records_are_of_the_replicas_asked_for(small: Ledger) -> None:
    wanted = sorted(small.results()["replica"])[::2]
    records = Records.of_ledger(small, wanted)
    everything = small.history(["score/ks"])
    expected = everything[everything["replica"].isin(wanted)]
    assert 0 < len(expected) < len(everything)
    found = records.of("score/ks")
    assert list(found["replica"].cat.categories) == wanted == sorted(records.survey.ends)
    np.testing.assert_array_equal(found["value"], expected["value"])


def test_names_are_categories_in_their_own_order(small: Ledger) -> None:
    table = small.history()
    for name in ("replica", "metric"):
        assert table[name].cat.categories.tolist() == sorted(set(table[name]))
    assert Records.of_ledger(small, small.results()["replica"]).of().empty


def test_answer_and_report_gather_once_until_a_file_changes(
    undrawn: None, small: Ledger, copy_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[Path] = []

    def counted(ledger: Ledger) -> Any:
        gathered.append(ledger.directory)
        return gather(ledger)

    monkeypatch.setattr("reports.study.evidence.gather", counted)
    ledger = copy_of(small)
    said = reporting.answer_of(ledger)
    report = reporting.compile_trained(ledger)
    assert said and reporting.summary_of(report)["answer"] == said and len(gathered) == 1
    assert ledger.provenance().sessions[-1].report_seconds >= 0
    assert reporting.answer_of(ledger) == said and len(gathered) == 1  # when it was compiled is no result
    ledger.file("cohorts", ledger.finished_cohorts()[0]).unlink()
    assert reporting.answer_of(ledger).startswith("So far") and len(gathered) == 2


def test_what_is_asked_of_evidence_again_is_not_worked_out_again() -> None:
    asked: list[object] = []
    first, second = (make_evidence({"loss": ["a", "b"]}, 2) for _ in range(2))
    count = once(lambda evidence: asked.append(evidence) or len(asked))
    assert [count(first), count(first), count(second)] == [1, 1, 2]


# Large grids.


def test_figures_of_a_large_grid_say_what_they_leave_out_and_fit_on_a_page() -> None:
    factors = {"loss": ["a", "b"], "lr_ratio": [str(level) for level in range(31)]}
    evidence = make_evidence(factors, 1, lambda levels, seed: 0.02 + 1e-4 * int(levels["lr_ratio"]) + 1e-3 * seed)
    records = Records.of_table(make_history(evidence, layers=1))
    pictures = by_name([overview.final_scores(evidence), overview.heat_map(evidence)])
    pictures |= by_name(effects.evidence_pictures(evidence, records))
    pictures |= by_name(training.training_pictures(evidence, records))
    for picture in pictures.values():
        assert picture.figure.get_figheight() * DPI < 2500
        assert len(picture.figure.axes) <= layout.MOST_LEVELS + 1
    for name in ("scores.png", "verdicts.png"):
        assert "Of 62 variants the 30 best and the 30 worst are drawn." in pictures[name].caption
    for name in ("heat_map.png", "score_curves.png", "discriminator.png"):
        assert "8 of 31 of `lr_ratio`, evenly chosen" in pictures[name].caption


def test_the_first_and_the_last_level_are_drawn() -> None:
    evidence = make_evidence({"lr": [str(level) for level in range(20)]}, 1)
    levels = layout.drawn_levels(evidence, "lr")
    assert len(set(levels)) == layout.MOST_LEVELS and (levels[0], levels[-1]) == ("0", "19")
    few = make_evidence({"lr": ["1", "2"]}, 1)
    assert layout.drawn_levels(few, "lr") == ["1", "2"] and layout.left_out(few, "lr", None) == ""
