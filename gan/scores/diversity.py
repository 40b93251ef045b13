"""Diversity: how large the set of samples is, beside real data of the same number.

It sees what quality and coverage do not: a bad image that comes again and again. Each sample's distance to the nearest
other one is about 1 / (n times the density there), so the geometric mean of these distances is, up to a constant, the
exponential of the entropy (Kozachenko and Leonenko, 1987): the volume that samples fill. Its ratio to that of as many
real samples is 1 for real data, 1/2 on the line for half of the target, and about 0 for anything that is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST: Final = 1e-3
"""Of the median distance among real data: smaller ones count as this, or two equal samples would make a diversity 0."""


@dataclass(frozen=True)
class Spacing:
    """Distances between neighbours among real samples.

    Attributes:
        smallest: Distance below which two samples are the same.
        log_mean: Mean logarithm of the distance from a real sample to its nearest other one.
    """

    smallest: float
    log_mean: float

    @classmethod
    def of(cls, draws: Iterable[Floats]) -> Spacing:
        """Measure sets of true samples on the line, each float64 [n]."""
        return cls.of_distances([neighbour_distances(values) for values in draws])

    @classmethod
    def of_distances(cls, distances: Iterable[Floats]) -> Spacing:
        """Take the distances from real samples to their nearest other ones, [n] for each set of n."""
        found = np.concatenate(list(distances))
        smallest = SMALLEST * float(np.median(found))
        return cls(smallest, _log_mean(found, smallest))

    def diversity(self, values: Floats) -> float:
        """Return the diversity of samples on the line, float64 [n]."""
        return self.diversity_of(neighbour_distances(values))

    def diversity_of(self, distances: Floats) -> float:
        """Return the diversity of samples by the distance of each to its nearest other one, [n]."""
        return math.exp(_log_mean(distances, self.smallest) - self.log_mean)


def neighbour_distances(values: Floats) -> Floats:
    """Return the distance from each number to its nearest other one, [n] in ascending order of the numbers.

    Raises:
        ValueError: Fewer than 2 numbers.
    """
    if len(values) < 2:
        raise ValueError(f"samples: {len(values)}; expected at least 2, which can be compared")
    gaps = np.concatenate([[np.inf], np.diff(np.sort(values)), [np.inf]])
    return np.minimum(gaps[:-1], gaps[1:])


def _log_mean(distances: Floats, smallest: float) -> float:
    return float(np.log(np.maximum(distances, smallest)).mean())
