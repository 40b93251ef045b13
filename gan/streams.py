"""Random numbers that belong to a replica.

Each block of numbers comes from a fresh generator seeded by (seed, stream name, index). There is nothing to
checkpoint, any step is reachable at once, and what a replica sees depends on nobody beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from gan.targets import Gaussian, Mixture, Point

BLOCK_STEPS = 64


def latents(kind: str, shape: tuple[int, ...], g: Generator) -> Tensor:
    """Draw latents: standard normal, or uniform in [-1, 1]."""
    if kind == "uniform":
        return torch.rand(shape, generator=g, device=g.device) * 2.0 - 1.0
    return torch.randn(shape, generator=g, device=g.device)


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

    `draws` holds one replica's way of drawing for each seed.
    """

    def __init__(
        self, seeds: Sequence[int], stream: str, draws: Sequence[Callable[[Generator], Tensor]], device: torch.device
    ) -> None:
        self.seeds, self.stream, self.draws, self.device = seeds, stream, draws, device
        self.index = -1
        self.block: Tensor | None = None

    def at(self, step: int) -> Tensor:
        index, offset = divmod(step, BLOCK_STEPS)
        if index != self.index or self.block is None:
            drawn = [
                draw(generator(seed, self.stream, index, self.device))
                for seed, draw in zip(self.seeds, self.draws, strict=True)
            ]
            self.index, self.block = index, torch.stack(drawn, dim=1)
        return self.block[offset]


class Latents(_Blocks):
    """Latents of each replica's kind: `at(step)` is [K, batch, dimension].

    Args:
        seeds: The replicas' seeds.
        kinds: The replicas' kinds, ``normal`` or ``uniform``.
        stream: Whose step they are for.
        batch: Latents a step.
        dimension: Of one latent.
        device: Where they are drawn.
    """

    def __init__(
        self, seeds: Sequence[int], kinds: Sequence[str], stream: str, batch: int, dimension: int, device: torch.device
    ) -> None:
        shape = (BLOCK_STEPS, batch, dimension)
        super().__init__(seeds, f"latents/{stream}", [lambda g, k=k: latents(k, shape, g) for k in kinds], device)


class Fractions(_Blocks):
    """Uniform numbers in [0, 1), where between real and fake a penalty looks: `at(step)` is [K, batch, 1]."""

    def __init__(self, seeds: Sequence[int], batch: int, device: torch.device) -> None:
        def draw(g: Generator) -> Tensor:
            return torch.rand(BLOCK_STEPS, batch, 1, generator=g, device=device)

        super().__init__(seeds, "penalty", [draw] * len(seeds), device)


class Samples(_Blocks):
    """Fresh samples of a distribution: `at(step)` is [K, batch, 1]."""

    steps_per_epoch = None  # a distribution never runs out

    def __init__(
        self, seeds: Sequence[int], target: Gaussian | Mixture | Point, batch: int, device: torch.device
    ) -> None:
        def draw(g: Generator) -> Tensor:
            return target.sample((BLOCK_STEPS, batch), g)

        super().__init__(seeds, "real", [draw] * len(seeds), device)


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
