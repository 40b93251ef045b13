"""Tune a study: every variant of its grid with the same budget, chosen on validation and reported on held-out seeds.

Three grids are trained one after the other, each in a ledger of its own: the untuned one, as `ganbench run` does; the
trials of the search, batch by batch, those of all variants side by side; and the tuned one, in which each variant has
the settings of its best trial. The search has seeds of its own, and sees test data nowhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import runner
from benchmarks.engines import Engine
from benchmarks.ledger import Ledger
from benchmarks.plan import Plan
from benchmarks.progress import Progress
from benchmarks.runner import Options, Summary
from benchmarks.tuning.findings import add_up, write_findings
from benchmarks.tuning.objective import Row, directions_of, named, objective
from benchmarks.tuning.search import Search
from benchmarks.tuning.storage import opened
from benchmarks.tuning.trials import Trial, Trials
from gan.replica import replica_id
from gan.variant import Variant
from studies.schema import Resolved
from studies.tune import FIRST_VALIDATION_SEED, Tuning, apply

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

WILCOXON_SEEDS = 4  # of a trial before it may be stopped: the fewest whose signed ranks can reach the pruner's level


def tune(
    search: Search,
    options: Options,
    engine: Engine,
    progress: Progress,
    answer: Callable[[Ledger], str] | None = None,
) -> Summary:
    """Train the untuned grid, search, and train the tuned one; what is there already is not trained again.

    Args:
        search: From `prepare`.
        options: The session's.
        engine: Where cohorts train.
        progress: Shows how far it is.
        answer: Reads the study's answer from its ledger, for the mirror's note.

    Raises:
        InputError: The run directory or the storage cannot be used, or data cannot be read.
        KeyboardInterrupt: A person asked to stop; what was finished is recorded.
        WorkerDied: Workers cannot be kept alive; what was finished is recorded.
        OSError: The disk is full; what was finished is recorded.
    """
    search.ledger.open_for_writing()
    storage = opened(search.ledger.directory, search.storage, progress.say)
    trials = open_trials(storage, search)
    parts = [runner.run(search.ledger, search.plan, options, engine, progress, answer)]
    # Trials that were told stay as they are: there is nothing to retry.
    searching = dataclasses.replace(options, retry_failed=False)
    if not _is_whole(trials, search):  # what was damaged is set aside
        parts += train_batch([], trials, search, searching, engine, progress)
    while batch := next_batch(trials, search):
        parts += train_batch(batch, trials, search, searching, engine, progress)
        write_findings(trials, search, complete=False)
    plan, links = _winners(trials, search)
    ledger = search.ledger.tuned()
    ledger.open_for_writing()
    write_findings(trials, search, complete=True)
    parts.append(runner.run(ledger, plan, options, engine, progress, answer, home=search.ledger, trials=links))
    return add_up(parts, trials, search)


def open_trials(storage: BaseStorage, search: Search) -> dict[str, Trials]:
    """Return the trials of each variant, described for the dashboard.

    Raises:
        InputError: The storage holds something else under their names.
    """
    found: dict[str, Trials] = {}
    for variant, base in search.resolved.variants.items():
        found[variant] = Trials(storage, search.name(variant), search.tuning, base, search.identity(variant))
        found[variant].describe(search.note(variant))
    return found


@dataclass(frozen=True)
class Candidate:
    """A trial of a variant of the grid."""

    of: str
    """The variant."""
    trial: Trial
    variant: Variant
    """With the trial's settings."""

    @property
    def name(self) -> str:
        """What it is called among the trials of all variants."""
        return f"trial={self.trial.number} {self.of}".removesuffix(" base")


def _candidates(trials: Mapping[str, Trials], search: Search) -> list[Candidate]:
    """Return every trial of every variant, in the order they are trained."""
    grid = search.resolved.variants
    found = [Candidate(of, t, apply(grid[of], t.params)) for of, its in trials.items() for t in its.all()]
    return sorted(found, key=lambda c: c.trial.batch)


def next_batch(trials: Mapping[str, Trials], search: Search) -> list[Candidate]:
    """Return the trials to train next, of the variants that are the least far, so that all search side by side."""
    drawn = {of: its.next_batch(search.tuning.trials) for of, its in trials.items()}
    first = min((batch[0].batch for batch in drawn.values() if batch), default=None)
    asked = {(of, t.number) for of, batch in drawn.items() for t in batch if t.batch == first}
    return [c for c in _candidates(trials, search) if (c.of, c.trial.number) in asked]


def train_batch(
    batch: list[Candidate],
    trials: Mapping[str, Trials],
    search: Search,
    options: Options,
    engine: Engine,
    progress: Progress,
) -> list[Summary]:
    """Train a batch side by side, stop early what is hopeless where the study says so, and tell Optuna."""
    found, ledger, parts = search.tuning, search.ledger.search(), list[Summary]()
    ledger.directory.mkdir(parents=True, exist_ok=True)
    told = [c for c in _candidates(trials, search) if c.trial.state != "RUNNING"]
    seeds = {c.name: len(c.trial.notes["replicas"]) for c in told}
    results: dict[str, list[Row]] = {}
    left = batch
    for upto in seed_stages(found):
        seeds |= {c.name: upto for c in left}
        stage, names = _stage_of([*told, *batch], seeds, search)
        tags = {names[c.name]: search.tags(c.of, c.trial) for c in reversed([*told, *batch])}
        plan = search.plan_stage(stage, ledger, found.batch * found.seeds)
        judge = named(found, search.resolved.report.get("reached", {}), directions_of(search.resolved))
        parts.append(
            runner.run(ledger, plan, options, engine, progress, home=search.ledger, trials=tags, objective=judge)
        )
        rows = {row["replica"]: {str(k): v for k, v in row.items()} for row in ledger.results().to_dict("records")}
        results |= {c.name: [rows[id] for id in _replicas(c.variant, upto, stage, search)] for c in left}
        if upto < found.seeds:
            left = [c for c in left if not _hopeless(results[c.name], c, trials[c.of], search)]
    runs = ledger.provenance().get("mlflow", {}).get("parents", {})
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


def seed_stages(found: Tuning) -> list[int]:
    """Return after how many seeds of a trial it may be stopped, and how many it has at the most."""
    first = {"none": found.seeds, "wilcoxon": WILCOXON_SEEDS, "diverged": math.ceil(found.seeds / 2)}
    return sorted({first[found.pruning], found.seeds})


def _hopeless(rows: list[Row], candidate: Candidate, trials: Trials, search: Search) -> bool:
    """Say whether the study's rule stops a trial that left these rows so far."""
    if search.tuning.pruning == "diverged":
        return 2 * sum(row["status"] != "ok" for row in rows) >= len(rows)
    return trials.hopeless(candidate.trial.batch, objective(rows, search.resolved, search.tuning)[1])


def _is_whole(trials: Mapping[str, Trials], search: Search) -> bool:
    """Say whether the ledger of the search holds the replicas of the trials that were told, and their plan."""
    ledger = search.ledger.search()
    told = {id for c in _candidates(trials, search) if c.trial.state != "RUNNING" for id in c.trial.notes["replicas"]}
    return told <= ledger.finished() and (bool(ledger.plan()) or not told)


def _stage_of(candidates: list[Candidate], seeds: Mapping[str, int], search: Search) -> tuple[Resolved, dict[str, str]]:
    """Return trials as a grid on validation seeds and data, and what each is called there: the same GAN stands once."""
    study, found = search.resolved, search.tuning
    first: dict[Variant, str] = {}
    names = {c.name: first.setdefault(c.variant, c.name) for c in candidates}
    given = {name: max(seeds[c.name] for c in candidates if names[c.name] == name) for name in first.values()}
    resolved = dataclasses.replace(
        study,
        stage="search",
        variants={name: variant for variant, name in first.items()},
        levels={c.name: study.levels[c.of] for c in candidates if names[c.name] == c.name},
        seeds=found.seeds,
        first_seed=FIRST_VALIDATION_SEED,
        fewer_seeds={name: n for name, n in given.items() if n < found.seeds},
        scoring=dataclasses.replace(study.scoring, split="validation"),
        checks=[],
        published=[],
    )
    return resolved, names


def _replicas(variant: Variant, seeds: int, stage: Resolved, search: Search) -> list[str]:
    """Return the ids of a trial's first replicas, by seed."""
    return [
        replica_id(
            variant,
            stage.first_seed + i,
            target=stage.target,
            steps=stage.steps,
            scoring=stage.scoring,
            device=search.plan.device,
        )
        for i in range(seeds)
    ]


def _winners(trials: Mapping[str, Trials], search: Search) -> tuple[Plan, dict[str, dict[str, str]]]:
    """Plan the grid in which each variant has its best trial's settings; and say which trials these are."""
    study = search.resolved
    best = {of: its.best(search.tuning.trials) for of, its in trials.items()}
    # A variant of which no trial was finished keeps its own settings; the report says so.
    variants = {of: apply(study.variants[of], t.params) if t else study.variants[of] for of, t in best.items()}
    tuned = dataclasses.replace(study, stage="tuned", variants=variants, checks=[], published=[])
    plan = search.plan_stage(tuned, search.ledger.tuned(), study.seeds)
    return plan, {of: search.tags(of, t) for of, t in best.items() if t}
