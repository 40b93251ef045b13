"""The mapped step against the loop, neighbours against solitude, and replicas that break."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

from gan.engine.cohort import Run, train
from gan.engine.summary import summarise
from gan.model.step import METRICS, Game
from gan.replica import Cohort, Mode, Replica, Scoring, width_for
from gan.targets import Gaussian, Images, Target
from gan.variant import PER_REPLICA, Variant

CPU = torch.device("cpu")
STEPS = 30
DIGITS = Images("digits")
IMAGE: dict[str, Any] = {"generator_output": "tanh", "batch_size": 16, "generator_hidden": (32,), "passes": "separate"}


def cohort_of(
    replicas: list[Replica], *, target: Target | None = None, mode: Mode = "vmap", width: int = 0, **changes: Any
) -> Cohort:
    made = Cohort(
        id="test",
        replicas=tuple(replicas),
        target=target or Gaussian(),
        steps=STEPS,
        scoring=Scoring(evaluations=2),
        mode=mode,
        compiled=False,
        width=1 if mode == "loop" else width or max(2, len(replicas)),
    )
    return dataclasses.replace(made, **changes)


def replicas_of(variant: Variant, seeds: range) -> list[Replica]:
    return [Replica(f"{seed}", variant, seed) for seed in seeds]


def history_of(cohort: Cohort) -> torch.Tensor:
    """[replicas, steps, metrics]."""
    stacks = [[r] for r in cohort.replicas] if cohort.mode == "loop" else [list(cohort.replicas)]
    histories: list[torch.Tensor] = []
    for replicas in stacks:
        run = Run(cohort, replicas, Path(), CPU)
        run.advance(0, cohort.steps)
        histories.append(run.metrics[:, list(run.places)].transpose(0, 1))
    return torch.cat(histories)


LEVELS: dict[str, tuple[Target, dict[str, Any]]] = {
    "loss": (Gaussian(), {"loss": "saturating"}),
    "reduction sum_of_means": (Gaussian(), {"reduction": "sum_of_means"}),
    "reduction sum": (Gaussian(), {"reduction": "sum"}),
    "discriminator_output": (Gaussian(), {"discriminator_output": "probability"}),
    "generator_norm": (Gaussian(), {"generator_norm": "batch"}),
    # On images: BatchNorm after a layer of one input makes that layer's true gradient zero, and Adam turns what
    # rounding leaves of it into whole steps.
    "discriminator_norm": (DIGITS, {**IMAGE, "discriminator_norm": "batch"}),
    "batchnorm_momentum": (Gaussian(), {"generator_norm": "batch", "batchnorm_momentum": 0.8}),
    "activations": (Gaussian(), {"generator_activation": "leaky_relu", "discriminator_activation": "leaky_relu"}),
    "initialisation": (Gaussian(), {"initialisation": "normal_002"}),
    "lr_ratio": (Gaussian(), {"lr_ratio": 4.0}),
    "betas": (Gaussian(), {"beta1": 0.5, "beta2": 0.9}),
    "schedule": (Gaussian(), {"schedule": "linear"}),
    "passes": (Gaussian(), {"passes": "separate"}),
    "latents": (Gaussian(), {"latents": "reused", "generator_norm": "batch"}),
    "latent": (Gaussian(), {"latent": "uniform"}),
    "wasserstein": (Gaussian(), {"loss": "wasserstein"}),
    "optimiser": (Gaussian(), {"optimiser": "sgd", "lr": 0.05}),
    "updates": (Gaussian(), {"updates": "simultaneous"}),
    "critic_steps": (DIGITS, {**IMAGE, "batch_size": 64, "critic_steps": 3}),
    "penalty r1": (Gaussian(), {"penalty": "r1", "penalty_weight": 2.0}),
    "penalty wgan_gp": (Gaussian(), {"loss": "wasserstein", "penalty": "wgan_gp", "critic_steps": 2}),
    "penalty conv": (
        DIGITS,
        {**IMAGE, "discriminator": "conv", "discriminator_channels": (4, 8), "penalty": "wgan_gp"},
    ),
    "fixed generator": (Gaussian(), {"generator": "fixed_gaussian", "latent_dim": 1}),
    "generator_output tanh": (DIGITS, {**IMAGE}),
    "generator_output sigmoid": (DIGITS, {**IMAGE, "generator_output": "sigmoid"}),
    "discriminator conv": (DIGITS, {**IMAGE, "discriminator": "conv", "discriminator_channels": (4, 8)}),
    "conv batchnorm": (
        DIGITS,
        {**IMAGE, "discriminator": "conv", "discriminator_channels": (4, 8), "discriminator_norm": "batch"},
    ),
}


@pytest.mark.parametrize("factor", LEVELS)
def test_mapped_equals_loop(factor: str, record_property: Any) -> None:
    target, settings = LEVELS[factor]
    variant = Variant(**{"batch_size": 32, **settings})
    replicas = replicas_of(variant, range(2))
    mapped = history_of(cohort_of(replicas, target=target))
    looped = history_of(cohort_of(replicas, target=target, mode="loop"))
    # The same arithmetic in another order: rounding, which training amplifies, and nothing else. A summed loss is
    # a batch's size larger, and so is its rounding.
    scale = looped.abs().amax(dim=(0, 1)).clamp(min=1.0)
    difference = float(((mapped - looped).abs() / scale).max())
    record_property(f"largest difference over {STEPS} steps", difference)
    print(f"{factor}: largest difference over {STEPS} steps {difference:.1e}")
    assert difference < 2e-4
    first = ((mapped[:, 0] - looped[:, 0]).abs() / scale).max()
    assert float(first) < 2e-6


def test_factors_of_one_number_train_side_by_side_as_alone() -> None:
    numbers: list[dict[str, Any]] = [
        {},
        {"loss": "saturating"},
        {"lr_ratio": 4.0},
        {"beta1": 0.5},
        {"lr": 2e-3},
        {"beta2": 0.9},
        {"reduction": "sum"},
        {"schedule": "linear"},
        {"initialisation": "normal_002"},
        {"loss": "wasserstein"},
        {"latent": "uniform"},
    ]
    assert {name for n in numbers for name in n} == PER_REPLICA - {"penalty_weight"}  # which has a test of its own
    replicas = [Replica(str(i), Variant(batch_size=32, **n), 0) for i, n in enumerate(numbers)]
    mixed = history_of(cohort_of(replicas))
    for i, replica in enumerate(replicas):
        alone = history_of(cohort_of([replica]))
        assert torch.equal(mixed[i], alone[0]), numbers[i]
    assert len({float(x) for x in mixed[:, -1, 0]}) == len(numbers)  # each choice does change the training


def test_penalties_of_different_weight_train_side_by_side_as_alone() -> None:
    replicas = [Replica(str(w), Variant(batch_size=32, penalty="r1", penalty_weight=w), 0) for w in (0.1, 10.0)]
    mixed = history_of(cohort_of(replicas))
    for i, replica in enumerate(replicas):
        assert torch.equal(mixed[i], history_of(cohort_of([replica]))[0])
    assert not torch.equal(mixed[0], mixed[1])


def test_every_choice_of_the_game_keeps_replicas_apart() -> None:
    """A field that the step branches on must not be one that replicas of a cohort may differ in."""
    base = Variant(batch_size=32, penalty="r1")
    levels: dict[str, Any] = {"loss": "saturating", "reduction": "sum", "initialisation": "normal_002"}
    levels |= {"latent": "uniform", "penalty_weight": 1.0, "lr": 1.0, "lr_ratio": 2.0, "beta1": 0.0, "beta2": 0.5}
    levels |= {"schedule": "linear"}
    assert set(levels) == PER_REPLICA
    for name, level in levels.items():
        other = dataclasses.replace(base, **{name: level})
        assert other.shape() == base.shape() and Game.of(other, 1) == Game.of(base, 1)
    for change in ({"optimiser": "sgd"}, {"updates": "simultaneous"}, {"penalty": "none"}, {"passes": "separate"}):
        other = dataclasses.replace(base, **change)
        assert other.shape() != base.shape() and Game.of(other, 1) != Game.of(base, 1)


def widths_agree(variant: Variant, compiled: bool, target: Target | None = None) -> None:
    """All that a replica's training leaves, beside 1, 7 and 31 others."""
    left: list[list[bytes]] = []
    for width in (2, 8, 32):
        cohort = cohort_of(replicas_of(variant, range(width)), target=target, compiled=compiled)
        run = Run(cohort, cohort.replicas, Path(), CPU)
        run.advance(0, cohort.steps)
        tensors = [run.metrics[:, 1], *pytree.tree_leaves(run.of(1))]
        left.append([x.contiguous().numpy().tobytes() for x in tensors])
    assert left[0] == left[1] == left[2]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_neighbours_do_not_change_a_bit(norm: Any) -> None:
    widths_agree(Variant(batch_size=64, generator_norm=norm), compiled=False)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_narrow_networks_with_batchnorm_are_padded_so_that_no_bit_depends_on_the_width(player: str) -> None:
    """Sums over the batch treat 32 columns at a time one way, and what is left of them another."""
    settings: dict[str, Any] = {f"{player}_hidden": (8, 24), f"{player}_norm": "batch"}
    variant = Variant(batch_size=64, **settings)
    assert [width_for(variant, n) for n in (1, 3, 4, 5, 8)] == [4, 4, 4, 8, 8]
    assert [width_for(Variant(), n) for n in (1, 2, 3)] == [2, 2, 3]
    replicas = replicas_of(variant, range(8))
    whole = train(cohort_of(replicas, width=8), Path(), "cpu").replicas
    for part in (replicas[5:8], replicas[7:]):
        alone = train(cohort_of(part, width=width_for(variant, len(part))), Path(), "cpu").replicas
        for result in alone:
            other = whole[replicas.index(result.replica)]
            assert all(w.tobytes() == other.weights[name].tobytes() for name, w in result.weights.items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_neighbours_do_not_change_a_bit_compiled(norm: Any) -> None:
    widths_agree(Variant(batch_size=64, generator_norm=norm), compiled=True)


@pytest.mark.slow
def test_neighbours_do_not_change_a_bit_on_images() -> None:
    widths_agree(Variant(**IMAGE), compiled=False, target=DIGITS)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_equals_eager() -> None:
    replicas = replicas_of(Variant(batch_size=32, generator_norm="batch"), range(2))
    eager = history_of(cohort_of(replicas))
    compiled = history_of(cohort_of(replicas, compiled=True))
    torch.testing.assert_close(compiled, eager, rtol=2e-3, atol=2e-4)


def test_padding_changes_nothing() -> None:
    replicas = replicas_of(Variant(batch_size=32), range(3))
    short = train(cohort_of(replicas, width=8), Path(), "cpu")
    full = train(cohort_of(replicas), Path(), "cpu")
    assert len(short.replicas) == 3
    assert Run(cohort_of(replicas, width=8), replicas, Path(), CPU).metrics.shape[1] == 8  # padded indeed
    for one, other in zip(short.replicas, full.replicas, strict=True):
        assert one.history == other.history


PLACES: dict[str, tuple[Target, dict[str, Any]]] = {
    "odd batches": (Gaussian(), {"batch_size": 33}),
    "an odd last batch": (DIGITS, {**IMAGE, "batch_size": 250, "generator_norm": "batch"}),  # 250 three times, then 247
    "penalised": (Gaussian(), {"batch_size": 15, "penalty": "r1"}),
    "odd layers": (Gaussian(), {"batch_size": 32, "generator_hidden": (5, 3), "discriminator_hidden": (33,)}),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_part_of_a_cohort_keeps_its_places_and_so_its_bits(case: str) -> None:
    target, settings = PLACES[case]
    whole = cohort_of(replicas_of(Variant(**settings), range(5)), target=target)
    results = {r.replica.id: r for r in train(whole, Path(), "cpu").replicas}
    for seeds in ((4,), (1, 3)):
        part = whole.part(tuple(whole.replicas[seed] for seed in seeds))
        assert (part.width, part.places) == (5, seeds)
        again = part.part(part.replicas[-1:])  # of what is left, what is left
        assert again.places == seeds[-1:]
        for result in [*train(part, Path(), "cpu").replicas, *train(again, Path(), "cpu").replicas]:
            assert result.history == results[result.replica.id].history
            for name, weights in result.weights.items():
                assert weights.tobytes() == results[result.replica.id].weights[name].tobytes()


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX2", reason="seen with AVX2")
@pytest.mark.parametrize("case", ["odd batches", "penalised"])
def test_in_another_place_its_bits_can_differ(case: str) -> None:
    """Else the test before this one would hold nothing."""
    target, settings = PLACES[case]
    whole = cohort_of(replicas_of(Variant(**settings), range(5)), target=target)
    moved = dataclasses.replace(whole, replicas=whole.replicas[4:], places=(0,))
    assert not torch.equal(history_of(whole)[4], history_of(moved)[0])


def test_a_broken_replica_is_found_in_its_place() -> None:
    variant = Variant(batch_size=32)
    broken = Replica("b", dataclasses.replace(variant, lr=1e30), 1)
    whole = cohort_of([Replica("a", variant, 0), broken, Replica("c", variant, 2)], width=4)
    rows = [r.row for r in train(whole.part((broken, whole.replicas[2])), Path(), "cpu").replicas]
    assert [row["status"] for row in rows] == ["diverged", "ok"]


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_a_broken_replica_is_recorded_and_its_neighbours_do_not_change_by_a_bit(output: Any) -> None:
    # A learning rate of 1e30 overflows within a few steps.
    healthy = Variant(batch_size=32, discriminator_output=output)
    broken = dataclasses.replace(healthy, lr=1e30)
    beside = train(
        cohort_of([Replica("a", healthy, 0), Replica("b", broken, 1), Replica("c", healthy, 2)]), Path(), "cpu"
    )
    without = train(
        cohort_of([Replica("a", healthy, 0), Replica("b", healthy, 1), Replica("c", healthy, 2)]), Path(), "cpu"
    )
    row = beside.replicas[1].row
    assert row["status"] == "diverged"
    assert row["failed_step"] is not None and 1 <= row["failed_step"] < STEPS
    assert math.isnan(row["loss_discriminator"]) and "ks" not in row
    assert all(math.isfinite(value) for _, _, value in beside.replicas[1].history)
    for k in (0, 2):
        assert beside.replicas[k].history == without.replicas[k].history
        for name, weights in beside.replicas[k].weights.items():
            assert np.array_equal(weights, without.replicas[k].weights[name])


def test_a_broken_replica_in_a_loop_is_recorded_too() -> None:
    result = train(cohort_of([Replica("b", Variant(batch_size=32, lr=1e30), 1)], mode="loop"), Path(), "cpu")
    assert result.replicas[0].row["status"] == "diverged"


def test_a_replica_is_evaluated_at_the_stated_steps_from_fixed_latents() -> None:
    cohort = cohort_of(replicas_of(Variant(batch_size=32), range(2)), scoring=Scoring(evaluations=5))
    result = train(cohort, Path(), "cpu").replicas[0]
    assert result.samples["steps"].tolist() == [6, 12, 18, 24, 30]
    assert [s for s, metric, _ in result.history if metric == "score/ks"] == [6, 12, 18, 24, 30]
    # The last progress samples are the first of the final ones: same latents, same network.
    kept = len(result.samples["progress"][-1])
    assert np.array_equal(result.samples["progress"][-1], result.samples["final"][:kept])


def test_partial_last_batches_are_trained_on() -> None:
    # 997 images in batches of 400: two whole batches and one of 197.
    settings = {**IMAGE, "batch_size": 400}
    runs = [
        Run(
            cohort_of(replicas_of(Variant(**settings, last_batch=kept), range(2)), target=DIGITS, steps=4),
            replicas_of(Variant(**settings, last_batch=kept), range(2)),
            Path(),
            CPU,
        )
        for kept in ("keep", "drop")
    ]
    assert [run.inputs.real.steps_per_epoch for run in runs] == [3, 2]
    for run in runs:
        run.advance(0, 4)
        assert bool(torch.isfinite(run.metrics).all())
    assert torch.equal(runs[0].metrics[:2], runs[1].metrics[:2])
    assert not torch.equal(runs[0].metrics[2], runs[1].metrics[2])


def test_sampling_in_training_mode_uses_the_batch() -> None:
    variant = Variant(batch_size=32, generator_norm="batch")
    results = [
        train(cohort_of(replicas_of(variant, range(2)), scoring=Scoring(evaluations=1, sampling=mode)), Path(), "cpu")
        for mode in ("eval", "train")
    ]
    evaluated, trained = (r.replicas[0] for r in results)
    assert evaluated.row["loss_discriminator"] == trained.row["loss_discriminator"]
    assert not np.array_equal(evaluated.samples["final"], trained.samples["final"])


def test_summary_means_are_over_the_stated_steps() -> None:
    metrics = np.arange(1000, dtype=np.float64)[:, None] * np.ones(len(METRICS))
    row, history = summarise(metrics, METRICS, None, steps_per_epoch=400)
    assert row["loss_discriminator"] == metrics[-100:, 0].mean()
    assert row["loss_discriminator_last"] == 999
    assert row["loss_generator_epoch"] == metrics[-400:, 1].mean()
    assert math.isnan(summarise(metrics, METRICS, None, None)[0]["loss_generator_epoch"])
    points = [(s, v) for s, m, v in history if m == "value/discriminator"]
    assert len(points) == 200
    assert points[0] == (5, 2.0) and points[-1] == (1000, 997.0)


def test_golden_figures_of_a_short_replica() -> None:
    """If this fails, results have changed: bump ENGINE_VERSION in gan/replica.py, and the numbers here."""
    variant = Variant(batch_size=64, generator_norm="batch", lr_ratio=2.0, schedule="linear")
    result = train(cohort_of(replicas_of(variant, range(2)), steps=50), Path(), "cpu").replicas[0]
    # Rounded, so that they hold with AVX512, with AVX2 and without vector registers (`nox -s emulated`): these differ
    # in the last bits (AVX2 and no vectors by 1e-8 here). A change of the engine differs in the first digits.
    assert result.row["loss_discriminator"] == pytest.approx(GOLDEN["loss_discriminator"], rel=1e-5)
    assert result.row["loss_generator"] == pytest.approx(GOLDEN["loss_generator"], rel=1e-5)
    assert result.row["ks"] == pytest.approx(GOLDEN["ks"], abs=1e-4)


GOLDEN = {"loss_discriminator": 0.557039, "loss_generator": 0.773369, "ks": 0.755847}
