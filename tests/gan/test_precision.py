"""Products in bfloat16 beside float32: what is rounded, what is not, and what a device is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from gan.engine import random_streams
from gan.engine.cohort import Run
from gan.model.step import StepConfig
from gan.replica import Cohort, Mode, Replica, Scoring, cohort_shape
from gan.targets import Gaussian, Images, Target
from gan.variant import Variant

CPU = torch.device("cpu")
DIGITS = Images("digits")
ROUNDING = 2.0**-8  # of bfloat16: eight bits of a number
IMAGE: dict[str, Any] = {
    **{"generator_output": "tanh", "passes": "separate", "generator_norm": "batch", "discriminator_norm": "batch"},
    **{"discriminator": "conv", "discriminator_channels": (4, 8), "generator_hidden": (16,)},
}


def run_of(settings: dict[str, Any], target: Target, seeds: tuple[int, ...], steps: int, mode: Mode = "vmap") -> Run:
    replicas = tuple(Replica(str(seed), Variant(**settings), seed) for seed in seeds)
    cohort = Cohort(
        id="test",
        replicas=replicas,
        target=target,
        steps=steps,
        scoring=Scoring(),
        mode=mode,
        compiled=False,
        width=len(seeds),
    )
    run = Run(cohort, replicas, Path(), CPU)
    run.advance(0, steps)
    return run


GAMES: dict[str, tuple[dict[str, Any], Target]] = {
    "mlps": ({"batch_size": 16}, Gaussian()),
    "convolutions and BatchNorm": ({"batch_size": 16, **IMAGE}, DIGITS),
    "wgan_gp": ({"batch_size": 16, "loss": "wasserstein", "penalty": "wgan_gp"}, Gaussian()),
}


@pytest.mark.parametrize("name", GAMES)
def test_side_by_side_as_alone_in_bfloat16(name: str) -> None:
    settings, target = GAMES[name]
    settings = {**settings, "precision": "bfloat16"}
    mapped = run_of(settings, target, (0, 1), 1)
    for k in (0, 1):
        looped = run_of(settings, target, (k,), 1, "loop")
        # Sums in another order, each rounded to eight bits: what cancels in a gradient leaves its terms' rounding.
        difference = (mapped.metrics[0, k] - looped.metrics[0, 0]).abs().max() / looped.metrics.abs().max()
        assert float(difference) < 4 * ROUNDING


@pytest.mark.parametrize("name", GAMES)
def test_a_step_in_bfloat16_is_one_in_float32_but_for_its_rounding(name: str) -> None:
    settings, target = GAMES[name]
    full, half = (run_of({**settings, "precision": p}, target, (0, 1), 1) for p in ("float32", "bfloat16"))
    difference = float((full.metrics[0] - half.metrics[0]).abs().max() / full.metrics[0].abs().max())
    assert ROUNDING / 1000 < difference < 4 * ROUNDING


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_all_that_is_kept_stays_float32(optimiser: str) -> None:
    run = run_of({"batch_size": 16, **IMAGE, "optimiser": optimiser, "precision": "bfloat16"}, DIGITS, (0, 1), 2)
    leaves = [x for x in pytree.tree_leaves(run.state) if isinstance(x, torch.Tensor)]
    assert len(leaves) >= 18 and {x.dtype for x in leaves} == {torch.float32}
    # Weights that were rounded to eight bits would survive the way there and back.
    weights = run.state.generator.params["0.weight"]
    assert not torch.equal(weights, weights.bfloat16().float())
    assert run.metrics.dtype == torch.float32


def test_layers_with_parameters_see_bfloat16_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    game = StepConfig.of(Variant(**IMAGE, precision="bfloat16"), (1, 8, 8))
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
