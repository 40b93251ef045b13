"""Every replica's verdict, from its history and the study's goal: `gan.verdict` over a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan.verdict import judge

# Scores that count how much of the target is covered; real data covers all of it.
COVERING = ("modes", "coverage")
JUDGED = ("verdict", "time_to_goal", "drift", "oscillation", "time_to_collapse")
"""What a judgement adds to a replica's row; the units are `gan.verdict.Judgement`'s."""

SILENT = ("loss/", "epoch/", "gradient/generator/")
"""Beginnings of metrics that say nothing of a verdict: most of a history."""

Curves = dict[str, Sequence[tuple[int, float]]]


def judgements(
    results: pd.DataFrame,
    histories: Iterable[pd.DataFrame],
    study: dict[str, Any],
    references: dict[str, dict[str, Any]],
) -> pd.DataFrame:
    """Judge each replica by its curves, to which its final scores belong: some are only ever taken at the end.

    Args:
        results: One row a replica: replica, status, steps, final scores by name.
        histories: The columns replica, step, metric, value; each holds all of the replicas that it is of, and only
            one is looked at at a time.
        study: The plan's study: its report's thresholds are the goal.
        references: Direction and floor of each score; the floor of a count of what is covered is the full count.

    Returns:
        The columns `JUDGED` by the index of `results`; empty for a replica that could not be run, and for one that
        was trained to its end but left no history, of which nothing can be said.
    """
    thresholds = study["report"].get("reached") or {}
    goal = {name: (float(t), references[name]["direction"]) for name, t in thresholds.items() if name in references}
    full = {name: references[name].get("floor") for name in COVERING if name in references}
    covers = {name: float(count) for name, count in full.items() if count}
    finals = results.reindex(columns=list(references)).to_dict("records")
    replicas = dict(zip(results["replica"], zip(results["status"], results["steps"], finals, strict=True), strict=True))
    judged: dict[str, tuple[Any, ...]] = {}

    def judge_one(replica: str, own: Curves) -> None:
        status, steps, scores = replicas[replica]
        if status == "failed" or (status == "ok" and not own):
            judged[replica] = (None,) * len(JUDGED)
        else:
            own = own if status != "ok" else with_final(own, int(steps), {str(name): v for name, v in scores.items()})
            found = judge(own, status=status, steps=int(steps), goal=goal, covers=covers)
            judged[replica] = tuple(getattr(found, name) for name in JUDGED)

    for history in histories:
        silent = [name for name in history["metric"].unique() if str(name).startswith(SILENT)]
        for replica, own in curves_of(history[~history["metric"].isin(silent)]).items():
            if replica in replicas and replica not in judged:
                judge_one(replica, own)
    for replica in replicas.keys() - judged.keys():
        judge_one(replica, {})
    rows = [judged[replica] for replica in results["replica"]]
    table = pd.DataFrame(rows, columns=pd.Index(JUDGED), index=results.index, dtype=object)
    return table.astype(dict.fromkeys(JUDGED[1:], float))


def with_final(curves: Curves, steps: int, scores: Mapping[str, Any]) -> Curves:
    """Return the curves with each final score as the last point of its own, in place of a point at that step.

    Args:
        curves: One replica's.
        steps: Of its training: where a final score stands.
        scores: Final scores by name; what is missing or not finite is left out.
    """
    found = dict(curves)
    for name, value in scores.items():
        if value is not None and math.isfinite(value):
            metric = f"score/{name}"
            before = [point for point in curves.get(metric, ()) if point[0] != steps]
            found[metric] = [*before, (steps, float(value))]
    return found


def curves_of(history: pd.DataFrame) -> dict[str, Curves]:
    """Return each replica's curves: replica to metric to (step, value), ascending in step."""
    replicas, replica_names = pd.factorize(history["replica"])
    metrics, metric_names = pd.factorize(history["metric"])
    steps, values = history["step"].to_numpy(int), history["value"].to_numpy(float)
    order = np.lexsort((steps, metrics, replicas))
    replicas, metrics, steps, values = replicas[order], metrics[order], steps[order], values[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(replicas) != 0) | (np.diff(metrics) != 0)]) if len(order) else []
    curves: dict[str, Curves] = {}
    for start, end in zip(starts, [*starts[1:], len(order)], strict=bool(len(order))):
        points = list(zip(steps[start:end].tolist(), values[start:end].tolist(), strict=True))
        curves.setdefault(str(replica_names[replicas[start]]), {})[str(metric_names[metrics[start]])] = points
    return curves
