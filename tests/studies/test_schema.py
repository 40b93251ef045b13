"""What a study file says: spelled out, with what a report needs, whatever it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import templates
from gan.errors import InputError
from gan.variant import Variant
from studies import schema

from .texts import ALONE, FACTOR, STUDY, changed, resolved


def test_a_study_is_spelled_out(tmp_path: Path) -> None:
    laptop = resolved(tmp_path, STUDY, "laptop")
    assert (laptop.name, laptop.seeds, laptop.steps, len(laptop.variants)) == ("mine", 3, 20, 6)
    variant = laptop.variants["loss=saturating lr_ratio=2"]
    assert variant == Variant(loss="saturating", lr_ratio=2.0, batch_size=64, discriminator_hidden=(8,))
    assert resolved(tmp_path, STUDY, seeds=7).seeds == 7


@pytest.mark.parametrize("name", schema.available())
def test_our_own_studies_are_good_at_every_scale(name: str) -> None:
    study = schema.load(name)
    assert set(study.scales) == ({"full"} if name == "tuned-mnist" else set(schema.SCALES))
    for scale in study.scales:
        assert len(schema.resolve(study, scale).variants) > 1 or not study.grid


def test_the_template_is_a_good_study_and_so_is_its_tuning_uncommented(tmp_path: Path) -> None:
    template = templates.STUDY.read_text(encoding="utf-8")
    plain = resolved(tmp_path, template, "laptop")
    assert len(plain.variants) == 6 and plain.tune is None
    before, tune, after = template.partition("# [tune]\n")
    commented, _, rest = after.partition("\n\n")
    uncommented = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    tuned = resolved(tmp_path, f"{before}{tune[2:]}{uncommented}\n\n{rest}", "laptop").tune
    assert tuned is not None and (tuned.trials, tuned.sampler) == (24, "tpe")
    assert [p.name for p in tuned.space][-2:] == ["penalty", "penalty_weight"]


def test_a_study_without_a_grid_has_one_variant_and_no_factor(tmp_path: Path) -> None:
    alone = resolved(tmp_path, ALONE)
    assert list(alone.variants) == ["base"] and alone.levels == {"base": {}}
    assert alone.factors == alone.reference == {} and alone.report["factor"] is None


def test_what_a_report_needs_is_resolved(tmp_path: Path) -> None:
    text = changed(STUDY, (FACTOR, f'{FACTOR}\nclaims = [8, 1]\nchecks = ["logit_gradient"]'))
    laptop = resolved(tmp_path, text, "laptop")
    assert laptop.levels["loss=saturating lr_ratio=2"] == {"loss": "saturating", "lr_ratio": 2.0}
    assert list(laptop.levels) == list(laptop.variants)
    assert laptop.overrides == {"discriminator_hidden": [8]} and resolved(tmp_path, text).overrides == {}
    assert list(laptop.claims) == [1, 8] and "starves" in laptop.claims[1]
    assert laptop.checks == ["logit_gradient"] and laptop.published == []
    assert laptop.report == {"score": "ks", "factor": "loss", "reached": {"ks": 0.05}, "notes": ""}


@pytest.mark.parametrize(
    ("base", "expected"),
    [("", 1), ("lr_ratio = 2.0", 2.0), ("lr_ratio = 4.0", 0.5)],  # the default, the base's own, the first
)
def test_the_reference_is_the_base_s_own_level_or_the_first(base: str, expected: float, tmp_path: Path) -> None:
    study = resolved(tmp_path, changed(STUDY, ("batch_size = 64", f"batch_size = 64\n{base}")))
    assert study.reference == {"loss": "non_saturating", "lr_ratio": expected}


def test_close_levels_keep_names_of_their_own() -> None:
    assert schema.variant_name({"lr": 7.0710678e-4}) != schema.variant_name({"lr": 7.0710679e-4})
    assert schema.variant_name({"lr_ratio": 2.0, "loss": "saturating"}) == "lr_ratio=2 loss=saturating"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        *((name, f"{name}: no such study") for name in schema.RESERVED),  # files beside the studies
        ("gausian", "did you mean 'gaussian'"),
        ("tund", "tund: no such study; did you mean 'tuned'"),
        ("tuned-digit", "tuned-digit: no such study; did you mean 'tuned-digits'"),
        ("nowhere/else.toml", "no such file"),
    ],
)
def test_what_is_no_study_is_refused_with_the_nearest(typed: str, said: str) -> None:
    for load in (schema.load, schema.load_all):
        with pytest.raises(InputError, match=said):
            load(typed)
