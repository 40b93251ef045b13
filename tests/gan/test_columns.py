"""The table of columns: every measured number has its line, and every line says what it is."""

from __future__ import annotations

import numpy as np

from gan.columns import COLUMNS, JUDGED, NAMES, NUMBERS, results_columns
from gan.engine.summary import summarise
from gan.model.step import METRICS
from gan.variant import FIELDS, setting_meanings
from gan.verdict import Judgement


def test_what_is_measured_is_in_the_table() -> None:
    row, _ = summarise(np.ones((10, len(METRICS))), METRICS, None, 5)
    assert {*NUMBERS} < row.keys() < NAMES
    assert {*JUDGED} < {*Judgement._fields}
    assert len(NAMES) == len(COLUMNS) and all(column.meaning for column in COLUMNS)


def test_factors_follow_the_seed_and_scores_precede_the_replica() -> None:
    order = results_columns(["width"], ["ks"])
    assert order[order.index("seed") + 1] == "width" and order[-2:] == ["ks", "replica"]


def test_every_setting_says_what_it_means() -> None:
    assert list(setting_meanings()) == list(FIELDS) and all(setting_meanings().values())
