"""How far a run is: a bar on a terminal, a line a cohort elsewhere."""

from __future__ import annotations

import time

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from benchmarks.planning import cost
from benchmarks.planning.plan import Plan
from benchmarks.running.log import LOG
from gan.replica import Cohort


class Progress:
    """Shows replicas done, those of them that diverged or failed, and the time left.

    Args:
        console: Where to; standard error, so that `--json` leaves standard output to programs.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn(
                "{task.fields[replicas]}/{task.fields[planned]} replicas, {task.fields[failed]} diverged or failed"
            ),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self.task: TaskID | None = None

    def begin(self, plan: Plan, cohorts: list[Cohort], done: int) -> None:
        """Start a study of which `done` replicas were finished before."""
        self.name, self.planned, self.done, self.failed = plan.study.name, len(plan.replicas), done, 0
        self.name += f", {plan.study.stage}" if plan.study.stage else ""
        self.total, self.steps, self.started = cost.estimate(plan, cohorts).replica_steps, 0, time.monotonic()
        if not cohorts:
            self.say(f"{self.name}: all {self.planned} replicas are finished; nothing to train")
        elif self.console.is_terminal:
            self.task = self.bar.add_task(self.name, total=self.total, replicas=done, planned=self.planned, failed=0)
            self.bar.start()
        else:
            self.say(f"{self.name}: training {self.planned - done} of {self.planned} replicas")

    def advance(self, steps: int) -> None:
        """Count replica-steps."""
        self.steps += steps
        if self.task is not None:
            self.bar.advance(self.task, steps)

    def finished(self, rows: pd.DataFrame) -> None:
        """Count a cohort."""
        self.done += len(rows)
        self.failed += int((rows["status"] != "ok").sum())
        if self.task is not None:
            self.bar.update(self.task, replicas=self.done, failed=self.failed)
        else:
            spent = time.monotonic() - self.started
            left = spent * (self.total / max(self.steps, 1) - 1)
            self.say(
                f"{self.name}: {self.done}/{self.planned} replicas, {self.failed} diverged or failed, "
                f"{spent:.0f} s, about {max(left, 0):.0f} s left"
            )

    def end(self) -> None:
        """Close the bar."""
        if self.task is not None:
            self.bar.stop()
            self.bar.remove_task(self.task)
            self.task = None

    def say(self, text: str) -> None:
        """Print one line, and log it."""
        LOG.info(text)
        self.console.print(text, highlight=False, soft_wrap=True)
