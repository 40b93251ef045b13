"""What a step must at least do: operations, bytes to and from memory, and how much memory it holds."""

from __future__ import annotations

import math

from gan.model.flops import flops_per_step, weights
from gan.variant import Variant

FLOAT = 4  # bytes


def bytes_per_step(variant: Variant, shape: tuple[int, ...]) -> float:
    """Count the bytes that one step of one replica moves if caches keep nothing from one pass over it to the next.

    4 · (2 · 4 · P + B · (passes of D · (2 · a_D + n) + passes of G · (2 · a_G + z))): P parameters (their biases and
    BatchNorm left out), their two moments and their gradients are read and written once; the outputs of each linear or
    conv layer, a_D and a_G numbers a sample, are written and read once in each pass; samples, n numbers, and latents,
    z numbers, are read once. The batch has B samples. D makes three passes, on real, on fake, and for the generator's
    step; G makes one, or two with fresh latents. Gradients of activations, which a fused program need not write, are
    left out, so it is a lower bound; but a step whose numbers stay in a cache may still be faster.

    Args:
        variant: Without a penalty.
        shape: Of a sample.
    """
    assert variant.penalty == "none", "a penalty's passes are not counted"
    d_values, g_values = _outputs(variant, shape)
    d_passes = 2 * variant.critic_steps + 1
    g_passes = variant.critic_steps + (1 if variant.latents == "fresh" else 0)
    sample = d_passes * (2 * d_values + math.prod(shape)) + g_passes * (2 * g_values + variant.latent_dim)
    return float(FLOAT * (8 * weights(variant, shape) + variant.batch_size * sample))


def bytes_held(variant: Variant, shape: tuple[int, ...], replicas: int) -> float:
    """Estimate the memory that a step of so many replicas side by side holds at its fullest.

    Parameters and moments before and after the step, gradients, and twice the outputs of every pass.
    """
    d_values, g_values = _outputs(variant, shape)
    outputs = variant.batch_size * (3 * d_values + 2 * g_values)
    return float(FLOAT * replicas * (7 * weights(variant, shape) + 2 * outputs))


def counts(variant: Variant, shape: tuple[int, ...]) -> dict[str, float]:
    """Return "flops", "bytes" and "parameters" of one step of one replica."""
    return {
        "flops": flops_per_step(variant, shape),
        "bytes": bytes_per_step(variant, shape),
        "parameters": float(weights(variant, shape)),
    }


def _outputs(variant: Variant, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the numbers a sample that the linear and conv layers of D and of G put out."""
    generator = sum(variant.generator_hidden) + math.prod(shape)
    if variant.discriminator != "conv":
        return sum(variant.discriminator_hidden) + 1, generator
    side = shape[-1]
    layers = ((channels, side >> (i + 1)) for i, channels in enumerate(variant.discriminator_channels))
    return sum(channels * its**2 for channels, its in layers) + 1, generator
