"""Compiled steps: kept while a worker goes from shape to shape, and never more than so many.

The compiler itself is left out: what is counted here is how often it would be called, and what it is given is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.fx import GraphModule

from gan.engine import programs as module
from gan.engine.programs import StepFunction, step_function
from gan.model.step import StepConfig
from gan.replica import PROGRAMS, Cohort, batch_shapes
from gan.targets import Target
from gan.variant import Variant

from .games import DIGITS, LINE, SMALL, cohort_of, run_of


def small(target: Target, steps: int = 2, **settings: Any) -> Cohort:
    return cohort_of(Variant(**SMALL | settings), target, steps=steps, compiled=True)


def metrics_of(cohort: Cohort) -> torch.Tensor:
    return run_of(cohort, cohort.steps).metrics


def step_of(cohort: Cohort) -> StepFunction:
    return step_function(StepConfig.of(cohort.replicas[0].variant, cohort.target.shape), cohort)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many programs were compiled since the test began."""
    made: list[GraphModule] = []

    def compile(traced: GraphModule, **_: Any) -> GraphModule:
        made.append(traced)
        return traced

    module.clear_cache(True)
    monkeypatch.setattr(torch, "compile", compile)
    yield lambda: len(made)
    module.clear_cache(True)


def test_going_back_and_forth_between_shapes_compiles_each_once(programs: Callable[[], int]) -> None:
    cohorts = [
        small(LINE),
        small(LINE, batch_size=16),  # the same networks
    ]
    expected = [metrics_of(dataclasses.replace(cohort, compiled=False)) for cohort in cohorts]
    for _ in range(3):
        for cohort, metrics in zip(cohorts, expected, strict=True):
            torch.testing.assert_close(metrics_of(cohort), metrics)
    assert programs() == len(module._programs[True]) == 2


@pytest.mark.usefixtures("programs")
def test_programs_are_forgotten_before_the_compiler_would_give_up() -> None:
    for i in range(PROGRAMS + 1):
        step_of(small(LINE, batch_size=8 + i))
        assert len(module._programs[True]) == (i + 1 if i < PROGRAMS else 1)
    # What they may come to counts, not how many there are: 1 + 4, 1 + 4 + 3, and 5 that no longer fit.
    for critic_steps, kept in ((3, 2), (2, 3), (4, 1)):
        step_of(small(DIGITS, critic_steps=critic_steps))
        assert len(module._programs[True]) == kept


def shapes(cohort: Cohort) -> int:
    return batch_shapes(cohort.replicas[0].variant, cohort.target)


def test_an_epochs_partial_batch_is_counted_wherever_it_falls(programs: Callable[[], int]) -> None:
    # 997 images in batches of 400 are two whole ones and one of 197: in six steps of two batches it is neither of
    # them, the first and the second.
    images = {"generator_output": "tanh", "batch_size": 400, "critic_steps": 2, "optimiser": "sgd"}
    cohort = small(DIGITS, steps=6, **images)
    assert bool(torch.isfinite(metrics_of(cohort)).all())
    assert programs() == shapes(cohort) == 3
    assert shapes(small(DIGITS, **images, last_batch="drop")) == 1
    assert shapes(small(DIGITS, batch_size=997)) == shapes(small(LINE, critic_steps=2)) == 1
