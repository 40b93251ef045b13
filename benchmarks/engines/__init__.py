"""Engines: where cohorts are trained. Each is one file behind this interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gan.replica import Cohort, CohortResult


@dataclass(frozen=True)
class Outcome:
    """A cohort that came back."""

    cohort: Cohort
    result: CohortResult | None
    error: str = ""
    """Why there is no result."""
    seconds: float = 0.0
    """Wall time in the worker."""


class WorkerDied(RuntimeError):
    """A worker process ended without an answer."""


class Engine(Protocol):
    """Trains cohorts somewhere and hands them back as they finish, in any order."""

    def run(
        self, cohorts: Sequence[Cohort], data_dir: Path, device: str, on_progress: Callable[[int], None]
    ) -> Iterator[Outcome]:
        """Train cohorts.

        Args:
            cohorts: In the order they should start.
            data_dir: A torchvision root.
            device: ``cpu`` or ``cuda``.
            on_progress: Called now and then with the replica-steps done since the last call.

        Raises:
            InputError: Data or weights cannot be read.
            WorkerDied: A worker ended without an answer.
        """
        ...
