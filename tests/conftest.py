"""The command line in this process; plugins: written, loaded, and forgotten afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import typer.main

from gan.plugins import loader, registry
from gan.plugins.registry import Plugin

from .typed import Ganbench, Said, built

Load = Callable[[str], Plugin]

# A busy machine may take any time for an example: slow is not wrong.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def no_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a process of its own would, and leave nothing to other tests."""
    monkeypatch.setattr(registry, "loaded", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    if "gan.engine.evaluation" in sys.modules:  # which keeps the scorers of a process
        sys.modules["gan.engine.evaluation"]._scorer.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def load(tmp_path: Path, no_plugins: None) -> Load:
    """Write a plugin's source to a file of its own, and load it."""

    def written(source: str) -> Plugin:
        path = tmp_path / f"plugin_{len(list(tmp_path.glob('plugin_*.py')))}.py"
        path.write_text(source, encoding="utf-8")
        (plugin,) = loader.load([str(path)])
        return plugin

    return written


@pytest.fixture
def ganbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ganbench:
    """Run the command line in an empty directory, with nothing of this machine's in the environment."""
    from benchmarks import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.main, "get_command", built)
    for name in ("GAN_DATA_DIR", "GAN_RUNS_DIR", "GAN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["ganbench", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsys.readouterr()
        return Said(int(done.value.code or 0), said.out, said.err)

    return run
