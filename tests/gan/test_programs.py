"""Compiled steps: kept while a worker goes from shape to shape, and never more than so many.

The compiler itself is left out: what is counted here is how often it would be called, and what it is given is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx import GraphModule

from gan.engine import programs as module
from gan.engine.cohort import Run
from gan.engine.programs import StepFunction, step_function
from gan.model.step import StepConfig
from gan.replica import PROGRAMS, Cohort, Replica, Scoring, batch_shapes
from gan.targets import Gaussian, Images, Target
from gan.variant import Variant

DIGITS = Images("digits")
SMALL: dict[str, Any] = {"generator_hidden": (4,), "discriminator_hidden": (4,), "batch_size": 8}


def cohort_of(target: Target, steps: int = 2, compiled: bool = True, **settings: Any) -> Cohort:
    variant = Variant(**{**SMALL, **settings})
    return Cohort(
        id="test",
        replicas=tuple(Replica(str(seed), variant, seed) for seed in range(2)),
        target=target,
        steps=steps,
        scoring=Scoring(evaluations=1),
        mode="vmap",
        compiled=compiled,
        width=2,
    )


def metrics_of(cohort: Cohort) -> torch.Tensor:
    run = Run(cohort, cohort.replicas, Path("nowhere"), torch.device("cpu"))
    run.advance(0, cohort.steps)
    return run.metrics


def step_of(cohort: Cohort) -> StepFunction:
    return step_function(StepConfig.of(cohort.replicas[0].variant, cohort.target.shape), cohort)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many programs were compiled since the test began."""
    made: list[GraphModule] = []

    def compile(traced: GraphModule, **_: Any) -> GraphModule:
        made.append(traced)
        return traced

    module.forget(True)
    monkeypatch.setattr(torch, "compile", compile)
    yield lambda: len(made)
    module.forget(True)


def test_going_back_and_forth_between_shapes_compiles_each_once(programs: Callable[[], int]) -> None:
    cohorts = [
        cohort_of(Gaussian()),
        cohort_of(Gaussian(), batch_size=16),  # the same networks
    ]
    expected = [metrics_of(dataclasses.replace(cohort, compiled=False)) for cohort in cohorts]
    for _ in range(3):
        for cohort, metrics in zip(cohorts, expected, strict=True):
            torch.testing.assert_close(metrics_of(cohort), metrics)
    assert programs() == len(module._programs[True]) == 2


@pytest.mark.usefixtures("programs")
def test_programs_are_forgotten_before_the_compiler_would_give_up() -> None:
    for i in range(PROGRAMS + 1):
        step_of(cohort_of(Gaussian(), batch_size=8 + i))
        assert len(module._programs[True]) == (i + 1 if i < PROGRAMS else 1)
    # What they may come to counts, not how many there are: 1 + 4, 1 + 4 + 3, and 5 that no longer fit.
    for critic_steps, kept in ((3, 2), (2, 3), (4, 1)):
        step_of(cohort_of(DIGITS, critic_steps=critic_steps))
        assert len(module._programs[True]) == kept


def shapes(cohort: Cohort) -> int:
    return batch_shapes(cohort.replicas[0].variant, cohort.target)


def test_an_epochs_partial_batch_is_counted_wherever_it_falls(programs: Callable[[], int]) -> None:
    # 997 images in batches of 400 are two whole ones and one of 197: in six steps of two batches it is neither of
    # them, the first and the second.
    images = {"generator_output": "tanh", "batch_size": 400, "critic_steps": 2, "optimiser": "sgd"}
    cohort = cohort_of(DIGITS, steps=6, **images)
    assert bool(torch.isfinite(metrics_of(cohort)).all())
    assert programs() == shapes(cohort) == 3
    assert shapes(cohort_of(DIGITS, **images, last_batch="drop")) == 1
    assert shapes(cohort_of(DIGITS, batch_size=997)) == shapes(cohort_of(Gaussian(), critic_steps=2)) == 1
