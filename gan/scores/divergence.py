"""How far a generator on the real line is from its target, and a discriminator from the best one against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gan.scores.contract import Density

Floats = NDArray[np.float64]

EDGES: Final = 100
"""Quantiles of the target, and as many of the samples, between which the Jensen-Shannon divergence counts."""

POINTS: Final = 100
"""Quantiles of the target, and as many of the samples, at which two discriminators are compared."""

KERNEL_SAMPLES: Final = 4_000
"""Samples that a generator's density is estimated from where it is not known."""


def jensen_shannon(samples: Floats, target: Density) -> float:
    """Jensen-Shannon divergence between samples and an exact target, in nats (Lin 1991, eq. 3.5).

    JSD = KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2, over intervals between quantiles of both: p is exact,
    q counts samples. Merging points into intervals can only lower it (data processing), by a hundredth where the
    two are far apart; noise in the counts raises it: its floor says by how much.

    Args:
        samples: [n], finite.
        target: The exact distribution.

    Returns:
        In [0, log 2].
    """
    levels = np.arange(1, EDGES) / EDGES
    edges = np.unique(np.concatenate([target.quantile(levels), np.quantile(samples, levels)]))
    p = np.diff(np.concatenate([[0.0], target.cdf(edges), [1.0]]))
    counts = np.bincount(np.searchsorted(edges, samples, side="right"), minlength=len(edges) + 1)
    q = counts / len(samples)
    middle = (p + q) / 2
    return float((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)


def optimal_discriminator_gap(
    samples: Floats, target: Density, discriminator: Callable[[Floats], Floats], known: Density | None = None
) -> float:
    """Mean distance |D - D*| from the optimal D* = p / (p + p_g) (Goodfellow et al. 2014, proposition 1).

    The mean is over real and generated points alike, at 100 quantiles of each.

    Args:
        samples: Generated ones, [n], finite.
        target: p, the exact distribution.
        discriminator: D, from points [m] to probabilities [m].
        known: p_g, where it is known exactly; elsewhere a Gaussian kernel's estimate (Scott 1992).

    Returns:
        In [0, 1].
    """
    levels = (np.arange(POINTS) + 0.5) / POINTS
    generated = np.quantile(samples, levels) if known is None else known.quantile(levels)
    points = np.concatenate([target.quantile(levels), generated])
    p, p_g = target.pdf(points), _density(samples) if known is None else known.pdf
    return float(np.abs(discriminator(points) - _ratio(p, p_g(points))).mean())


def _density(samples: Floats) -> Callable[[Floats], Floats]:
    some = samples[:KERNEL_SAMPLES]
    # A generator that makes one point has no density: infinite there, and nothing elsewhere.
    if np.ptp(some) <= 1e-9 * max(1.0, float(np.abs(some).max())):
        return lambda x: np.where(np.isclose(x, some[0]), np.inf, 0.0)
    return stats.gaussian_kde(some)


def _ratio(p: Floats, p_g: Floats) -> Floats:
    """Return p / (p + p_g); 1/2 where both have vanished."""
    total = p + p_g
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, np.where(np.isinf(p_g), 0.0, p / np.where(total > 0, total, 1.0)), 0.5)


def _relative_entropy(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())
