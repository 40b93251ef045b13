"""How far a generator on the real line is from its target, and a discriminator from the best one against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gan.scores.contract import Density

Floats = NDArray[np.float64]

EDGES: Final = 100
"""Quantiles of the target, and as many of the samples, between which the Jensen-Shannon divergence counts."""

POINTS: Final = 100
"""Quantiles of the target, and as many of the samples, at which two discriminators are compared."""

CLAMP: Final = 100.0
"""Largest cross entropy of a sample, as PyTorch clamps it."""


def jensen_shannon(samples: Floats, target: Density) -> float:
    """Jensen-Shannon divergence between samples and an exact target, in nats (Lin 1991, eq. 3.5).

    JSD = KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2, over intervals between quantiles of both: p is exact,
    q counts samples. Merging points into intervals can only lower it (data processing), by a hundredth where the
    two are far apart; noise in the counts raises it: its floor says by how much. A value that fills the interval
    between two quantiles of the samples is an interval by itself, in which the target has no mass.

    Args:
        samples: [n], finite.
        target: The exact distribution.

    Returns:
        In [0, log 2].
    """
    levels = np.arange(1, EDGES) / EDGES
    found = np.quantile(samples, levels)
    atoms = found[1:][np.diff(found) == 0]
    edges = np.unique(np.concatenate([target.quantile(levels), found, np.nextafter(atoms, np.inf)]))
    p = np.diff(np.concatenate([[0.0], target.cdf(edges), [1.0]]))
    counts = np.bincount(np.searchsorted(edges, samples, side="right"), minlength=len(edges) + 1)
    q = counts / len(samples)
    middle = (p + q) / 2
    return float((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)


def optimal_discriminator_gap(known: Density, target: Density, discriminator: Callable[[Floats], Floats]) -> float:
    """Mean distance |D - D*| from the optimal D* = p / (p + p_g) (Goodfellow et al. 2014, proposition 1).

    The mean is over real and generated points alike, at 100 quantiles of each.

    Args:
        known: p_g, the generator's exact distribution.
        target: p, the exact distribution of the data.
        discriminator: D, from points [m] to probabilities [m].

    Returns:
        In [0, 1].
    """
    levels = (np.arange(POINTS) + 0.5) / POINTS
    points = np.concatenate([target.quantile(levels), known.quantile(levels)])
    return float(np.abs(discriminator(points) - _ratio(target.pdf(points), known.pdf(points))).mean())


def excess_cross_entropy(
    samples: Floats, real: Floats, discriminator: Callable[[Floats], Floats], divergence: float
) -> float:
    """By how much D's cross entropy exceeds that of the optimal one, in nats, and without a density estimate.

    D's is -(E log D(x) + E log(1 - D(G(z)))) / 2, the optimal one's log 2 - JSD(p, p_g) (Goodfellow et al. 2014,
    theorem 1).

    Args:
        samples: Generated ones, [n], finite.
        real: Points of the data, [m].
        discriminator: D, from points [k] to probabilities [k].
        divergence: JSD(p, p_g), an estimate without bias.

    Returns:
        At least 0 but for the noise of the estimates.
    """
    with np.errstate(divide="ignore"):
        on_real = np.minimum(-np.log(discriminator(real)), CLAMP).mean()
        on_fake = np.minimum(-np.log1p(-discriminator(samples)), CLAMP).mean()
    return float((on_real + on_fake) / 2 - (np.log(2) - divergence))


def _ratio(p: Floats, p_g: Floats) -> Floats:
    """Return p / (p + p_g); 1/2 where both have vanished."""
    total = p + p_g
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, np.where(np.isinf(p_g), 0.0, p / np.where(total > 0, total, 1.0)), 0.5)


def _relative_entropy(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())
