"""A tracking database to start from, and a search."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.machine import system

from . import tuned
from .mirroring import client_of


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database with every migration run, once: that takes seconds. Tests copy it."""
    directory = tmp_path_factory.mktemp("migrated")
    client_of(directory).search_experiments()
    return directory / "mlflow.db"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan as on a machine without a compiler."""
    monkeypatch.setattr(system, "has_compiler", lambda _: False)


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `tuned.with_few_trees`."""
    tuned.with_few_trees(monkeypatch)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tune the study of `tuned` with few trials, once: `made.toml` and `runs` of this folder are read, or copied."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        tuned.with_few_trees(patch)
        patch.setattr(system, "has_compiler", lambda _: False)
        tuned.tune(tuned.write(folder, **tuned.FEW), folder / "runs")
    return folder


@pytest.fixture
def runs_dir(tmp_path: Path, migrated: Path) -> Path:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return tmp_path
