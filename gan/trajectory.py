"""One replica's trajectory, and what is measured on it: of its tail, its goal, its swings, what it covered.

Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan.periodicity import Cycle, cycle_of

if TYPE_CHECKING:
    from gan.plugins.components import Loss

Curves = Mapping[str, Sequence[tuple[int, float]]]
Goal = Mapping[str, tuple[float, str]]
Array = NDArray[np.float64]

DIVERSITY: Final = "diversity"  # the score of how different samples are, as a share of real data's
_QUANTILES: Final = (0.05, 0.95)  # a swing's range leaves out a tenth of the points: single spikes
_FEWEST: Final = 8  # points in the tail, below which nothing is said of swings and trends: two for each of four turns
_MANY: Final = 100  # points in the tail, from which on a cycle of three periods shows there well enough
_END: Final = 0.15  # share of training, at its end, within which no evaluation may show what is called lost
_SIZED: Final = re.compile(r"(.+_)\d+k?")  # a score named by its number of samples, such as fid_10k


class Spread(NamedTuple):
    """How much of the target samples spread over, by one score, through training.

    Attributes:
        score: Its name.
        full: What covering everything scores.
        best: The most it ever scored.
        end: The most it scored at the end: in the last 15 % of training, and at the last two evaluations where both are
            in the tail, for one evaluation that misses a mode or two is chance.
        never: It never covered more than little at two of three evaluations in a row.
        lost_at: Evaluated step from which on it covered little, and much less than at its best, when it had covered
            more; None: it did not.
    """

    score: str
    full: float
    best: float
    end: float
    never: bool
    lost_at: int | None


class Trajectory:
    """One replica's curves and what is read from them.

    Args:
        curves: As `gan.verdict.judge` has them; so are `status`, `steps`, `goal`, `covers`, `noise` and `loss`.
        tail: Share of training, at its end, that is judged.
        covered: Share of the full score of coverage, at or below which little is covered.
        diverse: The same of diversity.
        lost: Share of a score's best, at or below which what was covered is lost.
        legible: Least hq_share, at the end, at which counts of what is covered say anything, where it is scored.
    """

    def __init__(
        self,
        curves: Curves,
        status: str,
        steps: int,
        goal: Goal,
        covers: Mapping[str, float],
        noise: Mapping[str, float],
        loss: Loss | None,
        *,
        tail: float,
        covered: float,
        diverse: float,
        lost: float,
        legible: float,
    ) -> None:
        self.curves, self.status, self.steps, self.goal, self.loss = curves, status, steps, goal, loss
        self.covers = {DIVERSITY: 1.0, **covers}
        self.tail_starts, self._covered, self._diverse, self._lost = (1 - tail) * steps, covered, diverse, lost
        self._legible, self._quality = legible, self.score("hq_share")
        self.leading = next((name for name in goal if name not in self.covers), next(iter(goal), None))
        self.scores = {name: self.score(name) for name in {*goal, *self.covers}}
        value = self.points("value/discriminator")[1]
        # The largest: of a percentile, the noise of a critic that settled early would be the unit of that noise.
        self.peak = float(max(np.abs(value[~np.isnan(value)]), default=math.nan))
        # A value without a unit is measured by its peak.
        self.equilibrium = loss.equilibrium if loss is not None else None
        self.nat = (self.peak if self.equilibrium is None else self.equilibrium) / math.log(2)
        self.broken = len(value) > 0 and not math.isfinite(value[-1])
        norms = self.points("gradient/generator")[1]
        self.gradient = float(max(norms[~np.isnan(norms)], default=math.nan))
        self.fixed = self.gradient == 0  # of a generator that is never trained the samples say nothing
        self.tail_steps, self.tail_value = self.tail("value/discriminator")
        self.tail_size = median_of(np.abs(self.tail_value))
        # The whole goal counts where all its scores were taken.
        common = sorted(set[int].intersection(*(set(self.scores[name]) for name in goal))) if goal else []
        self.met = {s: all(_excess(self.scores[n][s], *goal[n]) <= 0 for n in goal) for s in common}
        self.met_at_end = next(reversed(self.met.values()), False)
        self.time_to_goal = next((step for step, met in self.met.items() if met), None)
        # By how much the leading score misses the goal, by step, and how much noise does.
        self.excess, self.noise = dict[int, float](), math.nan
        if self.leading is not None:
            wanted = goal[self.leading]
            self.excess = {s: _excess(v, *wanted) for s, v in self.score(self.leading, mixed=False).items()}
            self.noise = _excess(noise.get(self.leading, math.nan), *wanted)

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

    def steps_where(self, metric: str, holds: Callable[[Array], NDArray[np.bool_]]) -> list[int]:
        """Return the steps, ascending, of the points that meet a condition; of the metrics that begin so."""
        found: set[int] = set()
        for name in self.curves:
            if name.startswith(metric):
                steps, values = self.points(name)
                found |= {int(step) for step in steps[holds(values) & np.isfinite(steps)]}
        return sorted(found)

    @property
    def finite_steps(self) -> list[int]:
        """The steps at which anything was finite."""
        return self.steps_where("", np.isfinite)

    def best(self, metric: str) -> float:
        """Return the largest finite value of a curve; NaN of nothing."""
        values = self.points(metric)[1]
        return float(max(values[np.isfinite(values)], default=math.nan))

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
        return self._worse(list(self._since_met.values())[-1:])

    @cached_property
    def sag(self) -> float | None:
        """The same of the worst evaluation in the tail, rather than of the last."""
        return self._worse([e for step, e in self._since_met.items() if step > self.tail_starts])

    @cached_property
    def _since_met(self) -> dict[int, float]:
        """By how much the leading score missed the goal since the whole goal was met first."""
        return {s: e for s, e in self.excess.items() if self.time_to_goal is not None and s >= self.time_to_goal}

    def _worse(self, excess: Sequence[float]) -> float | None:
        best = min((e for e in self._since_met.values() if not math.isnan(e)), default=math.nan)
        worse = max(excess, default=math.nan) - best
        return worse if math.isfinite(worse) else None

    @cached_property
    def progress(self) -> float | None:
        """How far the leading score ever came towards the goal, and stayed for two evaluations.

        As a share of the way from where it started, or from noise where that is worse. None where that is not known.
        """
        known = [e for e in self.excess.values() if math.isfinite(e)]
        if not known:
            return None
        start = max(known[0], self.noise) if math.isfinite(self.noise) else known[0]
        return (start - min(_steady(known))) / start if start > 0 else None

    @cached_property
    def spreads(self) -> list[Spread]:
        """What each score of coverage or diversity shows.

        Left out are those without a finite point, and counts of what is covered where samples are illegible at the end.
        """
        found: list[Spread] = []
        for name, full in self.covers.items():
            score = {s: v for s, v in self.scores[name].items() if math.isfinite(v)}
            if not score or not 0 < full < math.inf:
                continue
            best, (*_, last) = max(score.values()), score
            late = {*list(score)[-2:], *(s for s in score if s > (1 - _END) * self.steps)}
            late = {s for s in late if s == last or s > self.tail_starts}
            if name != DIVERSITY and all(self._quality.get(s, math.nan) < self._legible for s in late):
                continue  # counts of what is covered are of good samples: of few, a small count says nothing
            end = max(score[s] for s in late)
            little = full * (self._diverse if name == DIVERSITY else self._covered)
            # Noise is more diverse than data: what is above the full score is nothing to lose.
            least = min(little, self._lost * min(best, full))
            above = max((s for s, v in score.items() if v > least), default=math.inf)
            lost_at = next((s for s in score if s > above), None) if best > little and end <= least else None
            found.append(Spread(name, full, best, end, max(_steady(list(score.values()))) <= little, lost_at))
        return found

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
    def line_error(self) -> float:
        """The standard error of the line's change over the tail, were what it leaves uncorrelated."""
        rest = self.line[1]
        return float(np.sqrt(12 * (rest @ rest) / max(len(rest) - 2, 1) / max(len(rest), 1)))

    @cached_property
    def cycle(self) -> Cycle | None:
        """The clearest cycle of the value in the tail, or of few points there in the second half of training."""
        steps, values = self.points("value/discriminator")
        finite = np.isfinite(values)
        steps, values = steps[finite], values[finite]
        starts = [self.tail_starts]
        if np.count_nonzero(steps > self.tail_starts) < _MANY:
            starts.append(min(self.steps / 2, self.tail_starts))
        found = [c for at in starts if (c := cycle_of(steps[steps > at], values[steps > at])) is not None]
        best = min(found, key=lambda cycle: cycle.chance, default=None)
        # Who looks twice is mistaken twice as often.
        return best and best._replace(chance=min(len(found) * best.chance, 1.0))

    @cached_property
    def oscillation(self) -> float | None:
        """See `gan.verdict.Judgement`."""
        amplitude = half_range(self.line[1])
        return amplitude if math.isfinite(amplitude) else None


def _steady(values: Sequence[float]) -> list[float]:
    """Return the median of each three evaluations in a row: the best of many single ones is luck."""
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values), min(len(values), 3))
    return np.median(windows, axis=1).tolist()


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
