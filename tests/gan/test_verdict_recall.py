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


@pytest.mark.parametrize("tail", [50, 100, 200])
@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("size", [0.02, 0.1, 0.3])
def test_coloured_noise_is_no_oscillation(tail: int, correlation: float, size: float) -> None:
    assert share("oscillating", lambda rng: 0.6 + size * coloured(4 * tail, correlation, rng)) <= 0.02


def cycle(tail: int, periods: float, shape: str, rng: Rng) -> Array:
    """A cycle of amplitude 1 through the whole training, with so many periods in the tail."""
    phase = 2 * math.pi * (periods * np.arange(4 * tail) / tail + rng.random())
    if shape == "limit cycle":  # steep one way, as of players that overtake each other
        return np.sin(phase + 0.6 * np.sin(phase))
    grows = np.exp(0.25 * np.linspace(-3, 1, 4 * tail)) if shape == "growing" else 1.0
    return np.sin(phase) * grows


@pytest.mark.parametrize("tail", [50, 100, 200])
@pytest.mark.parametrize("periods", [3.0, 4.5, 8.0, 15.0])
@pytest.mark.parametrize("shape", ["sine", "limit cycle", "growing"])
def test_cycles_oscillate(tail: int, periods: float, shape: str) -> None:
    """The noise is a third of the amplitude."""

    def make(rng: Rng) -> Array:
        return 0.6 + 0.15 * cycle(tail, periods, shape, rng) + 0.05 * rng.normal(size=4 * tail)

    assert share("oscillating", make, 100) >= 0.95
