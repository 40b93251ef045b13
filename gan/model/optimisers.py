"""Adam and gradient descent as pure functions with a learning rate per replica, which torch.optim does not offer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gan.plugins.components import Optimiser

if TYPE_CHECKING:
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
        import torch

        log_beta1 = math.log(beta1) if beta1 > 0 else -math.inf
        forms = (1 - beta1, 1 - beta2, beta2, log_beta1, math.log(beta2))
        return Betas(*(torch.tensor(x, dtype=torch.float32) for x in forms))


class AdamState(NamedTuple):
    """Adam's running moments of each parameter's gradient."""

    first: Tensors
    second: Tensors

    @staticmethod
    def zero(params: Tensors) -> AdamState:
        """Return the moments before the first step, all 0."""
        return AdamState(*({k: v.new_zeros(v.shape) for k, v in params.items()} for _ in range(2)))


def adam(
    params: Tensors, grads: Tensors, state: AdamState, t: Tensor, lr: Tensor, betas: Betas
) -> tuple[Tensors, AdamState]:
    """Make one step of Adam (Kingma and Ba 2015, algorithm 1), as torch.optim.Adam computes it.

    Args:
        params: Parameters by name.
        grads: Their gradients, under the same names.
        state: The running moments.
        t: Number of this step, from 1, as a float32 scalar.
        lr: This replica's learning rate now, a scalar.
        betas: This replica's decay rates.

    Returns:
        New parameters and new moments.
    """
    step_size = lr / -(t * betas.log_beta1).expm1()
    root_correction = (-(t * betas.log_beta2).expm1()).sqrt()
    new: Tensors = {}
    first: Tensors = {}
    second: Tensors = {}
    for name, g in grads.items():
        first[name] = m = state.first[name].lerp(g, betas.one_minus_beta1)
        second[name] = v = state.second[name] * betas.beta2 + betas.one_minus_beta2 * g * g
        new[name] = params[name] - step_size * m / (v.sqrt() / root_correction + EPSILON)
    return new, AdamState(first, second)


def gradient_descent(
    params: Tensors, grads: Tensors, state: Tensors, t: Tensor, lr: Tensor, betas: Betas
) -> tuple[Tensors, Tensors]:
    """Make one step of plain gradient descent, as torch.optim.SGD without momentum computes it."""
    return {name: params[name] - lr * g for name, g in grads.items()}, state


COMPONENTS = (
    Optimiser("adam", AdamState.zero, adam, compiles=True),
    Optimiser("sgd", lambda params: {}, gradient_descent, compiles=True),
)
