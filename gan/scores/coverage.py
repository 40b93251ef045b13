"""How much of a target the samples reach: bins of the real line, modes of a mixture, classes of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Distribution = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""An exact distribution function, elementwise."""

BINS: Final = 100
"""Bins of equal probability on the real line."""

COVERED: Final = 0.1
"""A bin or an image class counts as covered when it holds this share of what real data would put there."""

HIGH_QUALITY_STDS: Final = 3.0
"""A sample of a mixture is of high quality within so many standard deviations of its nearest mode."""


@dataclass(frozen=True)
class ModeCoverage:
    """Modes, or classes, that samples reach.

    Attributes:
        modes: How many are captured.
        hq_share: Share of all samples that are of high quality, in [0, 1].
        mode_kl: KL(histogram of the high-quality samples || real shares) in nats; with no such sample its
            largest possible value, ln(1 / smallest real share).
    """

    modes: int
    hq_share: float
    mode_kl: float

    def scores(self) -> dict[str, float]:
        """The three as scores by name."""
        return {"modes": float(self.modes), "hq_share": self.hq_share, "mode_kl": self.mode_kl}


def bin_coverage(samples: NDArray[np.float64], cdf: Distribution) -> float:
    """Share of 100 bins, of equal probability under the target, that hold a tenth of their expected count.

    Args:
        samples: [n], finite.
        cdf: The target's distribution function: bin i is where it lies in [i / 100, (i + 1) / 100).
    """
    bins = np.minimum((cdf(samples) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    return float(np.mean(counts >= COVERED * len(samples) / BINS))


def mixture_coverage(samples: NDArray[np.float64], centres: NDArray[np.float64], std: float) -> ModeCoverage:
    """Modes of a one-dimensional mixture that samples capture.

    High quality: within 3 standard deviations of the nearest mode. Captured: at least one high-quality sample
    (Srivastava et al., 2017, VEEGAN, section 4.1; Lin et al., 2018, PacGAN, section 4.1).

    Args:
        samples: [n], finite.
        centres: [K], where the modes stand.
        std: Standard deviation of each mode.
    """
    distances = np.abs(samples[:, None] - centres[None, :])
    nearest = distances.argmin(axis=1)
    high_quality = distances[np.arange(len(samples)), nearest] <= HIGH_QUALITY_STDS * std
    counts = np.bincount(nearest[high_quality], minlength=len(centres))
    shares = np.full(len(centres), 1 / len(centres))
    return ModeCoverage(int(np.sum(counts > 0)), float(high_quality.mean()), _kl(counts, shares))


def class_coverage(
    classes: NDArray[np.int64], high_quality: NDArray[np.bool_], real_shares: NDArray[np.float64]
) -> ModeCoverage:
    """Image classes that samples cover.

    A classifier names a class for noise too, so only high-quality samples count. A class is covered when
    these reach a tenth of its real share of all samples.

    Args:
        classes: [n], the class the classifier names for each sample.
        high_quality: [n], whether each sample is close enough to a real image.
        real_shares: [K], shares of the classes among real images; positive, summing to 1.
    """
    counts = np.bincount(classes[high_quality], minlength=len(real_shares))
    covered = counts >= COVERED * real_shares * len(classes)
    return ModeCoverage(int(covered.sum()), float(high_quality.mean()), _kl(counts, real_shares))


def perfect_mixture(modes: int, n: int) -> ModeCoverage:
    """What n samples of the mixture itself score on average: the floor.

    A share of erf(3 / sqrt 2) = 99.73 % lies within 3 standard deviations; a histogram of n draws over K
    equal cells has a mean KL of (K - 1) / (2 n) to first order (Miller, 1955).
    """
    return ModeCoverage(modes, math.erf(HIGH_QUALITY_STDS / math.sqrt(2)), (modes - 1) / (2 * n))


def _kl(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> float:
    if counts.sum() == 0:
        return float(np.log(1 / shares.min()))
    found = counts / counts.sum()
    present = found > 0
    return float(np.sum(found[present] * np.log(found[present] / shares[present])))
