"""What `ganbench speed` does: check what was asked for, measure, write the page, and print its answer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.machine import system
from gan.errors import InputError, nearest
from reports.api import PUBLISHED
from reports.speed.results import Measured, read

QUICK_FOLDER = Path("runs/speed")
SPEED = PUBLISHED / "speed"


@dataclass(frozen=True)
class Written:
    """A page and what it was made from."""

    page: Path
    measured: Measured


def measure(systems: tuple[str, ...], seconds: float, quick: bool, device: str, folder: Path | None) -> Written:
    """Measure, and write the page.

    Args:
        systems: Names; empty for all.
        seconds: That each contender is measured, over all rounds.
        quick: Few numbers of replicas, nothing compiled, no whole study.
        device: ``auto``, ``cpu`` or ``cuda``.
        folder: Of the page; None for the published one, or for `QUICK_FOLDER`.

    Raises:
        InputError: No such system or device, or the folder cannot be written to.
    """
    from benchmarks.speed import suite

    for name in systems:
        if name not in suite.STUDIES:
            raise InputError(f"--system {name}: no such system here; {nearest(name, suite.STUDIES)}")
    out = _writable(folder or (QUICK_FOLDER if quick else SPEED))
    settings = suite.Settings(systems or tuple(suite.STUDIES), system.choose_device(device), seconds, quick)
    measured = suite.measure(settings, Console(stderr=True, highlight=False).print)
    return Written(_compiled(measured, out), measured)


def compile_again(file: Path, folder: Path | None) -> Written:
    """Compile the page of an earlier run, beside its `speed.json` or elsewhere.

    Raises:
        InputError: There is no such file, or the folder cannot be written to.
    """
    measured = read(file)
    return Written(_compiled(measured, _writable(folder or file.resolve().parent)), measured)


def show(written: Written) -> None:
    """Print the page's answer, and where the page is."""
    from reports.pages.speed import headlines

    for line in [*headlines(written.measured), str(written.page)]:
        Console(highlight=False, soft_wrap=True).print(line)


def _compiled(measured: Measured, out: Path) -> Path:
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
