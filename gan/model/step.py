"""One training step of one GAN, as the algorithm box of a paper would have it.

A pure function of the players, this replica's numbers, real data and latents. `gan/engine/cohort.py` maps it over
replicas; nothing here knows how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Generator, Tensor
from torch.func import grad, grad_and_value, vjp

from gan import plugins
from gan.model import losses
from gan.model.layers import Tensors
from gan.model.networks import Network, make_discriminator, make_generator
from gan.model.optimisers import Betas, Moments, adam, sgd
from gan.variant import LINEAR_SCHEDULE_END, Variant

METRICS = (
    "loss/discriminator",  # as trained: its scale depends on the reduction, and a penalty is part of it
    "loss/generator",
    "value/discriminator",  # mean cost over both halves, whatever the reduction: log 2 at the equilibrium, a critic's 0
    "output/real",  # mean of D(x), a probability
    "output/fake",  # mean of D(G(z)) in the discriminator's step
    "output/generator",  # mean of D(G(z)) in the generator's step
    "gradient/discriminator",  # Euclidean norm over all parameters
    "gradient/generator",
    "gradient/logits",  # mean over the batch of what each sample's own loss has for a gradient on its logit
)


class Player(NamedTuple):
    """A network's training state."""

    params: Tensors
    buffers: Tensors
    moments: Moments


class State(NamedTuple):
    """Both players."""

    generator: Player
    discriminator: Player


class Hyper(NamedTuple):
    """The choices that are one number per replica, each a scalar tensor."""

    saturating: Tensor
    wasserstein: Tensor
    half_weight: Tensor  # of each half's mean in the discriminator's loss
    summed: Tensor  # sum over the batch instead of its mean
    penalty_weight: Tensor
    lr_discriminator: Tensor
    lr_generator: Tensor
    lr_end: Tensor  # the part of the learning rate that is left at the end of the run
    betas: Betas

    @staticmethod
    def of(variant: Variant) -> Hyper:
        """Collect a variant's numbers."""

        def number(x: float) -> Tensor:
            return torch.tensor(x, dtype=torch.float32)

        return Hyper(
            saturating=torch.tensor(variant.loss == "saturating"),
            wasserstein=torch.tensor(variant.loss == "wasserstein"),
            half_weight=number(0.5 if variant.reduction == "mean" else 1.0),
            summed=torch.tensor(variant.reduction == "sum"),
            penalty_weight=number(variant.penalty_weight),
            lr_discriminator=number(variant.lr_discriminator),
            lr_generator=number(variant.lr_generator),
            lr_end=number(LINEAR_SCHEDULE_END if variant.schedule == "linear" else 1.0),
            betas=Betas.of(variant.beta1, variant.beta2),
        )


class Batch(NamedTuple):
    """What one step is trained on: for each step of the discriminator one entry, and latents for the generator's."""

    real: tuple[Tensor, ...]  # [batch, dimension]
    z_d: tuple[Tensor, ...]  # [batch, latent_dim]
    z_g: Tensor  # [batch, latent_dim], not looked at when latents are reused
    between: tuple[Tensor, ...]  # [batch, 1] in [0, 1), where WGAN-GP looks; none without it


class Game(NamedTuple):
    """The two networks and the branches of the step: what every replica of a cohort shares."""

    generator: Network
    discriminator: Network
    output: str
    penalty: str
    optimiser: str
    joint: bool
    fresh: bool
    simultaneous: bool
    loss: plugins.Loss | None = None  # of a plugin; ours are chosen between by each replica's numbers

    @staticmethod
    def of(variant: Variant, dimension: int) -> Game:
        """Build the game of a variant on samples of `dimension` numbers."""
        products = torch.bfloat16 if variant.precision == "bfloat16" else torch.float32
        return Game(
            generator=replace(make_generator(variant, dimension), products=products),
            discriminator=replace(make_discriminator(variant, dimension), products=products),
            output=variant.discriminator_output,
            penalty=variant.penalty,
            optimiser=variant.optimiser,
            joint=variant.passes == "joint",
            fresh=variant.latents == "fresh",
            simultaneous=variant.updates == "simultaneous",
            loss=plugins.loss(variant.loss) if "loss" in variant.own() else None,
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what a step tells: METRICS, and the gradient's norm of each of G's layers, from the latent on."""
        return *METRICS, *(f"gradient/generator/{i + 1}" for i in range(len(self.generator.trained())))

    def initial(self, rng: Callable[[str], Generator], scheme: str) -> State:
        """Draw one replica's initial state; `rng(name)` gives the generator of a player's name."""
        players: list[Player] = []
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            params, buffers = network.initial(rng(name), scheme)
            players.append(Player(params, buffers, Moments.zero(params)))
        return State(*players)


def step(game: Game, state: State, hyper: Hyper, batch: Batch, t: Tensor, progress: Tensor) -> tuple[State, Tensor]:
    """Train the discriminator, once or more, then the generator once (Goodfellow et al. 2014, algorithm 1).

    Args:
        game: The networks and the branches of the step.
        state: Both players before the step.
        hyper: This replica's numbers.
        batch: Real data and latents.
        t: Number of the step, from 1, a float32 scalar.
        progress: Part of the run behind this step, (t - 1) / steps, a float32 scalar.

    Returns:
        Both players after the step, and `game.metrics` [len(game.metrics)]: losses and gradients as they were before
        each update, the discriminator's of its last one.
    """
    generator, discriminator = state
    decay = 1.0 + (hyper.lr_end - 1.0) * progress
    critic_steps = len(batch.real)

    # Update the discriminator on real and fake.
    g_buffers = generator.buffers
    for i, (real, z) in enumerate(zip(batch.real, batch.z_d, strict=True)):
        fakes, pullback, g_buffers = _generate(game, generator.params, g_buffers, z)
        between = batch.between[i] if batch.between else None
        d_grads, told = _discriminator_gradient(game, hyper, discriminator, real, fakes, between)
        t_d = (t - 1.0) * critic_steps + (i + 1.0)
        params, moments = _descend(game, discriminator, d_grads, t_d, hyper.lr_discriminator * decay, hyper.betas)
        discriminator = Player(params, told.buffers, moments)

    # Update the generator against the new discriminator, or against the one it began with.
    if game.fresh:
        fakes, pullback, g_buffers = _generate(game, generator.params, g_buffers, batch.z_g)
    opponent = state.discriminator.params if game.simultaneous else discriminator.params
    g_loss, fake_grads, on_fakes = _generator_gradient(game, hyper, opponent, discriminator.buffers, fakes)
    (g_grads,) = pullback(fake_grads)
    params, moments = _descend(game, generator, g_grads, t, hyper.lr_generator * decay, hyper.betas)

    metrics = (
        told.loss,
        g_loss,
        told.value,
        _probability(told.on_real, game.output).mean(),
        _probability(told.on_fake, game.output).mean(),
        _probability(on_fakes.output, game.output).mean(),
        _norm(d_grads, t),
        _norm(g_grads, t),
        on_fakes.logit_gradient,
        *(_norm({k: g for k, g in g_grads.items() if k.startswith(f"{i}.")}, t) for i in game.generator.trained()),
    )
    after = State(Player(params, g_buffers, moments), discriminator._replace(buffers=on_fakes.buffers))
    return after, torch.stack(metrics)


class _DiscriminatorTold(NamedTuple):
    """What a step of the discriminator has to tell beside its gradient."""

    loss: Tensor
    value: Tensor
    on_real: Tensor
    on_fake: Tensor
    buffers: Tensors


class _GeneratorTold(NamedTuple):
    """What a step of the generator has to tell beside its gradient."""

    output: Tensor
    logit_gradient: Tensor
    buffers: Tensors


def _discriminator_gradient(
    game: Game, hyper: Hyper, player: Player, real: Tensor, fakes: Tensor, between: Tensor | None
) -> tuple[Tensors, _DiscriminatorTold]:
    def loss_of(params: Tensors) -> tuple[Tensor, _DiscriminatorTold]:
        if game.joint:
            both, buffers = game.discriminator(params, player.buffers, torch.cat([real, fakes]), training=True)
            on_real, on_fake = both[: len(real)], both[len(real) :]
        else:
            on_real, buffers = game.discriminator(params, player.buffers, real, training=True)
            on_fake, buffers = game.discriminator(params, buffers, fakes, training=True)
        costs = _costs(game, hyper)
        halves = costs.real_cost(on_real).mean() + costs.fake_cost(on_fake).mean()
        total = halves
        if game.penalty != "none":
            total = total + hyper.penalty_weight * _penalty(game, params, player.buffers, real, fakes, between)
        loss = hyper.half_weight * _scale(hyper, real) * total
        return loss, _DiscriminatorTold(loss, halves / 2, on_real, on_fake, buffers)

    return grad(loss_of, has_aux=True)(player.params)


def _penalty(
    game: Game, params: Tensors, buffers: Tensors, real: Tensor, fakes: Tensor, between: Tensor | None
) -> Tensor:
    """Return the penalty on D's gradient; its own pass through D leaves BatchNorm's buffers as they are."""

    def total(x: Tensor) -> Tensor:
        return game.discriminator(params, buffers, x, training=True)[0].sum()

    if game.penalty == "r1":
        return losses.r1(grad(total)(real))
    assert between is not None
    return losses.wgan_gp(grad(total)(torch.lerp(fakes, real, between)))


def _generator_gradient(
    game: Game, hyper: Hyper, params: Tensors, buffers: Tensors, fakes: Tensor
) -> tuple[Tensor, Tensor, _GeneratorTold]:
    """Return the generator's loss, its gradient on the fakes, and what else there is to tell."""

    def discriminate(fakes: Tensor) -> tuple[Tensor, Tensors]:
        return game.discriminator(params, buffers, fakes, training=True)

    def loss_of(output: Tensor) -> Tensor:
        return _scale(hyper, fakes) * _costs(game, hyper).generator_cost(output).mean()

    output, pullback, new_buffers = cast("tuple[Any, Any, Any]", vjp(discriminate, fakes, has_aux=True))
    on_output, loss = grad_and_value(loss_of)(output)
    (on_fakes,) = pullback(on_output)
    # A sigmoid's output has its logit behind it; and a mean's gradient is shared among the samples.
    on_logits = on_output * output * (1.0 - output) if game.output == "probability" else on_output
    logit_gradient = on_logits.abs().sum() / _scale(hyper, fakes)
    return loss, on_fakes, _GeneratorTold(output, logit_gradient, new_buffers)


def _generate(
    game: Game, params: Tensors, buffers: Tensors, z: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensors]], Tensors]:
    """Make fakes; return them, the map from a gradient on them to one on the parameters, and the new buffers."""

    def forward(params: Tensors) -> tuple[Tensor, Tensors]:
        return game.generator(params, buffers, z, training=True)

    if not params:  # a fixed generator
        fakes, new_buffers = forward(params)
        return fakes, lambda _: ({},), new_buffers
    fakes, pullback, new_buffers = cast("tuple[Any, Any, Any]", vjp(forward, params, has_aux=True))
    return fakes, pullback, new_buffers


def _descend(
    game: Game, player: Player, grads: Tensors, t: Tensor, lr: Tensor, betas: Betas
) -> tuple[Tensors, Moments]:
    if game.optimiser == "sgd":
        return sgd(player.params, grads, lr), player.moments
    return adam(player.params, grads, player.moments, t, lr, betas)


def _costs(game: Game, hyper: Hyper) -> losses.Costs | plugins.Loss:
    """Return what the players minimise, on the discriminator's output."""
    return game.loss or losses.Costs(game.output, hyper.saturating, hyper.wasserstein)


def _scale(hyper: Hyper, batch: Tensor) -> Tensor:
    """Return what turns a mean over the batch into the reduction's mean or sum."""
    return torch.where(hyper.summed, float(len(batch)), 1.0)


def _probability(output: Tensor, kind: str) -> Tensor:
    return torch.sigmoid(output) if kind == "logit" else output


def _norm(grads: Tensors, like: Tensor) -> Tensor:
    if not grads:  # of a fixed generator
        return like.new_zeros(())
    return torch.sqrt(torch.stack([g.square().sum() for g in grads.values()]).sum())
