"""Evaluate one replica through its training and at its end: samples from fixed latents, and their scores.

What the scores compare with is one `EvalSplit`, or two: test data, and validation data on latents of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.engine import random_streams
from gan.engine.failures import Diverged
from gan.model.step import State, StepConfig
from gan.replica import Replica, Scoring
from gan.scores import Split
from gan.scores.contract import NO_PLAYERS, Players, not_finite
from gan.scores.scorer import Scorer, make_scorer
from gan.targets import Gaussian, Target

STREAMS: Final[dict[Split, str]] = {"test": "evaluation", "validation": "validation"}
"""Where a split's latents come from: settings chosen by one stream say nothing of the other. The variants of one seed
share them, and other seeds have others: else the draw's share of a score would be the same in every replica, and no
interval would have it."""


@dataclass(frozen=True)
class EvalSplit:
    """One split of the data that a replica is scored against.

    Attributes:
        split: Which.
        scorer: Its scores.
        curves: What they stand under in the history, such as ``score`` of ``score/ks``.
        finals: What their columns of the ledger begin with.
    """

    split: Split
    scorer: Scorer
    curves: Literal["score", "validation"] = "score"
    finals: Literal["", "validation/"] = ""


def eval_splits(
    target: Target,
    split: Literal["test", "validation", "both"],
    data_dir: Path,
    device: torch.device,
    plugin_scores: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> list[EvalSplit]:
    """Return the splits that `Scoring.split` asks for, the one whose samples are kept first.

    The game of two numbers has neither data nor latents: nothing can be held out, and its one split is the test. The
    scores of plugins are taken beside the target's; of all of them `only` those named, unless it is empty.

    Raises:
        InputError: The target's data or the pinned classifier cannot be read.
    """
    held_out = "game" not in target.provides
    first: Split = "validation" if split == "validation" and held_out else "test"
    splits = [EvalSplit(first, _scorer(target, data_dir, device, first, plugin_scores, only))]
    if split == "both" and held_out:
        scorer = _scorer(target, data_dir, device, "validation", plugin_scores, only)
        splits.append(EvalSplit("validation", scorer, "validation", "validation/"))
    return splits


# A worker's cohorts of one study share what real data cost: two of each, for both splits.
@lru_cache(maxsize=2)
def _scorer(
    target: Target,
    data_dir: Path,
    device: torch.device,
    split: Split,
    plugin_scores: tuple[str, ...],
    only: tuple[str, ...],
) -> Scorer:
    return make_scorer(target, data_dir, device, split, plugin_scores, only)


@lru_cache(maxsize=2)
def references_of(split: EvalSplit) -> dict[str, Any]:
    """Return what real data and noise score on a split, by score."""
    return split.scorer.references()


class Evaluation:
    """The evaluations of one replica.

    Args:
        replica: Which.
        config: Its networks.
        target: What its samples should be like.
        scoring: How it is evaluated.
        splits: From `eval_splits`; the samples of the first are kept.
        device: Where it is trained.
    """

    def __init__(
        self,
        replica: Replica,
        config: StepConfig,
        target: Target,
        scoring: Scoring,
        splits: Sequence[EvalSplit],
        device: torch.device,
    ) -> None:
        self.variant, self.seed = replica.variant, replica.seed
        self.config, self.target, self.scoring = config, target, scoring
        self.splits, self.device = splits, device
        self.history: list[tuple[int, str, float]] = []
        self._progress: list[tuple[int, Tensor]] = []

    def during(self, at: int, state: State) -> None:
        """Score the replica after step `at`."""
        for each in self.splits:
            samples = self.sample(state, each.scorer.curve_size, each.split)
            self.history += [(at, f"{each.curves}/{name}", v) for name, v in each.scorer.curve(samples).items()]
            if each is self.splits[0]:
                self._progress.append((at, samples[: self.target.progress_samples]))

    def resume(self, history: list[tuple[int, str, float]], progress: dict[str, Tensor]) -> None:
        """Take up evaluations that were made before: their `history`, and what `progress` returned, as tensors."""
        self.history = history
        self._progress = [
            (int(at), kept.to(self.device))
            for at, kept in zip(progress.get("steps", ()), progress.get("progress", ()), strict=True)
        ]

    def progress(self) -> dict[str, NDArray[Any]]:
        """Return the samples kept on the way, ``progress`` [evaluations, ...], and the ``steps`` they are of."""
        if not self._progress:
            return {}
        steps, kept = zip(*self._progress, strict=True)
        return {"progress": torch.stack(kept).cpu().numpy(), "steps": np.array(steps)}

    def final(self, state: State) -> tuple[dict[str, float], NDArray[Any]]:
        """Score the replica as its training leaves it.

        Returns:
            Its columns of the ledger, and the samples to keep.
        """
        first, *others = self.splits
        players = self._players(state)
        samples = self.sample(state, first.scorer.final_size, first.split)
        row = first.scorer.final(samples, players)
        if "game" not in self.target.provides and first.split == "test":
            # The same replica on other latents: how much of the spread is the evaluation's own. A search has no use
            # for it.
            again = first.scorer.final(self.sample(state, first.scorer.final_size, first.split, draw=1))
            row |= {f"repeat/{name}": value for name, value in again.items()}
        for other in others:
            scores = other.scorer.final(self.sample(state, other.scorer.final_size, other.split), players)
            row |= {f"{other.finals}{name}": value for name, value in scores.items()}
        return row, samples[: self.target.final_samples].cpu().numpy()

    def sample(self, state: State, n: int, split: Split = "test", draw: int = 0) -> Tensor:
        """Generate `n` samples from a split's latents, drawn for the time `draw`.

        Returns:
            float32 [n, 1] on the real line, uint8 [n, pixels] for images, quantised as the real ones are; of the
            game of two numbers these, [1, 2].

        Raises:
            Diverged: Samples that are not finite.
        """
        if "game" in self.target.provides:
            return torch.cat([x for player in state for x in player.params.values()], dim=1)
        generated = self._generate(state, n, split, draw)
        if why := not_finite(generated):  # here, since whole numbers, as pixels are, cannot say so
            raise Diverged(why)
        return self.target.as_data(generated, self.variant)

    def finite(self, state: State) -> bool:
        """Say whether the samples that scores are taken on are finite, before images are quantised, and D's outputs."""
        if "game" in self.target.provides:
            return True
        params, buffers, _ = state.discriminator
        for each in self.splits:
            for draw in (0, 1):
                samples = self._generate(state, each.scorer.final_size, each.split, draw)
                with torch.no_grad():
                    output, _ = self.config.discriminator(params, buffers, samples[:2_000], training=False)
                if not torch.isfinite(samples).all() or not torch.isfinite(output).all():
                    return False
        return True

    def _generate(self, state: State, n: int, split: Split, draw: int) -> Tensor:
        """Return what the generator makes of a split's latents, [n, dimension]."""
        rng = random_streams.generator(self.seed, f"{STREAMS[split]}/{self.scoring.seed}", draw, self.device)
        latents = random_streams.latents(self.variant.latent, (n, self.variant.latent_dim), rng)
        training = self.scoring.sampling == "train"
        params, buffers, _ = state.generator
        with torch.no_grad():
            batches = latents.split(self.variant.batch_size if training else 2_000)
            return torch.cat([self.config.generator(params, buffers, z, training=training)[0] for z in batches])

    def _players(self, state: State) -> Players:
        """Return what scores on the real line may know of the two players."""
        if "line" not in self.target.provides:
            return NO_PLAYERS
        params, buffers, _ = state.discriminator

        def discriminator(points: NDArray[np.float64]) -> NDArray[np.float64]:
            x = torch.tensor(points, dtype=torch.float32, device=self.device)[:, None]
            with torch.no_grad():
                output, _ = self.config.discriminator(params, buffers, x, training=False)
            output = torch.sigmoid(output) if self.config.output == "logit" else output
            return output.flatten().double().cpu().numpy()

        variant = self.variant
        fixed = variant.generator == "fixed_gaussian"
        return Players(discriminator, Gaussian(variant.fixed_mean, variant.fixed_std) if fixed else None)
