"""The verdict on one trained GAN, from its trajectories: what became of it, in one word, and why.

Every number that decides is in `Thresholds`. Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["THRESHOLDS", "VERDICTS", "Judgement", "Thresholds", "judge", "thresholds_table"]

Verdict = Literal["converged", "unsettled", "oscillating", "starved", "collapsed", "diverged"]
Curves = Mapping[str, Sequence[tuple[int, float]]]
Goal = Mapping[str, tuple[float, str]]
Array = NDArray[np.float64]

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)

_QUANTILES: Final = (0.05, 0.95)  # a swing's range leaves out a tenth of the points: single spikes
_FEWEST: Final = 8  # points in the tail, below which nothing is said of swings and trends: two for each of four turns
_SIZED: Final = re.compile(r"(.+_)\d+k?")  # a score named by its number of samples, such as fid_10k


def _limit(default: float, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Every number that decides a verdict; `thresholds_table` lists them with their meanings.

    The value is value/discriminator, log 2 nats at the equilibrium of the cross entropies. A Wasserstein critic's has
    a unit of its own: there log 2 nats stand for its peak, except that values that ran away are judged as they are.

    Where the numbers come from: PyTorch clamps cross entropies at 100. Before training gradient/logits is 1/2. Noise
    images have an hq_share of 0, real ones of 0.9. Four turns are two periods. White noise has a smoothness of 1, a
    sine of 1.5 at a period of 7 points, and more if slower. Mini-batches of 32 alone make a step_swing of 0.1 to 0.2.
    """

    tail: float = _limit(0.25, "The tail: share of training, at its end, that is judged")
    runaway: float = _limit(100, "Diverged: median size of the value in the tail, above (nats)")
    fooled: float = _limit(0.05, "Starved, cross entropies: median of output/fake in the tail, at most")
    separation: float = _limit(0.5, "Starved, critics: median size of the value in the tail over its peak, at least")
    gradient: float = _limit(0.02, "Starved: median of gradient/generator in the tail over its peak, at most")
    logit_gradient: float = _limit(0.01, "Starved, alternatively: median of gradient/logits in the tail, at most")
    coverage: float = _limit(0.5, "Collapsed: largest coverage score in the tail over the full one, at most")
    quality: float = _limit(0.05, "Collapsed: median of hq_share in the tail, at least (where it is scored)")
    turns: float = _limit(4, "Oscillating: turns of the value in the tail, at least")
    swing: float = _limit(0.05, "Oscillating: amplitude of the value in the tail, at least (nats)")
    smoothness: float = _limit(1.5, "Oscillating: amplitude over that of white noise with such differences, at least")
    step_swing: float = _limit(
        0.3, "Oscillating, alternatively: amplitude times root of a point's steps, at least (nats)"
    )
    drift: float = _limit(0.5, "Not converged: worsening of the leading goal score since its best over the goal, above")
    trend: float = _limit(0.05, "Not converged, without a goal: change of the value's line in the tail, above (nats)")


THRESHOLDS: Final = Thresholds()


def thresholds_table(thresholds: Thresholds = THRESHOLDS) -> list[tuple[str, float, str]]:
    """Return (name, value, meaning) of each threshold, in the order in which they decide; the tail first."""
    return [(f.name, getattr(thresholds, f.name), f.metadata["meaning"]) for f in fields(thresholds)]


class Judgement(NamedTuple):
    """A verdict and what was measured for it.

    Attributes:
        verdict: One of `VERDICTS`.
        reason: One short sentence.
        time_to_goal: First evaluated step at which every score of the goal is met; None: never, or no goal.
        drift: How much worse the leading goal score is at the end than the best it was since it met the goal,
            in its own units, at least 0. None if the goal was never met.
        oscillation: Half the 5-95 % range of the value over the tail, less its least-squares line, in nats.
            None with fewer than 8 finite points there, as after a divergence.
        time_to_collapse: Evaluated step at which a coverage score fell to half or less, having been above it, and
            stayed there to the end. None: it did not, or never covered more than half and had nothing to lose.
    """

    verdict: Verdict
    reason: str
    time_to_goal: int | None
    drift: float | None
    oscillation: float | None
    time_to_collapse: int | None


def judge(
    curves: Curves,
    *,
    status: str,
    steps: int,
    goal: Goal,
    covers: Mapping[str, float],
    thresholds: Thresholds = THRESHOLDS,
) -> Judgement:
    """Judge one replica.

    The first that holds, in this order:

    1. diverged: it turned non-finite, or the value ran away. Losses are not looked at: their scale depends on the
       reduction, and a generator's large loss under cross entropy only says that it is beaten.
    2. starved: the discriminator wins, the generator's gradient vanished, and the goal is not met. Before collapsed,
       for a starved generator often makes few modes, and this is why.
    3. collapsed: it makes few modes, of samples good enough to count. Before oscillating, for a collapsed generator
       often moves from mode to mode, and its discriminator after it.
    4. oscillating: the value swings to the end, beyond noise, or through the second half the leading goal score
       alternates as often between meeting the goal and missing it by the share that counts as drift.
    5. converged: at the last evaluation the whole goal is met, and its leading score has not drifted from its best
       since it was first met. Without a goal: the value has settled, and the discriminator does not win.
    6. unsettled: none of these. So is a replica that could not be run (status failed).

    Metrics that are missing, short or not finite never raise: what they would show counts as not shown.

    Args:
        curves: By metric, points (step, value), of each step the last; a mean over the steps since the point before,
            or a score: ``score/<name>``. A score named by its number of samples (fid_10k) is read where it has
            points itself, and elsewhere from its family (fid_2k).
        status: ``ok``, ``diverged`` or ``failed``.
        steps: Steps the replica was to be trained.
        goal: By score, (threshold, ``lower`` or ``higher``); all must hold. The leading one is the first that
            does not count coverage: counts of modes are too coarse to see a drift by.
        covers: By score that counts coverage, what covering everything scores: ``{"modes": 10}``.
        thresholds: What decides.
    """
    # Curves may hold anything a float can: overflow shows as a value that is not finite, which is looked for.
    with np.errstate(all="ignore"):
        run = _Run(curves, steps, goal, covers, thresholds)
        rules: tuple[tuple[Verdict, Callable[[], str]], ...] = (
            ("unsettled", lambda: "It could not be run." if status == "failed" else ""),
            ("diverged", lambda: "It turned non-finite." if status == "diverged" else run.runaway()),
            ("starved", run.starved),
            ("collapsed", run.collapsed),
            ("oscillating", run.oscillating),
            ("unsettled", run.unsettled),
            ("converged", run.converged),
        )
        first: tuple[Verdict, str] = next((verdict, reason) for verdict, rule in rules if (reason := rule()))
        return Judgement(*first, run.time_to_goal, run.drift, run.oscillation, run.time_to_collapse)


class _Run:
    """One replica's curves and what is read from them; a rule returns its reason, empty where it does not hold."""

    def __init__(self, curves: Curves, steps: int, goal: Goal, covers: Mapping[str, float], limits: Thresholds) -> None:
        self.curves, self.steps, self.goal, self.covers, self.limits = curves, steps, goal, covers, limits
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
        self.tail_size = _median(np.abs(self.tail_value))
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
        kept = (steps > (1 - self.limits.tail) * self.steps) & ~np.isnan(values)
        return steps[kept], values[kept]

    def median(self, metric: str) -> float:
        """Return a curve's median over the tail; without points NaN, which meets no threshold."""
        return _median(self.tail(metric)[1])

    def score(self, name: str, mixed: bool = True) -> dict[int, float]:
        """Return a score by step, from its family where it has no points of its own.

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

    # Measures.

    @cached_property
    def drift(self) -> float | None:
        if self.time_to_goal is None:
            return None
        since = [e for s, e in self.excess.items() if s >= self.time_to_goal]
        drift = since[-1] - min((e for e in since if not math.isnan(e)), default=math.nan) if since else math.nan
        return drift if math.isfinite(drift) else None

    @cached_property
    def time_to_collapse(self) -> int | None:
        found: list[int] = []
        for name, full in self.covers.items():
            score, half = self.scores[name], self.limits.coverage * full
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
        amplitude = _half_range(self.line[1])
        return amplitude if math.isfinite(amplitude) else None

    # Rules.

    def runaway(self) -> str:
        # The median, for one burst that training recovers from is no divergence. On the xy game, whose value passes
        # through 0 on every turn, it is 0.7 of the largest.
        return f"Its value ran away, to {self.tail_size:.3g}." if self.tail_size > self.limits.runaway else ""

    def wins(self) -> bool:
        """Whether the discriminator wins throughout the tail."""
        if not self.critic:
            return self.median("output/fake") <= self.limits.fooled
        # A critic's outputs are no probabilities, and say nothing by themselves: it wins as long as it keeps real and
        # fake about as far apart as it ever had them.
        return self.tail_size >= self.limits.separation * self.peak

    def starved(self) -> str:
        # At the equilibrium the gradient is small as well, but there the discriminator does not win.
        if self.met_at_end or self.fixed or not self.wins():
            return ""
        # Relative to its own peak, for a norm's scale depends on the network and the reduction.
        peak, left = self.gradient, self.median("gradient/generator")
        if left <= self.limits.gradient * peak:
            share = left / peak if peak > 0 else 0.0
            return f"The discriminator wins, and {share:.2g} of the generator's largest gradient is left."
        # On the logit the size is absolute: a generator beaten in the first steps never had a peak to compare with.
        logits = self.median("gradient/logits")
        return f"The discriminator wins, and passes back {logits:.2g}." if logits <= self.limits.logit_gradient else ""

    def collapsed(self) -> str:
        # A generator of noise covers nothing either, which is no collapse: its samples are not good.
        if self.fixed or self.median("score/hq_share") < self.limits.quality:
            return ""
        for name, full in self.covers.items():
            tail = [v for s, v in self.scores[name].items() if s > (1 - self.limits.tail) * self.steps and v == v]
            # The most it covered: one evaluation that misses a mode or two is chance.
            if tail and max(tail) <= self.limits.coverage * full:
                return f"It covers {max(tail):.3g} of {full:.3g} ({name})."
        return ""

    def oscillating(self) -> str:
        amplitude, limits = self.oscillation, self.limits
        if amplitude is not None and amplitude >= limits.swing * self.nat > 0:
            # Noise from mini-batches turns as often, but averages out: over w steps to 1 / sqrt(w) of one step's. What
            # exceeds that is no noise; nor is what moves little from a point to the next (the idea of von Neumann,
            # 1941: differences of white noise have sqrt(2) times its range), in periods of about 7 points and more.
            rest, window = self.line[1], float(np.median(np.diff(self.tail_steps)))
            beyond = amplitude >= limits.step_swing * self.nat / math.sqrt(max(window, 1.0))
            smooth = amplitude >= limits.smoothness * _half_range(np.diff(rest)) / math.sqrt(2)
            # Turns tell a swing from a drift: a curve that bends once or twice is on its way somewhere.
            if (turns := _turns(rest)) >= limits.turns and (beyond or smooth):
                return f"Its value swings by {amplitude:.2g} around its trend and turns {turns} times."
        if self.leading is None:
            return ""
        # Between met and clearly missed nothing is said, so that noise about the threshold does not count.
        missed = limits.drift * abs(self.goal[self.leading][0])
        sides = [e <= 0 for s, e in self.excess.items() if s > self.steps / 2 and (e <= 0 or e > missed)]
        turns = sum(a != b for a, b in pairwise(sides))
        return f"Its {self.leading} meets the goal and loses it again and again." if turns >= limits.turns else ""

    def unsettled(self) -> str:
        """Return why it has not converged."""
        if self.leading is None:
            if self.oscillation is None:
                return "There is no goal, and too little of its value to judge."
            if abs(self.line[0]) > self.limits.trend * self.nat:
                return f"There is no goal, and its value still changes, by {self.line[0]:.2g} over the tail."
            return "There is no goal, and the discriminator wins." if self.wins() else ""
        if not self.met:
            return "Whether it met the goal is not known: not all its scores were taken."
        if self.time_to_goal is None:
            *before, end = self.excess.values()
            return f"It never met the goal, {'but still improves' if before and end < min(before) else 'nor improves'}."
        if not self.met_at_end:
            return f"It met the goal at step {self.time_to_goal:,} and lost it."
        if self.drift is None or self.drift > self.limits.drift * abs(self.goal[self.leading][0]):
            return f"Its {self.leading} has drifted from its best."
        return ""

    def converged(self) -> str:
        since = self.time_to_goal
        return "Its value has settled." if since is None else f"It met the goal at step {since:,} and holds it."


def _excess(value: float, threshold: float, direction: str) -> float:
    """By how much a score misses a threshold: NaN, which meets none, where it is not a number."""
    return threshold - value if direction == "higher" else value - threshold


def _median(x: Array) -> float:
    return float(np.median(x)) if len(x) else math.nan


def _half_range(x: Array) -> float:
    low, high = np.quantile(x, _QUANTILES) if len(x) else (math.nan, math.nan)
    return float(high - low) / 2


def _turns(x: Array) -> int:
    """Count how often a curve goes from the upper quarter of its 5-95 % range to the lower one, or back."""
    low, high = np.quantile(x, _QUANTILES)
    from_middle = x - (low + high) / 2
    return int(np.count_nonzero(np.diff(np.sign(from_middle[np.abs(from_middle) > (high - low) / 4]))))
