"""Networks as pure functions against torch.nn's modules."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gan.engine import random_streams
from gan.model.layers import BatchNorm
from gan.model.networks import make_network
from gan.variant import Variant

CPU = torch.device("cpu")


@pytest.mark.parametrize("momentum", [0.1, 0.8, 1.0])
@pytest.mark.parametrize("stacked", [False, True])
def test_batchnorm_statistics_match_the_module(momentum: float, stacked: bool) -> None:
    module, layer = nn.BatchNorm1d(6, momentum=momentum), BatchNorm(6, momentum)
    params = {"weight": module.weight.detach(), "bias": module.bias.detach()}
    buffers = {"mean": torch.zeros(6), "var": torch.ones(6)}

    def apply(
        b: dict[str, torch.Tensor], x: torch.Tensor, training: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if not stacked:
            return layer.apply(params, b, x, training=training, advance=True)
        two = torch.func.vmap(lambda b, x: layer.apply(params, b, x, training=training, advance=True))
        y, new = two({k: torch.stack([v, v]) for k, v in b.items()}, torch.stack([x + 5.0, x]))
        return y[1], {k: v[1] for k, v in new.items()}

    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        x = 3 * torch.randn(16, 6, generator=rng) + 1
        before = {k: v.clone() for k, v in buffers.items()}
        y, new = apply(buffers, x, True)
        torch.testing.assert_close(y, module(x).detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(buffers, before, rtol=0, atol=0)  # a pure function: what went in is untouched
        buffers = new
    torch.testing.assert_close(buffers["mean"], module.running_mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(buffers["var"], module.running_var, rtol=1e-6, atol=1e-6)
    module.eval()
    y, new = apply(buffers, x, False)
    torch.testing.assert_close(y, module(x).detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(new, buffers, rtol=0, atol=0)


def test_default_initialisation_has_the_law_of_the_module() -> None:
    # Same law as nn.Linear's: uniform within 1/sqrt(fan in), for weights and biases.
    network = make_network("generator", Variant(latent_dim=64, generator_hidden=(2000,)), (1,))
    params, _ = network.initial(random_streams.generator(0, "initialisation", 0, CPU), "default")
    module = nn.Linear(64, 2000)
    for ours, theirs in ((params["0.weight"], module.weight.detach()), (params["0.bias"], module.bias.detach())):
        assert ours.abs().max() <= 1 / math.sqrt(64)
        assert abs(float(ours.std() / theirs.std()) - 1) < 0.05
        assert abs(float(ours.mean())) < 0.01


def test_normal_initialisation_keeps_the_biases() -> None:
    network = make_network("generator", Variant(latent_dim=64, generator_hidden=(2000,)), (1,))
    params, _ = network.initial(random_streams.generator(0, "initialisation", 0, CPU), "normal_002")
    assert abs(float(params["0.weight"].std()) / 0.02 - 1) < 0.02
    assert float(params["0.bias"].abs().max()) > 0.1


def test_discriminator_of_system_d_has_its_shapes() -> None:
    variant = Variant(
        discriminator="conv", discriminator_channels=(64, 128), discriminator_norm="batch", generator_output="tanh"
    )
    network = make_network("discriminator", variant, (1, 28, 28))
    params, buffers = network.initial(random_streams.generator(0, "d", 0, CPU), "default")
    shapes = [tuple(v.shape) for k, v in params.items() if k.endswith("weight")]
    assert shapes == [(64, 1, 4, 4), (128, 64, 4, 4), (128,), (1, 6272)]
    output, _ = network(params, buffers, torch.zeros(3, 784), training=True)
    assert output.shape == (3, 1)
