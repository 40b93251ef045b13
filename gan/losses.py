"""What the players minimise, elementwise on the discriminator's output.

Both losses are built of two costs, the cross entropies against the label real and the label fake. On a logit o,
with D = sigmoid(o), they are -log D = softplus(-o) and -log(1 - D) = softplus(o) (Goodfellow et al. 2014, eq. 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def real_cost(output: Tensor, kind: str) -> Tensor:
    """Return -log D per sample.

    Args:
        output: The discriminator's output, any shape.
        kind: ``logit``, or ``probability``, whose logarithm PyTorch clamps at -100.
    """
    if kind == "logit":
        return F.softplus(-output)
    return F.binary_cross_entropy(output, torch.ones_like(output), reduction="none")


def fake_cost(output: Tensor, kind: str) -> Tensor:
    """Return -log(1 - D) per sample; arguments as for `real_cost`."""
    if kind == "logit":
        return F.softplus(output)
    return F.binary_cross_entropy(output, torch.zeros_like(output), reduction="none")


def generator_cost(output: Tensor, kind: str, saturating: Tensor) -> Tensor:
    """Return the generator's loss per sample on the discriminator's output for fakes.

    Non-saturating: -log D(G(z)); saturating, the minimax loss: log(1 - D(G(z))) (Goodfellow et al. 2014, section 3).

    Args:
        output: The discriminator's output for fakes, any shape.
        kind: ``logit`` or ``probability``.
        saturating: Boolean scalar of this replica.
    """
    return torch.where(saturating, -fake_cost(output, kind), real_cost(output, kind))
