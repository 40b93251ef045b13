"""Work counted from a variant: operations of a training step, parameters of its networks. No torch needed."""

from __future__ import annotations

import math
from itertools import pairwise

from gan.variant import Variant


def flops_per_step(variant: Variant, dimension: int) -> float:
    """Count the floating-point operations of one training step, two for each multiply-add of a product.

    The discriminator's step runs D forward and backward on both halves; the generator's step runs D forward and
    backward to its input on the fakes, and G forward (twice when latents are fresh) and backward.

    Args:
        variant: Widths and batch size.
        dimension: Numbers in a sample.
    """
    g, d = generator_products(variant, dimension), discriminator_products(variant, dimension)
    g_passes = 4 if variant.latents == "fresh" else 3
    return 2.0 * variant.batch_size * ((2 * 3 + 2) * d + g_passes * g)


def parameters(variant: Variant, dimension: int) -> int:
    """Count the parameters of both players, leaving out biases and BatchNorm."""
    if variant.discriminator == "mlp":
        d = discriminator_products(variant, dimension)
    else:
        d = sum(16 * a * b for a, b in pairwise((1, *variant.discriminator_channels)))
        d += _conv_outputs(variant, dimension)
    return generator_products(variant, dimension) + d


def generator_products(variant: Variant, dimension: int) -> int:
    """Count the multiply-adds of one sample through the generator."""
    widths = (variant.latent_dim, *variant.generator_hidden, dimension)
    return sum(a * b for a, b in pairwise(widths))


def discriminator_products(variant: Variant, dimension: int) -> int:
    """Count the multiply-adds of one sample through the discriminator."""
    if variant.discriminator == "mlp":
        return sum(a * b for a, b in pairwise((dimension, *variant.discriminator_hidden, 1)))
    side, total = math.isqrt(dimension), 0
    for a, b in pairwise((1, *variant.discriminator_channels)):
        side //= 2
        total += 16 * a * b * side**2
    return total + _conv_outputs(variant, dimension)


def _conv_outputs(variant: Variant, dimension: int) -> int:
    side = math.isqrt(dimension) >> len(variant.discriminator_channels)
    return variant.discriminator_channels[-1] * side**2
