"""The built-in penalties of the discriminator's gradient on its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan.plugins.components import Critic, Penalty

if TYPE_CHECKING:
    from torch import Tensor


def r1(critic: Critic, real: Tensor, fake: Tensor, noise: Tensor | None) -> Tensor:
    """Return half the mean squared norm of D's gradient at real samples (Mescheder et al. 2018, eq. 9)."""
    return gradient_at(critic, real).square().sum(dim=1).mean() / 2


def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, noise: Tensor | None) -> Tensor:
    """Return the mean squared distance from 1 of the norm of D's gradient (Gulrajani et al. 2017, eq. 3).

    Args:
        critic: From samples to outputs [batch, 1].
        real: [batch, size].
        fake: [batch, size].
        noise: Where between each fake, 0, and real sample, 1, to look: [batch, 1].
    """
    import torch

    assert noise is not None
    gradient = gradient_at(critic, torch.lerp(fake, real, noise))
    # The root's derivative at 0 is infinite, and a critic that has died out there would be NaN from then on.
    norm = torch.sqrt(gradient.square().sum(dim=1) + 1e-12)
    return (norm - 1.0).square().mean()


def gradient_at(critic: Critic, samples: Tensor) -> Tensor:
    """Return the gradient of each sample's output on that sample, [batch, size]."""
    from torch.func import grad

    return grad(lambda x: critic(x).sum())(samples)


COMPONENTS = (
    Penalty("r1", r1, compiles=True),
    Penalty("wgan_gp", wgan_gp, noise=lambda size: 1, compiles=True),
)
