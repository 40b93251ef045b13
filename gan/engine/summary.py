"""What a replica's metrics come to: its row of the ledger and its history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.model.step import METRICS

HISTORY_POINTS = 200  # windows a metric's history is averaged over
LAST_STEPS = 100  # steps behind the end that the reported losses are means of


def summarise(
    metrics: NDArray[np.float64], names: Sequence[str], failed_step: int | None, steps_per_epoch: int | None
) -> tuple[dict[str, Any], list[tuple[int, str, float]]]:
    """Reduce a replica's metrics by step to its row of the ledger and its history.

    Args:
        metrics: [steps, len(names)], METRICS first.
        names: What they are.
        failed_step: First step, from 1, that was not finite: nothing from there on counts.
        steps_per_epoch: None where the data never run out; then no epoch's mean is given (NaN).

    Returns:
        The row: status, and for each loss its mean over the last 100 steps, at the last step (`_last`) and over
        the last epoch (`_epoch`; over the run if it is shorter), NaN for a diverged replica. The history: means
        over at most 200 windows, each at its last step; and of both losses over each whole epoch (`epoch/`).
    """
    steps = len(metrics)
    finite = metrics if failed_step is None else metrics[: failed_step - 1]
    row: dict[str, Any] = {
        "status": "ok" if failed_step is None else "diverged",
        "failed_step": failed_step,
        "reason": "" if failed_step is None else f"not finite at step {failed_step}",
    }

    def mean_of_last(column: NDArray[np.float64], n: int | None) -> float:
        return float(column[-n:].mean()) if failed_step is None and n else math.nan

    def windows(i: int, window: int, last: int) -> list[tuple[int, float]]:
        starts = range(0, last, window)
        return [(min(s + window, last), float(finite[s : s + window, i].mean())) for s in starts]

    history: list[tuple[int, str, float]] = []
    for i, name in enumerate(METRICS[:3]):
        kind, player = name.split("/")
        row[f"{kind}_{player}"] = mean_of_last(metrics[:, i], LAST_STEPS)
        if kind == "loss":
            row[f"{kind}_{player}_last"] = mean_of_last(metrics[:, i], 1)
            row[f"{kind}_{player}_epoch"] = mean_of_last(metrics[:, i], steps_per_epoch)
            if steps_per_epoch:
                whole = len(finite) // steps_per_epoch * steps_per_epoch
                history += [(at, f"epoch/{name}", v) for at, v in windows(i, steps_per_epoch, whole)]
    for i, name in enumerate(names):
        history += [(at, name, v) for at, v in windows(i, math.ceil(steps / HISTORY_POINTS), len(finite))]
    return row, history
