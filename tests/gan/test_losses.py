"""Costs and penalties against PyTorch's own and against hand calculation, and losses side by side in one cohort."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan.model import losses, penalties
from gan.plugins import registry

LABELS = {0: 1.0, 1: 0.0}  # of the costs on real samples and on fakes


@pytest.mark.parametrize(("half", "label"), LABELS.items())
def test_probabilities_cost_what_pytorch_says_with_its_clamp(half: int, label: float) -> None:
    output = torch.tensor([0.0, 1e-30, 0.3, 0.9, 1.0], requires_grad=True)
    own = losses.cross_entropy_of_probability(output, output)[half]
    expected = F.binary_cross_entropy(output, torch.full_like(output, label), reduction="none")
    assert torch.equal(own, expected) and float(own.detach().max()) == 100.0
    (gradient,) = torch.autograd.grad(own.sum(), output)
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), output)[0])


@pytest.mark.parametrize("half", LABELS)
def test_what_is_no_number_costs_none_and_its_neighbours_cost_the_same(half: int) -> None:
    output = torch.tensor([0.3, float("nan"), 0.9])
    beside = losses.cross_entropy_of_probability(output, output)[half]
    alone = losses.cross_entropy_of_probability(output[[0, 2]], output[[0, 2]])[half]
    assert bool(beside[1].isnan()) and torch.equal(beside[[0, 2]], alone)


def test_a_critic_s_costs_are_its_output() -> None:
    output = torch.tensor([-2.0, 0.5])
    critic = registry.loss("wasserstein")
    assert [x.tolist() for x in critic.discriminator(output, output)] == [(-output).tolist(), output.tolist()]
    assert torch.equal(critic.generator(output, None), -output)


def infinite_slope(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Finite with slope 1/2 at 0, and without end towards -1."""
    return -torch.sqrt(1.0 + fake)


def test_a_loss_that_is_not_chosen_leaves_no_trace_in_the_gradient() -> None:
    costs: list[Any] = [losses.non_saturating, infinite_slope]
    output = torch.tensor([-5.0, -1.0, 2.0])

    def total(x: Tensor, index: Tensor) -> Tensor:
        return losses.chosen(costs, index, x, None).sum()

    # Where the second is chosen its square root is NaN; beside it the first is as it is alone.
    slopes = torch.func.vmap(torch.func.grad(total))(torch.stack([output, output]), torch.tensor([0, 1]))
    alone = torch.func.grad(lambda x: losses.non_saturating(x).sum())(output)
    assert torch.equal(slopes[0], alone) and not torch.isfinite(slopes[1]).all()


def test_every_chosen_loss_costs_what_it_costs_alone() -> None:
    found = [registry.loss(name) for name in registry.names("loss")]
    real, fake = torch.randn(2, 7, 1, generator=torch.Generator().manual_seed(0))
    for k, loss in enumerate(found):
        index = torch.tensor(k)
        of_real, of_fake = losses.chosen([other.discriminator for other in found], index, real, fake)
        generator = losses.chosen([other.generator for other in found], index, fake, None)
        expected = *loss.discriminator(real, fake), loss.generator(fake, None)
        assert all(torch.equal(a, b) for a, b in zip((of_real, of_fake, generator), expected, strict=True))


def test_penalties_by_hand() -> None:
    weight = torch.tensor([[3.0], [4.0]])
    real, fake = torch.zeros(5, 2), torch.ones(5, 2)

    def critic(x: Tensor) -> Tensor:
        return x @ weight

    assert float(penalties.r1(critic, real, fake, None)) == pytest.approx(25 / 2)
    assert float(penalties.wgan_gp(critic, real, fake, torch.rand(5, 1))) == pytest.approx(16)
    # Of x squared the gradient is 2x: it is taken at real samples, or so far between fake and real.
    assert float(penalties.r1(lambda x: x.square().sum(1), fake, real, None)) == pytest.approx((4 + 4) / 2)
    at = torch.full((5, 1), 0.25)  # a quarter of the way from fakes at 1 to real samples at 0
    norm = 2 * 0.75 * 2**0.5
    assert float(penalties.wgan_gp(lambda x: x.square().sum(1), real, fake, at)) == pytest.approx((norm - 1) ** 2)
