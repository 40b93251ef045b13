"""Scores of samples on the real line, whose target is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from gan.plugins.components import Score
from gan.scores import line_answers as answers
from gan.scores.contract import Reference, Samples, Split
from gan.scores.coverage import (
    COVERED,
    ModeCoverage,
    mixture_coverage,
    mode_scores,
    perfect_mixture,
)
from gan.scores.diversity import Spacing
from gan.targets import Mixture, RealLine

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SIZE: Final = 10_000
"""Samples that all scores but two of the end are taken on: a curve and its result are one protocol."""

FINAL_SIZE: Final = 100_000
"""Samples of the divergence and of the distance from the optimal discriminator at the end."""

CDF, DENSITY, MODES = (frozenset({"line", need}) for need in ("cdf", "density", "modes"))

BINS: Final = 100
"""Bins of equal probability."""

DRAWS: Final = 20
"""Sets of true samples that a measured floor is the mean of."""


def modes_of(target: RealLine) -> tuple[NDArray[np.float64], float]:
    """Return where the modes of a target stand, float64 [K], and the standard deviation of each; [] and NaN of none."""
    if "modes" not in target.provides:
        return np.empty(0), math.nan
    mixture = cast("Mixture", target)
    return mixture.centres, mixture.std


class LineReference(Reference):
    """A distribution on the real line: it has `cdf`, `pdf` and `quantile`, exact and elementwise.

    Attributes:
        centres: float64 [K], where the modes of a target stand that provides modes; of any other none.
        std: Standard deviation of each mode.

    Args:
        target: The distribution.
    """

    dimension = 1
    size = SIZE

    def __init__(self, target: RealLine) -> None:
        self.cdf, self.pdf, self.quantile, self._sample = target.cdf, target.pdf, target.quantile, target.sample
        self.centres, self.std = modes_of(target)
        self._spacings: dict[int, Spacing] = {}
        self._divergences: dict[int, float] = {}
        self._quantiles: dict[int, NDArray[np.float64]] = {}

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

    def spacing(self, n: int) -> Spacing:
        """Return the distances between neighbours among n true samples, over sets of them."""
        if n not in self._spacings:
            self._spacings[n] = Spacing.of(self.draw(n, seed).double().flatten().numpy() for seed in range(DRAWS))
        return self._spacings[n]

    def coverage(self, samples: Samples) -> ModeCoverage:
        """Return the modes that samples capture."""
        return mixture_coverage(samples.values, self.centres, self.std)

    def quantiles(self, n: int) -> NDArray[np.float64]:
        """Return the quantiles of the middles of n equal shares, float64 [n], ascending."""
        if n not in self._quantiles:
            self._quantiles[n] = np.asarray(self.quantile((np.arange(n) + 0.5) / n))
        return self._quantiles[n]

    def divergence_floor(self, n: int) -> float:
        """Return the mean estimate of the Jensen-Shannon divergence over sets of n true samples."""
        if n not in self._divergences:
            draws = (Samples(self.draw(n, seed)) for seed in range(DRAWS))
            self._divergences[n] = float(np.mean([divergence(samples, self) for samples in draws]))
        return self._divergences[n]

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


KS: Final = Score("ks", "KS statistic", "lower", ks, ks_floor, log=True, needs=CDF, known=answers.KS)


def bins_covered(samples: Samples, reference: LineReference) -> float:
    """Share of 100 bins, of equal probability under the target, that hold a tenth of their expected count.

    Bin i is where the target's distribution function lies in [i / 100, (i + 1) / 100).
    """
    bins = np.minimum((reference.cdf(samples.values) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    return float(np.mean(counts >= COVERED * len(samples) / BINS))


# Of the 100 true samples that are expected in a bin there are never fewer than ten. How good samples are it does not
# say: a smear covers every bin.
BINS_COVERED: Final = Score(
    "bins_covered",
    "Share of 100 bins covered",
    "higher",
    bins_covered,
    floor=lambda *_: 1.0,
    needs=CDF,
    covers=True,
    known=answers.BINS,
)


def divergence(samples: Samples, reference: LineReference) -> float:
    """The Jensen-Shannon divergence from the target, in nats: see `gan.scores.divergence.jensen_shannon`."""
    from gan.scores.divergence import jensen_shannon

    return jensen_shannon(samples.values, reference)


def divergence_floor(reference: LineReference, n: int) -> float:
    """What n true samples score on average, over 20 sets of them."""
    return reference.divergence_floor(n)


_JSD: Final = Score(
    "jsd",
    "JS divergence",
    "lower",
    divergence,
    divergence_floor,
    log=True,
    needs=DENSITY,
    version=2,
    known=answers.DIVERGENCE,
)
JSD_100K: Final = replace(_JSD, name="jsd_100k", label="JS divergence at 100,000 samples", curve=False, size=FINAL_SIZE)
JSD_10K: Final = replace(_JSD, name="jsd_10k", label="JS divergence at 10,000 samples", final=False)


def wasserstein(samples: Samples, reference: LineReference) -> float:
    """The Wasserstein-1 distance from the target, in the data's unit: the mean of |x_(i) - Q((i - 1/2) / n)|.

    On the line the distance is the area between the quantile functions (Vallender, 1974), and slices are one.
    """
    n = len(samples)
    return float(np.abs(np.sort(samples.values) - reference.quantiles(n)).mean())


WASSERSTEIN: Final = Score(
    "sliced_wasserstein", "Wasserstein-1 distance", "lower", wasserstein, log=True, needs=CDF, known=answers.EXACT
)


def diversity(samples: Samples, reference: LineReference) -> float:
    """Effective size of the set of samples over that of true samples: see `gan.scores.diversity`."""
    return reference.spacing(len(samples)).diversity(samples.values)


DIVERSITY: Final = Score(
    "diversity",
    "Diversity",
    None,
    diversity,
    log=True,
    needs=frozenset({"line"}),
    known=answers.DIVERSITY,
)


def discriminator_gap(samples: Samples, reference: LineReference) -> float | None:
    """Distance of D from the optimal one: see `gan.scores.divergence.optimal_discriminator_gap`.

    None where the generator's density is not known: an estimate's error would be measured as well.
    """
    from gan.scores.divergence import optimal_discriminator_gap

    discriminator, known = _discriminator(samples), samples.players.known
    return None if known is None else optimal_discriminator_gap(known, reference, discriminator)


def discriminator_excess(samples: Samples, reference: LineReference) -> float:
    """Excess cross entropy of D over the best one, in nats: see `gan.scores.divergence.excess_cross_entropy`.

    The divergence that is estimated from samples is too large by its floor, which is taken off.
    """
    from gan.scores.divergence import excess_cross_entropy

    n = len(samples)
    best = divergence(samples, reference) - reference.divergence_floor(n)
    return excess_cross_entropy(samples.values, reference.quantiles(n), _discriminator(samples), best)


def _discriminator(samples: Samples) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    discriminator = samples.players.discriminator
    assert discriminator is not None, "a score of the players is taken where they are given"
    return discriminator


_OF_PLAYERS: Final = Score(
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
D_GAP: Final = replace(_OF_PLAYERS, version=2)

# Of a trained pair it ranks nothing: a starved generator leaves D at its best.
D_EXCESS: Final = replace(
    _OF_PLAYERS,
    name="d_excess",
    label="excess cross entropy of D over the best",
    direction=None,
    measure=discriminator_excess,
    floor=lambda *_: 0.0,
    log=False,
    known=answers.EXCESS,
)


def scores(target: RealLine) -> tuple[Score, ...]:
    """The scores, the leading one first."""
    modes = mode_scores(
        f"Modes of {len(modes_of(target)[0])}", "KL of modes to uniform", MODES, answers.MODES, version=2
    )
    return KS, *modes, BINS_COVERED, DIVERSITY, WASSERSTEIN, JSD_100K, JSD_10K, D_GAP, D_EXCESS


def sizes(target: RealLine) -> tuple[int, int]:
    """Samples of an evaluation through training, and at the end."""
    return SIZE, FINAL_SIZE


def reference(target: RealLine, data_dir: Path, device: torch.device | str, split: Split) -> LineReference:
    """What scores may know of real data: the distribution. There is nothing to hold out."""
    return LineReference(target)
