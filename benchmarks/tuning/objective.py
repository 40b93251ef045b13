"""What a trial is judged by: a score over its seeds, in which a failed replica counts, and how many failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from gan.scores import scores_of
from studies.schema import Resolved
from studies.tune import Tuning

Row = dict[str, Any]
"""Of a ledger, one a replica."""

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda x: float(np.mean(x)),
    "median": lambda x: float(np.median(x)),
    "iqm": lambda x: float(stats.trim_mean(x, 0.25)),
}
"""What a trial's scores are made one number by."""


def objective(rows: Sequence[Row], study: Resolved, found: Tuning) -> tuple[list[float], list[float]]:
    """Return what a trial is judged by, and its replicas' scores, a failed one's being the score that it stands for.

    No replica counts as worse than a failed one.

    Args:
        rows: The ledger's, of the trial's replicas, by seed.
        study: The grid it is a trial of, for the goal that `missed_rate` counts.
        found: How the study is tuned.
    """
    return judge(rows, found, study.report.get("reached", {}), directions_of(study))


def directions_of(study: Resolved) -> dict[str, str]:
    """Return which way is better, by score."""
    return {s.name: s.direction for s in scores_of(study.target, study.scoring.scores)}


def judge(
    rows: Sequence[Row], found: Tuning, reached: Mapping[str, float], directions: Mapping[str, str]
) -> tuple[list[float], list[float]]:
    """Return what `objective` does, given the study's goal and which way is better instead of the study."""
    scores = [_score(row, found) for row in rows]
    values = [AGGREGATES[found.aggregate](scores)]
    if found.second == "failure_rate":
        values.append(float(np.mean([row["status"] != "ok" for row in rows])))
    elif found.second == "missed_rate":
        values.append(float(np.mean([not _reached(row, reached, directions) for row in rows])))
    return values, scores


def named(
    found: Tuning, reached: Mapping[str, float], directions: Mapping[str, str]
) -> Callable[[list[Row]], dict[str, float]]:
    """Return what the mirror writes of a trial: from its rows, what it is judged by."""
    names = ["objective", *([found.second] if found.second else [])]
    return lambda rows: dict(zip(names, judge(rows, found, reached, directions)[0], strict=True))


def _score(row: Row, found: Tuning) -> float:
    value = row.get(found.score)
    if row["status"] != "ok" or value is None or not math.isfinite(value):
        return found.failed
    # Failing must never pay: a replica that came through counts as no worse than one that did not.
    return min(float(value), found.failed) if found.direction == "lower" else max(float(value), found.failed)


def _reached(row: Row, reached: Mapping[str, float], directions: Mapping[str, str]) -> bool:
    if row["status"] != "ok":
        return False
    return all(row[s] <= at if directions[s] == "lower" else row[s] >= at for s, at in reached.items())
