"""Upkeep of the disk: what can go is shown first, and only what was shown is removed.

Nothing is removed that is not recognised, nothing behind a symbolic link, and nothing of a run in which another
process is at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine.lock import LOCK, locked
from benchmarks.planning import choosing
from benchmarks.upkeep.cleanable import DEFAULT, KINDS, File, Part, entries, of_downloads, of_run
from gan.errors import InputError, nearest
from studies import schema

STANDING = ("cohorts", "history", "samples", "weights", "digests", "checkpoints", "report", "search", "tuned")
"""Folders of a run that stay when they become empty."""


@dataclass
class Survey:
    """What could be freed, or was."""

    parts: list[Part] = field(default_factory=list[Part])
    left: list[str] = field(default_factory=list[str])
    """What stays and why, a line each."""
    failed: list[str] = field(default_factory=list[str])
    """What could not be removed, a line each."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.size for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        parts = [
            {
                "directory": str(part.directory),
                "kind": part.kind,
                "files": len(part.files),
                "bytes": part.size,
                "lost": KINDS[part.kind].lost,
                "paths": [file.path.relative_to(part.directory).as_posix() for file in part.files],
            }
            for part in self.parts
        ]
        return {"bytes": self.size, "parts": parts, "left": self.left, "failed": self.failed}


def survey(
    runs_dir: Path,
    names: Sequence[str] = (),
    scale: str | None = None,
    what: Sequence[str] = (),
    downloads: Sequence[Path] = (),
) -> Survey:
    """Look for what can go; nothing is written.

    Args:
        runs_dir: Where runs are recorded.
        names: Of studies; all of them without any.
        scale: Of them; all scales where it is None.
        what: Names of `KINDS`; without any those by which nothing is lost that a command would use.
        downloads: Torchvision roots and caches.

    Raises:
        InputError: No such kind, scale, study or runs directory.
    """
    for name in what:
        if name not in KINDS:
            raise InputError(f"--what {name}: nothing that can be cleaned; {nearest(name, KINDS)}")
    kinds, found = what or DEFAULT, Survey()
    for directory in _runs(Path(runs_dir), names, scale):
        if why := _in_the_way(directory):
            found.left.append(why)
            continue
        try:
            found.parts += of_run(directory, kinds)
        except InputError as error:  # a damaged plan: it cannot be told what is still of use
            found.left.append(str(error))
        strange = [place for place, _, kind in entries(directory) if kind is None] if "runs" in kinds else []
        if strange:
            named = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
            found.left.append(f"{directory}: not all in it is a run's; these stay: {named}")
    if "downloads" in kinds:
        found.parts += [part for folder in downloads for part in of_downloads(folder)]
    return found


def remove(shown: Survey) -> Survey:
    """Remove what was shown, as far as it is still as it was shown.

    Returns:
        What was removed, and what was not and why.
    """
    done = Survey()
    for part in shown.parts:
        run = part.kind != "downloads"
        try:
            with locked(part.directory) if run else nullcontext():
                _remove(part, of_run(part.directory, [part.kind]) if run else of_downloads(part.directory), done)
                if part.kind == "runs":  # the lock was shown with the others, or made for this
                    (part.directory / LOCK).unlink(missing_ok=True)
                    _remove_empty(part.directory, part)
        except InputError as error:  # a run that has begun there meanwhile
            done.left.append(str(error))
    return done


def _remove(part: Part, now: Iterable[Part], done: Survey) -> None:
    same = {file for other in now for file in other.files}
    gone: list[File] = []
    for file in part.files:
        if file not in same:
            done.left.append(f"{file.path}: has changed meanwhile and stays")
            continue
        try:
            if file.path.is_dir():
                file.path.rmdir()
            elif file.path.name != LOCK:
                file.path.unlink()
        except OSError as error:
            done.failed.append(f"{file.path}: cannot be removed ({error.strerror})")
            continue
        gone.append(file)
        _remove_empty(file.path.parent, part)
    if gone:
        done.parts.append(Part(part.directory, part.kind, tuple(gone)))


def _remove_empty(folder: Path, part: Part) -> None:
    """Remove a folder that has become empty, and those around it; of a run that goes, the study's folder too."""
    top = part.directory.parent.parent if part.kind == "runs" else part.directory
    while folder != top and (part.kind == "runs" or folder.name not in STANDING):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _runs(runs_dir: Path, names: Sequence[str], scale: str | None) -> list[Path]:
    """Return the run directories that are meant, by study and scale."""
    if scale is not None and scale not in schema.SCALES:
        raise InputError(f"--scale {scale}: no such scale; {nearest(scale, schema.SCALES)}")
    if not runs_dir.is_dir():
        raise InputError(f"{runs_dir}: no such folder; expected the one in which runs are recorded")
    scales = [scale] if scale else list(schema.SCALES)
    if not names or list(names) == ["all"]:
        # A run whose plan was set aside, or that was half removed, still takes up space.
        places = [place for place in sorted(runs_dir.glob("*/*")) if place.name in scales]
        return [place for place in places if any((place / mark).exists() for mark in ("plan.json", "cohorts", LOCK))]
    found: list[Path] = []
    for name in names:
        errors = list[InputError]()
        for one in scales:
            try:
                found += [ledger.directory for ledger in choosing.runs([name], runs_dir, one)]
            except InputError as error:
                errors.append(error)
        if len(errors) == len(scales):
            raise errors[0]
    return list(dict.fromkeys(found))


def _in_the_way(directory: Path) -> str:
    """Say why a run directory is left alone; empty where nothing is in the way."""
    if directory.is_symlink() or directory.parent.is_symlink():
        return f"{directory}: left alone, it is a link to somewhere else"
    if not (directory / LOCK).exists():  # looking must not make one
        return ""
    try:
        with locked(directory):
            return ""
    except InputError as error:
        return str(error)


def print_survey(found: Survey) -> None:
    """Print what could be freed, a row a directory and kind, and what each kind means."""
    table = Table("directory", "what", "files", "size", box=None, header_style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    for part in found.parts:
        table.add_row(str(part.directory), part.kind, f"{len(part.files):,}", size_text(part.size))
    if found.parts:
        Console(highlight=False).print(table)
    for kind in dict.fromkeys(part.kind for part in found.parts):
        print(f"{kind}: {KINDS[kind].meaning}. Lost with it: {KINDS[kind].lost}.")


def print_total(content: dict[str, Any]) -> None:
    """Print how much could be freed, or was."""
    files = sum(part["files"] for part in content["parts"])
    if not files:
        print("Nothing to free.")
    elif content["dry_run"]:
        print(f"{size_text(content['bytes'])} in {files:,} files could be freed; nothing was removed.")
    else:
        print(f"{size_text(content['bytes'])} in {files:,} files freed.")


def size_text(size: int) -> str:
    """Return bytes as a person reads them, 4.2 MB."""
    for unit, worth in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= worth:
            return f"{size / worth:.1f} {unit}"
    return f"{size} bytes"
