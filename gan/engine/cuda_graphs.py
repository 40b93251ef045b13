"""Chunks of steps as CUDA graphs: the device runs them without the host between two of its kernels.

Two kinds are recorded. A whole chunk of 64 steps is one graph, which reads each step's numbers where they were drawn.
Every other step, of a chunk that is cut by an evaluation, the end of an epoch or the last step, and with a batch of
another size, replays the graph of one step of its shape, whose numbers are first copied to a place of their own: the
lengths of such chunks are many, and a graph of each would be recorded more often than it is replayed.

What is recorded is the step as the plan chose it. Eager, its many small kernels no longer wait for Python; compiled,
they are fewer and the same holds: Inductor's own use of CUDA graphs stays off, since it would copy the state in and
out at every step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from gan.engine.chunk import CHUNK_STEPS, Chunks, Inputs
from gan.engine.programs import StepFunction
from gan.model.step import Hyper, State
from gan.replica import PROGRAMS

WARM_UP_STEPS = 3
"""Of each shape, trained before one is recorded: libraries set themselves up at the first ones, as PyTorch advises."""

WORTH_CHUNKS = 4
"""A whole chunk is recorded when so many are ahead: to record one takes the host as long as to train it."""


class GraphChunks(Chunks):
    """Chunks that are replayed: the same steps in the same order, on the same numbers, as in `Chunks`."""

    def __init__(self, step: StepFunction, state: State, hyper: Hyper, inputs: Inputs, history: Tensor) -> None:
        super().__init__(step, state, hyper, inputs, history)
        self.whole: torch.cuda.CUDAGraph | None = None
        self.ones: dict[tuple[int, ...], torch.cuda.CUDAGraph] = {}  # by the sizes of a step's batches
        self.warm = Counter[tuple[int, ...]]()
        self._behind: torch.cuda.Event | None = None

    def train(self, first: int, until: int, interrupted: Callable[[int], bool]) -> int:
        """Train the steps of a chunk that is prepared; return the number of steps that are behind it."""
        if not self._whole(first, until):
            for s in range(first, until):
                self._one(s)
        self._pace()
        interrupted(until)
        return until

    def _whole(self, first: int, until: int) -> bool:
        """Train a whole chunk by its graph, and say whether there is one."""
        if until - first < CHUNK_STEPS:
            return False
        if self.whole is None:
            ahead = len(self.history) - first
            if ahead < WORTH_CHUNKS * CHUNK_STEPS or self.inputs.sizes(first) not in self.ones:
                return False
            self.whole = _recorded(lambda: self.run_eager(first, until))
        self.whole.replay()
        return True

    def _one(self, s: int) -> None:
        """Train one step: by the graph of its shape, or to warm up for that graph."""
        sizes = self.inputs.sizes(s)
        if sizes not in self.ones and (self.warm[sizes] < WARM_UP_STEPS or len(self.ones) == PROGRAMS):
            self.warm[sizes] += 1
            _beside(lambda: self.run_eager(s, s + 1))
            return
        self.inputs.stage(s)
        if sizes not in self.ones:
            self.ones[sizes] = _recorded(lambda: self._staged(s))
        self.ones[sizes].replay()
        self.metrics[s % CHUNK_STEPS] = self.metrics[CHUNK_STEPS]

    def _staged(self, s: int) -> None:
        """Train the step whose numbers are staged, of the shape of step `s`."""
        batch, time = self.inputs.batch(s, staged=True), self.inputs.time(s, staged=True)
        state, self.metrics[CHUNK_STEPS] = self.step(self.state, self.hyper, batch, *time)
        self.assign(state)

    def _pace(self) -> None:
        """Wait for the chunk before this one: the host stays one ahead, and what it tells of progress is true."""
        if self._behind is not None:
            self._behind.synchronize()
        self._behind = torch.cuda.Event()
        self._behind.record()


def _recorded(program: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """Record what a program has the device do, without doing it."""
    graph = torch.cuda.CUDAGraph()
    # What other threads of this process ask of the device meanwhile is their own affair.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        program()
    return graph


def _beside(program: Callable[[], object]) -> None:
    """Run a program on a separate stream, as it will be recorded on one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        program()
    torch.cuda.current_stream().wait_stream(stream)
