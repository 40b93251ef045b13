"""What a report on tuning knows: what the search found, and the grid before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.errors import InputError, nearest
from reports.ledger.ledger import Ledger
from reports.stats.intervals import worst_of
from reports.stats.iqm import interquartile_mean
from reports.study.evidence import Evidence, gather
from reports.tuning.grids import tuned_grid, with_primary

STATES = ("COMPLETE", "PRUNED", "RUNNING")
LEARNING = ("tpe", "cmaes")
"""Samplers that draw by the trials before, so that their order is no chance."""
SECOND = {"failure_rate": "share of replicas that failed", "missed_rate": "share of replicas that missed the goal"}
RECORD = {"tune": dict, "variants": dict, "complete": bool, "validation_seeds": list, "command": str, "storage": str}
TUNE = {"score": str, "label": str, "direction": str, "aggregate": str, "failed": (int, float), "seeds": int}
TUNE |= {"trials": int, "batch": int, "sampler": str, "pruning": str, "space": list}
SEARCH = {"trials": list, "importances": dict, "front": list, "settings": dict}
TRIAL = {"number": int, "batch": int, "state": str, "params": dict, "values": list, "scores": list, "statuses": list}
WORDS = {dict: "a table", list: "a list", str: "a text", bool: "true or false", int: "a whole number"}


@dataclass(frozen=True)
class Trial:
    """One setting that a search tried."""

    number: int
    batch: int
    """Number of the first trial that was drawn with it."""
    state: str
    """One of `STATES`."""
    params: dict[str, Any]
    values: tuple[float, ...]
    """The objective, then the second objective if there is one; empty where the trial has none."""
    scores: tuple[float, ...]
    """One a validation seed, NaN for a replica that failed; fewer of a pruned trial."""
    statuses: tuple[str, ...]

    @property
    def failures(self) -> int:
        """How many of its replicas failed."""
        return sum(status != "ok" for status in self.statuses)

    @property
    def scored(self) -> bool:
        """Whether the trial was seen to its end, and some replica of it has a score."""
        return self.state == "COMPLETE" and bool(self.values) and self.failures < max(len(self.statuses), 1)


@dataclass(frozen=True)
class Search:
    """What was found for one variant of the grid."""

    variant: str
    trials: tuple[Trial, ...]
    importances: dict[str, float]
    """Share of each parameter, the largest first; empty where it cannot be told."""
    importances_note: str
    best: int | None
    """Number of the winner."""
    front: tuple[int, ...]
    """Numbers of the trials that no other beats in both objectives."""
    settings: dict[str, Any]
    """The winner's searched settings."""

    @property
    def winner(self) -> Trial | None:
        """The best trial."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def ended(self) -> list[Trial]:
        """Trials that are over, in the order they were drawn."""
        return [trial for trial in self.trials if trial.state != "RUNNING"]


@dataclass(frozen=True)
class Tuning:
    """A tuned study: its search, its untuned grid, and the same grid with each variant's best settings."""

    record: dict[str, Any]
    """`tuning.json`."""
    searches: dict[str, Search]
    """By variant, in the grid's order."""
    untuned: Evidence
    tuned: Evidence | None
    """None where nothing was retrained yet."""
    ledger: Ledger
    complaints: list[str] = field(default_factory=list)
    """What is missing, one sentence each, beside what the two grids' own reports complain of."""

    @property
    def tune(self) -> dict[str, Any]:
        """The settings of the search."""
        return self.record["tune"]

    @property
    def score(self) -> str:
        """The final score that the search optimised: the primary one of both grids here."""
        return self.tune["score"]

    @property
    def direction(self) -> str:
        """Which end of the score is good."""
        return self.tune["direction"]

    @property
    def label(self) -> str:
        """The score's name within a sentence."""
        return self.untuned.label(self.score)

    @property
    def variants(self) -> list[str]:
        """The grid's variants, as planned."""
        return list(self.untuned.variants.index)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """What was searched, by name."""
        return {parameter["name"]: parameter for parameter in self.tune["space"]}

    @property
    def learns(self) -> bool:
        """Whether later trials were drawn by what earlier ones scored: then trials are not exchangeable."""
        return self.tune["sampler"] in LEARNING

    @property
    def unwon(self) -> list[str]:
        """Variants without a complete trial, and so without a winner: they keep their untuned settings."""
        return [name for name in self.variants if self.searches[name].winner is None]

    @property
    def compared(self) -> list[str]:
        """Variants that have a winner, and replicas with its settings."""
        there = set() if self.tuned is None else set(self.tuned.results["variant"])
        return [name for name in self.variants if name in there and name not in self.unwon]

    @property
    def failed(self) -> float:
        """The score that a failed replica stands for in an objective, and the worst that any replica counts as."""
        return float(self.tune["failed"])

    @property
    def grids(self) -> list[Evidence]:
        """The untuned grid, and the tuned one where there is one."""
        return [self.untuned, *([self.tuned] if self.tuned else [])]

    @cached_property
    def log(self) -> bool:
        """Whether scores are compared by ratios: in all places or in none, so that they can be set side by side."""
        held_out = f"validation/{self.score}"
        columns = [e.results[name] for e in self.grids for name in (self.score, held_out) if name in e.results]
        tried = [s for search in self.searches.values() for trial in search.trials for s in trial.scores]
        values = np.concatenate([*(np.asarray(column, float) for column in columns), tried, [self.failed]])
        return self.untuned.spans_decades(self.score) and bool((values[np.isfinite(values)] > 0).all())

    @property
    def complete(self) -> bool:
        """Whether the search has ended, and every replica of both grids is there."""
        whole = all(e.missing.empty and not e.complaints for e in self.grids)
        return bool(self.record["complete"]) and self.tuned is not None and not self.complaints and whole

    def objectives(self, search: Search) -> NDArray[np.float64]:
        """The objective of each trial that is over, shape [trials]; one without a score stands for the worst."""
        worst = max if self.direction == "lower" else min
        values = [t.values[0] if t.state == "COMPLETE" and t.values else math.nan for t in search.ended]
        floor = worst([self.failed, *(v for v in values if math.isfinite(v))])
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
        clamp = np.minimum if self.direction == "lower" else np.maximum
        values = clamp(np.where(np.isfinite(scores), scores, self.failed), self.failed)
        how = {"mean": np.mean, "median": np.median, "iqm": interquartile_mean}
        return np.asarray(how[self.tune["aggregate"]](values, axis=axis))

    def seed_table(self, evidence: Evidence, column: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """A score by seed and variant.

        Args:
            evidence: One of the grids.
            column: Of its results.
            seeds: The rows.

        Returns:
            Shape [seeds, variants]; the worst infinity where a replica failed, NaN where it has not finished.
        """
        table = np.full((len(seeds), len(self.variants)), np.nan)
        places = {seed: i for i, seed in enumerate(seeds)}, {name: j for j, name in enumerate(self.variants)}
        results = evidence.results
        for variant, seed, status, value in zip(
            results["variant"], results["seed"], results["status"], results[column], strict=True
        ):
            if seed in places[0]:
                lost = status != "ok" or not math.isfinite(value)
                table[places[0][seed], places[1][variant]] = worst_of(self.direction) if lost else value
        return table

    def paired(self) -> NDArray[np.float64]:
        """The score before and after, shape [2, seeds, variants], on every seed that some replica has."""
        seeds = sorted({int(seed) for evidence in self.grids for seed in evidence.results["seed"]})
        tables = [self.seed_table(evidence, self.score, seeds) for evidence in self.grids]
        return np.stack(tables if self.tuned else [*tables, np.full_like(tables[0], np.nan)])


def gather_tuning(ledger: Ledger) -> Tuning:
    """Read what a search found, and the grids before and after it.

    Args:
        ledger: The run directory of a tuned study.

    Raises:
        InputError: There is no `tuning.json` or it is damaged, or the untuned grid has no finished replica.
    """
    record = ledger.tuning()  # raises where it is no JSON
    path = ledger.directory / "tuning.json"
    if not record:
        raise InputError(f"{path}: not there; expected the run directory of a study that was tuned")
    _check(record, RECORD, path)
    _check(record["tune"], TUNE, path, "tune.")
    if record["tune"]["direction"] not in ("lower", "higher"):
        raise InputError(f"{path}: tune.direction: expected lower or higher, not {record['tune']['direction']!r}")
    score = record["tune"]["score"]
    untuned = with_primary(gather(ledger), score, ledger.directory)
    unknown = set(record["variants"]) - set(untuned.variants.index)
    if unknown:
        name = min(unknown)
        raise InputError(
            f"{path}: variants: '{name}' is no variant of the plan; {nearest(name, untuned.variants.index)}"
        )
    found = {v: record["variants"].get(v, _EMPTY) for v in untuned.variants.index}
    searches = {name: _search(name, own, path) for name, own in found.items()}
    winners = {name: search.settings for name, search in searches.items() if search.winner}
    tuned, complaints = tuned_grid(ledger.tuned(), untuned, score, winners)
    complaints = [*_unfinished(record, searches), *complaints]
    return Tuning(record, searches, untuned, tuned, untuned.ledger, complaints)


_EMPTY: dict[str, Any] = {"trials": [], "importances": {}, "best": None, "front": [], "settings": {}}


def _unfinished(record: Mapping[str, Any], searches: Mapping[str, Search]) -> list[str]:
    """Return a sentence for every variant whose search has not ended."""
    planned = record["tune"]["trials"]
    said = []
    for name, search in searches.items():
        over = len(search.ended)
        # A grid may hold fewer points than trials were asked for: then the search says itself that it is complete.
        if not over or (over < planned and not record["complete"]):
            said.append(f"The search of {name or 'the one variant'} has ended {over} of {planned} trials.")
    return said or ([] if record["complete"] else ["`tuning.json` says that the search is not complete."])


def _search(name: str, content: Any, path: Path) -> Search:
    place = f"variants.{name}."
    if not isinstance(content, dict):
        raise InputError(f"{path}: {place[:-1]}: expected a table, not {content!r:.40}")
    _check(content, SEARCH, path, place)
    trials = [_trial(trial, path, f"{place}trials.{i}.") for i, trial in enumerate(content["trials"])]
    trials.sort(key=lambda trial: trial.number)
    best, numbers = content.get("best"), {trial.number for trial in trials}
    for number in [*([] if best is None else [best]), *content["front"]]:
        if number not in numbers:
            raise InputError(f"{path}: {place}best and front: expected numbers of its trials, not {number!r:.40}")
    importances = {key: float(value) for key, value in content["importances"].items()}
    return Search(
        variant=name,
        trials=tuple(trials),
        importances=dict(sorted(importances.items(), key=lambda item: -item[1])),
        importances_note=content.get("importances_note", ""),
        best=best,
        front=tuple(content["front"]),
        settings=content["settings"],
    )


def _trial(content: Any, path: Path, place: str) -> Trial:
    if not isinstance(content, dict):
        raise InputError(f"{path}: {place[:-1]}: expected a table, not {content!r:.40}")
    _check(content, TRIAL, path, place)
    if content["state"] not in STATES:
        raise InputError(f"{path}: {place}state: {nearest(content['state'], STATES)}")
    numbers = {key: tuple(_number(v, path, f"{place}{key}") for v in content[key]) for key in ("values", "scores")}
    return Trial(
        content["number"],
        content["batch"],
        content["state"],
        content["params"],
        numbers["values"],
        numbers["scores"],
        tuple(content["statuses"]),
    )


def _number(value: Any, path: Path, place: str) -> float:
    """Read a number, None as NaN; an infinity may be spelled out, as strict JSON has none."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise InputError(f"{path}: {place}: expected numbers, not {value!r:.40}") from None


def _check(content: Mapping[str, Any], expected: Mapping[str, Any], path: Path, place: str = "") -> None:
    """Refuse what `benchmarks` would not have written, by the first key that shows it."""
    for key, kind in expected.items():
        value = content.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            named = WORDS.get(kind, "a number") if isinstance(kind, type) else "a number"
            given = f"not {value!r:.40}" if key in content else "which is not there"
            raise InputError(f"{path}: {place}{key}: expected {named}, {given}")
