"""What a study file may say, and how it is refused: the file, the key, what was expected, the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan.errors import InputError
from gan.variant import Variant
from studies import schema

GOOD = """
title = "t"
question = "q?"
[target]
name = "gaussian"
[base]
batch_size = 64
[grid]
loss = ["non_saturating", "saturating"]
lr_ratio = [0.5, 1, 2.0]
[report]
score = "ks"
factor = "loss"
reached = { ks = 0.05 }
[scales.smoke]
seeds = 2
steps = 10
[scales.laptop]
seeds = 3
steps = 20
base = { generator_hidden = [8] }
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_study_is_spelled_out(tmp_path: Path) -> None:
    study = schema.load(write(tmp_path, GOOD))
    resolved = schema.resolve(study, "laptop")
    assert (resolved.name, resolved.seeds, resolved.steps) == ("mine", 3, 20)
    assert len(resolved.variants) == 6
    variant = resolved.variants["loss=saturating lr_ratio=2"]
    assert variant == Variant(loss="saturating", lr_ratio=2.0, batch_size=64, generator_hidden=(8,))
    assert schema.resolve(study, "smoke", seeds=7).seeds == 7


@pytest.mark.parametrize("name", schema.available())
def test_our_own_studies_are_good_at_every_scale(name: str) -> None:
    study = schema.load(name)
    assert set(study.scales) == ({"full"} if name == "tuned-mnist" else set(schema.SCALES))
    for scale in study.scales:
        assert len(schema.resolve(study, scale).variants) > 1 or not study.grid


def test_the_template_is_a_good_study(tmp_path: Path) -> None:
    template = Path(schema.__file__).parent.parent / "benchmarks/templates/study.toml"
    study = schema.load(write(tmp_path, template.read_text(encoding="utf-8")))
    assert len(schema.resolve(study, "laptop").variants) == 6


def test_the_template_s_tuning_is_good_uncommented(tmp_path: Path) -> None:
    template = Path(schema.__file__).parent.parent / "benchmarks/templates/study.toml"
    before, tune, after = template.read_text(encoding="utf-8").partition("# [tune]\n")
    commented, _, rest = after.partition("\n\n")
    uncommented = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    resolved = schema.resolve(schema.load(write(tmp_path, f"{before}{tune[2:]}{uncommented}\n\n{rest}")), "laptop")
    assert resolved.tune is not None and (resolved.tune.trials, resolved.tune.sampler) == (24, "tpe")
    assert [p.name for p in resolved.tune.space][-2:] == ["penalty", "penalty_weight"]


BAD: dict[str, tuple[str, str, list[str]]] = {
    "unknown factor": ("lr_ratio = [0.5, 1, 2.0]", "lr_rato = [1.0]", ["grid.lr_rato", "lr_ratio"]),
    "unknown level": ('"saturating"]', '"saturatin"]', ["grid.loss", "saturating", "did you mean"]),
    "wrong type in the grid": ("[0.5, 1, 2.0]", '[0.5, "two"]', ["grid.lr_ratio", "number", "two"]),
    "a boolean is no number": ("[0.5, 1, 2.0]", "[true]", ["grid.lr_ratio", "number"]),
    "empty factor": ("[0.5, 1, 2.0]", "[]", ["grid.lr_ratio", "empty"]),
    "duplicate level": ("[0.5, 1, 2.0]", "[1, 1.0]", ["grid.lr_ratio", "twice"]),
    "unknown setting in the base": ("batch_size = 64", "batchsize = 64", ["base.batchsize", "batch_size"]),
    "wrong type in the base": ("batch_size = 64", 'batch_size = "64"', ["base.batch_size", "integer"]),
    "a fraction where whole": ("batch_size = 64", "batch_size = 6.5", ["base.batch_size", "integer"]),
    "out of range": ("batch_size = 64", "lr = -1.0", ["base.lr", "greater than 0"]),
    "infinite": ("batch_size = 64", "lr = inf", ["base.lr", "finite"]),
    "not a number": ("batch_size = 64", "lr = nan", ["base.lr"]),
    "beta of one": ("batch_size = 64", "beta2 = 1.0", ["base.beta2", "less than 1"]),
    "unknown target": ('name = "gaussian"', 'name = "gausian"', ["target", "gaussian"]),
    "unknown target parameter": ('name = "gaussian"', 'name = "gaussian"\nmu = 3', ["target", "mu", "mean"]),
    "unknown section": ("[base]", "[bass]", ["bass", "base"]),
    "unknown key of a scale": ("steps = 10", "steps = 10\nepochs = 3", ["scales.smoke.epochs", "steps"]),
    "unknown scale": ("[scales.smoke]", "[scales.tiny]", ["scales.tiny", "smoke"]),
    "missing steps": ("steps = 10", "", ["scales.smoke.steps", "missing"]),
    "no seeds": ("seeds = 2", "seeds = 0", ["scales.smoke.seeds", "greater than 0"]),
    "missing question": ('question = "q?"', "", ["question", "missing"]),
    "unknown score": ('score = "ks"', 'score = "kss"', ["report.score", "ks"]),
    "score of another target": ("{ ks = 0.05 }", "{ fid_10k = 3 }", ["report.reached.fid_10k", "ks"]),
    "factor not in the grid": ('factor = "loss"', 'factor = "beta1"', ["report.factor", "beta1", "loss"]),
    "conv on the real line": ("batch_size = 64", 'discriminator = "conv"', ["discriminator", "image"]),
    "tanh on the real line": ("batch_size = 64", 'generator_output = "tanh"', ["generator_output", "linear"]),
    "bad override of a scale": ("[8]", "[]", ["scales.laptop.base.generator_hidden"]),
    "no list of levels": ("[0.5, 1, 2.0]", "2.0", ["grid.lr_ratio", "list of levels", "2.0"]),
    "override of a factor": ("[8] }", "[8], lr_ratio = 4.0 }", ["scales.laptop.base.lr_ratio", "factor"]),
    "no factor named": ('factor = "loss"', "", ["report.factor", "missing"]),
    "claim out of range": ('factor = "loss"', 'factor = "loss"\nclaims = [9]', ["report.claims.0", "less than", "9"]),
    "claim that is no number": ('factor = "loss"', 'factor = "loss"\nclaims = ["1"]', ["report.claims.0", "integer"]),
    "claim twice": ('factor = "loss"', 'factor = "loss"\nclaims = [1, 1]', ["report.claims", "twice"]),
    "unknown check": (
        'factor = "loss"',
        'factor = "loss"\nchecks = ["logit_gradients"]',
        ["report.checks.0", "did you mean 'logit_gradient'"],
    ),
    "check twice": (
        'factor = "loss"',
        'factor = "loss"\nchecks = ["logit_gradient", "logit_gradient"]',
        ["report.checks", "twice"],
    ),
    "check of another target": (
        'factor = "loss"',
        'factor = "loss"\nchecks = ["bilinear"]',
        ["report.checks", "point"],
    ),
    "unknown key of the report": ('factor = "loss"', 'factor = "loss"\nclaim = [1]', ["report.claim", "claims"]),
    "a path inside": ('title = "t"', 'title = "t"\npath = "x"', ["path"]),
    "a place inside": ('title = "t"', 'title = "t"\nplace = "x"', ["place"]),
    "a name inside": ('title = "t"', 'title = "t"\nname = "x"', ["name"]),
    "broken TOML": ("[grid]", "[grid", ["TOML", "line"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_studies_are_refused_with_their_place(case: str, tmp_path: Path) -> None:
    old, new, words = BAD[case]
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        schema.load(path)
    message = str(refused.value)
    assert message.startswith(path)
    for word in words:
        assert word in message, message
    assert "\n" not in message


def test_a_study_without_a_grid_has_one_variant_and_no_factor(tmp_path: Path) -> None:
    alone = GOOD.replace('[grid]\nloss = ["non_saturating", "saturating"]\nlr_ratio = [0.5, 1, 2.0]\n', "")
    resolved = schema.resolve(schema.load(write(tmp_path, alone.replace('factor = "loss"\n', ""))), "smoke")
    assert list(resolved.variants) == ["base"] and resolved.levels == {"base": {}}
    assert resolved.factors == resolved.reference == {} and resolved.report["factor"] is None
    with pytest.raises(InputError, match=r"report\.factor: 'loss' is not in the grid"):
        schema.load(write(tmp_path, alone))


def test_what_a_report_needs_is_resolved(tmp_path: Path) -> None:
    text = GOOD.replace('factor = "loss"', 'factor = "loss"\nclaims = [8, 1]\nchecks = ["logit_gradient"]')
    study = schema.load(write(tmp_path, text))
    resolved = schema.resolve(study, "laptop")
    assert resolved.levels["loss=saturating lr_ratio=2"] == {"loss": "saturating", "lr_ratio": 2.0}
    assert list(resolved.levels) == list(resolved.variants)
    assert resolved.overrides == {"generator_hidden": [8]} and schema.resolve(study, "smoke").overrides == {}
    assert list(resolved.claims) == [1, 8] and "starves" in resolved.claims[1]
    assert resolved.checks == ["logit_gradient"] and resolved.published == []
    assert resolved.report == {"score": "ks", "factor": "loss", "reached": {"ks": 0.05}, "notes": ""}


@pytest.mark.parametrize(
    ("base", "expected"),
    [("", 1), ("lr_ratio = 2.0", 2.0), ("lr_ratio = 4.0", 0.5)],  # the default, the base's own, the first
)
def test_the_reference_is_the_base_s_own_level_or_the_first(base: str, expected: float, tmp_path: Path) -> None:
    study = schema.load(write(tmp_path, GOOD.replace("batch_size = 64", f"batch_size = 64\n{base}")))
    assert schema.resolve(study, "smoke").reference == {"loss": "non_saturating", "lr_ratio": expected}


def test_files_beside_the_studies_are_no_studies() -> None:
    assert not set(schema.RESERVED) & set(schema.available())
    for name in schema.RESERVED:
        with pytest.raises(InputError, match=f"{name}: no such study"):
            schema.load(name)


def test_too_many_conv_layers_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace('"gaussian"', '"digits"').replace('"ks"', '"fid_500"').replace("ks = 0.05", "modes = 10")
    text = text.replace(
        "batch_size = 64",
        'generator_output = "tanh"\ndiscriminator = "conv"\ndiscriminator_channels = [2, 2, 2, 2]',
    )
    with pytest.raises(InputError, match=r"discriminator_channels.*at most 3"):
        schema.load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("batch_size = 1000", "batch_size.*more than the 997"),
        ('batch_size = 83\ngenerator_norm = "batch"', "batch_size.*last batch of one"),
    ],
)
def test_batches_that_images_cannot_fill_are_refused(settings: str, words: str, tmp_path: Path) -> None:
    text = GOOD.replace('"gaussian"', '"digits"').replace('"ks"', '"fid_500"').replace("ks = 0.05", "modes = 10")
    text = text.replace("batch_size = 64", f'generator_output = "tanh"\n{settings}')
    with pytest.raises(InputError, match=words):
        schema.load(write(tmp_path, text))


def test_close_levels_keep_names_of_their_own() -> None:
    assert schema.variant_name({"lr": 7.0710678e-4}) != schema.variant_name({"lr": 7.0710679e-4})
    assert schema.variant_name({"lr_ratio": 2.0, "loss": "saturating"}) == "lr_ratio=2 loss=saturating"


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        schema.load("gausian")
    with pytest.raises(InputError, match="no such file"):
        schema.load("nowhere/else.toml")
