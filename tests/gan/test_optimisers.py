"""Our Adam against torch.optim.Adam."""

from __future__ import annotations

import pytest
import torch

from gan.model.optimisers import AdamState, Betas, adam


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.999), (0.0, 0.9)])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e3])
def test_adam_matches_torch(betas: tuple[float, float], scale: float) -> None:
    rng = torch.Generator().manual_seed(0)
    ours = {"w": torch.randn(7, 3, generator=rng), "b": torch.randn(5, generator=rng)}
    theirs = {k: torch.nn.Parameter(v.clone()) for k, v in ours.items()}
    optimiser = torch.optim.Adam(theirs.values(), lr=1e-2, betas=betas)
    moments = AdamState.zero(ours)
    for t in range(1, 101):
        grads = {k: scale * torch.randn(v.shape, generator=rng) for k, v in ours.items()}
        for k, p in theirs.items():
            p.grad = grads[k].clone()
        optimiser.step()
        ours, moments = adam(ours, grads, moments, torch.tensor(float(t)), torch.tensor(1e-2), Betas.of(*betas))
        for k in ours:
            torch.testing.assert_close(ours[k], theirs[k].detach(), rtol=2e-6, atol=2e-6)


def test_bias_correction_is_exact_at_the_first_step() -> None:
    # 1 - 0.999 in float32 is wrong in the fifth digit; the first step of Adam is lr * sign(g) whatever the betas.
    params, grads = {"w": torch.zeros(3)}, {"w": torch.tensor([1.0, -2.0, 1e-3])}
    one, lr = torch.tensor(1.0), torch.tensor(1.0)
    new, _ = adam(params, grads, AdamState.zero(params), one, lr, Betas.of(0.9, 0.999))
    torch.testing.assert_close(new["w"], -torch.sign(grads["w"]), rtol=2e-5, atol=0)
