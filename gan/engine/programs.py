"""The step as a program: alone or mapped over replicas, compiled, traced, or as it is written."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from gan.engine.tracing import trace
from gan.model.step import Batch, Hyper, State, StepConfig, step
from gan.plugins import registry
from gan.replica import PROGRAMS, Cohort, batch_shapes, cohort_shape

StepFunction = Callable[[State, Hyper, Batch, Tensor, Tensor], tuple[State, Tensor]]

traced_after = 300
"""Steps of one shape that run as they are written, on a CPU, before they are traced: that takes about a second, as much
as they lost. On CUDA the host is out of the way in a graph."""

_programs: dict[bool, dict[Any, _Program]] = {True: {}, False: {}}  # compiled and not, by what shapes them


def step_function(config: StepConfig, cohort: Cohort) -> StepFunction:
    """Return the step of a cohort: alone or mapped over replicas, compiled or not.

    A worker that goes from shape to shape, as tuning does, finds what it made before; of each kind `PROGRAMS` at most
    are kept.
    """
    variant = cohort.replicas[0].variant
    needed = batch_shapes(variant, cohort.target)
    assert not cohort.compiled or needed <= PROGRAMS, "the plan compiles no cohort that needs more"
    kept = _programs[cohort.compiled]
    key = (config, cohort_shape(variant), cohort.mode, cohort.width)
    if key not in kept:
        if sum(program.needed for program in kept.values()) + needed > PROGRAMS:
            clear_cache(cohort.compiled)
        one = partial(step, config)
        mapped = one if cohort.mode == "loop" else cast(StepFunction, vmap(one, in_dims=(0, 0, 0, None, None)))
        # A plugin's code may do what a trace does not hold: draw numbers, branch on values, change tensors in place.
        traceable = not any(registry.plugin_components(r.variant) for r in cohort.replicas)
        kept[key] = _Compiled(mapped, needed) if cohort.compiled else _Traced(mapped, needed, traceable)
    return kept[key]


def trace_at_once() -> None:
    """Trace steps at their first run from now on, in this process: for who measures what long runs come to."""
    global traced_after
    traced_after = 0


def clear_cache(compiled: bool) -> None:
    """Let go of every program of a kind; on disk the compiler's own cache keeps all that it compiled."""
    _programs[compiled].clear()
    if compiled:
        torch.compiler.reset()


def release_state() -> None:
    """Let go of the states that programs were last given: a worker between two cohorts holds none of its weights."""
    for program in (*_programs[True].values(), *_programs[False].values()):
        program.held = None


class _Program(ABC):
    """A step that changes the state it is given in place, with a program for each shape of its batches.

    Args:
        mapped: The step.
        needed: How many programs it may come to.
    """

    def __init__(self, mapped: StepFunction, needed: int) -> None:
        self.mapped, self.needed = mapped, needed
        self.programs: dict[Any, Callable[..., Tensor]] = {}
        self.held: tuple[State, Hyper, list[Tensor]] | None = None

    def __call__(self, state: State, hyper: Hyper, batch: Batch, t: Tensor, progress: Tensor) -> tuple[State, Tensor]:
        """Train one step; see `gan.model.step.step`."""
        key = t.device, *(real.shape for real in batch.real)  # the other shapes follow
        if key not in self.programs:
            program = self.make(key, state, hyper, batch, t, progress)
            if program is None:
                return self.mapped(state, hyper, batch, t, progress)
            self.programs[key] = program
        if self.held is None or self.held[0] is not state or self.held[1] is not hyper:
            self.held = state, hyper, [*pytree.tree_leaves(state), *pytree.tree_leaves(hyper)]
        drawn = [*batch.real, *batch.z_d, batch.z_g, *batch.noise]
        return state, self.programs[key](*self.held[2], *drawn, t, progress)

    @abstractmethod
    def make(self, key: Any, *given: Any) -> Callable[..., Tensor] | None:
        """Make a program: of all tensors in `given` to the metrics. None: not yet, the step runs as it is written."""

    def flat(self, given: Sequence[Any]) -> tuple[Callable[..., list[Tensor]], list[Tensor]]:
        """Return the step as a function of tensors to the new state's and the metrics, and the tensors in `given`."""
        leaves, spec = pytree.tree_flatten(given)

        def function(*leaves: Tensor) -> list[Tensor]:
            after, metrics = self.mapped(*pytree.tree_unflatten(leaves, spec))
            return [*pytree.tree_leaves(after), metrics]

        return function, leaves


class _Traced(_Program):
    """A step that is not compiled. On a CPU it is traced when it has run so often that it will run on.

    Args:
        mapped: The step.
        needed: How many programs it may come to.
        traceable: All of its components are built in, which are known to be traceable.
    """

    def __init__(self, mapped: StepFunction, needed: int, traceable: bool) -> None:
        super().__init__(mapped, needed)
        self.traceable = traceable
        self.seen = Counter[Any]()

    def make(self, key: Any, *given: Any) -> Callable[..., Tensor] | None:
        """Trace the step of a shape that has come often."""
        self.seen[key] += 1
        if self.seen[key] <= traced_after or not self.traceable or given[-1].device.type != "cpu":
            return None
        function, leaves = self.flat(given)
        return trace(function, leaves, len(pytree.tree_leaves(given[0])))


class _Compiled(_Program):
    """A step that is compiled for each shape of its batches.

    It is first traced down to operations on tensors, so that the compiler reads one flat list of them: a program
    without branches, whose shapes are known. Nothing about it needs to be checked at each call, as the compiler would
    (which takes longer than a narrow step): the caller's key stands for all that shapes it, the batch aside.
    """

    def make(self, key: Any, *given: Any) -> Callable[..., Tensor]:
        """Compile the step for the shapes of `given`."""
        function, flat = self.flat(given)

        def in_place(*leaves: Tensor) -> Tensor:
            *after, metrics = function(*leaves)
            for own, new in zip(leaves, after, strict=False):  # the state's are the first
                own.copy_(new)
            return metrics

        # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # What is not given, such as a constant of a plugin's layer, is taken as it is.
        traced = make_fx(in_place, tracing_mode="fake", _allow_non_fake_inputs=True)(*flat)
        options: dict[str, Any] = {"guard_filter_fn": _unguarded}
        if flat[0].device.type == "cpu" and sys.platform != "win32":  # whose compiler cannot read our kernel
            from gan.engine.bmm import OurProducts

            options["post_grad_custom_post_pass"] = OurProducts()
        return torch.compile(traced, dynamic=False, fullgraph=True, options=options)


def _unguarded(guards: list[Any]) -> list[bool]:
    return [False] * len(guards)
