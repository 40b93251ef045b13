"""Tune a study: every variant of its grid with the same budget, chosen on validation and reported on held-out seeds.

Three grids are trained one after the other, each in its ledger: the untuned one, as `ganbench run` does; the
trials of the search, batch by batch, those of all variants side by side; and the tuned one, in which each variant has
the settings of its best trial. The search has other seeds, and sees test data nowhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.engines import Engine
from benchmarks.planning.plan import Plan
from benchmarks.running import runner
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options, Summary
from benchmarks.tuning.audit import check_drawn, check_results
from benchmarks.tuning.candidates import (
    Candidate,
    candidates,
    finished,
    names_of,
    replicas_of,
    rows_of,
    seed_stages,
    seeds_of,
    stage_of,
)
from benchmarks.tuning.findings import add_up, write_findings
from benchmarks.tuning.journal import JOURNAL, Damaged, quarantine_journal
from benchmarks.tuning.objective import Row
from benchmarks.tuning.search import Search
from benchmarks.tuning.storage import exclusive, open_storage, translate_storage_errors
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
    with translate_storage_errors(search.storage), exclusive(search.storage, name) as check_exclusive:
        driver = Driver(search, options, engine, progress, answer, check_exclusive)
        try:
            return _tune(parts, driver)
        except Damaged as error:
            if search.storage is not None:
                raise
            damage = error.what
        progress.say(quarantine_journal(search.ledger.directory / JOURNAL, damage))
        return _tune(parts, driver)


@dataclass(frozen=True)
class Driver:
    """What searches: what it was asked for, and what it does that with."""

    search: Search
    options: Options
    engine: Engine
    progress: Progress
    answer: Callable[[Ledger], str] | None = None
    check_exclusive: Callable[[], object] = lambda: None
    """Raises the database's error where another driver may be searching by now."""
    rehearsed: set[Hashable] = field(default_factory=set[Hashable])
    """Kinds of replicas that were rehearsed already."""

    def train(self, ledger: Ledger, plan: Plan, **more: Any) -> Summary:
        """Train what a plan misses; arguments and errors are those of `runner.run`."""
        return runner.run(ledger, plan, self.options, self.engine, self.progress, rehearsed=self.rehearsed, **more)


def _tune(parts: list[Summary], driver: Driver) -> Summary:
    """Do what `tune` does with the storage as it is, and put what was done to `parts`: the untuned grid comes first."""
    search = driver.search
    trials = open_trials(open_storage(search.ledger.directory, search.storage, driver.progress.say), search)
    check_drawn(trials, search)
    if not parts:
        parts.append(driver.train(search.ledger, search.plan, answer=driver.answer))
    parts += _search(trials, driver)
    plan, links = _winners(trials, search)
    ledger = search.ledger.tuned()
    ledger.open_for_writing()
    write_findings(trials, search, complete=True)
    parts.append(driver.train(ledger, plan, answer=driver.answer, home=search.ledger, trials=links))
    return add_up(parts, trials, search)


def _search(trials: Mapping[str, Trials], driver: Driver) -> list[Summary]:
    """Search until every trial is over."""
    search, parts = driver.search, list[Summary]()
    # Finished trials stay as they are: there is nothing to retry.
    searching = dataclasses.replace(driver, options=dataclasses.replace(driver.options, retry_failed=False))
    if not _is_whole(trials, search):  # what was damaged is set aside
        parts += train_batch([], trials, searching)
    check_results(trials, search)
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
    grid = search.resolved.variants
    drawn = [
        Candidate(of, trial, apply(grid[of], trial.params))
        for of, its in trials.items()
        for trial in its.next_batch(search.tuning.trials)
    ]
    first = min((c.trial.batch for c in drawn), default=None)
    return [c for c in drawn if c.trial.batch == first]


def train_batch(batch: list[Candidate], trials: Mapping[str, Trials], driver: Driver) -> list[Summary]:
    """Train a batch side by side, stop what is hopeless where the study says so, and store the trials."""
    search, parts = driver.search, list[Summary]()
    tuning, ledger = search.tuning, search.ledger.search()
    ledger.directory.mkdir(parents=True, exist_ok=True)
    before, every = candidates(trials, search), candidates(trials, search, batch)
    names = names_of(every)
    seeds = {c.name: seeds_of(c, search) for c in before}
    tags = {c.name: search.tags(c.of, c.trial) for c in every if names[c.name] == c.name}
    results: dict[str, list[Row]] = {}
    left = batch
    for upto in seed_stages(tuning):
        seeds |= {c.name: upto for c in left}
        stage = stage_of([*before, *batch], seeds, every, search)
        plan = search.plan_stage(stage, ledger, tuning.batch * tuning.seeds)
        of_stage = {name: tags[name] for name in stage.variants}
        parts.append(driver.train(ledger, plan, home=search.ledger, trials=of_stage, objective=search.judge.metrics))
        rows = rows_of(ledger)
        results |= {c.name: [rows[id] for id in replicas_of(c, upto, search)] for c in left}
        if upto < tuning.seeds:
            left = [c for c in left if not _hopeless(results[c.name], c, trials[c.of], search)]
    runs = ledger.provenance().mlflow.parents
    driver.check_exclusive()
    for c in batch:
        name, its = names[c.name], results[c.name]
        trial = finished(c, its, name, search, pruned=c not in left, mlflow_run=runs.get(name, ""))
        trials[c.of].finish(trial, search.judge.scores(its))
    return parts


def _hopeless(rows: list[Row], candidate: Candidate, trials: Trials, search: Search) -> bool:
    """Say whether the study's rule stops a trial that left these rows so far."""
    if search.tuning.pruning == "diverged":
        return 2 * sum(row["status"] != "ok" for row in rows) >= len(rows)
    return trials.hopeless(candidate.trial.batch, search.judge.scores(rows))


def _is_whole(trials: Mapping[str, Trials], search: Search) -> bool:
    """Say whether the ledger of the search holds the replicas of the finished trials, and their plan."""
    ledger = search.ledger.search()
    needed = {id for c in candidates(trials, search) for id in c.trial.replicas}
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
