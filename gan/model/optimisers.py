"""Adam and gradient descent as pure functions with a learning rate per replica, which torch.optim does not offer."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gan.model.layers import Tensors

EPSILON = 1e-8


class Betas(NamedTuple):
    """Adam's decay rates, in the forms its update needs, each rounded only once.

    1 - beta^t is taken as -expm1(t log beta): in float32 the plain form loses four digits at the first steps.
    """

    one_minus_beta1: Tensor
    one_minus_beta2: Tensor
    beta2: Tensor
    log_beta1: Tensor
    log_beta2: Tensor

    @staticmethod
    def of(beta1: float, beta2: float) -> Betas:
        """Compute the forms in double precision; beta1 may be 0."""
        log_beta1 = math.log(beta1) if beta1 > 0 else -math.inf
        forms = (1 - beta1, 1 - beta2, beta2, log_beta1, math.log(beta2))
        return Betas(*(torch.tensor(x, dtype=torch.float32) for x in forms))


class Moments(NamedTuple):
    """Adam's running moments of each parameter's gradient."""

    first: Tensors
    second: Tensors

    @staticmethod
    def zero(params: Tensors) -> Moments:
        """Return the moments before the first step."""
        return Moments(*({k: torch.zeros_like(v) for k, v in params.items()} for _ in range(2)))


def adam(
    params: Tensors, grads: Tensors, moments: Moments, t: Tensor, lr: Tensor, betas: Betas
) -> tuple[Tensors, Moments]:
    """Make one step of Adam (Kingma and Ba 2015, algorithm 1), as torch.optim.Adam computes it.

    Args:
        params: Parameters by name.
        grads: Their gradients, under the same names.
        moments: The running moments.
        t: Number of this step, from 1, as a float32 scalar.
        lr: This replica's learning rate now, a scalar.
        betas: This replica's decay rates.

    Returns:
        New parameters and new moments.
    """
    step_size = lr / -torch.expm1(t * betas.log_beta1)
    root_correction = torch.sqrt(-torch.expm1(t * betas.log_beta2))
    new: Tensors = {}
    first: Tensors = {}
    second: Tensors = {}
    for name, g in grads.items():
        first[name] = m = torch.lerp(moments.first[name], g, betas.one_minus_beta1)
        second[name] = v = moments.second[name] * betas.beta2 + betas.one_minus_beta2 * g * g
        new[name] = params[name] - step_size * m / (torch.sqrt(v) / root_correction + EPSILON)
    return new, Moments(first, second)


def sgd(params: Tensors, grads: Tensors, lr: Tensor) -> Tensors:
    """Make one step of plain gradient descent, as torch.optim.SGD without momentum computes it."""
    return {name: params[name] - lr * g for name, g in grads.items()}
