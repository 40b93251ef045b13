"""The verdict on one trained GAN, from its trajectories: what became of it, in one word, and why.

Every number that decides is in `Thresholds`. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from gan.trajectory import Curves, Goal, Trajectory, half_range, turns_of

__all__ = ["THRESHOLDS", "VERDICTS", "Curves", "Judgement", "Thresholds", "Verdict", "judge", "thresholds_table"]


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
        verdict: The name of one of `VERDICTS`.
        reason: One short sentence.
        time_to_goal: First evaluated step at which every score of the goal is met; None: never, or no goal.
        drift: How much worse the leading goal score is at the end than the best it was since it met the goal,
            in its own units, at least 0. None if the goal was never met.
        oscillation: Half the 5-95 % range of the value over the tail, less its least-squares line, in nats.
            None with fewer than 8 finite points there, as after a divergence.
        time_to_collapse: Evaluated step at which a coverage score fell to half or less, having been above it, and
            stayed there to the end. None: it did not, or never covered more than half and had nothing to lose.
    """

    verdict: str
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
    """Judge one replica: the first of `RULES` that holds; a replica that could not be run is unsettled.

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
        run = Trajectory(curves, status, steps, goal, covers, tail=thresholds.tail, half=thresholds.coverage)
        rules = ((rule.name, reason) for rule in RULES if (reason := rule.holds(run, thresholds)))
        first = ("unsettled", "It could not be run.") if status == "failed" else next(rules)
        return Judgement(*first, run.time_to_goal, run.drift, run.oscillation, run.time_to_collapse)


@dataclass(frozen=True)
class Verdict:
    """What became of a replica.

    Attributes:
        name: The word.
        rank: Its place where verdicts are listed, from best to worst.
        usable: Whether the generator may be of use: it learned something, and did not lose it.
        colour: In every figure; colour-blind readers can tell them apart.
        meaning: What it says of a replica.
        holds: Returns the reason, one short sentence; empty where the verdict does not hold.
    """

    name: str
    rank: int
    usable: bool
    colour: str
    meaning: str
    holds: Callable[[Trajectory, Thresholds], str]


def _diverged(run: Trajectory, limits: Thresholds) -> str:
    if run.status == "diverged":
        return "It turned non-finite."
    # The median, for one burst that training recovers from is no divergence. On the xy game, whose value passes
    # through 0 on every turn, it is 0.7 of the largest.
    return f"Its value ran away, to {run.tail_size:.3g}." if run.tail_size > limits.runaway else ""


def _wins(run: Trajectory, limits: Thresholds) -> bool:
    """Whether the discriminator wins throughout the tail."""
    if not run.critic:
        return run.median("output/fake") <= limits.fooled
    # A critic's outputs are no probabilities, and say nothing by themselves: it wins as long as it keeps real and
    # fake about as far apart as it ever had them.
    return run.tail_size >= limits.separation * run.peak


def _starved(run: Trajectory, limits: Thresholds) -> str:
    # At the equilibrium the gradient is small as well, but there the discriminator does not win.
    if run.met_at_end or run.fixed or not _wins(run, limits):
        return ""
    # Relative to its own peak, for a norm's scale depends on the network and the reduction.
    peak, left = run.gradient, run.median("gradient/generator")
    if left <= limits.gradient * peak:
        share = left / peak if peak > 0 else 0.0
        return f"The discriminator wins, and {share:.2g} of the generator's largest gradient is left."
    # On the logit the size is absolute: a generator beaten in the first steps never had a peak to compare with.
    logits = run.median("gradient/logits")
    return f"The discriminator wins, and passes back {logits:.2g}." if logits <= limits.logit_gradient else ""


def _collapsed(run: Trajectory, limits: Thresholds) -> str:
    # A generator of noise covers nothing either, which is no collapse: its samples are not good.
    if run.fixed or run.median("score/hq_share") < limits.quality:
        return ""
    for name, full in run.covers.items():
        tail = [v for s, v in run.scores[name].items() if s > run.tail_starts and v == v]
        # The most it covered: one evaluation that misses a mode or two is chance.
        if tail and max(tail) <= limits.coverage * full:
            return f"It covers {max(tail):.3g} of {full:.3g} ({name})."
    return ""


def _oscillating(run: Trajectory, limits: Thresholds) -> str:
    amplitude = run.oscillation
    if amplitude is not None and amplitude >= limits.swing * run.nat > 0:
        # Noise from mini-batches turns as often, but averages out: over w steps to 1 / sqrt(w) of one step's. What
        # exceeds that is no noise; nor is what moves little from a point to the next (the idea of von Neumann,
        # 1941: differences of white noise have sqrt(2) times its range), in periods of about 7 points and more.
        rest, window = run.line[1], float(np.median(np.diff(run.tail_steps)))
        beyond = amplitude >= limits.step_swing * run.nat / math.sqrt(max(window, 1.0))
        smooth = amplitude >= limits.smoothness * half_range(np.diff(rest)) / math.sqrt(2)
        # Turns tell a swing from a drift: a curve that bends once or twice is on its way somewhere.
        if (turns := turns_of(rest)) >= limits.turns and (beyond or smooth):
            return f"Its value swings by {amplitude:.2g} around its trend and turns {turns} times."
    if run.leading is None:
        return ""
    # Between met and clearly missed nothing is said, so that noise about the threshold does not count.
    missed = limits.drift * abs(run.goal[run.leading][0])
    sides = [e <= 0 for s, e in run.excess.items() if s > run.steps / 2 and (e <= 0 or e > missed)]
    turns = sum(a != b for a, b in pairwise(sides))
    return f"Its {run.leading} meets the goal and loses it again and again." if turns >= limits.turns else ""


def _unsettled(run: Trajectory, limits: Thresholds) -> str:
    """Return why it has not converged."""
    if run.leading is None:
        if run.oscillation is None:
            return "There is no goal, and too little of its value to judge."
        if abs(run.line[0]) > limits.trend * run.nat:
            return f"There is no goal, and its value still changes, by {run.line[0]:.2g} over the tail."
        return "There is no goal, and the discriminator wins." if _wins(run, limits) else ""
    if not run.met:
        return "Whether it met the goal is not known: not all its scores were taken."
    if run.time_to_goal is None:
        *before, end = run.excess.values()
        return f"It never met the goal, {'but still improves' if before and end < min(before) else 'nor improves'}."
    if not run.met_at_end:
        return f"It met the goal at step {run.time_to_goal:,} and lost it."
    if run.drift is None or run.drift > limits.drift * abs(run.goal[run.leading][0]):
        return f"Its {run.leading} has drifted from its best."
    return ""


def _converged(run: Trajectory, limits: Thresholds) -> str:
    since = run.time_to_goal
    return "Its value has settled." if since is None else f"It met the goal at step {since:,} and holds it."


RULES: Final = (
    # Losses are not looked at: their scale depends on the reduction, and a generator's large loss under cross entropy
    # only says that it is beaten.
    Verdict("diverged", 5, False, "#1a1a1a", "it turned non-finite, or the value ran away", _diverged),
    # Before collapsed, for a starved generator often makes few modes, and this is why.
    Verdict("starved", 3, False, "#56b4e9", "D wins, G's gradient vanished, and the goal is not met", _starved),
    # Before oscillating, for a collapsed generator often moves from mode to mode, and its discriminator after it.
    Verdict("collapsed", 4, False, "#c8401c", "it makes few modes, of samples good enough to count", _collapsed),
    # Or through the second half the leading goal score alternates as often between meeting the goal and missing it by
    # the share that counts as drift.
    Verdict("oscillating", 2, True, "#f0b400", "the value swings to the end, beyond noise", _oscillating),
    Verdict("unsettled", 1, True, "#c8c8c8", "none of the others holds", _unsettled),
    # Without a goal: the value has settled, and the discriminator does not win.
    Verdict("converged", 0, True, "#0059a8", "it met the whole goal and has not drifted from its best", _converged),
)
"""In the order in which they decide: the first that holds is a replica's verdict."""

VERDICTS: Final = {verdict.name: verdict for verdict in sorted(RULES, key=lambda verdict: verdict.rank)}
"""By name, from best to worst."""
