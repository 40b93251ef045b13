"""Settings that are each allowed and do not go together: refused here, by name, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from gan import plugins
from gan.errors import InputError, nearest, shown
from gan.model.flops import parameters
from gan.replica import Scoring
from gan.scores import sample_sizes, scores_of
from gan.targets import Images, Target
from gan.variant import Variant, refused_precision
from studies.tune import Parameter

# Kinds of targets on which a check has something to measure.
CHECK_KINDS = {
    "logit_gradient": ("real_line", "image"),
    "jensen_shannon": ("real_line",),
    "optimal_discriminator": ("real_line",),
    "bilinear": ("point",),
    "layer_gradients": ("real_line", "image"),
}

# What a person calls the targets of a kind.
TARGETS = {"real_line": "gaussian or mixture", "image": "images", "point": "point"}

MOST_NUMBERS = 1_000_000_000
"""Weights of a replica, and outputs of a layer: 4 GB each."""

# The settings that decide whether a variant makes a GAN: no other is looked at below.
FITTED = frozenset(
    {
        *("generator", "generator_norm", "generator_output", "latent", "latent_dim"),
        *("discriminator", "discriminator_norm", "discriminator_output", "discriminator_channels"),
        *("loss", "penalty", "batch_size", "last_batch"),
    }
)
# Of these, numbers of which two may fit and one between them not: a last batch of one image.
NON_MONOTONE = frozenset({"batch_size"})
# The settings that decide how many numbers a replica is made of.
SIZES = frozenset({"latent_dim", "generator_hidden", "discriminator_hidden", "discriminator_channels", "batch_size"})


def check_fit(variant: Variant, scoring: Scoring, target: Target, place: str) -> None:
    """Refuse a variant that makes no GAN on this target.

    Raises:
        InputError: Naming the setting and what it would need.
    """
    _check_players(variant, target, place)
    outputs = ("tanh", "sigmoid") if isinstance(target, Images) else ("linear",)
    if variant.generator_output not in outputs:
        raise InputError(
            f"{place}: generator_output: the target {target.name} needs another; expected {' or '.join(outputs)}, "
            f"got {variant.generator_output!r}"
        )
    _check_losses(variant, place)
    if isinstance(target, Images):
        _check_batches(variant, scoring, target, place)
    if variant.discriminator == "conv":
        if not isinstance(target, Images):
            raise InputError(f"{place}: discriminator: conv needs an image target, got {target.name}; expected mlp")
        if target.side >> len(variant.discriminator_channels) < 1:
            raise InputError(
                f"{place}: discriminator_channels: {len(variant.discriminator_channels)} layers halve a side of "
                f"{target.side} to nothing; expected at most {target.side.bit_length() - 1}"
            )


def check_size(variant: Variant, target: Target, place: str) -> None:
    """Refuse networks and batches that no machine holds.

    Raises:
        InputError: Naming how many numbers they are.
    """
    weights = parameters(variant, target.dimension)
    if weights > MOST_NUMBERS:
        raise InputError(
            f"{place}: generator_hidden, discriminator_hidden: networks of {weights:,} weights; expected at most "
            f"{MOST_NUMBERS:,}"
        )
    widest = max(variant.latent_dim, target.dimension, *variant.generator_hidden, *variant.discriminator_hidden)
    if variant.batch_size * widest > MOST_NUMBERS:
        raise InputError(
            f"{place}: batch_size: {variant.batch_size:,} samples in a layer of {widest:,} are "
            f"{variant.batch_size * widest:,} numbers; expected at most {MOST_NUMBERS:,}"
        )


def check_device(study: str, variants: Mapping[str, Variant], space: Sequence[Parameter], device: str) -> None:
    """Refuse a study that asks of a device what it cannot do.

    Args:
        study: Its name, which the message begins with.
        variants: Of its grid, by name.
        space: What is searched, of a study that is tuned.
        device: ``cpu`` or ``cuda``, as the study is planned for.

    Raises:
        InputError: Naming the variant, or that the search would draw it.
    """
    asking = {f"variant {name}": variant.precision for name, variant in variants.items()}
    asking |= {f"tune.space.{p.name}": level for p in space if p.name == "precision" for level in p.choices}
    for asked, precision in asking.items():
        if refused := refused_precision(precision, device):
            raise InputError(f"{study}: {asked}: {refused}")


def _check_players(variant: Variant, target: Target, place: str) -> None:
    """The game in two numbers has players of its own; a fixed Gaussian plays on the real line alone."""
    point = target.kind == "point"
    players: tuple[tuple[Literal["generator", "discriminator"], str], ...] = (
        ("generator", "point"),
        ("discriminator", "slope"),
    )
    for player, its_own in players:
        chosen = getattr(variant, player)
        if point and chosen != its_own:
            raise InputError(
                f'{place}: {player}: the target {target.name} has its own; expected "{its_own}", got {chosen!r}'
            )
        if chosen == its_own and not point:
            raise InputError(f"{place}: {player}: {its_own} needs the target point, got {target.name}; expected mlp")
        if player in variant.own() and target.kind not in (kinds := plugins.network(player, chosen).targets):
            expected = " or ".join(TARGETS[kind] for kind in kinds)
            raise InputError(f"{place}: {player}: {chosen} is not for {target.name}; expected the target {expected}")
    if variant.generator == "fixed_gaussian" and target.kind != "real_line":
        raise InputError(
            f"{place}: generator: fixed_gaussian needs a target of one dimension, got {target.name}; expected mlp"
        )
    if variant.generator == "fixed_gaussian" and (variant.latent, variant.latent_dim) != ("normal", 1):
        raise InputError(
            f'{place}: latent_dim: fixed_gaussian scales its latent; expected latent = "normal" and latent_dim = 1, '
            f"got {variant.latent!r} and {variant.latent_dim}"
        )
    if variant.generator in ("fixed_gaussian", "point") and variant.generator_norm == "batch":
        raise InputError(f"{place}: generator_norm: {variant.generator} has no layers to normalise; expected none")
    if point and variant.discriminator_norm == "batch":
        raise InputError(f"{place}: discriminator_norm: slope has no layers to normalise; expected none")


def _check_losses(variant: Variant, place: str) -> None:
    if variant.discriminator_output == "logit":
        return
    if variant.loss == "wasserstein":
        raise InputError(f"{place}: discriminator_output: the wasserstein loss needs a critic's output; expected logit")
    if "loss" in variant.own():
        raise InputError(
            f"{place}: discriminator_output: {variant.loss} is a plugin's loss, of a logit; expected logit"
        )
    if variant.penalty != "none":
        raise InputError(
            f"{place}: discriminator_output: the penalty {variant.penalty} needs a critic's output; expected logit"
        )


def _check_batches(variant: Variant, scoring: Scoring, target: Images, place: str) -> None:
    """Refuse batches that a data set cannot fill, or that leave one sample to BatchNorm."""
    batch, images = variant.batch_size, target.train_size
    if batch > images:
        raise InputError(f"{place}: batch_size: {batch} is more than the {images:,} images of {target.name}")
    norms = "batch" in (variant.generator_norm, variant.discriminator_norm)
    if norms and variant.last_batch == "keep" and images % batch == 1:
        raise InputError(
            f"{place}: batch_size: {batch} leaves a last batch of one of {images:,} images, and BatchNorm needs two; "
            'expected another size, or last_batch = "drop"'
        )
    if scoring.sampling == "train" and norms and any(size % batch == 1 for size in sample_sizes(target)):
        raise InputError(
            f"{place}: batch_size: {batch} leaves one of the scored samples to a batch of its own, and BatchNorm needs "
            'two; expected another size, or scoring.sampling = "eval"'
        )


def check_scores(scores: Sequence[str], target: Target, place: str) -> None:
    """Refuse scores that no plugin has, or that are for other targets.

    Raises:
        InputError: Naming the score.
    """
    for name in scores:
        said = f"{place}: scoring.scores: {shown(name)}"
        if name not in (known := plugins.names("score")):
            if name in [score.name for score in scores_of(target)]:
                raise InputError(f"{said}: {target.name} has it anyway; expected scores of plugins alone")
            valid = nearest(name, known) if known else plugins.NEEDS_PLUGIN
            raise InputError(f"{said}: no such score; expected one of a plugin; {valid}")
        if scores.count(name) > 1:
            raise InputError(f"{said}: stands there twice; expected distinct scores")
        if target.kind not in (kinds := plugins.score(name).targets):
            expected = " or ".join(TARGETS[kind] for kind in kinds)
            raise InputError(f"{said}: not for {target.name}; expected the target {expected}")


def check_theory(checks: list[str], target: Target, place: str) -> None:
    """Refuse a check that has nothing to measure on this target.

    Raises:
        InputError: Naming the check and the targets it is for.
    """
    for check in checks:
        kinds = CHECK_KINDS[check]
        if target.kind not in kinds:
            expected = " or ".join(TARGETS[kind] for kind in kinds)
            raise InputError(
                f"{place}: report.checks: {check} has nothing to measure on {target.name}; expected the target "
                f"{expected}"
            )
