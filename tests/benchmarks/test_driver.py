"""The coordinator of a run: what it loads, and what it keeps of replicas that are recorded."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.engines import CheckpointConfig, Outcome
from benchmarks.running import runner
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options
from gan.replica import Cohort, CohortResult, ReplicaResult
from studies import schema


class Instant:
    """An engine that trains nothing, and watches what becomes of its results."""

    def __init__(self) -> None:
        self.results: list[weakref.ref[CohortResult]] = []
        self.alive: list[int] = []

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        for cohort in cohorts:
            yield self._outcome(cohort)
            gc.collect()
            self.alive.append(sum(result() is not None for result in self.results))

    def _outcome(self, cohort: Cohort) -> Outcome:
        row: dict[str, Any] = {"status": "ok", "failed_step": None, "reason": "", "train_seconds": 1.0, "ks": 0.1}
        result = CohortResult([ReplicaResult(r, dict(row), [(1, "loss/generator", 0.7)]) for r in cohort.replicas], {})
        self.results.append(weakref.ref(result))
        return Outcome(cohort, result)


@pytest.mark.usefixtures("no_compiler")
def test_the_coordinator_holds_the_results_of_one_cohort_at_most(tmp_path: Path) -> None:
    here = {"runs_dir": tmp_path, "data_dir": tmp_path, "tracking_uri": "off"}
    options = Options(scale="laptop", device="cpu", workers=1, seeds=6, **here)
    ledger, plan = runner.prepare(schema.load("gaussian"), "gaussian", options)
    engine = Instant()
    summary = runner.run(ledger, plan, options, engine, Progress(Console(file=io.StringIO())))
    assert summary.trained == len(plan.replicas) == 120
    assert len(engine.alive) > 3 and max(engine.alive) == 1  # the one at hand


def test_planning_draws_nothing() -> None:
    """A dry run must not wait for what compiles reports, mirrors or tunes."""
    heavy = {"matplotlib", "seaborn", "mlflow", "optuna", "torch"}
    code = f"import sys, benchmarks.running.session; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
