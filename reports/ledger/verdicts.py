"""Every replica's verdict, from its history and the study's goal: `gan.verdict` over a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan.columns import COLUMNS, JUDGED
from gan.errors import InputError
from gan.plugins import registry
from gan.plugins.components import Loss
from gan.verdict import Curves, Judgement, judge
from reports.ledger.records import PlanRecord, References

_COVERED = ("modes", "coverage")  # of references from before they said what covers

LAYERS = "gradient/generator/"
"""Beginning of metrics of single layers: many."""
SILENT = ("loss/", "epoch/", LAYERS)
"""Beginnings of metrics that say nothing of a verdict: most of a history."""


def judgements(
    results: pd.DataFrame, histories: Iterable[pd.DataFrame], plan: PlanRecord, references: References
) -> pd.DataFrame:
    """Judge every replica: see `judge_replica`.

    Args:
        results: One row a replica: replica, variant, status, steps, final scores by name.
        histories: The columns replica, step, metric, value; each holds all of the replicas that it is of, and only
            one is looked at at a time.
        plan: With the goal, and with the settings of each variant.
        references: By score.

    Returns:
        The columns `JUDGED` by the index of `results`; empty where nothing can be said of a replica.
    """
    rows = {str(row["replica"]): row for row in results.to_dict("records")}
    judged: dict[str, tuple[Any, ...]] = {}

    def judge_one(replica: str, own: Curves) -> None:
        found = judge_replica(rows[replica], own, plan, references)
        judged[replica] = tuple(getattr(found, name, None) for name in JUDGED)

    for history in histories:
        for replica, own in curves_of(history, but=SILENT).items():
            if replica in rows and replica not in judged:
                judge_one(replica, own)
    for replica in rows.keys() - judged.keys():
        judge_one(replica, {})
    table = pd.DataFrame(
        [judged[replica] for replica in rows], columns=pd.Index(JUDGED), index=results.index, dtype=object
    )
    return table.astype({c.name: c.dtype for c in COLUMNS if c.kind == "judged" and c.dtype != "str"})


def judge_replica(row: Mapping[Any, Any], curves: Curves, plan: PlanRecord, references: References) -> Judgement | None:
    """Judge a replica by its curves, to which its final scores belong: some are only ever taken at the end.

    Args:
        row: Its result: variant, status, steps, final scores by name.
        curves: Its history.
        plan: The thresholds of its report are the goal, and the variant's settings name the loss.
        references: By score; the floor of a count of what is covered is the full count.

    Returns:
        None of a replica that could not be run, and of one that was trained to its end but left no history: nothing
        can be said of them.
    """
    status, steps = row["status"], int(row["steps"])
    if status == "failed" or (status == "ok" and not curves):
        return None
    goal = {
        name: (threshold, direction)
        for name, threshold in plan.study.report.reached.items()
        if name in references and (direction := references[name].direction)
    }
    said = any(reference.covers for reference in references.values())
    covers = {
        name: reference.floor
        for name, reference in references.items()
        if (reference.covers if said else name in _COVERED) and reference.floor
    }
    noise = {name: reference.noise for name, reference in references.items() if reference.noise is not None}
    if status == "ok":
        curves = with_final(curves, steps, {f"score/{name}": row.get(name) for name in references})
    return judge(curves, status=status, steps=steps, goal=goal, covers=covers, noise=noise, loss=loss_of(plan, row))


def loss_of(plan: PlanRecord, row: Mapping[Any, Any]) -> Loss | None:
    """Return the record of a replica's loss; None where it is of a plugin that is not loaded."""
    try:
        return registry.loss(plan.variants[str(row["variant"])].get("loss", "non_saturating"))
    except (InputError, LookupError):
        return None


def with_final(curves: Curves, steps: int, finals: Mapping[str, Any]) -> Curves:
    """Return the curves with each final score as its last point, in place of a point at that step.

    Args:
        curves: One replica's.
        steps: Of its training: where a final score stands.
        finals: Final scores by metric; what is missing or not finite is left out.
    """
    found = dict(curves)
    for metric, value in finals.items():
        if value is not None and math.isfinite(value):
            before = [point for point in curves.get(metric, ()) if point[0] != steps]
            found[metric] = [*before, (steps, float(value))]
    return found


def curves_of(history: pd.DataFrame, but: tuple[str, ...] = ()) -> dict[str, Curves]:
    """Return each replica's curves: replica to metric to (step, value), ascending in step.

    Args:
        history: Columns replica, step, metric, value.
        but: Beginnings of metrics that are left out.
    """
    history = history[~history["metric"].isin([m for m in history["metric"].unique() if str(m).startswith(but)])]
    replicas, replica_names = pd.factorize(history["replica"])
    metrics, metric_names = pd.factorize(history["metric"])
    steps, values = history["step"].to_numpy(int), history["value"].to_numpy(float)
    order = np.lexsort((steps, metrics, replicas))
    replicas, metrics, steps, values = replicas[order], metrics[order], steps[order], values[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(replicas) != 0) | (np.diff(metrics) != 0)]) if len(order) else []
    curves: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
    for start, end in zip(starts, [*starts[1:], len(order)], strict=bool(len(order))):
        points = list(zip(steps[start:end].tolist(), values[start:end].tolist(), strict=True))
        curves.setdefault(str(replica_names[replicas[start]]), {})[str(metric_names[metrics[start]])] = points
    return dict(curves)
