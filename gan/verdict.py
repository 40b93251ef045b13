"""The verdict on one trained GAN, from its trajectories: what became of it, in one word, and why.

Every number that decides is in `gan/thresholds.py`. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from gan.thresholds import THRESHOLDS, Thresholds
from gan.trajectory import DIVERSITY, Curves, Goal, Trajectory, median_of, turns_of

if TYPE_CHECKING:
    from gan.plugins.components import Loss


class Judgement(NamedTuple):
    """A verdict and what was measured for it.

    Attributes:
        verdict: The name of one of `VERDICTS`.
        reason: One short sentence.
        time_to_goal: First evaluated step at which every score of the goal is met; None: never, or no goal.
        drift: How much worse the leading goal score is at the end than the best it was since it met the goal,
            in its own units, at least 0. None if the goal was never met.
        oscillation: Half the 5-95 % range of the value over the tail, less its least-squares line, in the value's
            units. None with fewer than 8 finite points there, as after a divergence.
        time_to_collapse: Evaluated step from which on coverage or diversity was lost, as `collapsed` has it. None: it
            was not, or it never was there to be lost.
        time_to_unusable: Step from which on the generator was of no use, where the verdict is one of `UNUSABLE`: at
            which it diverged, starved or collapsed; of one that never was of use its first evaluation. Else None.
    """

    verdict: str
    reason: str
    time_to_goal: int | None
    drift: float | None
    oscillation: float | None
    time_to_collapse: int | None
    time_to_unusable: int | None


def judge(
    curves: Curves,
    *,
    status: str,
    steps: int,
    goal: Goal,
    covers: Mapping[str, float],
    noise: Mapping[str, float] | None = None,
    loss: Loss | None = None,
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
        covers: By score that counts coverage, what covering everything scores: ``{"modes": 10}``. Diversity counts
            without being named, with 1 for real data.
        noise: By score, what uniform noise scores, where that is known.
        loss: The record of its loss, which says what the value means; None, a loss that is not known, has no unit.
        thresholds: What decides.
    """
    # Curves may hold anything a float can: overflow shows as a value that is not finite, which is looked for.
    with np.errstate(all="ignore"):
        shares = {name: getattr(thresholds, name) for name in ("tail", "covered", "diverse", "lost", "legible")}
        run = Trajectory(curves, status, steps, goal, covers, noise or {}, loss, **shares)
        rules = ((rule.name, reason) for rule in RULES if (reason := rule.holds(run, thresholds)))
        verdict, reason = ("unsettled", "It could not be run.") if status == "failed" else next(rules)
        lost = min((spread.lost_at for spread in run.spreads if spread.lost_at is not None), default=None)
        since = lost if verdict == "collapsed" else _unusable_since(verdict, run, thresholds)
        return Judgement(verdict, reason, run.time_to_goal, run.drift, run.oscillation, lost, since)


def _unusable_since(verdict: str, run: Trajectory, limits: Thresholds) -> int | None:
    """See `Judgement.time_to_unusable`."""
    if verdict == "diverged":
        away = run.steps_where("value/discriminator", lambda value: np.abs(value) > runaway_of(run.loss, limits))
        steps = away[:1] if run.status != "diverged" and not run.broken else run.finite_steps[-1:]
    elif verdict == "starved":
        # Its gradient had a peak at some time; one that was passed back little from the start has starved by the tail.
        left = run.steps_where("gradient/generator", lambda norm: norm > limits.gradient * run.gradient)
        steps = [min([*left[-1:], math.floor(run.tail_starts)])]
    elif verdict in ("never_learned", "never_covered"):
        steps = run.steps_where("score/", lambda value: value == value)[:1]
    else:
        return None
    return int(steps[0]) if steps else 0


def runaway_of(loss: Loss | None, thresholds: Thresholds = THRESHOLDS) -> float:
    """Return the size above which a loss's value ran away, in the value's units."""
    unit = loss.equilibrium if loss is not None else None
    return thresholds.runaway_critic if unit is None else thresholds.runaway * unit / math.log(2)


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
    if run.status == "diverged" or run.broken:
        return "It turned non-finite."
    # The median, for one burst that training recovers from is no divergence. On the xy game, whose value passes
    # through 0 on every turn, it is 0.7 of the largest. The end alone: what runs away is fastest there.
    end = run.tail_value[run.tail_steps > 0.9 * run.steps]
    size = median_of(np.abs(end))
    return f"Its value ran away, to {size:.3g}." if size > runaway_of(run.loss, limits) else ""


def _never_learned(run: Trajectory, limits: Thresholds) -> str:
    if run.fixed or run.time_to_goal is not None:
        return ""
    quality, look = run.best("score/hq_share"), run.best("score/look_share")  # NaN where they are not scored
    if quality > limits.quality or look > limits.quality:
        return ""
    if run.progress is not None and run.progress >= limits.progress:
        return ""
    starves = " The discriminator wins, and the gradient has vanished." if _starves(run, limits) else ""
    if not math.isnan(quality):
        return f"Its samples are noise to the end: its hq_share was never above {quality:.2g}.{starves}"
    if run.leading is None or run.progress is None or not run.spreads:  # without data there is no noise, as in a game
        return ""
    if any(spread.never and spread.best > 0 for spread in run.spreads if spread.score != DIVERSITY):
        return ""  # a few modes are no noise: they alone keep the score far from the goal
    # A score that stays where it was first taken may have been good by then: without knowing what noise scores, only
    # one that is far from the goal says that it was not.
    threshold, direction = run.goal[run.leading]
    nearest = min(e for e in run.excess.values() if not math.isnan(e))
    beyond = 1 - 1 / limits.far if direction == "higher" else limits.far - 1
    if math.isfinite(run.noise) or nearest > beyond * abs(threshold):
        return f"Its {run.leading} came {max(run.progress, 0.0):.0%} of the way to the goal.{starves}"
    return ""


def _wins(run: Trajectory, limits: Thresholds) -> bool:
    """Whether the discriminator wins throughout the tail."""
    if run.loss is None or run.loss.equilibrium is None:
        # Without a unit an output says nothing by itself: a critic wins as long as it keeps real and fake about as far
        # apart as it ever had them.
        return run.tail_size >= limits.separation * run.peak
    fooled = run.loss.output != "critic" and run.median("output/fake") <= limits.fooled
    return fooled or (run.loss.wins is not None and median_of(run.tail_value) <= run.loss.wins)


def _starves(run: Trajectory, limits: Thresholds) -> str:
    """Return how the discriminator starves the generator; empty where it does not."""
    # At the equilibrium the gradient is small as well, but there the discriminator does not win.
    if run.fixed or not _wins(run, limits):
        return ""
    # Relative to its own peak, for a norm's scale depends on the network and the reduction.
    peak, left = run.gradient, run.median("gradient/generator")
    if left <= limits.gradient * peak:
        share = left / peak if peak > 0 else 0.0
        return f"The discriminator wins, and {share:.2g} of the generator's largest gradient is left."
    # On the logit the size is absolute: a generator beaten in the first steps never had a peak to compare with.
    logits = run.median("gradient/logits")
    return f"The discriminator wins, and passes back {logits:.2g}." if logits <= limits.logit_gradient else ""


def _starved(run: Trajectory, limits: Thresholds) -> str:
    return "" if run.met_at_end else _starves(run, limits)


def _collapsed(run: Trajectory, limits: Thresholds) -> str:
    for spread in [] if run.fixed else run.spreads:
        if spread.lost_at is not None:
            return f"Its {spread.score} fell from {spread.best:.3g} to {spread.end:.3g} of {spread.full:.3g}."
    return ""


def _never_covered(run: Trajectory, limits: Thresholds) -> str:
    for spread in [] if run.fixed else run.spreads:
        if spread.never:
            return f"Its {spread.score} was never above {spread.best:.3g} of {spread.full:.3g}."
    return ""


def _oscillating(run: Trajectory, limits: Thresholds) -> str:
    cycle = run.cycle
    if cycle is None or cycle.chance > limits.alarms:
        return ""
    # A cycle that training damps is on its way to rest; one that matters still swings at the end.
    if not cycle.amplitude >= limits.swing * run.nat > 0 or cycle.fades < limits.fading:
        return ""
    # Turns tell a cycle from a curve that bends once or twice on its way somewhere.
    if turns_of(run.line[1]) < limits.turns:
        return ""
    return f"Its value swings by {cycle.amplitude:.2g} to the end, every {cycle.period:,.0f} steps."


def _unsettled(run: Trajectory, limits: Thresholds) -> str:
    """Return why it has not converged."""
    if run.leading is None:
        if run.oscillation is None:
            return "There is no goal, and too little of its value to judge."
        if abs(run.line[0]) > max(limits.trend * run.nat, limits.errors * run.line_error):
            return f"There is no goal, and its value still changes, by {run.line[0]:.2g} over the tail."
        return "There is no goal, and the discriminator wins." if _wins(run, limits) else ""
    if not run.met:
        return "Whether it met the goal is not known: not all its scores were taken."
    if run.time_to_goal is None:
        *before, end = run.excess.values()
        return f"It never met the goal, {'but still improves' if before and end < min(before) else 'nor improves'}."
    if not run.met_at_end:
        return f"It met the goal at step {run.time_to_goal:,} and lost it."
    allowed = limits.drift * abs(run.goal[run.leading][0])
    if run.drift is None or run.drift > allowed:
        return f"Its {run.leading} has drifted from its best."
    if run.sag is not None and run.sag > allowed:
        return f"Its {run.leading} comes and goes."
    return ""


def _converged(run: Trajectory, limits: Thresholds) -> str:
    since = run.time_to_goal
    return "Its value has settled." if since is None else f"It met the goal at step {since:,} and holds it."


RULES: Final = (
    # Losses are not looked at: their scale depends on the reduction, and a generator's large loss under cross entropy
    # only says that it is beaten.
    Verdict("diverged", 7, False, "#1a1a1a", "it turned non-finite, or the value ran away", _diverged),
    # Before never_learned and collapsed: a starved generator often makes noise from the start, or few modes, and this
    # says why.
    Verdict("starved", 3, False, "#cc73b3", "D wins, G's gradient vanished, and the goal is not met", _starved),
    # Before collapsed: what noise covers says nothing, and its diversity is nothing to lose.
    Verdict("never_learned", 6, False, "#670081", "its samples never were better than noise", _never_learned),
    # Before oscillating, for a collapsed generator often moves from mode to mode, and its discriminator after it.
    Verdict("collapsed", 5, False, "#7c2902", "it lost the coverage or the diversity that it had", _collapsed),
    Verdict(
        "never_covered",
        4,
        False,
        "#fa6101",
        "it never had coverage or diversity, though its samples are no noise",
        _never_covered,
    ),
    Verdict(
        "oscillating",
        2,
        True,
        "#1788fa",
        "the value swings periodically to the end, beyond coloured noise",
        _oscillating,
    ),
    Verdict("unsettled", 1, True, "#92986f", "none of the others holds", _unsettled),
    # Without a goal: the value has settled, and the discriminator does not win.
    Verdict(
        "converged", 0, True, "#1a02cd", "it met the whole goal, holds it and has not drifted from its best", _converged
    ),
)
"""In the order in which they decide: the first that holds is a replica's verdict."""

VERDICTS: Final = {verdict.name: verdict for verdict in sorted(RULES, key=lambda verdict: verdict.rank)}
"""By name, from best to worst."""

UNUSABLE: Final = tuple(name for name, verdict in VERDICTS.items() if not verdict.usable)
"""The verdicts of generators that are of no use: the event of rates and of survival."""
