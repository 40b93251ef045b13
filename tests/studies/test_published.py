"""The documents' claims and published figures: what stands there, and which study answers to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from gan.targets import make_target
from studies import published, schema

from .texts import FIGURES, written


def test_figures_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path, FIGURES)
    (loss,) = published.figures_of("system-d", make_target("mnist"), {}, path)
    assert loss == {
        "quantity": "loss_generator_epoch",
        "label": "G's loss",
        "value": 2.7712,
        "spread": None,
        "at_epoch": 45,
        "steps": 23450,
        "protocol": "mean over an epoch",
        "source": "system D",
        "not_comparable": "",
        "variant_levels": {},
    }
    (fid,) = published.figures_of("mnist", make_target("mnist"), {"loss": ["non_saturating", "saturating"]}, path)
    assert (fid["spread"], fid["at_epoch"], fid["variant_levels"]) == (0.9, None, {"loss": "saturating"})
    assert published.figures_of("gaussian", make_target("gaussian"), {}, path) == []


def test_every_claim_is_tested_by_a_study() -> None:
    claimed = {claim for name in schema.available() for claim in schema.load(name).report.claims}
    assert claimed == set(published.claim_texts()) == set(range(1, 9))


def test_every_check_is_made_by_a_study() -> None:
    assert {check for name in schema.available() for check in schema.load(name).report.checks} == set(schema.CHECKS)


def test_published_figures_are_of_the_repository_s_studies_alone(tmp_path: Path) -> None:
    ours = schema.load("system-a")
    copy = tmp_path / "system-a.toml"
    shutil.copy(ours.path, copy)
    assert len(schema.resolve(ours, "laptop").published) == 2
    assert schema.resolve(schema.load(str(copy)), "laptop").published == []
