"""Divergences against numerical integration, and discriminators against the exact optimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate

from gan.scores.divergence import excess_cross_entropy, jensen_shannon, optimal_discriminator_gap
from gan.scores.line import LineReference, divergence_floor
from gan.targets import Gaussian, Mixture

Floats = NDArray[np.float64]
TARGET = Gaussian(3.0, 2.0)


def exact(one: Gaussian, other: Gaussian) -> float:
    """The Jensen-Shannon divergence by numerical integration."""

    def integrand(x: float) -> float:
        p, q = float(one.pdf(x)), float(other.pdf(x))
        return sum(0.5 * a * math.log(2 * a / (p + q)) for a in (p, q) if a > 1e-300)

    return float(integrate.quad(integrand, -40, 40, limit=500, points=[one.mean, other.mean])[0])


def samples(target: Gaussian | Mixture, n: int = 100_000, seed: int = 0) -> Floats:
    return target.quantile(np.random.default_rng(seed).random(n))


@pytest.mark.parametrize("other", [Gaussian(0.0, 1.0), Gaussian(3.0, 1.0), Gaussian(3.5, 2.0), Gaussian(3.0, 0.05)])
def test_divergence_is_the_integral(other: Gaussian) -> None:
    # Intervals merge points, which lowers it by a few thousandths at the most.
    assert jensen_shannon(samples(other), TARGET) == pytest.approx(exact(other, TARGET), rel=0.03, abs=3e-4)


def test_divergence_is_zero_for_the_target_and_log_2_for_what_is_apart() -> None:
    assert jensen_shannon(TARGET.quantile((np.arange(100_000) + 0.5) / 100_000), TARGET) < 2e-4
    # Between the last quantile of one and the first of the other a hundredth of each shares an interval.
    assert math.log(2) * 0.99 <= jensen_shannon(samples(Gaussian(60.0, 0.1)), TARGET) <= math.log(2)
    assert jensen_shannon(np.full(1_000, 3.3), TARGET) == pytest.approx(math.log(2), rel=1e-9)


def test_floor_falls_with_the_number_of_samples() -> None:
    small, large = (divergence_floor(LineReference(TARGET), n) for n in (10_000, 100_000))
    assert small == pytest.approx(10 * large, rel=0.25)
    assert 0 < large < 3e-4


def half(x: Floats) -> Floats:
    return np.full_like(x, 0.5)


def test_the_optimal_discriminator_has_no_gap_and_no_excess() -> None:
    other = Gaussian(0.0, 1.0)

    def optimal(x: Floats) -> Floats:
        return TARGET.pdf(x) / (TARGET.pdf(x) + other.pdf(x))

    assert optimal_discriminator_gap(other, TARGET, optimal) < 1e-12
    # The divergence of intervals is too small by a few thousandths of itself.
    assert excess(other, optimal) == pytest.approx(0.0, abs=2e-3)
    assert excess(other, lambda x: optimal(x) ** 1.5) > 0.01


def test_a_constant_discriminator_is_optimal_only_at_the_equilibrium() -> None:
    assert optimal_discriminator_gap(TARGET, TARGET, half) < 1e-12
    assert optimal_discriminator_gap(Gaussian(0.0, 1.0), TARGET, half) > 0.2
    assert optimal_discriminator_gap(Gaussian(100.0, 1.0), TARGET, half) == pytest.approx(0.5, abs=1e-6)
    other = Gaussian(0.0, 1.0)
    assert excess(other, half) == pytest.approx(exact(other, TARGET), abs=1e-9)


def excess(other: Gaussian, discriminator: Callable[[Floats], Floats]) -> float:
    """Return the excess cross entropy against a generator that is known."""
    levels = (np.arange(200_000) + 0.5) / 200_000
    drawn, real = other.quantile(levels), TARGET.quantile(levels)
    return excess_cross_entropy(drawn, real, discriminator, exact(other, TARGET))


def test_a_discriminator_that_is_sure_and_wrong_costs_no_more_than_pytorch_s_limit() -> None:
    x = np.linspace(0.0, 1.0, 10)
    assert excess_cross_entropy(x, x, np.zeros_like, 0.0) == pytest.approx(50 - math.log(2))
    assert excess_cross_entropy(x, x, np.ones_like, 0.0) == pytest.approx(50 - math.log(2))


def test_a_mixture_has_a_divergence_too(record_property: Any) -> None:
    target = Mixture()
    missing = samples(target)
    missing = missing[missing < 0]
    # Half of the modes: JSD = log 2 / 2 + (1/2) log(2/3) ... = 3/4 log(4/3), by hand.
    assert jensen_shannon(missing, target) == pytest.approx(0.75 * math.log(4 / 3), abs=2e-3)
