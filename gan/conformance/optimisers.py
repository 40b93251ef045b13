"""What an optimiser must keep to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from gan.conformance.checks import ABSOLUTE, RELATIVE, ensure
from gan.model.optimisers import Betas
from gan.plugins import Optimiser

STEPS, RATE = 50, 1e-2
Params = dict[str, Tensor]


def checks(optimiser: Optimiser) -> dict[str, Callable[[Optimiser], None]]:
    """Return the checks of an optimiser."""
    return {
        "it descends": descends,
        "the same gradients give the same step, and nothing that goes in changes": pure,
        "no step without a learning rate": still,
        "mapped over replicas as each alone": mapped,
        **({"compiles": compiles} if optimiser.compiles else {}),
    }


def descends(optimiser: Optimiser) -> None:
    """On a bowl, whose gradient is the parameters themselves."""
    params = start(0)
    state, before = optimiser.initial(params), _norm(params)
    for t in range(1, STEPS + 1):
        params, state = update(optimiser, params, params, state, t)
    ensure(_norm(params) < before, f"from {before:g} to {_norm(params):g} in {STEPS} steps down a bowl")


def pure(optimiser: Optimiser) -> None:
    """A step is a function: what it was given is given to others too."""
    params, grads = start(0), start(1)
    state = optimiser.initial(params)
    kept = pytree.tree_map(torch.clone, (params, grads, state))
    first = update(optimiser, params, grads, state, 1)
    ensure(_equal((params, grads, state), kept), "changes parameters, gradients or its state in place")
    ensure(_equal(first, update(optimiser, params, grads, state, 1)), "another step of the same gradients")


def still(optimiser: Optimiser) -> None:
    """A schedule may end at 0."""
    params, grads = start(0), start(1)
    after, _ = optimiser.update(params, grads, optimiser.initial(params), torch.tensor(1.0), torch.tensor(0.0), BETAS)
    ensure(_equal(after, params), "moves parameters at a learning rate of 0")


def mapped(optimiser: Optimiser) -> None:
    """Replicas are trained side by side, through `torch.func.vmap`."""

    def one(params: Params, grads: Params) -> Any:
        return update(optimiser, params, grads, optimiser.initial(params), 2)

    each = [(start(seed), start(seed + 10)) for seed in range(3)]
    together = vmap(one)(*pytree.tree_map(lambda *x: torch.stack(x), *each))
    alone = pytree.tree_map(lambda *x: torch.stack(x), *(one(*given) for given in each))
    ensure(_close(together, alone), "another step side by side than alone")


def compiles(optimiser: Optimiser) -> None:
    """The compiler is asked for the graph alone: no machine lacks what that needs."""
    params, grads = start(0), start(1)
    state, t, lr = optimiser.initial(params), torch.tensor(1.0), torch.tensor(RATE)
    compiled = torch.compile(optimiser.update, backend="eager", fullgraph=True)(params, grads, state, t, lr, BETAS)
    torch.compiler.reset()
    ensure(_close(compiled, optimiser.update(params, grads, state, t, lr, BETAS)), "another step compiled")


BETAS = Betas.of(0.9, 0.999)


def update(optimiser: Optimiser, params: Params, grads: Params, state: Any, t: int) -> tuple[Params, Any]:
    """Make step `t`."""
    return optimiser.update(params, grads, state, torch.tensor(float(t)), torch.tensor(RATE), BETAS)


def start(seed: int) -> Params:
    """Return parameters, or gradients, of a seed."""
    rng = torch.Generator().manual_seed(seed)
    return {"0.weight": torch.randn(4, 3, generator=rng), "0.bias": torch.randn(4, generator=rng)}


def _norm(params: Params) -> float:
    return float(sum(p.square().sum() for p in params.values()))


def _equal(one: Any, other: Any) -> bool:
    a, b = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def _close(one: Any, other: Any) -> bool:
    a, b = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return len(a) == len(b) and all(
        torch.allclose(x, y, rtol=RELATIVE, atol=ABSOLUTE) for x, y in zip(a, b, strict=True)
    )
