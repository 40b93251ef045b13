"""What a penalty must keep to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap

from gan.conformance.checks import ABSOLUTE, RELATIVE, ensure
from gan.plugins import Penalty

BATCH, SIZE = 16, 3
NUMBERS = 8  # uniform, for a sample: more than penalties of so small samples need


def checks(penalty: Penalty) -> dict[str, Callable[[Penalty], None]]:
    """Return the checks of a penalty."""
    return {
        "a finite scalar, and so is its gradient": finite,
        "the same samples cost the same, and stay as they are": pure,
        "its gradient is finite where the discriminator is flat": flat,
        "mapped over replicas as each alone": mapped,
        **({"compiles": compiles} if penalty.compiles else {}),
    }


def finite(penalty: Penalty) -> None:
    """It is added to the loss, and trains the discriminator."""
    value = cost(penalty, *given(0))
    ensure(value.shape == (), f"of shape {tuple(value.shape)}; expected a scalar")
    slope = grad(lambda weight: cost(penalty, weight, *given(0)[1:]))(given(0)[0])
    ensure(bool(torch.isfinite(value)), f"{float(value)}")
    ensure(bool(torch.isfinite(slope).all()), "its gradient on the discriminator's parameters is not finite")


def pure(penalty: Penalty) -> None:
    """Random numbers come from `noise` alone."""
    inputs = given(0)
    first = cost(penalty, *inputs)
    same = all(torch.equal(a, b) for a, b in zip(inputs, given(0), strict=True))
    ensure(same, "changes the samples in place")
    ensure(torch.equal(first, cost(penalty, *inputs)), "another cost of the same samples")


def flat(penalty: Penalty) -> None:
    """Where D has no slope, a norm's derivative is infinite unless somebody looked."""
    weight, *rest = given(0)
    slope = grad(lambda weight: cost(penalty, weight, *rest))(torch.zeros_like(weight))
    ensure(bool(torch.isfinite(slope).all()), "its gradient is not finite where the discriminator is flat")


def mapped(penalty: Penalty) -> None:
    """Replicas are trained side by side, through `torch.func.vmap`."""
    each = [given(seed) for seed in range(3)]
    together = vmap(partial(cost, penalty))(*(torch.stack(x) for x in zip(*each, strict=True)))
    alone = torch.stack([cost(penalty, *inputs) for inputs in each])
    ensure(torch.allclose(together, alone, rtol=RELATIVE, atol=ABSOLUTE), "another cost side by side than alone")


def compiles(penalty: Penalty) -> None:
    """The compiler is asked for the graph alone: no machine lacks what that needs."""
    compiled = torch.compile(partial(cost, penalty), backend="eager", fullgraph=True)(*given(0))
    torch.compiler.reset()
    ensure(torch.allclose(compiled, cost(penalty, *given(0)), rtol=1e-4, atol=1e-5), "another cost compiled")


def cost(penalty: Penalty, weight: Tensor, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
    """Return the penalty of a small curved discriminator, tanh(x w) summed."""
    numbers = penalty.noise(SIZE)

    def critic(x: Tensor) -> Tensor:
        return torch.tanh(x @ weight).sum(dim=1, keepdim=True)

    return penalty.cost(critic, real, fake, noise[:, :numbers] if numbers else None)


def given(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the discriminator's weights, real samples, fakes and uniform numbers of a seed."""
    rng = torch.Generator().manual_seed(seed)
    weight, real, fake = (torch.randn(n, SIZE, generator=rng) for n in (SIZE, BATCH, BATCH))
    return weight, real, fake, torch.rand(BATCH, NUMBERS, generator=rng)
