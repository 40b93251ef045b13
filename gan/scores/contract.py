"""What a score is given: samples, and what is known of real data. Nothing here imports torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

T = TypeVar("T")


Split = Literal["test", "validation"]
"""Which held-out data samples are compared with: those of results, or those that settings are chosen by."""


class Density(Protocol):
    """An exact distribution on the real line, elementwise."""

    def pdf(self, x: ArrayLike) -> Floats:
        """Density."""
        ...

    def cdf(self, x: ArrayLike) -> Floats:
        """Distribution function."""
        ...

    def quantile(self, p: ArrayLike) -> Floats:
        """Inverse of the distribution function."""
        ...


@dataclass(frozen=True)
class Players:
    """What is known of the two players at the end of training.

    Attributes:
        discriminator: The trained D on the real line, from points [m] to probabilities [m].
        known: The generator's exact distribution, where it has one.
    """

    discriminator: Callable[[Floats], Floats] | None = None
    known: Density | None = None


NO_PLAYERS: Final = Players()


def not_finite(samples: Tensor) -> str:
    """Say how many samples [n, ...] are not finite, and which is the first; empty where all are finite."""
    bad = ~samples.isfinite().flatten(1).all(dim=1)
    if not bad.any():
        return ""
    count, first = int(bad.sum()), int(bad.int().argmax())
    return f"{count:,} of {len(bad):,} generated samples are not finite, the first is row {first:,}"


class Samples:
    """The samples of one evaluation, which all scores share: what it hands out is a copy or read-only.

    Args:
        tensor: [n, dimension], on any device: float32 on the real line, uint8 pixels of images.
        players: What is known of the two players, at the end of training.

    Raises:
        ValueError: No samples, or samples that are not finite: how many, and which is the first.
    """

    def __init__(self, tensor: Tensor, players: Players = NO_PLAYERS) -> None:
        if not len(tensor):
            raise ValueError("generated samples: 0; expected at least 1")
        if why := not_finite(tensor):
            raise ValueError(why)
        self._tensor = tensor.detach().cpu()
        self._made: dict[Callable[..., Any], Any] = {}
        self.players = players

    def __len__(self) -> int:
        return len(self._tensor)

    @property
    def tensor(self) -> Tensor:
        """A copy of the samples, [n, dimension], on the CPU."""
        return self._tensor.clone()

    @cached_property
    def values(self) -> Floats:
        """Samples on the real line as float64 [n], read-only."""
        values = self.tensor.double().flatten().numpy()
        values.setflags(write=False)
        return values

    def once(self, compute: Callable[[Samples], T]) -> T:
        """What `compute` makes of these samples, worked out for the first score that asks; no score may change it."""
        if compute not in self._made:
            self._made[compute] = compute(self)
        return cast(T, self._made[compute])


class Reference(ABC):
    """What scores may know of real data; each family of targets has its reference.

    Attributes:
        dimension: Numbers in a sample.
        size: Samples that a score is taken on which asks for no number; None: all of an evaluation.
    """

    dimension: int
    size: int | None = None

    @property
    @abstractmethod
    def real(self) -> Tensor:
        """A copy of real samples, [m, dimension], to compare with."""

    @abstractmethod
    def draws(self, n: int) -> Iterator[Tensor]:
        """Yield sets of n real samples, none of which are in `real`: their mean score is a floor."""

    def noise(self, n: int) -> Tensor | None:
        """Return n samples of noise, the same every time; None where no noise is as natural as another."""
        return None
