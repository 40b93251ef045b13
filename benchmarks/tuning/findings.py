"""What a search found: `tuning.json`, from which reports are made, and the summary for a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.running.runner import Summary
from benchmarks.tuning.objective import AGGREGATES, Row, named
from benchmarks.tuning.search import Search, trial_tags
from benchmarks.tuning.trials import Trial, Trials
from gan.errors import InputError
from reports.ledger.ledger import Ledger
from studies.tune import FIRST_VALIDATION_SEED, Tuning


def write_findings(trials: Mapping[str, Trials], search: Search, *, complete: bool) -> None:
    """Write `tuning.json`: all that reports know of the search."""
    study, found = search.resolved, search.tuning
    content: dict[str, Any] = {
        "study": study.name,
        "scale": study.scale,
        "title": study.title,
        "question": study.question,
        "target_label": study.target.label,
        "command": search.command,
        "complete": complete,
        "tune": found.settings(),
        "validation_seeds": [FIRST_VALIDATION_SEED + i for i in range(found.seeds)],
        "storage": search.kept_in,
        "variants": {of: _findings(its, search, complete) for of, its in trials.items()},
    }
    search.ledger.write_json("tuning.json", content)


def _findings(its: Trials, search: Search, complete: bool) -> dict[str, Any]:
    limit = search.tuning.trials
    best = its.best(limit)
    # Runs in MLflow may be made after their trials were told, when it was away; or made again, in another store.
    runs = search.ledger.search().provenance().mlflow.parents
    # Importances take seconds: once, at the end.
    shares, why = its.importances(limit) if complete else ({}, "the search is not complete")
    return {
        "optuna_study": its.name,
        "trials": [_trial_json(t, runs) for t in its.all(limit)],
        "importances": shares,
        "importances_note": why,
        "best": best.number if best else None,
        "front": its.front(limit),
        "settings": best.params if best else {},
    }


def _trial_json(trial: Trial, runs: Mapping[str, str]) -> dict[str, Any]:
    notes = trial.notes
    statuses = notes.get("statuses", [])
    scores = [s if status == "ok" else None for s, status in zip(notes.get("scores", []), statuses, strict=True)]
    return {
        "number": trial.number,
        "batch": trial.batch,
        "state": trial.state,
        "params": trial.params,
        "values": trial.values,
        "scores": scores,
        "statuses": statuses,
        "replicas": notes.get("replicas", []),
        "variant": notes.get("name", ""),
        "mlflow_run": runs.get(notes.get("name", "")) or notes.get("mlflow_run", ""),
    }


@dataclass(frozen=True)
class Links:
    """What ties a finished search to the mirror, read back from `tuning.json`."""

    trials: dict[str, dict[str, str]]
    """Tags of each trial's run, by the name the trial has in the search's grid; of those that were told."""
    winners: dict[str, dict[str, str]]
    """Tags of each variant's run in the tuned grid."""
    objective: Callable[[list[Row]], dict[str, float]]
    """What the mirror writes of a trial, from its rows."""


def links(home: Ledger) -> Links:
    """Return what the mirror is told of a search, as `tune` tells it.

    Args:
        home: The study's ledger.

    Raises:
        InputError: `tuning.json` is not what tuning wrote.
    """
    known, search = home.tuning(), home.search()
    try:
        kept_in, of = known["storage"], known["variants"].values()
        told = [(found["optuna_study"], trial) for found in of for trial in found["trials"] if trial["variant"]]
        trials: dict[str, dict[str, str]] = {}
        for study, trial in sorted(told, key=lambda pair: pair[1]["batch"]):  # the first that drew these settings
            trials.setdefault(trial["variant"], trial_tags(study, trial["number"], kept_in))
        winners = {
            variant: trial_tags(found["optuna_study"], found["best"], kept_in)
            for variant, found in known["variants"].items()
            if found["best"] is not None
        }
        reached = plan.study.report.reached if (plan := search.find_plan()) else {}
        directions = {name: reference.direction for name, reference in search.references().items()}
        judged = Tuning(**{**known["tune"], "failed": float(known["tune"]["failed"]), "space": ()})
        if judged.aggregate not in AGGREGATES:
            raise ValueError(judged.aggregate)
        return Links(trials, winners, named(judged, reached, directions))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{home.directory / 'tuning.json'}: not what tuning wrote; move it away and run again"
        ) from None


def relink(home: Ledger, runs: Mapping[str, str]) -> None:
    """Write to `tuning.json` which run each trial has in the mirror, by the trial's name in the search's grid."""
    known = home.tuning()
    for found in known["variants"].values():
        for trial in found["trials"]:
            trial["mlflow_run"] = runs.get(trial["variant"], trial["mlflow_run"])
    home.write_json("tuning.json", known)


def add_up(parts: list[Summary], trials: Mapping[str, Trials], search: Search) -> Summary:
    """Add up what the grids and batches did."""
    last = parts[-1]
    found: dict[str, str] = {}
    for of, its in trials.items():
        best = its.best(search.tuning.trials)
        found[of] = (
            ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in best.params.items())
            if best
            else "no complete trial"
        )
    return dataclasses.replace(
        last,
        directory=str(search.ledger.directory),
        trials=sum(len(its.all(search.tuning.trials)) for its in trials.values()),
        tuned=found,
        warning=next((p.warning for p in parts if p.warning), ""),
        replicas=parts[0].replicas + last.replicas + len(search.ledger.search().finished()),
        # Failures of trials are part of the search; those of the two grids are the study's.
        **{name: getattr(parts[0], name) + getattr(last, name) for name in ("diverged", "failed")},
        **{name: sum(getattr(p, name) for p in parts) for name in ("trained", "train_seconds", "tracking_seconds")},
    )
