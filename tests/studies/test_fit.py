"""Settings that are each allowed and make no GAN together."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from gan.errors import InputError
from gan.model.networks import players
from gan.plugins import registry
from gan.replica import Scoring
from gan.scores import scores_of
from gan.targets import make_target
from gan.variant import Variant
from studies import fit, schema
from studies.fit import CHECK_NEEDS, FITTED, UNEVEN, check_device, check_fit, check_theory
from studies.tune import Parameter

from .texts import ALONE, changed, refusal, resolved


def study(target: str, settings: dict[str, Any]) -> str:
    score = scores_of(make_target(target))[0].name
    base = "".join(
        f"{name} = {list(value) if isinstance(value, tuple) else value!r}\n" for name, value in settings.items()
    )
    return changed(
        ALONE,
        ('"gaussian"', f'"{target}"'),
        ("batch_size = 64\n", base),
        ('"ks"', f'"{score}"'),
        ("{ ks", f"{{ {score}"),
    )


IMAGE: dict[str, Any] = {"generator_output": "tanh", "batch_size": 32}
POINT: dict[str, Any] = {"generator": "point", "discriminator": "slope", "batch_size": 2}
FIXED: dict[str, Any] = {"generator": "fixed_gaussian", "latent_dim": 1}

GOOD = [
    ("gaussian", {}),
    ("gaussian", {"loss": "wasserstein", "penalty": "wgan_gp"}),
    ("gaussian", FIXED),
    ("mixture", FIXED),
    ("gaussian", {"discriminator_output": "probability", "loss": "saturating"}),
    ("digits", IMAGE),
    ("digits", IMAGE | {"discriminator": "conv", "penalty": "r1"}),
    ("point", POINT | {"loss": "wasserstein", "optimiser": "sgd"}),
    ("point", POINT | {"penalty": "r1"}),  # the Dirac-GAN
]


@pytest.mark.parametrize(("target", "settings"), GOOD)
def test_what_goes_together_is_accepted(target: str, settings: dict[str, Any], tmp_path: Path) -> None:
    (variant,) = resolved(tmp_path, study(target, settings)).variants.values()
    assert variant == Variant(**settings)


PROBABILITY: dict[str, Any] = {"discriminator_output": "probability"}
CONV: dict[str, Any] = IMAGE | {"discriminator": "conv", "discriminator_channels": (2, 2, 2, 2)}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("gaussian", PROBABILITY | {"loss": "wasserstein"}, "discriminator_output: the loss wasserstein has no form"),
    ("gaussian", PROBABILITY | {"penalty": "r1"}, "discriminator_output: the penalty r1 needs a critic's output; exp"),
    ("gaussian", PROBABILITY | {"penalty": "wgan_gp"}, "discriminator_output: the penalty wgan_gp needs a critic's"),
    (
        "point",
        {"discriminator": "slope"},
        "generator: mlp is for gaussian, mixture, digits, mnist or",
    ),
    (
        "point",
        {"generator": "point"},
        "discriminator: mlp is for gaussian, mixture, digits, mnist or",
    ),
    (
        "point",
        POINT | {"generator_output": "tanh"},
        "generator_output: the target point needs another; expected linear",
    ),
    ("point", POINT | {"generator_norm": "batch"}, "generator_norm: point has no layers to normalise"),
    ("point", POINT | {"discriminator_norm": "batch"}, "discriminator_norm: slope has no layers to normalise"),
    (
        "gaussian",
        {"generator": "point"},
        "generator: point is for point, and not for gaussian",
    ),
    ("gaussian", {"discriminator": "slope"}, "discriminator: slope is for point, and not for gaussian; expected mlp"),
    ("digits", IMAGE | {"generator": "point"}, "generator: point is for point, and not for digits; expected mlp"),
    ("digits", IMAGE | FIXED, "generator: fixed_gaussian is for gaussian or mixture, and not for digits"),
    ("point", POINT | FIXED, "generator: fixed_gaussian is for gaussian or mixture, and not for point"),
    ("gaussian", FIXED | {"latent_dim": 2}, "latent_dim: fixed_gaussian scales its latent"),
    ("gaussian", FIXED | {"latent": "uniform"}, "latent_dim: fixed_gaussian scales its latent"),
    ("gaussian", FIXED | {"generator_norm": "batch"}, "generator_norm: fixed_gaussian has no layers to normalise"),
    ("gaussian", {"generator_output": "sigmoid"}, "generator_output: the target gaussian needs another; expected lin"),
    ("digits", {"batch_size": 32}, "generator_output: the target digits needs another; expected tanh or sigmoid"),
    (
        "mixture",
        {"discriminator": "conv"},
        "discriminator: conv is for digits, mnist or fashion_mnist",
    ),
    ("digits", CONV, "discriminator_channels: 4 layers halve a side of 8 to nothing; expected at most 3"),
    ("digits", IMAGE | {"batch_size": 1000}, "batch_size: 1000 is more than the 997 images"),
    (
        "digits",
        IMAGE | {"batch_size": 83, "generator_norm": "batch"},
        "batch_size: 83 leaves a last batch of 1 of 997",
    ),
]


@pytest.mark.parametrize(("target", "settings", "said"), BAD)
def test_what_does_not_is_refused_at_its_setting(
    target: str, settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, study(target, settings)).startswith(said)


class Watched:
    """A variant that remembers what was asked of it."""

    def __init__(self, variant: Variant) -> None:
        self.variant, self.asked = variant, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self.variant, name)


def test_what_decides_a_fit_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever tunes relies on it: settings that are not named decide nothing, so any value of them goes. Networks are
    # built only to see how many samples their layers need, which their norms decide.
    monkeypatch.setattr(fit, "players", lambda watched, shape: players(watched.variant, shape))
    asked: set[str] = set()
    networks: list[dict[str, Any]] = [{}, IMAGE, IMAGE | {"discriminator": "conv"}, POINT, FIXED]
    extras: list[dict[str, Any]] = [{}, {"generator_norm": "batch"}, {"discriminator_output": "probability"}]
    for target, settings, extra in itertools.product(map(make_target, registry.names("target")), networks, extras):
        watched = Watched(Variant(**settings, **extra))
        with contextlib.suppress(InputError):
            check_fit(cast("Variant", watched), Scoring(), target, "x.toml")
        asked |= watched.asked
    assert asked == FITTED and UNEVEN < FITTED


def test_every_check_has_a_target_to_measure_on() -> None:
    assert set(CHECK_NEEDS) == set(schema.CHECKS)
    for check in schema.CHECKS:
        fitting = [name for name in registry.names("target") if CHECK_NEEDS[check] in make_target(name).provides]
        assert fitting
        for name in registry.names("target"):
            if name in fitting:
                check_theory([check], make_target(name), "x.toml")
            else:
                with pytest.raises(
                    InputError, match=rf"x.toml: report.checks: {check} .* on {name}; expected the target"
                ):
                    check_theory([check], make_target(name), "x.toml")


def test_a_precision_that_the_device_lacks_is_refused_by_the_variant_or_the_search_that_asks_for_it() -> None:
    variants = {"plain": Variant(), "half": Variant(precision="bfloat16"), "fast": Variant(precision="tf32")}
    search = (Parameter("precision", "categorical", choices=("float32", "tf32")),)
    for its, space, expected in (
        (variants, (), "mine: variant fast: precision: tf32 needs CUDA.*cpu; expected float32 or bfloat16"),
        ({"plain": Variant()}, search, "mine: tune.space.precision: precision: tf32 needs CUDA"),
    ):
        with pytest.raises(InputError, match=expected):
            check_device("mine", its, space, "cpu")
        check_device("mine", its, space, "cuda")
    del variants["fast"]
    check_device("mine", variants, (Parameter("lr", "float", 1e-4, 1e-2),), "cpu")
