"""One replica's trajectory, and what is measured on it: of its tail, its goal, its swings, what it covered.

Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Curves = Mapping[str, Sequence[tuple[int, float]]]
Goal = Mapping[str, tuple[float, str]]
Array = NDArray[np.float64]

_QUANTILES: Final = (0.05, 0.95)  # a swing's range leaves out a tenth of the points: single spikes
_FEWEST: Final = 8  # points in the tail, below which nothing is said of swings and trends: two for each of four turns
_SIZED: Final = re.compile(r"(.+_)\d+k?")  # a score named by its number of samples, such as fid_10k


class Trajectory:
    """One replica's curves and what is read from them.

    Args:
        curves: As `gan.verdict.judge` has them; so are `status`, `steps`, `goal` and `covers`.
        tail: Share of training, at its end, that is judged.
        half: Share of the full coverage at or below which the target is lost.
    """

    def __init__(
        self,
        curves: Curves,
        status: str,
        steps: int,
        goal: Goal,
        covers: Mapping[str, float],
        *,
        tail: float,
        half: float,
    ) -> None:
        self.curves, self.status, self.steps, self.goal, self.covers = curves, status, steps, goal, covers
        self.tail_starts, self._half = (1 - tail) * steps, half
        self.leading = next((name for name in goal if name not in covers), next(iter(goal), None))
        self.scores = {name: self.score(name) for name in {*goal, *covers}}
        value = self.points("value/discriminator")[1]
        # The largest: of a percentile, the noise of a critic that settled early would be the unit of that noise.
        self.peak = float(max(np.abs(value[~np.isnan(value)]), default=math.nan))
        # No cross entropy is below 0; the value of a Wasserstein critic is.
        self.critic = bool((value < 0).any())
        self.nat = self.peak / math.log(2) if self.critic else 1.0
        norms = self.points("gradient/generator")[1]
        self.gradient = float(max(norms[~np.isnan(norms)], default=math.nan))
        self.fixed = self.gradient == 0  # a generator that is never trained neither starves nor collapses
        self.tail_steps, self.tail_value = self.tail("value/discriminator")
        self.tail_size = median_of(np.abs(self.tail_value))
        # The whole goal counts where all its scores were taken.
        common = sorted(set[int].intersection(*(set(self.scores[name]) for name in goal))) if goal else []
        self.met = {s: all(_excess(self.scores[n][s], *goal[n]) <= 0 for n in goal) for s in common}
        self.met_at_end = next(reversed(self.met.values()), False)
        self.time_to_goal = next((step for step, met in self.met.items() if met), None)
        # By how much the leading score misses the goal, by step.
        leading = self.score(self.leading, mixed=False).items() if self.leading is not None else ()
        self.excess = {step: _excess(v, *goal[self.leading]) for step, v in leading if self.leading is not None}

    def points(self, metric: str) -> tuple[Array, Array]:
        """Return a curve's steps, ascending, and values."""
        points = np.array(self.curves.get(metric, ()), dtype=np.float64).reshape(-1, 2)
        points = points[np.argsort(points[:, 0], kind="stable")]
        return points[:, 0], points[:, 1]

    def tail(self, metric: str) -> tuple[Array, Array]:
        """Return a curve's steps and values in the tail, without NaN."""
        steps, values = self.points(metric)
        kept = (steps > self.tail_starts) & ~np.isnan(values)
        return steps[kept], values[kept]

    def median(self, metric: str) -> float:
        """Return a curve's median over the tail; without points NaN, which meets no threshold."""
        return median_of(self.tail(metric)[1])

    def score(self, name: str, mixed: bool = True) -> dict[int, float]:
        """Return a score by step, from its family where it has no points.

        Unless `mixed`, the one point of the end does not continue its family's curve: a score's bias depends on its
        number of samples, and the change from one to the other is no drift.
        """
        metrics = [f"score/{name}"]
        if sized := _SIZED.fullmatch(name):
            family = re.compile(rf"score/{re.escape(sized[1])}\d+k?")
            others = [m for m in self.curves if family.fullmatch(m) and m != metrics[0] and len(self.curves[m])]
            alone = not mixed and others and len(self.curves.get(metrics[0], ())) < 2
            metrics = others if alone else others + metrics
        found: dict[int, float] = {}
        for metric in metrics:
            steps, values = self.points(metric)
            found |= {int(s): v for s, v in zip(steps.tolist(), values.tolist(), strict=True) if math.isfinite(s)}
        return dict(sorted(found.items()))

    @cached_property
    def drift(self) -> float | None:
        """See `gan.verdict.Judgement`."""
        if self.time_to_goal is None:
            return None
        since = [e for s, e in self.excess.items() if s >= self.time_to_goal]
        drift = since[-1] - min((e for e in since if not math.isnan(e)), default=math.nan) if since else math.nan
        return drift if math.isfinite(drift) else None

    @cached_property
    def time_to_collapse(self) -> int | None:
        """See `gan.verdict.Judgement`."""
        found: list[int] = []
        for name, full in self.covers.items():
            score, half = self.scores[name], self._half * full
            last = max((s for s, v in score.items() if v > half), default=math.inf)
            found += [s for s in score if s > last][:1]
        return min(found, default=None)

    @cached_property
    def line(self) -> tuple[float, Array]:
        """The least-squares line through the tail of the value: its change over the tail, and what it leaves."""
        finite = np.isfinite(self.tail_value)
        steps, values = self.tail_steps[finite], self.tail_value[finite]
        if len(values) < _FEWEST:
            return math.nan, values[:0]
        x, y = steps - steps.mean(), values - values.mean()
        slope = float((x @ y) / max(float(x @ x), 1.0))
        return slope * float(steps[-1] - steps[0]), y - slope * x

    @cached_property
    def oscillation(self) -> float | None:
        """See `gan.verdict.Judgement`."""
        amplitude = half_range(self.line[1])
        return amplitude if math.isfinite(amplitude) else None


def _excess(value: float, threshold: float, direction: str) -> float:
    """By how much a score misses a threshold: NaN, which meets none, where it is not a number."""
    return threshold - value if direction == "higher" else value - threshold


def median_of(x: Array) -> float:
    """Return the median; NaN of nothing."""
    return float(np.median(x)) if len(x) else math.nan


def half_range(x: Array) -> float:
    """Return half the 5-95 % range; NaN of nothing."""
    low, high = np.quantile(x, _QUANTILES) if len(x) else (math.nan, math.nan)
    return float(high - low) / 2


def turns_of(x: Array) -> int:
    """Count how often a curve goes from the upper quarter of its 5-95 % range to the lower one, or back."""
    low, high = np.quantile(x, _QUANTILES)
    from_middle = x - (low + high) / 2
    return int(np.count_nonzero(np.diff(np.sign(from_middle[np.abs(from_middle) > (high - low) / 4]))))
