"""Components of your own: a loss, a kind of network and a score, to change or to replace.

    ganbench conform --plugin THIS                    hold them to what ganbench's own are held to
    ganbench run STUDY.toml --plugin THIS             train a study that names them

A study names them where it names ganbench's: loss = "hinge" and generator = "residual" in [base] or [grid], and
scores = ["transport"] in [scoring]. This file decides results, so replicas that use it are named by its contents: after
a change, to a comment too, they are trained anew. Keep in it whatever decides them; what it imports is not looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.model.layers import Layer, Linear, Shapes
from gan.plugins import Loss, NetworkKind, PluginScore
from gan.targets import Target
from gan.variant import Variant

# A loss: the costs of the discriminator's outputs on real samples and on fakes, and the generator's on its fakes. Here
# the hinge loss (Lim and Ye 2017), with which the discriminator ignores samples that it tells apart by a margin of 1.


def hinge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the discriminator pays on real samples and on fakes."""
    return F.relu(1.0 - real), F.relu(1.0 + fake)


def hinge_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    """Return what the generator pays on its fakes."""
    return -fake


# A kind of network: a function from a variant and the shape of a sample to layers. A layer is a frozen dataclass that
# gives the shapes of its parameters, and computes with them without changing anything; `gan.model.layers` has Linear,
# Conv, BatchNorm and others. Parameters start uniform within 1/sqrt(fan in) of `weight`; a layer with a method
# `initial(rng, scheme)` draws them itself.


@dataclass(frozen=True)
class Residual(Layer):
    """x + relu(x W^T + b): [batch, width] to [batch, width]."""

    width: int

    def params(self) -> Shapes:
        """Return the shape of each parameter."""
        return {"weight": (self.width, self.width), "bias": (self.width,)}

    def forward(self, p: dict[str, Tensor], x: Tensor) -> Tensor:
        """Return the layer's output."""
        return x + F.relu(F.linear(x, p["weight"], p["bias"]))


def residual(variant: Variant, shape: tuple[int, ...]) -> list[Layer]:
    """Build a generator with a block for each of `generator_hidden`, all as wide as the first of them."""
    width = variant.generator_hidden[0]
    blocks = [Residual(width) for _ in variant.generator_hidden]
    return [Linear(variant.latent_dim, width), *blocks, Linear(width, math.prod(shape))]


# A score: a function from samples, their target and real samples to one number. Here how far samples have to be moved
# to lie where real ones do, which on the real line is a matter of sorting: the Wasserstein distance W1.


def transport(samples: Tensor, target: Target, real: Tensor) -> float:
    """Return the mean distance between samples and as many real ones, both in order."""
    return float((torch.sort(samples.flatten()).values - torch.sort(real.flatten()).values).abs().mean())


COMPONENTS = [
    Loss("hinge", hinge, hinge_generator, compiles=True),
    NetworkKind("residual", "generator", residual, compiles=True),
    PluginScore("transport", "Mean distance to real samples", "lower", transport, needs=frozenset({"line"})),
]
