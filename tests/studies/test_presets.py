"""The presets against the documents' systems: every row of their table, setting by setting, at full scale.

Nothing here is taken from the study files.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest

from gan.targets import Images, make_target
from gan.variant import LEAKY_SLOPE, LINEAR_SCHEDULE_END, Variant
from studies import schema

Settings = dict[str, Any]
SYSTEMS = ("system-a", "system-b", "system-c", "system-d")

# What all of them have, then what each has. Settings beside each other are of a row of the documents' table.
COMMON: Settings = {
    **{"latent": "normal", "generator": "mlp", "optimiser": "adam", "beta2": 0.999, "loss": "non_saturating"},
    **{"penalty": "none", "critic_steps": 1, "updates": "alternating"},  # which none of the documents has
}
ON_MNIST: Settings = {"initialisation": "default", "schedule": "constant", "passes": "separate", "last_batch": "keep"}
TABLE: dict[str, Settings] = {
    "system-a": {
        **COMMON,
        **{"latent_dim": 20, "generator_hidden": (32, 32), "generator_norm": "none", "generator_activation": "relu"},
        **{"generator_output": "linear", "discriminator": "mlp", "discriminator_hidden": (32, 64, 32)},
        **{"discriminator_norm": "none", "discriminator_activation": "relu", "discriminator_output": "logit"},
        **{"initialisation": "normal_002", "beta1": 0.9, "lr_discriminator": 1e-3, "lr_generator": 5e-4},
        **{"lr_ratio": 2.0, "schedule": "linear", "batch_size": 512, "passes": "joint", "reduction": "mean"},
        **{"latents": "fresh"},
    },
    "system-b": {
        **COMMON,
        **ON_MNIST,
        **{"latent_dim": 64, "generator_hidden": (128, 256, 512, 1024), "generator_norm": "batch"},
        **{"generator_activation": "relu", "batchnorm_momentum": 0.1, "generator_output": "sigmoid"},  # in [0, 1]
        **{"discriminator": "mlp", "discriminator_hidden": (512, 256, 128), "discriminator_norm": "none"},
        **{"discriminator_activation": "leaky_relu", "discriminator_output": "logit", "beta1": 0.9},
        **{"lr_discriminator": 1e-4, "lr_generator": 1e-4, "batch_size": 256, "reduction": "mean", "latents": "fresh"},
    },
    "system-c": {
        **COMMON,
        **ON_MNIST,
        **{"latent_dim": 100, "generator_hidden": (256, 512), "generator_norm": "none"},
        **{"generator_activation": "leaky_relu", "generator_output": "tanh"},  # in [-1, 1]
        **{"discriminator": "mlp", "discriminator_hidden": (512, 256), "discriminator_norm": "none"},
        **{"discriminator_activation": "leaky_relu", "discriminator_output": "logit", "beta1": 0.9},
        **{"lr_discriminator": 2e-4, "lr_generator": 2e-4, "batch_size": 64, "reduction": "sum_of_means"},
        **{"latents": "reused"},
    },
    "system-d": {
        **COMMON,
        **ON_MNIST,
        **{"latent_dim": 100, "generator_hidden": (256, 512, 1024), "generator_norm": "batch"},
        **{"generator_activation": "relu", "batchnorm_momentum": 0.8, "generator_output": "tanh"},
        **{"discriminator": "conv", "discriminator_channels": (64, 128), "discriminator_norm": "batch"},
        **{"discriminator_activation": "leaky_relu", "discriminator_output": "probability", "beta1": 0.5},
        **{"lr_discriminator": 2e-4, "lr_generator": 2e-4, "batch_size": 128, "reduction": "sum_of_means"},
        **{"latents": "reused"},
    },
}


@cache
def full(name: str) -> schema.Resolved:
    return schema.resolve(schema.load(name), "full")


def only_variant(name: str) -> Variant:
    (variant,) = full(name).variants.values()
    return variant


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_preset_is_the_documents_system(name: str) -> None:
    variant = only_variant(name)
    for setting, expected in TABLE[name].items():
        value = getattr(variant, setting)
        assert value == (pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected), setting


def test_system_a_learns_the_documents_gaussian_as_long_as_they_say() -> None:
    laptop = schema.resolve(schema.load("system-a"), "laptop")
    assert full("system-a").target.label == "N(3, 2²)" and full("system-a").steps == 3000
    assert (laptop.steps, laptop.seeds, laptop.overrides) == (3000, 24, {})
    assert laptop.variants == full("system-a").variants


@pytest.mark.parametrize(
    ("name", "epochs", "steps_per_epoch", "last", "sampling"),
    [
        ("system-b", 500, 235, 96, "train"),
        ("system-c", 50, 938, 32, "eval"),
        ("system-d", 50, 469, 96, "eval"),
    ],
)
def test_the_others_learn_mnist_in_so_many_epochs_and_sample_as_was_shown(
    name: str, epochs: int, steps_per_epoch: int, last: int, sampling: str
) -> None:
    resolved, batch = full(name), only_variant(name).batch_size
    assert isinstance(resolved.target, Images) and resolved.target.label == "MNIST"
    images = resolved.target.train_size
    assert math.ceil(images / batch) == steps_per_epoch and images % batch == last
    assert resolved.steps == epochs * steps_per_epoch and resolved.scoring.sampling == sampling


def test_the_constants_of_the_table() -> None:
    assert (LEAKY_SLOPE, LINEAR_SCHEDULE_END) == (0.2, 0.001)


def test_what_runs_by_default() -> None:
    assert [name for name in (*SYSTEMS, "system-e") if schema.load(name).default] == ["system-a"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_the_full_scale_is_the_documents_own(name: str) -> None:
    study = schema.load(name)
    assert full(name).overrides == {}
    for scale in ("smoke", "laptop"):
        resolved = schema.resolve(study, scale)
        if resolved.steps < full(name).steps or resolved.overrides:
            assert resolved.report["notes"]  # what was shortened or narrowed is said
        # A laptop may shorten a system; narrowed, as a smoke run may, it would be another.
        assert not resolved.overrides or scale == "smoke"


PUBLISHED = {
    "system-a": {("loss_discriminator_last", None): 0.6926, ("loss_generator_last", None): 0.6935},
    "system-b": {},
    "system-c": {},
    "system-d": {
        ("loss_discriminator_epoch", 45): 0.3414,
        ("loss_generator_epoch", 45): 2.7712,
        ("loss_discriminator_epoch", 50): 0.3680,
        ("loss_generator_epoch", 50): 2.7854,
    },
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_published_figures_are_the_documents_own(name: str) -> None:
    resolved = full(name)
    assert {(f["quantity"], f["at_epoch"]): f["value"] for f in resolved.published} == PUBLISHED[name]
    assert all(f["steps"] == resolved.steps and f["source"] and f["protocol"] for f in resolved.published)
    assert not any(f["not_comparable"] for f in resolved.published)


def test_published_figures_of_mnist_are_those_of_the_paper() -> None:
    figures = {f["variant_levels"]["loss"]: f for f in full("mnist").published}
    assert {loss: (f["quantity"], f["value"], f["spread"]) for loss, f in figures.items()} == {
        "saturating": ("fid_10k", 9.8, 0.9),
        "non_saturating": ("fid_10k", 6.8, 0.5),
    }
    assert all("Inception" in f["not_comparable"] and "Lucic" in f["source"] for f in figures.values())


def test_system_e_is_the_game_without_a_nash_descent() -> None:
    resolved = full("system-e")
    assert resolved.target == make_target("point") and resolved.steps == 300
    assert resolved.factors == {"updates": ["simultaneous", "alternating"], "lr": [0.05, 0.1, 0.2, 0.5]}
    for variant in resolved.variants.values():
        # The losses yx and -yx: no half, no average over halves, and no optimiser between gradient and step.
        assert (variant.generator, variant.discriminator, variant.loss) == ("point", "slope", "wasserstein")
        assert (variant.reduction, variant.optimiser, variant.schedule) == ("sum_of_means", "sgd", "constant")
        assert variant.lr_discriminator == variant.lr_generator == variant.lr
        assert (variant.penalty, variant.critic_steps, variant.batch_size) == ("none", 1, 2)
    assert resolved.scoring.evaluations == 100 and resolved.report["score"] == "radius"
    assert resolved.checks == ["bilinear"] and list(resolved.claims) == [5]


@pytest.mark.parametrize("name", ["gaussian", "digits"])
def test_learning_rate_ratios_are_those_of_the_protocol(name: str) -> None:
    assert schema.load(name).grid["lr_ratio"] == [0.25, 0.5, 1.0, 2.0, 4.0]


# mnist has 8, the fewest with which Holm's correction over its 6 effects can resolve one; tuned-mnist is for a GPU.
@pytest.mark.parametrize("name", [n for n in schema.available() if n not in ("mnist", "tuned-mnist")])
def test_a_laptop_runs_enough_seeds(name: str) -> None:
    resolved = schema.resolve(schema.load(name), "laptop")
    assert resolved.seeds >= (10 if isinstance(resolved.target, Images) else 12)


@pytest.mark.parametrize(("name", "like"), [("tuned-gaussian", "gaussian"), ("tuned-digits", "digits")])
def test_what_is_tuned_is_what_was_compared_untuned(name: str, like: str) -> None:
    tuned, untuned = full(name), full(like)
    assert tuned.target == untuned.target and tuned.report["reached"] == untuned.report["reached"]
    assert (tuned.steps, tuned.seeds, tuned.report["score"]) == (untuned.steps, untuned.seeds, untuned.report["score"])
    assert tuned.factors == {"loss": ["non_saturating", "saturating"], "generator_norm": ["none", "batch"]}
    for variant_name, variant in tuned.variants.items():
        assert untuned.variants[f"{variant_name} lr_ratio=1"] == variant
    assert tuned.tune is not None and {p.name for p in tuned.tune.space} == {"lr", "lr_ratio", "beta1"}
    for parameter in tuned.tune.space:  # no variant is already outside of what is searched
        assert parameter.low is not None and parameter.high is not None
        assert all(parameter.low <= getattr(v, parameter.name) <= parameter.high for v in tuned.variants.values())


def test_mnist_is_tuned_with_the_published_budget() -> None:
    resolved, tune = full("tuned-mnist"), full("tuned-mnist").tune
    assert tune is not None and (tune.trials, tune.seeds, resolved.seeds, resolved.steps) == (100, 1, 50, 15_625)
    space = {parameter.name: parameter for parameter in tune.space}
    assert (space["lr"].low, space["lr"].high, space["lr"].log) == (1e-5, 1e-2, True)
    assert space["critic_steps"].choices == (1, 5) and space["discriminator_norm"].choices == ("none", "batch")
    for variant in resolved.variants.values():
        # In one pass BatchNorm in D would mix real and fake.
        assert (variant.batch_size, variant.latent_dim, variant.passes) == (64, 64, "separate")
    assert "Lucic" in resolved.report["notes"]


@pytest.mark.parametrize("name", schema.groups()["tuned"])
def test_every_scale_of_tuned_has_a_budget(name: str) -> None:
    study = schema.load(name)
    for scale in study.scales:
        resolved = schema.resolve(study, scale)
        assert resolved.tune is not None and resolved.tune.trials % resolved.tune.batch == 0
        assert resolved.tune.score == resolved.report["score"] and resolved.tune.direction == "lower"
        assert resolved.scoring.split == "both" and list(resolved.claims) == [5]
