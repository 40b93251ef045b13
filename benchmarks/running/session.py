"""What `run` and `tune` share: choose studies, prepare them all before training any, train, compile the reports."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import typer
from rich.console import Console

from benchmarks import tuning
from benchmarks.engines import ENGINES, Engine, WorkerDied
from benchmarks.engines.local import LocalEngine
from benchmarks.machine import disk, system
from benchmarks.machine.interrupts import Interrupts, gracefully
from benchmarks.machine.lock import locked
from benchmarks.planning import choosing, listing
from benchmarks.planning.plan import Plan
from benchmarks.running import reporting, runner
from benchmarks.running.log import LOG, logged
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options, Summary
from benchmarks.tracking import OFF, check_store, check_uri
from benchmarks.upkeep.integrity import mend, mend_findings
from gan.errors import CodeError, InputError, nearest
from gan.files import FULL
from gan.replica import MODES, Mode
from reports.ledger.ledger import Ledger
from studies import schema

TuneMode = Literal["none", "too", "only"]
"""Whether studies with `[tune]` are tuned: no; yes, beside others that are not; or they alone are meant."""

GOES_ON = "what was finished is recorded: the same command goes on from there"


def make_options(
    *,
    device: str,
    workers: int | None,
    data_dir: Path | None,
    mode: str | None,
    engine: str = "local",
    address: str | None = None,
    gpus_per_cohort: float | None = None,
    connect: bool = True,
    **others: Any,
) -> Options:
    """Return what was chosen on the command line, with this machine's or the cluster's defaults where nothing was.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: Processes.
        data_dir: A torchvision root.
        mode: ``vmap`` or ``loop``, where it is not left to measurement.
        engine: ``local`` or ``ray``.
        address: Of a Ray cluster; None starts one on this machine.
        gpus_per_cohort: On a Ray cluster with GPUs, the share of one that a cohort takes.
        connect: Connect to the cluster, which stays connected until the engine ends.
        **others: The other fields of `Options`, as they are.

    Raises:
        InputError: No such device, mode or engine, options that do not go together, a tracking URI that cannot be one,
            or no cluster at the address.
    """
    if mode not in (None, *MODES):
        raise InputError(f"--mode {mode}: no such mode; {nearest(mode, MODES)}")
    check_uri(others.get("tracking_uri"))
    _check_engine(engine, address, gpus_per_cohort)
    data_dir = data_dir or system.default_data_dir()
    if engine == "ray" and connect:
        if importlib.util.find_spec("ray") is None:
            raise InputError(
                '--engine ray: Ray is not installed; expected `pip install "gan-stability[ray]"`, or --engine local'
            )
        from benchmarks.engines import ray_cluster

        ray_cluster.connect(address, workers or system.default_workers("cpu"))
        chosen = ray_cluster.device_of_cluster(device)
        workers = ray_cluster.cpus()
    else:
        chosen = system.choose_device(device)
    return Options(
        device=chosen,
        workers=workers or system.default_workers(chosen),
        data_dir=data_dir,
        mode=cast("Mode | None", mode),
        engine=engine,
        gpus_per_cohort=gpus_per_cohort or 1.0,
        **others,
    )


def _check_engine(engine: str, address: str | None, gpus_per_cohort: float | None) -> None:
    """Refuse options of an engine that is not asked for."""
    if engine not in ENGINES:
        raise InputError(f"--engine {engine}: no such engine; {nearest(engine, ENGINES)}")
    if engine != "ray" and address is not None:
        raise InputError(f"--address: the engine {engine} has none; expected --engine ray")
    if engine != "ray" and gpus_per_cohort is not None:
        raise InputError(f"--gpus-per-cohort: the engine {engine} has one GPU a worker; expected --engine ray")


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
        said = mend(self.ledger)
        if self.search:
            said += mend_findings(self.ledger) + mend(self.ledger.search()) + mend(self.ledger.tuned())
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


def prepare(names: Sequence[str], options: Options, asked: TuneMode) -> list[Job]:
    """Choose studies and check and plan all of them; nothing is written.

    Raises:
        InputError: One of them cannot be used.
    """
    chosen, left_out = choosing.studies(names, options.scale, options.data_dir, tuned=asked == "only")
    for name, why in left_out.items():
        print(f"{name}: left out, {why}", file=sys.stderr)
    return [_job(c.study, c.source, options, tuned=c.study.tune is not None and asked != "none") for c in chosen]


def _job(study: schema.Study, source: str, options: Options, *, tuned: bool) -> Job:
    if not tuned:
        return Job(study, source, *runner.prepare(study, source, options))
    searched = tuning.prepare(study, source, options)
    return Job(study, source, searched.ledger, searched.plan, searched)


def train(jobs: Sequence[Job], options: Options, report: bool) -> list[dict[str, Any]]:
    """Train studies one after the other with one pool of workers.

    Args:
        jobs: From `prepare`.
        options: The session's.
        report: Compile each study's report when it is trained.

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
            return _train(jobs, options, report, progress, interrupts)
        except (WorkerDied, tuning.StorageLost) as error:
            progress.say(f"error: {error}; {GOES_ON}")
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno is None:  # no system's word, but a mistake of ours
                raise
            place, what = error.filename or options.runs_dir, error.strerror
            if error.errno in FULL:
                place, what = options.runs_dir, f"the disk is full ({error.strerror}); free some space"
            progress.say(f"error: {place}: {what}; {GOES_ON}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            progress.say(f"interrupted; {GOES_ON}")
            raise typer.Exit(interrupts.status) from None


def _train(
    jobs: Sequence[Job], options: Options, report: bool, progress: Progress, interrupts: Interrupts
) -> list[dict[str, Any]]:
    summaries: list[dict[str, Any]] = []
    with _engine(options, progress.say, interrupts.stopping) as engine:
        for job in jobs:
            if interrupts.stopping():
                raise KeyboardInterrupt
            summary = job.train(options, engine, progress)
            if report:
                _compile(job.ledger, summary, options, progress)
            summaries.append(dataclasses.asdict(summary))
    return summaries


def _engine(
    options: Options, say: Callable[[str], None], stopping: Callable[[], bool]
) -> AbstractContextManager[Engine]:
    if options.engine == "local":
        return LocalEngine(options.workers, say, stopping)
    from benchmarks.engines.ray import RayEngine

    return RayEngine(options.gpus_per_cohort, say, stopping)


def _compile(ledger: Ledger, summary: Summary, options: Options, progress: Progress) -> None:
    try:
        report = reporting.compile_trained(ledger)
        summary.report = str(report)
        if options.tracking_uri != OFF and not summary.warning:  # else a store that is away would be waited for twice
            summary.warning = reporting.mirror(ledger, report, options.runs_dir, options.tracking_uri)
    except InputError as error:
        # One study without a report must not keep the next from training.
        progress.say(f"{summary.study}: no report: {error}")
