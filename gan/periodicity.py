"""Is a curve periodic? A cycle is looked for against coloured noise about a line, at a stated rate of false alarms.

Nothing here imports torch.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEWEST: Final = 16  # points: four for each of the periods that a cycle must have
_PERIODS: Final = 2.5  # that a cycle must have between the first point and the last: less is a bend
_FINENESS: Final = 2  # frequencies looked at for each that n points can tell apart; more find little that is new
_TRIALS: Final = 2  # chances to be mistaken at each, which keeps the rate on simulated noise at or below the stated
_COLUMNS: Final = 5  # of the regression with a cycle: one, time, the value before, a cosine and a sine


class Cycle(NamedTuple):
    """The most likely cycle of a curve.

    Attributes:
        chance: How likely noise shows one as clear at any frequency.
        period: In steps.
        amplitude: Of its cosine through the second half of the points, in units of the curve.
        fades: That amplitude over the one through the first half.
    """

    chance: float
    period: float
    amplitude: float
    fades: float


def cycle_of(steps: Array, values: Array) -> Cycle | None:
    """Find the clearest cycle of a curve, and how likely noise is to show as clear a one.

    The null hypothesis is a line with AR(1) noise about it, of any correlation: x(t) = a + b t + r x(t-1) + noise, by
    least squares. Against it stands the same with a cosine and a sine of one frequency, of which each of the
    frequencies of a Lomb-Scargle periodogram is tried. A cosine that is filtered by an AR(1) remains a cosine of its
    frequency, so that both are ordinary regressions, and the noise's correlation is estimated with the cycle in place
    rather than blown up by it, as it is where a background is fitted first (Schulz and Mudelsee 2002). At one frequency
    the chance that noise explains a share R² of what is left is (1 - R²)^((n - 5) / 2), by the F distribution with 2
    degrees of freedom; of M independent ones the best has the chance 1 - (1 - p)^M
    (Scargle 1982).

    Args:
        steps: [n], ascending; at the same distance, but for points that are missing.
        values: [n], finite.

    Returns:
        None with fewer than 16 points, or where nothing varies.
    """
    n = len(values) - 1
    if n + 1 < _FEWEST or not np.ptp(values) > 1e-9 * np.abs(values).max():
        return None
    time = (steps - steps[0]) / (steps[-1] - steps[0])
    spacing = float(np.median(np.diff(time)))
    periods = np.arange(_PERIODS, 0.5 / spacing + 1e-9, 1 / _FINENESS)
    if not len(periods):
        return None
    scaled = (values - values.mean()) / values.std()
    plain = np.linalg.qr(np.column_stack([np.ones(n), time[1:], scaled[:-1]]))[0]

    angles = (2 * math.pi) * time[1:, None] * periods
    cosine, sine = np.cos(angles), np.sin(angles)
    rest = scaled[1:] - plain @ (plain.T @ scaled[1:])
    # Of each frequency the 2 x 2 normal equations of what the null hypothesis leaves of both, solved at once.
    c, s = plain.T @ cosine, plain.T @ sine
    cc, ss = _products(cosine, cosine) - _products(c, c), _products(sine, sine) - _products(s, s)
    cs, cy, sy = _products(cosine, sine) - _products(c, s), cosine.T @ rest, sine.T @ rest
    determinant = cc * ss - cs**2
    known = determinant > 1e-9 * cc * ss  # at the highest frequency the sine is 0 at every point
    explained = (ss * cy**2 - 2 * cs * cy * sy + cc * sy**2) / np.where(known, determinant, 1.0)
    share = np.where(known, explained, 0.0) / max(float(rest @ rest), 1e-300)
    best = int(np.argmax(share))
    one = max(1.0 - float(share[best]), 0.0) ** ((n - _COLUMNS) / 2)
    chance = -math.expm1(_TRIALS * len(periods) * math.log1p(-one)) if one < 1 else 1.0
    first, second = (_amplitude(time[half], values[half], periods[best]) for half in _halves(len(values)))
    period = float((steps[-1] - steps[0]) / periods[best])
    return Cycle(chance, period, second, second / first if first > 0 else math.inf)


def _products(a: Array, b: Array) -> Array:
    """Return the inner product of each pair of columns."""
    return np.einsum("ij,ij->j", a, b)


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n // 2), slice(n - n // 2, n)


def _amplitude(time: Array, values: Array, periods: float) -> float:
    """Return the amplitude of a cosine of a frequency, fitted with a line."""
    angle = 2 * math.pi * periods * time
    columns = np.column_stack([np.ones(len(time)), time, np.cos(angle), np.sin(angle)])
    found = np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(np.hypot(found[2], found[3]))
