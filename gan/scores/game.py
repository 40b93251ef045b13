"""The score of the game of two numbers, whose equilibrium is x = y = 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gan.plugins.components import Score
from gan.scores.contract import Reference, Samples, Split

if TYPE_CHECKING:
    import torch

    from gan.targets import Point


class GameReference(Reference):
    """A game has no data."""

    dimension = 2

    @property
    def real(self) -> torch.Tensor:
        """Nothing, [0, 2]."""
        import torch

        return torch.empty(0, 2)

    def draws(self, n: int) -> Iterator[torch.Tensor]:
        """No set of anything."""
        return iter(())


def radius(samples: Samples, reference: Reference) -> float:
    """Distance from the equilibrium; the one sample is (x, y)."""
    return float(samples.tensor.double().norm())


def sizes(target: Point) -> tuple[int, int]:
    """Samples of an evaluation through training, and at the end."""
    return 1, 1


def scores(target: Point) -> tuple[Score, ...]:
    """The scores, the leading one first."""
    label = "distance from the equilibrium"
    return (Score("radius", label, "lower", radius, floor="none", log=True, needs=frozenset({"game"})),)


def reference(target: Point, data_dir: Path, device: torch.device | str, split: Split) -> GameReference:
    """What scores may know of real data."""
    return GameReference()
