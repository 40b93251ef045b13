"""What is tracked of one replica, whichever store keeps it."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.running.recording import _flat
from benchmarks.tracking import tracked
from gan.variant import Variant

from .mirroring import STEPS, make_plan, record_of


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 19, 200])
def test_thinning_keeps_both_ends_and_repeats_nothing(count: int) -> None:
    points = [(step, float(step)) for step in range(count)]
    thin = tracked._thin(points)
    assert len(thin) == min(count, tracked.POINTS)
    assert thin[0] == points[0] and thin[-1] == points[-1]
    assert sorted(set(thin)) == thin
    assert count < 20 or max(np.diff([step for step, _ in thin])) < 2 * count / tracked.POINTS


def test_what_is_planned_of_a_variant_is_what_its_results_say() -> None:
    variant = Variant(lr=0.01, lr_ratio=4.0)
    said = tracked.planned(record_of(make_plan()).study, "v", variant.settings())
    row = {f"variant/{name}": _flat(value) for name, value in variant.settings().items()}
    wanted = {**row, "target": "gaussian", "steps": STEPS}
    assert tracked.params(said, ("target", "steps")) == tracked.params(wanted, ("target", "steps"))


def test_the_game_of_two_numbers_has_curves_alone() -> None:
    progress = np.zeros((5, 1, 2), np.float32)
    files = tracked.files({"radius": [(1, 2.0)]}, {"final": progress[0], "progress": progress, "steps": np.arange(5)})
    assert set(files) == {"curves.csv"}


def test_image_samples_become_grids() -> None:
    rng = np.random.default_rng(0)
    final = rng.integers(0, 256, (100, 64), np.uint8)
    progress = rng.integers(0, 256, (3, 16, 64), np.uint8)
    files = tracked.files({}, {"final": final, "progress": progress, "steps": np.array([1, 2, 3])})
    grid = np.asarray(Image.open(io.BytesIO(files["samples/final.png"])))
    assert grid.shape == (10 * 9 * 4, 10 * 9 * 4)  # ten rows of 8 pixels and a gap, four times enlarged
    row, column = 7, 3
    cell = grid[row * 36 : row * 36 + 32 : 4, column * 36 : column * 36 + 32 : 4]
    assert np.array_equal(cell, final[row * 10 + column].reshape(8, 8))
    assert np.asarray(Image.open(io.BytesIO(files["samples/progress.png"]))).shape == (3 * 36, 16 * 36)


def test_samples_that_are_not_finite_are_left_out() -> None:
    progress = np.stack([np.linspace(0, 1, 101), np.full(101, math.nan)])[..., None]
    files = tracked.files({}, {"progress": progress, "steps": np.array([10, 20])})
    rows = list(csv.DictReader(io.StringIO(files["samples/quantiles.csv"].decode())))
    assert [row["step"] for row in rows] == ["10"]
    assert float(rows[0]["0.50"]) == pytest.approx(0.5)
