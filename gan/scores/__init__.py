"""What is measured on samples: which scores a target has, and what decides their values.

A family of targets has a module: its scores as a list, and what they may know of real data. This face imports no torch;
`gan.scores.scorer.make_scorer` does the measuring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gan.plugins import registry
from gan.plugins.components import Score
from gan.scores import game, images, line
from gan.scores.card import read_card
from gan.scores.contract import Reference, Split
from gan.targets import Target, make_target

if TYPE_CHECKING:
    import torch

__all__ = ["Family", "Score", "Split", "family_of", "sample_sizes", "scores_of", "scoring_digest"]


class Family(Protocol):
    """What the module of a family has."""

    def scores(self, target: Any) -> tuple[Score, ...]:
        """The scores of a target, the leading one first."""
        ...

    def sizes(self, target: Any) -> tuple[int, int]:
        """Samples of an evaluation of a target: through training, and at the end."""
        ...

    def reference(self, target: Any, data_dir: Path, device: torch.device | str, split: Split) -> Reference:
        """What scores may know of real data."""
        ...


_FAMILIES: Final[dict[str, Family]] = {"line": line, "image": images, "game": game}


def family_of(target: Target) -> Family:
    """The family of a target, by what it provides."""
    return next(family for need, family in _FAMILIES.items() if need in target.provides)


def sample_sizes(target: Target) -> tuple[int, int]:
    """Samples that the scores of a target need: through training, and at the end."""
    return family_of(target).sizes(target)


def scores_of(target: Target, plugin_scores: Sequence[str] = ()) -> tuple[Score, ...]:
    """The scores of a target, the leading one first, and behind them those of plugins.

    Args:
        target: What samples should be like.
        plugin_scores: Names of plugins' scores, as `Scoring.scores` has them.

    Raises:
        InputError: One of them is not loaded.
    """
    built_in = [score for score in family_of(target).scores(target) if score.needs <= target.provides]
    return *built_in, *map(registry.score, plugin_scores)


def spans_decades(name: str, log: bool = False) -> bool:
    """Whether a score's values span decades, so that axes are logarithmic and effects are ratios.

    Args:
        name: Of the score.
        log: What `references.json` says of it: only of a plugin's score that its values do.
    """
    return log or name in _spanning_decades()


@cache
def _spanning_decades() -> frozenset[str]:
    """Names of the built-in scores that are logarithmic."""
    return frozenset(
        score.name for name in registry.built_in_names("target") for score in scores_of(make_target(name)) if score.log
    )


def scoring_digest(target: Target, plugin_scores: Sequence[str] = (), only: Sequence[str] = ()) -> str:
    """A digest of what decides a target's scores besides the samples: their definitions and the classifier.

    Args:
        target: What samples should be like.
        plugin_scores: Names of plugins' scores that are taken too; their sources count.
        only: Names of the scores that count; empty: all of them.

    Raises:
        InputError: The classifier's card cannot be read, or a plugin is not loaded.
    """
    parts = [f"{s.name} {s.version}" for s in scores_of(target, plugin_scores) if not only or s.name in only]
    parts += [plugin.sha256 for plugin in registry.used(("score", name) for name in plugin_scores)]
    if "features" in target.provides:
        parts.append(str(read_card(target.name)["weights_sha256"]))
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]
