"""Bring the mirror up to what the ledgers hold: what runs could not write while the store was away, or was off.

Nothing is trained, and nothing is written that is there: it may be repeated as often as one likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tuning
from benchmarks.machine.lock import locked
from benchmarks.running import reporting
from benchmarks.running.runner import push_finished
from benchmarks.tracking import Mirror
from gan.errors import InputError
from reports.ledger.ledger import Ledger
from reports.ledger.records import MirrorRecord, PlanRecord


@dataclass
class Synced:
    """What the mirror has of a study at one scale, and what was done for it."""

    study: str
    scale: str
    there: int = 0
    """Replicas that are mirrored; those of a search by their trials' runs."""
    created: int = 0
    """Runs that were made: of replicas, variants and trials."""
    removed: int = 0
    """Runs that were there twice."""
    missing: int = 0
    """Replicas that are not mirrored yet."""
    problem: str = ""
    """Why, in one line."""


@dataclass(frozen=True)
class _Stage:
    """One of the grids of a study, with its ledger."""

    ledger: Ledger
    plan: PlanRecord
    trials: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict[str, dict[str, str]])
    objective: Callable[[list[dict[str, Any]]], Mapping[str, float]] | None = None


def sync(ledgers: Iterable[Ledger], runs_dir: Path, tracking_uri: str | None) -> list[Synced]:
    """Mirror what run directories hold and the tracking store lacks.

    Args:
        ledgers: The studies' run directories.
        runs_dir: Where runs live, with the default store.
        tracking_uri: Another store.

    Raises:
        OSError: What was done cannot be written down; what is in the store is there.
    """
    return [_sync(ledger, runs_dir, tracking_uri) for ledger in ledgers]


def _sync(home: Ledger, runs_dir: Path, tracking_uri: str | None) -> Synced:
    done = Synced(home.directory.parent.name, home.directory.name)
    try:
        with locked(home.directory):
            for stage in _stages(home):
                stats = _write(stage, home, runs_dir, tracking_uri)
                done.there += len(stats.replicas)
                done.created += stats.runs_created
                done.removed += stats.removed
                done.missing += stats.missing
                done.problem = done.problem or stats.warning
            report = home.directory / "report" / "report.md"
            if report.exists() and not done.problem:
                done.problem = reporting.mirror(home, report, runs_dir, tracking_uri)
    except InputError as error:  # one that is in training, or damaged, must not keep the others waiting
        done.problem = str(error)
    return done


def _stages(home: Ledger) -> Iterator[_Stage]:
    """Yield the grids of a study that were begun: one, or of a study that was tuned three."""
    yield _Stage(home, home.plan())
    if not (record := home.tuning()):
        return
    links = tuning.links(home, record)
    if search := home.search().find_plan():
        # A trial is over when its result was reported; of the others the search takes care.
        over_now = [replica for replica in search.replicas if replica.variant in links.trials]
        over = search.model_copy(update={"replicas": over_now})
        yield _Stage(home.search(), over, links.trials, links.objective)
    if tuned := home.tuned().find_plan():
        yield _Stage(home.tuned(), tuned, links.winners)


def _write(stage: _Stage, home: Ledger, runs_dir: Path, tracking_uri: str | None) -> MirrorRecord:
    ledger, planned = stage.ledger, {replica.id for replica in stage.plan.replicas}
    provenance = ledger.provenance()
    mirror = Mirror(
        runs_dir,
        stage.plan,
        tracking_uri=tracking_uri,
        git_commit=next((session.commit for session in reversed(provenance.sessions)), ""),
        references=ledger.references,
        trials=stage.trials,
        objective=stage.objective,
    )
    push_finished(mirror, ledger, planned)
    if ledger is home and (answer := reporting.answer_of(home)):
        mirror.describe(answer, str(home.directory / "report" / "report.md"))
    stats = mirror.close(timeout=None)
    mirrored = {id: run for id, run in stats.replicas.items() if id in planned}
    stats = stats.model_copy(update={"replicas": mirrored})
    if stats.experiment:  # else nothing is known of the store
        ledger.write_json("provenance.json", provenance.model_copy(update={"mlflow": stats}))
        if ledger.directory == home.search().directory:
            tuning.relink(home, stats.parents)
    return stats


def print_synced(content: list[dict[str, Any]]) -> None:
    """Print a line a study."""
    for study in content:
        counts = f"{study['there']:,} mirrored, {study['created']:,} runs made, {study['removed']:,} extra ones removed"
        print(f"{study['study']} {study['scale']}: {counts}, {study['missing']:,} missing")
        if study["problem"]:
            print(f"  {study['problem']}")
