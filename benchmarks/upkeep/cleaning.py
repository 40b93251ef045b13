"""Free disk space: what can go is shown first, and exactly that is removed.

Everything in a run directory is recognised by its place and name, or stays. Nothing is removed behind a symbolic link,
and nothing of a run in which another process is at work.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine.lock import LOCK, locked
from benchmarks.planning import choosing
from gan.errors import InputError, nearest

KINDS = {
    "checkpoints": "what cohorts that are not finished have trained so far: they begin anew",
    "weights": "the networks themselves, until they are trained again: no score can be taken again (ganbench score); "
    "reports and resuming need none",
    "runs": "every result of a run directory, and of a tuned study its trials; MLflow and databases keep theirs",
}
"""What can be removed, and what is lost with it."""

# Places in a run directory, and in its parts search/ and tuned/.
_IN = r"((cohorts|history|samples|weights|digests|scores|checkpoints(/[^/]+)?|report(/(un)?tuned)?)/)?"
_PLACES = {
    "checkpoints": r"checkpoints/[^/]+/(\d+\.safetensors|\.\d+\.safetensors\.\d+\.tmp)",
    "weights": r"weights/[^/]+\.safetensors",
    "runs": r"(plan|references|provenance|tuning)\.json|log\.txt|optuna\.log(\.lock|\.torn-\d+)?|(run|tuning)\.lock"
    r"|real\.safetensors|(cohorts|history|scores)/[^/]+\.parquet|samples/[^/]+\.safetensors|digests/[^/]+\.json"
    r"|report/((un)?tuned/)?(report\.(md|html)|(results|contrasts|trials)\.csv|(summary|provenance)\.json|[^/]+\.png)"
    r"|(report/)?\.(report|untuned|tuned)\.[a-z0-9_]{8}\.\d+\.tmp/[^/]+\.(md|html|csv|json|png)|\.writable-\d+"
    rf"|{_IN}\.[^/]+\.\d+\.tmp|{_IN}[^/]+\.set-aside-\d+(/.*)?|cohorts/[^/]+\.failed(-\d+)?",
}
_LAST = {"plan.json": 1, "run.lock": 2}
"""What goes last of a run: by its plan it is found again if this process is killed."""


class File(NamedTuple):
    """A file as it was seen: another of the same name has another inode or time."""

    path: Path
    size: int
    inode: int
    changed: int


class Part(NamedTuple):
    """What could be freed in one run directory, of one kind."""

    directory: Path
    kind: str
    files: list[File]


@dataclass
class Survey:
    """What could be freed, or was."""

    parts: list[Part] = field(default_factory=list[Part])
    left: list[str] = field(default_factory=list[str])
    """What stays and why, a line each."""
    failed: list[str] = field(default_factory=list[str])
    """What could not be removed, a line each."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; the total counts once what is of two kinds."""
        parts = [
            {"directory": str(directory), "kind": kind, "files": len(files), "bytes": _size(files)}
            | {"lost": KINDS[kind], "paths": [file.path.relative_to(directory).as_posix() for file in files]}
            for directory, kind, files in self.parts
        ]
        files = {file for part in self.parts for file in part.files}
        return {"bytes": _size(files), "files": len(files), "parts": parts, "left": self.left, "failed": self.failed}


def survey(
    runs_dir: Path, names: Sequence[str] = (), scale: str | None = None, what: Sequence[str] = tuple(KINDS)
) -> Survey:
    """Look for what can go; nothing is written.

    Args:
        runs_dir: Where runs are recorded.
        names: Of studies; all of them without any.
        scale: Of them; all scales where it is None.
        what: Names of `KINDS`.

    Raises:
        InputError: No such kind, scale, study or runs directory.
    """
    if wrong := next((name for name in what if name not in KINDS), None):
        raise InputError(f"--what {wrong}: nothing that can be cleaned; {nearest(wrong, KINDS)}")
    found = Survey()
    for directory in choosing.places(names, runs_dir, scale):
        if directory.is_symlink() or directory.parent.is_symlink():
            found.left.append(f"{directory}: left alone, it is a link to somewhere else")
            continue
        try:
            with locked(directory) if (directory / LOCK).exists() else nullcontext():  # looking must not make one
                parts = [Part(directory, kind, _files(directory, kind)) for kind in KINDS if kind in what]
        except InputError as error:  # a run is at work there
            found.left.append(str(error))
            continue
        found.parts += [part for part in parts if part.files]
        strange = [place for place, _, kind in _entries(directory) if kind is None]
        if strange and "runs" in what:
            found.left.append(f"{directory}: not all in it is a run's; {len(strange):,} files stay, as {strange[0]}")
    return found


def remove(shown: Survey) -> Survey:
    """Remove what was shown, as far as it is still as it was shown.

    Returns:
        What was removed, and what was not and why.
    """
    done = Survey()
    whole = {part.directory for part in shown.parts if part.kind == "runs"}
    for part in (part for part in shown.parts if part.kind == "runs" or part.directory not in whole):
        try:
            with locked(part.directory):
                _remove(part, done)
        except InputError as error:  # a run that has begun there meanwhile
            done.left.append(str(error))
    return done


def _remove(part: Part, done: Survey) -> None:
    """Remove a part under its run's lock, and the folders that become empty."""
    directory, same, gone = part.directory, set(_files(part.directory, part.kind)), list[File]()
    for file in part.files:
        if file not in same:
            done.left.append(f"{file.path}: has changed meanwhile and stays")
            continue
        try:
            file.path.unlink()
        except OSError as error:
            done.failed.append(f"{file.path}: cannot be removed ({error.strerror})")
            continue
        gone.append(file)
    if gone:
        done.parts.append(Part(directory, part.kind, gone))
    if part.kind == "runs":
        with suppress(OSError):
            (directory / LOCK).unlink()  # made for this, where it was not shown
        _remove_empty(Path(name) for name, _, _ in os.walk(directory, topdown=False))
        _remove_empty([directory.parent])
    elif part.kind == "checkpoints":  # an empty folder of weights belongs to a run that stays
        _remove_empty({file.path.parent for file in gone})


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def _files(directory: Path, kind: str) -> list[File]:
    """Return what is of a kind in a run directory; of a whole run, all that is known.

    It goes in this order: a run that a kill leaves half removed is found again, and none of its results lacks a part.
    """
    known = [file for _, file, own in _entries(directory) if own and kind in (own, "runs")]
    return sorted(known, key=lambda f: (_LAST.get(f.path.name, 0), f.path.parent.name != "cohorts", f.path))


def _entries(directory: Path) -> Iterator[tuple[str, File, str | None]]:
    """Yield place, file and kind of all files in a run directory.

    The kind is None of what is not a run's, and of a link, which is not followed.
    """
    for name, folders, files in os.walk(directory):
        links = [folder for folder in folders if (Path(name) / folder).is_symlink()]
        for path in sorted(Path(name) / entry for entry in [*files, *links]):
            with suppress(FileNotFoundError):  # gone meanwhile
                found, place = path.lstat(), path.relative_to(directory).as_posix()
                own = re.sub(r"^(search|tuned)/", "", place)
                kind = next((kind for kind, pattern in _PLACES.items() if re.fullmatch(pattern, own)), None)
                regular = stat.S_ISREG(found.st_mode)
                file = File(path, found.st_size if regular else 0, found.st_ino, found.st_mtime_ns)
                yield place, file, kind if regular else None


def print_survey(content: dict[str, Any]) -> None:
    """Print a survey, as JSON values: a line a directory and kind, what is lost with each kind, and the total."""
    for part in content["parts"]:
        print(f"{part['directory']}: {part['kind']}, {total(part)}")
    for kind in dict.fromkeys(part["kind"] for part in content["parts"]):
        print(f"Lost with {kind}: {KINDS[kind]}.")
    print(f"{total(content)} could be freed." if content["parts"] else "Nothing to free.")


def total(content: dict[str, Any]) -> str:
    """Return the size of a survey or a part of it, as JSON values, as a person reads it."""
    return f"{content['files']:,} files of {content['bytes'] / 1e6:,.3f} MB"


def _size(files: Iterable[File]) -> int:
    return sum(file.size for file in files)
