"""The two players as pure functions of parameters and buffers.

A network is a tuple of layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gan import plugins
from gan.errors import InputError
from gan.model.layers import Affine, BatchNorm, Conv, Elementwise, Layer, Linear, Point, SelfStarting, Slope, Tensors
from gan.variant import Variant


@dataclass(frozen=True)
class Network:
    """A pure function (parameters, buffers, x) -> (output, new buffers)."""

    layers: tuple[Layer | BatchNorm, ...]
    products: torch.dtype = torch.float32
    """In which layers that have parameters compute, BatchNorm aside; what goes in and out is float32."""

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, *, training: bool) -> tuple[Tensor, Tensors]:
        """Apply the layers in turn.

        Args:
            params: Named ``<layer>.<parameter>``, such as ``0.weight``.
            buffers: BatchNorm's running statistics, ``<layer>.mean`` and ``<layer>.var``.
            x: [batch, inputs].
            training: BatchNorm by the batch's statistics (and update the running ones) or by the running ones.
        """
        new: Tensors = {}
        for i, layer in enumerate(self.layers):
            if isinstance(layer, BatchNorm):
                x, stats = layer.apply(_of(params, i), _of(buffers, i), x, training=training)
                new |= {f"{i}.{k}": v for k, v in stats.items()}
            elif self.products is torch.float32 or not layer.shapes():
                x = layer.apply(_of(params, i), x)
            else:
                rounded = {k: v.to(self.products) for k, v in _of(params, i).items()}
                x = layer.apply(rounded, x.to(self.products)).float()
        return x, new

    def trained(self) -> list[int]:
        """Return the positions of the layers that hold parameters, BatchNorm aside, the first at the input."""
        return [i for i, layer in enumerate(self.layers) if not isinstance(layer, BatchNorm) and layer.shapes()]

    def initial(self, rng: Generator, scheme: str) -> tuple[Tensors, Tensors]:
        """Draw one replica's initial parameters, and buffers at rest.

        Args:
            rng: The replica's generator for this network.
            scheme: ``default``: uniform within 1/sqrt(fan in), as PyTorch's Linear and Conv2d start;
                ``normal_002``: weights N(0, 0.02²), biases as by default. A `SelfStarting` layer has a way of its own.
        """
        params: Tensors = {}
        buffers: Tensors = {}
        for i, layer in enumerate(self.layers):
            if isinstance(layer, BatchNorm):
                params[f"{i}.weight"] = torch.ones(layer.features, device=rng.device)
                params[f"{i}.bias"] = torch.zeros(layer.features, device=rng.device)
                buffers[f"{i}.mean"] = torch.zeros(layer.features, device=rng.device)
                buffers[f"{i}.var"] = torch.ones(layer.features, device=rng.device)
            elif isinstance(layer, SelfStarting):
                params |= {f"{i}.{name}": value for name, value in layer.initial(rng).items()}
            elif shapes := layer.shapes():
                if "weight" not in shapes:
                    raise ValueError(f"{type(layer).__name__}: expected a weight in shapes(), or a method initial(rng)")
                bound = 1.0 / math.sqrt(math.prod(shapes["weight"][1:]))
                for name, shape in shapes.items():
                    value = torch.empty(shape, device=rng.device)
                    if name == "weight" and scheme == "normal_002":
                        params[f"{i}.{name}"] = value.normal_(0.0, 0.02, generator=rng)
                    else:
                        params[f"{i}.{name}"] = value.uniform_(-bound, bound, generator=rng)
        return params, buffers


def make_generator(variant: Variant, outputs: int) -> Network:
    """Build the generator: latents [batch, latent_dim] to samples [batch, outputs]."""
    if "generator" in variant.own():
        return _network(plugins.network("generator", variant.generator), variant, outputs, variant.generator_output)
    if variant.generator == "point":
        return Network((Point(),))
    if variant.generator == "fixed_gaussian":
        return Network((Affine(variant.fixed_mean, variant.fixed_std),))
    layers: list[Layer | BatchNorm] = []
    width = variant.latent_dim
    for hidden in variant.generator_hidden:
        layers += _hidden(Linear(width, hidden), variant.generator_norm, variant.generator_activation, variant)
        width = hidden
    layers.append(Linear(width, outputs))
    if variant.generator_output != "linear":
        layers.append(Elementwise(variant.generator_output))
    return Network(tuple(layers))


def make_discriminator(variant: Variant, inputs: int) -> Network:
    """Build the discriminator: samples [batch, inputs] to outputs [batch, 1], a logit or a probability.

    Args:
        variant: A conv discriminator reads its inputs as square images of one channel.
        inputs: Dimension of a sample; for conv a square number.
    """
    output = "sigmoid" if variant.discriminator_output == "probability" else "linear"
    if "discriminator" in variant.own():
        return _network(plugins.network("discriminator", variant.discriminator), variant, inputs, output)
    if variant.discriminator == "slope":
        return Network((Slope(),))
    layers: list[Layer | BatchNorm] = []
    norm, activation = variant.discriminator_norm, variant.discriminator_activation
    if variant.discriminator == "mlp":
        width = inputs
        for hidden in variant.discriminator_hidden:
            layers += _hidden(Linear(width, hidden), norm, activation, variant)
            width = hidden
    else:
        side, channels = math.isqrt(inputs), 1
        layers.append(Elementwise("reshape", (1, side, side)))
        for i, hidden in enumerate(variant.discriminator_channels):
            layers += _hidden(Conv(channels, hidden), norm if i else "none", activation, variant)
            side, channels = side // 2, hidden
        width = channels * side * side
        layers.append(Elementwise("reshape", (width,)))
    layers.append(Linear(width, 1))
    if output != "linear":
        layers.append(Elementwise(output))
    return Network(tuple(layers))


def _network(kind: plugins.NetworkKind, variant: Variant, size: int, output: str) -> Network:
    """Build a plugin's network, and behind it the activation that the variant asks for.

    Raises:
        InputError: One of its layers is none, such as a torch module.
    """
    last = [Elementwise(output)] if output != "linear" else []
    layers = list(kind.build(variant, size))
    for i, layer in enumerate(layers):
        if not all(callable(getattr(layer, method, None)) for method in ("shapes", "apply")):
            raise InputError(
                f"{kind.player} {kind.name!r}: build: layer {i}: expected a frozen dataclass with methods shapes and "
                f"apply, got {type(layer).__module__}.{type(layer).__qualname__}"
            )
    return Network((*layers, *last))


def _hidden(layer: Linear | Conv, norm: str, activation: str, variant: Variant) -> list[Layer | BatchNorm]:
    normed: list[Layer | BatchNorm] = [BatchNorm(layer.outputs, variant.batchnorm_momentum)] if norm == "batch" else []
    return [layer, *normed, Elementwise(activation)]


def _of(tensors: Tensors, layer: int) -> Tensors:
    """Return the tensors of one layer under their short names."""
    prefix = f"{layer}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
