"""Random numbers that belong to a replica.

Each block of numbers comes from a fresh generator seeded by (seed, stream name, index). There is nothing to
checkpoint, any step is reachable at once, and what a replica sees depends on nobody beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Generator, Tensor

BLOCK_STEPS = 64


def latents(kind: str, shape: tuple[int, ...], g: Generator) -> Tensor:
    """Draw latents: standard normal, or uniform in [-1, 1]."""
    return _draw_latents(kind, g, torch.empty(shape, device=g.device))


def generator(seed: int, stream: str, index: int, device: torch.device) -> Generator:
    """Return the generator of one block of a replica's stream.

    Args:
        seed: The replica's seed.
        stream: What the numbers are for, such as ``latents/discriminator``.
        index: Which block, epoch or draw of that stream.
        device: Where the numbers are drawn; CPU and CUDA give different numbers.
    """
    key = hashlib.sha256(f"{seed}/{stream}/{index}".encode()).digest()
    return Generator(device).manual_seed(int.from_bytes(key[:8], "big") >> 1)


class _Blocks:
    """Tensors of shape [K, ...] by step, drawn for 64 steps at a time, each replica from its own generator.

    They stand in one buffer that keeps its address, replica by replica, since a generator fills what is contiguous
    with other numbers than what is not: a step's are a strided view of it, read where they stand.

    Args:
        seeds: The replicas' seeds.
        stream: What the numbers are for.
        draws: One replica's way of filling [64, *shape] in place for each seed.
        shape: Of one replica's numbers for a step.
        device: Where they are drawn.
        blocks: Held at once; drawing another takes the place of the one so many before it.
        staged: Steps that `stage` has room for.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        stream: str,
        draws: Sequence[Callable[[Generator, Tensor], object]],
        shape: tuple[int, ...],
        device: torch.device,
        blocks: int = 1,
        staged: int = 0,
    ) -> None:
        self.seeds, self.stream, self.draws, self.device = seeds, stream, draws, device
        self.held = [-1] * blocks
        self.rows = blocks * BLOCK_STEPS
        self.buffer = torch.empty(len(seeds), self.rows + staged, *shape, device=device)

    def at(self, step: int) -> Tensor:
        """Return the numbers of `step`, [K, ...]: a view that holds until its place is drawn anew."""
        self.prepare(range(step, step + 1))
        return self.buffer[:, step % self.rows]

    def prepare(self, steps: range) -> None:
        """Draw what `steps` need and the buffer does not hold."""
        for index in range(steps.start // BLOCK_STEPS, (steps.stop - 1) // BLOCK_STEPS + 1):
            slot = index % len(self.held)
            if self.held[slot] != index:
                place = self.buffer[:, slot * BLOCK_STEPS : (slot + 1) * BLOCK_STEPS]
                for seed, draw, own in zip(self.seeds, self.draws, place, strict=True):
                    draw(generator(seed, self.stream, index, self.device), own)
                self.held[slot] = index

    def stage(self, step: int, place: int) -> None:
        """Copy the numbers of `step` to where `staged(place)` finds them."""
        self.buffer[:, self.rows + place].copy_(self.at(step))

    def staged(self, place: int, step: int) -> Tensor:
        """Return what was staged at `place` of `step`, [K, ...], strided as `at` has it."""
        return self.buffer[:, self.rows + place]


class Latents(_Blocks):
    """Latents of each replica's kind: `at(step)` is [K, batch, dimension].

    Args:
        seeds: The replicas' seeds.
        kinds: The replicas' kinds, ``normal`` or ``uniform``.
        stream: Whose step they are for.
        batch: Latents a step.
        dimension: Of one latent.
        device: Where they are drawn.
        blocks: Held at once.
        staged: Steps that `stage` has room for.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        kinds: Sequence[str],
        stream: str,
        batch: int,
        dimension: int,
        device: torch.device,
        blocks: int = 1,
        staged: int = 0,
    ) -> None:
        draws = [partial(_draw_latents, kind) for kind in kinds]
        super().__init__(seeds, f"latents/{stream}", draws, (batch, dimension), device, blocks, staged)


class PenaltyNoise(_Blocks):
    """Uniform numbers in [0, 1) for a penalty: `at(step)` is [K, batch, numbers]."""

    def __init__(
        self, seeds: Sequence[int], batch: int, numbers: int, device: torch.device, blocks: int = 1, staged: int = 0
    ) -> None:
        def draw(g: Generator, out: Tensor) -> None:
            out.uniform_(generator=g)

        super().__init__(seeds, "penalty", [draw] * len(seeds), (batch, numbers), device, blocks, staged)


class Samples(_Blocks):
    """Fresh samples of a distribution on the real line: `at(step)` is [K, batch, 1]."""

    steps_per_epoch = None  # a distribution never runs out

    def __init__(
        self,
        seeds: Sequence[int],
        sample: Callable[[tuple[int, ...], Generator], Tensor],
        batch: int,
        device: torch.device,
        blocks: int = 1,
        staged: int = 0,
    ) -> None:
        self.batch = batch

        def draw(g: Generator, out: Tensor) -> None:
            out.copy_(sample((BLOCK_STEPS, batch), g))

        super().__init__(seeds, "real", [draw] * len(seeds), (batch, 1), device, blocks, staged)

    def size(self, step: int) -> int:
        """Return how many samples `step` is trained on: the same at every one."""
        return self.batch


class Images:
    """Training images in each replica's own order, epoch by epoch: `at(step)` is [K, batch, pixels].

    The images stay uint8 on the device, shared by all replicas; a batch is gathered and scaled as it is taken. Which
    images the steps of a chunk take stands in one buffer that keeps its address.

    Args:
        seeds: The replicas' seeds.
        images: uint8 [N, pixels].
        batch: Images a step; the last batch of an epoch may be smaller.
        signed: Scale to [-1, 1] rather than [0, 1].
        keep_last: Train on an epoch's partial last batch rather than drop it.
        blocks: Of 64 steps, held at once.
        staged: Steps that `stage` has room for.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        images: Tensor,
        batch: int,
        *,
        signed: bool,
        keep_last: bool,
        blocks: int = 1,
        staged: int = 0,
    ) -> None:
        self.seeds, self.images, self.batch, self.signed = seeds, images, batch, signed
        full, self.rest = divmod(len(images), batch)
        self.steps_per_epoch = full + (1 if self.rest and keep_last else 0)
        self.partial = full if self.rest and keep_last else -1
        self.epoch = -1
        self.order = torch.empty(len(seeds), len(images), dtype=torch.int64, device=images.device)
        self.rows = blocks * BLOCK_STEPS
        self.held = [-1] * self.rows
        self.chosen = torch.zeros(len(seeds), self.rows + staged, batch, dtype=torch.int64, device=images.device)

    def size(self, step: int) -> int:
        """Return how many images `step` is trained on."""
        return self.rest if step % self.steps_per_epoch == self.partial else self.batch

    def at(self, step: int) -> Tensor:
        """Return the real batch of `step`."""
        self.prepare(range(step, step + 1))
        return self._gathered(step % self.rows, step)

    def prepare(self, steps: range) -> None:
        """Choose what `steps` need and the buffer does not hold."""
        for step in steps:
            row = step % self.rows
            if self.held[row] != step:
                epoch, position = divmod(step, self.steps_per_epoch)
                self._begin(epoch)
                size, first = self.size(step), position * self.batch
                self.chosen[:, row, :size] = self.order[:, first : first + size]
                self.held[row] = step

    def stage(self, step: int, place: int) -> None:
        """Copy what `step` is trained on to where `staged(place)` finds it."""
        self.prepare(range(step, step + 1))
        self.chosen[:, self.rows + place].copy_(self.chosen[:, step % self.rows])

    def staged(self, place: int, step: int) -> Tensor:
        """Return what was staged at `place`, a batch of the size of `step`."""
        return self._gathered(self.rows + place, step)

    def _begin(self, epoch: int) -> None:
        if epoch != self.epoch:
            device = self.images.device
            for seed, own in zip(self.seeds, self.order, strict=True):
                torch.randperm(len(self.images), generator=generator(seed, "order", epoch, device), out=own)
            self.epoch = epoch

    def _gathered(self, row: int, step: int) -> Tensor:
        return to_range(self.images[self.chosen[:, row, : self.size(step)]], signed=self.signed)


RealStream = Samples | Images
Stream = _Blocks | Images


def _draw_latents(kind: str, g: Generator, out: Tensor) -> Tensor:
    return out.uniform_(generator=g).mul_(2.0).sub_(1.0) if kind == "uniform" else out.normal_(generator=g)


def to_range(images: Tensor, *, signed: bool) -> Tensor:
    """Scale uint8 images to float32 in [-1, 1] (signed) or [0, 1]."""
    return images.float() / 127.5 - 1.0 if signed else images.float() / 255.0


def to_uint8(images: Tensor, *, signed: bool) -> Tensor:
    """Quantise float images in [-1, 1] (signed) or [0, 1] as real images are stored."""
    return ((images + 1.0) * 127.5 if signed else images * 255.0).round().clamp(0, 255).to(torch.uint8)
