"""What a storage says of trials, held against what it follows from: none of it is taken at its word.

A trial's replicas are named by its settings, their results are in the ledger of the search, and by these a trial is
judged. So a bit of a journal that was flipped, by a disk or a hand, shows before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.tuning.candidates import candidates, finished, names_of, replicas_of, rows_of, seeds_of
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
        its.check_batches()
    every = candidates(trials, search)
    names = names_of(every)
    for c in every:
        replicas = replicas_of(c, seeds_of(c, search), search)
        if (c.trial.variant, c.trial.replicas) != (names[c.name], replicas):
            raise Damaged(
                f"{trials[c.of].name}: trial {c.trial.number} is {c.trial.variant!r} of the replicas "
                f"{c.trial.replicas}, and not {names[c.name]!r} of {replicas}"
            )


def check_results(trials: Mapping[str, Trials], search: Search) -> None:
    """Check that trials were judged by the results of their replicas, all of which the ledger of the search holds.

    Raises:
        Damaged: Naming the first trial of which something else is said.
    """
    rows = rows_of(search.ledger.search())
    for c in candidates(trials, search):
        said, its = c.trial, [rows[id] for id in c.trial.replicas]
        pruned = said.state == "PRUNED"
        known = finished(c, its, said.variant, search, pruned=pruned, mlflow_run=said.mlflow_run)
        close = len(said.values) == len(known.values) and np.allclose(said.values, known.values, rtol=ROUNDING, atol=0)
        for what in ("values", "scores", "statuses"):
            if getattr(said, what) != getattr(known, what) and not (what == "values" and close):
                place = f"{trials[c.of].name}: trial {said.number}"
                raise Damaged(f"{place} has {what} {getattr(said, what)}, and its replicas give {getattr(known, what)}")
