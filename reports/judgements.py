"""Every replica's verdict, from its history and the study's goal: `gan.verdict` over a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan.verdict import judge

# Scores that count how much of the target is covered; real data covers all of it.
COVERING = ("modes", "coverage")
JUDGED = ("verdict", "time_to_goal", "drift", "oscillation", "time_to_collapse")
"""What a judgement adds to a replica's row; the units are `gan.verdict.Judgement`'s."""

Curves = dict[str, Sequence[tuple[int, float]]]


def judgements(
    results: pd.DataFrame, history: pd.DataFrame, study: dict[str, Any], references: dict[str, dict[str, Any]]
) -> pd.DataFrame:
    """Judge each replica by its curves, to which its final scores belong: some are only ever taken at the end.

    Args:
        results: One row a replica: replica, status, steps, final scores by name.
        history: The columns replica, step, metric, value.
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
    # Most of a history says nothing of a verdict.
    telling = ~history["metric"].astype(str).str.startswith(("loss/", "epoch/", "gradient/generator/"))
    curves = curves_of(history[telling])
    finals = results.reindex(columns=list(references)).to_dict("records")
    rows: list[tuple[Any, ...]] = []
    replicas = zip(results["replica"], results["status"], results["steps"], finals, strict=True)
    for replica, status, steps, scores in replicas:
        own = curves.get(replica, {})
        if status == "failed" or (status == "ok" and not own):
            rows.append((None,) * len(JUDGED))
        else:
            own = (
                own
                if status != "ok"
                else with_final(own, int(steps), {str(name): value for name, value in scores.items()})
            )
            judged = judge(own, status=status, steps=int(steps), goal=goal, covers=covers)
            rows.append(tuple(getattr(judged, name) for name in JUDGED))
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
