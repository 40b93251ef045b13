"""The built-in losses, as costs of the discriminator's outputs.

Both cross-entropy losses are built of two costs, against the label real and the label fake. On a logit o, with
D = sigmoid(o), they are -log D = softplus(-o) and -log(1 - D) = softplus(o) (Goodfellow et al. 2014, eq. 1). A
Wasserstein critic's are -o and o: the difference of its means (Arjovsky et al. 2017, eq. 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from gan.plugins.components import Loss

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return -log D on real samples and -log(1 - D) on fakes, from logits."""
    return _minus_log(real), _minus_log(-fake)


def cross_entropy_of_probability(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same from probabilities, each logarithm clamped at -100 as PyTorch's binary_cross_entropy does."""
    return _minus_log_of_probability(real, 1.0), _minus_log_of_probability(fake, 0.0)


def non_saturating(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return -log D(G(z)) from logits (Goodfellow et al. 2014, section 3)."""
    return _minus_log(fake)


def non_saturating_of_probability(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the same from probabilities."""
    return _minus_log_of_probability(fake, 1.0)


def saturating(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the minimax loss log(1 - D(G(z))) from logits (Goodfellow et al. 2014, eq. 1)."""
    return -_minus_log(-fake)


def saturating_of_probability(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the same from probabilities."""
    return -_minus_log_of_probability(fake, 0.0)


def critic(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return a Wasserstein critic's costs, -o on real samples and o on fakes."""
    return -real, fake


def against_critic(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the generator's cost against a Wasserstein critic, -o."""
    return -fake


def _minus_log(logit: Tensor) -> Tensor:
    """Return -log sigmoid(logit)."""
    import torch.nn.functional as F

    return F.softplus(-logit)


def _minus_log_of_probability(output: Tensor, label: float) -> Tensor:
    import torch
    import torch.nn.functional as F

    # PyTorch refuses a probability that is not a number, and with it every replica beside the broken one.
    broken = output.isnan()
    cost = F.binary_cross_entropy(output.masked_fill(broken, 0.5), torch.full_like(output, label), reduction="none")
    return torch.where(broken, output, cost)


def chosen(costs: Sequence[Callable[..., Any]], index: Tensor, *outputs: Tensor | None) -> Any:
    """Return the costs of one of several losses, chosen by a number that differs between replicas.

    Every loss sees 0 in place of the outputs of a replica that has another loss: an infinite slope there would make
    that replica's gradient NaN, even where its cost is not chosen.

    Args:
        costs: Of each loss the function that gives its costs.
        index: Which of them is this replica's, an integer scalar.
        outputs: What the functions take; None stays None.
    """
    import torch
    from torch.utils import _pytree as pytree

    functions = list(dict.fromkeys(costs))
    if len(functions) == 1:
        return functions[0](*outputs)
    given: list[Any] = []
    for function in functions:
        mine = torch.stack([index == k for k, cost in enumerate(costs) if cost is function]).any()
        masked = (None if output is None else torch.where(mine, output, 0.0) for output in outputs)
        given.append(pytree.tree_map(partial(torch.where, mine, other=0.0), function(*masked)))
    return pytree.tree_map(lambda *each: reduce(torch.add, each), *given)


# At the equilibrium D is 1/2 (Goodfellow et al. 2014, theorem 1); where it wins, it is 0.9 on real samples and 0.1 on
# fakes, or better.
_FACTS: dict[str, Any] = {"equilibrium": math.log(2), "wins": -math.log(0.9), "compiles": True}
_PROBABILITY: dict[str, Any] = {**_FACTS, "output": "probability"}

COMPONENTS = (
    Loss(
        "non_saturating",
        cross_entropy,
        non_saturating,
        on_probability=Loss(
            "non_saturating", cross_entropy_of_probability, non_saturating_of_probability, **_PROBABILITY
        ),
        **_FACTS,
    ),
    Loss(
        "saturating",
        cross_entropy,
        saturating,
        on_probability=Loss("saturating", cross_entropy_of_probability, saturating_of_probability, **_PROBABILITY),
        **_FACTS,
    ),
    Loss("wasserstein", critic, against_critic, output="critic", compiles=True),
)
