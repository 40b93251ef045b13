"""What a worker on another machine does with a cohort, and what it holds against the driver before it trains.

Nothing here knows Ray: a machine is refused, data are found and a cohort is trained in the same way for any caller.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import gan
from benchmarks.engines import CheckpointConfig, Outcome
from benchmarks.engines.work import Interrupted, Job, Train, train_job
from benchmarks.machine import system
from gan.errors import InputError
from gan.files import digest, write_atomically
from gan.plugins import loader
from gan.replica import ENGINE_VERSION, Cohort
from gan.targets import Target

CODE = ("*.py", "*.cpp", "scores/weights/*")
"""Files of the package `gan` that decide results."""
LISTEN_SECONDS = 1.0  # between two words to the driver of a task that trains

Said = Literal["begun", "steps", "note"]
Say = Callable[[Said, Any], bool]
"""Tells the driver something, and returns whether the task should stop."""
Files = Mapping[str, bytes]
"""Contents by place, relative to a torchvision root."""


class LacksData:
    """Said by a worker: the target's files are not on this machine; send them."""


@dataclass(frozen=True)
class Plugin:
    """A plugin as the driver has it."""

    sha256: str
    source: bytes | None
    """Of a single file, which can be sent; a package must be installed on every machine."""


@dataclass(frozen=True)
class RemoteJob:
    """A job for a machine that may share nothing with the driver's but the code."""

    job: Job
    plan: str = ""
    """The sha256 of the run directory's `plan.json`: where the same is, a worker may keep checkpoints."""
    plugins: Mapping[str, Plugin] = dataclasses.field(default_factory=dict[str, Plugin])
    """Those that its cohort needs, by the name it has for them."""
    train: Train | None = None
    """What to do with the cohort, instead of `gan.engine.cohort.train`."""


@cache
def identity() -> dict[str, str]:
    """Return what every machine of a cluster must share with the driver: versions, and a digest of the code."""
    code = hashlib.sha256()
    root = Path(gan.__file__).parent
    for path in sorted({path for kind in CODE for path in root.rglob(kind)}):
        code.update(f"{path.relative_to(root).as_posix()}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return {
        "gan-stability": _version("gan-stability"),
        "the engine's version": str(ENGINE_VERSION),
        "torch": _version("torch"),
        "the sha256 of the code in gan/": code.hexdigest()[:12],
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def difference(wanted: Mapping[str, str]) -> str:
    """Say in what this machine differs from the driver's; empty where it does not.

    Args:
        wanted: The driver's `identity`.
    """
    here = identity()
    differing = (what for what in wanted if here.get(what) != wanted[what])
    return next((f"{what} is {here.get(what)} there, and {wanted[what]} here" for what in differing), "")


@cache
def machine(device: str) -> dict[str, Any]:
    """Return what this machine is, for the provenance of what it trains."""
    return {"host": socket.gethostname(), "hardware": system.hardware(device), "versions": system.versions()}


def plugins_of(cohort: Cohort) -> dict[str, Plugin]:
    """Return the plugins that a cohort needs, as they are loaded here."""
    found: dict[str, Plugin] = {}
    for plugin in loader.load(cohort.plugins):
        source = plugin.path.read_bytes() if plugin.module.endswith(".py") else None
        found[plugin.import_spec] = Plugin(plugin.sha256, source)
    return found


def files_of(target: Target, data_dir: Path) -> dict[str, bytes]:
    """Return the files of a data set, to be sent to a machine that lacks them."""
    return {path.relative_to(data_dir).as_posix(): path.read_bytes() for path in target.files(data_dir)}


_broken = False
"""This process may be, by what it trained last: it trains nothing more."""


def work(
    remote: RemoteJob, say: Say, sent: Callable[[], Files] | None
) -> Outcome | Interrupted | LacksData | str | Exception:
    """Train a cohort here.

    Args:
        remote: What to train; this machine is not different from the driver's.
        say: Tells the driver how far it is.
        sent: Fetches the files of the target, where the driver has sent them.

    Returns:
        The outcome; or why there is none: `Interrupted`, when it was asked to stop; `LacksData`; in words, why this
        machine cannot train it as the driver's would; or an InputError or OSError that ends the run.
    """
    global _broken
    if _broken:
        os._exit(1)  # before it has begun: its next cohort goes to another process, and nobody is blamed
    job, line = remote.job, _Line(say)
    if say("begun", None):
        return Interrupted()
    try:
        cohort = _with_plugins(job.cohort, remote.plugins)
        if cohort.compiled and not system.has_compiler(job.device):
            return "there is no C++ compiler (or no Triton) there, and one here: the cohort is planned compiled"
        data_dir = _data_of(cohort, job.data_dir, sent)
    except InputError as error:
        return str(error).splitlines()[0]
    if data_dir is None:
        return LacksData()
    train = remote.train
    if train is None:
        from gan.engine.cohort import train
    with tempfile.TemporaryDirectory(prefix="gan-stability-") as scratch:
        checkpoints = _checkpoints(job.checkpoints, remote.plan, Path(scratch))
        here = dataclasses.replace(job, cohort=cohort, data_dir=data_dir, checkpoints=checkpoints)
        answer = train_job(here, train, line.progress, line.note, line.stopping)
    line.talk()
    if isinstance(answer, Outcome):
        _broken = answer.broken
        return dataclasses.replace(answer, cohort=job.cohort, machine=machine(job.device))
    return answer


class _Line:
    """What a task in training says to the driver about once a second, and whether it heard that it should stop."""

    def __init__(self, say: Say) -> None:
        self._say, self._steps, self._stop, self._at = say, 0, False, time.monotonic()

    def progress(self, steps: int) -> None:
        self._steps += steps
        if time.monotonic() - self._at >= LISTEN_SECONDS:
            self.talk()

    def note(self, text: str) -> None:
        self._say("note", f"{platform.node()}: {text}")

    def stopping(self) -> bool:
        self.progress(0)
        return self._stop

    def talk(self) -> None:
        self._stop = self._say("steps", self._steps)
        self._steps, self._at = 0, time.monotonic()


def _with_plugins(cohort: Cohort, wanted: Mapping[str, Plugin]) -> Cohort:
    """Load what a cohort needs, from where it is or from what was sent; return the cohort with its names here.

    Raises:
        InputError: A plugin is not here, or not the driver's.
    """
    names: list[str] = []
    for name, theirs in wanted.items():
        own, place = Path(name), name
        if theirs.source is not None and not (own.is_file() and digest(own) == theirs.sha256):
            own = system.cache_dir() / "plugins" / theirs.sha256 / own.name
            own.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(own, theirs.source)
            place = str(own)
        (here,) = loader.load([place])
        if here.sha256 != theirs.sha256:
            raise InputError(f"--plugin {name}: its sha256 is {here.sha256[:12]}, expected {theirs.sha256[:12]}")
        names.append(place)
    return dataclasses.replace(cohort, plugins=tuple(names))


_found: dict[str, Path] = {}
"""Where data were found by this process and read whole, by their pinned digest."""


def _data_of(cohort: Cohort, data_dir: Path, sent: Callable[[], Files] | None) -> Path | None:
    """Return where the data of a cohort's target are on this machine; None where they are not.

    They are looked for where this machine says, where the driver has them, and among what drivers sent before.

    Raises:
        InputError: They are here, and are not the pinned ones.
    """
    target = cohort.target
    if not target.digest:
        return data_dir
    if target.digest not in _found:
        cached = system.cache_dir() / "sent" / target.digest[:16]
        place = next((p for p in (system.default_data_dir(), data_dir) if target.available(p)), None)
        if place is None and not target.available(cached):
            if sent is None:
                return None
            _unpack(sent(), cached)
        target.check_data(place or cached)
        _found[target.digest] = place or cached
    return _found[target.digest]


def _unpack(files: Files, root: Path) -> None:
    for place, content in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


def _checkpoints(asked: CheckpointConfig | None, plan: str, scratch: Path) -> CheckpointConfig | None:
    """Return where to keep the state: with the run, where that can be seen from here; else in vain, so as to stop."""
    if asked is None:
        return None
    there = asked.folder.parent / "plan.json"
    return asked if there.is_file() and digest(there) == plan else CheckpointConfig(scratch, math.inf)
