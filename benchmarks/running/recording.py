"""What a cohort leaves in the ledger: one row a replica, the history, samples and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.engines import Outcome
from benchmarks.planning.plan import Plan
from gan.columns import COLUMNS, NUMBERS, setting_columns
from gan.replica import Cohort, ReplicaResult, scored_by
from gan.scores import scores_of
from reports.ledger.ledger import HISTORY, Arrays, Ledger


def record(ledger: Ledger, plan: Plan, outcome: Outcome) -> pd.DataFrame:
    """Write one cohort to the ledger and return its rows."""
    cohort = outcome.cohort
    if outcome.result:
        results = outcome.result.replicas
    else:
        failed = {"status": "failed", "failed_step": None, "reason": outcome.error, "train_seconds": np.nan}
        results = [ReplicaResult(r, dict(failed), []) for r in cohort.replicas]
    rows = pd.DataFrame([_row(result, cohort, plan) for result in results])
    points = [point for result in results for point in result.history]
    replicas = np.repeat(np.array([r.replica.id for r in results], dtype=object), [len(r.history) for r in results])
    history = pd.DataFrame(
        {
            "replica": pd.Categorical(replicas),
            "step": np.array([step for step, _, _ in points], dtype=np.int64),
            "metric": pd.Categorical(np.array([metric for _, metric, _ in points], dtype=object)),
            "value": np.array([value for _, _, value in points], dtype=np.float64),
        }
    )[HISTORY]
    ledger.write_cohort(
        cohort.id,
        rows.astype({column.name: column.dtype for column in COLUMNS if column.dtype == "Int64"}),
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
        "scored_by": scored_by(study.scoring, study.target),
    }
    # Every column in every row: a study in which all replicas fail has a table of the same shape.
    finals = [s.name for s in scores_of(study.target, study.scoring.scores) if s.final]
    sampled = "samples" in study.target.provides  # else the game's one sample is exact
    repeats = [f"repeat/{name}" for name in finals if sampled]
    beside = [f"validation/{name}" for name in finals if study.scoring.split == "both" and sampled]
    empty = dict.fromkeys((*NUMBERS, *finals, *repeats, *beside), np.nan)
    return identity | empty | result.row | setting_columns(replica.variant.settings())


def _joined(results: list[ReplicaResult], part: str) -> Arrays:
    return {
        f"{result.replica.id}/{name}": np.ascontiguousarray(array)
        for result in results
        for name, array in getattr(result, part).items()
    }
