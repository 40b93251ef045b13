"""Files are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gan.files import digest, quarantine, sweep, write_atomically


@pytest.mark.parametrize("fails", ["fsync", "replace"])
@pytest.mark.parametrize("with_what", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, fails: str, with_what: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise with_what

    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os if fails == "fsync" else Path, fails, fail)
    with pytest.raises(type(with_what)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_its_name_and_the_name_before_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(file: int) -> None:
        done.append("folder" if os.path.isdir(f"/dev/fd/{file}") else "content")
        fsync(file)

    def renamed(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "file", b"new")
    assert done == ["content", "rename", "folder"]


def test_what_is_set_aside_keeps_its_bytes_under_names_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        quarantine(path)
    found = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert found == {"rows.parquet.set-aside-1": b"one", "rows.parquet.set-aside-2": b"two"}
    path.mkdir()  # a folder in a file's place as well
    assert quarantine(path).is_dir()


def test_what_a_killed_process_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    (tmp_path / f".report.a1b2c3d4.{gone.pid}.tmp/figures").mkdir(parents=True)
    left = [f".rows.parquet.{gone.pid}.tmp", f".of this process.{os.getpid()}.tmp", f".beyond.{10**30}.tmp"]
    stays = [f".of another.{os.getppid()}.tmp", f"mine.{gone.pid}.tmp", ".mine.tmp", f".mine.{gone.pid}.x.tmp"]
    for name in left + stays:
        (tmp_path / name).touch()
    sweep(tmp_path.rglob("*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)


def test_digests_are_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes" * 100_000)
    assert digest(tmp_path / "file") == hashlib.sha256(b"bytes" * 100_000).hexdigest()
