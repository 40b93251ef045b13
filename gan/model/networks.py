"""Networks: the two players as pure functions of parameters and buffers, and the built-in kinds.

A network is a tuple of layers. Nothing here imports torch before a network computes.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from gan.errors import CodeError, InputError, place_in_code
from gan.model.layers import Activation, Affine, BatchNorm, Conv, Layer, Linear, Point, Reshape, Slope
from gan.plugins import registry
from gan.plugins.components import NetworkKind
from gan.variant import Precision, Variant

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from gan.model.layers import Tensors


@dataclass(frozen=True)
class Network:
    """A pure function (parameters, buffers, x) -> (output, new buffers)."""

    layers: tuple[Layer, ...]
    precision: Precision = "float32"
    """In which layers that have matrices compute; what goes in and out is float32. TF32 is the device's business."""

    def __call__(
        self, params: Tensors, buffers: Tensors, x: Tensor, *, training: bool, advance: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Apply the layers in turn.

        Args:
            params: Named ``<layer>.<parameter>``, such as ``0.weight``.
            buffers: Named the same way, such as BatchNorm's ``1.mean`` and ``1.var``.
            x: [batch, inputs].
            training: As in training: BatchNorm by the batch's statistics, and it updates the running ones.
            advance: See `Layer.apply`.
        """
        new: Tensors = {}
        for i, layer in enumerate(self.layers):
            p, b = _of(params, i), _of(buffers, i)
            lower = self.precision == "bfloat16" and layer.macs() > 0
            if lower:
                p, x = {k: v.bfloat16() for k, v in p.items()}, x.bfloat16()
            x, b = layer.apply(p, b, x, training=training, advance=advance)
            if lower:
                x = x.float()
            new |= {f"{i}.{k}": v for k, v in b.items()}
        return x, new

    def trained(self) -> list[int]:
        """Return the positions of the layers that have matrices, the first at the input."""
        return [i for i, layer in enumerate(self.layers) if layer.macs()]

    def initial(self, rng: Generator, scheme: str) -> tuple[Tensors, Tensors]:
        """Draw one replica's initial parameters, and its buffers at rest; see `Layer.initial`."""
        params: Tensors = {}
        buffers: Tensors = {}
        for i, layer in enumerate(self.layers):
            p, b = layer.initial(rng, scheme)
            params |= {f"{i}.{k}": v for k, v in p.items()}
            buffers |= {f"{i}.{k}": v for k, v in b.items()}
        return params, buffers


def make_network(player: Literal["generator", "discriminator"], variant: Variant, shape: tuple[int, ...]) -> Network:
    """Build a variant's generator or discriminator, and behind it the activation that the variant asks for.

    Args:
        player: Whose.
        variant: Every detail of it.
        shape: Of a sample: (numbers,) or (channels, height, width).

    Raises:
        InputError: The kind is not loaded, or one of its layers is none, such as a torch module.
        CodeError: A plugin's kind could not be built.
    """
    kind = registry.network(player, getattr(variant, player))
    try:
        layers: list[Any] = list(kind.build(variant, shape))
    except Exception as error:
        place = place_in_code(error, *registry.paths())
        raise CodeError(place, "".join(traceback.format_exception(error))) from error
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise InputError(
                f"{player} {kind.name!r}: build: layer {i}: expected a Layer of gan.model.layers, got "
                f"{type(layer).__module__}.{type(layer).__qualname__}"
            )
    output = {"generator": variant.generator_output, "discriminator": variant.discriminator_output}[player]
    activation = {"linear": [], "logit": [], "probability": [Activation("sigmoid")]}.get(output, [Activation(output)])
    return Network((*layers, *activation), variant.precision)


def players(variant: Variant, shape: tuple[int, ...]) -> tuple[Network, Network]:
    """Return the generator and the discriminator of a variant; see `make_network`."""
    return make_network("generator", variant, shape), make_network("discriminator", variant, shape)


def mlp_generator(variant: Variant, shape: tuple[int, ...]) -> list[Layer]:
    """Return layers from latents to samples."""
    norm, activation = variant.generator_norm, variant.generator_activation
    widths = (variant.latent_dim, *variant.generator_hidden)
    return [*_mlp(widths, norm, activation, variant), Linear(widths[-1], math.prod(shape))]


def mlp_discriminator(variant: Variant, shape: tuple[int, ...]) -> list[Layer]:
    """Return layers from samples to outputs."""
    norm, activation = variant.discriminator_norm, variant.discriminator_activation
    widths = (math.prod(shape), *variant.discriminator_hidden)
    return [*_mlp(widths, norm, activation, variant), Linear(widths[-1], 1)]


def _mlp(widths: Sequence[int], norm: str, activation: str, variant: Variant) -> Iterator[Layer]:
    for inputs, outputs in pairwise(widths):
        yield from _hidden(Linear(inputs, outputs), norm, activation, variant)


def conv_discriminator(variant: Variant, shape: tuple[int, ...]) -> list[Layer]:
    """Return convolutions that each halve the sides of images, and one linear layer."""
    channels, height, width = shape
    layers: list[Layer] = [Reshape(shape)]
    for i, hidden in enumerate(variant.discriminator_channels):
        height, width = height // 2, width // 2
        norm = variant.discriminator_norm if i else "none"
        conv = Conv(channels, hidden, height * width)
        layers += _hidden(conv, norm, variant.discriminator_activation, variant)
        channels = hidden
    numbers = channels * height * width
    return [*layers, Reshape((numbers,)), Linear(numbers, 1)]


def too_deep(variant: Variant, shape: tuple[int, ...]) -> str | None:
    """Refuse more layers than halve the sides to nothing."""
    depth, side = len(variant.discriminator_channels), min(shape[1:])
    if side >> depth >= 1:
        return None
    return (
        f"discriminator_channels: {depth} layers halve a side of {side} to nothing; expected at most "
        f"{side.bit_length() - 1}"
    )


def not_scaled(variant: Variant, shape: tuple[int, ...]) -> str | None:
    """Refuse for a fixed Gaussian any latent but one standard normal number, and layers to normalise."""
    if (variant.latent, variant.latent_dim) != ("normal", 1):
        return (
            f'latent_dim: fixed_gaussian scales its latent; expected latent = "normal" and latent_dim = 1, got '
            f"{variant.latent!r} and {variant.latent_dim}"
        )
    return nothing_to_normalise(variant, shape)


def nothing_to_normalise(variant: Variant, shape: tuple[int, ...]) -> str | None:
    """Refuse BatchNorm in a generator without hidden layers."""
    if variant.generator_norm == "none":
        return None
    return f"generator_norm: {variant.generator} has no layers to normalise; expected none"


def slope_normalised(variant: Variant, shape: tuple[int, ...]) -> str | None:
    """Refuse BatchNorm in a slope."""
    if variant.discriminator_norm == "none":
        return None
    return "discriminator_norm: slope has no layers to normalise; expected none"


def _hidden(layer: Linear | Conv, norm: str, activation: str, variant: Variant) -> list[Layer]:
    normed = [BatchNorm(layer.outputs, variant.batchnorm_momentum)] if norm == "batch" else []
    return [layer, *normed, Activation(activation)]


def _of(tensors: Tensors, layer: int) -> Tensors:
    """Return the tensors of one layer under their short names."""
    prefix = f"{layer}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


COMPONENTS = (
    NetworkKind("mlp", "generator", mlp_generator, reads=frozenset({"generator_hidden"}), compiles=True),
    NetworkKind(
        "fixed_gaussian",
        "generator",
        lambda variant, shape: [Affine(variant.fixed_mean, variant.fixed_std)],
        needs=frozenset({"line"}),
        reads=frozenset({"fixed_mean", "fixed_std"}),
        refuses=not_scaled,
        compiles=True,
    ),
    NetworkKind(
        "point",
        "generator",
        lambda variant, shape: [Point()],
        needs=frozenset({"game"}),
        reads=frozenset(),
        refuses=nothing_to_normalise,
        compiles=True,
    ),
    NetworkKind("mlp", "discriminator", mlp_discriminator, reads=frozenset({"discriminator_hidden"}), compiles=True),
    NetworkKind(
        "conv",
        "discriminator",
        conv_discriminator,
        needs=frozenset({"image"}),
        reads=frozenset({"discriminator_channels"}),
        refuses=too_deep,
        compiles=True,
    ),
    NetworkKind(
        "slope",
        "discriminator",
        lambda variant, shape: [Slope()],
        needs=frozenset({"game"}),
        reads=frozenset(),
        refuses=slope_normalised,
        compiles=True,
    ),
)
