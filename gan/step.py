"""One training step of one GAN, as the algorithm box of a paper would have it.

A pure function of the players, this replica's numbers, a batch of real data and latents. `gan/cohort.py` maps it
over replicas; nothing here knows how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Generator, Tensor
from torch.func import grad, vjp

from gan import losses
from gan.networks import Network, Tensors, make_discriminator, make_generator
from gan.optimiser import Betas, Moments, adam
from gan.variant import LINEAR_SCHEDULE_END, Variant

METRICS = (
    "loss/discriminator",  # as trained: its scale depends on the reduction
    "loss/generator",
    "value/discriminator",  # mean over both halves: log 2 at the equilibrium, whatever the reduction
    "output/real",  # mean of D(x), a probability
    "output/fake",  # mean of D(G(z)) in the discriminator's step
    "gradient/discriminator",  # Euclidean norm over all parameters
    "gradient/generator",
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
    half_weight: Tensor  # of each half's mean in the discriminator's loss
    summed: Tensor  # sum over the batch instead of its mean
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
            half_weight=number(0.5 if variant.reduction == "mean" else 1.0),
            summed=torch.tensor(variant.reduction == "sum"),
            lr_discriminator=number(variant.lr_discriminator),
            lr_generator=number(variant.lr_generator),
            lr_end=number(LINEAR_SCHEDULE_END if variant.schedule == "linear" else 1.0),
            betas=Betas.of(variant.beta1, variant.beta2),
        )


class Game(NamedTuple):
    """The two networks and the branches of the step: what every replica of a cohort shares."""

    generator: Network
    discriminator: Network
    output: str
    joint: bool
    fresh: bool

    @staticmethod
    def of(variant: Variant, dimension: int) -> Game:
        """Build the game of a variant on samples of `dimension` numbers."""
        return Game(
            generator=make_generator(variant, dimension),
            discriminator=make_discriminator(variant, dimension),
            output=variant.discriminator_output,
            joint=variant.passes == "joint",
            fresh=variant.latents == "fresh",
        )

    def initial(self, rng: Callable[[str], Generator], scheme: str) -> State:
        """Draw one replica's initial state; `rng(name)` gives the generator of a player's name."""
        players: list[Player] = []
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            params, buffers = network.initial(rng(name), scheme)
            players.append(Player(params, buffers, Moments.zero(params)))
        return State(*players)


def step(
    game: Game,
    state: State,
    hyper: Hyper,
    real: Tensor,
    z_d: Tensor,
    z_g: Tensor,
    t: Tensor,
    progress: Tensor,
) -> tuple[State, Tensor]:
    """Train the discriminator once, then the generator once (Goodfellow et al. 2014, algorithm 1, k = 1).

    Args:
        game: The networks and the branches of the step.
        state: Both players before the step.
        hyper: This replica's numbers.
        real: Real samples [batch, dimension].
        z_d: Latents of the discriminator's step [batch, latent_dim].
        z_g: Latents of the generator's step, not looked at when latents are reused.
        t: Number of the step, from 1, a float32 scalar.
        progress: Part of the run behind this step, (t - 1) / steps, a float32 scalar.

    Returns:
        Both players after the step, and the METRICS [len(METRICS)], losses as they were before each update.
    """
    generator, discriminator = state
    decay = 1.0 + (hyper.lr_end - 1.0) * progress
    scale = torch.where(hyper.summed, float(len(real)), 1.0)

    # Make fakes.
    fakes, pullback, g_buffers = _generate(game, generator.params, generator.buffers, z_d)

    # Update the discriminator on real and fake.
    def discriminator_loss(params: Tensors) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor, Tensors]]:
        if game.joint:
            both, buffers = game.discriminator(params, discriminator.buffers, torch.cat([real, fakes]), training=True)
            on_real, on_fake = both[: len(real)], both[len(real) :]
        else:
            on_real, buffers = game.discriminator(params, discriminator.buffers, real, training=True)
            on_fake, buffers = game.discriminator(params, buffers, fakes, training=True)
        halves = losses.real_cost(on_real, game.output).mean() + losses.fake_cost(on_fake, game.output).mean()
        loss = hyper.half_weight * scale * halves
        return loss, (loss, halves / 2, on_real, on_fake, buffers)

    d_grads, (d_loss, value, on_real, on_fake, d_buffers) = grad(discriminator_loss, has_aux=True)(discriminator.params)
    d_params, d_moments = adam(
        discriminator.params, d_grads, discriminator.moments, t, hyper.lr_discriminator * decay, hyper.betas
    )

    # Update the generator against the new discriminator.
    if game.fresh:
        fakes, pullback, g_buffers = _generate(game, generator.params, g_buffers, z_g)

    def generator_loss(fakes: Tensor) -> tuple[Tensor, tuple[Tensor, Tensors]]:
        output, buffers = game.discriminator(d_params, d_buffers, fakes, training=True)
        loss = scale * losses.generator_cost(output, game.output, hyper.saturating).mean()
        return loss, (loss, buffers)

    fake_grads, (g_loss, d_buffers) = grad(generator_loss, has_aux=True)(fakes)
    (g_grads,) = pullback(fake_grads)
    g_params, g_moments = adam(generator.params, g_grads, generator.moments, t, hyper.lr_generator * decay, hyper.betas)

    metrics = (
        d_loss,
        g_loss,
        value,
        _probability(on_real, game.output).mean(),
        _probability(on_fake, game.output).mean(),
        _norm(d_grads),
        _norm(g_grads),
    )
    after = State(Player(g_params, g_buffers, g_moments), Player(d_params, d_buffers, d_moments))
    return after, torch.stack(metrics)


def _generate(
    game: Game, params: Tensors, buffers: Tensors, z: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensors]], Tensors]:
    """Make fakes; return them, the map from a gradient on them to one on the parameters, and the new buffers."""

    def forward(params: Tensors) -> tuple[Tensor, Tensors]:
        return game.generator(params, buffers, z, training=True)

    fakes, pullback, new_buffers = cast("tuple[Any, Any, Any]", vjp(forward, params, has_aux=True))
    return fakes, pullback, new_buffers


def _probability(output: Tensor, kind: str) -> Tensor:
    return torch.sigmoid(output) if kind == "logit" else output


def _norm(grads: Tensors) -> Tensor:
    return torch.sqrt(torch.stack([g.square().sum() for g in grads.values()]).sum())
