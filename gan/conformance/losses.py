"""What a loss must keep to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from gan.conformance.checks import ensure
from gan.model.losses import Costs
from gan.plugins import Loss
from gan.variant import BUILT_IN

EXTREME = 1e4  # a logit that diverging players reach
STEP = 1e-4  # of the finite differences
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Tolerance where a cost must be the same among others as alone: equal to rounding. A processor rounds `softplus` and
its like in one way in its vector registers, and in another where too few numbers are left to fill one."""
COSTS = ("real_cost", "fake_cost", "generator_cost")


def ours() -> list[Loss]:
    """Return the built-in losses, as plugins have theirs."""
    made: list[Loss] = []
    for name in BUILT_IN["loss"]:
        costs = Costs("logit", torch.tensor(name == "saturating"), torch.tensor(name == "wasserstein"))
        made.append(Loss(name, costs.real_cost, costs.fake_cost, costs.generator_cost))
    return made


def checks(loss: Loss) -> dict[str, Callable[[Loss], None]]:
    """Return the checks of a loss."""
    return {
        "a cost for each logit, of that logit alone": elementwise,
        "the same logits cost the same, and stay as they are": pure,
        f"costs and gradients are finite on logits to {EXTREME:g}": finite,
        "gradients are those of the costs": differentiable,
        "the discriminator gains by telling real from fake": discriminating,
        "the generator gains when its fakes pass for real": generating,
        "mapped over replicas as each alone": mapped,
        **({"compiles": compiles} if loss.compiles else {}),
    }


def elementwise(loss: Loss) -> None:
    """A cost of a whole batch, such as its mean, would be averaged twice, and would mix samples."""
    logits = _logits()
    for name, cost in _costs(loss):
        whole = cost(logits)
        ensure(whole.shape == logits.shape, f"{name}: of shape {tuple(whole.shape)} for {tuple(logits.shape)}")
        alone = torch.cat([cost(logit[None]) for logit in logits])
        ensure(_close(whole, alone), f"{name}: a logit's cost changes with the logits beside it")


def pure(loss: Loss) -> None:
    """Random costs, or logits that are changed in place, make results that nobody can repeat."""
    for name, cost in _costs(loss):
        logits = _logits()
        first = cost(logits)
        ensure(torch.equal(logits, _logits()), f"{name}: changes the logits in place")
        ensure(torch.equal(first, cost(logits)), f"{name}: other costs of the same logits")


def finite(loss: Loss) -> None:
    """What overflows ends a replica that might have come back."""
    logits = torch.tensor([[-EXTREME], [-100.0], [0.0], [100.0], [EXTREME]])
    for name, cost in _costs(loss):
        for what, value in (("cost", cost(logits)), ("gradient", _gradient(cost, logits))):
            bad = logits[~torch.isfinite(value)]
            ensure(not len(bad), f"{name}: the {what} of a logit of {float(bad[0]) if len(bad) else 0:g} is not finite")


def differentiable(loss: Loss) -> None:
    """A detached part, or a gradient of its own, trains something else than the loss that is recorded."""
    logits = _logits().double()
    for name, cost in _costs(loss):
        expected = (cost(logits + STEP) - cost(logits - STEP)) / (2 * STEP)
        off = (_gradient(cost, logits) - expected).abs() > 1e-3 + 1e-2 * expected.abs()
        at = float(logits[off][0]) if off.any() else 0.0
        ensure(not off.any(), f"{name}: at a logit of {at:.3g} the gradient is not the cost's slope")


def discriminating(loss: Loss) -> None:
    """Real logits above fake ones must cost the discriminator less than the reverse."""
    low, high = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
    right = float(loss.real_cost(high) + loss.fake_cost(low))
    wrong = float(loss.real_cost(low) + loss.fake_cost(high))
    ensure(right < wrong, f"real at 1 and fake at -1 cost {right:g}, the reverse {wrong:g}; expected less")


def generating(loss: Loss) -> None:
    """Fakes with the logits of real samples must cost the generator less."""
    low, high = (float(loss.generator_cost(torch.tensor([[logit]]))) for logit in (-1.0, 1.0))
    ensure(high < low, f"fakes at 1 cost {high:g}, at -1 {low:g}; expected less")


def mapped(loss: Loss) -> None:
    """Replicas are trained side by side, through `torch.func.vmap`."""
    stack = torch.stack([_logits(), _logits() + 1.0, -_logits()])
    for name, cost in _costs(loss):
        together, alone = vmap(cost)(stack), torch.stack([cost(logits) for logits in stack])
        ensure(_close(together, alone), f"{name}: other costs side by side than alone")


def compiles(loss: Loss) -> None:
    """The compiler is asked for the graph alone: no machine lacks what that needs."""
    for name, cost in _costs(loss):
        told = torch.compile(cost, backend="eager", fullgraph=True)(_logits())
        ensure(_close(told, cost(_logits())), f"{name}: other costs compiled")
    torch.compiler.reset()


def _costs(loss: Loss) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    return [(name, getattr(loss, name)) for name in COSTS]


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE)


def _logits() -> Tensor:
    """Return logits [9, 1] between -5 and 5, at no round number, where losses may have their kinks."""
    return torch.linspace(-4.87, 4.91, 9)[:, None]


def _gradient(cost: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    return grad(lambda x: cost(x).sum())(logits)
