"""What a plugin is made of; `gan/plugins/loader.py` loads plugins, `gan/plugins/registry.py` finds components."""

from __future__ import annotations

from gan.plugins.components import (
    FACTS,
    Component,
    Kind,
    Loss,
    NetworkKind,
    Optimiser,
    Penalty,
    PluginScore,
    TargetFamily,
)

__all__ = [
    "FACTS",
    "Component",
    "Kind",
    "Loss",
    "NetworkKind",
    "Optimiser",
    "Penalty",
    "PluginScore",
    "TargetFamily",
]
