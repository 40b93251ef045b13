"""The components that are loaded: plugins, and what is found in them by kind and name.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from gan.errors import InputError
from gan.plugins.components import Component, Kind, Loss, NetworkKind, Score

NEEDS_PLUGIN: Final = "a name of your own needs --plugin MODULE"
"""How a message ends that refuses the name of a component."""


@dataclass(frozen=True)
class Plugin:
    """A module that was loaded."""

    module: str
    """As it was asked for: a dotted name, or the path of a file."""
    path: Path
    sha256: str
    """Of its source, which is what runs: of the file, or of all of a package's.

    What else it imports is not looked at.
    """
    components: tuple[Component, ...]

    @property
    def anywhere(self) -> str:
        """What loads it from any directory."""
        return str(self.path) if self.module.endswith(".py") else self.module


loaded: dict[Path, Plugin] = {}
"""Plugins of this process, by the path of the file."""


def names(kind: Kind) -> list[str]:
    """Return the names of the components of a kind that are loaded."""
    return [c.name for plugin in loaded.values() for c in plugin.components if c.kind == kind]


def loss(name: str) -> Loss:
    """Return a loss that is loaded; it raises InputError where there is none."""
    return cast(Loss, find("loss", name)[1])


def network(player: Literal["generator", "discriminator"], name: str) -> NetworkKind:
    """Return a kind of network that is loaded; it raises InputError where there is none."""
    return cast(NetworkKind, find(player, name)[1])


def score(name: str) -> Score:
    """Return a score that is loaded; it raises InputError where there is none."""
    return cast(Score, find("score", name)[1])


def used(own: Mapping[str, str], scores: Sequence[str] = ()) -> list[Plugin]:
    """Return the plugins that decide a result.

    Args:
        own: From `Variant.own`.
        scores: Names of plugins' scores that are taken.

    Raises:
        InputError: One of them is not loaded.
    """
    found = [find(cast(Kind, field), name)[0] for field, name in own.items()]
    return list(dict.fromkeys([*found, *(find("score", name)[0] for name in scores)]))


def compilable(own: Mapping[str, str]) -> bool:
    """Say whether torch.compile can read a variant's components: ours, or those that say so of themselves."""
    found = [find(cast(Kind, field), name)[1] for field, name in own.items()]
    return all(not isinstance(component, Score) and component.compiles for component in found)


def find(kind: Kind, name: str) -> tuple[Plugin, Component]:
    """Return a component, and the plugin that has it; it raises InputError where there is none."""
    for plugin in loaded.values():
        for component in plugin.components:
            if (component.kind, component.name) == (kind, name):
                return plugin, component
    raise InputError(f"{kind}: {name!r} is none of ours and of no plugin that is loaded; {NEEDS_PLUGIN}")
