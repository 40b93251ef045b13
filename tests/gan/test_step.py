"""The textbook step against PyTorch's own modules and autograd, written the way a user would."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan.model.layers import Activation, BatchNorm, Conv, Linear, Reshape
from gan.model.networks import Network
from gan.model.step import Batch, Hyper, State, StepConfig, step
from gan.variant import LEAKY_SLOPE, Variant

from .games import GAMES, UNEVEN_ROUNDING, begun

STEPS = 8


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
        elif isinstance(layer, Reshape):
            layers.append(nn.Unflatten(1, layer.shape) if len(layer.shape) > 1 else nn.Flatten())
        else:
            assert isinstance(layer, Activation)
            kinds = {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(LEAKY_SLOPE), "tanh": nn.Tanh()}
            layers.append({**kinds, "sigmoid": nn.Sigmoid()}[layer.name])
    module = nn.Sequential(*layers)
    state = module.state_dict()
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm1d) and layers[i - 1].__class__ is nn.Conv2d:
            module[i] = nn.BatchNorm2d(layer.num_features, momentum=momentum)
    for name, value in params.items():
        state[name] = value.clone()
    module.load_state_dict(state)
    return module


def reference(variant: Variant, game: StepConfig, state: State, batches: list[Batch]) -> list[list[float]]:
    """Train as the documents do: modules, torch.optim, LinearLR, losses of torch.nn, torch.autograd."""
    g = module_of(game.generator, state.generator.params, variant.batchnorm_momentum)
    d = module_of(game.discriminator, state.discriminator.params, variant.batchnorm_momentum)

    def optimiser(module: nn.Module, lr: float) -> torch.optim.Optimizer:
        if variant.optimiser == "sgd":
            return torch.optim.SGD(module.parameters(), lr=lr)
        return torch.optim.Adam(module.parameters(), lr=lr, betas=(variant.beta1, variant.beta2))

    g_optimiser, d_optimiser = optimiser(g, variant.lr_generator), optimiser(d, variant.lr_discriminator)
    end = 0.001 if variant.schedule == "linear" else 1.0
    schedules = [
        torch.optim.lr_scheduler.LinearLR(o, 1.0, end, total_iters=len(batches)) for o in (g_optimiser, d_optimiser)
    ]
    reduction = "sum" if variant.reduction == "sum" else "mean"

    def cost(output: torch.Tensor, real: bool) -> torch.Tensor:
        if variant.loss == "wasserstein":
            return (-output if real else output).mean()
        bce: Any = F.binary_cross_entropy_with_logits
        bce = bce if variant.discriminator_output == "logit" else F.binary_cross_entropy
        return bce(output, torch.full_like(output, float(real)), reduction=reduction)

    def penalty(real: torch.Tensor, fake: torch.Tensor, between: torch.Tensor | None) -> torch.Tensor:
        at = real if between is None else between * real + (1 - between) * fake
        at = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(d(at).sum(), at, create_graph=True)
        squares = gradient.square().sum(dim=1)
        return 0.5 * squares.mean() if between is None else (squares.sqrt() - 1).square().mean()

    losses: list[list[float]] = []
    for batch in batches:
        seen_by_g = copy.deepcopy(d) if variant.updates == "simultaneous" else d
        d_loss = torch.tensor(0.0)
        fake = torch.tensor(0.0)
        for i, (real, z_d) in enumerate(zip(batch.real, batch.z_d, strict=True)):
            fake = g(z_d)
            if variant.passes == "joint":
                on_real, on_fake = d(torch.cat([real, fake.detach()])).split(len(real))
            else:
                on_real, on_fake = d(real), d(fake.detach())
            halves = cost(on_real, True) + cost(on_fake, False)
            if variant.penalty != "none":
                halves = halves + variant.penalty_weight * penalty(
                    real, fake.detach(), batch.noise[i] if variant.penalty == "wgan_gp" else None
                )
            d_loss = halves / 2 if variant.reduction == "mean" else halves
            d_optimiser.zero_grad()
            d_loss.backward()
            d_optimiser.step()

        if variant.latents == "fresh":
            fake = g(batch.z_g)
        output = seen_by_g(fake)
        g_loss = -cost(output, False) if variant.loss == "saturating" else cost(output, True)
        g_optimiser.zero_grad()
        g_loss.backward()
        g_optimiser.step()
        for schedule in schedules:
            schedule.step()
        losses.append([d_loss.item(), g_loss.item()])
    return losses


def batch_of(variant: Variant, dimension: int, seed: int) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    n, times = variant.batch_size, range(variant.critic_steps)
    return Batch(
        real=tuple(torch.rand(n, dimension, generator=rng) for _ in times),
        z_d=tuple(torch.randn(n, variant.latent_dim, generator=rng) for _ in times),
        z_g=torch.randn(n, variant.latent_dim, generator=rng),
        noise=tuple(torch.rand(n, 1, generator=rng) for _ in times) if variant.penalty == "wgan_gp" else (),
    )


# Of the others a module knows nothing: uniform latents are drawn elsewhere, the fixed generator has a test below.
REFERENCED = [name for name in GAMES if name not in (*UNEVEN_ROUNDING, "uniform latents", "fixed generator")]


@pytest.mark.parametrize("name", REFERENCED)
def test_step_equals_modules_and_autograd(name: str) -> None:
    settings, target = GAMES[name]
    variant = Variant(**{"batch_size": 32, "lr": 1e-3, **settings})
    game, state = begun(variant, target.shape)
    batches = [batch_of(variant, target.dimension, s) for s in range(STEPS)]
    expected = torch.tensor(reference(variant, game, state, batches))
    got: list[torch.Tensor] = []
    for s, batch in enumerate(batches):
        state, metrics = step(game, state, Hyper.of(variant), batch, torch.tensor(s + 1.0), torch.tensor(s / STEPS))
        got.append(metrics[:2])
    # Rounding alone separates the two: it grows with the steps, a wrong term would be there from the first.
    torch.testing.assert_close(torch.stack(got)[0], expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.stack(got), expected, rtol=2e-3, atol=2e-4)


def one_step(variant: Variant, seed: int = 0) -> tuple[StepConfig, State, State, dict[str, float]]:
    """Return the game, the state before and after the first step on the real line, and its metrics."""
    game, state = begun(variant, (1,), seed)
    after, metrics = step(
        game, state, Hyper.of(variant), batch_of(variant, 1, seed), torch.tensor(1.0), torch.tensor(0.0)
    )
    return game, state, after, dict(zip(game.metrics, metrics.tolist(), strict=True))


def test_value_of_the_discriminator_ignores_the_reduction() -> None:
    reductions: tuple[Any, ...] = ("mean", "sum_of_means", "sum")
    values = [one_step(Variant(reduction=r, batch_size=32))[-1]["value/discriminator"] for r in reductions]
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
def test_gradient_on_the_logits_is_the_theory_s(loss: Any, output: Any, reduction: Any) -> None:
    """-(1 - D) of the non-saturating loss and -D of the saturating one, whatever the reduction (Goodfellow 2014)."""
    variant = Variant(loss=loss, discriminator_output=output, reduction=reduction, batch_size=32)
    for seed in range(3):
        told = one_step(variant, seed)[-1]
        on_fakes = told["output/generator"]
        expected = on_fakes if loss == "saturating" else 1 - on_fakes
        assert told["gradient/logits"] == pytest.approx(expected, rel=1e-5)


def test_layers_gradients_add_up_to_the_whole() -> None:
    told = one_step(Variant(generator_hidden=(8, 8, 8)))[-1]
    layers = [told[f"gradient/generator/{i}"] for i in range(1, 5)]
    assert all(norm > 0 for norm in layers)
    assert sum(norm**2 for norm in layers) == pytest.approx(told["gradient/generator"] ** 2, rel=1e-5)


def test_a_fixed_generator_stays_what_it_is() -> None:
    variant = Variant(generator="fixed_gaussian", fixed_mean=-1.5, fixed_std=0.5, latent_dim=1)
    game, before, after, metrics = one_step(variant)
    z = batch_of(variant, 1, 0).z_g
    fakes, _ = game.generator(after.generator.params, {}, z, training=True)
    assert torch.equal(fakes, -1.5 + 0.5 * z)
    assert metrics["gradient/generator"] == 0
    assert not torch.equal(after.discriminator.params["0.weight"], before.discriminator.params["0.weight"])


@pytest.mark.parametrize("h", [0.01, 0.5])
def test_two_numbers_spiral_out_by_the_exact_factor(h: float) -> None:
    """Simultaneous steps on xy multiply the radius by sqrt(1 + h^2); alternating ones keep x^2 + y^2 - hxy."""
    base: dict[str, Any] = {"generator": "point", "discriminator": "slope", "loss": "wasserstein", "lr": h}
    base |= {"optimiser": "sgd", "reduction": "sum_of_means", "latent_dim": 1, "batch_size": 2}
    for updates in ("simultaneous", "alternating"):
        variant = Variant(**base, updates=updates)
        game, state = begun(variant, (1,), seed=3)
        zeros = torch.zeros(2, 1)
        batch = Batch((zeros,), (zeros,), zeros, ())

        def numbers(state: State) -> tuple[float, float]:
            return float(state.generator.params["0.weight"]), float(state.discriminator.params["0.weight"])

        x, y = numbers(state)
        for s in range(30):
            state, _ = step(game, state, Hyper.of(variant), batch, torch.tensor(s + 1.0), torch.tensor(0.0))
        new_x, new_y = numbers(state)
        if updates == "simultaneous":
            growth = ((new_x**2 + new_y**2) / (x**2 + y**2)) ** (1 / 60)
            assert growth == pytest.approx((1 + h**2) ** 0.5, rel=1e-6)
        else:
            before, after = (a * a + b * b - h * a * b for a, b in ((x, y), (new_x, new_y)))
            assert after == pytest.approx(before, rel=1e-4)
