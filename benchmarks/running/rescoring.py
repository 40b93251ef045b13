"""Take final scores of a finished study again from its saved weights: nothing is trained.

Where a score is added, or defined anew, its curve through training stays as it was taken; the row says by `scored_by`
what its final scores are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from benchmarks.machine.lock import locked
from gan.errors import InputError, nearest, shown
from gan.plugins import registry
from gan.replica import Replica, Scoring, scored_by
from gan.scores import scores_of
from gan.targets import Target, make_target
from gan.variant import Variant
from reports.ledger.ledger import Ledger
from reports.ledger.records import PlanRecord
from reports.ledger.shared import add_references


@dataclass(frozen=True)
class Rescored:
    """What was done for a study at one scale."""

    study: str
    scale: str
    scores: list[str]
    """That were taken."""
    replicas: int
    """That were scored."""
    without_weights: int
    """Replicas that finished, and whose weights are not there."""


def parts_of(ledger: Ledger) -> list[Ledger]:
    """Return the ledgers whose final scores a report reads: a study's, and of a tuned one the winners'.

    The trials of a search stay as they are: they decided which settings won.
    """
    return [part for part in (ledger, ledger.tuned()) if part is ledger or part.find_plan()]


def rescore(ledger: Ledger, scores: Sequence[str], data_dir: Path, *, silent: bool = False) -> Rescored:
    """Score every replica of a run directory that was trained to its end and whose weights are there.

    Args:
        ledger: A run directory.
        scores: Names of built-in scores of its target or of plugins' that are loaded; empty: all that its study takes.
        data_dir: A torchvision root.
        silent: Show no progress.

    Raises:
        InputError: An unknown score, data that cannot be read, or another process is at work there.
    """
    plan = ledger.plan()
    target, scoring = _target(plan), _scoring(plan, scores)
    _check(scores, scoring, target, str(ledger.directory))
    taken = [s.name for s in scores_of(target, scoring.scores) if s.final and (not scores or s.name in scores)]
    counts = {"scored": 0, "lost": 0}
    with locked(ledger.directory):
        _references(ledger, target, scoring, taken, data_dir, plan.device)
        cohorts = ledger.finished_cohorts()
        for cohort in track(cohorts, f"scoring {plan.study.name}", disable=silent, transient=True):
            _rescore_cohort(ledger, cohort, plan, target, scoring, taken if scores else [], data_dir, counts)
    return Rescored(plan.study.name, plan.study.scale, taken, counts["scored"], counts["lost"])


def _rescore_cohort(
    ledger: Ledger,
    cohort: str,
    plan: PlanRecord,
    target: Target,
    scoring: Scoring,
    only: Sequence[str],
    data_dir: Path,
    counts: dict[str, int],
) -> None:
    """Score the replicas of a cohort, and record them all at once: a kill leaves what was there."""
    from gan.engine.failures import Diverged
    from gan.engine.rescoring import final_scores

    seeds = {replica.id: (replica.variant, replica.seed) for replica in plan.replicas}
    before = ledger.scores_of(cohort)
    found: dict[Any, dict[Any, Any]] = {} if before is None else before.set_index("replica").to_dict("index")
    rows = ledger.results_of(cohort)
    for row in rows[rows["status"] == "ok"].to_dict("records"):
        id = str(row["replica"])
        weights = ledger.weights(id, cohort) if ledger.file("weights", cohort).exists() else {}
        if id not in seeds or not weights:
            counts["lost"] += not weights
            continue
        variant, seed = seeds[id]
        replica = Replica(id, Variant.from_settings(plan.variants[variant]), seed)
        try:
            scores = final_scores(replica, weights, target, scoring, only, data_dir, plan.device)
        except Diverged:  # cannot be where it once was scored, but on another processor
            continue
        found[id] = (
            found.get(id, {}) | scores | {"scored_by": row.get("scored_by") if only else scored_by(scoring, target)}
        )
        counts["scored"] += 1
    if found:
        ledger.write_scores(cohort, pd.DataFrame([{"replica": id, **values} for id, values in found.items()]))


def outdated(ledger: Ledger, current: str) -> int:
    """Return how many finished replicas were scored by other definitions than the present ones.

    Args:
        ledger: A run directory.
        current: The present definitions' digest: `gan.replica.scored_by`.
    """
    rows = ledger.tolerant().results()
    if "scored_by" not in rows:
        return int((rows["status"] == "ok").sum())
    return int(((rows["status"] == "ok") & (rows["scored_by"] != current)).sum())


def _references(
    ledger: Ledger, target: Target, scoring: Scoring, taken: Sequence[str], data_dir: Path, device: str
) -> None:
    """Record what real data score by the scores that are taken, before any replica has them."""
    import torch

    from gan.engine.evaluation import eval_splits, references_of

    first, *_ = eval_splits(target, scoring.split, data_dir, torch.device(device), scoring.scores, tuple(taken))
    add_references(ledger, references_of(first))


def _target(plan: PlanRecord) -> Target:
    settings = {name: value for name, value in plan.study.target.items() if name != "digest"}
    return make_target(settings.pop("name"), **settings)


def _scoring(plan: PlanRecord, scores: Sequence[str]) -> Scoring:
    """Return the study's scoring, and with it the scores of plugins that are asked for."""
    scoring = Scoring.from_settings(plan.study.scoring)
    added = [name for name in scores if name in registry.plugin_names("score") and name not in scoring.scores]
    return dataclasses.replace(scoring, scores=(*scoring.scores, *added))


def _check(scores: Sequence[str], scoring: Scoring, target: Target, place: str) -> None:
    """Refuse names that are no final scores of the target."""
    known = [score.name for score in scores_of(target, scoring.scores) if score.final]
    for name in scores:
        if name not in known:
            raise InputError(
                f"{place}: --scores {shown(name)}: no final score of {target.name}; {nearest(name, known)}"
            )
        if name in scoring.scores and not registry.score(name).needs <= target.provides:
            raise InputError(f"{place}: --scores {shown(name)}: not for {target.name}")
