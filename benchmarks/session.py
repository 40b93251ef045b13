"""What `run` and `tune` share: choose studies, prepare them all before training any, train, compile the reports."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import typer
from rich.console import Console

from benchmarks import choosing, listing, reporting, runner, system, tuning
from benchmarks.engines import Engine, WorkerDied
from benchmarks.engines.local import LocalEngine
from benchmarks.ledger import Ledger
from benchmarks.plan import Plan
from benchmarks.progress import Progress
from benchmarks.runner import Options, Summary
from gan.errors import InputError, nearest
from gan.replica import Mode
from studies import schema

Asked = Literal["none", "too", "only"]
"""Whether studies with `[tune]` are tuned: no; yes, beside others that are not; or they alone are meant."""

MODES = ("vmap", "loop")


def make_options(
    *, device: str, workers: int | None, data_dir: Path | None, mode: str | None, **others: Any
) -> Options:
    """Return what was chosen on the command line, with this machine's defaults where nothing was.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: Processes.
        data_dir: A torchvision root.
        mode: ``vmap`` or ``loop``, where it is not left to measurement.
        **others: The other fields of `Options`, as they are.

    Raises:
        InputError: No such device or mode.
    """
    if mode not in (None, *MODES):
        raise InputError(f"--mode {mode}: no such mode; {nearest(mode, MODES)}")
    chosen = system.choose_device(device)
    return Options(
        device=chosen,
        workers=workers or system.default_workers(chosen),
        data_dir=data_dir or system.default_data_dir(),
        mode=cast("Mode | None", mode),
        **others,
    )


@dataclass(frozen=True)
class Job:
    """A study that is checked and planned, and can be trained."""

    study: schema.Study
    ledger: Ledger
    plan: Plan
    search: tuning.Search | None = None
    """Of a study that is to be tuned as well."""

    def plans(self) -> list[dict[str, Any]]:
        """Return what there is to train and what it costs, a row for each stage."""
        if self.search:
            return tuning.plan_summary(self.search)
        return [listing.plan_summary(self.plan, self.ledger)]

    def train(self, options: Options, engine: Engine, progress: Progress) -> Summary:
        """Train what is missing."""
        if self.search:
            return tuning.tune(self.search, options, engine, progress, reporting.answer_of)
        return runner.run(self.ledger, self.plan, options, engine, progress, reporting.answer_of)


def prepare(names: Sequence[str], options: Options, asked: Asked) -> list[Job]:
    """Choose studies and check and plan all of them; nothing is written.

    Raises:
        InputError: One of them cannot be used.
    """
    chosen, left_out = choosing.studies(names, options.scale, options.data_dir, tuned=asked == "only")
    for name, why in left_out.items():
        print(f"{name}: left out, {why}", file=sys.stderr)
    return [_job(study.study, study.source, options, asked) for study in chosen]


def _job(study: schema.Study, source: str, options: Options, asked: Asked) -> Job:
    if study.tune is None or asked == "none":
        return Job(study, *runner.prepare(study, source, options))
    searched = tuning.prepare(study, source, options)
    return Job(study, searched.ledger, searched.plan, searched)


def train(jobs: Sequence[Job], options: Options, report: bool) -> list[dict[str, Any]]:
    """Train studies one after the other with one pool of workers.

    Args:
        jobs: From `prepare`.
        options: The session's.
        report: Compile each study's report when it is trained.

    Returns:
        What was done, as `runner.Summary`, a study each.

    Raises:
        InputError: Data cannot be had, or a run directory cannot be written to.
        typer.Exit: 1 where a worker died, 130 where a person interrupted; what was finished is recorded.
    """
    for job in jobs:
        if any(plan["to_train"] for plan in job.plans()):
            runner.check_data(job.study, job.plan.study.target, options.data_dir)
    for job in jobs:
        job.ledger.open_for_writing()
    progress = Progress(Console(stderr=True))
    if not system.has_compiler(options.device):
        progress.say("no C++ compiler (or no Triton): studies run uncompiled, two to three times slower")
    summaries: list[dict[str, Any]] = []
    try:
        with LocalEngine(options.workers) as engine:
            for job in jobs:
                summary = job.train(options, engine, progress)
                if report:
                    _compile(job.ledger, summary, progress)
                summaries.append(dataclasses.asdict(summary))
    except WorkerDied as error:
        progress.say(f"error: {error}; what was finished is recorded: the same command goes on from there")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        progress.say("interrupted; what was finished is recorded: the same command goes on from there")
        raise typer.Exit(130) from None
    return summaries


def _compile(ledger: Ledger, summary: Summary, progress: Progress) -> None:
    try:
        summary.report = str(reporting.compile_study(ledger, ledger.directory / "report"))
    except InputError as error:
        # One study without a report must not keep the next from training.
        progress.say(f"{summary.study}: no report: {error}")
