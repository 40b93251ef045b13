"""The processes of a command, found by the session they were started in; and the end of them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
HERE = PROC.joinpath("self/stat").exists()
"""Whether processes can be found this way."""
GONE = "ZX"  # states of a process that runs no more


@dataclass(frozen=True)
class Process:
    """A process that was there a moment ago."""

    id: int
    parent: int
    command: str

    @property
    def is_worker(self) -> bool:
        """Whether it trains: not the driver, nor what watches over its semaphores."""
        return "spawn_main" in self.command


def processes_of(session: int) -> list[Process]:
    """Return the living processes of a session, its leader too."""
    ids = sorted(int(path.name) for path in PROC.iterdir() if path.name.isdigit())
    return [process for id in ids if (process := _read(id, session))]


def _read(id: int, session: int) -> Process | None:
    """Return a process, if it lives and is of this session."""
    try:
        fields = (PROC / str(id) / "stat").read_text().rpartition(")")[2].split()
        if int(fields[3]) != session or fields[0] in GONE:
            return None
        command = (PROC / str(id) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return Process(id, int(fields[1]), command)
    except (OSError, ValueError):  # it ended meanwhile
        return None


def workers_of(session: int) -> list[Process]:
    """Return the workers of a session."""
    return [p for p in processes_of(session) if p.is_worker]


def kill(id: int, session: int) -> bool:
    """Kill a process of a session; say whether it was still there, and no other of the same number."""
    if _read(id, session) is None:
        return False
    os.kill(id, signal.SIGKILL)
    return True


def kill_all(session: int) -> None:
    """Kill every process of a session at once: its leader's group is the whole of it."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


def all_gone(session: int, seconds: float = 20.0) -> list[Process]:
    """Wait until no process of a session is left; return those that stay."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
