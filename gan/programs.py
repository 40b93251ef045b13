"""The step as a program: alone or mapped over replicas, compiled or not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vmap

from gan.replica import PROGRAMS, Cohort, batch_shapes
from gan.step import Game, State, step

StepFunction = Callable[..., tuple[State, Tensor]]

_compiled: dict[Any, tuple[int, StepFunction]] = {}  # with how many programs each may come to


def step_function(game: Game, cohort: Cohort) -> StepFunction:
    """Return the step of a cohort: alone or mapped over replicas, compiled or not.

    A worker that goes from shape to shape, as tuning does, finds what it compiled before; `PROGRAMS` at most are kept.
    """
    one = partial(step, game)
    mapped: StepFunction = (
        one if cohort.mode == "loop" else cast(StepFunction, vmap(one, in_dims=(0, 0, 0, None, None)))
    )
    if not cohort.compiled:
        return mapped
    variant = cohort.replicas[0].variant
    needed = batch_shapes(variant, cohort.target)
    assert needed <= PROGRAMS, "the plan compiles no cohort that needs more"
    key = (game, variant.shape(), cohort.mode, cohort.width)
    if key not in _compiled:
        # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # The compiler counts the programs it made of one piece of code, and all of ours are made of the same. Before
        # there are too many its memory is cleared with ours; on disk its own cache keeps them all.
        if sum(programs for programs, _ in _compiled.values()) + needed > PROGRAMS:
            _compiled.clear()
            torch.compiler.reset()
        _compiled[key] = needed, cast(StepFunction, torch.compile(mapped, dynamic=False, fullgraph=True))
    return _compiled[key][1]
