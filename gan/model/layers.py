"""Layers as pure functions of parameters and buffers.

Both are dictionaries of tensors, so that a stack of replicas is the same dictionaries with one more leading dimension.
Nothing here imports torch before a layer computes: plans count a network's work without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gan.variant import LEAKY_SLOPE

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Tensors = dict[str, Tensor]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """A layer: a frozen dataclass, so that equal layers share one compiled program.

    A layer without buffers defines `params` and `forward`. One with buffers, numbers that change and are not trained,
    such as BatchNorm's running statistics, defines `initial` and, instead of `forward`, `apply`.
    """

    least_batch: ClassVar[int] = 1
    """Samples that it needs in training."""

    @property
    def width_multiple(self) -> int:
        """Of which number of replicas side by side the last bits of each do not depend on how many there are."""
        return 1

    def params(self) -> Shapes:
        """Return the shape of each parameter by its name; none has a dot in it."""
        return {}

    def macs(self) -> int:
        """Return the multiply-adds of one sample; by default one for each number of the parameters' matrices."""
        return sum(math.prod(shape) for shape in self.params().values() if len(shape) > 1)

    def initial(self, rng: Generator, scheme: str) -> tuple[Tensors, Tensors]:
        """Draw one replica's initial parameters, and its buffers at rest.

        Args:
            rng: The replica's generator for this network; tensors are made on its device.
            scheme: ``default``: uniform within 1/sqrt(fan in) of `weight`, as PyTorch's Linear and Conv2d start;
                ``normal_002``: weights N(0, 0.02²), the others as by default.

        Raises:
            ValueError: There are parameters and none is called ``weight``: the layer must draw them itself.
        """
        import torch

        params: Tensors = {}
        if shapes := self.params():
            if "weight" not in shapes:
                raise ValueError(f"{type(self).__name__}: expected a weight in params(), or a method initial")
            bound = 1.0 / math.sqrt(math.prod(shapes["weight"][1:]))
            for name, shape in shapes.items():
                value = torch.empty(shape, device=rng.device)
                if name == "weight" and scheme == "normal_002":
                    params[name] = value.normal_(0.0, 0.02, generator=rng)
                else:
                    params[name] = value.uniform_(-bound, bound, generator=rng)
        return params, {}

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output [batch, ...] of x [batch, ...]; neither `p` nor `x` may change."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward, or apply")

    def apply(self, p: Tensors, b: Tensors, x: Tensor, *, training: bool, advance: bool) -> tuple[Tensor, Tensors]:
        """Return the output and the new buffers; nothing that goes in may change.

        Args:
            p: Parameters.
            b: Buffers.
            x: [batch, ...].
            training: As in training, or as in an evaluation.
            advance: This is the one pass in which buffers move that are to move once a step, such as the vectors of a
                spectral norm: the first of the discriminator's own step. BatchNorm updates in every pass in training.
        """
        return self.forward(p, x), b


@dataclass(frozen=True)
class Linear(Layer):
    """x W^T + b: [batch, inputs] to [batch, outputs]."""

    inputs: int
    outputs: int

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        import torch.nn.functional as F

        return F.linear(x, p["weight"], p["bias"])


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution of kernel 4, stride 2, padding 1: it halves the sides of [batch, inputs, height, width].

    Attributes:
        inputs: Channels.
        outputs: Channels.
        pixels: Height times width that go out: how often the kernel is applied.
    """

    inputs: int
    outputs: int
    pixels: int

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (self.outputs, self.inputs, 4, 4), "bias": (self.outputs,)}

    def macs(self) -> int:
        """Return the multiply-adds of one sample."""
        return 16 * self.inputs * self.outputs * self.pixels

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        import torch.nn.functional as F

        return F.conv2d(x, p["weight"], p["bias"], stride=2, padding=1)


@dataclass(frozen=True)
class Activation(Layer):
    """A function of each number: ``relu``, ``leaky_relu``, ``tanh`` or ``sigmoid``."""

    name: str

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output, of x's shape."""
        import torch.nn.functional as F

        if self.name == "leaky_relu":
            return F.leaky_relu(x, LEAKY_SLOPE)
        return getattr(x, self.name)()


@dataclass(frozen=True)
class Reshape(Layer):
    """Each sample in another shape: [batch, ...] to [batch, *shape]."""

    shape: tuple[int, ...]

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output."""
        return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with running statistics (Ioffe and Szegedy 2015), PyTorch's conventions."""

    features: int
    momentum: float

    least_batch: ClassVar[int] = 2

    @property
    def width_multiple(self) -> int:
        """Such that the columns of all replicas fill blocks of 32, in which the sums of its gradients are taken."""
        return 32 // math.gcd(32, self.features)

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (self.features,), "bias": (self.features,)}

    def initial(self, rng: Generator, scheme: str) -> tuple[Tensors, Tensors]:
        """Return weights 1 and biases 0, means 0 and variances 1."""
        import torch

        zeros = [torch.zeros(self.features, device=rng.device) for _ in range(2)]
        ones = [torch.ones(self.features, device=rng.device) for _ in range(2)]
        return {"weight": ones[0], "bias": zeros[0]}, {"mean": zeros[1], "var": ones[1]}

    def apply(self, p: Tensors, b: Tensors, x: Tensor, *, training: bool, advance: bool) -> tuple[Tensor, Tensors]:
        """Return the output and the new running statistics."""
        import torch.nn.functional as F

        # On clones, which vmap updates in place: seen from outside the buffers go in and new ones come out.
        mean, var = b["mean"].clone(), b["var"].clone()
        y = F.batch_norm(x, mean, var, p["weight"], p["bias"], training=training, momentum=self.momentum)
        return y, {"mean": mean, "var": var}


@dataclass(frozen=True)
class Slope(Layer):
    """Yx, with y the one parameter: [batch, 1] to [batch, 1]."""

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (1, 1)}

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        import torch.nn.functional as F

        return F.linear(x, p["weight"])


@dataclass(frozen=True)
class Point(Layer):
    """The one parameter, whatever comes in: [batch, inputs] to [batch, 1]."""

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (1, 1)}

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return p["weight"].expand(x.shape[0], 1)


@dataclass(frozen=True)
class Affine(Layer):
    """Mean + std · x, fixed."""

    mean: float
    std: float

    def forward(self, p: Tensors, x: Tensor) -> Tensor:
        """Return the output, of x's shape."""
        return self.mean + self.std * x
