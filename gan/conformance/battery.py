"""The known-answer battery: generators whose right scores are known, and what each score makes of them.

A score may rank only what it measures rightly. Each score says in `Score.known` what it must give for which of these
generators: a value where theory has one, else its place beside real data. A generator draws anew in each of 20 draws;
a value must be met to 4 standard errors over the draws, an order in 19 of them.
"""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gan.plugins.components import Known, Score
from gan.scores import sample_sizes
from gan.scores.contract import Players, Reference, Samples
from gan.targets import Target

DRAWS: Final = 20
ERRORS: Final = 4.0
"""Standard errors that a mean over the draws may be off."""
ORDERED: Final = 19
"""Draws, of 20, in which an order must hold."""
EXACT: Final = 1e-6
"""By how much a value may be off, of its size, that is the same in every draw: rounding."""

UNDECIDED: Final = Players(lambda points: np.full_like(points, 0.5))
"""The best discriminator against a perfect generator, and no good one against any other."""

REAL: Final = "real"
"""The generator that all others are compared with: a perfect one."""

Generator = Callable[[int, torch.Generator], Tensor]
"""From a number of samples and random numbers to samples [n, dimension], as a scorer takes them."""


class Subject(ABC):
    """A kind of target that scores are tried on: see `gan/conformance/line_battery.py` and `image_battery.py`.

    Args:
        target: Which.
        reference: What scores may know of real data.
    """

    def __init__(self, target: Target, reference: Reference) -> None:
        self.reference, self.sizes = reference, sample_sizes(target)

    @property
    @abstractmethod
    def generators(self) -> dict[str, Generator]:
        """The generators by name, the perfect one as `REAL`."""


def integers(below: int, n: int, rng: torch.Generator) -> Tensor:
    """Return n whole numbers from 0, below a limit: int64 [n]."""
    return torch.randint(below, (n,), generator=rng)


@dataclass(frozen=True)
class Cell:
    """What a score gave for a generator.

    Attributes:
        score: Its name.
        generator: Its name.
        expected: What it must give: a number, or ``real``, ``lower`` or ``higher``.
        values: What it gave, a number a draw.
        real: What it gave for real data, a number a draw.
    """

    score: str
    generator: str
    expected: float | str
    values: tuple[float, ...]
    real: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the draws."""
        return float(np.mean(self.values))

    @property
    def wrong(self) -> str:
        """Why it is not what is expected; empty where it is."""
        values, real = np.asarray(self.values), np.asarray(self.real)
        if not np.isfinite(values).all():
            return f"{int((~np.isfinite(values)).sum())} of {len(values)} are not finite"
        if self.expected in ("lower", "higher"):
            right = int(np.sum(values < real if self.expected == "lower" else values > real))
            least = math.ceil(len(values) * ORDERED / DRAWS)
            found = f"{self.mean:.4g}, and {real.mean():.4g} of real data"
            return "" if right >= least else f"{found}: {self.expected} in {right} of {len(values)} draws"
        expected = real.mean() if self.expected == "real" else float(self.expected)
        spread = values.var(ddof=1) + (real.var(ddof=1) if self.expected == "real" else 0.0)
        error = math.sqrt(spread / len(values))
        if abs(values.mean() - expected) <= ERRORS * error + EXACT * max(1.0, abs(expected)):
            return ""
        what = "as real data" if self.expected == "real" else "by theory"
        return f"{values.mean():.4g} ± {error:.2g}; expected {expected:.4g}, {what}"


def answers(score: Score) -> Mapping[str, Known]:
    """Return what a score must give: its own answers, else what follows from its direction for the plainest cases."""
    if score.known or score.direction is None:
        return score.known
    worse: Known = "higher" if score.direction == "lower" else "lower"
    return {"held_out": "real", **dict.fromkeys(("noise", "constant", "one_bad"), worse)}


def run(scores: Sequence[Score], subject: Subject, generators: Iterable[str] = (), draws: int = DRAWS) -> list[Cell]:
    """Measure generators by scores, and return what each score that says something of a generator gave for it.

    Args:
        scores: Of one kind of target.
        subject: That kind of target.
        generators: Names of some; empty: all.
        draws: Of each generator.
    """
    made = {REAL: _measured(scores, subject, REAL, draws)}
    cells: list[Cell] = []
    for name in generators or subject.generators:
        defined = [score for score in scores if name in answers(score)]
        if name not in made:
            made[name] = _measured(defined, subject, name, draws)
        for score in defined:
            known = answers(score)[name]
            expected = known(subject.reference, _size(score, subject)) if callable(known) else known
            cells.append(Cell(score.name, name, expected, made[name][score.name], made[REAL][score.name]))
    return cells


def _measured(scores: Sequence[Score], subject: Subject, name: str, draws: int) -> dict[str, tuple[float, ...]]:
    """Measure a generator by some scores, beside a discriminator that knows nothing: a number a draw."""
    values: dict[str, list[float]] = {score.name: [] for score in scores}
    for draw in range(draws):
        made: dict[int, Samples] = {}
        for score in scores:
            if (n := _size(score, subject)) not in made:
                rng = torch.Generator().manual_seed(zlib.crc32(f"{name}/{draw}".encode()))
                made[n] = Samples(subject.generators[name](n, rng), UNDECIDED)
            value = score.measure(made[n], subject.reference)
            values[score.name].append(math.nan if value is None else float(value))
    return {score: tuple(found) for score, found in values.items()}


def _size(score: Score, subject: Subject) -> int:
    """Return how many samples a score is taken on: at the end, or through training where it is taken only then."""
    return score.size or subject.reference.size or subject.sizes[1 if score.final else 0]
