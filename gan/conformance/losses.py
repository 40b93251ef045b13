"""What a loss must keep to."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.func import grad, vmap

from gan.conformance.checks import ABSOLUTE, RELATIVE, ensure
from gan.plugins import Loss

EXTREME = 1e4  # an output that diverging players reach
STEP = 1e-4  # of the finite differences
Cost = Callable[[Tensor, Tensor], Tensor]


def checks(loss: Loss) -> dict[str, Callable[[Loss], None]]:
    """Return the checks of a loss."""
    apart: dict[str, Callable[[Loss], None]] = {} if loss.scope == "batch" else {_SCOPES[loss.scope]: separate}
    return {
        "a cost for each output": shaped,
        **apart,
        "the same outputs cost the same, and stay as they are": pure,
        f"costs and gradients are finite on outputs to {EXTREME:g}": finite,
        "gradients are those of the costs": differentiable,
        "the discriminator gains by telling real from fake": discriminating,
        "the generator gains when its fakes pass for real": generating,
        "mapped over replicas as each alone": mapped,
        **({"compiles": compiles} if loss.compiles else {}),
    }


_SCOPES = {
    "sample": "a cost is of its output alone",
    "pair": "a cost is of its pair of outputs alone",
}


def shaped(loss: Loss) -> None:
    """Costs are averaged over the batch later: a mean would be averaged twice."""
    real, fake = _outputs()
    for name, cost in _costs(loss):
        found = cost(real, fake)
        ensure(found.shape == fake.shape, f"{name}: of shape {tuple(found.shape)} for {tuple(fake.shape)}")


def separate(loss: Loss) -> None:
    """A cost that mixes samples is another loss in another batch; `scope` says where that is meant."""
    real, fake = _outputs()
    for name, cost in _costs(loss):
        whole = cost(real, fake)
        alone = torch.cat([cost(real[i : i + 1], fake[i : i + 1]) for i in range(len(real))])
        ensure(_close(whole, alone), f"{name}: an output's cost changes with the outputs beside it")
        if loss.scope == "sample":
            other = real if name == "generator" else real.flip(0) if name.endswith("fake") else fake.flip(0)
            changed = cost(real, other) if name.endswith("real") else cost(other, fake)
            ensure(_close(whole, changed), f"{name}: a cost changes with the other half of its pair")


def pure(loss: Loss) -> None:
    """Random costs, or outputs that are changed in place, make results that nobody can repeat."""
    for name, cost in _costs(loss):
        real, fake = _outputs()
        first = cost(real, fake)
        same = all(torch.equal(a, b) for a, b in zip((real, fake), _outputs(), strict=True))
        ensure(same, f"{name}: changes the outputs in place")
        ensure(torch.equal(first, cost(real, fake)), f"{name}: other costs of the same outputs")


def finite(loss: Loss) -> None:
    """What overflows ends a replica that might have come back; and at 0 a loss is masked among others."""
    grid = torch.tensor([-EXTREME, -100.0, 0.0, 100.0, EXTREME])
    real, fake = (x.reshape(-1, 1) for x in torch.meshgrid(grid, grid, indexing="ij"))
    for name, cost in _costs(loss):
        slopes = [_gradient(cost, real, fake, argument) for argument in (0, 1)]
        for what, value in (("cost", cost(real, fake)), *(("gradient", slope) for slope in slopes)):
            bad = ~torch.isfinite(value).flatten()
            at = [f"{float(x[bad][0]):g}" for x in (real, fake)] if bad.any() else []
            ensure(not at, f"{name}: the {what} of outputs {' and '.join(at)} of real and fake is not finite")


def differentiable(loss: Loss) -> None:
    """A detached part, or a hand-written gradient, trains something else than the loss that is recorded."""
    outputs = [x.double() for x in _outputs()]
    for name, cost in _costs(loss):
        for argument, side in enumerate(("real", "fake")):
            gradient = _gradient(cost, outputs[0], outputs[1], argument).flatten()
            for i, output in enumerate(outputs[argument].flatten()):
                shift = torch.zeros_like(outputs[argument])
                shift[i] = STEP
                up, down = (
                    cost(*(x + sign * shift if k == argument else x for k, x in enumerate(outputs))).sum()
                    for sign in (1, -1)
                )
                slope, found = float(up - down) / (2 * STEP), float(gradient[i])
                ensure(
                    abs(found - slope) <= 1e-3 + 1e-2 * abs(slope),
                    f"{name}: at a {side} output of {float(output):.3g} the gradient is {found:.3g}, "
                    f"the cost's slope {slope:.3g}",
                )


def discriminating(loss: Loss) -> None:
    """Real outputs above fake ones must cost the discriminator less than the reverse."""
    low, high = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
    right = float(sum(loss.discriminator(high, low)))
    wrong = float(sum(loss.discriminator(low, high)))
    ensure(right < wrong, f"real at 1 and fake at -1 cost {right:g}, the reverse {wrong:g}; expected less")


def generating(loss: Loss) -> None:
    """Fakes with the outputs of real samples must cost the generator less."""
    cost = dict(_costs(loss))["generator"]
    middle = torch.tensor([[0.0]])
    low, high = (float(cost(middle, torch.tensor([[output]]))) for output in (-1.0, 1.0))
    ensure(high < low, f"fakes at 1 cost {high:g}, at -1 {low:g}; expected less")


def mapped(loss: Loss) -> None:
    """Replicas are trained side by side, through `torch.func.vmap`."""
    real, fake = (torch.stack([x, x + 1.0, -x]) for x in _outputs())
    for name, cost in _costs(loss):
        together = vmap(cost)(real, fake)
        alone = torch.stack([cost(a, b) for a, b in zip(real, fake, strict=True)])
        ensure(_close(together, alone), f"{name}: other costs side by side than alone")


def compiles(loss: Loss) -> None:
    """The compiler is asked for the graph alone: no machine lacks what that needs."""
    real, fake = _outputs()
    for name, cost in _costs(loss):
        compiled = torch.compile(cost, backend="eager", fullgraph=True)(real, fake)
        ensure(_close(compiled, cost(real, fake)), f"{name}: other costs compiled")
    torch.compiler.reset()


def _costs(loss: Loss) -> list[tuple[str, Cost]]:
    """Return each cost as a function of the outputs on real samples and on fakes."""

    def generator(real: Tensor, fake: Tensor) -> Tensor:
        return loss.generator(fake, real if loss.real_in_generator_step else None)

    return [
        ("discriminator, real", lambda real, fake: loss.discriminator(real, fake)[0]),
        ("discriminator, fake", lambda real, fake: loss.discriminator(real, fake)[1]),
        ("generator", generator),
    ]


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE)


def _outputs() -> tuple[Tensor, Tensor]:
    """Return outputs on real samples and on fakes, each [9, 1]; losses may have kinks at round numbers, so at none."""
    return torch.linspace(-4.87, 4.91, 9)[:, None], torch.linspace(4.33, -4.57, 9)[:, None]


def _gradient(cost: Cost, real: Tensor, fake: Tensor, argument: int) -> Tensor:
    return cast(Tensor, grad(lambda a, b: cost(a, b).sum(), argnums=argument)(real, fake))
