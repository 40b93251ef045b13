"""Train in chunks of steps: what they need stands ready at fixed addresses before a chunk begins.

Inside a chunk nothing is read by the host, nothing is copied to the device and no shape depends on data, so a chunk can
be recorded and replayed as one CUDA graph (`gan/engine/cuda_graphs.py`). How training is cut into chunks changes no
bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from gan.engine import random_streams
from gan.engine.programs import StepFunction
from gan.model.step import Batch, Hyper, State
from gan.plugins import registry
from gan.replica import Cohort, Replica

CHUNK_STEPS = random_streams.BLOCK_STEPS
"""The most of a chunk; no chunk crosses a multiple of it."""

MOST_BLOCKS = 8
"""Of a stream that are held for a chunk of 64 steps: with more steps of the critic than that, a chunk is one step."""

ALIGNED = 4
"""Numbers of four bytes between two that a compiled program reads where they stand, without a copy."""


class Inputs:
    """What the steps of a stack are trained on, in buffers that keep their addresses.

    Args:
        cohort: Whose steps they are.
        stacked: Its replicas that train side by side, those that pad it included.
        data_dir: A torchvision root, for targets that are read from files.
        device: Where it trains.
    """

    def __init__(self, cohort: Cohort, stacked: Sequence[Replica], data_dir: Path, device: torch.device) -> None:
        variant, target = stacked[0].variant, cohort.target
        self.looped = cohort.mode == "loop"
        self.critic_steps = n = variant.critic_steps
        self.longest = CHUNK_STEPS if n <= MOST_BLOCKS else 1
        blocks = n if n <= MOST_BLOCKS else 1 + math.ceil(n / random_streams.BLOCK_STEPS)
        seeds, kinds = [r.seed for r in stacked], [r.variant.latent for r in stacked]
        size = variant.batch_size, variant.latent_dim
        self.z_d = random_streams.Latents(seeds, kinds, "discriminator", *size, device, blocks, n)
        if variant.latents == "fresh":
            self.z_g = random_streams.Latents(seeds, kinds, "generator", *size, device, 1, 1)
        else:
            self.z_g = None
        penalty = registry.penalty(variant.penalty)
        numbers = penalty.noise(target.dimension) if penalty else 0
        noise = random_streams.PenaltyNoise(seeds, variant.batch_size, numbers, device, blocks, n)
        self.noise = noise if numbers else None
        self.real = target.stream(seeds, variant, data_dir, device, blocks, n)
        # Of every step its number, from 1, and the part of the run behind it, each rounded once, from double precision.
        steps = torch.arange(cohort.steps, dtype=torch.float64)
        self.times = torch.stack([steps + 1.0, steps / cohort.steps], dim=1).float().to(device)
        self.clock = torch.zeros(CHUNK_STEPS + 1, 2, ALIGNED, device=device)

    def sizes(self, s: int) -> tuple[int, ...]:
        """Return the sizes of the batches of step `s`: smaller at the end of an epoch."""
        return tuple(self.real.size(i) for i in self._draws(s))

    def end(self, first: int, last: int) -> int:
        """Return where the chunk that begins with step `first` ends: at `last`, or before its shapes change."""
        until = min(last, (first // self.longest + 1) * self.longest)
        sizes = self.sizes(first)
        return next((s for s in range(first + 1, until) if self.sizes(s) != sizes), until)

    def prepare(self, first: int, until: int) -> None:
        """Draw and choose all that the chunk of the steps from `first` to before `until` needs."""
        draws = range(first * self.critic_steps, until * self.critic_steps)
        for stream in (self.real, self.z_d, self.noise):
            if stream is not None:
                stream.prepare(draws)
        if self.z_g is not None:
            self.z_g.prepare(range(first, until))
        row = first % CHUNK_STEPS
        self.clock[row : row + until - first, :, 0] = self.times[first:until]

    def batch(self, s: int, staged: bool = False) -> Batch:
        """Return what step `s`, counted from 0, is trained on; its tensors as the state's.

        Args:
            s: The step.
            staged: Not where the chunk has it, but where `stage` copied it to.
        """

        def taken(stream: random_streams.Stream, draw: int, place: int) -> Tensor:
            return stream.staged(place, draw) if staged else stream.at(draw)

        draws = list(enumerate(self._draws(s)))
        real = [taken(self.real, i, place) for place, i in draws]
        sizes = [x.shape[1] for x in real]
        z_d = [taken(self.z_d, i, place)[:, : sizes[place]] for place, i in draws]
        z_g = z_d[-1] if self.z_g is None else taken(self.z_g, s, 0)[:, : sizes[-1]]
        noise = [taken(self.noise, i, place)[:, : sizes[place]] for place, i in draws] if self.noise else ()
        batch = Batch(tuple(real), tuple(z_d), z_g, tuple(noise))
        return cast(Batch, pytree.tree_map(lambda x: x[0], batch)) if self.looped else batch

    def time(self, s: int, staged: bool = False) -> tuple[Tensor, Tensor]:
        """Return the number of step `s`, from 1, and the part of the run behind it: float32 scalars."""
        row = self.clock[CHUNK_STEPS if staged else s % CHUNK_STEPS]
        return row[0, 0], row[1, 0]

    def stage(self, s: int) -> None:
        """Copy what step `s` of this chunk needs to where the one step that is recorded reads it."""
        for place, i in enumerate(self._draws(s)):
            self.real.stage(i, place)
            self.z_d.stage(i, place)
            if self.noise is not None:
                self.noise.stage(i, place)
        if self.z_g is not None:
            self.z_g.stage(s, 0)
        self.clock[CHUNK_STEPS].copy_(self.clock[s % CHUNK_STEPS])

    def _draws(self, s: int) -> range:
        return range(s * self.critic_steps, (s + 1) * self.critic_steps)


class Chunks:
    """A stack's training, a chunk at a time.

    Args:
        step: From `gan.engine.programs.step_function`.
        state: Both players of all replicas before the first step. Its tensors are the training's own from now on: they
            keep their addresses and hold the state at the end of each chunk.
        hyper: The replicas' numbers.
        inputs: What the steps are trained on.
        history: [steps, K, metrics], on the device, which fills as training goes on.
    """

    def __init__(self, step: StepFunction, state: State, hyper: Hyper, inputs: Inputs, history: Tensor) -> None:
        self.step, self.state, self.hyper, self.inputs, self.history = step, state, hyper, inputs, history
        self.leaves = cast("list[Tensor]", pytree.tree_leaves(state))
        # Of each step of a chunk, and in the last row of a staged one.
        self.metrics = torch.empty(CHUNK_STEPS + 1, *history.shape[1:], device=history.device)

    def run(self, first: int, last: int, interrupted: Callable[[int], bool]) -> int:
        """Train a chunk that begins with step `first`, counted from 0, and ends at `last` or before.

        Args:
            first: The first step.
            last: The chunk's end, exclusive, at most.
            interrupted: Asked with the number of steps behind it where the chunk may break off: on a CPU after each
                step, on CUDA after the chunk alone.

        Returns:
            The number of steps that are behind it now.
        """
        until = self.inputs.end(first, last)
        self.inputs.prepare(first, until)
        done = self.train(first, until, interrupted)
        self._record(first, done)
        return done

    def _record(self, first: int, done: int) -> None:
        row = first % CHUNK_STEPS
        self.history[first:done] = self.metrics[row : row + done - first]

    def train(self, first: int, until: int, interrupted: Callable[[int], bool]) -> int:
        """Train the steps of a chunk that is prepared; return the number of steps that are behind it."""
        return self.run_eager(first, until, interrupted)

    def run_eager(self, first: int, until: int, interrupted: Callable[[int], bool] = lambda _: False) -> int:
        """Train step by step from `first` to `until`, exclusive, or to an interruption; return where it ended.

        Where a step raises an exception, the state and the metrics are those of the step before it.
        """
        state, done = self.state, first
        try:
            while done < until:
                state, metrics = self.step(state, self.hyper, self.inputs.batch(done), *self.inputs.time(done))
                self.metrics[done % CHUNK_STEPS] = metrics
                done += 1
                if interrupted(done):
                    break
        except Exception:
            self._record(first, done)
            raise
        finally:
            self.assign(state)
        return done

    def assign(self, state: State) -> None:
        """Take over a state, into the tensors that hold it."""
        new = cast("list[Tensor]", pytree.tree_leaves(state))
        # What a step leaves alone, such as moments that it does not use, it may return as it was given.
        pairs = [(own, its) for own, its in zip(self.leaves, new, strict=True) if own.data_ptr() != its.data_ptr()]
        if pairs:  # all of them in one kernel, which no public function does
            own, its = zip(*pairs, strict=True)
            torch._foreach_copy_(own, its)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
