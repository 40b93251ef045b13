"""The trials of all variants as replicas: what each is called, which it has, and the grid they are trained as."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.tuning.journal import Damaged
from benchmarks.tuning.objective import Row
from benchmarks.tuning.search import Search
from benchmarks.tuning.trials import Trials
from gan.replica import Scoring, replica_id
from gan.variant import Variant
from reports.ledger.ledger import Ledger
from reports.ledger.tuning_record import TrialRecord
from studies.schema import Resolved
from studies.tune import FIRST_VALIDATION_SEED, Tuning, apply

WILCOXON_SEEDS = 4  # of a trial before it may be stopped: the fewest whose signed ranks can reach the pruner's level


@dataclass(frozen=True)
class Candidate:
    """A trial of a variant of the grid."""

    of: str
    """The variant."""
    trial: TrialRecord
    variant: Variant
    """With the trial's settings."""

    @property
    def name(self) -> str:
        """What it is called among the trials of all variants."""
        return f"trial={self.trial.number} {self.of}".removesuffix(" base")


def candidates(trials: Mapping[str, Trials], search: Search, batch: Sequence[Candidate] = ()) -> list[Candidate]:
    """Return every finished trial of every variant, and those of a batch, in the order they are trained."""
    grid = search.resolved.variants
    every: list[Candidate] = []
    for of, its in trials.items():
        every += [Candidate(of, trial, apply(grid[of], trial.params)) for trial in its.all()]
        every += [c for c in batch if c.of == of]
    return sorted(every, key=lambda c: c.trial.batch)


def seed_stages(tuning: Tuning) -> list[int]:
    """Return after how many seeds of a trial it may be stopped, and how many it has at the most."""
    first = {"none": tuning.seeds, "wilcoxon": WILCOXON_SEEDS, "diverged": math.ceil(tuning.seeds / 2)}
    return sorted({first[tuning.pruning], tuning.seeds})


def seeds_of(candidate: Candidate, search: Search) -> int:
    """Return how many seeds a finished trial has: a pruned one was stopped after the first stage.

    Raises:
        Damaged: It was pruned, and this search prunes none.
    """
    first, *later = seed_stages(search.tuning)
    if candidate.trial.state == "PRUNED" and not later:
        raise Damaged(f"{search.name(candidate.of)}: trial {candidate.trial.number} was pruned, and no trial may be")
    return first if candidate.trial.state == "PRUNED" else search.tuning.seeds


def finished(
    candidate: Candidate, rows: Sequence[Row], name: str, search: Search, *, pruned: bool, mlflow_run: str
) -> TrialRecord:
    """Return a trial with its results.

    Args:
        candidate: The trial.
        rows: The ledger's, of its replicas, by seed.
        name: What it is called in the grid of the search.
        search: What it is a trial of.
        pruned: It was stopped before all its seeds were trained: then it has no value.
        mlflow_run: Its run in the mirror, if that is known.
    """
    pairs = zip(rows, search.judge.scores(rows), strict=True)
    results = {
        "state": "PRUNED" if pruned else "COMPLETE",
        "values": [] if pruned else search.judge.values(rows),
        "scores": [score if row["status"] == "ok" else None for row, score in pairs],
        "statuses": [row["status"] for row in rows],
        "replicas": [row["replica"] for row in rows],
    }
    return candidate.trial.model_copy(update={**results, "variant": name, "mlflow_run": mlflow_run})


def names_of(every: Sequence[Candidate]) -> dict[str, str]:
    """Return what each trial is called in the grid of the search, where the same GAN stands once.

    Args:
        every: From `candidates`; a trial's name does not change by those that come after it.
    """
    first: dict[Variant, str] = {}
    return {c.name: first.setdefault(c.variant, c.name) for c in every}


def stage_of(
    found: Sequence[Candidate], seeds: Mapping[str, int], every: Sequence[Candidate], search: Search
) -> Resolved:
    """Return trials as a grid on validation seeds and data, each with its number of seeds.

    Args:
        found: The trials.
        seeds: How many each has, by its name.
        every: From `candidates`.
        search: What they are trials of.
    """
    study, most, names = search.resolved, search.tuning.seeds, names_of(every)
    by_name = {c.name: c for c in every}
    given: dict[str, int] = {}
    for c in found:
        given[names[c.name]] = max(seeds[c.name], given.get(names[c.name], 0))
    own = [by_name[name] for name in given]
    return dataclasses.replace(
        study,
        stage="search",
        variants={c.name: c.variant for c in own},
        levels={c.name: study.levels[c.of] for c in own},
        seeds=most,
        first_seed=FIRST_VALIDATION_SEED,
        fewer_seeds={name: n for name, n in given.items() if n < most},
        scoring=_scoring(study),
        checks=[],
        published=[],
    )


def _scoring(study: Resolved) -> Scoring:
    return dataclasses.replace(study.scoring, split="validation")


def replicas_of(candidate: Candidate, seeds: int, search: Search) -> list[str]:
    """Return the ids of a trial's first replicas, by seed."""
    study = search.resolved
    return [
        replica_id(
            candidate.variant,
            FIRST_VALIDATION_SEED + i,
            target=study.target,
            steps=study.steps,
            scoring=_scoring(study),
            device=search.plan.device,
        )
        for i in range(seeds)
    ]


def rows_of(ledger: Ledger) -> dict[str, Row]:
    """Return a ledger's rows by replica."""
    return {row["replica"]: {str(k): v for k, v in row.items()} for row in ledger.results().to_dict("records")}
