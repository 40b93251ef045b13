"""Random numbers that belong to a replica.

Each block of numbers comes from a fresh generator seeded by (seed, stream name, index). There is nothing to
checkpoint, any step is reachable at once, and what a replica sees depends on nobody beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from gan.targets import Gaussian, Mixture

BLOCK_STEPS = 64


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
    """Tensors of shape [K, ...] by step, drawn for 64 steps at a time, each replica from its own generator."""

    def __init__(
        self, seeds: Sequence[int], stream: str, draw: Callable[[Generator], Tensor], device: torch.device
    ) -> None:
        self.seeds, self.stream, self.draw, self.device = seeds, stream, draw, device
        self.index = -1
        self.block: Tensor | None = None

    def at(self, step: int) -> Tensor:
        index, offset = divmod(step, BLOCK_STEPS)
        if index != self.index or self.block is None:
            generators = (generator(seed, self.stream, index, self.device) for seed in self.seeds)
            self.index, self.block = index, torch.stack([self.draw(g) for g in generators], dim=1)
        return self.block[offset]


class Latents(_Blocks):
    """Standard normal latents: `at(step)` is [K, batch, dimension]."""

    def __init__(self, seeds: Sequence[int], stream: str, batch: int, dimension: int, device: torch.device) -> None:
        def draw(g: Generator) -> Tensor:
            return torch.randn(BLOCK_STEPS, batch, dimension, generator=g, device=device)

        super().__init__(seeds, f"latents/{stream}", draw, device)


class Samples(_Blocks):
    """Fresh samples of a distribution: `at(step)` is [K, batch, 1]."""

    steps_per_epoch = None  # a distribution never runs out

    def __init__(self, seeds: Sequence[int], target: Gaussian | Mixture, batch: int, device: torch.device) -> None:
        super().__init__(seeds, "real", lambda g: target.sample((BLOCK_STEPS, batch), g), device)


class Images:
    """Training images in each replica's own order, epoch by epoch: `at(step)` is [K, batch, pixels].

    The images stay uint8 on the device, shared by all replicas; a batch is scaled as it is taken.

    Args:
        seeds: The replicas' seeds.
        images: uint8 [N, pixels].
        batch: Images a step; the last batch of an epoch may be smaller.
        signed: Scale to [-1, 1] rather than [0, 1].
        keep_last: Train on an epoch's partial last batch rather than drop it.
    """

    def __init__(self, seeds: Sequence[int], images: Tensor, batch: int, *, signed: bool, keep_last: bool) -> None:
        self.seeds, self.images, self.batch, self.signed = seeds, images, batch, signed
        full, rest = divmod(len(images), batch)
        self.steps_per_epoch = full + (1 if rest and keep_last else 0)
        self.epoch = -1
        self.order = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Return the real batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            device = self.images.device
            orders = [
                torch.randperm(len(self.images), generator=generator(s, "order", epoch, device), device=device)
                for s in self.seeds
            ]
            self.epoch, self.order = epoch, torch.stack(orders)
        chosen = self.order[:, position * self.batch : (position + 1) * self.batch]
        return to_range(self.images[chosen], signed=self.signed)


def to_range(images: Tensor, *, signed: bool) -> Tensor:
    """Scale uint8 images to float32 in [-1, 1] (signed) or [0, 1]."""
    return images.float() / 127.5 - 1.0 if signed else images.float() / 255.0


def to_uint8(images: Tensor, *, signed: bool) -> Tensor:
    """Quantise float images in [-1, 1] (signed) or [0, 1] as real images are stored."""
    return ((images + 1.0) * 127.5 if signed else images * 255.0).round().clamp(0, 255).to(torch.uint8)
