"""`tuning.json`: what a search for better settings found. Tuning writes it; reports and the mirror read it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from reports.ledger.records import Record
from studies.tune import Tuning


class TrialRecord(Record):
    """One setting that a search tried."""

    number: int
    batch: int
    """Number of the first trial that was drawn with it."""
    state: Literal["RUNNING", "COMPLETE", "PRUNED"]
    """PRUNED: stopped before all its seeds were trained."""
    params: dict[str, Any]
    """Settings of the variant, by name."""
    values: list[float]
    """The objective, then the second objective if there is one; empty unless the trial is complete."""
    scores: list[float | None]
    """One a validation seed, None for a replica that failed; fewer of a pruned trial."""
    statuses: list[str]
    """One a score: "ok", "diverged" or "failed"."""
    replicas: list[str]
    variant: str
    """What the trial is called in the grid of the search; empty until it has finished."""
    mlflow_run: str

    @model_validator(mode="after")
    def _scores_have_statuses(self) -> Self:
        if len(self.scores) != len(self.statuses):
            raise ValueError(f"expected a status for each of the {len(self.scores)} scores")
        return self

    @property
    def failures(self) -> int:
        """How many of its replicas failed."""
        return sum(status != "ok" for status in self.statuses)

    @property
    def scored(self) -> bool:
        """Whether the trial was seen to its end, and some replica of it has a score."""
        return self.state == "COMPLETE" and bool(self.values) and self.failures < max(len(self.statuses), 1)


class SearchRecord(Record):
    """What was found for one variant of the grid."""

    optuna_study: str
    trials: list[TrialRecord]
    """In the order they were drawn."""
    importances: dict[str, float]
    """Share of each parameter, the largest first; empty where it is not known."""
    importances_note: str
    """Why it is not known."""
    best: int | None
    """Number of the winner."""
    front: list[int]
    """Numbers of the trials that no other beats in both objectives; empty with one objective."""
    settings: dict[str, Any]
    """The winner's searched settings."""

    @model_validator(mode="after")
    def _best_and_front_are_of_the_trials(self) -> Self:
        if not {*self.front, *([] if self.best is None else [self.best])} <= {t.number for t in self.trials}:
            raise ValueError("expected best and front to be numbers of its trials")
        if self.settings != (self.winner.params if self.winner else {}):
            raise ValueError("expected settings to be those of its best trial")
        return self

    @property
    def winner(self) -> TrialRecord | None:
        """The best trial."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def finished(self) -> list[TrialRecord]:
        """Trials that are over, in the order they were drawn."""
        return [trial for trial in self.trials if trial.state != "RUNNING"]


class TuningRecord(Record):
    """The whole file."""

    study: str
    scale: str
    title: str
    question: str
    target_label: str
    command: str
    complete: bool
    """Whether every variant's search has ended."""
    tune: Tuning
    """What was searched, and how."""
    validation_seeds: list[int]
    storage: str
    """The journal's name or the database's URL, without credentials."""
    variants: dict[str, SearchRecord]
    """By name, in the grid's order."""
