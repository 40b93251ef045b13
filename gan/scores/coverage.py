"""How much of a target the samples reach: modes of a mixture, classes of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gan.plugins.components import Known, Score
from gan.scores.contract import Samples

COVERED: Final = 0.1
"""A bin, a mode or an image class counts as covered when it holds this share of what real data would put there."""

HIGH_QUALITY_STDS: Final = 3.0
"""A sample of a mixture is of high quality within so many standard deviations of its nearest mode."""


@dataclass(frozen=True)
class ModeCoverage:
    """Modes, or classes, that samples reach.

    Attributes:
        modes: How many hold at least a tenth of their share of all samples, in samples of high quality.
        modes_any: How many hold at least one sample of high quality, as the literature counts.
        hq_share: Share of all samples that are of high quality, in [0, 1].
        mode_kl: KL(histogram of the high-quality samples || real shares) in nats; with no such sample its
            largest possible value, ln(1 / smallest real share).
        look_share: Share of all images that look real, whatever they show, in [0, 1]; NaN on the line.
    """

    modes: int
    modes_any: int
    hq_share: float
    mode_kl: float
    look_share: float = math.nan


def mixture_coverage(samples: NDArray[np.float64], centres: NDArray[np.float64], std: float) -> ModeCoverage:
    """Modes of a one-dimensional mixture that samples capture.

    High quality: within 3 standard deviations of the nearest mode. The literature counts a mode with one such sample
    (Srivastava et al., 2017, VEEGAN, section 4.1; Lin et al., 2018, PacGAN, section 4.1): `modes_any`.

    Args:
        samples: [n], finite.
        centres: [K], where the modes stand.
        std: Standard deviation of each mode.

    Raises:
        ValueError: No samples.
    """
    if not len(samples):
        raise ValueError("generated samples: 0; expected at least 1")
    distances = np.abs(samples[:, None] - centres[None, :])
    nearest = distances.argmin(axis=1)
    high_quality = distances[np.arange(len(samples)), nearest] <= HIGH_QUALITY_STDS * std
    counts = np.bincount(nearest[high_quality], minlength=len(centres))
    shares = np.full(len(centres), 1 / len(centres))
    return _coverage(counts, shares, high_quality)


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

    Raises:
        ValueError: No samples.
    """
    if not len(classes):
        raise ValueError("generated samples: 0; expected at least 1")
    return _coverage(np.bincount(classes[high_quality], minlength=len(real_shares)), real_shares, high_quality)


def _coverage(counts: NDArray[np.int64], shares: NDArray[np.float64], high_quality: NDArray[np.bool_]) -> ModeCoverage:
    """Return the coverage of samples: of high quality there are `counts` in each mode, [K]."""
    covered = counts >= COVERED * shares * len(high_quality)
    any_sample = counts > 0
    return ModeCoverage(int(covered.sum()), int(any_sample.sum()), float(high_quality.mean()), _kl(counts, shares))


def perfect_mixture(modes: int, n: int) -> ModeCoverage:
    """What n samples of the mixture itself score on average: the floor.

    A share of erf(3 / sqrt 2) = 99.73 % lies within 3 standard deviations; a histogram of n draws over K
    equal cells has a mean KL of (K - 1) / (2 n) to first order (Miller, 1955).
    """
    return ModeCoverage(modes, modes, math.erf(HIGH_QUALITY_STDS / math.sqrt(2)), (modes - 1) / (2 * n))


class CoverageReference(Protocol):
    """A reference that can say what samples cover."""

    def coverage(self, samples: Samples) -> ModeCoverage:
        """Return the modes, or classes, that samples reach."""
        ...

    def coverage_floor(self, n: int) -> ModeCoverage:
        """Return those that n real samples reach."""
        ...


def mode_scores(
    modes: str, mode_kl: str, needs: frozenset[str], known: Mapping[str, Mapping[str, Known]], *, version: int
) -> tuple[Score, ...]:
    """The scores of a coverage: ``modes``, ``modes_any``, ``hq_share`` and ``mode_kl``; of images ``look_share`` too.

    A mode that holds one sample is not covered for verdicts: noise does so. The last has no direction: it is of the
    samples of high quality alone, and a smear over all modes has a small one.

    Args:
        modes: What is counted, such as ``Modes of 8``.
        mode_kl: Label of the last.
        needs: What the target must provide: its family's reference is a `CoverageReference`.
        known: What each must give in the battery, by its name; those that are not there are not taken.
        version: Of the definition of high quality.
    """

    def score(name: str, label: str, direction: Literal["lower", "higher"] | None, **facts: Any) -> Score:
        def measure(samples: Samples, reference: CoverageReference) -> float:
            return getattr(samples.once(reference.coverage), name)

        def floor(reference: CoverageReference, n: int) -> float:
            return getattr(reference.coverage_floor(n), name)

        return Score(name, label, direction, measure, floor, needs=needs, known=known[name], version=version, **facts)

    scores = (
        score("modes", f"{modes} with a tenth of their share", "higher", covers=True),
        score("modes_any", f"{modes} with a sample", "higher"),
        score("hq_share", "High-quality share", "higher"),
        score("mode_kl", mode_kl, None, log=True),
    )
    return (*scores, score("look_share", "Share that looks real", "higher")) if "look_share" in known else scores


def _kl(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> float:
    if counts.sum() == 0:
        return float(np.log(1 / shares.min()))
    found = counts / counts.sum()
    present = found > 0
    return float(np.sum(found[present] * np.log(found[present] / shares[present])))
