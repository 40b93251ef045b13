"""Engines: where cohorts are trained. Each is one record of `registry.py` behind this interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gan.replica import Cohort, CohortResult

Say = Callable[[str], None]
"""Called with a line that a person should know of."""
Stopping = Callable[[], bool]
"""Says whether a person asked to stop."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Where cohorts in training keep their state, and how often."""

    folder: Path
    """Of the run; each cohort has a folder in it, under its id."""
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A cohort that came back: the one that was handed in, or a piece of it where it had to be cut."""

    cohort: Cohort
    result: CohortResult | None
    error: str = ""
    """Why there is no result."""
    broken: bool = False
    """The process that it came from may be broken, as by an error of a GPU: it should train nothing more."""
    seconds: float = 0.0
    """Wall time in the worker."""
    checkpoint_seconds: float = 0.0
    """Of these, spent in checkpoints."""
    machine: dict[str, Any] | None = None
    """What trained it, where that may be another machine: host, hardware, versions."""


class WorkerDied(RuntimeError):
    """Workers cannot be kept alive: they end before they train anything."""


class Engine(Protocol):
    """Trains cohorts somewhere and hands them back as they finish, in any order."""

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts. One that does not end well is tried again and cut, as `retries.py` says.

        Args:
            cohorts: In the order they should start.
            data_dir: A torchvision root.
            device: ``cpu`` or ``cuda``.
            on_progress: Called now and then with the replica-steps done since the last call.
            checkpoints: Where cohorts in training keep their state; None keeps none.

        Raises:
            InputError: Data or weights cannot be read.
            KeyboardInterrupt: A person asked to stop; what had finished was handed out before.
            WorkerDied: Workers end as soon as they are started.
        """
        ...
