"""When is an image good enough to count? When it is as close to a real one as real ones are to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REFERENCES: Final = 5_000
"""Real images that a sample may be close to: the first so many of train (digits: all of its 997)."""

PERCENTILE: Final = 95.0
"""A sample is of high quality below this percentile of held-out real images' distances."""

_ROWS: Final = 500


@dataclass(frozen=True)
class Quality:
    """The quality threshold of a set of images.

    Attributes:
        references: Features of the reference images: float32 [m, d].
        threshold: Distance below which a sample is of high quality.
    """

    references: Tensor
    threshold: float

    @classmethod
    def of(cls, references: Tensor, held_out: Tensor) -> Quality:
        """Set the threshold: the 95th percentile of the held-out real images' distances to the references.

        Args:
            references: Features [m, d].
            held_out: Features [n, d] of real images that neither the references nor the classifier saw.
        """
        references = references.to(torch.float32)
        return cls(references, float(np.percentile(nearest_distances(held_out, references), PERCENTILE)))

    def judge(self, features: Tensor) -> NDArray[np.bool_]:
        """Whether each sample is of high quality: bool [n] for features [n, d]."""
        return nearest_distances(features, self.references) < self.threshold


@torch.inference_mode()
def nearest_distances(features: Tensor, references: Tensor) -> NDArray[np.float64]:
    """Euclidean distance of each row of features [n, d] to the nearest of references [m, d]: float64 [n].

    Searched in float32 by a matrix product: its cancellation matters only near zero, far below the threshold.
    """
    rows = features.to(references).split(_ROWS)
    return torch.cat([torch.cdist(part, references).amin(dim=1) for part in rows]).double().numpy()
