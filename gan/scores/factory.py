"""The scorer of a target, with the scores of plugins that a study takes beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from gan.plugins import registry
from gan.scores import Split
from gan.scores.plugin_scores import with_plugin_scores
from gan.scores.scorer import ImageScorer, PointScorer, RealLineScorer, Scorer
from gan.targets import Images, Point, Target


def make_scorer(
    target: Target,
    data_dir: Path,
    device: torch.device | str = "cpu",
    split: Split = "test",
    own: Sequence[str] = (),
) -> Scorer:
    """The scorer of a target; of images it reads the data and extracts real features once.

    Args:
        target: What the samples should be like.
        data_dir: A torchvision root; only MNIST and Fashion-MNIST look at it.
        device: Where features are extracted; statistics are on the CPU.
        split: Which images to compare with. The other targets are known exactly and have no data to hold out:
            there it changes nothing.
        own: Scores of plugins that are taken beside the target's.

    Raises:
        InputError: Data or weights that are missing or not the pinned ones, or a score that is not loaded.
    """
    if isinstance(target, Images):
        scorer = ImageScorer(target, data_dir, device, split)
    else:
        scorer = PointScorer() if isinstance(target, Point) else RealLineScorer(cast(Any, target))
    return with_plugin_scores(scorer, [registry.score(name) for name in own])
