"""One training step of one GAN, as the algorithm box of a paper would have it.

A pure function of the players, this replica's numbers, real data and latents. `gan/engine/cohort.py` maps it over
replicas; nothing here knows how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Generator, Tensor
from torch.func import grad, grad_and_value, vjp

from gan.model.losses import chosen
from gan.model.networks import Network, players
from gan.model.optimisers import Betas
from gan.plugins import registry
from gan.plugins.components import Loss, Optimiser, Penalty
from gan.variant import LINEAR_SCHEDULE_END, Variant

Tensors = dict[str, Tensor]

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
    optimiser: Any  # the optimiser's state, such as Adam's moments


class State(NamedTuple):
    """Both players."""

    generator: Player
    discriminator: Player


class Hyper(NamedTuple):
    """The choices that are one number per replica, each a scalar tensor."""

    loss: Tensor  # which of the step's losses is this replica's, an integer
    half_weight: Tensor  # of each half's mean in the discriminator's loss
    summed: Tensor  # sum over the batch instead of its mean
    penalty_weight: Tensor
    lr_discriminator: Tensor
    lr_generator: Tensor
    lr_end: Tensor  # the part of the learning rate that is left at the end of the run
    betas: Betas

    @staticmethod
    def of(variant: Variant, losses: Sequence[str] = ()) -> Hyper:
        """Collect a variant's numbers; `losses` as in `StepConfig.of`."""

        def number(x: float) -> Tensor:
            return torch.tensor(x, dtype=torch.float32)

        return Hyper(
            loss=torch.tensor(tuple(losses or (variant.loss,)).index(variant.loss)),
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
    noise: tuple[Tensor, ...]  # [batch, numbers] in [0, 1), of a penalty that needs them


class StepConfig(NamedTuple):
    """The two networks and the branches of the step: what every replica of a cohort shares."""

    generator: Network
    discriminator: Network
    losses: tuple[Loss, ...]  # each replica's number chooses one
    penalty: Penalty | None
    optimiser: Optimiser
    output: str
    joint: bool
    fresh: bool
    simultaneous: bool

    @staticmethod
    def of(variant: Variant, shape: tuple[int, ...], losses: Sequence[str] = ()) -> StepConfig:
        """Build the step of a variant.

        Args:
            variant: Every detail of it.
            shape: Of a sample.
            losses: Names of the losses that its cohort holds; none stands for the variant's.

        Raises:
            InputError: A component is not loaded.
        """
        generator, discriminator = players(variant, shape)
        found = [registry.loss(name) for name in losses or (variant.loss,)]
        if variant.discriminator_output == "probability":
            found = [loss.on_probability for loss in found]
        return StepConfig(
            generator=generator,
            discriminator=discriminator,
            losses=tuple(loss for loss in found if loss is not None),
            penalty=registry.penalty(variant.penalty),
            optimiser=registry.optimiser(variant.optimiser),
            output=variant.discriminator_output,
            joint=variant.passes == "joint",
            fresh=variant.latents == "fresh",
            simultaneous=variant.updates == "simultaneous",
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of a step's metrics: METRICS, and the gradient's norm of each of G's layers, from the latent on."""
        return *METRICS, *(f"gradient/generator/{i + 1}" for i in range(len(self.generator.trained())))

    def initial(self, rng: Callable[[str], Generator], scheme: str) -> State:
        """Draw one replica's initial state; `rng(name)` gives the generator of a player's name."""
        both: list[Player] = []
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            params, buffers = network.initial(rng(name), scheme)
            both.append(Player(params, buffers, self.optimiser.initial(params)))
        return State(*both)


def step(
    config: StepConfig, state: State, hyper: Hyper, batch: Batch, t: Tensor, progress: Tensor
) -> tuple[State, Tensor]:
    """Train the discriminator, once or more, then the generator once (Goodfellow et al. 2014, algorithm 1).

    Args:
        config: The networks and the branches of the step.
        state: Both players before the step.
        hyper: This replica's numbers.
        batch: Real data and latents.
        t: Number of the step, from 1, a float32 scalar.
        progress: Part of the run behind this step, (t - 1) / steps, a float32 scalar.

    Returns:
        Both players after the step, and `config.metrics` [len(config.metrics)]: losses and gradients as they were
        before each update, the discriminator's of its last one.
    """
    generator, discriminator = state
    decay = 1.0 + (hyper.lr_end - 1.0) * progress
    critic_steps, update = len(batch.real), config.optimiser.update

    # Update the discriminator on real and fake.
    g_buffers = generator.buffers
    for i, (real, z) in enumerate(zip(batch.real, batch.z_d, strict=True)):
        fakes, pullback, g_buffers = _generate(config, generator.params, g_buffers, z)
        noise = batch.noise[i] if batch.noise else None
        d_grads, aux = _discriminator_gradient(config, hyper, discriminator, real, fakes, noise)
        t_d = (t - 1.0) * critic_steps + (i + 1.0)
        lr = hyper.lr_discriminator * decay
        params, optimiser = update(discriminator.params, d_grads, discriminator.optimiser, t_d, lr, hyper.betas)
        discriminator = Player(params, aux.buffers, optimiser)

    # Update the generator against the new discriminator, or against the one it began with.
    if config.fresh:
        fakes, pullback, g_buffers = _generate(config, generator.params, g_buffers, batch.z_g)
    opponent = state.discriminator.params if config.simultaneous else discriminator.params
    g_loss, fake_grads, on_fakes = _generator_gradient(
        config, hyper, opponent, discriminator.buffers, batch.real[-1], fakes
    )
    (g_grads,) = pullback(fake_grads)
    lr = hyper.lr_generator * decay
    params, optimiser = update(generator.params, g_grads, generator.optimiser, t, lr, hyper.betas)

    metrics = (
        aux.loss,
        g_loss,
        aux.value,
        _probability(aux.on_real, config.output).mean(),
        _probability(aux.on_fake, config.output).mean(),
        _probability(on_fakes.output, config.output).mean(),
        _norm(d_grads, t),
        _norm(g_grads, t),
        on_fakes.logit_gradient,
        *(_norm({k: g for k, g in g_grads.items() if k.startswith(f"{i}.")}, t) for i in config.generator.trained()),
    )
    after = State(Player(params, g_buffers, optimiser), discriminator._replace(buffers=on_fakes.buffers))
    return after, torch.stack(metrics)


class DiscriminatorAux(NamedTuple):
    """What a step of the discriminator gives beside its gradient."""

    loss: Tensor
    value: Tensor
    on_real: Tensor
    on_fake: Tensor
    buffers: Tensors


class GeneratorAux(NamedTuple):
    """What a step of the generator gives beside its gradient."""

    output: Tensor
    logit_gradient: Tensor
    buffers: Tensors


def _discriminator_gradient(
    config: StepConfig, hyper: Hyper, player: Player, real: Tensor, fakes: Tensor, noise: Tensor | None
) -> tuple[Tensors, DiscriminatorAux]:
    def loss_of(params: Tensors) -> tuple[Tensor, DiscriminatorAux]:
        if config.joint:
            samples = torch.cat([real, fakes])
            both, buffers = config.discriminator(params, player.buffers, samples, training=True, advance=True)
            on_real, on_fake = both[: len(real)], both[len(real) :]
        else:
            on_real, buffers = config.discriminator(params, player.buffers, real, training=True, advance=True)
            on_fake, buffers = config.discriminator(params, buffers, fakes, training=True)
        of_real, of_fake = chosen([loss.discriminator for loss in config.losses], hyper.loss, on_real, on_fake)
        halves = of_real.mean() + of_fake.mean()
        total = halves
        if config.penalty is not None:

            def critic(x: Tensor) -> Tensor:  # leaves BatchNorm's buffers as they are
                return config.discriminator(params, player.buffers, x, training=True)[0]

            total = total + hyper.penalty_weight * config.penalty.cost(critic, real, fakes, noise)
        loss = hyper.half_weight * _scale(hyper, real) * total
        return loss, DiscriminatorAux(loss, halves / 2, on_real, on_fake, buffers)

    return grad(loss_of, has_aux=True)(player.params)


def _generator_gradient(
    config: StepConfig, hyper: Hyper, params: Tensors, buffers: Tensors, real: Tensor, fakes: Tensor
) -> tuple[Tensor, Tensor, GeneratorAux]:
    """Return the generator's loss, its gradient on the fakes, and the rest."""
    on_real = None
    if config.losses[0].real_in_generator_step:
        on_real, _ = config.discriminator(params, buffers, real, training=True)

    def discriminate(fakes: Tensor) -> tuple[Tensor, Tensors]:
        return config.discriminator(params, buffers, fakes, training=True)

    def loss_of(output: Tensor) -> Tensor:
        costs = chosen([loss.generator for loss in config.losses], hyper.loss, output, on_real)
        return _scale(hyper, fakes) * costs.mean()

    output, pullback, new_buffers = cast("tuple[Any, Any, Any]", vjp(discriminate, fakes, has_aux=True))
    on_output, loss = grad_and_value(loss_of)(output)
    (on_fakes,) = pullback(on_output)
    # A sigmoid's output has its logit behind it; and a mean's gradient is shared among the samples.
    on_logits = on_output * output * (1.0 - output) if config.output == "probability" else on_output
    logit_gradient = on_logits.abs().sum() / _scale(hyper, fakes)
    return loss, on_fakes, GeneratorAux(output, logit_gradient, new_buffers)


def _generate(
    config: StepConfig, params: Tensors, buffers: Tensors, z: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensors]], Tensors]:
    """Make fakes; return them, the map from a gradient on them to one on the parameters, and the new buffers."""

    def forward(params: Tensors) -> tuple[Tensor, Tensors]:
        return config.generator(params, buffers, z, training=True)

    if not params:  # a fixed generator
        fakes, new_buffers = forward(params)
        return fakes, lambda _: ({},), new_buffers
    fakes, pullback, new_buffers = cast("tuple[Any, Any, Any]", vjp(forward, params, has_aux=True))
    return fakes, pullback, new_buffers


def _scale(hyper: Hyper, batch: Tensor) -> Tensor:
    """Return what turns a mean over the batch into the reduction's mean or sum."""
    return torch.where(hyper.summed, float(len(batch)), 1.0)


def _probability(output: Tensor, kind: str) -> Tensor:
    return torch.sigmoid(output) if kind == "logit" else output


def _norm(grads: Tensors, like: Tensor) -> Tensor:
    if not grads:  # of a fixed generator
        return like.new_zeros(())
    return torch.sqrt(torch.stack([g.square().sum() for g in grads.values()]).sum())
