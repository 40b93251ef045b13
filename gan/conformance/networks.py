"""What a generator or a discriminator must keep to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from gan.conformance.checks import ensure
from gan.engine import random_streams
from gan.engine.cohort import Trainer
from gan.engine.process_setup import one_thread
from gan.model.networks import Network, make_network
from gan.model.step import State, StepConfig, Tensors, step
from gan.plugins import NetworkKind
from gan.replica import Cohort, Replica, Scoring
from gan.targets import Target
from gan.variant import PER_REPLICA, Variant

CPU = torch.device("cpu")
STEPS = 20
SEEDS = (0, 1, 2)
BATCH = 16

# Of each setting that may differ within a cohort another value than the default.
OTHERS: dict[str, Any] = {
    **{"loss": "saturating", "reduction": "sum", "initialisation": "normal_002", "latent": "uniform"},
    **{"penalty_weight": 1.0, "lr": 1e-3, "lr_ratio": 2.0, "beta1": 0.5, "beta2": 0.99, "schedule": "linear"},
}
assert OTHERS.keys() == PER_REPLICA


SMALL: dict[str, Any] = {
    **{
        "batch_size": BATCH,
        "generator_hidden": (8, 8),
        "discriminator_hidden": (8, 8),
        "discriminator_channels": (4, 8),
    },
    **{"latent_dim": 4},
}


class Subject:
    """A network in a small GAN.

    Args:
        kind: Its kind.
        target: What is learned.
    """

    def __init__(self, kind: NetworkKind, target: Target) -> None:
        self.kind, self.target = kind, target
        settings: dict[str, Any] = {"generator_output": target.generator_outputs[0], kind.player: kind.name}
        settings = SMALL | settings
        if "game" in target.provides:
            settings = {"generator": "point", "discriminator": "slope", "loss": "wasserstein"} | settings
        if kind.refuses(Variant(**settings), target.shape):  # a fixed Gaussian scales one number
            settings |= {"latent_dim": 1}
        self.variant = Variant(**settings)
        self.inputs = self.variant.latent_dim if kind.player == "generator" else target.dimension
        self.outputs = target.dimension if kind.player == "generator" else 1

    @cached_property
    def network(self) -> Network:
        """The network."""
        return self.network_of(self.variant)

    def network_of(self, variant: Variant) -> Network:
        """Return the network of a variant."""
        return make_network(self.kind.player, variant, self.target.shape)

    def initial(self, seed: int, scheme: str = "default") -> tuple[Tensors, Tensors]:
        """Return parameters and buffers of a seed."""
        return self.network.initial(random_streams.generator(seed, "conformance", 0, CPU), scheme)

    def batch(self, seed: int = 0, size: int = BATCH) -> Tensor:
        """Return what goes in, [size, inputs], the same for the same seed."""
        return torch.randn(size, self.inputs, generator=torch.Generator().manual_seed(seed))

    @one_thread()
    def trained(self, seeds: tuple[int, ...] = SEEDS) -> tuple[State, Trainer]:
        """Return the state at the start of a short training side by side, and how it ended."""
        replicas = tuple(Replica(f"seed {seed}", self.variant, seed) for seed in seeds)
        cohort = Cohort(
            id="conformance",
            replicas=replicas,
            target=self.target,
            steps=STEPS,
            scoring=Scoring(),
            mode="vmap",
            compiled=False,
            width=len(seeds),
        )
        run = Trainer(cohort, replicas, Path("nowhere"), CPU)
        before = cast(State, pytree.tree_map(torch.clone, run.state))
        run.advance(0, STEPS)
        return before, run


def checks(kind: NetworkKind) -> dict[str, Callable[[Subject], None]]:
    """Return the checks of a network."""
    return {
        "layers follow from what shapes a cohort": shaped,
        "a row out for each row in, of the right width": sized,
        "parameters by the seed alone": seeded,
        "the same comes out again, and nothing that goes in changes": pure,
        "outside training each sample for itself": separate,
        "mapped over replicas as each alone": mapped,
        f"{STEPS} steps of training stay finite and move every parameter": trains,
        "neighbours change no bit": undisturbed,
        **({"compiles": compiles} if kind.compiles else {}),
    }


def shaped(subject: Subject) -> None:
    """Replicas that share a cohort share one network, whatever else they differ in."""
    network = subject.network
    ensure(hash(network) == hash(subject.network_of(subject.variant)), "built twice, two networks; expected equal ones")
    for field, value in OTHERS.items():
        other = dataclasses.replace(subject.variant, **{field: value})
        same = subject.network_of(other) == network
        ensure(same, f"{field} changes the layers; it may differ within a cohort, which has one network")


def sized(subject: Subject) -> None:
    """Batches of any size go through."""
    params, buffers = subject.initial(0)
    for size in (2, 5):
        for training in (True, False):
            y, _ = subject.network(params, buffers, subject.batch(size=size), training=training)
            expected = (size, subject.outputs)
            ensure(tuple(y.shape) == expected, f"{tuple(y.shape)} from {size} samples; expected {expected}")
            ensure(y.dtype == torch.float32, f"{y.dtype}; expected float32")


def seeded(subject: Subject) -> None:
    """A replica's start is the same everywhere, and another's is another."""
    for scheme in ("default", "normal_002"):
        first, again, other = (subject.initial(seed, scheme) for seed in (0, 0, 1))
        ensure(_equal(first, again), f"{scheme}: other parameters of the same seed")
        params, _ = first
        ensure(not params or not _equal(first, other), f"{scheme}: the same parameters of another seed")
        for i, layer in enumerate(subject.network.layers):
            shapes = {f"{i}.{name}": shape for name, shape in layer.params().items()}
            drawn = {name: tuple(p.shape) for name, p in params.items() if name.startswith(f"{i}.")}
            ensure(drawn == shapes, f"{type(layer).__name__}: parameters {drawn}; params() says {shapes}")
        ensure(all(bool(torch.isfinite(p).all()) for p in params.values()), f"{scheme}: parameters that are not finite")


def pure(subject: Subject) -> None:
    """A step is a function: what it was given is given to others too."""
    params, buffers = subject.initial(0)
    x = subject.batch()
    first = subject.network(params, buffers, x, training=True)
    ensure(torch.equal(x, subject.batch()), "changes the samples in place")
    ensure(_equal((params, buffers), subject.initial(0)), "changes parameters or buffers in place")
    ensure(_equal(first, subject.network(params, buffers, x, training=True)), "another output of the same samples")


def separate(subject: Subject) -> None:
    """Samples are scored in batches of another size than they are trained in."""
    params, buffers = subject.initial(0)
    whole, _ = subject.network(params, buffers, subject.batch(), training=False)
    first, _ = subject.network(params, buffers, subject.batch()[:1], training=False)
    close = torch.allclose(whole[:1], first, rtol=1e-4, atol=1e-5)
    ensure(close, "a sample's output changes with the samples beside it")


def mapped(subject: Subject) -> None:
    """Replicas are trained side by side, through `torch.func.vmap`."""
    states = [subject.initial(seed) for seed in SEEDS]
    xs = [subject.batch(seed) for seed in SEEDS]
    apply = partial(subject.network, training=True)
    alone = torch.stack([apply(params, buffers, x)[0] for (params, buffers), x in zip(states, xs, strict=True)])
    params, buffers, x = pytree.tree_map(
        lambda *each: torch.stack(each), *[(*state, x) for state, x in zip(states, xs, strict=True)]
    )
    together, _ = vmap(apply)(params, buffers, x)
    ensure(torch.allclose(together, alone, rtol=1e-4, atol=1e-5), "another output side by side than alone")


def trains(subject: Subject) -> None:
    """Whatever it is, a few steps of a small GAN must not break it."""
    before, run = subject.trained()
    ensure(bool(torch.isfinite(run.metrics).all()), "losses or gradients that are not finite")
    started, ended = (getattr(state, subject.kind.player).params for state in (before, run.state))
    still = [name for name, p in started.items() if torch.equal(p, ended[name])]
    ensure(not still, f"parameters that no gradient reaches: {', '.join(still)}")


def undisturbed(subject: Subject) -> None:
    """A replica's bits are its own."""
    runs = [subject.trained((0, *others))[1] for others in (SEEDS[1:], (11, 12))]
    ensure(_equal(runs[0].replica_state(0), runs[1].replica_state(0)), "a replica ends elsewhere beside others")


def compiles(subject: Subject) -> None:
    """The compiler is asked for the graph alone: no machine lacks what that needs."""
    config = StepConfig.of(subject.variant, subject.target.shape)
    _, run = subject.trained()
    one = vmap(partial(step, config), in_dims=(0, 0, 0, None, None))
    given = run.state, run.hyper, run.batch(0), torch.tensor(1.0), torch.tensor(0.0)
    with torch.no_grad():
        expected = one(*given)
        torch.compiler.reset()
        compiled = torch.compile(one, backend="eager", fullgraph=True, dynamic=False)(*given)
    torch.compiler.reset()
    pairs = zip(pytree.tree_leaves(compiled), pytree.tree_leaves(expected), strict=True)
    close = all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)
    ensure(close, "another step compiled")


def _equal(one: Any, other: Any) -> bool:
    """Say whether two trees hold the same bits."""
    a, b = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
