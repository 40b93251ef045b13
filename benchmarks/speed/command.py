"""What `ganbench speed` does: check what was asked for, measure, write the page, and say what came out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import system
from benchmarks.speed.work import SYSTEMS
from gan.errors import InputError, nearest
from gan.targets import Images
from reports.api import PUBLISHED

QUICK_FOLDER = Path("runs/speed")
SPEED = PUBLISHED / "speed"


@dataclass(frozen=True)
class Asked:
    """The command's options."""

    systems: tuple[str, ...]
    """Empty for all."""
    seconds: float
    quick: bool
    device: str
    folder: Path | None
    data_dir: Path | None


@dataclass(frozen=True)
class Written:
    """A page and what it was made from."""

    page: Path
    measured: Mapping[str, Any]


def measure(asked: Asked) -> Written:
    """Measure, and write the page.

    Raises:
        InputError: No such system or device, or the folder cannot be written to.
    """
    for name in asked.systems:
        if name not in SYSTEMS:
            raise InputError(f"--system {name}: no such system here; {nearest(name, SYSTEMS)}")
    out = _writable(asked.folder or (QUICK_FOLDER if asked.quick else SPEED))
    device, data_dir = system.choose_device(asked.device), asked.data_dir or system.default_data_dir()
    from benchmarks.speed import suite

    settings = suite.Settings(
        systems=asked.systems or tuple(SYSTEMS),
        device=device,
        data_dir=data_dir.resolve() if Images("mnist").available(data_dir) else None,
        seconds=asked.seconds,
        quick=asked.quick,
    )
    console = Console(stderr=True, highlight=False)
    measured = suite.measure(settings, _typed(asked, device), console.print)
    return Written(_compiled(measured, out), measured)


def compile_again(file: Path, folder: Path | None) -> Written:
    """Compile the page of an earlier run, beside its `speed.json` or elsewhere.

    Raises:
        InputError: There is no such file, or the folder cannot be written to.
    """
    from reports.pages.speed import read

    measured = read(file)
    return Written(_compiled(measured, _writable(folder or file.resolve().parent)), measured)


def show(written: Written) -> None:
    """Print the page's answer, and where the page is."""
    from reports.speed.goals import goals, headlines

    console = Console(highlight=False, soft_wrap=True)
    for sentence in headlines(written.measured):
        console.print(sentence)
    for goal in goals(written.measured):
        console.print(f"  {goal['']}: {goal['goal']}: {goal['measured']}")
    console.print(str(written.page))


def _compiled(measured: Mapping[str, Any], out: Path) -> Path:
    from reports.pages.index import compile_index
    from reports.pages.speed import compile_page

    page = compile_page(measured, out)
    if out.resolve() == SPEED:
        compile_index(PUBLISHED, system.REPOSITORY / "README.md")  # which links to it
    return page


def _writable(folder: Path) -> Path:
    """Refuse a folder that nothing can be written to, before minutes of measuring."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"--folder {folder}: cannot be written to; expected a folder, or a place to make it")
    return folder


def _typed(asked: Asked, device: str) -> str:
    """Return what a person types to run this again."""
    options = [f"--system {name}" for name in asked.systems]
    options += ["--quick"] if asked.quick else []
    options += [f"--seconds {asked.seconds:g}", f"--device {device}"]
    return " ".join(["ganbench speed", *options])
