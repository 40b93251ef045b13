"""What `run` and `tune` share: choose studies, prepare them all before training any, train, compile the reports."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import typer
from rich.console import Console

from benchmarks import tuning
from benchmarks.engines import Engine, WorkerDied
from benchmarks.engines.registry import ENGINES, engine_of, this_machine
from benchmarks.machine import disk, system
from benchmarks.machine.interrupts import Interrupts, gracefully
from benchmarks.machine.lock import locked
from benchmarks.options import Options, RunOptions
from benchmarks.planning import choosing, listing
from benchmarks.planning.plan import Plan
from benchmarks.running import reporting, runner
from benchmarks.running.log import LOG, logged
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Summary
from benchmarks.tracking import OFF, check_store, check_uri
from benchmarks.upkeep.integrity import repair, repair_findings
from gan.errors import CodeError, InputError, nearest
from gan.files import FULL
from gan.replica import MODES
from reports.ledger.ledger import Ledger
from studies import schema

TuneMode = Literal["none", "too", "only"]
"""Whether studies with `[tune]` are tuned: no; yes, beside others that are not; or they alone are meant."""

GOES_ON = "what was finished is recorded: the same command goes on from there"


def resolve(asked: RunOptions) -> Options:
    """Return what was chosen on the command line, with this machine's or the cluster's defaults where nothing was.

    A cluster that is asked for is connected to, and stays so until the engine ends; a dry run looks at none.

    Raises:
        InputError: No such device, mode or engine, options that do not go together, a tracking URI that cannot be one,
            or no cluster at the address.
    """
    if asked.mode not in (None, *MODES):
        raise InputError(f"--mode {asked.mode}: no such mode; {nearest(asked.mode, MODES)}")
    check_uri(asked.tracking_uri)
    kind = engine_of(asked)
    device, workers = (this_machine if asked.dry_run else kind.resources)(asked)
    resolved: dict[str, Any] = dict(device=device, workers=workers, plugins=tuple(asked.plugins or ()))
    resolved |= dict(data_dir=asked.data_dir or system.default_data_dir(), gpus_per_cohort=asked.gpus_per_cohort or 1.0)
    return Options(**{**vars(asked), **resolved})


@dataclass(frozen=True)
class Job:
    """A study that is checked and planned, and can be trained."""

    study: schema.Study
    source: str
    """What a person types to ask for it again."""
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
        """Train what is missing, under the run directory's lock.

        Raises:
            CodeError: A plugin, or this program, has an error; the run directory's log has the traceback.
        """
        said = repair(self.ledger)
        if self.search:
            said += repair_findings(self.ledger) + repair(self.ledger.search()) + repair(self.ledger.tuned())
        with logged(self.ledger.directory) as log:
            for line in said:
                progress.say(line)
            # Planned again: what is there may have been mended, or another process's work of a moment ago.
            job = _job(self.study, self.source, options, tuned=self.search is not None)
            try:
                if job.search:
                    return tuning.tune(job.search, options, engine, progress, reporting.answer_of)
                return runner.run(job.ledger, job.plan, options, engine, progress, reporting.answer_of)
            except CodeError as error:
                LOG.error("%s\n%s", error, error.details)
                raise CodeError(f"{error}; the traceback is in {log}; {GOES_ON}", error.details) from None


def prepare(names: Sequence[str], options: Options, mode: TuneMode) -> list[Job]:
    """Choose studies and check and plan all of them; nothing is written.

    Raises:
        InputError: One of them cannot be used.
    """
    chosen, left_out = choosing.studies(names, options.scale, options.data_dir, tuned=mode == "only")
    for name, why in left_out.items():
        print(f"{name}: left out, {why}", file=sys.stderr)
    return [_job(c.study, c.source, options, tuned=c.study.tune is not None and mode != "none") for c in chosen]


def _job(study: schema.Study, source: str, options: Options, *, tuned: bool) -> Job:
    if not tuned:
        return Job(study, source, *runner.prepare(study, source, options))
    searched = tuning.prepare(study, source, options)
    return Job(study, source, searched.ledger, searched.plan, searched)


def train(jobs: Sequence[Job], options: Options) -> list[dict[str, Any]]:
    """Train studies one after the other with one pool of workers.

    Args:
        jobs: From `prepare`.
        options: The session's.

    Returns:
        What was done, as `runner.Summary`, a study each.

    Raises:
        InputError: Data cannot be had, the disk has no room, a run directory cannot be written to, or another process
            is running there.
        typer.Exit: 1 where workers cannot be kept alive, the disk or a database of trials is full or fails, 130 where a
            person interrupted; what was finished is recorded.
    """
    check_store(options.tracking_uri)
    plans = [job.plans() for job in jobs]
    for job, stages in zip(jobs, plans, strict=True):
        if any(plan["to_train"] for plan in stages):
            runner.check_data(job.study, job.plan.study.target, options.data_dir)
    disk.check(options.runs_dir, sum(plan["estimated_disk_mb"] for stages in plans for plan in stages))
    for job in jobs:
        job.ledger.open_for_writing()
    progress = Progress(Console(stderr=True))
    with ExitStack() as locks, gracefully(progress.say) as interrupts:
        for job in jobs:
            locks.enter_context(locked(job.ledger.directory))
        if not system.has_compiler(options.device):
            progress.say("no C++ compiler (or no Triton): studies run uncompiled, two to three times slower")
        try:
            return _train(jobs, options, progress, interrupts)
        except (WorkerDied, tuning.StorageLost) as error:
            progress.say(f"error: {error}; {GOES_ON}")
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno is None:  # not the system's, but a mistake in this program
                raise
            place, what = error.filename or options.runs_dir, error.strerror
            if error.errno in FULL:
                place, what = options.runs_dir, f"the disk is full ({error.strerror}); free some space"
            progress.say(f"error: {place}: {what}; {GOES_ON}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            progress.say(f"interrupted; {GOES_ON}")
            raise typer.Exit(interrupts.status) from None


def _train(jobs: Sequence[Job], options: Options, progress: Progress, interrupts: Interrupts) -> list[dict[str, Any]]:
    summaries: list[dict[str, Any]] = []
    with ENGINES[options.engine].open(options, progress.say, interrupts.stopping) as engine:
        for job in jobs:
            if interrupts.stopping():
                raise KeyboardInterrupt
            summary = job.train(options, engine, progress)
            if options.report:
                _compile(job.ledger, summary, options, progress)
            summaries.append(dataclasses.asdict(summary))
    return summaries


def _compile(ledger: Ledger, summary: Summary, options: Options, progress: Progress) -> None:
    try:
        report = reporting.compile_trained(ledger)
        summary.report = str(report)
        if options.tracking_uri != OFF and not summary.warning:  # else a store that is away would be waited for twice
            summary.warning = reporting.mirror(ledger, report, options.runs_dir, options.tracking_uri)
    except InputError as error:
        # One study without a report must not keep the next from training.
        progress.say(f"{summary.study}: no report: {error}")
