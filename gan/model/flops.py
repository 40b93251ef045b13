"""Work counted from the layers of a variant: operations of a step, weights of its networks. No torch needed."""

from __future__ import annotations

import math

from gan.model.networks import Network, players
from gan.plugins import registry
from gan.variant import Variant

Shape = tuple[int, ...]


def flops_per_step(variant: Variant, shape: Shape) -> float:
    """Count the floating-point operations of one training step, two for each multiply-add of a product.

    A step of the discriminator runs G forward and D forward and backward on both halves, and with a penalty some passes
    of D more on one half's worth (R1 and WGAN-GP: forward and backward twice); the generator's step runs D forward and
    backward to its input on the fakes, and G backward (and forward again when latents are fresh). What nobody needs is
    not counted: the gradient on the input of D's first layer in its own step, and on that of G's.

    Args:
        variant: Every detail of it.
        shape: Of a sample.
    """
    generator, discriminator = players(variant, shape)
    g, d = macs(generator), macs(discriminator)
    penalty = registry.penalty(variant.penalty)
    critic = (2 * 3 + (penalty.passes if penalty else 0)) * d - 2 * _first(discriminator) + g
    g_passes = 3 if variant.latents == "fresh" else 2
    return 2.0 * variant.batch_size * (variant.critic_steps * critic + 2 * d + g_passes * g - _first(generator))


def weights(variant: Variant, shape: Shape) -> int:
    """Count the numbers of the matrices of both players: all parameters but biases and BatchNorm's."""
    layers = [layer for network in players(variant, shape) for layer in network.layers]
    return sum(math.prod(its) for layer in layers for its in layer.params().values() if len(its) > 1)


def macs(network: Network) -> int:
    """Count the multiply-adds of one sample through a network."""
    return sum(layer.macs() for layer in network.layers)


def _first(network: Network) -> int:
    """Count the multiply-adds of one sample through the first layer that has any."""
    return next((layer.macs() for layer in network.layers if layer.macs()), 0)
