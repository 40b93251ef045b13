"""The step as a program: alone or mapped over replicas, compiled or not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from gan.replica import PROGRAMS, Cohort, batch_shapes
from gan.step import Batch, Game, Hyper, State, step

StepFunction = Callable[[State, Hyper, Batch, Tensor, Tensor], tuple[State, Tensor]]

_compiled: dict[Any, _Compiled] = {}


def step_function(game: Game, cohort: Cohort) -> StepFunction:
    """Return the step of a cohort: alone or mapped over replicas, compiled or not.

    A worker that goes from shape to shape, as tuning does, finds what it compiled before; `PROGRAMS` at most are kept.
    """
    one = partial(step, game)
    mapped = one if cohort.mode == "loop" else cast(StepFunction, vmap(one, in_dims=(0, 0, 0, None, None)))
    if not cohort.compiled:
        return mapped
    variant = cohort.replicas[0].variant
    needed = batch_shapes(variant, cohort.target)
    assert needed <= PROGRAMS, "the plan compiles no cohort that needs more"
    key = (game, variant.shape(), cohort.mode, cohort.width)
    if key not in _compiled:
        if sum(step.needed for step in _compiled.values()) + needed > PROGRAMS:
            forget()
        _compiled[key] = _Compiled(mapped, needed)
    return _compiled[key]


def forget() -> None:
    """Let go of every compiled program; on disk the compiler's own cache keeps them all."""
    _compiled.clear()
    torch.compiler.reset()


class _Compiled:
    """A step that is compiled for each shape of its batches, and that changes the state it is given in place.

    The step is first traced down to operations on tensors, so that the compiler reads one flat list of them: a program
    without branches, whose shapes are known. Nothing about it needs to be checked at each call, as the compiler would
    (which takes longer than a narrow step): the caller's key stands for all that shapes it, the batch aside.

    Args:
        mapped: The step.
        needed: How many programs it may come to.
    """

    def __init__(self, mapped: StepFunction, needed: int) -> None:
        self.mapped, self.needed = mapped, needed
        self.programs: dict[Any, Callable[..., Tensor]] = {}
        self._held: tuple[State, Hyper, list[Tensor]] | None = None

    def __call__(self, state: State, hyper: Hyper, batch: Batch, t: Tensor, progress: Tensor) -> tuple[State, Tensor]:
        """Train one step; see `gan.step.step`."""
        if self._held is None or self._held[0] is not state or self._held[1] is not hyper:
            self._held = state, hyper, [*pytree.tree_leaves(state), *pytree.tree_leaves(hyper)]
        drawn = [*batch.real, *batch.z_d, batch.z_g, *batch.between]
        key = t.device, *(real.shape for real in batch.real)  # the other shapes follow
        if key not in self.programs:
            self.programs[key] = self._compile(state, hyper, batch, t, progress)
        return state, self.programs[key](*self._held[2], *drawn, t, progress)

    def _compile(self, *given: Any) -> Callable[..., Tensor]:
        flat, spec = pytree.tree_flatten(given)

        def in_place(*leaves: Tensor) -> Tensor:
            after, metrics = self.mapped(*pytree.tree_unflatten(leaves, spec))
            for own, new in zip(leaves, pytree.tree_leaves(after), strict=False):  # the state's are the first
                own.copy_(new)
            return metrics

        # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # What is not given, such as a constant of a plugin's layer, is taken as it is.
        traced = make_fx(in_place, tracing_mode="fake", _allow_non_fake_inputs=True)(*flat)
        options: dict[str, Any] = {"guard_filter_fn": _unguarded}
        if flat[0].device.type == "cpu" and sys.platform != "win32":  # whose compiler cannot read our kernel
            from gan.products import OurProducts

            options["post_grad_custom_post_pass"] = OurProducts()
        return torch.compile(traced, dynamic=False, fullgraph=True, options=options)


def _unguarded(guards: list[Any]) -> list[bool]:
    return [False] * len(guards)
