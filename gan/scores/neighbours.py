"""Scores by nearest neighbours: copies of training images, and the manifolds of real and generated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from gan.scores.quality import Look, nearest_two

NEIGHBOURS: Final = 5
"""The k of precision, recall, density and coverage (Naeem et al., 2020, section 4)."""

HELD_OUT_SHARE: Final = 0.01
"""Share of held-out images that count as copies: what none but copies exceeds."""


@dataclass(frozen=True)
class Manifold:
    """Shares of images within each other's manifolds: unions of balls to the fifth nearest neighbour.

    Attributes:
        precision: Of generated images within the manifold of real ones (Kynkäänniemi et al., 2019, equation 2).
        recall: Of real images within the manifold of generated ones (the same, equation 3).
        density: Real balls that a generated image lies in, over 5; 1 for real data on average (Naeem et al., 2020,
            equation 4).
        manifold_coverage: Of real images that have a generated one in their ball (the same, equation 5).
    """

    precision: float
    recall: float
    density: float
    manifold_coverage: float


@torch.inference_mode()
def manifold(generated: Tensor, real: Tensor) -> Manifold:
    """Compare the manifolds of features.

    Args:
        generated: [n, d].
        real: [m, d].

    Raises:
        ValueError: Too few of either.
    """
    for side, features in (("generated", generated), ("real", real)):
        if len(features) <= NEIGHBOURS:
            raise ValueError(f"{side} features: {len(features)} rows; expected at least {NEIGHBOURS + 1}")
    x, y = generated.float(), real.float()
    found = prc_features_to_metric(x, y, prc_neighborhood=NEIGHBOURS, verbose=False)
    radii = torch.cdist(y, y).kthvalue(NEIGHBOURS + 1, dim=1).values
    inside = torch.cdist(y, x) <= radii[:, None]
    density = float(inside.float().sum(dim=0).mean()) / NEIGHBOURS
    covered = float(inside.any(dim=1).float().mean())
    return Manifold(found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL], density, covered)


def own_distances(images: Tensor) -> NDArray[np.float64]:
    """Return the distance of each image to its nearest other one, in pixels of [0, 1]: float64 [n].

    Args:
        images: uint8 [n, pixels].

    Raises:
        ValueError: Fewer than 2 images.
    """
    if len(images) < 2:
        raise ValueError(f"generated samples: {len(images)}; expected at least 2, which can be compared")
    pixels = images.float() / 255
    found = torch.cdist(pixels, pixels).fill_diagonal_(torch.inf)
    return found.amin(dim=1).double().numpy()


@dataclass(frozen=True)
class Copies:
    """What tells a copy of a training image: that it is far nearer to one than to all others.

    The distance to the nearest training image alone takes a blurred image for a copy, as it is near to many. Over the
    distance to the second nearest it is small for copies only.

    Attributes:
        look: Whose principal components of the training images the distances are taken in.
        training: Training images along them, [m, k].
        threshold: Ratio of the two distances below which one in a hundred of held-out images lies.
    """

    look: Look
    training: Tensor
    threshold: float

    @classmethod
    def of(cls, training: Tensor, held_out: Tensor, side: int) -> Copies:
        """Set the threshold by held-out images; both are uint8 [n, pixels]."""
        look = Look.of(training[:5_000], side)
        found = cls(look, _along(look, training), 0.0)
        return cls(look, found.training, float(np.quantile(found.ratios(held_out), HELD_OUT_SHARE)))

    def ratios(self, images: Tensor) -> NDArray[np.float64]:
        """Return the distance to the nearest training image over that to the second nearest: float64 [n]."""
        first, second = nearest_two(_along(self.look, images), self.training).T
        return first / np.maximum(second, 1e-12)

    def share(self, images: Tensor) -> float:
        """Return the share of images that are copies; a hundredth of held-out ones are."""
        return float((self.ratios(images) <= self.threshold).mean())


def _along(look: Look, images: Tensor) -> Tensor:
    return (images.float() / 255 - look.mean_image) @ look.components.T
