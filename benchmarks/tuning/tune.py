"""Tune a study: every variant of its grid with the same budget, chosen on validation and reported on held-out seeds.

Three grids are trained one after the other, each in a ledger of its own: the untuned one, as `ganbench run` does; the
trials of the search, batch by batch, those of all variants side by side; and the tuned one, in which each variant has
the settings of its best trial. The search has seeds of its own, and sees test data nowhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.engines import Engine
from benchmarks.planning.plan import Plan
from benchmarks.running import runner
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options, Summary
from benchmarks.tuning.audit import check_drawn, check_told
from benchmarks.tuning.candidates import (
    Candidate,
    candidates,
    names_of,
    replicas_of,
    rows_of,
    seed_stages,
    stage_of,
    told,
)
from benchmarks.tuning.findings import add_up, write_findings
from benchmarks.tuning.journal import JOURNAL, put_away
from benchmarks.tuning.objective import Row, directions_of, named, objective
from benchmarks.tuning.search import Search
from benchmarks.tuning.storage import Damaged, alone, lasting, opened
from benchmarks.tuning.trials import Trials
from reports.ledger.ledger import Ledger
from studies.tune import apply

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def tune(
    search: Search,
    options: Options,
    engine: Engine,
    progress: Progress,
    answer: Callable[[Ledger], str] | None = None,
) -> Summary:
    """Train the untuned grid, search, and train the tuned one; what is there already is not trained again.

    A journal that says something else of its trials than they left in the ledger is set aside, and they are drawn
    again.

    Args:
        search: From `prepare`.
        options: The session's.
        engine: Where cohorts train.
        progress: Shows how far it is.
        answer: Reads the study's answer from its ledger, for the mirror's note.

    Raises:
        InputError: The run directory or the storage cannot be used, or another driver is searching there, or data
            cannot be read.
        Damaged: An InputError: a database says something else of its trials than they left in the ledger.
        KeyboardInterrupt: A person asked to stop; what was finished is recorded.
        WorkerDied: Workers cannot be kept alive; what was finished is recorded.
        StorageLost: The database went away, or is full; what was finished is recorded.
        OSError: The disk is full; what was finished is recorded.
    """
    search.ledger.open_for_writing()
    parts = list[Summary]()
    name = f"{search.resolved.name} {search.resolved.scale}"
    with lasting(search.storage), alone(search.storage, name) as check_alone:
        driver = Driver(search, options, engine, progress, answer, check_alone)
        try:
            return _tune(parts, driver)
        except Damaged as error:
            if search.storage is not None:
                raise
            damage = error.what
        progress.say(put_away(search.ledger.directory / JOURNAL, damage))
        return _tune(parts, driver)


@dataclass(frozen=True)
class Driver:
    """What searches: what it was asked for, and what it does that with."""

    search: Search
    options: Options
    engine: Engine
    progress: Progress
    answer: Callable[[Ledger], str] | None = None
    check_alone: Callable[[], object] = lambda: None
    """Raises the database's error where another driver may be searching by now."""


def _tune(parts: list[Summary], driver: Driver) -> Summary:
    """Do what `tune` does with the storage as it is, and put what was done to `parts`: the untuned grid comes first."""
    search = driver.search
    trials = open_trials(opened(search.ledger.directory, search.storage, driver.progress.say), search)
    check_drawn(trials, search)
    if not parts:
        parts.append(
            runner.run(search.ledger, search.plan, driver.options, driver.engine, driver.progress, driver.answer)
        )
    parts += _search(trials, driver)
    plan, links = _winners(trials, search)
    ledger = search.ledger.tuned()
    ledger.open_for_writing()
    write_findings(trials, search, complete=True)
    parts.append(
        runner.run(
            ledger,
            plan,
            driver.options,
            driver.engine,
            driver.progress,
            driver.answer,
            home=search.ledger,
            trials=links,
        )
    )
    return add_up(parts, trials, search)


def _search(trials: Mapping[str, Trials], driver: Driver) -> list[Summary]:
    """Search until every trial is told."""
    search, parts = driver.search, list[Summary]()
    # Trials that were told stay as they are: there is nothing to retry.
    searching = dataclasses.replace(driver, options=dataclasses.replace(driver.options, retry_failed=False))
    if not _is_whole(trials, search):  # what was damaged is set aside
        parts += train_batch([], trials, searching)
    check_told(trials, search)
    while batch := next_batch(trials, search):
        parts += train_batch(batch, trials, searching)
        write_findings(trials, search, complete=False)
    return parts


def open_trials(storage: BaseStorage, search: Search) -> dict[str, Trials]:
    """Return the trials of each variant, described for the dashboard.

    Raises:
        InputError: The storage holds something else under their names.
        Damaged: It holds them, but not as they were written.
    """
    found: dict[str, Trials] = {}
    for variant, base in search.resolved.variants.items():
        found[variant] = Trials(storage, search.name(variant), search.tuning, base, search.identity(variant))
        found[variant].describe(search.note(variant))
    return found


def next_batch(trials: Mapping[str, Trials], search: Search) -> list[Candidate]:
    """Return the trials to train next, of the variants that are the least far, so that all search side by side."""
    drawn = {of: its.next_batch(search.tuning.trials) for of, its in trials.items()}
    first = min((batch[0].batch for batch in drawn.values() if batch), default=None)
    asked = {(of, t.number) for of, batch in drawn.items() for t in batch if t.batch == first}
    return [c for c in candidates(trials, search) if (c.of, c.trial.number) in asked]


def train_batch(batch: list[Candidate], trials: Mapping[str, Trials], driver: Driver) -> list[Summary]:
    """Train a batch side by side, stop early what is hopeless where the study says so, and tell Optuna."""
    search, parts = driver.search, list[Summary]()
    found, ledger = search.tuning, search.ledger.search()
    ledger.directory.mkdir(parents=True, exist_ok=True)
    every, kept = candidates(trials, search), told(trials, search)
    names, first = names_of(every), {c.name: c for c in every}
    seeds = {c.name: len(c.trial.notes["replicas"]) for c in kept}
    tags = {name: search.tags(first[name].of, first[name].trial) for name in names.values()}
    results: dict[str, list[Row]] = {}
    left = batch
    for upto in seed_stages(found):
        seeds |= {c.name: upto for c in left}
        stage = stage_of([*kept, *batch], seeds, every, search)
        plan = search.plan_stage(stage, ledger, found.batch * found.seeds)
        judge = named(found, search.resolved.report.get("reached", {}), directions_of(search.resolved))
        parts.append(
            runner.run(
                ledger,
                plan,
                driver.options,
                driver.engine,
                driver.progress,
                home=search.ledger,
                trials={name: tags[name] for name in stage.variants},
                objective=judge,
            )
        )
        rows = rows_of(ledger)
        results |= {c.name: [rows[id] for id in replicas_of(c, upto, search)] for c in left}
        if upto < found.seeds:
            left = [c for c in left if not _hopeless(results[c.name], c, trials[c.of], search)]
    runs = ledger.provenance().mlflow.parents
    driver.check_alone()
    for c in batch:
        values, scores = objective(results[c.name], search.resolved, found)
        trials[c.of].note(
            c.trial,
            name=names[c.name],
            scores=scores,
            statuses=[row["status"] for row in results[c.name]],
            replicas=[row["replica"] for row in results[c.name]],
            mlflow_run=runs.get(names[c.name], ""),
        )
        trials[c.of].tell(c.trial, values, scores, pruned=c not in left)
    return parts


def _hopeless(rows: list[Row], candidate: Candidate, trials: Trials, search: Search) -> bool:
    """Say whether the study's rule stops a trial that left these rows so far."""
    if search.tuning.pruning == "diverged":
        return 2 * sum(row["status"] != "ok" for row in rows) >= len(rows)
    return trials.hopeless(candidate.trial.batch, objective(rows, search.resolved, search.tuning)[1])


def _is_whole(trials: Mapping[str, Trials], search: Search) -> bool:
    """Say whether the ledger of the search holds the replicas of the trials that were told, and their plan."""
    ledger = search.ledger.search()
    needed = {id for c in told(trials, search) for id in c.trial.notes["replicas"]}
    return needed <= ledger.finished() and (ledger.find_plan() is not None or not needed)


def _winners(trials: Mapping[str, Trials], search: Search) -> tuple[Plan, dict[str, dict[str, str]]]:
    """Plan the grid in which each variant has its best trial's settings; and say which trials these are."""
    study = search.resolved
    best = {of: its.best(search.tuning.trials) for of, its in trials.items()}
    # A variant of which no trial was finished keeps its own settings; the report says so.
    variants = {of: apply(study.variants[of], t.params) if t else study.variants[of] for of, t in best.items()}
    tuned = dataclasses.replace(study, stage="tuned", variants=variants, checks=[], published=[])
    plan = search.plan_stage(tuned, search.ledger.tuned(), study.seeds)
    return plan, {of: search.tags(of, t) for of, t in best.items() if t}
