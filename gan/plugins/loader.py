"""Load plugins: modules of a person's own components.

A plugin is a Python module with a list ``COMPONENTS`` of what `gan.plugins` exports: losses, penalties, optimisers,
kinds of networks, families of targets, scores. A study file names them where it names built-in ones; it cannot load
them: that takes `--plugin`, and nothing else does. `gan/conformance/` holds them to what the built-in ones are held to.
Nothing here imports torch; a plugin may.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, ClassVar, cast, get_args

from gan.columns import NAMES
from gan.errors import InputError, nearest, place_in_code, shown
from gan.plugins import registry
from gan.plugins.components import Component, Kind, check
from gan.plugins.registry import Plugin
from gan.scores import scores_of
from gan.targets import make_target

_digested: dict[str, bytes] = {}
"""Sources of plugins, by the path of the file."""


def load(modules: Sequence[str]) -> list[Plugin]:
    """Import plugins, each once in a process, and make their components known.

    Args:
        modules: Dotted names, which may lie in the current directory, or paths of ``.py`` files.

    Raises:
        InputError: There is no such module, it fails, or it holds no components that can be used.
    """
    _Finder.take(module.partition(".")[0] for module in modules if not module.endswith(".py"))
    return [_load(module) for module in modules]


def _load(asked: str) -> Plugin:
    place = f"--plugin {asked}"
    spec = _spec(asked, place)
    path = Path(spec.origin or "").resolve()
    if path not in registry.loaded:
        digest = _digest(path, spec.submodule_search_locations is not None)
        module = _import(spec, path, place)
        components = _components(module, f"{place}: {path}")
        registry.loaded[path] = Plugin(asked, path, digest, components)
    return registry.loaded[path]


class _Fresh(SourceFileLoader):
    """Compiles the source that was digested, or else as it is now: cached bytecode may be of an earlier one."""

    def get_code(self, fullname: str) -> CodeType | None:
        source = _digested.get(os.path.realpath(self.path))
        return self.source_to_code(self.get_data(self.path) if source is None else source, self.path)


class _Finder(MetaPathFinder):
    """Gives `_Fresh` to all modules of plugins' packages, also to those that are imported long after the plugin."""

    packages: ClassVar[set[str]] = set()

    @classmethod
    def take(cls, packages: Iterable[str]) -> None:
        """See to what is imported of these packages, or of single modules, from now on."""
        cls.packages.update(packages)
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Ask the other finders."""
        if fullname.partition(".")[0] not in self.packages:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = next((spec for other in others if (spec := other.find_spec(fullname, path, target))), None)
        if found and type(found.loader) is SourceFileLoader:
            found.loader = _Fresh(found.loader.name, found.loader.path)
        return found


def _spec(asked: str, place: str) -> ModuleSpec:
    """Find a module without running it."""
    if asked.endswith(".py"):
        path = Path(asked).resolve()
        if not path.is_file():
            raise InputError(f"{place}: no such file; expected a Python file, or a module's dotted name")
        # No name that another module could have, and one that a compiler may make identifiers of.
        name = f"plugin_{re.sub(r'[^0-9a-zA-Z]', '_', path.stem)}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        found = importlib.util.spec_from_file_location(name, path, loader=_Fresh(name, str(path)))
        assert found is not None
        return found
    if str(Path.cwd()) not in sys.path:  # last: a person's file must not stand in for a module of Python's own
        sys.path.append(str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        found = importlib.util.find_spec(asked)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        beside = [path.stem for path in Path.cwd().glob("*.py")]
        hint = nearest(asked, beside) if beside else "expected a dotted name, or the path of a .py file."
        raise InputError(f"{place}: no such module here or installed; {hint}")
    if not (found.origin or "").endswith(".py"):
        raise InputError(f"{place}: not Python source; expected a module in a .py file, whose digest names results")
    return found


def _import(spec: ModuleSpec, path: Path, place: str) -> ModuleType:
    """Run a module, or say where it failed."""
    if spec.name in sys.modules:
        return sys.modules[spec.name]
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise InputError(f"{place}: {place_in_code(error, path)}") from error
    return module


def _digest(path: Path, package: bool) -> str:
    """Return the digest of the source, and keep what was digested: that is what runs, whatever is written there."""
    digest = hashlib.sha256()
    for file in sorted(path.parent.rglob("*.py")) if package else [path]:
        if package:
            digest.update(f"{file.relative_to(path.parent).as_posix()}\n".encode())
        source = _digested[os.path.realpath(file)] = file.read_bytes()
        digest.update(source)
    return digest.hexdigest()


def _components(module: ModuleType, place: str) -> tuple[Component, ...]:
    """Return what a module brings, checked."""
    listed: Any = getattr(module, "COMPONENTS", None)
    kinds = [component.__name__ for component in get_args(Component)]
    expected = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
    if not isinstance(listed, list | tuple) or not listed:
        raise InputError(f"{place}: no components; expected a list COMPONENTS of {expected}")
    components: tuple[Any, ...] = tuple(cast("Sequence[Any]", listed))
    for i, component in enumerate(components):
        at = f"{place}: COMPONENTS[{i}]"
        if not isinstance(component, Component):
            raise InputError(f"{at}: expected a {expected}, got {shown(component)}")
        check(component, at)
        kind, name = component.kind, component.name
        if name in _taken(kind):
            raise InputError(f"{at}: name: {name!r} is a built-in {kind}; expected another name")
        if (kind, name) in [(c.kind, c.name) for c in components[:i]]:
            raise InputError(f"{at}: the {kind} {name!r} is listed twice; expected once")
        if name in registry.plugin_names(kind):
            other = next(
                p.module for p in registry.loaded.values() if (kind, name) in [(c.kind, c.name) for c in p.components]
            )
            raise InputError(f"{at}: the plugin {other} has a {kind} {name!r} already")
    return components


def _taken(kind: Kind) -> Sequence[str]:
    """Return the names that no plugin may use."""
    if kind != "score":
        return [*registry.built_in_names(kind), "none"]
    targets = [make_target(name) for name in registry.built_in_names("target")]
    return [*NAMES, *(score.name for target in targets for score in scores_of(target))]
