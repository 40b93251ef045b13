"""From samples to scores: one scorer per target, made once and used at every evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.errors import InputError
from gan.scores import Split, family_of, sample_sizes, scores_of, spans_decades
from gan.scores.contract import NO_PLAYERS, Players, Reference, Samples

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gan.plugins.components import Score
    from gan.targets import Target


class Scorer:
    """Measures samples by some scores.

    Args:
        scores: What is measured, in this order.
        reference: What is known of real data.
        curve_size: Samples that `curve` takes.
        final_size: Samples that `final` takes.

    Raises:
        InputError: A score takes more samples than there are.
    """

    def __init__(self, scores: Sequence[Score], reference: Reference, curve_size: int, final_size: int) -> None:
        self.scores, self.reference = tuple(scores), reference
        self.curve_size, self.final_size = curve_size, final_size
        for score in self.scores:
            least = min(size for size, taken in ((curve_size, score.curve), (final_size, score.final)) if taken)
            if (size := self.size_of(score, least)) > least:
                raise InputError(
                    f"the score {score.name}: size: expected at most {least:,}, the samples of an evaluation, "
                    f"got {size:,}"
                )

    def curve(self, samples: Tensor) -> dict[str, float]:
        """Scores through training.

        Args:
            samples: [curve_size, dimension], finite; float for the real line, uint8 for images; any device.

        Raises:
            ValueError: Another shape, for N is part of what a score means; or numbers that are not finite.
            RuntimeError: A score failed: its name, and what it raised.
        """
        return self._measure([score for score in self.scores if score.curve], samples, self.curve_size, NO_PLAYERS)

    def final(self, samples: Tensor, players: Players = NO_PLAYERS) -> dict[str, float]:
        """Scores of the end: as `curve`, of samples [final_size, dimension], and of the players where given."""
        given = players.discriminator is not None
        scores = [score for score in self.scores if score.final and (given or not score.players)]
        return self._measure(scores, samples, self.final_size, players)

    def references(self) -> dict[str, dict[str, Any]]:
        """What to set beside each score.

        Returns:
            By score: ``label``, ``direction``, ``n`` (samples), ``floor`` (what real data score at the same
            n; None where there is none) and ``noise`` (what uniform noise scores; None on the real line); where the
            floor is measured ``floor_std`` and ``draws`` (its standard deviation over so many sets of real data); of a
            plugin's score that spans decades ``log``, of one that counts what is covered ``covers``. Deterministic.
        """

        @cache
        def real(n: int) -> list[Samples]:
            return [Samples(draw) for draw in self.reference.draws(n)]

        @cache
        def noise(n: int) -> Samples | None:
            made = self.reference.noise(n)
            return None if made is None else Samples(made)

        def floor(score: Score, n: int) -> dict[str, Any]:
            if callable(score.floor):
                return {"floor": float(score.floor(self.reference, n))}
            if score.floor == "none":
                return {"floor": None}
            values = [value for draw in real(n) if (value := self._value(score, draw)) is not None]
            spread = statistics.stdev(values) if len(values) > 1 else None
            return {"floor": statistics.fmean(values), "floor_std": spread, "draws": len(values)}

        table: dict[str, dict[str, Any]] = {}
        for score in self.scores:
            made = self.final_size if score.final else self.curve_size
            # A score without a floor is of no data: its n is the family's usual number.
            n = (self.reference.size or made) if score.floor == "none" else self.size_of(score, made)
            row = {"label": score.label, "direction": score.direction, "n": n, **floor(score, n)}
            row["noise"] = self._value(score, samples) if (samples := noise(n)) is not None else None
            facts = {"log": score.log and not spans_decades(score.name), "covers": score.covers}
            table[score.name] = row | {name: True for name, holds in facts.items() if holds}
        return table

    def size_of(self, score: Score, made: int) -> int:
        """Return how many of the samples of an evaluation a score is taken on: the first so many."""
        return score.size or self.reference.size or made

    def _measure(self, scores: Sequence[Score], samples: Tensor, made: int, players: Players) -> dict[str, float]:
        if samples.shape != (expected := (made, self.reference.dimension)):
            raise ValueError(f"samples of shape {tuple(samples.shape)}; this score is defined for {expected}")

        @cache
        def first(n: int) -> Samples:
            return Samples(samples[:n], players)

        taken = {score.name: self._value(score, first(self.size_of(score, made))) for score in scores}
        return {name: value for name, value in taken.items() if value is not None}

    def _value(self, score: Score, samples: Samples) -> float | None:
        try:
            value = score.measure(samples, self.reference)
            return None if value is None else float(value)
        except (MemoryError, SystemError):  # of the machine, and no fault of the score
            raise
        except Exception as error:
            raise RuntimeError(f"the score {score.name}: {type(error).__name__}: {error}") from error


def make_scorer(
    target: Target,
    data_dir: Path,
    device: torch.device | str = "cpu",
    split: Split = "test",
    plugin_scores: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Scorer:
    """The scorer of a target; of images it reads the data and extracts real features once.

    Args:
        target: What the samples should be like.
        data_dir: A torchvision root; only MNIST and Fashion-MNIST look at it.
        device: Where features are extracted; statistics are on the CPU.
        split: Which images to compare with. The other targets are known exactly and have no data to hold out:
            there it changes nothing.
        plugin_scores: Scores of plugins that are taken beside the target's.
        only: Of all of these the ones that are taken; empty: all.

    Raises:
        InputError: Data or weights that are missing or not the pinned ones, or a score that is not loaded.
    """
    reference = family_of(target).reference(target, data_dir, device, split)
    scores = [score for score in scores_of(target, plugin_scores) if not only or score.name in only]
    return Scorer(scores, reference, *sample_sizes(target))
