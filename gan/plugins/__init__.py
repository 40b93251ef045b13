"""Components of a person's own: what they consist of, and those that are loaded; `gan/plugins/loader.py` loads them."""

from __future__ import annotations

from gan.plugins.components import Component, Kind, Loss, NetworkKind, Score, TargetKind
from gan.plugins.registry import NEEDS_PLUGIN, Plugin, compilable, loss, names, network, score, used

__all__ = [
    "NEEDS_PLUGIN",
    "Component",
    "Kind",
    "Loss",
    "NetworkKind",
    "Plugin",
    "Score",
    "TargetKind",
    "compilable",
    "loss",
    "names",
    "network",
    "score",
    "used",
]
