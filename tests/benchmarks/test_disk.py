"""There is room on the disk, or nothing begins."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.machine import disk
from gan.errors import InputError


def test_what_has_no_room_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=1e9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    runs = tmp_path / "not" / "made" / "yet"
    disk.check(runs, 440.0)
    with pytest.raises(InputError, match=r"yet: 1,000 MB are free there; expected at least 1,020 MB"):
        disk.check(runs, 460.0)
    assert asked == [tmp_path, tmp_path] and not runs.exists()


def test_what_needs_nothing_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    disk.check(Path("runs"), 0.0)
