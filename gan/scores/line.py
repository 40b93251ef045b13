"""Scores of samples on the real line, whose target is known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from gan.plugins.components import Score
from gan.scores.contract import Reference, Samples, Split
from gan.scores.coverage import COVERED, ModeCoverage, mixture_coverage, mode_scores, perfect_mixture
from gan.targets import Gaussian, Mixture

if TYPE_CHECKING:
    import torch

SIZE: Final = 10_000
"""Samples that all scores but two of the end are taken on: a curve and its result are one protocol."""

FINAL_SIZE: Final = 100_000
"""Samples of the divergence and of the distance from the optimal discriminator at the end."""

CDF, DENSITY, MODES = (frozenset({"line", need}) for need in ("cdf", "density", "modes"))

BINS: Final = 100
"""Bins of equal probability."""

DRAWS: Final = 4
"""Sets of true samples that a measured floor is the mean of: nobody knows what a plugin's measurement costs."""

DIVERGENCE_DRAWS: Final = 20
"""Sets of true samples that the floor of the divergence is the mean of."""


class LineReference(Reference):
    """A distribution on the real line: it has `cdf`, `pdf` and `quantile`, exact and elementwise.

    Attributes:
        centres: float64 [K], where the modes of a mixture stand; a Gaussian has one.
        std: Standard deviation of each.

    Args:
        target: The distribution.
    """

    dimension = 1
    size = SIZE

    def __init__(self, target: Gaussian | Mixture) -> None:
        self.cdf, self.pdf, self.quantile, self._sample = target.cdf, target.pdf, target.quantile, target.sample
        self.centres = target.centres if isinstance(target, Mixture) else np.array([target.mean])
        self.std = target.std

    def draw(self, n: int, seed: int) -> torch.Tensor:
        """Return n true samples, float32 [n, 1]."""
        import torch

        return self._sample((n,), torch.Generator().manual_seed(seed))

    def draws(self, n: int) -> Iterator[torch.Tensor]:
        """See `Reference.draws`."""
        return (self.draw(n, seed) for seed in range(DRAWS))

    @property
    def real(self) -> torch.Tensor:
        """A copy of 10,000 true samples, float32 [10000, 1]."""
        return self._real.clone()

    @cached_property
    def _real(self) -> torch.Tensor:
        return self.draw(SIZE, DRAWS)

    def coverage(self, samples: Samples) -> ModeCoverage:
        """Return the modes that samples capture."""
        return mixture_coverage(samples.values, self.centres, self.std)

    def coverage_floor(self, n: int) -> ModeCoverage:
        """Return the modes that n true samples capture on average."""
        return perfect_mixture(len(self.centres), n)


def ks(samples: Samples, reference: LineReference) -> float:
    """Largest distance between the samples' distribution function and the target's (Kolmogorov, 1933).

    D_n = sup |F_n(x) - F(x)|, in [0, 1]. The statistic and not its p-value: at n = 10,000 the p-value rejects every
    generator.
    """
    from scipy import stats

    return float(cast("Any", stats.ks_1samp)(samples.values, reference.cdf, method="asymp").statistic)


def ks_floor(reference: LineReference, n: int) -> float:
    """What n true samples score on average: sqrt(pi / 2) ln 2 / sqrt(n) = 0.8687 / sqrt(n).

    The mean of Kolmogorov's limiting distribution (Marsaglia, Tsang and Wang, 2003, section 1).
    """
    return math.sqrt(math.pi / 2) * math.log(2) / math.sqrt(n)


KS: Final = Score("ks", "KS statistic", "lower", ks, ks_floor, log=True, needs=CDF)


def bin_coverage(samples: Samples, reference: LineReference) -> float:
    """Share of 100 bins, of equal probability under the target, that hold a tenth of their expected count.

    Bin i is where the target's distribution function lies in [i / 100, (i + 1) / 100).
    """
    bins = np.minimum((reference.cdf(samples.values) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    return float(np.mean(counts >= COVERED * len(samples) / BINS))


# Of the 100 true samples that are expected in a bin there are never fewer than ten.
COVERAGE: Final = Score(
    "coverage", "Share of 100 bins covered", "higher", bin_coverage, floor=lambda *_: 1.0, needs=CDF
)


def divergence(samples: Samples, reference: LineReference) -> float:
    """The Jensen-Shannon divergence from the target, in nats: see `gan.scores.divergence.jensen_shannon`."""
    from gan.scores.divergence import jensen_shannon

    return jensen_shannon(samples.values, reference)


def divergence_floor(reference: LineReference, n: int) -> float:
    """What n true samples score on average, over 20 sets of them."""
    draws = (Samples(reference.draw(n, seed)) for seed in range(DIVERGENCE_DRAWS))
    return float(np.mean([divergence(samples, reference) for samples in draws]))


_JSD: Final = Score("jsd", "JS divergence", "lower", divergence, divergence_floor, log=True, needs=DENSITY)
JSD_100K: Final = replace(_JSD, name="jsd_100k", label="JS divergence at 100,000 samples", curve=False, size=FINAL_SIZE)
JSD_10K: Final = replace(_JSD, name="jsd_10k", label="JS divergence at 10,000 samples", final=False)


def discriminator_gap(samples: Samples, reference: LineReference) -> float:
    """Distance of D from the optimal one: see `gan.scores.divergence.optimal_discriminator_gap`."""
    from gan.scores.divergence import optimal_discriminator_gap

    discriminator = samples.players.discriminator
    assert discriminator is not None, "a score of the players is taken where they are given"
    return optimal_discriminator_gap(samples.values, reference, discriminator, samples.players.known)


D_GAP: Final = Score(
    "d_gap",
    "distance of D from the optimum",
    "lower",
    discriminator_gap,
    floor="none",
    log=True,
    needs=DENSITY,
    curve=False,
    size=FINAL_SIZE,
    players=True,
)


def scores(target: Gaussian | Mixture) -> tuple[Score, ...]:
    """The scores, the leading one first."""
    captured = f"Modes captured of {target.modes if isinstance(target, Mixture) else 1}"
    modes = mode_scores(captured, "KL of modes to uniform", MODES)
    return KS, *modes, COVERAGE, JSD_100K, JSD_10K, D_GAP


def sizes(target: Gaussian | Mixture) -> tuple[int, int]:
    """Samples of an evaluation through training, and at the end."""
    return SIZE, FINAL_SIZE


def reference(target: Gaussian | Mixture, data_dir: Path, device: torch.device | str, split: Split) -> LineReference:
    """What scores may know of real data: the distribution. There is nothing to hold out."""
    return LineReference(target)
