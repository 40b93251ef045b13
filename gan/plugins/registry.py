"""The registry of components, by kind and name: built-in ones, and those of the plugins that are loaded.

Built-in components register when `gan` is imported (`gan/__init__.py`), plugins' when `gan/plugins/loader.py` loads
them. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from gan.errors import InputError
from gan.plugins.components import Component, Kind, Loss, NetworkKind, Optimiser, Penalty, Score, TargetFamily
from gan.variant import COMPONENT_FIELDS, Variant

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
    def import_spec(self) -> str:
        """What loads it from any directory."""
        return str(self.path) if self.module.endswith(".py") else self.module


built_in: dict[tuple[Kind, str], Component] = {}
"""Components of this project, by kind and name."""

loaded: dict[Path, Plugin] = {}
"""Plugins of this process, by the path of the file."""


def paths() -> list[Path]:
    """Return the files of the plugins that are loaded: where errors of a person's code are looked for."""
    return [plugin.path for plugin in loaded.values()]


def register(components: Iterable[Component]) -> None:
    """Make built-in components known."""
    for component in components:
        built_in[component.kind, component.name] = component


def built_in_names(kind: Kind) -> list[str]:
    """Return the names of the built-in components of a kind."""
    return [name for its_kind, name in built_in if its_kind == kind]


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of the components of a kind that plugins brought."""
    return [c.name for plugin in loaded.values() for c in plugin.components if c.kind == kind]


def names(kind: Kind) -> list[str]:
    """Return the names of all components of a kind, the built-in ones first."""
    return [*built_in_names(kind), *plugin_names(kind)]


def find(kind: Kind, name: str) -> Component:
    """Return a component; it raises InputError where there is none."""
    found = built_in.get((kind, name))
    return _of_a_plugin(kind, name)[1] if found is None else found


def _of_a_plugin(kind: Kind, name: str) -> tuple[Plugin, Component]:
    for plugin in loaded.values():
        for component in plugin.components:
            if (component.kind, component.name) == (kind, name):
                return plugin, component
    raise InputError(f"{kind}: {name!r} is not built in and of no plugin that is loaded; {NEEDS_PLUGIN}")


def loss(name: str) -> Loss:
    """Return a loss; it raises InputError where there is none."""
    return cast(Loss, find("loss", name))


def penalty(name: str) -> Penalty | None:
    """Return a penalty, None for ``none``; it raises InputError where there is none of that name."""
    return None if name == "none" else cast(Penalty, find("penalty", name))


def optimiser(name: str) -> Optimiser:
    """Return an optimiser; it raises InputError where there is none."""
    return cast(Optimiser, find("optimiser", name))


def network(player: Literal["generator", "discriminator"], name: str) -> NetworkKind:
    """Return a kind of network; it raises InputError where there is none."""
    return cast(NetworkKind, find(player, name))


def network_kinds() -> list[NetworkKind]:
    """Return the built-in kinds of networks."""
    return [component for component in built_in.values() if isinstance(component, NetworkKind)]


def target(name: str) -> TargetFamily:
    """Return a family of targets; it raises InputError where there is none."""
    return cast(TargetFamily, find("target", name))


def score(name: str) -> Score:
    """Return a plugin's score; it raises InputError where there is none."""
    return cast(Score, find("score", name))


def components(variant: Variant) -> dict[str, Component]:
    """Return the components of a variant by the field that names each; it raises InputError where one is missing."""
    named = {field: str(getattr(variant, field)) for field in COMPONENT_FIELDS}
    return {
        field: find(cast(Kind, field), name) for field, name in named.items() if (field, name) != ("penalty", "none")
    }


def plugin_components(variant: Variant) -> dict[str, str]:
    """Return the names of a variant's components that are not built in, by the field that names each."""
    named = {field: str(getattr(variant, field)) for field in COMPONENT_FIELDS}
    known = {*built_in, ("penalty", "none")}
    return {field: name for field, name in named.items() if (field, name) not in known}


def used(named: Iterable[tuple[str, str]]) -> list[Plugin]:
    """Return the plugins that decide a result, each once.

    Args:
        named: Kinds and names of components; built-in ones count for nothing.

    Raises:
        InputError: One of them is not loaded.
    """
    needed: list[tuple[Kind, str]] = [(cast(Kind, kind), name) for kind, name in named if (kind, name) not in built_in]
    return list(dict.fromkeys(_of_a_plugin(kind, name)[0] for kind, name in needed))


def compilable(variant: Variant) -> bool:
    """Return whether torch.compile can read all components of a variant."""
    return all(getattr(component, "compiles", False) for component in components(variant).values())
