"""Every number that decides a verdict, with what it means and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final


def _limit(default: float, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Every number that decides a verdict; `thresholds_table` lists them with their meanings.

    The value is value/discriminator. Its nats are those of a cross entropy, log 2 at the equilibrium: of another loss
    log 2 nats stand for the equilibrium that its record states, and where that states none, for the value's peak.

    Where the numbers come from: real images have an hq_share of 0.95 to 0.997, noise of 0. A mode is covered with a
    tenth of its share in good samples, so that few good ones cover few modes, however they lie. Real data have a
    diversity of 1, real images that are blurred of 0.3, five of eight modes of 0.6, one of them of 0.13, a few repeated
    samples below 0.1. Before training gradient/logits is 1/2. PyTorch clamps cross entropies at 100, so that a value of
    probabilities is at most 100. Four turns are two periods.
    """

    tail: float = _limit(0.25, "The tail: share of training, at its end, that is judged")
    runaway: float = _limit(10, "Diverged: median size of the value in the last tenth of training, above (nats)")
    runaway_critic: float = _limit(100, "Diverged, values without a unit: the same, above (as it is)")
    quality: float = _limit(0.2, "Never learned: largest hq_share and look_share, at most (where they are scored)")
    progress: float = _limit(0.4, "Never learned: share of its way to the goal that the leading score ever came, below")
    far: float = _limit(5, "Never learned, nothing known of quality or noise: leading score over the goal, above")
    fooled: float = _limit(0.1, "Starved: median of output/fake in the tail, at most (where it is a probability)")
    separation: float = _limit(
        0.5, "Starved, values without a unit: median size of the value in the tail over its peak, at least"
    )
    gradient: float = _limit(0.05, "Starved: median of gradient/generator in the tail over its peak, at most")
    logit_gradient: float = _limit(0.01, "Starved, alternatively: median of gradient/logits in the tail, at most")
    legible: float = _limit(0.5, "Collapsed, never covered: hq_share at the end from which coverage counts (if scored)")
    covered: float = _limit(0.5, "Collapsed at the end, never covered at any time: coverage over the full one, at most")
    diverse: float = _limit(0.25, "Collapsed at the end, never covered at any time: diversity, at most")
    lost: float = _limit(0.6, "Collapsed: coverage or diversity at the end over its best, at most")
    alarms: float = _limit(0.01, "Oscillating: chance that coloured noise shows as clear a cycle to the end, at most")
    swing: float = _limit(
        0.05, "Oscillating: amplitude of the cycle in the second half of what shows it, at least (nats)"
    )
    fading: float = _limit(0.5, "Oscillating: that amplitude over the one in the first half, at least")
    turns: float = _limit(4, "Oscillating: turns of the value in the tail, at least")
    drift: float = _limit(0.5, "Not converged: worsening of the leading goal score since its best over the goal, above")
    trend: float = _limit(0.05, "Not converged, without a goal: change of the value's line in the tail, above (nats)")
    errors: float = _limit(3, "Not converged, without a goal: that change over its standard error, above")


THRESHOLDS: Final = Thresholds()


def thresholds_table(thresholds: Thresholds = THRESHOLDS) -> list[tuple[str, float, str]]:
    """Return (name, value, meaning) of each threshold, in the order in which they decide; the tail first."""
    return [(f.name, getattr(thresholds, f.name), f.metadata["meaning"]) for f in fields(thresholds)]
