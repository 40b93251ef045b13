"""What a storage says of trials, held against what it follows from: none of it is taken at its word.

A trial's replicas are named by its settings, their results are in the ledger of the search, and by these a trial is
judged. So a bit of a journal that was flipped, by a disk or a hand, shows before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.tuning.candidates import candidates, names_of, notes_of, replicas_of, rows_of, seeds_of
from benchmarks.tuning.journal import Damaged
from benchmarks.tuning.search import Search
from benchmarks.tuning.trials import Trials

ROUNDING = 1e-12  # relative: another machine may add the same scores up in another order


def check_drawn(trials: Mapping[str, Trials], search: Search) -> None:
    """Check that trials are in their batches, and have their names and replicas; of no results.

    Raises:
        Damaged: Naming the first trial of which something else is said.
    """
    for its in trials.values():
        first, size = 0, 0  # of the batch
        for trial in its.all():
            if trial.number == first + size:
                first, size = trial.number, trial.batch_size
            if (trial.batch, trial.batch_size) != (first, size):
                raise Damaged(f"{its.name}: trial {trial.number} is not in the batch that it was drawn with")
    finished = candidates(trials, search)
    names = names_of(finished)
    for c in finished:
        expected = {"name": names[c.name], "replicas": replicas_of(c, seeds_of(c, search), search)}
        _compare(f"{trials[c.of].name}: trial {c.trial.number}", c.trial.notes, expected)


def check_results(trials: Mapping[str, Trials], search: Search) -> None:
    """Check that trials were judged by the results of their replicas, all of which the ledger of the search holds.

    Raises:
        Damaged: Naming the first trial of which something else is said.
    """
    rows = rows_of(search.ledger.search())
    for c in candidates(trials, search):
        its = [rows[id] for id in c.trial.notes["replicas"]]
        scores, values = search.judge.scores(its), search.judge.values(its) if c.trial.state == "COMPLETE" else []
        place = f"{trials[c.of].name}: trial {c.trial.number}"
        _compare(place, c.trial.notes, notes_of(its, scores))
        seen = [c.trial.intermediate.get(seed, np.nan) for seed in range(len(c.trial.intermediate))]
        for what, said, known in (("values", c.trial.values, values), ("intermediate values", seen, scores)):
            if not _close(said, known):
                raise Damaged(f"{place} has {what} {said}, and its replicas give {known}")


def _compare(place: str, notes: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for what, known in expected.items():
        if notes.get(what) != known:
            raise Damaged(f"{place} has {what} {notes.get(what)!r}, and not {known!r}")


def _close(said: Sequence[float], known: Sequence[float]) -> bool:
    """Say whether numbers are the same but for rounding."""
    return len(said) == len(known) and np.allclose(said, known, rtol=ROUNDING, atol=0)
