"""What a report on tuning knows: what the search found, and the grid before and after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gan.errors import InputError, nearest
from reports.ledger.ledger import Ledger
from reports.ledger.tuning_record import SearchRecord, TuningRecord
from reports.stats.intervals import worst_of
from reports.stats.iqm import interquartile_mean
from reports.study.evidence import Evidence, gather
from reports.tuning.grids import tuned_grid, with_primary
from studies.tune import Parameter, Tuning

LEARNING = ("tpe", "cmaes")
"""Samplers that draw by the trials before, so that their order is no chance."""
LEVELS = ("untuned", "tuned")
NOT_SEARCHED = SearchRecord(
    optuna_study="", trials=[], importances={}, importances_note="", best=None, front=[], settings={}
)
SECOND = {"failure_rate": "share of replicas that failed", "missed_rate": "share of replicas that missed the goal"}


@dataclass(frozen=True)
class TunedStudy:
    """A tuned study: its search, its untuned grid, and the same grid with each variant's best settings."""

    record: TuningRecord
    searches: dict[str, SearchRecord]
    """By variant, in the grid's order."""
    untuned: Evidence
    tuned: Evidence | None
    """Without the variants that were trained with other settings than the winners'; None where none is left."""
    sources: dict[str, Evidence]
    """The two grids as their ledgers have them, for the grids' own reports, by `LEVELS`."""
    complaints: list[str] = field(default_factory=list)
    """What is missing, one sentence each, beside what the two grids' own reports complain of."""

    @property
    def tune(self) -> Tuning:
        """The settings of the search."""
        return self.record.tune

    @property
    def score(self) -> str:
        """The final score that the search optimised: the primary one of both grids here."""
        return self.tune.score

    @property
    def direction(self) -> str:
        """Which end of the score is good."""
        return self.tune.direction

    @property
    def label(self) -> str:
        """The score's name within a sentence."""
        return self.untuned.label(self.score)

    @property
    def aggregate(self) -> str:
        """What an objective makes of the scores of replicas, in words."""
        return "interquartile mean" if self.tune.aggregate == "iqm" else self.tune.aggregate

    @property
    def objective(self) -> str:
        """The label of an axis of objectives."""
        return f"{self.aggregate} {self.label} ({self.direction} is better)"

    @property
    def second(self) -> str:
        """The second objective in words; empty where there is none."""
        return SECOND.get(self.tune.second or "", "")

    @property
    def unit(self) -> str:
        """What two scores are compared by."""
        return "ratio" if self.log else "difference"

    @property
    def variants(self) -> list[str]:
        """The grid's variants, as planned."""
        return list(self.untuned.variants.index)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What was searched, by name."""
        return {parameter.name: parameter for parameter in self.tune.space}

    @property
    def learns(self) -> bool:
        """Whether later trials were drawn by what earlier ones scored: then trials are not exchangeable."""
        return self.tune.sampler in LEARNING

    @property
    def without_winner(self) -> list[str]:
        """Variants without a complete trial: they keep their untuned settings."""
        return [name for name in self.variants if self.searches[name].winner is None]

    @property
    def compared(self) -> list[str]:
        """Variants that have a winner, and replicas with its settings."""
        there = set() if self.tuned is None else set(self.tuned.results["variant"])
        return [name for name in self.variants if name in there and name not in self.without_winner]

    @property
    def grids(self) -> dict[str, Evidence]:
        """The untuned grid, and the tuned one where there is one, by `LEVELS`."""
        both = zip(LEVELS, [self.untuned, self.tuned], strict=True)
        return {name: evidence for name, evidence in both if evidence is not None}

    @property
    def seeds(self) -> list[int]:
        """Every seed that some replica of the grids has, ascending."""
        return sorted({int(seed) for evidence in self.grids.values() for seed in evidence.results["seed"]})

    @property
    def search_replicas(self) -> tuple[int, int]:
        """How many replicas the finished trials have, and how many of these failed."""
        trials = [trial for search in self.searches.values() for trial in search.finished]
        return sum(len(trial.statuses) for trial in trials), sum(trial.failures for trial in trials)

    @cached_property
    def log(self) -> bool:
        """Whether scores are compared by ratios: in all places or in none, so that they can be set side by side."""
        held_out = f"validation/{self.score}"
        columns = [e.results[name] for e in self.grids.values() for name in (self.score, held_out) if name in e.results]
        tried = [s for search in self.searches.values() for trial in search.trials for s in trial.scores]
        values = np.concatenate([np.asarray(own, float) for own in (*columns, tried, [self.tune.failed])])
        return self.untuned.spans_decades(self.score) and bool((values[np.isfinite(values)] > 0).all())

    @property
    def complete(self) -> bool:
        """Whether the search has ended, and every replica of both grids is there."""
        whole = all(e.missing.empty and not e.complaints for e in self.grids.values())
        return self.record.complete and self.tuned is not None and not self.complaints and whole

    def objectives(self, search: SearchRecord) -> NDArray[np.float64]:
        """The objective of each trial that is over, shape [trials]; one without a score stands for the worst."""
        values = [t.values[0] if t.state == "COMPLETE" and t.values else math.nan for t in search.finished]
        worst = max if self.direction == "lower" else min
        floor = worst([self.tune.failed, *(v for v in values if math.isfinite(v))])
        return np.array([value if math.isfinite(value) else floor for value in values], dtype=np.float64)

    def aggregated(self, scores: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
        """The objective of replicas: their mean, median or interquartile mean, each failed one at its set score.

        Nor does any other count as worse than that, as in the search: failing must never pay.

        Args:
            scores: Shape [replicas, ...]; not finite where a replica failed.
            axis: Of the replicas, where it is not the first.

        Returns:
            Shape [...].
        """
        clamp, failed = np.minimum if self.direction == "lower" else np.maximum, self.tune.failed
        values = clamp(np.where(np.isfinite(scores), scores, failed), failed)
        how = {"mean": np.mean, "median": np.median, "iqm": interquartile_mean}
        return np.asarray(how[self.tune.aggregate](values, axis=axis))

    def seed_table(self, evidence: Evidence, column: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """A score by seed and variant.

        Args:
            evidence: One of the grids.
            column: A score; all is NaN where the results have no such column.
            seeds: The rows.

        Returns:
            Shape [seeds, variants]; the worst infinity where a replica failed, NaN where it has not finished.
        """
        if column not in evidence.results:
            return np.full((len(seeds), len(self.variants)), np.nan)
        rows = evidence.results[["seed", "variant", "status", column]].astype({column: float})
        failed = (rows["status"] != "ok") | ~np.isfinite(rows[column])
        rows[column] = rows[column].mask(failed, worst_of(self.direction))
        table = rows.pivot_table(column, index="seed", columns="variant", aggfunc="last")
        return table.reindex(index=list(seeds), columns=self.variants).to_numpy(np.float64)

    def paired(self) -> NDArray[np.float64]:
        """The score before and after, shape [2, seeds, variants], on every seed that some replica has."""
        tables = [self.seed_table(evidence, self.score, self.seeds) for evidence in self.grids.values()]
        return np.stack(tables if self.tuned else [*tables, np.full_like(tables[0], np.nan)])


def gather_tuning(ledger: Ledger) -> TunedStudy:
    """Read what a search found, and the grids before and after it.

    Args:
        ledger: The run directory of a tuned study.

    Raises:
        InputError: There is no `tuning.json` or it is damaged, or the untuned grid has no finished replica.
    """
    record, path = ledger.tuning(), ledger.directory / "tuning.json"
    if record is None:
        raise InputError(f"{path}: not there; expected the run directory of a study that was tuned")
    gathered = gather(ledger)
    untuned = with_primary(gathered, record.tune.score)
    if unknown := sorted(set(record.variants) - set(untuned.variants.index)):
        known = nearest(unknown[0], untuned.variants.index)
        raise InputError(f"{path}: variants: '{unknown[0]}' is no variant of the plan; {known}")
    searches = {name: record.variants.get(name, NOT_SEARCHED) for name in untuned.variants.index}
    winners = {name: search.settings for name, search in searches.items() if search.winner}
    grid = tuned_grid(ledger.tuned(), untuned, record.tune.score, winners)
    sources = {"untuned": gathered} | ({"tuned": grid.gathered} if grid.gathered else {})
    complaints = [*_unfinished(record, searches), *grid.complaints]
    return TunedStudy(record, searches, untuned, grid.belonging, sources, complaints)


def _unfinished(record: TuningRecord, searches: dict[str, SearchRecord]) -> list[str]:
    """Return a sentence for every variant whose search has not ended."""
    planned, said = record.tune.trials, []
    for name, search in searches.items():
        over = len(search.finished)
        # A grid may hold fewer points than trials were asked for: then the search says itself that it is complete.
        if not over or (over < planned and not record.complete):
            said.append(f"The search of {name or 'the one variant'} has ended {over} of {planned} trials.")
    return said or ([] if record.complete else ["`tuning.json` says that the search is not complete."])
