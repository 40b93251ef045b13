"""An engine that really trains, in this process: a worker takes seconds to import torch, and tests of it are others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import Keeping, Outcome
from benchmarks.engines.retries import Attempt
from benchmarks.engines.work import Job, trained
from benchmarks.running import session
from gan.replica import Cohort


class EngineHere:
    """Trains one cohort after the other, in halves what has no result."""

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        keeping: Keeping | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        from gan.engine.cohort import train

        waiting = deque(Attempt(cohort) for cohort in cohorts)
        while waiting:
            attempt = waiting.popleft()
            outcome = trained(Job(attempt.cohort, data_dir, device, keeping), train, on_progress, print, lambda: False)
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, Outcome), outcome
            again = [] if outcome.result else attempt.after_error(broken=outcome.broken)
            waiting.extendleft(reversed(again))
            if not again:
                yield outcome


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Have the command line train in this process."""

    def engine(*_: Any) -> AbstractContextManager[EngineHere]:
        return nullcontext(EngineHere())

    patch.setattr(session, "_engine", engine)
