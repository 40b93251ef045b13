"""The generators of the known-answer battery on the real line: each is wrong in one known way, or perfect."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gan.conformance.battery import REAL, Generator, Subject, integers
from gan.scores import family_of
from gan.targets import Gaussian, Mixture, RealLine

SHIFT: Final = 0.5
"""Of the shifted generator, in standard deviations: of the Gaussian, or of a mode."""
SHRUNK: Final = 0.5
INFLATED: Final = 2.0
"""Standard deviation of the shrunk and of the inflated generator over the right one, of a mode of the mixture."""
JITTER: Final = 1e-3
"""Of the prototypes, in standard deviations."""
AUGMENTED: Final = 1e-2
"""Noise of the augmented data, in standard deviations."""
HEAVY: Final = 0.1
"""Share of the heavy tail: a Cauchy distribution of five standard deviations."""


class LineSubject(Subject):
    """A Gaussian or a mixture.

    Args:
        target: Which.
    """

    def __init__(self, target: Gaussian | Mixture) -> None:
        reference = family_of(target).reference(target, Path("nowhere"), "cpu", "test")
        super().__init__(target, reference)
        self.target: RealLine = target
        mixture = isinstance(target, Mixture)
        self.centres = torch.tensor(target.centres) if mixture else torch.tensor([target.mean])
        self.std = target.std
        self.low, self.high = (float(x) for x in target.quantile([1e-3, 1 - 1e-3]))

    @property
    def generators(self) -> dict[str, Generator]:
        """The generators by name, each from a number of samples and random numbers to samples, float32 [n, 1]."""
        made: dict[str, Callable[[int, torch.Generator], Tensor]] = {
            REAL: self._real,
            "held_out": self._real,
            "noise": self._noise,
            "constant": lambda n, rng: torch.full((n,), float(self.centres.mean())),
            "one_real": lambda n, rng: self._real(1, rng).expand(n),
            "one_bad": lambda n, rng: torch.full((n,), 2 * self.high - self.low),
            "prototypes": lambda n, rng: self._near(self._real(5, rng)[integers(5, n, rng)], JITTER, rng),
            "half": self._half,
            "shrunk": lambda n, rng: self._modes(n, rng, SHRUNK),
            "inflated": lambda n, rng: self._modes(n, rng, INFLATED),
            "shifted": lambda n, rng: self._real(n, rng) + SHIFT * self.std,
            "augmented": lambda n, rng: self._near(self._real(n, rng), AUGMENTED, rng),
            "heavy_tail": self._heavy_tail,
        }
        if len(self.centres) > 1:
            made |= {"dominated": self._dominated, "smear": self._smear}
        return {name: _as_samples(make) for name, make in made.items()}

    def _real(self, n: int, rng: torch.Generator) -> Tensor:
        return self.target.sample((n,), rng).flatten()

    def _near(self, x: Tensor, stds: float, rng: torch.Generator) -> Tensor:
        return x + stds * self.std * torch.randn(len(x), generator=rng)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Uniform over three times the range of the data."""
        width = self.high - self.low
        return self.low - width + 3 * width * torch.rand(n, generator=rng)

    def _half(self, n: int, rng: torch.Generator) -> Tensor:
        """The lower half of the target: of the mixture half of its modes."""
        x = self._real(4 * n, rng)
        return x[x < float(self.centres.mean())][:n]

    def _modes(self, n: int, rng: torch.Generator, scale: float) -> Tensor:
        """Right modes of another standard deviation."""
        mode = integers(len(self.centres), n, rng)
        return self.centres[mode] + scale * self.std * torch.randn(n, generator=rng)

    def _dominated(self, n: int, rng: torch.Generator) -> Tensor:
        """All in the first mode, and one in the middle of each other."""
        others = self.centres[1:]
        first = self.centres[0] + self.std * torch.randn(n - len(others), generator=rng)
        return torch.cat([first, others])

    def _smear(self, n: int, rng: torch.Generator) -> Tensor:
        """Uniform from 3 standard deviations below the first mode to 3 above the last: equal mass in all modes."""
        low, high = smear_range(self.centres.numpy(), self.std)
        return low + (high - low) * torch.rand(n, generator=rng)

    def _heavy_tail(self, n: int, rng: torch.Generator) -> Tensor:
        wild = torch.empty(n, dtype=torch.float64).cauchy_(float(self.centres.mean()), 5 * self.std, generator=rng)
        return torch.where(torch.rand(n, generator=rng) < HEAVY, wild.clamp(-1e6, 1e6), self._real(n, rng))


def smear_range(centres: ArrayLike, std: float) -> tuple[float, float]:
    """Return the ends of the smear over modes at `centres` [K]."""
    return float(np.min(centres)) - 3 * std, float(np.max(centres)) + 3 * std


def normal_share(deviations: float) -> float:
    """Return the share of a normal distribution within so many standard deviations."""
    return math.erf(deviations / math.sqrt(2))


def _as_samples(make: Callable[[int, torch.Generator], Tensor]) -> Generator:
    return lambda n, rng: make(n, rng).to(torch.float32).reshape(n, 1).contiguous()
