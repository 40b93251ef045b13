"""What a storage says of trials, held against what it follows from: none of it is taken at its word.

A trial's replicas are named by its settings, their results are in the ledger of the search, and by these a trial is
judged. So a bit of a journal that was flipped, by a disk or a hand, shows before anything is made of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.tuning.candidates import (
    Candidate,
    candidates,
    names_of,
    replicas_of,
    rows_of,
    seed_stages,
    told,
)
from benchmarks.tuning.objective import objective
from benchmarks.tuning.search import Search
from benchmarks.tuning.storage import Damaged
from benchmarks.tuning.trials import Trials

ROUNDING = 1e-12  # relative: another machine may add the same scores up in another order


def check_drawn(trials: Mapping[str, Trials], search: Search) -> None:
    """Check that trials are in their batches, and that those that were told have their replicas; of no results.

    Raises:
        Damaged: Naming the first trial of which something else is said.
    """
    for its in trials.values():
        first, size = 0, 0  # of the batch
        for trial in its.all():
            if trial.number == first + size:
                first, size = trial.number, trial.notes["batch_size"]
            if (trial.batch, trial.notes["batch_size"]) != (first, size):
                raise Damaged(f"{its.name}: trial {trial.number} is not in the batch that it was drawn with")
    names, stages = names_of(candidates(trials, search)), seed_stages(search.tuning)
    for c in told(trials, search):
        noted = c.trial.notes.get("replicas")
        seeds = len(noted) if isinstance(noted, list) else 0
        if seeds not in (stages[-1:] if c.trial.state == "COMPLETE" else stages[:-1]):
            raise _damaged(c, trials, f"is {c.trial.state} with {seeds} replicas")
        if noted != replicas_of(c, seeds, search):
            raise _damaged(c, trials, "has replicas of other settings")
        if c.trial.notes.get("name") != names[c.name]:
            raise _damaged(c, trials, f"is called {c.trial.notes.get('name')!r}, and not {names[c.name]!r}")


def check_told(trials: Mapping[str, Trials], search: Search) -> None:
    """Check that trials were judged by the results of their replicas, all of which the ledger of the search holds.

    Raises:
        Damaged: Naming the first trial of which something else is said.
    """
    rows = rows_of(search.ledger.search())
    for c in told(trials, search):
        own = [rows[id] for id in c.trial.notes["replicas"]]
        values, scores = objective(own, search.resolved, search.tuning)
        facts: dict[str, tuple[Any, Any]] = {
            "statuses": (c.trial.notes.get("statuses"), [row["status"] for row in own]),
            "scores": (c.trial.notes.get("scores"), scores),
        }
        for what, (said, known) in facts.items():
            if said != known:
                raise _damaged(c, trials, f"has {what} {said}, and its replicas {known}")
        if not _same(list(c.trial.intermediate.items()), list(enumerate(scores))):
            raise _damaged(c, trials, f"has intermediate values {c.trial.intermediate}, and its replicas {scores}")
        wanted = values if c.trial.state == "COMPLETE" else []
        if not _same(list(enumerate(c.trial.values)), list(enumerate(wanted))):
            raise _damaged(c, trials, f"has values {c.trial.values}, and its replicas give {wanted}")


def _same(said: list[tuple[int, float]], known: list[tuple[int, float]]) -> bool:
    """Say whether numbers at their places are the same but for rounding."""
    if [place for place, _ in sorted(said)] != [place for place, _ in known]:
        return False
    pairs = zip(sorted(said), known, strict=True)
    return all(math.isclose(one, other, rel_tol=ROUNDING) for (_, one), (_, other) in pairs)


def _damaged(candidate: Candidate, trials: Mapping[str, Trials], what: str) -> Damaged:
    return Damaged(f"{trials[candidate.of].name}: trial {candidate.trial.number} {what}")
