"""Work counted from a variant: operations of a training step, parameters of its networks. No torch needed."""

from __future__ import annotations

import math
from itertools import pairwise

from gan import plugins
from gan.variant import Variant


def flops_per_step(variant: Variant, dimension: int) -> float:
    """Count the floating-point operations of one training step, two for each multiply-add of a product.

    A step of the discriminator runs G forward and D forward and backward on both halves, and with a penalty D
    forward and backward twice more on one half's worth; the generator's step runs D forward and backward to its
    input on the fakes, and G backward (and forward again when latents are fresh). What nobody needs is not counted:
    the gradient on the input of D's first layer in its own step, and on that of G's.

    Args:
        variant: Widths and batch size.
        dimension: Numbers in a sample.
    """
    g, d = generator_products(variant, dimension), discriminator_products(variant, dimension)
    penalty_passes = 0 if variant.penalty == "none" else 5
    critic = (2 * 3 + penalty_passes) * d - 2 * _first_of_discriminator(variant, dimension) + g
    g_passes = 3 if variant.latents == "fresh" else 2
    generator = 2 * d + g_passes * g - _first_of_generator(variant)
    return 2.0 * variant.batch_size * (variant.critic_steps * critic + generator)


def parameters(variant: Variant, dimension: int) -> int:
    """Count the parameters of both players, leaving out biases and BatchNorm."""
    if variant.discriminator != "conv":
        d = discriminator_products(variant, dimension)
    else:
        d = sum(16 * a * b for a, b in pairwise((1, *variant.discriminator_channels)))
        d += _conv_outputs(variant, dimension)
    return generator_products(variant, dimension) + d


def generator_products(variant: Variant, dimension: int) -> int:
    """Count the multiply-adds of one sample through the generator; a plugin's that does not say is taken for an mlp."""
    if "generator" in variant.own() and (count := plugins.network("generator", variant.generator).products):
        return count(variant, dimension)
    if variant.generator in ("fixed_gaussian", "point"):
        return 1
    widths = (variant.latent_dim, *variant.generator_hidden, dimension)
    return sum(a * b for a, b in pairwise(widths))


def discriminator_products(variant: Variant, dimension: int) -> int:
    """Count the multiply-adds of one sample through the discriminator; a plugin's as a generator's."""
    if "discriminator" in variant.own() and (count := plugins.network("discriminator", variant.discriminator).products):
        return count(variant, dimension)
    if variant.discriminator == "slope":
        return 1
    if variant.discriminator != "conv":
        return sum(a * b for a, b in pairwise((dimension, *variant.discriminator_hidden, 1)))
    side, total = math.isqrt(dimension), 0
    for a, b in pairwise((1, *variant.discriminator_channels)):
        side //= 2
        total += 16 * a * b * side**2
    return total + _conv_outputs(variant, dimension)


def _first_of_generator(variant: Variant) -> int:
    """Count the multiply-adds of one sample through G's first layer; of a plugin that counts itself it is not known."""
    if "generator" in variant.own() and plugins.network("generator", variant.generator).products:
        return 0
    return 0 if variant.generator in ("fixed_gaussian", "point") else variant.latent_dim * variant.generator_hidden[0]


def _first_of_discriminator(variant: Variant, dimension: int) -> int:
    """Count the multiply-adds of one sample through D's first layer, as of G's."""
    if "discriminator" in variant.own() and plugins.network("discriminator", variant.discriminator).products:
        return 0
    if variant.discriminator == "slope":
        return 0
    if variant.discriminator == "conv":
        return 16 * variant.discriminator_channels[0] * (math.isqrt(dimension) // 2) ** 2
    return dimension * variant.discriminator_hidden[0]


def _conv_outputs(variant: Variant, dimension: int) -> int:
    side = math.isqrt(dimension) >> len(variant.discriminator_channels)
    return variant.discriminator_channels[-1] * side**2
