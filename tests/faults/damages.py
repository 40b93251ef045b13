"""What a disk or a hand does to a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, bits: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= bits
    path.write_bytes(content)


def become_another(path: Path) -> None:
    """Put another file of the same kind in its place."""
    if path.suffix == ".json":
        path.write_text(json.dumps({"name": "something else", "list": [1, 2]}), encoding="utf-8")
    elif path.suffix == ".safetensors":
        save_file({"x": np.zeros(3)}, path)
    else:
        shutil.copy(next(p for p in sorted(path.parent.iterdir()) if p.suffix == path.suffix and p != path), path)


def fill_with_text(path: Path) -> None:
    path.write_bytes(b"This is no file of ours.\n" * 20)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("of somebody", encoding="utf-8")


def cut_the_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def spoil_a_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"This is no operation.\n"
    path.write_bytes(b"".join(lines))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": halve,
    "empty": empty,
    "flipped": flip,
    "another file": become_another,
    "text": fill_with_text,
    "a folder": become_a_folder,
}
