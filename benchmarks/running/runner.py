"""Run a study: plan, train, record, mirror, report. One coordinator writes; the engine only trains."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engines import CheckpointConfig, Engine
from benchmarks.machine import system
from benchmarks.options import Options
from benchmarks.planning import cost
from benchmarks.planning.plan import Plan, make_plan, rounds
from benchmarks.running.log import LOG
from benchmarks.running.progress import Progress
from benchmarks.running.provenance import Session
from benchmarks.running.recording import record
from benchmarks.running.rescoring import outdated
from benchmarks.tracking import OFF, Mirror
from gan.errors import InputError
from gan.replica import Cohort, cohort_shape, scored_by
from gan.targets import Target
from reports.ledger.ledger import Ledger
from reports.ledger.shared import has_references, write_references
from studies import schema

STOPPED_SECONDS = 5.0  # that a person who stops a run waits for the mirror

Objective = Callable[[list[dict[str, Any]]], Mapping[str, float]]
"""What a trial is judged by, from the rows of its replicas."""


@dataclass
class Summary:
    """What one run of a study did."""

    study: str
    scale: str
    directory: str
    replicas: int = 0
    trained: int = 0
    diverged: int = 0
    failed: int = 0
    """Replicas that could not be run: of this session and of earlier ones."""
    train_seconds: float = 0.0
    """Wall time of training, scoring and recording."""
    tracking_seconds: float = 0.0
    """Spent in MLflow, in the background."""
    report: str = ""
    warning: str = ""
    trials: int = 0
    """Of a study that was tuned: trials finished, of all variants."""
    tuned: dict[str, str] = field(default_factory=dict[str, str])
    """Of each of its variants, the settings that were found best."""


def directory(runs_dir: Path, study: str, scale: str) -> Path:
    """Return the run directory of a study at a scale."""
    return Path(runs_dir) / study / scale


def prepare(study: schema.Study, source: str, options: Options) -> tuple[Ledger, Plan]:
    """Plan a study against what its run directory already holds; nothing is written.

    What is damaged there counts as not there: `run` sets it aside before it trains.

    Raises:
        InputError: The study or the run directory cannot be used.
    """
    resolved = schema.resolve(study, options.scale, options.seeds, options.trials)
    ledger = Ledger(directory(options.runs_dir, study.name, options.scale))
    compiler = system.has_compiler(options.device)
    earlier, placed = ledger.begun(but_failed=options.retry_failed)
    plan = make_plan(
        resolved,
        options.device,
        command(source, options),
        compiler=compiler,
        earlier=earlier,
        finished=placed,
        mode=options.mode,
        rounds=rounds(resolved, resolved.seeds),
    )
    finished = ledger.tolerant().finished(but_failed=options.retry_failed)
    if not compiler and any(c.compiled for c in plan.missing(finished)):
        raise InputError(
            f"{ledger.directory / 'plan.json'}: this run was begun with compiled cohorts, and there is no compiler "
            "here; expected a C++ compiler (Triton and a C compiler for CUDA), or another --runs-dir"
        )
    return ledger, plan


def command(source: str, options: Options, verb: str = "run") -> str:
    """Return what a person types to run this again on any machine of the same kind."""
    words = ["ganbench", verb, source, "--scale", options.scale, "--device", options.device]
    words += ["--seeds", str(options.seeds)] if options.seeds else []
    words += ["--trials", str(options.trials)] if options.trials and verb == "tune" else []
    words += ["--mode", options.mode] if options.mode else []
    words += [word for module in options.plugins for word in ("--plugin", module)]
    return shlex.join(words)


def check_data(study: schema.Study, target: Target, data_dir: Path) -> None:
    """Make sure a target's data are there, downloading what can be downloaded, before anything is written.

    Raises:
        InputError: They are not, or are corrupt; the message names the ways out.
    """
    try:
        target.check_data(data_dir, download=True)
    except InputError as error:
        raise InputError(f"{study.name}: {error}") from None


def run(
    ledger: Ledger,
    plan: Plan,
    options: Options,
    engine: Engine,
    progress: Progress,
    answer: Callable[[Ledger], str] | None = None,
    *,
    home: Ledger | None = None,
    trials: Mapping[str, Mapping[str, str]] | None = None,
    objective: Objective | None = None,
    rehearsed: set[Hashable] | None = None,
) -> Summary:
    """Train what a plan misses and record it.

    Args:
        ledger: The run directory.
        plan: From `prepare`.
        options: The session's.
        engine: Where cohorts train.
        progress: Shows how far it is.
        answer: Reads a study's answer from its ledger, for the mirror's note.
        home: The study's own run directory, where `ledger` is a part of it.
        trials: Of variants that are trials or come from one: what the mirror tags them with.
        objective: What a trial is judged by, from its rows, for the mirror.
        rehearsed: Kinds of replicas that need no rehearsal any more; those that are rehearsed now are added.

    Raises:
        InputError: The run directory cannot be written to, or data cannot be read.
        CodeError: A plugin, or this program, has an error; what was finished is recorded.
        KeyboardInterrupt: A person asked to stop; what was finished is recorded.
        WorkerDied: Workers cannot be kept alive; what was finished is recorded.
        OSError: The disk is full; what was finished is recorded.
    """
    ledger.open_for_writing()
    if options.retry_failed:
        ledger.set_aside_failures()
    cohorts = plan.missing(ledger.finished())
    summary = Summary(plan.study.name, plan.study.scale, str(ledger.directory), replicas=len(plan.replicas))
    ledger.write_json("plan.json", plan.record())
    _complete_references(ledger, plan, options)
    session = Session(
        ledger,
        command=plan.command,
        engine=options.engine,
        workers=options.workers,
        device=options.device,
        estimated_core_seconds=round(cost.estimate(plan, cohorts).core_seconds),
    )
    mirror = _mirror(ledger, plan, options, trials, objective)
    started = time.perf_counter()
    try:
        if old := outdated(ledger, plan.replicas, scored_by(plan.study.scoring, plan.study.target)):
            progress.say(
                f"{plan.study.name}: {old:,} replicas were scored by other definitions than today's; "
                f"`ganbench score {plan.study.name} --scale {plan.study.scale}` scores them again without training"
            )
        rehearse(engine, cohorts, options, set() if rehearsed is None else rehearsed)
        progress.begin(plan, cohorts, done=len(plan.replicas) - _count(cohorts, plan))
        checkpoints = CheckpointConfig(ledger.directory / "checkpoints", options.checkpoint_seconds)
        for outcome in engine.run(cohorts, options.data_dir, options.device, progress.advance, checkpoints):
            if outcome.result:  # before the rows, whose presence says that all of this is there
                write_references(ledger, outcome.result.references, outcome.result.real)
            with session.recording(outcome):
                rows = record(ledger, plan, outcome)
                ledger.drop_checkpoints(outcome.cohort.id)
            summary.trained += len(rows)
            LOG.debug("cohort %s: %d replicas, %.1f s", outcome.cohort.id, len(rows), outcome.seconds)
            progress.finished(rows)
            if mirror:
                _push(mirror, ledger, outcome.cohort.id, rows)
        ledger.drop_checkpoints(but=[cohort.id for cohort in plan.retired])
        if mirror and answer:
            described = home or ledger
            mirror.describe(answer(described), str(described.directory / "report" / "report.md"))
    finally:
        progress.end()
        summary.train_seconds = time.perf_counter() - started
        if mirror:
            # A person who waits for the end does not wait for a server.
            stopped = isinstance(sys.exception(), KeyboardInterrupt)
            stats = mirror.close(STOPPED_SECONDS) if stopped else mirror.close()
            summary.tracking_seconds, summary.warning = stats.write_seconds, stats.warning
            if stats.experiment:  # else it was away all the time
                session.mlflow = stats
        session.write(summary.train_seconds)
    wanted = ledger.results().query("replica in @plan.replicas")
    summary.diverged = int((wanted["status"] == "diverged").sum())
    summary.failed = len(plan.replicas) - int(wanted["status"].isin(["ok", "diverged"]).sum())
    return summary


def rehearse(engine: Engine, cohorts: Sequence[Cohort], options: Options, rehearsed: set[Hashable]) -> None:
    """Train a replica of each kind and loss that needs a plugin for two steps, and score it: most errors show then.

    Args:
        engine: Where they train.
        cohorts: What will be trained.
        options: The session's.
        rehearsed: The kinds of earlier rehearsals, which are left out; those of this one are added.

    Raises:
        CodeError: One of them has an error.
    """
    kinds = {
        (cohort_shape(cohort.replicas[0].variant), loss, cohort.target, cohort.scoring): rehearsal
        for cohort in cohorts
        if cohort.plugins
        for loss, rehearsal in cohort.rehearsals(options.device).items()
    }
    if rehearsals := [rehearsal for kind, rehearsal in kinds.items() if kind not in rehearsed]:
        for _ in engine.run(rehearsals, options.data_dir, options.device, lambda _: None):
            pass
    rehearsed.update(kinds)


def _complete_references(ledger: Ledger, plan: Plan, options: Options) -> None:
    """Make what real data score again where results were recorded without: it was lost, or set aside."""
    if has_references(ledger) or not ledger.finished_cohorts():
        return
    from gan.engine.cohort import references

    write_references(ledger, *references(plan.cohorts[0], options.data_dir, options.device))


def _count(cohorts: list[Cohort], plan: Plan) -> int:
    return sum(r.id in plan.replicas for c in cohorts for r in c.replicas)


def _mirror(
    ledger: Ledger,
    plan: Plan,
    options: Options,
    trials: Mapping[str, Mapping[str, str]] | None,
    objective: Objective | None,
) -> Mirror | None:
    """Open the mirror, and tell it of cohorts that are in the ledger already."""
    if options.tracking_uri == OFF:
        return None
    mirror = Mirror(
        options.runs_dir,
        plan.record(),
        tracking_uri=options.tracking_uri,
        git_commit=system.commit(),
        references=ledger.references,
        trials=trials,
        objective=objective,
    )
    push_finished(mirror, ledger, plan.replicas)
    return mirror


def push_finished(mirror: Mirror, ledger: Ledger, replicas: Collection[str]) -> None:
    """Tell the mirror of the cohorts that are in the ledger, as far as these replicas go."""
    for cohort in ledger.finished_cohorts():
        rows = ledger.results_of(cohort)
        _push(mirror, ledger, cohort, rows[rows["replica"].isin(list(replicas))])


def _push(mirror: Mirror, ledger: Ledger, cohort: str, rows: pd.DataFrame) -> None:
    mirror.push(rows, lambda: ledger.history_of(cohort), lambda replica: ledger.samples(replica, cohort))
