"""Costs against PyTorch's own, and against what is not a number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from gan.model import losses

NO = torch.tensor(False)
YES = torch.tensor(True)
PROBABILITY = losses.Costs("probability", NO, NO)
BOTH: tuple[tuple[Any, float], ...] = ((PROBABILITY.real_cost, 1.0), (PROBABILITY.fake_cost, 0.0))


@pytest.mark.parametrize(("cost", "label"), BOTH)
def test_probabilities_cost_what_pytorch_says_with_its_clamp(cost: Any, label: float) -> None:
    output = torch.tensor([0.0, 1e-30, 0.3, 0.9, 1.0], requires_grad=True)
    own = cost(output)
    expected = F.binary_cross_entropy(output, torch.full_like(output, label), reduction="none")
    assert torch.equal(own, expected) and float(own.detach().max()) == 100.0
    (gradient,) = torch.autograd.grad(own.sum(), output)
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), output)[0])


@pytest.mark.parametrize(("cost", "label"), BOTH)
def test_what_is_no_number_costs_none_and_its_neighbours_cost_the_same(cost: Any, label: float) -> None:
    told = cost(torch.tensor([0.3, float("nan"), 0.9]))
    alone = cost(torch.tensor([0.3, 0.9]))
    assert bool(told[1].isnan()) and torch.equal(told[[0, 2]], alone)


def test_a_critic_s_costs_are_its_output() -> None:
    output = torch.tensor([-2.0, 0.5])
    critic = losses.Costs("logit", saturating=NO, wasserstein=YES)
    assert torch.equal(critic.real_cost(output), -output)
    assert torch.equal(critic.fake_cost(output), output)
    assert torch.equal(critic.generator_cost(output), -output)


def test_penalties_by_hand() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert float(losses.r1(gradient)) == pytest.approx((25 + 1) / 2 / 2)
    assert float(losses.wgan_gp(gradient)) == pytest.approx((16 + 0) / 2)
