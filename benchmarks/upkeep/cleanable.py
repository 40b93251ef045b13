"""What of a run directory can go: everything in it recognised by its place and name, or left alone.

A new kind of file belongs into the table of places here; without it, it is never removed.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.ledger.ledger import Ledger

IDLE = 600.0
"""Seconds after which a half-rendered report or a download that does not change belongs to nobody."""


@dataclass(frozen=True)
class Kind:
    """Something that takes up space."""

    meaning: str
    lost: str
    """What is lost by removing it."""
    on_request: bool = False
    """Left alone where it is not asked for by name."""


KINDS = {
    "temporary": Kind("what a killed process left half-written or half-rendered", "nothing"),
    "downloads": Kind("what a killed process left half-downloaded or half-unpacked", "nothing"),
    "checkpoints": Kind("checkpoints of cohorts that are recorded or in no plan any more", "nothing"),
    "set-aside": Kind(
        "damaged files that were set aside, and rows of replicas that were tried again",
        "whatever a person could still read of them; no command does",
    ),
    "unfinished": Kind(
        "checkpoints of cohorts that are not finished", "their training so far: it begins anew", on_request=True
    ),
    "weights": Kind(
        "final weights of finished replicas",
        "the networks themselves, until they are trained again; scores, samples, reports and resuming need none of "
        "them, and `ganbench show ID --rerun` still trains a replica again and compares",
        on_request=True,
    ),
    "runs": Kind(
        "whole run directories",
        "every result, and of a tuned study its trials; what is in MLflow, or in a database of trials, stays there",
        on_request=True,
    ),
}
DEFAULT = tuple(name for name, kind in KINDS.items() if not kind.on_request)

# Places in a run directory, and in its parts search/ and tuned/; folders that hold nothing end in a slash.
_IN = r"((cohorts|history|samples|weights|digests|checkpoints(/[^/]+)?|report(/(un)?tuned)?)/)?"
_RENDERING = r"(report/)?\.(report|untuned|tuned)\.[a-z0-9_]{8}\.\d+\.tmp/"
_PLACES = {
    "temporary": rf"{_IN}\.[^/]+\.\d+\.tmp|\.writable-\d+|{_RENDERING}([^/]+\.(md|csv|json|png))?",
    "set-aside": rf"{_IN}[^/]+\.set-aside-\d+(/.*)?|cohorts/[^/]+\.failed(-\d+)?|optuna\.log\.torn-\d+",
    "checkpoints": r"checkpoints/[^/]+/\d+\.safetensors",
    "weights": r"weights/[^/]+\.safetensors",
    "runs": r"(plan|references|provenance|tuning)\.json|optuna\.log(\.lock)?|(run|tuning)\.lock|real\.safetensors"
    r"|(cohorts|history)/[^/]+\.parquet|samples/[^/]+\.safetensors|digests/[^/]+\.json"
    r"|report/((un)?tuned/)?(report\.(md|html)|(results|contrasts|trials)\.csv|(summary|provenance)\.json|[^/]+\.png)"
    rf"|{_IN}",
}


@dataclass(frozen=True)
class File:
    """A file, or a folder with nothing in it, as it was seen."""

    path: Path
    size: int
    stamp: tuple[int, int]
    """Inode, and time of the last change in nanoseconds: another file of the same name has others."""


@dataclass(frozen=True)
class Part:
    """What could be freed in one place, of one kind."""

    directory: Path
    kind: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


def of_run(directory: Path, kinds: Sequence[str]) -> list[Part]:
    """Return what could go of a run directory.

    Raises:
        InputError: It cannot be told which checkpoints are of use.
    """
    found: dict[str, list[File]] = {kind: [] for kind in KINDS}
    useless: dict[Path, Callable[[str], bool]] = {}
    for _, file, kind in entries(directory):
        if file is None or kind is None:
            continue
        if kind == "checkpoints" and {"checkpoints", "unfinished"} & {*kinds}:
            part = file.path.parents[2]
            useless[part] = useless.get(part) or _useless(Ledger(part))
            kind = "checkpoints" if useless[part](file.path.parent.name) else "unfinished"
        found["runs" if "runs" in kinds else kind].append(file)
    rendering = {file.path if file.path.is_dir() else file.path.parent for file in found["temporary"]}
    for folder in (folder for folder in rendering if re.fullmatch(r"\.[a-z]+\.\w{8}\.\d+\.tmp", folder.name)):
        if not _idle(inside := [f for f in found["temporary"] if folder in (f.path, f.path.parent)]):
            found["temporary"] = [file for file in found["temporary"] if file not in inside]
    found["runs"].sort(key=lambda file: _turn(file.path))
    return [Part(directory, kind, tuple(found[kind])) for kind in KINDS if kind in kinds and found[kind]]


def _turn(path: Path) -> tuple[int, int, str]:
    """Order the files of a run that goes, so that a kill between any two leaves one that can be resumed or removed.

    First what speaks of results, then the results, a part's before the whole's; by its plan a run is found again.
    """
    if path.name in ("tuning.json", "optuna.log"):
        turn = 0
    elif path.suffix == ".parquet":
        turn = 1
    else:
        turn = 3 if path.name == "plan.json" else 4 if path.suffix == ".lock" else 2
    return turn, -len(path.parts), path.as_posix()


def _useless(ledger: Ledger) -> Callable[[str], bool]:
    """Return what says of a cohort that no run goes on from its checkpoints.

    A cohort that the plan only put by may be asked for again, and one it does not name may be a piece of one it does.
    """
    plan, reader = ledger.plan(), ledger.tolerant()
    rows = {cohort: reader.results_of(cohort) for cohort in reader.finished_cohorts()}
    done = {replica for own in rows.values() if len(own) for replica in own["replica"]}
    planned = {c["id"]: c["replicas"] for c in [*plan.get("cohorts", []), *plan.get("retired", [])]}
    complete = bool(plan) and done.issuperset(replica["id"] for replica in plan["replicas"])

    def useless(cohort: str) -> bool:
        if len(rows.get(cohort, ())):
            return True
        return done.issuperset(planned[cohort]) if cohort in planned else complete

    return useless


def of_downloads(folder: Path) -> list[Part]:
    """Return what a kill left of downloads into a torchvision root, and of what is unpacked into a cache."""
    left: list[File] = []
    for download in folder.glob(".download-*"):
        inside = [file for _, file in _walk(download)] if not download.is_symlink() else []
        if re.fullmatch(r"\.download-[a-z0-9_]{8}", download.name) and None not in inside:
            left += [file for file in inside if file and _idle(f for f in inside if f)]
    for unpacked in folder.glob("data/*/*/raw/tmp*"):
        file = _seen(unpacked)
        if re.fullmatch(r"tmp[a-z0-9_]{8}", unpacked.name) and file and _idle([file]):
            left.append(file)
    return [Part(folder, "downloads", tuple(left))] if left else []


def _idle(files: Iterable[File]) -> bool:
    return time.time() - max(file.stamp[1] for file in files) / 1e9 > IDLE


def entries(directory: Path) -> Iterator[tuple[str, File | None, str | None]]:
    """Yield place, file and kind of all in a run directory; the kind is None of what is not a run's.

    "runs" is the kind of what only goes with the whole run.
    """
    for place, file in _walk(directory):
        own = re.sub(r"^(search|tuned)/", "", place)
        kind = next((kind for kind, pattern in _PLACES.items() if re.fullmatch(pattern, own)), None)
        yield place, file, kind if file else None


def _walk(directory: Path) -> Iterator[tuple[str, File | None]]:
    """Yield all in a folder by its place, folders only where they are empty; None of a link, which is not followed."""
    for name, folders, files in os.walk(directory):
        inside = Path(name).relative_to(directory)
        links = [folder for folder in folders if (Path(name) / folder).is_symlink()]
        for entry in sorted([*files, *links]):
            yield (inside / entry).as_posix(), _seen(Path(name) / entry)
        if not folders and not files:
            yield f"{inside.as_posix()}/", _seen(Path(name))


def _seen(path: Path) -> File | None:
    """Return a file or folder as it is; None of a link and whatever else there may be."""
    try:
        found = path.lstat()
    except FileNotFoundError:  # gone meanwhile
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return File(path, found.st_size if stat.S_ISREG(found.st_mode) else 0, (found.st_ino, found.st_mtime_ns))
