"""What a score must keep to."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.conformance import battery
from gan.conformance.checks import ensure
from gan.conformance.image_battery import ImageSubject
from gan.conformance.line_battery import LineSubject
from gan.plugins import registry
from gan.scores import family_of, sample_sizes, scores_of
from gan.scores.contract import Players, Reference
from gan.scores.scorer import Scorer
from gan.targets import Gaussian, Images, Mixture, Point, RealLine, Target

FAR = 1e3  # on the real line, where no built-in target has any mass
REAL_SEED = 1234


class Subject:
    """A score of a target.

    Args:
        name: Its name.
        target: What samples should be like.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name, self.target = name, target
        self.of_plugin = name in registry.plugin_names("score")
        scores = scores_of(target, (name,) if self.of_plugin else ())
        self.score = next(score for score in scores if score.name == name)
        self.scorer = Scorer([self.score], _reference(target), *sample_sizes(target))

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """What stands beside the score."""
        return self.scorer.references()

    @property
    def size(self) -> int:
        """Samples of an evaluation."""
        return self.scorer.final_size if self.score.final else self.scorer.curve_size

    def measure(self, samples: Tensor) -> float:
        """Return the score of samples, beside a discriminator that knows nothing of a perfect generator."""
        if self.score.final:
            known = self.target if isinstance(self.target, RealLine) else None
            return self.scorer.final(samples, Players(_undecided, known))[self.name]
        return self.scorer.curve(samples)[self.name]

    @cached_property
    def real(self) -> Tensor:
        """Samples of the target, [size, dimension]."""
        if isinstance(self.target, Images):
            return self.target.load(Path("nowhere")).train[: self.size]
        if isinstance(self.target, Point):
            return torch.tensor([[0.1, 0.2]])
        assert isinstance(self.target, RealLine)
        return self.target.sample((self.size,), torch.Generator().manual_seed(REAL_SEED))

    @cached_property
    def noise(self) -> Tensor:
        """Samples of nothing: uniform pixels; on the real line a heap where no data are."""
        generator = torch.Generator().manual_seed(REAL_SEED)
        if isinstance(self.target, Images):
            return torch.randint(256, self.real.shape, generator=generator, dtype=torch.uint8)
        return FAR + torch.rand(self.real.shape, generator=generator)


def checks(subject: Subject) -> dict[str, Callable[[Subject], None]]:
    """Return the checks of a score."""
    of_data: dict[str, Callable[[Subject], None]] = {
        "the order of samples is nothing": unordered,
        **({"real data score better than noise": telling} if subject.score.direction else {}),
        "a floor stands beside it": floored,
    }
    return {
        "a finite number, of real data and of noise": finite,
        "the same samples score the same": repeatable,
        "samples of another shape are refused": strict,
        **(of_data if subject.score.floor != "none" else {}),
        **({"right for the generators whose answer is known": answering} if subject.of_plugin else {}),
    }


def finite(subject: Subject) -> None:
    """Whatever a generator makes of finite numbers has a score."""
    for what, samples in (("real data", subject.real), ("noise", subject.noise)):
        value = subject.measure(samples)
        ensure(math.isfinite(value), f"{value} of {what}")


def repeatable(subject: Subject) -> None:
    """Where it draws, it draws by a fixed seed."""
    values: list[float] = []
    state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        values.append(subject.measure(subject.real))
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])
    ensure(values[0] == values[1], f"{values[0]!r} and then {values[1]!r} of the same samples")


def strict(subject: Subject) -> None:
    """The number of samples is part of what a score means."""
    for samples in (subject.real[:-1], torch.cat([subject.real, subject.real], dim=1)):
        try:
            value = subject.measure(samples)
        except ValueError:
            continue
        ensure(False, f"{value:g} of samples {tuple(samples.shape)}; expected a ValueError")


def unordered(subject: Subject) -> None:
    """Samples are independent: a score of their order would be one of the latents'."""
    n = subject.scorer.size_of(subject.score, subject.size)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    shuffled = torch.cat([subject.real[:n][order], subject.real[n:]])
    value, other = subject.measure(subject.real), subject.measure(shuffled)
    close = math.isclose(value, other, rel_tol=1e-3, abs_tol=1e-6)
    ensure(close, f"{value:g}, and {other:g} of the same samples in another order")


def telling(subject: Subject) -> None:
    """A score that does not tell data from noise in its direction says nothing, or the reverse."""
    real, noise, direction = subject.measure(subject.real), subject.measure(subject.noise), subject.score.direction
    better = real < noise if direction == "lower" else real > noise
    ensure(better, f"{real:g} of real data and {noise:g} of noise; expected the {direction} one of real data")


def floored(subject: Subject) -> None:
    """What real data score at the same size says how good is good."""
    stands: dict[str, Any] = subject.references.get(subject.name, {})
    floor = stands.get("floor")
    ensure(isinstance(floor, float) and math.isfinite(floor), f"{floor} of real data")
    ensure((stands["label"], stands["direction"]) == (subject.score.label, subject.score.direction), f"{stands}")


def answering(subject: Subject) -> None:
    """The battery; the tests run it on the built-in scores."""
    if made := _battery_subject(subject.target):
        wrong = {cell.generator: cell.wrong for cell in battery.run([subject.score], made)}
        generator, why = next(((name, why) for name, why in wrong.items() if why), ("", ""))
        ensure(not why, f"{generator}: {why}")


# Features of real images take a second.
@cache
def _battery_subject(target: Target) -> battery.Subject | None:
    if isinstance(target, Images):
        return ImageSubject(target)
    return LineSubject(target) if isinstance(target, Gaussian | Mixture) else None


@cache
def _reference(target: Target) -> Reference:
    return family_of(target).reference(target, Path("nowhere"), "cpu", "test")


def _undecided(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full_like(points, 0.5)
