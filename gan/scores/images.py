"""Scores of images, by the features of their data set's pinned classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from gan.plugins.components import Known, Score
from gan.scores import image_answers as answers
from gan.scores.contract import Samples, Split
from gan.scores.coverage import mode_scores
from gan.scores.diversity import Spacing

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from gan.scores.fid import Moments
    from gan.scores.real_images import ImageReference
    from gan.targets import Images

NEEDS: Final = frozenset({"image", "labels", "features", "held_out"})

Direction = Literal["lower", "higher"] | None

DIRECTIONS: Final = 64
"""Random directions that images are projected on."""

_SIZES: Final = {"digits": (500, 500), "mnist": (2_000, 10_000), "fashion_mnist": (2_000, 10_000)}


def fid_name(size: int) -> str:
    """Such as ``fid_10k`` and ``fid_500``: the bias of FID depends on the number of samples."""
    return f"fid_{size // 1000}k" if size % 1000 == 0 else f"fid_{size}"


def distance(samples: Samples, reference: ImageReference) -> float:
    """The Fréchet distance of features: see `gan.scores.fid.fid`."""
    from gan.scores.fid import fid, statistics

    return fid(statistics(reference.features(samples)), reference.statistics)


def distance_at_infinity(samples: Samples, reference: ImageReference) -> float:
    """See `gan.scores.fid.fid_at_infinity`."""
    from gan.scores.fid import fid_at_infinity

    return fid_at_infinity(reference.features(samples), reference.statistics)


def kernel_distance(samples: Samples, reference: ImageReference) -> float:
    """See `gan.scores.fid.kid`."""
    from gan.scores.fid import Moments, kid

    return kid(Moments.of(reference.features(samples)), reference.once(_real_moments))


def sliced_wasserstein(samples: Samples, reference: ImageReference) -> float:
    """Wasserstein-1 distance of pixels in [0, 1], a mean over 64 random directions (Rabin et al., 2011, equation 7).

    The directions are the same every time.
    """
    n = len(samples)
    generated = np.sort(_projected(samples.tensor), axis=0)
    real = np.quantile(reference.once(_real_projected), (np.arange(n) + 0.5) / n, axis=0)
    return float(np.abs(generated - real).mean())


def diversity(samples: Samples, reference: ImageReference) -> float:
    """Effective size of the set of images beside that of as many real ones: see `gan.scores.diversity`."""
    from gan.scores.neighbours import own_distances

    return reference.once(_real_spacing(len(samples))).diversity_of(own_distances(samples.tensor))


def memorised(samples: Samples, reference: ImageReference) -> float:
    """Share of samples that are copies of training images, a hundredth of held-out ones: `gan.scores.neighbours`."""
    return reference.copies().share(samples.tensor)


def scores(target: Images) -> tuple[Score, ...]:
    """The scores, the leading one first."""
    curve, final = sizes(target)

    def fid(size: int) -> Score:
        label, at_end, on_the_way = f"FID at {size:,} samples", size == final, size == curve
        return _of(fid_name(size), label, "lower", distance, log=True, final=at_end, curve=on_the_way)

    classes = mode_scores("Classes of 10", "KL to the real class shares", NEEDS, answers.MODES, version=3)
    kid = fid_name(final).replace("fid", "kid")
    return (
        *map(fid, dict.fromkeys((final, curve))),
        *classes,
        _of("diversity", "Diversity", None, diversity, log=True, size=curve, known=answers.DIVERSITY),
        _of(
            "memorised", "Share of copies", None, memorised, answers.MEMORISED, floor=_held_out, curve=False, size=curve
        ),
        *(
            _of(name, *facts, curve=False, size=curve, known=answers.MANIFOLD[name])
            for name, facts in _MANIFOLD.items()
        ),
        _of(kid, f"KID at {final:,} samples", "lower", kernel_distance, curve=False),
        _of("fid_inf", "FID at infinitely many samples", "lower", distance_at_infinity, log=True, curve=False),
        _of("sliced_wasserstein", "Sliced Wasserstein", "lower", sliced_wasserstein, log=True, curve=False, size=curve),
    )


def _of(
    name: str,
    label: str,
    direction: Direction,
    measure: Callable[..., float],
    known: Mapping[str, Known] = answers.DISTANCE,
    **facts: Any,
) -> Score:
    """Return a score of images; unless it is said, it is a distance between distributions."""
    return Score(name, label, direction, measure, needs=NEEDS, known=known, **facts)


def _in_manifold(name: str) -> Callable[..., float]:
    def measure(samples: Samples, reference: ImageReference) -> float:
        return getattr(samples.once(reference.manifold), name)

    return measure


_MANIFOLD: Final[dict[str, tuple[str, Direction, Callable[..., float]]]] = {
    "precision": ("Precision", "higher", _in_manifold("precision")),
    "recall": ("Recall", None, _in_manifold("recall")),
    "density": ("Density", "higher", _in_manifold("density")),
    "manifold_coverage": ("Coverage of the manifold", "higher", _in_manifold("manifold_coverage")),
}


def _held_out(reference: ImageReference, n: int) -> float:
    from gan.scores.neighbours import HELD_OUT_SHARE

    return HELD_OUT_SHARE


def _real_moments(reference: ImageReference) -> Moments:
    from gan.scores.fid import Moments

    return Moments.of(reference.real_features)


def _projected(images: torch.Tensor) -> NDArray[np.float32]:
    """Return images along random directions, [n, 64]."""
    import torch

    directions = torch.randn(images.shape[1], DIRECTIONS, generator=torch.Generator().manual_seed(0))
    return (images.float() / 255 @ (directions / directions.norm(dim=0))).numpy()


def _real_projected(reference: ImageReference) -> NDArray[np.float32]:
    return _projected(reference.real)


@cache
def _real_spacing(n: int) -> Callable[[ImageReference], Spacing]:
    """Return what measures the distances between neighbours among n real images."""

    def spacing(reference: ImageReference) -> Spacing:
        from gan.scores.neighbours import own_distances

        return Spacing.of_distances([own_distances(images) for images in reference.draws(n)])

    return spacing


def sizes(target: Images) -> tuple[int, int]:
    """Samples of an evaluation through training, and at the end."""
    return _SIZES[target.dataset]


def reference(target: Images, data_dir: Path, device: torch.device | str, split: Split) -> ImageReference:
    """What scores may know of real images: see `ImageReference`."""
    from gan.scores.real_images import ImageReference

    return ImageReference(target, target.load(data_dir), device, split, size=sizes(target)[1])
