"""Statistics of repeated training runs: pure functions over arrays, in which a failed run always counts.

Those of paired runs are in `reports.stats.paired`, shares of runs in `reports.stats.rates`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from reports.stats.delta_method import MANY, improvement_limits, iqm_limits
from reports.stats.iqm import interquartile_mean, interquartile_mean_of_clusters

QUARTILES = (0.25, 0.5, 0.75)
CONFIDENCE = 0.95
RESAMPLES = 2000
HELD = 4_000_000  # runs of resamples that are in memory at once


class Interval(NamedTuple):
    """An estimate with its confidence limits, in the estimate's units."""

    estimate: float
    low: float
    high: float
    method: str  # "BCa", "percentile", "normal", or "none": without repetition no interval, and the limits are NaN

    @classmethod
    def alone(cls, estimate: float = math.nan) -> Interval:
        """An estimate without an interval."""
        return cls(estimate, math.nan, math.nan, "none")

    def exp(self) -> Interval:
        """The ratio that an interval of a logarithm is of; infinite beyond the largest float."""
        with np.errstate(over="ignore"):
            estimate, low, high = np.exp(self[:3]).tolist()
        return Interval(estimate, low, high, self.method)


def interval_kind(intervals: Iterable[Interval]) -> str:
    """What a caption calls intervals: "bootstrap", or "normal" where there are thousands of runs."""
    return "normal" if any(interval.method == "normal" for interval in intervals) else "bootstrap"


class Survival(NamedTuple):
    """The share of runs still without an event after each time, with its limits; every field of shape [times]."""

    times: NDArray[np.float64]
    probability: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def worst_of(direction: str) -> float:
    """The value a failed run stands for: +inf where lower is better, -inf where higher is."""
    return np.inf if direction == "lower" else -np.inf


def ranked_quantiles(
    values: ArrayLike, probabilities: Sequence[float] = QUARTILES, direction: str = "lower"
) -> NDArray[np.float64]:
    """Quantiles over runs, with every failed run ranked last instead of dropped.

    Dropping failures makes an unstable method look better the more often it fails. Order statistics
    need no number for a failure, only its rank, so they stay defined until the failures reach them.
    Between order statistics the interpolation is linear (Hyndman and Fan 1996, definition 7, numpy's
    default), so on finite values the result is ``numpy.quantile``'s.

    Args:
        values: One score a run, shape [runs]; NaN marks a failed run. Infinities count as failed too.
        probabilities: Levels in [0, 1].
        direction: "lower" or "higher": which end is good.

    Returns:
        Shape [len(probabilities)], ascending in the score's own units; an infinity where the quantile
        touches a failed run; NaN where there are no runs at all.
    """
    runs = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return _column_quantiles(runs, np.array([len(runs)]), probabilities, direction)[:, 0]


def _column_quantiles(
    runs: NDArray[np.float64], counts: NDArray[np.int64], probabilities: Sequence[float], direction: str
) -> NDArray[np.float64]:
    """`ranked_quantiles` of the first `counts` runs of each column once it is sorted, shape [probabilities, columns].

    Args:
        runs: Shape [runs, columns]; what is not finite has failed.
        counts: Of the runs that count, shape [columns].
        probabilities: Levels in [0, 1].
        direction: As for `ranked_quantiles`.
    """
    quantiles = np.full((len(probabilities), runs.shape[1]), np.nan)
    if not len(runs):
        return quantiles
    ordered = np.sort(np.where(np.isfinite(runs), runs, worst_of(direction)), axis=0)
    columns, last = np.arange(runs.shape[1]), np.maximum(counts - 1, 0)
    for found, probability in zip(quantiles, probabilities, strict=True):
        position = probability * last
        place = np.floor(position).astype(int)
        weight = position - place
        below, above = ordered[place, columns], ordered[np.minimum(place + 1, last), columns]
        # A weight of 1e-16 is rounding in the position, not a share of the next run.
        with np.errstate(invalid="ignore"):  # inf - inf: decided below
            between = below + weight * (above - below)
        between = np.where(np.isinf(below) | np.isinf(above), worst_of(direction), between)
        between = np.where(1 - weight < 1e-12, above, between)
        found[:] = np.where((weight < 1e-12) | (below == above), below, between)
    return np.where(counts > 0, quantiles, np.nan)


def better(one: float, other: float, direction: str = "lower") -> bool:
    """Whether the first score beats the second; NaN beats nothing."""
    return one < other if direction == "lower" else one > other


def passes(values: ArrayLike, threshold: float, direction: str = "lower") -> NDArray[np.bool_]:
    """Which runs reached a threshold: at or beyond it on the good side. A failed run (NaN) has not.

    Args:
        values: One score a run, shape [runs].
        threshold: In the score's own units.
        direction: "lower" or "higher".

    Returns:
        Shape [runs].
    """
    runs = np.asarray(values, dtype=np.float64)
    good = runs <= threshold if direction == "lower" else runs >= threshold
    return good & np.isfinite(runs)


def bands(
    curves: ArrayLike, direction: str | None = None, probabilities: Sequence[float] = QUARTILES
) -> NDArray[np.float64]:
    """Quantiles over runs at each step of a curve.

    Args:
        curves: Shape [runs, steps], NaN where a run had already stopped.
        direction: Given, a stopped run ranks last (scores). None, the quantiles are over the runs still
            training: a loss has no bad end to rank a stopped run at.
        probabilities: Levels in [0, 1].

    Returns:
        Shape [len(probabilities), steps]; infinite where the quantile falls on a stopped run, NaN where no
        run is left.
    """
    runs = np.asarray(curves, dtype=np.float64)
    if direction is not None:
        return _column_quantiles(runs, np.full(runs.shape[1], len(runs)), probabilities, direction)
    # Those that stopped are sorted to the end of each column, and not counted.
    return _column_quantiles(runs, np.isfinite(runs).sum(axis=0), probabilities, "lower")


def _ranked(values: ArrayLike, direction: str | None) -> NDArray[np.float64]:
    """Sorted values, shape [runs]: failed ones worst; without a direction, NaN is 0 and infinities keep their sign."""
    runs = np.asarray(values, dtype=np.float64).ravel()
    if direction is None:
        return np.sort(np.where(np.isnan(runs), 0.0, runs))
    return np.sort(np.where(np.isfinite(runs), runs, worst_of(direction)))


def iqm(values: ArrayLike, direction: str | None = "lower") -> float:
    """Interquartile mean over runs, every failed run ranked last (Agarwal et al. 2021, section 4.3).

    The mean without the best and the worst quarter of runs: less swayed by outliers than the mean, and it
    varies less from study to study than the median. A quarter is rounded down, as in ``scipy.stats.trim_mean``:
    of 10 runs the middle 6 count, and of fewer than 4 all of them.

    Args:
        values: One score a run, shape [runs]; NaN or an infinity marks a failed run.
        direction: "lower" or "higher": which end is good. None for differences of two scores: an infinity
            keeps its sign (one side failed), and NaN (both sides failed) counts as 0.

    Returns:
        The mean; infinite where a failed run reaches the middle half; NaN without runs, or where differences
        of both infinite signs reach the middle half.
    """
    runs = _ranked(values, direction)
    return float(interquartile_mean(runs)) if runs.size else math.nan


def iqm_interval(
    strata: Sequence[ArrayLike],
    direction: str | None = "lower",
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clustered: bool = False,
) -> Interval:
    """Interquartile mean over all runs, with a stratified bootstrap interval (Agarwal et al. 2021, section 4.1).

    Runs are resampled within their stratum, or whole clusters of runs (Davison and Hinkley 1997, sections 3.2 and
    3.8): runs that share a seed are no independent ones, and only seeds can be drawn again. The interval is the
    bias-corrected and accelerated one (Efron 1987). Where that is undefined, for constant scores or with failed
    runs, it is the percentile interval, its limits rounded outwards to a resample; a resample whose middle half
    holds both infinities then counts as -inf for the lower limit and +inf for the upper. `reports.stats.coverage`
    measures how often the interval contains the truth. Of more than `MANY` runs, or clusters, it is the normal
    interval that the bootstrap comes to, unless failed runs are near the middle half.

    Args:
        strata: The scores of each stratum (a variant, say), each of shape [runs of it]. A stratum of one run
            cannot be resampled, so where there is one beside larger ones, all runs are resampled as one stratum;
            where there are only such, nothing was repeated, and there is no interval.
        direction: As for `iqm`.
        confidence: Two-sided level.
        resamples: How many.
        seed: Of the resampling. The order of runs in a stratum does not matter.
        clustered: The strata are clusters, the runs of one seed each: two of them are needed for an interval.
    """
    samples = [sample for sample in (_ranked(stratum, direction) for stratum in strata) if sample.size]
    runs = np.sort(np.concatenate(samples)) if samples else np.empty(0)
    estimate = iqm(runs, direction)
    if clustered and max((sample.size for sample in samples), default=0) == 1:
        samples, clustered = [runs], False  # a run a seed: nothing is shared
    sizes, statistic = [sample.size for sample in samples], interquartile_mean
    if runs.size < 2 or (len(samples) if clustered else max(sizes)) < 2:
        return Interval.alone(estimate)
    if not clustered and min(sizes) < 2:
        samples = [runs]
    many = (len(samples) if clustered else runs.size) > MANY
    if many and (limits := iqm_limits(samples, estimate, confidence, clustered=clustered)):
        return Interval(estimate, *limits, "normal")
    if clustered:
        samples, statistic = [np.arange(len(samples))], interquartile_mean_of_clusters(samples)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # What scipy warns of here (no acceleration, infinite resamples) is decided below.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        rng = np.random.default_rng(seed)
        result = stats.bootstrap(
            samples,
            statistic,
            n_resamples=resamples,
            batch=max(1, HELD // runs.size),
            confidence_level=confidence,
            method="percentile" if many else "BCa",
            rng=rng,
        )
    low, high = (float(limit) for limit in result.confidence_interval)
    if not many and np.isfinite(runs).all() and math.isfinite(low) and math.isfinite(high):
        return Interval(estimate, low, high, "BCa")
    return Interval(estimate, *percentile_limits(result.bootstrap_distribution, confidence), "percentile")


def percentile_limits(resampled: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Percentile limits rounded outwards, so that no infinity is ever interpolated; NaN widens both.

    Args:
        resampled: The statistic of each resample, shape [resamples].
        confidence: Two-sided level.
    """
    place = (1 - confidence) / 2 * (resampled.size - 1)
    low = np.sort(np.where(np.isnan(resampled), -np.inf, resampled))[math.floor(place)]
    high = np.sort(np.where(np.isnan(resampled), np.inf, resampled))[-1 - math.floor(place)]
    return float(low), float(high)


def probability_of_improvement(
    one: ArrayLike,
    other: ArrayLike,
    direction: str = "lower",
    *,
    paired: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Probability that a run of the first group beats one of the other, a tie counting one half.

    The Mann-Whitney statistic over the product of the group sizes, averaged over settings (Agarwal et al. 2021,
    section 4.3), with a 95 % percentile bootstrap interval, of no width where the groups do not overlap; of more than
    `MANY` runs with the normal one that this comes to. Runs of one seed are not compared with each other, in the
    estimate or in a resample: they are alike, and two runs of any seeds are not.

    Args:
        one: Scores of one group, shape [runs] or [runs, settings]: runs are compared within each setting only.
            NaN or an infinity marks a failed run, worse than any other and tied with any failed one.
        other: The same of the other group, with as many settings.
        direction: "lower" or "higher": which end is good.
        paired: Row i of both groups has the same seed, and is resampled with it; the only two rows there are, one a
            group, are compared all the same. Otherwise the groups are resampled apart (stratified).
        resamples: How many.
        seed: Of the resampling.

    Raises:
        ValueError: The groups are paired, and not of the same size.
    """
    x, y = (np.atleast_2d(np.asarray(group, dtype=np.float64).T).T for group in (one, other))
    if paired and len(x) != len(y):
        raise ValueError(f"paired groups need as many runs each; there are {len(x)} and {len(y)}")
    if not len(x) or not len(y):
        return Interval.alone()
    x, y = (np.where(np.isfinite(group), group, worst_of(direction)) for group in (x, y))
    if max(len(x), len(y)) > MANY and min(len(x), len(y)) > 1:
        return Interval(*improvement_limits(x, y, direction, CONFIDENCE, paired=paired), "normal")
    gap = np.zeros((len(x), len(y)))  # higher less lower, summed over settings: one at a time to save memory
    for a, b in zip(x.T, y.T, strict=True):
        gap += np.greater.outer(a, b).astype(float) - np.less.outer(a, b)
    wins = (1 + gap / x.shape[1] * (-1 if direction == "lower" else 1)) / 2
    if min(wins.shape) < 2:
        return Interval.alone(float(wins.mean()))
    compared = 1 - np.eye(len(x)) if paired else np.ones_like(wins)
    # A resample is how often it draws each run, so that each costs one product with the table of comparisons.
    rng = np.random.default_rng(seed)
    left, right = (rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n for n in wins.shape)
    right = left if paired else right
    won, held = (np.sum(left @ table * right, axis=1) for table in (wins * compared, compared))
    resampled = won[held > 0] / held[held > 0]  # one that draws a single seed compares nothing
    return Interval(float(np.average(wins, weights=compared)), *percentile_limits(resampled, CONFIDENCE), "percentile")


def survival(times: ArrayLike, observed: ArrayLike, confidence: float = CONFIDENCE) -> Survival:
    """Kaplan and Meier's (1958) estimate of the share of runs still without an event after each time.

    The limits are the exponential Greenwood ones (Kalbfleisch and Prentice 1980), pointwise. They are NaN where
    Greenwood's variance is undefined: before the first event, and where no run is left.

    Args:
        times: When each run had its event, or was last seen without it, shape [runs], in steps.
        observed: Whether it had it, shape [runs].
        confidence: Two-sided level.

    Returns:
        One entry for each distinct time, ascending.

    Raises:
        ValueError: A time is not finite, or the shapes differ.
    """
    ends, events = np.asarray(times, dtype=np.float64), np.asarray(observed, dtype=bool)
    if ends.shape != events.shape or ends.ndim != 1 or not np.isfinite(ends).all():
        raise ValueError(f"finite times [runs] with a flag each: got shapes {ends.shape} and {events.shape}")
    if not ends.size:
        return Survival(*(np.empty(0) for _ in Survival._fields))
    curve = stats.ecdf(stats.CensoredData(uncensored=ends[events], right=ends[~events])).sf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The confidence interval is undefined", category=RuntimeWarning)
        band = curve.confidence_interval(confidence, method="log-log")
    return Survival(curve.quantiles, curve.probabilities, band.low.probabilities, band.high.probabilities)
