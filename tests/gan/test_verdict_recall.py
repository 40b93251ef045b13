"""How often verdicts are right on trajectories made at random: of each verdict, and of noise that is no oscillation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from gan.plugins import registry
from gan.verdict import VERDICTS, judge

Array = NDArray[np.float64]
Rng = np.random.Generator
Made = dict[str, Any]

LOG2 = math.log(2)
STEPS = 4_000
CROSS = registry.loss("non_saturating")
TRAJECTORIES = 400  # of each kind of noise; an alarm in 100 is the stated rate, two the most that chance makes of it


def coloured(n: int, correlation: float, rng: Rng) -> Array:
    """AR(1) noise of standard deviation 1."""
    shocks = rng.normal(size=n + 100)
    return np.asarray(lfilter([1], [1, -correlation], shocks))[100:] * math.sqrt(1 - correlation**2)


def verdict_of_value(value: Array) -> str:
    """Judge a GAN by its value alone."""
    steps = np.linspace(STEPS / len(value), STEPS, len(value)).astype(int)
    curves = {"value/discriminator": list(zip(steps.tolist(), value.tolist(), strict=True))}
    return judge(curves, status="ok", steps=STEPS, goal={}, covers={}, loss=CROSS).verdict


def share(verdict: str, make: Callable[[Rng], Array], number: int = TRAJECTORIES) -> float:
    """How often values get a verdict."""
    return float(np.mean([verdict_of_value(make(np.random.default_rng(k))) == verdict for k in range(number)]))


@pytest.mark.parametrize("tail", [50, 200])
@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("size", [0.02, 0.3])
def test_coloured_noise_is_no_oscillation(tail: int, correlation: float, size: float) -> None:
    assert share("oscillating", lambda rng: 0.6 + size * coloured(4 * tail, correlation, rng)) <= 0.02


def cycle(tail: int, periods: float, shape: str, rng: Rng) -> Array:
    """A cycle of amplitude 1 through the whole training, with so many periods in the tail."""
    phase = 2 * math.pi * (periods * np.arange(4 * tail) / tail + rng.random())
    if shape == "limit cycle":  # steep one way, as of players that overtake each other
        return np.sin(phase + 0.6 * np.sin(phase))
    grows = np.exp(0.25 * np.linspace(-3, 1, 4 * tail)) if shape == "growing" else 1.0
    return np.sin(phase) * grows


@pytest.mark.parametrize("tail", [50, 200])
@pytest.mark.parametrize("periods", [3.0, 8.0])
@pytest.mark.parametrize("shape", ["sine", "limit cycle", "growing"])
def test_cycles_oscillate(tail: int, periods: float, shape: str) -> None:
    """The noise is a third of the amplitude."""

    def make(rng: Rng) -> Array:
        return 0.6 + 0.15 * cycle(tail, periods, shape, rng) + 0.05 * rng.normal(size=4 * tail)

    assert share("oscillating", make, 100) >= 0.95


# Whole trajectories: of every verdict, with what a run has in hand


class Maker:
    """Draws the settings that trajectories share, and curves of scores from them."""

    def __init__(self, rng: Rng) -> None:
        self.rng, self.image = rng, bool(rng.random() < 0.5)
        self.points = int(rng.choice([120, 200, 400]))
        self.steps = np.linspace(STEPS / self.points, STEPS, self.points).astype(int)
        evaluations = int(rng.integers(10, 41))
        self.evaluated = np.linspace(STEPS / evaluations, STEPS, evaluations).astype(int)
        self.time, self.at = self.steps / STEPS, self.evaluated / STEPS
        self.full = 10 if self.image else 8
        self.leading = "fid_2k" if self.image else "ks"
        self.bad, self.good = (rng.uniform(150, 400), 20.0) if self.image else (rng.uniform(0.4, 0.9), 0.06)

    def healthy(self) -> dict[str, Array]:
        """A GAN that learns, meets its goal and stays."""
        learned = 1 - np.exp(-self.at / self.rng.uniform(0.05, 0.2))
        settled = np.exp(-self.time / 0.1)
        return {
            "value/discriminator": LOG2 - self.rng.uniform(0, 0.2) - 0.3 * settled,
            "output/fake": 0.45 - 0.2 * settled,
            "gradient/generator": 0.3 + settled,
            "gradient/logits": 0.5 + 0 * self.time,
            f"score/{self.leading}": self.bad + (self.rng.uniform(0.3, 0.7) * self.good - self.bad) * learned,
            "score/hq_share": self.rng.uniform(0.6, 0.95) * learned,
            "score/diversity": self.rng.uniform(0.65, 1.0) * (0.3 + 0.7 * learned),
            "score/modes": self.full * np.minimum(1, 0.4 + 0.7 * learned),
        }

    def noise(self) -> dict[str, Array]:
        """Samples that are noise throughout."""
        flat = 0 * self.at
        return self.healthy() | {
            f"score/{self.leading}": self.bad + flat,
            "score/hq_share": flat,
            "score/diversity": self.rng.choice([self.rng.uniform(0.02, 0.3), self.rng.uniform(1.1, 3)]) + flat,
            "score/modes": int(self.rng.integers(0, 4)) + flat,
        }

    def diverged(self) -> dict[str, Array]:
        grown = np.exp(self.rng.uniform(12, 30) * np.clip(self.time - self.rng.uniform(0.3, 0.7), 0, 1))
        return self.noise() | {"value/discriminator": 0.6 * grown}

    def never_learned(self) -> dict[str, Array]:
        return self.noise()

    def starved(self) -> dict[str, Array]:
        gone = 1 / (1 + np.exp((self.time - self.rng.uniform(0.2, 0.6)) / 0.02))
        stuck = self.healthy()[f"score/{self.leading}"] + self.rng.uniform(0.2, 0.4) * self.bad
        return self.healthy() | {
            "value/discriminator": 0.02 + 0.5 * gone,
            "output/fake": 0.01 + 0.4 * gone,
            "gradient/generator": 0.005 + gone,
            f"score/{self.leading}": stuck,
        }

    def collapsed(self) -> dict[str, Array]:
        start, left = self.rng.uniform(0.2, 0.75), self.rng.uniform(0.02, 0.3)
        kept = np.where(self.at > start, left, 1.0)
        quality = self.rng.choice([1.0, 0.0]) if self.image else 1.0
        made = self.healthy()
        return made | {
            "score/diversity": made["score/diversity"] * kept,
            "score/modes": made["score/modes"] * kept,
            "score/hq_share": made["score/hq_share"] * quality,
            f"score/{self.leading}": made[f"score/{self.leading}"] + self.bad * (1 - kept),
        }

    def never_covered(self) -> dict[str, Array]:
        made, share = self.healthy(), self.rng.uniform(0.05, 0.35)
        return made | {
            "score/diversity": made["score/diversity"] * share,
            "score/modes": np.maximum(1, made["score/modes"] * share),
            f"score/{self.leading}": made[f"score/{self.leading}"] + 0.3 * self.bad,
        }

    def oscillating(self) -> dict[str, Array]:
        periods, size = self.rng.uniform(12, self.points / 6), self.rng.uniform(0.12, 0.3)
        grows = np.minimum(1, np.exp(4 * (self.time - self.rng.uniform(0.0, 0.8))))
        phase = 2 * math.pi * (periods * self.time + self.rng.random())
        return self.healthy() | {"value/discriminator": 0.6 + size * grows * np.sin(phase + 0.5 * np.sin(phase))}

    def unsettled(self) -> dict[str, Array]:
        made = self.healthy()
        slow = self.bad * np.exp(-self.at / self.rng.uniform(0.6, 1.0)) + 2 * self.good
        lost = made[f"score/{self.leading}"] + 2 * self.good * np.clip(self.at - 0.5, 0, 1)
        return made | {f"score/{self.leading}": slow if self.rng.random() < 0.5 else lost}

    def converged(self) -> dict[str, Array]:
        return self.healthy()

    def judged(self, verdict: str) -> str:
        """Make a trajectory of a verdict, put noise on it, and judge it."""
        swings = 0.04 if verdict == "oscillating" else self.rng.uniform(0.01, 0.15)
        curves = {}
        for metric, values in getattr(self, verdict)().items():
            size, steps = 0.03 * np.abs(values), self.evaluated
            if not metric.startswith("score/"):
                steps, size = self.steps, swings if metric.startswith("value") else 0.1 * np.abs(values)
            noisy = values + size * coloured(len(values), self.rng.uniform(0, 0.8), self.rng)
            noisy = np.round(noisy) if metric == "score/modes" else noisy
            curves[metric] = list(zip(steps.tolist(), noisy.tolist(), strict=True))
        goal, covers = {self.leading: (self.good, "lower")}, {"modes": float(self.full)}
        return judge(curves, status="ok", steps=STEPS, goal=goal, covers=covers, loss=CROSS).verdict


@pytest.mark.parametrize("number", [60, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_trajectories_of_a_verdict_get_it(verdict: str, number: int) -> None:
    found = [Maker(np.random.default_rng(k)).judged(verdict) for k in range(number)]
    assert found.count(verdict) >= 0.95 * len(found), {name: found.count(name) for name in VERDICTS}
