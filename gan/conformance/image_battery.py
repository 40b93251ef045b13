"""The generators of the known-answer battery on images: each is wrong in one known way, or perfect.

The images are split so that the perfect generator draws images that the reference does not hold: a reference that
holds them would find copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gan.conformance.battery import REAL, Generator, Subject, integers
from gan.scores import sample_sizes
from gan.scores.real_images import ImageReference
from gan.targets import Images

LEARNED: Final = {"digits": 300, "mnist": 30_000, "fashion_mnist": 30_000}
"""First images of train that the reference takes for what was learned; the perfect generator draws from the others."""

JITTER: Final = 4.0
"""Pixel noise of prototypes and mean images, of 255: too little to see."""
FAINT: Final = 6.0
"""Pixel noise of augmented images, of 255."""
CONTRAST: Final = {"shrunk": 0.5, "inflated": 3.0}
"""Distance from the mean image, over the right one."""
SPECKLES: Final = 0.1
"""Share of the pixels of a speckled image that are black or white."""
HEAVY: Final = 0.05
"""Share of noise in the heavy tail."""

Pixels = Callable[[int, torch.Generator], Tensor]
"""From a number of images and random numbers to pixels, float32 [n, pixels], which are then clipped and rounded."""


class ImageSubject(Subject):
    """A set of images.

    Args:
        target: Which.
        data_dir: A torchvision root.

    Raises:
        InputError: Data or weights that are missing or not the pinned ones.
    """

    def __init__(self, target: Images, data_dir: Path = Path("nowhere")) -> None:
        self.target, data, learned = target, target.load(data_dir), LEARNED[target.dataset]
        self.pool, self.labels = data.train[learned:].float(), data.train_labels[learned:]
        self.data = replace(data, train=data.train[:learned], train_labels=data.train_labels[:learned])
        # Of none of the images that the generators draw, but for `memorised` and `augmented`.
        super().__init__(target, ImageReference(target, self.data, "cpu", "test", sample_sizes(target)[1]))
        self.mean = self.pool.mean(dim=0)
        self.class_means = torch.stack([self.pool[self.labels == label].mean(dim=0) for label in range(10)])

    @property
    def generators(self) -> dict[str, Generator]:
        """The generators by name, each from a number of samples and random numbers to uint8 [n, pixels]."""
        pixels = self.target.dimension
        made: dict[str, Pixels] = {
            REAL: self._real,
            "noise": lambda n, rng: 255 * torch.rand(n, pixels, generator=rng),
            "constant": lambda n, rng: torch.full((n, pixels), 127.0),
            "one_real": lambda n, rng: self._real(1, rng).expand(n, -1),
            "one_bad": lambda n, rng: (255 * torch.rand(1, pixels, generator=rng)).expand(n, -1),
            "prototypes": lambda n, rng: _noisy(self._real(10, rng)[integers(10, n, rng)], JITTER, rng),
            "half": lambda n, rng: self._of_classes(range(5), n, rng),
            "dominated": self._dominated,
            "smear": lambda n, rng: (self._of_classes(range(5), n, rng) + self._of_classes(range(5, 10), n, rng)) / 2,
            "shifted": lambda n, rng: self._moved(self._real(n, rng)),
            "speckled": lambda n, rng: self._speckled(self._real(n, rng), rng),
            "speckled_means": lambda n, rng: self._speckled(self._means(n, rng), rng),
            "blurred": lambda n, rng: self._blurred(self._real(n, rng)),
            "mean_images": lambda n, rng: _noisy(self._means(n, rng), JITTER, rng),
            "memorised": self._memorised,
            "augmented": lambda n, rng: _noisy(self._memorised(n, rng), FAINT, rng),
            "heavy_tail": self._heavy_tail,
        }
        for name, contrast in CONTRAST.items():
            made[name] = lambda n, rng, contrast=contrast: self.mean + contrast * (self._real(n, rng) - self.mean)
        return {name: _as_samples(make) for name, make in made.items()}

    def _real(self, n: int, rng: torch.Generator) -> Tensor:
        return _some(self.pool, n, rng)

    def _memorised(self, n: int, rng: torch.Generator) -> Tensor:
        """Images that were learned; some come twice where there are fewer than asked for."""
        return self.data.train[integers(len(self.data.train), n, rng)].float()

    def _of_classes(self, classes: range, n: int, rng: torch.Generator) -> Tensor:
        """Images of some classes alone; some come twice where there are fewer than asked for."""
        images = self.pool[torch.isin(self.labels, torch.tensor(list(classes)))]
        return _some(images, n, rng) if n <= len(images) else images[integers(len(images), n, rng)]

    def _dominated(self, n: int, rng: torch.Generator) -> Tensor:
        """All in the first class, and one image in each other."""
        others = [self._of_classes(range(label, label + 1), 1, rng) for label in range(1, 10)]
        return torch.cat([self._of_classes(range(1), n - len(others), rng), *others])

    def _means(self, n: int, rng: torch.Generator) -> Tensor:
        return self.class_means[integers(10, n, rng)]

    def _moved(self, images: Tensor) -> Tensor:
        """Moved to the right and down by an eighth of the side."""
        side, by = self.target.side, self.target.side // 8
        moved = torch.zeros(len(images), side, side)
        moved[:, by:, by:] = images.view(-1, side, side)[:, : side - by, : side - by]
        return moved.flatten(1)

    def _blurred(self, images: Tensor) -> Tensor:
        side = self.target.side
        width = 2 * (side // 8) + 1
        return gaussian_blur(images.view(-1, 1, side, side), [width, width], [side / 14] * 2).flatten(1)

    def _speckled(self, images: Tensor, rng: torch.Generator) -> Tensor:
        where = torch.rand(images.shape, generator=rng) < SPECKLES
        return torch.where(where, 255.0 * integers(2, images.numel(), rng).view(images.shape), images)

    def _heavy_tail(self, n: int, rng: torch.Generator) -> Tensor:
        images = self._real(n, rng)
        wild = torch.rand(n, 1, generator=rng) < HEAVY
        return torch.where(wild, 255 * torch.rand(images.shape, generator=rng), images)


def _some(images: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Return n of the images, none twice."""
    return images[torch.randperm(len(images), generator=rng)[:n]]


def _noisy(images: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    return images + deviation * torch.randn(images.shape, generator=rng)


def _as_samples(make: Pixels) -> Generator:
    return lambda n, rng: make(n, rng).round().clamp(0, 255).to(torch.uint8).contiguous()
