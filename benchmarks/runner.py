"""Run a study: plan, train, record, mirror, report. One coordinator writes; the engine only trains."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import cost, system
from benchmarks.engines import Engine, Outcome
from benchmarks.ledger import HISTORY, LOSSES, Arrays, Ledger, find_runs
from benchmarks.plan import Plan, make_plan
from benchmarks.progress import Progress
from benchmarks.tracking import Mirror
from gan.errors import InputError
from gan.replica import Cohort, Mode, ReplicaResult
from gan.scores import scores_of
from gan.targets import Images
from studies import schema

NO_TRACKING = "off"


@dataclass(frozen=True)
class Options:
    """What a person chose on the command line, devices and directories resolved."""

    scale: str
    device: str
    workers: int
    runs_dir: Path
    data_dir: Path
    tracking_uri: str | None = None
    seeds: int | None = None
    mode: Mode | None = None
    retry_failed: bool = False


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


def directory(runs_dir: Path, study: str, scale: str) -> Path:
    """Return the run directory of a study at a scale."""
    return Path(runs_dir) / study / scale


def prepare(study: schema.Study, source: str, options: Options) -> tuple[Ledger, Plan]:
    """Plan a study against what its run directory already holds; nothing is written.

    Raises:
        InputError: The study or the run directory cannot be used.
    """
    resolved = schema.resolve(study, options.scale, options.seeds)
    ledger = Ledger(directory(options.runs_dir, study.name, options.scale))
    compiler = system.has_compiler(options.device)
    finished = ledger.finished(but_failed=options.retry_failed)
    plan = make_plan(
        resolved,
        options.device,
        command(source, options),
        compiler=compiler,
        earlier=ledger.plan(),
        finished=finished,
        mode=options.mode,
    )
    if not compiler and any(c.compiled for c in plan.missing(finished)):
        raise InputError(
            f"{ledger.directory / 'plan.json'}: this run was begun with compiled cohorts, and there is no compiler "
            "here; expected a C++ compiler (Triton and a C compiler for CUDA), or another --runs-dir"
        )
    return ledger, plan


def command(source: str, options: Options) -> str:
    """Return what a person types to run this again on any machine of the same kind."""
    words = ["ganbench", "run", source, "--scale", options.scale, "--device", options.device]
    words += ["--seeds", str(options.seeds)] if options.seeds else []
    words += ["--mode", options.mode] if options.mode else []
    return " ".join(words)


def check_data(study: schema.Study, target: Any, data_dir: Path) -> None:
    """Make sure a target's data are there, downloading what can be downloaded, before anything is written.

    Raises:
        InputError: They are not, or are corrupt; the message names the ways out.
    """
    if isinstance(target, Images):
        try:
            target.load(data_dir, download=True)
        except InputError as error:
            raise InputError(f"{study.name}: {error}") from None


def run(
    ledger: Ledger,
    plan: Plan,
    options: Options,
    engine: Engine,
    progress: Progress,
    answer: Callable[[Ledger], str] | None = None,
) -> Summary:
    """Train what a plan misses and record it.

    Args:
        ledger: The run directory.
        plan: From `prepare`.
        options: The session's.
        engine: Where cohorts train.
        progress: Shows how far it is.
        answer: Reads a study's answer from its ledger, for the mirror's note.

    Raises:
        InputError: The run directory cannot be written to, or data cannot be read.
        WorkerDied: A worker ended without an answer; what was finished is recorded.
    """
    ledger.open_for_writing()
    if options.retry_failed:
        ledger.set_aside_failures()
    cohorts = plan.missing(ledger.finished())
    summary = Summary(plan.study.name, plan.study.scale, str(ledger.directory), replicas=len(plan.replicas))
    session = _Session(plan, options)
    ledger.write_json("plan.json", plan.to_json())
    mirror = _mirror(ledger, plan, options)
    started = time.perf_counter()
    try:
        progress.begin(plan, cohorts, done=len(plan.replicas) - _count(cohorts, plan))
        for outcome in engine.run(cohorts, options.data_dir, options.device, progress.advance):
            if outcome.result:  # before the rows, whose presence says that all of this is there
                ledger.write_references(outcome.result.references, outcome.result.real)
            rows = _record(ledger, plan, outcome)
            summary.trained += len(rows)
            progress.finished(rows)
            session.cohorts[outcome.cohort.id] = round(outcome.seconds, 3)
            if mirror:
                _push(mirror, ledger, outcome.cohort.id, rows)
        if mirror and answer:
            mirror.describe(answer(ledger), str(ledger.directory / "report" / "report.md"))
    finally:
        progress.end()
        summary.train_seconds = time.perf_counter() - started
        if mirror:
            stats = mirror.close()
            summary.tracking_seconds, summary.warning = stats.write_seconds, stats.warning
            session.mlflow = asdict(stats)
        session.write(ledger, summary, cohorts)
    wanted = ledger.results().query("replica in @plan.replicas")
    summary.diverged = int((wanted["status"] == "diverged").sum())
    summary.failed = len(plan.replicas) - int(wanted["status"].isin(["ok", "diverged"]).sum())
    return summary


def default_studies(data_dir: Path) -> tuple[list[str], list[str]]:
    """Return the studies that run without being named, and those among them left out for want of data."""
    return _by_data([study for study in _ours() if study.default], data_dir)


def all_studies(data_dir: Path) -> tuple[list[str], list[str]]:
    """Return every study of the repository, those that run by default first, and those left out for want of data."""
    return _by_data(sorted(_ours(), key=lambda study: not study.default), data_dir)


def _ours() -> list[schema.Study]:
    return [schema.load(name) for name in schema.available()]


def _by_data(studies: list[schema.Study], data_dir: Path) -> tuple[list[str], list[str]]:
    """Return the names of the studies whose data are there, and of the others."""
    run: list[str] = []
    left_out: list[str] = []
    for study in studies:
        target = schema.resolve(study, next(iter(study.scales))).target
        there = not isinstance(target, Images) or target.available(data_dir)
        (run if there else left_out).append(study.name)
    return run, left_out


def runs_of(names: Iterable[str], runs_dir: Path, scale: str) -> list[Ledger]:
    """Return the run directories of studies at a scale, by name or `all`.

    Raises:
        InputError: One was not run, or is unknown.
    """
    chosen = list(names)
    found = {r.directory.parent.name: r for r in find_runs(runs_dir) if r.directory.name == scale}
    if chosen == ["all"]:
        if not found:
            raise InputError(
                f"{runs_dir}: no study was run at scale {scale} there; `ganbench run` runs the default ones"
            )
        return list(found.values())
    for i, given in enumerate(chosen):
        chosen[i] = name = Path(given).stem if given.endswith(".toml") else given
        if name not in found:
            schema.load(given)
            raise InputError(f"{name}: not run yet at scale {scale}; `ganbench run {name} --scale {scale}` runs it")
    return [found[name] for name in chosen]


class _Session:
    """Everything about this session that is not a result: it goes to `provenance.json`."""

    def __init__(self, plan: Plan, options: Options) -> None:
        self.started = datetime.datetime.now(datetime.UTC)
        self.plan, self.options = plan, options
        self.cohorts: dict[str, float] = {}
        self.mlflow: dict[str, Any] = {}

    def write(self, ledger: Ledger, summary: Summary, cohorts: list[Cohort]) -> None:
        """Add this session to those that trained something, and what the mirror holds now."""
        earlier = ledger.provenance()
        session = {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": self.plan.command,
            "workers": self.options.workers,
            "device": self.options.device,
            "commit": system.commit(),
            "hardware": system.hardware(self.options.device),
            "versions": system.versions(),
            "trained": summary.trained,
            "wall_seconds": round(summary.train_seconds, 1),
            "tracking_seconds": round(summary.tracking_seconds, 1),
            "cohort_seconds": self.cohorts,
            "estimated_core_seconds": round(cost.estimate(self.plan, cohorts).core_seconds),
        }
        sessions = [*earlier.get("sessions", []), *([session] if summary.trained else [])]
        mlflow = self.mlflow or earlier.get("mlflow", {})
        ledger.write_json("provenance.json", {"sessions": sessions, "mlflow": mlflow})


def _count(cohorts: list[Cohort], plan: Plan) -> int:
    return sum(r.id in plan.replicas for c in cohorts for r in c.replicas)


def _mirror(ledger: Ledger, plan: Plan, options: Options) -> Mirror | None:
    """Open the mirror, and tell it of cohorts that are in the ledger already."""
    if options.tracking_uri == NO_TRACKING:
        return None
    mirror = Mirror(
        options.runs_dir,
        plan.to_json(),
        tracking_uri=options.tracking_uri,
        git_commit=system.commit(),
        references=ledger.references,
    )
    for id in ledger.finished_cohorts():
        rows = ledger.results_of(id)
        _push(mirror, ledger, id, rows[rows["replica"].isin(list(plan.replicas))])
    return mirror


def _push(mirror: Mirror, ledger: Ledger, cohort: str, rows: pd.DataFrame) -> None:
    mirror.push(rows, lambda: ledger.history_of(cohort), lambda replica: ledger.samples(replica, cohort))


def _record(ledger: Ledger, plan: Plan, outcome: Outcome) -> pd.DataFrame:
    """Write one cohort to the ledger and return its rows."""
    cohort = outcome.cohort
    if outcome.result:
        results = outcome.result.replicas
    else:
        failed = {"status": "failed", "failed_step": None, "reason": outcome.error, "train_seconds": np.nan}
        results = [ReplicaResult(r, dict(failed), []) for r in cohort.replicas]
    rows = pd.DataFrame([_row(result, cohort, plan) for result in results])
    history = pd.DataFrame(
        [(result.replica.id, *point) for result in results for point in result.history],
        columns=pd.Index(HISTORY),
    ).astype({"replica": "category", "metric": "category", "step": "int64", "value": "float64"})
    ledger.write_cohort(
        cohort.id,
        rows.astype({"failed_step": "Int64"}),
        history,
        _joined(results, "samples"),
        _joined(results, "weights"),
    )
    return rows


def _row(result: ReplicaResult, cohort: Cohort, plan: Plan) -> dict[str, Any]:
    replica, study = result.replica, plan.study
    variant, seed = plan.replicas[replica.id]
    identity = {
        "replica": replica.id,
        "study": study.name,
        "scale": study.scale,
        "target": study.target.name,
        "variant": variant,
        "seed": seed,
        "cohort": cohort.id,
        "device": plan.device,
        "steps": cohort.steps,
    }
    # Every column in every row: a study in which all replicas fail has a table of the same shape.
    finals = [s.name for s in scores_of(study.target) if s.final]
    repeats = [f"repeat/{name}" for name in finals if study.target.kind != "point"]  # whose one sample is exact
    empty = dict.fromkeys((*LOSSES, "value_discriminator", *finals, *repeats), np.nan)
    settings = {f"variant/{name}": _flat(value) for name, value in replica.variant.settings().items()}
    return identity | empty | result.row | settings


def _flat(value: Any) -> Any:
    return "-".join(map(str, value)) if isinstance(value, list) else value


def _joined(results: list[ReplicaResult], part: str) -> Arrays:
    return {
        f"{result.replica.id}/{name}": np.ascontiguousarray(array)
        for result in results
        for name, array in getattr(result, part).items()
    }
