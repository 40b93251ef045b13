"""What the players minimise, elementwise on the discriminator's output.

Both losses are built of two costs, the cross entropies against the label real and the label fake. On a logit o,
with D = sigmoid(o), they are -log D = softplus(-o) and -log(1 - D) = softplus(o) (Goodfellow et al. 2014, eq. 1). A
Wasserstein critic's are -o and o: the difference of its means (Arjovsky et al. 2017, eq. 2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Costs(NamedTuple):
    """The three costs of our losses per sample, on the discriminator's output of any shape."""

    output: str
    """What the discriminator says: ``logit``, or ``probability``, whose logarithm PyTorch clamps at -100."""
    saturating: Tensor
    """Boolean scalar of this replica."""
    wasserstein: Tensor
    """Boolean scalar of this replica."""

    def real_cost(self, output: Tensor) -> Tensor:
        """Return -log D per sample, or a critic's -o."""
        if self.output == "logit":
            return torch.where(self.wasserstein, -output, F.softplus(-output))
        return _cross_entropy(output, torch.ones_like(output))

    def fake_cost(self, output: Tensor) -> Tensor:
        """Return -log(1 - D) per sample, or a critic's o."""
        if self.output == "logit":
            return torch.where(self.wasserstein, output, F.softplus(output))
        return _cross_entropy(output, torch.zeros_like(output))

    def generator_cost(self, output: Tensor) -> Tensor:
        """Return the generator's loss per sample on the discriminator's output for fakes.

        Non-saturating: -log D(G(z)); saturating, the minimax loss: log(1 - D(G(z))) (Goodfellow et al. 2014, section
        3); Wasserstein: -o.
        """
        return torch.where(self.saturating, -self.fake_cost(output), self.real_cost(output))


def _cross_entropy(output: Tensor, label: Tensor) -> Tensor:
    # PyTorch refuses a probability that is not a number, and with it every replica beside the broken one.
    broken = output.isnan()
    cost = F.binary_cross_entropy(output.masked_fill(broken, 0.5), label, reduction="none")
    return torch.where(broken, output, cost)


def r1(gradient: Tensor) -> Tensor:
    """Return half the mean squared norm of D's gradient at real samples (Mescheder et al. 2018, eq. 9).

    Args:
        gradient: Of each sample's logit on that sample, [batch, dimension].
    """
    return gradient.square().sum(dim=1).mean() / 2


def wgan_gp(gradient: Tensor) -> Tensor:
    """Return the mean squared distance of the gradient's norm from 1 (Gulrajani et al. 2017, eq. 3).

    Args:
        gradient: Of each output on its sample, [batch, dimension], at points between real and fake.
    """
    # The root's derivative at 0 is infinite, and a critic that has died out there would be NaN from then on.
    norm = torch.sqrt(gradient.square().sum(dim=1) + 1e-12)
    return (norm - 1.0).square().mean()
