"""Factors whose levels are named bundles of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan.variant import Variant

from .texts import BUNDLED, changed, resolved


def test_bundles_are_levels_by_name(tmp_path: Path) -> None:
    study = resolved(tmp_path, BUNDLED)
    assert study.factors == {"beta1": [0.5, 0.9], "recipe": ["r1", "plain", "sgd"]}
    assert len(study.variants) == 6
    name = "beta1=0.5 recipe=r1"
    common = {"batch_size": 64, "schedule": "linear"}
    assert study.variants[name] == Variant(penalty="r1", penalty_weight=2.0, beta1=0.5, **common)
    assert study.variants["beta1=0.9 recipe=sgd"] == Variant(optimiser="sgd", lr=0.1, **common)
    assert study.levels[name] == {"recipe": "r1", "beta1": 0.5}


@pytest.mark.parametrize(
    ("plain", "reference"),
    [("plain = {}", "plain"), ('plain = { schedule = "linear" }', "plain"), ("", "r1")],
)
def test_the_reference_bundle_is_the_one_that_changes_nothing(plain: str, reference: str, tmp_path: Path) -> None:
    study = resolved(tmp_path, changed(BUNDLED, ("plain = {}", plain)))
    assert study.reference == {"recipe": reference, "beta1": 0.9}


def test_a_bundle_wins_over_the_base(tmp_path: Path) -> None:
    study = resolved(tmp_path, changed(BUNDLED, ("plain = {}", 'plain = { schedule = "constant" }')))
    assert study.variants["beta1=0.9 recipe=plain"].schedule == "constant"
    assert study.variants["beta1=0.9 recipe=r1"].schedule == "linear"
