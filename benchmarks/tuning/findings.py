"""What a search found: `tuning.json`, from which reports are made, and the summary for a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.running.runner import Summary
from benchmarks.tuning.objective import Judge, Row
from benchmarks.tuning.search import Search, trial_tags
from benchmarks.tuning.trials import Trials
from reports.ledger.ledger import Ledger
from reports.ledger.tuning_record import SearchRecord, TrialRecord, TuningRecord
from studies.tune import FIRST_VALIDATION_SEED


def write_findings(trials: Mapping[str, Trials], search: Search, *, complete: bool) -> None:
    """Write `tuning.json`: all that reports know of the search."""
    study, tuning = search.resolved, search.tuning
    record = TuningRecord(
        study=study.name,
        scale=study.scale,
        title=study.title,
        question=study.question,
        target_label=study.target.label,
        command=search.command,
        complete=complete,
        tune=tuning,
        validation_seeds=[FIRST_VALIDATION_SEED + i for i in range(tuning.seeds)],
        storage=search.kept_in,
        variants={of: _search_record(its, search, complete) for of, its in trials.items()},
    )
    search.ledger.write_json("tuning.json", record)


def _search_record(its: Trials, search: Search, complete: bool) -> SearchRecord:
    limit = search.tuning.trials
    best = its.best(limit)
    # Runs in MLflow may be made after their trials finished, when it was away; or made again, in another store.
    runs = search.ledger.search().provenance().mlflow.parents
    # Importances take seconds: once, at the end.
    shares, why = its.importances(limit) if complete else ({}, "the search is not complete")
    return SearchRecord(
        optuna_study=its.name,
        trials=_linked(its.all(limit), runs),
        importances=shares,
        importances_note=why,
        best=best.number if best else None,
        front=its.front(limit),
        settings=best.params if best else {},
    )


@dataclass(frozen=True)
class Links:
    """What ties a finished search to the mirror, read back from `tuning.json`."""

    trials: dict[str, dict[str, str]]
    """Tags of each finished trial's run, by the name the trial has in the search's grid."""
    winners: dict[str, dict[str, str]]
    """Tags of each variant's run in the tuned grid."""
    objective: Callable[[list[Row]], dict[str, float]]
    """What the mirror writes of a trial, from its rows."""


def links(home: Ledger, record: TuningRecord) -> Links:
    """Return what the mirror is given of a search, as `tune` gives it.

    Args:
        home: The study's ledger.
        record: Its `tuning.json`.
    """
    trials: dict[str, dict[str, str]] = {}
    finished = [(own, trial) for own in record.variants.values() for trial in own.trials if trial.variant]
    for own, trial in sorted(finished, key=lambda pair: pair[1].batch):  # the first that drew these settings
        trials.setdefault(trial.variant, trial_tags(own.optuna_study, trial.number, record.storage))
    winners = {
        variant: trial_tags(own.optuna_study, own.best, record.storage)
        for variant, own in record.variants.items()
        if own.best is not None
    }
    reached = plan.study.report.reached if (plan := home.search().find_plan()) else {}
    directions = {name: reference.direction for name, reference in home.search().references().items()}
    return Links(trials, winners, Judge(record.tune, reached, directions).metrics)


def relink(home: Ledger, runs: Mapping[str, str]) -> None:
    """Write to `tuning.json` which run each trial has in the mirror, by the trial's name in the search's grid."""
    if record := home.tuning():
        found = record.variants.items()
        variants = {of: own.model_copy(update={"trials": _linked(own.trials, runs)}) for of, own in found}
        home.write_json("tuning.json", record.model_copy(update={"variants": variants}))


def _linked(trials: Sequence[TrialRecord], runs: Mapping[str, str]) -> list[TrialRecord]:
    """Return trials, each with its run in the mirror where that is known by the trial's name."""
    return [t.model_copy(update={"mlflow_run": runs.get(t.variant) or t.mlflow_run}) for t in trials]


def add_up(parts: list[Summary], trials: Mapping[str, Trials], search: Search) -> Summary:
    """Add up what the grids and batches did."""
    first, last, limit = parts[0], parts[-1], search.tuning.trials
    best = {of: its.best(limit) for of, its in trials.items()}
    return dataclasses.replace(
        last,
        directory=str(search.ledger.directory),
        trials=sum(len(its.all(limit)) for its in trials.values()),
        tuned={of: _settings(trial) if trial else "no complete trial" for of, trial in best.items()},
        warning=next((p.warning for p in parts if p.warning), ""),
        replicas=first.replicas + last.replicas + len(search.ledger.search().finished()),
        # Failures of trials are part of the search; those of the two grids are the study's.
        diverged=first.diverged + last.diverged,
        failed=first.failed + last.failed,
        **{name: sum(getattr(p, name) for p in parts) for name in ("trained", "train_seconds", "tracking_seconds")},
    )


def _settings(trial: TrialRecord) -> str:
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.params.items())
