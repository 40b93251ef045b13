"""Layers as pure functions of parameters and buffers.

Parameters and buffers are dictionaries of tensors, so that a stack of replicas is the same dictionaries with one more
leading dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gan.variant import LEAKY_SLOPE

Tensors = dict[str, Tensor]


class Layer(Protocol):
    """A pure function of parameters: a frozen dataclass, so that equal layers share one compiled program."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter by its name; none has a dot in it."""
        ...

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output [batch, ...] of x [batch, ...]; neither `p` nor `x` may change."""
        ...


@runtime_checkable
class SelfStarting(Protocol):
    """A layer that draws its own initial parameters, whatever the variant's `initialisation` says."""

    def initial(self, rng: Generator) -> Tensors:
        """Draw one replica's parameters, on the generator's device."""
        ...


@dataclass(frozen=True)
class Linear:
    """x W^T + b: [batch, inputs] to [batch, outputs]."""

    inputs: int
    outputs: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return F.linear(x, p["weight"], p["bias"])


@dataclass(frozen=True)
class Conv:
    """Convolution of kernel 4, stride 2, padding 1: it halves the side of [batch, inputs, side, side]."""

    inputs: int
    outputs: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        return {"weight": (self.outputs, self.inputs, 4, 4), "bias": (self.outputs,)}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return F.conv2d(x, p["weight"], p["bias"], stride=2, padding=1)


@dataclass(frozen=True)
class Elementwise:
    """An activation or a reshape: no parameters."""

    kind: str
    shape: tuple[int, ...] = ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return no shape."""
        return {}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output: of x's shape, or [batch, *shape]."""
        match self.kind:
            case "relu":
                return F.relu(x)
            case "leaky_relu":
                return F.leaky_relu(x, LEAKY_SLOPE)
            case "tanh":
                return torch.tanh(x)
            case "sigmoid":
                return torch.sigmoid(x)
            case _:
                return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation with running statistics (Ioffe and Szegedy 2015), PyTorch's conventions."""

    features: int
    momentum: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        return {"weight": (self.features,), "bias": (self.features,)}

    def apply(self, p: Tensors, b: Tensors, x: Tensor, *, training: bool) -> tuple[Tensor, Tensors]:
        """Return the output and the new running statistics."""
        # On clones, which vmap updates in place: seen from outside the buffers go in and new ones come out.
        mean, var = b["mean"].clone(), b["var"].clone()
        y = F.batch_norm(x, mean, var, p["weight"], p["bias"], training=training, momentum=self.momentum)
        return y, {"mean": mean, "var": var}


@dataclass(frozen=True)
class Slope:
    """Yx, with y the one parameter: [batch, 1] to [batch, 1]."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        return {"weight": (1, 1)}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return F.linear(x, p["weight"])


@dataclass(frozen=True)
class Point:
    """The one parameter, whatever comes in: [batch, inputs] to [batch, 1]."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter."""
        return {"weight": (1, 1)}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return p["weight"].expand(x.shape[0], 1)


@dataclass(frozen=True)
class Affine:
    """Mean + std · x, fixed."""

    mean: float
    std: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return no shape."""
        return {}

    def apply(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output, of x's shape."""
        return self.mean + self.std * x
