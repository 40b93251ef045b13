"""Settings that are each allowed and do not go together: refused here, by name, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from gan.errors import InputError, nearest, shown
from gan.model.flops import weights
from gan.model.networks import players
from gan.plugins import registry
from gan.replica import Scoring
from gan.scores import sample_sizes, scores_of
from gan.targets import Target, make_target
from gan.variant import Variant, refused_precision
from studies.tune import Parameter

CHECK_NEEDS: Final[dict[str, str]] = {
    "logit_gradient": "samples",
    "jensen_shannon": "density",
    "optimal_discriminator": "density",
    "bilinear": "game",
    "layer_gradients": "samples",
}
"""What a target must provide for a check to have something to measure."""

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
    for player in ("generator", "discriminator"):
        _check_network(player, variant, target, place)
    outputs = target.generator_outputs
    if variant.generator_output not in outputs:
        raise InputError(
            f"{place}: generator_output: the target {target.name} needs another; expected {' or '.join(outputs)}, "
            f"got {variant.generator_output!r}"
        )
    _check_losses(variant, place)
    if target.train_size is not None:
        _check_batches(variant, scoring, target, target.train_size, place)


def check_size(variant: Variant, target: Target, place: str) -> None:
    """Refuse networks and batches that no machine holds.

    Raises:
        InputError: Naming how many numbers they are.
    """
    numbers = weights(variant, target.shape)
    if numbers > MOST_NUMBERS:
        raise InputError(
            f"{place}: generator_hidden, discriminator_hidden: networks of {numbers:,} weights; expected at most "
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


def _check_network(player: Literal["generator", "discriminator"], variant: Variant, target: Target, place: str) -> None:
    """Refuse a kind of network that is not for this target, or that these settings make none of."""
    name = getattr(variant, player)
    kind = registry.network(player, name)
    if not kind.needs <= target.provides:
        others = [other for other in registry.names(player) if registry.network(player, other).needs <= target.provides]
        raise InputError(
            f"{place}: {player}: {name} is for {_targets(kind.needs)}, and not for {target.name}; expected "
            f"{_or(others)}, got {name!r}"
        )
    if refused := kind.refuses(variant, target.shape):
        raise InputError(f"{place}: {refused}")


def _check_losses(variant: Variant, place: str) -> None:
    if variant.discriminator_output == "logit":
        return
    if registry.loss(variant.loss).on_probability is None:
        raise InputError(
            f"{place}: discriminator_output: the loss {variant.loss} has no form for a probability; expected logit"
        )
    if variant.penalty != "none":
        raise InputError(
            f"{place}: discriminator_output: the penalty {variant.penalty} needs a critic's output; expected logit"
        )


def _check_batches(variant: Variant, scoring: Scoring, target: Target, images: int, place: str) -> None:
    """Refuse batches that a data set cannot fill, or that leave fewer samples than a layer needs."""
    batch = variant.batch_size
    if batch > images:
        raise InputError(f"{place}: batch_size: {batch} is more than the {images:,} images of {target.name}")
    layers = (layer for network in players(variant, target.shape) for layer in network.layers)
    least = max(layers, key=lambda layer: layer.least_batch)
    needs = f"{type(least).__name__} needs {least.least_batch}"
    if variant.last_batch == "keep" and 0 < images % batch < least.least_batch:
        raise InputError(
            f"{place}: batch_size: {batch} leaves a last batch of {images % batch} of {images:,} images, and {needs}; "
            'expected another size, or last_batch = "drop"'
        )
    if scoring.sampling == "train" and any(0 < size % batch < least.least_batch for size in sample_sizes(target)):
        raise InputError(
            f"{place}: batch_size: {batch} leaves one of the scored samples to a last batch, and {needs}; "
            'expected another size, or scoring.sampling = "eval"'
        )


def _targets(needs: frozenset[str]) -> str:
    """Return the targets that provide something, as a message lists them."""
    return _or([name for name in registry.names("target") if needs <= make_target(name).provides])


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "another target"


def check_scores(scores: Sequence[str], target: Target, place: str) -> None:
    """Refuse scores that no plugin has, or that are for other targets.

    Raises:
        InputError: Naming the score.
    """
    for name in scores:
        said = f"{place}: scoring.scores: {shown(name)}"
        if name not in (known := registry.plugin_names("score")):
            if name in [score.name for score in scores_of(target)]:
                raise InputError(f"{said}: {target.name} has it anyway; expected scores of plugins alone")
            valid = nearest(name, known) if known else registry.NEEDS_PLUGIN
            raise InputError(f"{said}: no such score; expected one of a plugin; {valid}")
        if scores.count(name) > 1:
            raise InputError(f"{said}: is listed twice; expected distinct scores")
        if not (needs := registry.score(name).needs) <= target.provides:
            raise InputError(f"{said}: not for {target.name}; expected the target {_targets(needs)}")


def check_theory(checks: list[str], target: Target, place: str) -> None:
    """Refuse a check that has nothing to measure on this target.

    Raises:
        InputError: Naming the check and the targets it is for.
    """
    for check in checks:
        if not (needs := frozenset({CHECK_NEEDS[check]})) <= target.provides:
            raise InputError(
                f"{place}: report.checks: {check} has nothing to measure on {target.name}; expected the target "
                f"{_targets(needs)}"
            )
