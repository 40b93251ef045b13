"""Scores of images, by the features of their data set's pinned classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gan.plugins.components import Score
from gan.scores import image_answers as answers
from gan.scores.contract import Samples, Split
from gan.scores.coverage import mode_scores

if TYPE_CHECKING:
    import torch

    from gan.scores.real_images import ImageReference
    from gan.targets import Images

NEEDS: Final = frozenset({"image", "labels", "features", "held_out"})

_SIZES: Final = {"digits": (500, 500), "mnist": (2_000, 10_000), "fashion_mnist": (2_000, 10_000)}


def fid_name(size: int) -> str:
    """Such as ``fid_10k`` and ``fid_500``: the bias of FID depends on the number of samples."""
    return f"fid_{size // 1000}k" if size % 1000 == 0 else f"fid_{size}"


def distance(samples: Samples, reference: ImageReference) -> float:
    """The Fréchet distance of features: see `gan.scores.fid.fid`."""
    from gan.scores.fid import fid, statistics

    return fid(statistics(reference.features(samples)), reference.statistics)


def scores(target: Images) -> tuple[Score, ...]:
    """The scores, the leading one first."""
    curve, final = sizes(target)

    def fid(size: int) -> Score:
        label, at_end, on_the_way = f"FID at {size:,} samples", size == final, size == curve
        return Score(
            fid_name(size),
            label,
            "lower",
            distance,
            log=True,
            needs=NEEDS,
            final=at_end,
            curve=on_the_way,
            known=answers.DISTANCE,
        )

    classes = mode_scores("Classes of 10", "KL to the real class shares", NEEDS, answers.MODES)
    return *map(fid, dict.fromkeys((final, curve))), *classes


def sizes(target: Images) -> tuple[int, int]:
    """Samples of an evaluation through training, and at the end."""
    return _SIZES[target.dataset]


def reference(target: Images, data_dir: Path, device: torch.device | str, split: Split) -> ImageReference:
    """What scores may know of real images: see `ImageReference`."""
    from gan.scores.real_images import ImageReference

    return ImageReference(target, target.load(data_dir), device, split, size=sizes(target)[1])
