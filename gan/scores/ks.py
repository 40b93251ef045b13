"""The Kolmogorov-Smirnov statistic against an exact distribution function."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gan.scores.coverage import Distribution


def ks_statistic(samples: NDArray[np.float64], cdf: Distribution) -> float:
    """Largest distance between the samples' distribution function and the target's (Kolmogorov, 1933).

    Args:
        samples: [n], finite.
        cdf: The target's distribution function.

    Returns:
        D_n = sup |F_n(x) - F(x)|, in [0, 1]. The statistic and not its p-value: at n = 10,000 the p-value
        rejects every generator.
    """
    return float(cast("Any", stats.ks_1samp)(samples, cdf, method="asymp").statistic)


def ks_floor(n: int) -> float:
    """What n true samples score on average: sqrt(pi / 2) ln 2 / sqrt(n) = 0.8687 / sqrt(n).

    The mean of Kolmogorov's limiting distribution (Marsaglia, Tsang and Wang, 2003, section 1).
    """
    return math.sqrt(math.pi / 2) * math.log(2) / math.sqrt(n)
