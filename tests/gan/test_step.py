"""The textbook step against PyTorch's own modules and autograd, written the way a user would."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan import streams
from gan.networks import BatchNorm, Conv, Linear, Network
from gan.step import METRICS, Game, Hyper, State, step
from gan.variant import LEAKY_SLOPE, Variant

CPU = torch.device("cpu")
STEPS = 20
IMAGE = {"generator_output": "tanh", "batch_size": 16}


def module_of(network: Network, params: dict[str, torch.Tensor], momentum: float) -> nn.Sequential:
    """The same network as a user would write it, with the same initial parameters."""
    layers: list[nn.Module] = []
    for layer in network.layers:
        if isinstance(layer, Linear):
            layers.append(nn.Linear(layer.inputs, layer.outputs))
        elif isinstance(layer, Conv):
            layers.append(nn.Conv2d(layer.inputs, layer.outputs, 4, 2, 1))
        elif isinstance(layer, BatchNorm):
            layers.append(nn.BatchNorm1d(layer.features, momentum=momentum))
        elif layer.kind == "reshape":
            layers.append(nn.Unflatten(1, layer.shape) if len(layer.shape) > 1 else nn.Flatten())
        else:
            kinds = {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(LEAKY_SLOPE), "tanh": nn.Tanh()}
            layers.append({**kinds, "sigmoid": nn.Sigmoid()}[layer.kind])
    module = nn.Sequential(*layers)
    state = module.state_dict()
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm1d) and layers[i - 1].__class__ is nn.Conv2d:
            module[i] = nn.BatchNorm2d(layer.num_features, momentum=momentum)
    for name, value in params.items():
        state[name] = value.clone()
    module.load_state_dict(state)
    return module


def reference(variant: Variant, game: Game, state: State, batches: list[tuple[torch.Tensor, ...]]) -> list[list[float]]:
    """Train as the documents do: modules, torch.optim.Adam, LambdaLR, losses of torch.nn."""
    g = module_of(game.generator, state.generator.params, variant.batchnorm_momentum)
    d = module_of(game.discriminator, state.discriminator.params, variant.batchnorm_momentum)
    betas = (variant.beta1, variant.beta2)
    g_adam = torch.optim.Adam(g.parameters(), lr=variant.lr_generator, betas=betas)
    d_adam = torch.optim.Adam(d.parameters(), lr=variant.lr_discriminator, betas=betas)
    end = 0.001 if variant.schedule == "linear" else 1.0
    schedules = [torch.optim.lr_scheduler.LinearLR(o, 1.0, end, total_iters=len(batches)) for o in (g_adam, d_adam)]
    bce: Any = F.binary_cross_entropy_with_logits if variant.discriminator_output == "logit" else F.binary_cross_entropy
    losses: list[list[float]] = []
    for real, z_d, z_g in batches:
        fake = g(z_d)
        if variant.passes == "joint":
            on_real, on_fake = d(torch.cat([real, fake.detach()])).split(len(real))
        else:
            on_real, on_fake = d(real), d(fake.detach())
        reduction = "sum" if variant.reduction == "sum" else "mean"
        halves = bce(on_real, torch.ones_like(on_real), reduction=reduction) + bce(
            on_fake, torch.zeros_like(on_fake), reduction=reduction
        )
        d_loss = halves / 2 if variant.reduction == "mean" else halves
        d_adam.zero_grad()
        d_loss.backward()
        d_adam.step()

        if variant.latents == "fresh":
            fake = g(z_g)
        output = d(fake)
        if variant.loss == "saturating":
            g_loss = -bce(output, torch.zeros_like(output), reduction=reduction)
        else:
            g_loss = bce(output, torch.ones_like(output), reduction=reduction)
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
        for schedule in schedules:
            schedule.step()
        losses.append([d_loss.item(), g_loss.item()])
    return losses


FACTORS: dict[str, dict[str, Any]] = {
    "base": {},
    "saturating": {"loss": "saturating"},
    "sum of means": {"reduction": "sum_of_means"},
    "summed": {"reduction": "sum"},
    "probability": {"discriminator_output": "probability"},
    "probability saturating": {"discriminator_output": "probability", "loss": "saturating"},
    "batchnorm in G": {"generator_norm": "batch"},
    "batchnorm in both, momentum 0.8": {
        **IMAGE,
        "generator_norm": "batch",
        "discriminator_norm": "batch",
        "batchnorm_momentum": 0.8,
    },
    "batchnorm in D, separate": {**IMAGE, "discriminator_norm": "batch", "passes": "separate"},
    "leaky": {"generator_activation": "leaky_relu", "discriminator_activation": "leaky_relu"},
    "separate": {"passes": "separate"},
    "reused": {"latents": "reused", "generator_norm": "batch"},
    "normal init": {"initialisation": "normal_002"},
    "ratio": {"lr_ratio": 4.0},
    "betas": {"beta1": 0.0, "beta2": 0.9},
    "linear": {"schedule": "linear"},
    "tanh image": {**IMAGE},
    "sigmoid image": {**IMAGE, "generator_output": "sigmoid"},
    "conv": {**IMAGE, "discriminator": "conv", "discriminator_channels": (4, 8)},
    "conv batchnorm": {
        **IMAGE,
        "discriminator": "conv",
        "discriminator_channels": (4, 8),
        "discriminator_norm": "batch",
        "passes": "separate",
        "latents": "reused",
    },
}


@pytest.mark.parametrize("name", FACTORS)
def test_step_equals_modules_and_autograd(name: str) -> None:
    variant = Variant(**{"batch_size": 32, "lr": 1e-3, **FACTORS[name]})
    dimension = 64 if "generator_output" in FACTORS[name] else 1
    game = Game.of(variant, dimension)
    state = game.initial(lambda player: streams.generator(0, player, 0, CPU), variant.initialisation)
    rng = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.rand(variant.batch_size, dimension, generator=rng),
            torch.randn(variant.batch_size, variant.latent_dim, generator=rng),
            torch.randn(variant.batch_size, variant.latent_dim, generator=rng),
        )
        for _ in range(STEPS)
    ]
    expected = torch.tensor(reference(variant, game, state, batches))
    got: list[torch.Tensor] = []
    hyper = Hyper.of(variant)
    for s, (real, z_d, z_g) in enumerate(batches):
        state, metrics = step(game, state, hyper, real, z_d, z_g, torch.tensor(s + 1.0), torch.tensor(s / STEPS))
        got.append(metrics[:2])
    # Rounding alone separates the two: it grows with the steps, a wrong term would be there from the first.
    torch.testing.assert_close(torch.stack(got)[0], expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.stack(got), expected, rtol=2e-3, atol=2e-4)


def test_value_of_the_discriminator_ignores_the_reduction() -> None:
    values: list[float] = []
    for reduction in ("mean", "sum_of_means", "sum"):
        variant = Variant(reduction=reduction, batch_size=32)
        game = Game.of(variant, 1)
        state = game.initial(lambda player: streams.generator(0, player, 0, CPU), "default")
        z = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
        _, metrics = step(game, state, Hyper.of(variant), z[:, :1], z, z, torch.tensor(1.0), torch.tensor(0.0))
        values.append(float(metrics[METRICS.index("value/discriminator")]))
    assert values[0] == values[1] == values[2]
