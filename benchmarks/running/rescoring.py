"""Take final scores of a finished study again from its saved weights: nothing is trained.

Where a score is added, or defined anew, its curve through training stays as it was taken; the row says by `scored_by`
what its final scores are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from benchmarks.machine import system
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


@dataclass
class Rescored:
    """What was done for a study at one scale."""

    study: str
    scale: str
    scores: list[str]
    """That were taken."""
    replicas: int = 0
    """That were scored."""
    without_weights: int = 0
    """Replicas that finished, and whose weights are not there: they keep their scores."""
    not_finite: int = 0
    """Replicas whose samples are not finite here: they keep their scores."""


def parts_of(ledger: Ledger) -> list[Ledger]:
    """Return the ledgers whose final scores a report reads: a study's, and of a tuned one the winners'.

    The trials of a search stay as they are: they decided which settings won.
    """
    return [part for part in (ledger, ledger.tuned()) if part is ledger or part.find_plan()]


def rescore(ledger: Ledger, scores: Sequence[str], data_dir: Path, *, silent: bool = False) -> Rescored:
    """Score every planned replica of a run directory that was trained to its end and whose weights are there.

    Args:
        ledger: A run directory.
        scores: Names of built-in scores of its target or of plugins' that are loaded; empty: all that its study takes.
        data_dir: A torchvision root.
        silent: Show no progress.

    Raises:
        InputError: An unknown score, data that cannot be read, a device that is not here, or another process is at
            work there.
    """
    plan = ledger.plan()
    system.choose_device(plan.device)
    target, scoring = make_target(**plan.study.target), _scoring(plan, scores)
    _check(scores, scoring, target, str(ledger.directory))
    taken = [s.name for s in scores_of(target, scoring.scores) if s.final and (not scores or s.name in scores)]
    done = Rescored(plan.study.name, plan.study.scale, taken)
    pass_ = _Pass(ledger, plan, target, scoring, taken if scores else [], data_dir, done)
    with locked(ledger.directory):
        _references(ledger, target, scoring, taken, data_dir, plan.device)
        cohorts = ledger.finished_cohorts()
        for cohort in track(cohorts, f"scoring {plan.study.name}", disable=silent, transient=True):
            pass_.score(cohort)
    return done


@dataclass(frozen=True)
class _Pass:
    """One pass over the cohorts of a run directory; `only` names the scores that are taken, or is empty for all."""

    ledger: Ledger
    plan: PlanRecord
    target: Target
    scoring: Scoring
    only: Sequence[str]
    data_dir: Path
    done: Rescored

    def score(self, cohort: str) -> None:
        """Score the replicas of a cohort, and record them all at once: a kill leaves what was there."""
        before = self.ledger.scores_of(cohort)
        found: dict[Any, dict[Any, Any]] = {} if before is None else before.set_index("replica").to_dict("index")
        rows = self.ledger.results_of(cohort)
        for row in rows[rows["status"] == "ok"].to_dict("records"):
            if scores := self._scores(str(row["replica"]), cohort):
                by = row.get("scored_by") if self.only else scored_by(self.scoring, self.target)
                found[row["replica"]] = found.get(row["replica"], {}) | scores | {"scored_by": by}
        if found:
            self.ledger.write_scores(cohort, pd.DataFrame([{"replica": id, **own} for id, own in found.items()]))

    def _scores(self, id: str, cohort: str) -> dict[str, float]:
        """Return the scores of a replica; nothing of one that is not planned now, or that cannot be scored."""
        from gan.engine.failures import Diverged
        from gan.engine.rescoring import final_scores

        if id not in self._planned:
            return {}
        weights = self.ledger.weights(id, cohort) if self.ledger.file("weights", cohort).exists() else {}
        if not weights:
            self.done.without_weights += 1
            return {}
        variant, seed = self._planned[id]
        replica = Replica(id, Variant.from_settings(self.plan.variants[variant]), seed)
        try:
            scores = final_scores(
                replica, weights, self.target, self.scoring, self.only, self.data_dir, self.plan.device
            )
        except Diverged:  # on a processor that rounds in another way; where it was trained its samples were finite
            self.done.not_finite += 1
            return {}
        self.done.replicas += 1
        return scores

    @cached_property
    def _planned(self) -> dict[str, tuple[str, int]]:
        return {replica.id: (replica.variant, replica.seed) for replica in self.plan.replicas}


def outdated(ledger: Ledger, replicas: Collection[str], current: str) -> int:
    """Return how many finished replicas were scored by other definitions than the present ones.

    Args:
        ledger: A run directory.
        replicas: Ids of those that count.
        current: The present definitions' digest: `gan.replica.scored_by`.
    """
    rows = ledger.tolerant().results()
    rows = rows[(rows["status"] == "ok") & rows["replica"].isin(list(replicas))]
    return int((rows["scored_by"] != current).sum()) if "scored_by" in rows else len(rows)


def _references(
    ledger: Ledger, target: Target, scoring: Scoring, taken: Sequence[str], data_dir: Path, device: str
) -> None:
    """Record what real data score by the scores that are taken, before any replica has them."""
    import torch

    from gan.engine.evaluation import eval_splits, references_of

    first, *_ = eval_splits(target, scoring.split, data_dir, torch.device(device), scoring.scores, tuple(taken))
    add_references(ledger, references_of(first))


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
