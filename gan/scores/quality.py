"""When an image is good enough to count: near a real one in what it shows, and in how it looks.

The features of a classifier say what an image shows. They hardly see how: blurred class means, and such blobs with
speckles on them, lie among real images there. So an image must also be near a real one in a few statistics of its
pixels, its look: shares of dark, grey and bright pixels, edges, isolated pixels, and what the principal components of
real images leave of it. Legible images of a GAN are rougher than real ones, so the limit is halfway to class means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

REFERENCES: Final = 5_000
"""Real images that a sample may be close to: the first so many of train (digits: all of its 997)."""

PERCENTILE: Final = 97.5
"""Of held-out real images' distances to the nearest reference: a sample's features pass below it."""

COMPONENTS: Final = 50
"""Principal components of real images, or a third of the pixels."""

_ROWS: Final = 500


@dataclass(frozen=True)
class Look:
    """Statistics of an image's pixels, standardised over real images.

    Attributes:
        side: Pixels along an edge.
        mean_image: Of real images, [pixels], pixels in [0, 1].
        components: Their first principal components, [k, pixels], orthonormal.
        deviations: Standard deviation along each, [k].
        centre: Mean of the statistics over real images, [11].
        scale: Their standard deviation, [11].
    """

    side: int
    mean_image: Tensor
    components: Tensor
    deviations: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def of(cls, images: Tensor, side: int) -> Look:
        """Take the statistics' scale from real images, uint8 [n, pixels]."""
        pixels = images.float() / 255
        mean = pixels.mean(dim=0)
        covariance = (pixels - mean).T @ (pixels - mean) / len(pixels)
        variances, vectors = torch.linalg.eigh(covariance)  # ascending
        k = min(COMPONENTS, len(mean) // 3)
        deviations = variances[-k:].clamp(min=1e-12).sqrt()
        raw = cls(side, mean, vectors[:, -k:].T.contiguous(), deviations, torch.zeros(()), torch.ones(()))
        statistics = raw.statistics(images)
        return cls(side, mean, raw.components, deviations, statistics.mean(dim=0), statistics.std(dim=0))

    @torch.inference_mode()
    def statistics(self, images: Tensor) -> Tensor:
        """Return the statistics of uint8 images [n, pixels]: float32 [n, 11]."""
        flat = images.float() / 255
        x = flat.view(-1, 1, self.side, self.side)
        framed = F.pad(x, (1, 1, 1, 1))
        neighbours = (
            framed[:, :, :-2, 1:-1],
            framed[:, :, 2:, 1:-1],
            framed[:, :, 1:-1, :-2],
            framed[:, :, 1:-1, 2:],
        )
        steps = torch.stack([(other - x).abs() for other in neighbours])
        curvature = (torch.stack(neighbours).mean(dim=0) - x).abs()
        maps = (
            x,
            x.square(),
            x < 0.1,  # dark
            (x > 0.25) & (x < 0.75),  # grey
            x > 0.9,  # bright
            steps[0],  # edges, from above and from the left
            steps[2],
            curvature,
            steps.amin(dim=0),  # unlike each of its neighbours
        )
        along = (flat - self.mean_image) @ self.components.T
        left = (flat - self.mean_image).square().sum(dim=1) - along.square().sum(dim=1)
        found = [values.float().flatten(1).mean(dim=1) for values in maps]
        found += [left.clamp(min=0).sqrt(), (along / self.deviations).square().mean(dim=1).sqrt()]
        return (torch.stack(found, dim=1) - self.centre) / self.scale


@dataclass(frozen=True)
class Quality:
    """Whether images are close to real ones in what they show and in how they look.

    Attributes:
        features: Features of the reference images: float32 [m, d].
        looks: Their statistics: float32 [m, 11].
        look: What measures the statistics of others.
        thresholds: Distances below which a sample passes, in each of the two.
    """

    features: Tensor
    looks: Tensor
    look: Look
    thresholds: tuple[float, float]

    @classmethod
    def of(
        cls, references: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], labels: Tensor, side: int
    ) -> Quality:
        """Set the thresholds.

        In features it is the 97.5th percentile of the held-out real images' distances to the references. In looks it
        is the geometric mean of that percentile and of the distance of the class mean that looks most real.

        Args:
            references: Images, uint8 [m, pixels], and their features [m, d].
            held_out: The same of n real images that neither the references nor the classifier saw.
            labels: Classes of the references, [m].
            side: Pixels along an edge.
        """
        images, look = references[0], Look.of(references[0], side)
        found = cls(references[1].float(), look.statistics(images), look, (0.0, 0.0))
        shown, looks = (float(np.percentile(distances, PERCENTILE)) for distances in found.distances(*held_out))
        means = torch.stack([images[labels == label].float().mean(dim=0) for label in labels.unique()])
        blob = float(nearest_distances(look.statistics(means), found.looks).min())
        return cls(found.features, found.looks, look, (shown, math.sqrt(looks * max(looks, blob))))

    def distances(self, images: Tensor, features: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distance of each image to the nearest reference, in features and in looks: float64 [n] each."""
        return nearest_distances(features, self.features), nearest_distances(self.look.statistics(images), self.looks)

    def judge(self, images: Tensor, features: Tensor) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return whether each image is of high quality, and whether it looks real, whatever it shows.

        Args:
            images: uint8 [n, pixels].
            features: [n, d].

        Returns:
            Two of bool [n].
        """
        shown, looks = self.distances(images, features)
        looks_real = looks < self.thresholds[1]
        return (shown < self.thresholds[0]) & looks_real, looks_real


def nearest_distances(features: Tensor, references: Tensor) -> NDArray[np.float64]:
    """Euclidean distance of each row of features [n, d] to the nearest of references [m, d]: float64 [n]."""
    return _nearest(features, references, 1)[:, 0]


def nearest_two(features: Tensor, references: Tensor) -> NDArray[np.float64]:
    """Euclidean distances of each row of features [n, d] to the two nearest of references [m, d]: float64 [n, 2]."""
    return _nearest(features, references, 2)


@torch.inference_mode()
def _nearest(features: Tensor, references: Tensor, k: int) -> NDArray[np.float64]:
    """Search in float32 by a matrix product: its cancellation matters only near zero, far below any threshold."""
    squares = references.square().sum(dim=1)
    found: list[Tensor] = []
    for part in features.to(references).split(_ROWS):
        # Less the part's own squares, which change no order.
        apart = torch.addmm(squares, part, references.T, alpha=-2)
        near = apart.amin(dim=1, keepdim=True) if k == 1 else apart.topk(k, dim=1, largest=False).values
        found.append((near + part.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt())
    return torch.cat(found).double().numpy()
