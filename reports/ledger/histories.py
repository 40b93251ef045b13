"""A study's histories, read as they are needed: one metric of all replicas or one cohort, never everything at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.ledger.ledger import Ledger, joined

Read = Callable[[list[str] | None], Iterable[pd.DataFrame]]
"""Yields tables of the columns replica, step, metric, value, of the metrics named or of all: a cohort each."""


class Records:
    """What the replicas of a study recorded through training.

    Args:
        read: Reads the histories; called anew each time something is asked.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._survey: HistorySummary | None = None

    @classmethod
    def of_ledger(cls, ledger: Ledger, replicas: Iterable[str]) -> Records:
        """Return the records of these replicas, which lie in the ledger's files until they are asked for."""
        wanted = set(replicas)

        def read(metrics: list[str] | None) -> Iterator[pd.DataFrame]:
            for cohort in ledger.finished_cohorts():
                history = ledger.history_of(cohort, metrics)
                own = [id for id in history["replica"].unique() if id in wanted]  # few; of all there may be a million
                yield history[history["replica"].isin(own)]

        return cls(read)

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Records:
        """Return the records of one table in memory."""
        return cls(lambda metrics: [table if metrics is None else table[table["metric"].isin(metrics)]])

    def of(self, *metrics: str) -> pd.DataFrame:
        """Return the records of some metrics: the columns replica, step, metric, value."""
        return joined(self._read(list(metrics)) if metrics else [])

    def cohorts(self) -> Iterator[pd.DataFrame]:
        """Yield the whole history of each cohort, one at a time."""
        metrics: set[str] = set()
        ends: dict[str, int] = {}
        for history in self._read(None):
            metrics.update(map(str, history["metric"].unique()))
            finite = history[np.isfinite(history["value"].to_numpy(float))]
            for replica, step in finite.groupby("replica", observed=True)["step"].max().items():
                ends[str(replica)] = max(int(step), ends.get(str(replica), 0))
            yield history
        self._survey = HistorySummary(metrics, ends)  # of the first pass through all of them, so that none follows

    @property
    def survey(self) -> HistorySummary:
        """What there is to read."""
        if self._survey is None:
            for _ in self.cohorts():
                pass
        assert self._survey is not None
        return self._survey


class HistorySummary(NamedTuple):
    """What histories hold, without their values."""

    metrics: set[str]
    """Names of what was recorded."""
    ends: dict[str, int]
    """The step of each replica's last finite record, of whatever metric."""


class Curves:
    """One metric of many replicas, of which a group's curves can be had without looking at all the others.

    Args:
        table: Columns replica, step, value.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        codes, replicas = pd.factorize(table["replica"])
        order = np.argsort(codes, kind="stable")
        self._steps, self._values = table["step"].to_numpy()[order], table["value"].to_numpy(float)[order]
        ends = np.cumsum(np.bincount(codes, minlength=len(replicas)))
        self._places = {str(id): slice(*ends_) for id, ends_ in zip(replicas, _pairs(ends), strict=True)}

    def __contains__(self, replica: str) -> bool:
        """Whether a replica left a record."""
        return replica in self._places

    def of(self, replicas: Sequence[str]) -> tuple[NDArray, NDArray[np.float64]]:
        """Return the steps at which any of these replicas left a record, and their values there.

        Returns:
            Shapes [steps] and [replicas, steps]; NaN where a replica has no record. Of several of one step the last
            that is a number counts.
        """
        there = [(row, self._places[id]) for row, id in enumerate(replicas) if id in self._places]
        places = np.concatenate([np.arange(place.start, place.stop) for _, place in there] or [np.empty(0, int)])
        rows = np.repeat([row for row, _ in there], [place.stop - place.start for _, place in there])
        steps, columns = np.unique(self._steps[places], return_inverse=True)
        values, table = self._values[places], np.full((len(replicas), len(steps)), np.nan)
        known = ~np.isnan(values)
        table[rows.astype(int)[known], columns[known]] = values[known]
        return steps, table


def _pairs(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last place of each part, the latter exclusive, of parts that end at `ends`."""
    starts = [0, *ends[:-1].tolist()] if len(ends) else []
    return zip(starts, ends.tolist(), strict=True)
