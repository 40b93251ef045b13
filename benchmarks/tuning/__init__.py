"""Tuning at equal budget. Only this folder knows Optuna, which takes a second to import: where it is first needed.

`search.py` plans and checks; `tune.py` trains, batch by batch; `trials.py` draws trials and keeps what became of them,
in a database or a journal (`storage.py`, `journal.py`); `candidates.py` names their replicas, `objective.py` judges
them, and `audit.py` checks the stored trials against both; `findings.py` writes what reports are made of.
"""

from benchmarks.tuning.findings import Links, links, relink
from benchmarks.tuning.search import Search, plan_summary, prepare
from benchmarks.tuning.storage import StorageLost, dashboard
from benchmarks.tuning.tune import tune

__all__ = ["Links", "Search", "StorageLost", "dashboard", "links", "plan_summary", "prepare", "relink", "tune"]
