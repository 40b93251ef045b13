"""What a replica's id hashes: what decides its result, and nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from gan.plugins import TargetFamily, registry
from gan.replica import ENGINE_VERSION, Scoring, replica_id, scored_by, train_id
from gan.scores import Score, line, scores_of
from gan.targets import Gaussian, Images, Mixture, Point, Target, make_target
from gan.variant import Variant

DIGITS = Images("digits")
EXTRA = Score("another", "Another", "lower", lambda samples, reference: 0.0)


def id_of(variant: Variant, target: Target, scoring: Scoring) -> str:
    return replica_id(variant, 3, target=target, steps=100, scoring=scoring, device="cpu")


@dataclass(frozen=True, kw_only=True)
class WiderVariant(Variant):
    new: float = 0.5


@dataclass(frozen=True, kw_only=True)
class WiderScoring(Scoring):
    new: int = 7


@dataclass(frozen=True)
class WiderGaussian(Gaussian):
    new: float = 0.0


def test_a_new_setting_renames_nothing_that_leaves_it_at_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = id_of(Variant(lr=1e-3), Gaussian(std=3.0), Scoring(evaluations=4))
    monkeypatch.setitem(registry.built_in, ("target", "gaussian"), TargetFamily("gaussian", WiderGaussian))

    def wider(**new: Any) -> str:
        variant = WiderVariant(lr=1e-3, **({"new": new["variant"]} if "variant" in new else {}))
        target = WiderGaussian(std=3.0, **({"new": new["target"]} if "target" in new else {}))
        return id_of(variant, target, WiderScoring(evaluations=4, new=new.get("scoring", 7)))

    assert wider() == before
    assert len({before, wider(variant=1.0), wider(target=1.0), wider(scoring=8)}) == 4


def test_training_and_scoring_are_hashed_apart() -> None:
    def trained(variant: Variant, target: Target) -> str:
        return train_id(variant, 3, target=target, steps=100, device="cpu")

    assert trained(Variant(), Gaussian()) != trained(Variant(lr=1e-3), Gaussian()) != trained(Variant(), Gaussian(1.0))
    scored = [scored_by(Scoring(), Gaussian()), scored_by(Scoring(), Mixture()), scored_by(Scoring(), DIGITS)]
    assert len(set(scored)) == 3
    assert id_of(Variant(), Gaussian(), Scoring()) != id_of(Variant(), Gaussian(), Scoring(evaluations=5))


@pytest.mark.parametrize("change", ["a definition", "another score"])
def test_a_new_definition_renames_no_replica_and_is_another_scoring(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> tuple[str, str]:
        return id_of(Variant(), Gaussian(), Scoring()), scored_by(Scoring(), Gaussian())

    id, scoring = names()
    first, *rest = scores_of(Gaussian())
    changed = (dataclasses.replace(first, version=9), *rest) if change == "a definition" else (first, *rest, EXTRA)
    monkeypatch.setattr(line, "scores", lambda target: changed)
    assert names()[0] == id and names()[1] != scoring


@pytest.mark.parametrize("target", [Gaussian(), DIGITS, Point()], ids=lambda t: t.name)
def test_each_split_has_ids_of_its_own(target: Target) -> None:
    scorings = [Scoring(), Scoring(split="validation"), Scoring(split="both")]
    assert len({id_of(Variant(), target, scoring) for scoring in scorings}) == 3


def test_ids_stand() -> None:
    # A person's runs are found by these: only a new engine version may change them.
    other = Scoring(evaluations=5, sampling="train", seed=1)
    assert ENGINE_VERSION == 4
    assert id_of(Variant(), Gaussian(), Scoring()) == "5abc000709b71d8d"
    assert id_of(Variant(lr=1e-3), Gaussian(), other) == "c27b2c2df0b1fe90"
    assert id_of(Variant(), DIGITS, Scoring()) == "9334c5591f44dfd5"
    assert id_of(Variant(lr=1e-3), DIGITS, other) == "145b112a9bcc9f7e"


VARIANT: dict[str, Any] = {
    **{"loss": "non_saturating", "reduction": "mean", "discriminator_output": "logit", "penalty": "none"},
    **{"penalty_weight": 10.0, "latent": "normal", "latent_dim": 20, "generator": "mlp", "fixed_mean": 0.0},
    **{"fixed_std": 1.0, "generator_hidden": [32, 32], "generator_norm": "none", "generator_activation": "relu"},
    **{"generator_output": "linear", "discriminator": "mlp", "discriminator_hidden": [32, 64, 32]},
    **{"discriminator_channels": [16, 32], "discriminator_norm": "none", "discriminator_activation": "relu"},
    **{"batchnorm_momentum": 0.1, "initialisation": "default", "optimiser": "adam", "lr": 0.00070710678},
    **{"lr_ratio": 1.0, "beta1": 0.9, "beta2": 0.999, "schedule": "constant", "batch_size": 128},
    **{"updates": "alternating", "critic_steps": 1, "passes": "joint", "latents": "fresh", "last_batch": "keep"},
    **{"precision": "float32"},
}
SCORING = {"evaluations": 10, "sampling": "eval", "seed": 0, "split": "test", "scores": ()}
TARGETS = {"gaussian": {"mean": 3.0, "std": 2.0}, "mixture": {"modes": 8, "spacing": 2.0, "std": 0.2}}


def test_no_default_changes_for_ids_leave_it_out() -> None:
    assert Variant().settings() == Variant().settings() | VARIANT
    assert asdict(Scoring()) == asdict(Scoring()) | SCORING
    for name, parameters in TARGETS.items():
        assert make_target(name).settings() == make_target(name).settings() | parameters
