"""What a disk or a hand does to a file."""

from __future__ import annotations

from pathlib import Path


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, bits: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= bits
    path.write_bytes(content)


def fill_with_text(path: Path) -> None:
    path.write_bytes(b"This is no file of ours.\n" * 20)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("of somebody", encoding="utf-8")
