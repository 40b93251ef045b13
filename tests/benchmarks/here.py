"""An engine that really trains, in this process: a worker takes seconds to import torch, and tests of it are others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.engines import CheckpointConfig, Outcome
from benchmarks.engines.registry import ENGINES, EngineKind, this_machine
from benchmarks.engines.retries import CohortQueue
from benchmarks.engines.work import Job, train_job
from gan.replica import Cohort


class EngineHere:
    """Trains one cohort after the other, in halves what has no result."""

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        from gan.engine.cohort import train

        queue = CohortQueue(cohorts)
        while queue:
            attempt = queue.take()
            job = Job(attempt.cohort, data_dir, device, checkpoints)
            yield from queue.returned(attempt, train_job(job, train, on_progress, print, lambda: False))


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Have the command line train in this process."""

    patch.setitem(ENGINES, "local", EngineKind("local", this_machine, lambda *_: nullcontext(EngineHere())))
