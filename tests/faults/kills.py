"""Storms: a command is killed again and again at seeded instants, started again, and its end compared.

Nothing of the harness knows how the command survives. It sees the processes, the files of the run directory, and what
is printed; and it kills the driver, one of its workers, or all of them at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from . import commands, processes
from .contents import PARTS, Contents, contents_of, differences, ledgers_in, left_behind

Victim = Literal["driver", "worker", "all"]
VICTIMS: dict[Victim, float] = {"driver": 0.4, "worker": 0.45, "all": 0.15}
"""How often each is chosen."""
MOMENTS = {
    "any": 8.0,
    "start-up": 2.5,
    "training": 4.0,
    "checkpoint": 0.04,
    "recording": 0.06,
    "report": 2.5,
}
"""What a kill waits for, and at the most how many seconds longer; `any` and `start-up` wait for nothing."""
PATIENCE = 1.5
"""Times what an undisturbed run takes; a kill waits no longer."""
RECORDED = ("history", "samples", "weights", "cohorts")
"""Folders that a finished cohort is written to."""
WORKERS_A_LIFE = 2
"""Workers killed in one life of the driver. More could hit one cohort so often that it is given up, rightly."""
POLL_SECONDS = 0.002
WORKERS_SECONDS = 0.25  # between looks for processes, which take longer
LIFE_SECONDS = 240.0


@dataclass(frozen=True)
class Study:
    """A study that is run undisturbed once.

    Attributes:
        typed: The command after `ganbench`.
        folder: Where it was run, with the study's file.
        truth: What it left.
        seconds: How long it took.
    """

    typed: Sequence[str]
    folder: Path
    truth: Contents
    seconds: float

    def by(self, workers: int) -> list[str]:
        """Return the command with so many workers: each costs a start of seconds, and the end is the same."""
        typed = list(self.typed)
        typed[typed.index("--workers") + 1] = str(workers)
        return typed


@dataclass(frozen=True)
class Kill:
    """One kill: whom, and what it was aimed at."""

    victim: Victim
    aimed: str


@dataclass
class Storm:
    """What a storm did and what came of it; all lists but `kills` should be empty."""

    seed: int
    kills: list[Kill] = field(default_factory=list[Kill])
    lives: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list[str])
    """Replicas that have no result at the end."""
    twice: list[str] = field(default_factory=list[str])
    """Recorded replicas that were trained, or whose cohort was written, once more."""
    differing: list[str] = field(default_factory=list[str])
    """What differs from the undisturbed end, in tables, arrays and bytes."""
    left: list[str] = field(default_factory=list[str])
    """Temporary files, checkpoints and processes after the end."""
    exits: list[str] = field(default_factory=list[str])
    """Lives that ended neither by our kill nor well, and the last line they printed."""
    resumed: int = 0
    """Checkpoints that were there to go on from when a driver or a worker was killed."""

    @property
    def wrong(self) -> dict[str, list[str]]:
        """Everything that should not be."""
        names = ("lost", "twice", "differing", "left", "exits")
        return {name: found for name in names if (found := getattr(self, name))}


def undisturbed(
    folder: Path, *more: str, study: str = commands.STUDY, verb: str = "run", workers: int = 2, **replaced: str
) -> Study:
    """Run a study with nothing in its way, `more` typed after the command; its folder is `folder`."""
    typed = commands.words(commands.write_study(folder, study, **replaced), *more, verb=verb, workers=workers)
    began = time.monotonic()
    commands.ganbench(folder, *typed)
    seconds = time.monotonic() - began
    directory = commands.run_directory(folder)
    assert left_behind(directory) == []
    return Study(typed, folder, contents_of(directory), seconds)


def storm(study: Study, folder: Path, seed: int, kills: int) -> Storm:
    """Run a study anew in `folder`, with up to `kills` kills; a command that ends before the next one is the end."""
    return _Weather(study, folder, seed, kills).rage()


class _Weather:
    def __init__(self, study: Study, folder: Path, seed: int, kills: int) -> None:
        self.study, self.folder = study, folder
        self.rng = random.Random(seed)
        self.planned = kills
        self.storm = Storm(seed)
        self.directory = commands.run_directory(folder)
        self.watch = Watch(self.directory)
        self.said = folder / "said.txt"
        self.workers: list[processes.Process] = []
        """Of the driver, a moment ago."""

    def rage(self) -> Storm:
        storm, began = self.storm, time.monotonic()
        self.folder.mkdir(parents=True)
        for file in self.study.folder.glob("*.toml"):
            (self.folder / file.name).write_bytes(file.read_bytes())
        sessions: list[int] = []
        code = -1
        while code != 0 and storm.lives < self.planned + 5:
            code = self._live(sessions)
        storm.left += [f"{p.id} {p.command}" for session in sessions for p in processes.all_gone(session)]
        for session in sessions:
            processes.kill_all(session)
        self._judge()
        storm.seconds = time.monotonic() - began
        return storm

    def _live(self, sessions: list[int]) -> int:
        """Start the command and see it to its end, killing on the way; the exit status is that of the driver."""
        before, self.storm.lives = self.watch.replicas(), self.storm.lives + 1
        with self.said.open("wb") as err, commands.start(self.folder, *self.study.typed, err=err) as driver:
            sessions.append(driver.pid)
            self._kill_in(driver)
            try:
                code = driver.wait(LIFE_SECONDS)
            except subprocess.TimeoutExpired:
                processes.kill_all(driver.pid)
                code = driver.wait()
                self.storm.exits.append(f"it hung: {self._last_line()}")
        self.watch.look()
        text = self.said.read_text(errors="replace")
        self._read(text, before)
        if "Traceback" in text:
            self.storm.exits.append(f"a traceback: {text[text.index('Traceback') :][-400:]}")
        if code not in (0, -signal.SIGKILL):
            self.storm.exits.append(f"exit {code}: {self._last_line()}")
        return code

    def _kill_in(self, driver: subprocess.Popen[bytes]) -> None:
        """Kill as long as the driver lives and kills are left."""
        workers_killed = 0
        while len(self.storm.kills) < self.planned and driver.poll() is None:
            moments = [m for m in MOMENTS if not self._over(m)]
            moment = self.rng.choice(moments)
            (victim,) = self.rng.choices(list(VICTIMS), weights=list(VICTIMS.values()))
            if victim == "worker" and workers_killed >= WORKERS_A_LIFE:
                victim = "driver"
            # Files are written in moments: the sooner after one appears, the likelier it is not yet whole.
            delay = MOMENTS[moment] * self.rng.random() ** (2 if MOMENTS[moment] < 1 else 1)
            if not self._awaited(moment, delay, driver):
                return
            if victim == "worker" and self.workers:
                hit = processes.kill(self.rng.choice(self.workers).id, driver.pid)
                workers_killed += hit
            elif victim == "all":
                hit = True
                processes.kill_all(driver.pid)
            else:
                victim, hit = "driver", processes.kill(driver.pid, driver.pid)
            if hit:
                self.storm.kills.append(Kill(victim, moment))
                self.storm.resumed += len(list(self.directory.rglob("checkpoints/*/*.safetensors")))
            if victim != "worker":
                return

    def _over(self, moment: str) -> bool:
        return moment in ("training", "checkpoint", "recording") and self.watch.replicas() >= self._all()

    def _all(self) -> int:
        return len(self.study.truth.replicas)

    def _awaited(self, moment: str, delay: float, driver: subprocess.Popen[bytes]) -> bool:
        """Wait for a moment and some time longer; say whether the driver still lives."""
        self.watch.look()
        deadline: float | None = None
        patience = time.monotonic() + PATIENCE * self.study.seconds
        looked = 0.0
        while driver.poll() is None:
            if time.monotonic() - looked > WORKERS_SECONDS:
                self.workers, looked = processes.workers_of(driver.pid), time.monotonic()
            seen = self.watch.look()
            if deadline is None and (
                moment in ("any", "start-up")
                or moment in seen
                or (moment == "training" and self.workers)
                or (moment == "report" and self.watch.replicas() >= self._all())
            ):
                deadline = time.monotonic() + delay
            if time.monotonic() >= (deadline or patience):
                return driver.poll() is None
            time.sleep(POLL_SECONDS)
        return False

    def _read(self, text: str, before: int) -> None:
        """Take from what a life printed how much it trained."""
        if len(ledgers_in(self.directory)) == 1 and (begun := re.search(r"training (\d+) of (\d+) replicas", text)):
            missing, planned = int(begun[1]), int(begun[2])
            if missing != planned - before:
                self.storm.twice.append(f"{missing} replicas were to be trained when {before} of {planned} were there")

    def _last_line(self) -> str:
        lines = self.said.read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def _judge(self) -> None:
        """Set the end beside the undisturbed one."""
        storm, truth = self.storm, self.study.truth
        storm.twice += self.watch.changed
        if not (self.directory / "plan.json").exists():
            storm.lost += sorted(truth.replicas)
            return
        found = contents_of(self.directory)
        storm.lost += sorted(truth.replicas - found.replicas)
        storm.differing += differences(truth, found)
        storm.left += left_behind(self.directory)
        storm.left += sorted(path.name for path in self.directory.rglob("*.set-aside-*"))


class Watch:
    """Looks at a run directory again and again.

    Attributes:
        changed: Files of recorded cohorts that were written once more, or taken away.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.changed: list[str] = []
        self._files: dict[str, int] = {}
        self._recorded: dict[str, tuple[int, str]] = {}
        self._rows: dict[str, int] = {}

    def look(self) -> set[str]:
        """Return what happened since the last look: `checkpoint`, `recording`."""
        files: dict[str, int] = {}
        for part in PARTS:
            for name in (*RECORDED, "checkpoints"):
                _scan(self.directory / part / name, files)
        fresh = {place for place, changed in files.items() if self._files.get(place) != changed}
        gone = {place for place in self._recorded if place not in files}
        self._files = files
        for place in fresh | gone:
            if _is_rows(place):
                self._note(place)
        return {"checkpoint" if "/checkpoints/" in place else "recording" for place in fresh}

    def _note(self, place: str) -> None:
        try:
            now = os.stat(place).st_ino, hashlib.sha256(Path(place).read_bytes()).hexdigest()
            self._rows[place] = pq.read_metadata(place).num_rows
        except FileNotFoundError:
            now = 0, ""
        if self._recorded.setdefault(place, now) != now:
            self.changed.append(f"{Path(place).name} was written again")
            self._recorded[place] = now

    def replicas(self) -> int:
        """Return how many replicas are recorded."""
        self.look()
        return sum(self._rows.values())


def _is_rows(place: str) -> bool:
    path = Path(place)
    return path.parent.name == "cohorts" and path.suffix == ".parquet"


def _scan(folder: Path, files: dict[str, int]) -> None:
    """Add the files below a folder, and when they were last changed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        _scan(Path(entry.path), files)
                    else:
                        files[entry.path] = entry.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return


def summary(storms: Sequence[Storm]) -> str:
    """Return what storms came to, as JSON."""
    kills = [kill for storm in storms for kill in storm.kills]
    wrong = Counter(name for storm in storms for name, found in storm.wrong.items() for _ in found)
    content: dict[str, Any] = {
        "storms": len(storms),
        "kills": len(kills),
        "by victim": Counter(kill.victim for kill in kills),
        "by aim": Counter(kill.aimed for kill in kills),
        **{name: wrong.get(name, 0) for name in ("lost", "twice", "differing", "left", "exits")},
        "resumed from checkpoints": sum(storm.resumed for storm in storms),
        "seconds": round(sum(storm.seconds for storm in storms), 1),
        "wrong": {storm.seed: storm.wrong for storm in storms if storm.wrong},
    }
    return json.dumps(content, indent=1)
