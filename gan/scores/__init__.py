"""What is measured on samples: which scores a target has, and what decides their values.

This face imports no torch; `gan.scores.factory.make_scorer` does the measuring.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gan.errors import InputError, shortened, shown
from gan.plugins import registry
from gan.targets import Images, Mixture, Point, Target

__all__ = ["KS_SIZE", "PROTOCOL", "WEIGHTS", "Score", "Split", "sample_sizes", "scores_of", "scoring_digest"]

Split = Literal["test", "validation"]
"""Which held-out data samples are compared with: those of results, or those that settings are chosen by."""

PROTOCOL: Final = 2
"""Raise it whenever a score's definition changes: replicas scored otherwise then get other ids."""

WEIGHTS: Final = Path(__file__).parent / "weights"
"""Where ``<dataset>.safetensors``, a committed classifier, and its card ``<dataset>.json`` stand."""

KS_SIZE: Final = 10_000
"""Samples on the real line that all scores but the divergence at the end are taken on."""

_REAL_LINE_SIZES: Final = (KS_SIZE, 100_000)
_IMAGE_SIZES: Final = {"digits": (500, 500), "mnist": (2_000, 10_000), "fashion_mnist": (2_000, 10_000)}


@dataclass(frozen=True)
class Score:
    """A number that says how good samples are.

    Attributes:
        name: States its protocol, such as ``fid_10k``: FID at 10,000 samples.
        label: For axes and tables.
        direction: Which way is better.
        final: Taken at the end of training, as a result.
        curve: Taken through training, as a history.
    """

    name: str
    label: str
    direction: Literal["lower", "higher"]
    final: bool = True
    curve: bool = True


_KS: Final = Score("ks", "KS statistic", "lower")
_BINS: Final = Score("coverage", "Share of 100 bins covered", "higher")
_DIVERGENCES: Final = (
    Score("jsd_100k", "JS divergence at 100,000 samples", "lower", curve=False),
    Score("jsd_10k", "JS divergence at 10,000 samples", "lower", final=False),
)
_OPTIMALITY: Final = Score("d_gap", "distance of D from the optimum", "lower", curve=False)
_RADIUS: Final = Score("radius", "distance from the equilibrium", "lower")
_QUALITY: Final = Score("hq_share", "High-quality share", "higher")


def sample_sizes(target: Target) -> tuple[int, int]:
    """Samples that the scores of a target need: through training, and at the end."""
    if isinstance(target, Images):
        return _IMAGE_SIZES[target.dataset]
    return (1, 1) if isinstance(target, Point) else _REAL_LINE_SIZES


def scores_of(target: Target, own: Sequence[str] = ()) -> tuple[Score, ...]:
    """The scores of a target, the leading one first, and behind them those of plugins.

    Args:
        target: What samples should be like.
        own: Names of plugins' scores, as `Scoring.scores` has them.

    Raises:
        InputError: One of them is not loaded.
    """
    added = [registry.score(name) for name in own]
    return *_ours(target), *(Score(s.name, s.label, s.direction, s.final, s.curve) for s in added)


def _ours(target: Target) -> tuple[Score, ...]:
    if isinstance(target, Images):
        curve, final = sample_sizes(target)
        distances = [Score(fid_name(final), f"FID at {final:,} samples", "lower", curve=curve == final)]
        if curve != final:
            distances.append(Score(fid_name(curve), f"FID at {curve:,} samples", "lower", final=False))
        classes = Score("modes", "Classes covered of 10", "higher")
        return *distances, classes, _QUALITY, Score("mode_kl", "KL to the real class shares", "lower")
    if isinstance(target, Mixture):
        modes = Score("modes", f"Modes captured of {target.modes}", "higher")
        mode_kl = Score("mode_kl", "KL of modes to uniform", "lower")
        return _KS, modes, _QUALITY, mode_kl, _BINS, *_DIVERGENCES, _OPTIMALITY
    if isinstance(target, Point):
        return (_RADIUS,)
    return _KS, _BINS, *_DIVERGENCES, _OPTIMALITY


def scoring_digest(target: Target) -> str:
    """A digest of what decides a target's scores besides the samples: the definitions and the classifier.

    Raises:
        InputError: The classifier's card cannot be read.
    """
    parts = [f"protocol {PROTOCOL}"]
    if isinstance(target, Images):
        parts.append(str(read_card(target.dataset)["weights_sha256"]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def read_card(dataset: str) -> dict[str, object]:
    """What is known of a committed classifier: its accuracy, digests, seed and the command that made it.

    Raises:
        InputError: The card is missing, no JSON, or does not say which weights it is of.
    """
    path = WEIGHTS / f"{dataset}.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not re.fullmatch("[0-9a-f]{64}", str(card["weights_sha256"])):
            raise ValueError(f"weights_sha256 is {shown(card['weights_sha256'])}")
        return card
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = "no weights_sha256" if isinstance(error, LookupError | TypeError) else shortened(str(error), 200)
        raise InputError(f"{path}: not the card of a classifier ({reason}); {restore_hint(dataset)}") from error


def restore_hint(dataset: str) -> str:
    """How to get a classifier's committed files back."""
    return (
        "expected the committed file: restore it with `git checkout -- gan/scores/weights`, "
        f"or make it anew with `python -m gan.scores.train_classifier {dataset}`"
    )


def fid_name(size: int) -> str:
    """Such as ``fid_10k`` and ``fid_500``: the bias of FID depends on the number of samples."""
    return f"fid_{size // 1000}k" if size % 1000 == 0 else f"fid_{size}"
