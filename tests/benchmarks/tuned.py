"""A study that is tuned in moments: its replicas are not trained, they score by a formula of their settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import tuning
from benchmarks.engines import CheckpointConfig, Outcome
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options, Summary
from benchmarks.tracking import OFF
from gan.replica import Cohort, CohortResult, Replica, ReplicaResult
from studies import schema

STUDY = """
title = "A study"
question = "Does it work?"

[target]
name = "gaussian"
mean = 3.0
std = 2.0

[base]
batch_size = 64

[grid]
loss = ["non_saturating", "saturating"]

[report]
score = "ks"
factor = "loss"
reached = { ks = 0.3 }

[tune]
failed = 1.0
seeds = 2
trials = 6
batch = 3
"""
SPACE = """
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
beta1 = { low = 0.0, high = 0.9 }
"""
SCALE = """
[scales.smoke]
seeds = 2
steps = 20
"""
FEW = {"trials": "4", "batch": "2"}
"""Two batches, as there are with more."""


def write(folder: Path, tune: str = "", space: str = SPACE, **replaced: str) -> Path:
    """Write the study with more lines in `[tune]`, and `key = value` lines of it replaced."""
    lines = [line for line in STUDY.splitlines() if line.split(" = ")[0] not in replaced]
    text = "\n".join([*lines, *(f"{key} = {value}" for key, value in replaced.items()), tune])
    path = folder / "made.toml"
    path.write_text(text + space + SCALE, encoding="utf-8")
    return path


def score(replica: Replica) -> float:
    """What a replica scores: best at lr 1e-3 and beta1 0.5, and with the saturating loss; another for each seed."""
    v = replica.variant
    away = abs(math.log10(v.lr) + 3) + abs(v.beta1 - 0.5) + (0.1 if v.loss == "saturating" else 0.2)
    return away / 4 + 0.01 * (replica.seed % 7)


class Engine:
    """Gives every replica its formula's score; `fails` says which diverge.

    Attributes:
        asked: Ids of the replicas that were trained, in order.
    """

    def __init__(self, fails: Callable[[Replica], bool] = lambda _: False) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        for cohort in cohorts:
            self.asked += [r.id for r in cohort.replicas]
            yield Outcome(cohort, CohortResult([self._result(r) for r in cohort.replicas], {}), seconds=0.0)

    def _result(self, replica: Replica) -> ReplicaResult:
        failed = self.fails(replica)
        row: dict[str, Any] = {"status": "diverged" if failed else "ok", "failed_step": 7 if failed else None}
        row |= {"reason": "", "train_seconds": 0.0, "ks": math.nan if failed else score(replica)}
        row["bins_covered"] = 1 - row["ks"]  # the same the other way round: higher is better
        return ReplicaResult(replica, row, [(20, "score/ks", score(replica))])


def with_few_trees(patch: pytest.MonkeyPatch) -> None:
    """Tell what each setting explains by four trees: Optuna's 64 take most of the time of a search like this."""
    importance = import_module("optuna.importance")  # which Optuna itself puts off: that would undo the patch
    patch.setattr(importance, "FanovaImportanceEvaluator", partial(importance.FanovaImportanceEvaluator, n_trees=4))


def search_of(path: Path, runs: Path) -> tuning.Search:
    """Return the study's search, as it is in a runs directory."""
    return tuning.prepare(schema.load(str(path)), str(path), Options("smoke", "cpu", 1, runs, runs, tracking_uri=OFF))


def tune(path: Path, runs: Path, engine: Engine | None = None, **options: Any) -> tuple[tuning.Search, Summary]:
    """Tune the study."""
    chosen = Options("smoke", "cpu", 1, runs, runs, tracking_uri=OFF, **options)
    search = tuning.prepare(schema.load(str(path)), str(path), chosen)
    return search, tuning.tune(search, chosen, engine or Engine(), Progress(Console(quiet=True)))


def trials_of(search: tuning.Search) -> dict[str, list[dict[str, Any]]]:
    """Return the trials of each variant, as `tuning.json` has them."""
    return {variant: found["trials"] for variant, found in record_of(search)["variants"].items()}


def record_of(search: tuning.Search) -> dict[str, Any]:
    """Return the content of `tuning.json`."""
    return json.loads((search.ledger.directory / "tuning.json").read_text())


def findings(search: Any) -> Any:
    """What was found, as bytes that two equal searches share."""
    return json.dumps({k: v for k, v in record_of(search).items() if k != "command"}, sort_keys=True)
