"""Products in bfloat16 beside float32: what is rounded, what is not, and what a device is told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from gan.engine import random_streams
from gan.engine.cohort import Trainer, train
from gan.engine.precision import products
from gan.errors import InputError
from gan.model.layers import BatchNorm
from gan.model.networks import Network
from gan.model.step import StepConfig
from gan.replica import Mode, Replica, cohort_shape
from gan.targets import Target
from gan.variant import Precision, Variant

from .games import BOTH_NORMS, CPU, DIGITS, IMAGE, LINE, WGAN_GP, Settings, cohort_of, replicas_of, run_of

ROUNDING = 2.0**-8  # of bfloat16: eight bits of a number
CONVOLUTIONS = IMAGE | BOTH_NORMS | {"passes": "separate", "discriminator": "conv", "discriminator_channels": (4, 8)}


def trained(settings: Settings, target: Target, seeds: Iterable[int], steps: int, mode: Mode = "vmap") -> Trainer:
    variant = Variant(**{"batch_size": 16, **settings})
    return run_of(cohort_of(replicas_of(variant, seeds), target, steps=steps, mode=mode), steps)


GAMES: dict[str, tuple[Settings, Target]] = {
    "mlps": ({}, LINE),
    "convolutions and BatchNorm": (CONVOLUTIONS, DIGITS),
    "wgan_gp": (WGAN_GP, LINE),
}


@pytest.mark.parametrize("name", GAMES)
def test_a_step_in_bfloat16_is_one_in_float32_but_for_its_rounding_and_side_by_side_as_alone(name: str) -> None:
    settings, target = GAMES[name]
    full, half = (trained({**settings, "precision": p}, target, (0, 1), 1) for p in ("float32", "bfloat16"))
    difference = float((full.metrics[0] - half.metrics[0]).abs().max() / full.metrics[0].abs().max())
    assert ROUNDING / 1000 < difference < 4 * ROUNDING
    for k in (0, 1):
        looped = trained({**settings, "precision": "bfloat16"}, target, (k,), 1, "loop")
        # Sums in another order, each rounded to eight bits: what cancels in a gradient leaves its terms' rounding.
        difference = (half.metrics[0, k] - looped.metrics[0, 0]).abs().max() / looped.metrics.abs().max()
        assert float(difference) < 4 * ROUNDING


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_all_that_is_kept_stays_float32(optimiser: str) -> None:
    run = trained({**CONVOLUTIONS, "optimiser": optimiser, "precision": "bfloat16"}, DIGITS, (0, 1), 2)
    leaves = [x for x in pytree.tree_leaves(run.state) if isinstance(x, torch.Tensor)]
    assert len(leaves) >= 18 and {x.dtype for x in leaves} == {torch.float32}
    # Weights that were rounded to eight bits would survive the way there and back.
    weights = run.state.generator.params["0.weight"]
    assert not torch.equal(weights, weights.bfloat16().float())
    assert run.metrics.dtype == torch.float32


def test_layers_with_parameters_see_bfloat16_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    game = StepConfig.of(Variant(**CONVOLUTIONS, precision="bfloat16"), DIGITS.shape)
    seen: dict[str, set[torch.dtype]] = {}
    for layer in {*game.generator.layers, *game.discriminator.layers}:
        kind = type(layer)

        def apply(self: Any, p: Any, *xs: Any, its: Any = kind.apply, kind: Any = kind, **options: Any) -> Any:
            dtypes = {x.dtype for x in pytree.tree_leaves((p, xs)) if isinstance(x, torch.Tensor)}
            seen.setdefault(kind.__name__, set()).update(dtypes)
            return its(self, p, *xs, **options)

        monkeypatch.setattr(kind, "apply", apply)
    for network, inputs in ((game.generator, 20), (game.discriminator, 64)):
        params, buffers = network.initial(random_streams.generator(0, "test", 0, CPU), "default")
        y, _ = network(params, buffers, torch.randn(4, inputs), training=True)
        assert y.dtype == torch.float32
    rounded, whole = {torch.bfloat16}, {torch.float32}
    assert seen == {"Linear": rounded, "Conv": rounded, "BatchNorm": whole, "Activation": whole, "Reshape": whole}


def test_precision_is_of_the_networks_and_of_the_cohort() -> None:
    one, other, third = (Variant(precision=p) for p in ("float32", "bfloat16", "tf32"))
    assert len({cohort_shape(v) for v in (one, other, third)}) == 3
    assert len({StepConfig.of(v, (1,)) for v in (one, other, third)}) == 3
    assert Network((BatchNorm(3, 0.1),)).precision == "float32"


def test_a_cpu_is_not_trained_on_in_tf32() -> None:
    cohort = cohort_of([Replica("r", Variant(batch_size=8, precision="tf32"), 0)], steps=2)
    with pytest.raises(InputError, match=r"replica r: precision: tf32 needs CUDA.*cpu; expected float32 or bfloat16"):
        train(cohort, Path(), "cpu")


def settings_of_cuda() -> tuple[Any, ...]:
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return cuda.allow_tf32, cudnn.allow_tf32, cuda.fp32_precision, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("before", [False, True])
def test_what_cuda_multiplies_in_is_set_and_put_back(before: bool) -> None:
    expected: dict[Precision, bool] = {"float32": False, "bfloat16": False, "tf32": True}
    own = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before
    try:
        at_first = settings_of_cuda()
        for precision, allowed in expected.items():
            with pytest.raises(KeyError), products(precision, torch.device("cuda")):
                assert settings_of_cuda()[:2] == (allowed, allowed)
                raise KeyError
            assert settings_of_cuda() == at_first
        with products("float32", CPU):
            assert settings_of_cuda() == at_first
    finally:
        torch.backends.cuda.matmul.allow_tf32 = own
