"""The branches of a training step, one table for every test that goes through them, and small cohorts to train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from gan.engine import random_streams
from gan.engine.cohort import Trainer
from gan.model.step import State, StepConfig
from gan.replica import Cohort, Mode, Replica, Scoring
from gan.targets import Gaussian, Images, Target
from gan.variant import Variant

CPU = torch.device("cpu")
LINE, DIGITS = Gaussian(), Images("digits")
Settings = dict[str, Any]

SMALL: Settings = {"batch_size": 8, "latent_dim": 4, "generator_hidden": (4,), "discriminator_hidden": (4,)}
IMAGE: Settings = {"generator_output": "tanh", "discriminator_channels": (2, 4)}
BOTH_NORMS: Settings = {"generator_norm": "batch", "discriminator_norm": "batch"}
WGAN_GP: Settings = {"loss": "wasserstein", "penalty": "wgan_gp"}
LEAKY: Settings = {"generator_activation": "leaky_relu", "discriminator_activation": "leaky_relu"}

GAMES: dict[str, tuple[Settings, Target]] = {
    "non-saturating": ({}, LINE),
    "saturating": ({"loss": "saturating", "reduction": "sum_of_means"}, LINE),
    "probability": ({"discriminator_output": "probability"}, LINE),
    "probability, saturating": ({"discriminator_output": "probability", "loss": "saturating"}, LINE),
    "sum": ({"reduction": "sum", "schedule": "linear"}, LINE),
    "wasserstein": ({"loss": "wasserstein", "lr_ratio": 4.0}, LINE),
    "wasserstein with wgan_gp": (WGAN_GP, LINE),
    "wgan_gp as published": (WGAN_GP | {"critic_steps": 3, "beta1": 0.0, "beta2": 0.9}, LINE),
    "r1": ({"penalty": "r1", "penalty_weight": 3.0}, LINE),
    "separate passes": ({"passes": "separate"}, LINE),
    "latents reused": ({"latents": "reused", "generator_norm": "batch", "critic_steps": 2}, LINE),
    "uniform latents": ({"latent": "uniform"}, LINE),
    "BatchNorm": (BOTH_NORMS, LINE),
    "leaky": (LEAKY | {"initialisation": "normal_002"}, LINE),
    "critic steps": ({"critic_steps": 2}, LINE),
    "sgd": ({"optimiser": "sgd", "lr": 0.05, "lr_ratio": 2.0, "schedule": "linear"}, LINE),
    "simultaneous": ({"updates": "simultaneous", "lr": 1e-2}, LINE),
    "bfloat16": ({"precision": "bfloat16", "generator_norm": "batch"}, LINE),
    "fixed generator": ({"generator": "fixed_gaussian", "latent_dim": 1}, LINE),
    "images": (IMAGE, DIGITS),
    "sigmoid": (IMAGE | {"generator_output": "sigmoid"}, DIGITS),
    "images with BatchNorm": (IMAGE | BOTH_NORMS | {"batchnorm_momentum": 0.8, "passes": "separate"}, DIGITS),
    "convolutions": (IMAGE | {"discriminator": "conv", "discriminator_norm": "batch"}, DIGITS),
    "convolutions with r1": (IMAGE | {"discriminator": "conv", "penalty": "r1"}, DIGITS),
    "convolutions with wgan_gp": (IMAGE | {"discriminator": "conv", "reduction": "sum_of_means"} | WGAN_GP, DIGITS),
}
UNEVEN_ROUNDING = ("BatchNorm", "bfloat16")
"""Games in which rounding grows from the first step on: into the last bits of what was rounded to eight, and, behind a
layer of one input that BatchNorm follows, into the whole steps that Adam makes of a gradient of zero."""


def replicas_of(variant: Variant, seeds: Iterable[int]) -> list[Replica]:
    return [Replica(f"{seed}", variant, seed) for seed in seeds]


def cohort_of(
    trained: Variant | Sequence[Replica], target: Target = LINE, *, steps: int = 10, mode: Mode = "vmap", **changes: Any
) -> Cohort:
    """Return a cohort of these replicas, or of a variant's first two (in a loop, its first)."""
    if isinstance(trained, Variant):
        trained = replicas_of(trained, range(1 if mode == "loop" else 2))
    given: Settings = {"compiled": False, "scoring": Scoring(evaluations=1), "width": max(2, len(trained))}
    given |= {"width": 1} if mode == "loop" else {}
    return Cohort(
        **{"id": "test", "replicas": tuple(trained), "target": target, "steps": steps, "mode": mode} | given | changes
    )


def run_of(cohort: Cohort, steps: int = 0) -> Trainer:
    """Return a cohort's training with so many steps behind it."""
    run = Trainer(cohort, cohort.replicas, Path(), CPU)
    if steps:
        run.advance(0, steps)
    return run


def begun(variant: Variant, shape: tuple[int, ...], seed: int = 0) -> tuple[StepConfig, State]:
    """Return a variant's game and one replica's state before the first step."""
    game = StepConfig.of(variant, shape)
    return game, game.initial(lambda player: random_streams.generator(seed, player, 0, CPU), variant.initialisation)
