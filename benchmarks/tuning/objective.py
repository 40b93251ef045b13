"""What a trial is judged by: a score over its seeds, in which a failed replica counts, and how many failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
"""What makes one number of a trial's scores."""


@dataclass(frozen=True)
class Judge:
    """Judges trials by the rows of their replicas.

    Attributes:
        tuning: How the study is tuned.
        reached: The study's goal, which `missed_rate` counts: a threshold a score.
        directions: Which end of each score is good, "lower" or "higher".
    """

    tuning: Tuning
    reached: Mapping[str, float]
    directions: Mapping[str, str | None]

    @classmethod
    def of(cls, study: Resolved, tuning: Tuning) -> Judge:
        """Return the judge of a study's trials."""
        directions = {score.name: score.direction for score in scores_of(study.target, study.scoring.scores)}
        return cls(tuning, study.report.get("reached", {}), directions)

    def scores(self, rows: Sequence[Row]) -> list[float]:
        """Return the score of each replica; of a failed one it is the score that it stands for, the worst there is."""
        return [self._score(row) for row in rows]

    def values(self, rows: Sequence[Row]) -> list[float]:
        """Return the objective, and the second one where there are two."""
        values = [AGGREGATES[self.tuning.aggregate](self.scores(rows))]
        if self.tuning.second == "failure_rate":
            values.append(float(np.mean([row["status"] != "ok" for row in rows])))
        elif self.tuning.second == "missed_rate":
            values.append(float(np.mean([not self._reaches_goal(row) for row in rows])))
        return values

    def metrics(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return what the mirror writes of a trial: its values by name."""
        names = ["objective", *([self.tuning.second] if self.tuning.second else [])]
        return dict(zip(names, self.values(rows), strict=True))

    def _score(self, row: Row) -> float:
        value, failed = row.get(self.tuning.score), self.tuning.failed
        if row["status"] != "ok" or value is None or not math.isfinite(value):
            return failed
        # Failing must never pay: a replica that came through counts as no worse than one that did not.
        return min(float(value), failed) if self.tuning.direction == "lower" else max(float(value), failed)

    def _reaches_goal(self, row: Row) -> bool:
        if row["status"] != "ok":
            return False
        return all(row[s] <= at if self.directions[s] == "lower" else row[s] >= at for s, at in self.reached.items())
