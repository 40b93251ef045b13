"""The command line in this process, with an engine that trains nothing: what it gives back follows from the replica."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import typer.main

from benchmarks import cli
from benchmarks.engines import Outcome
from benchmarks.engines.registry import ENGINES, EngineKind, this_machine
from gan.columns import LOSSES
from gan.replica import Cohort, CohortResult, Replica, ReplicaResult
from gan.scores import scores_of

from ..typed import Said, built

STUDY = """
title = "A study that is not trained"
question = "Is it kept?"
[target]
name = "digits"
[base]
batch_size = 32
latent_dim = 4
generator_hidden = [8]
generator_output = "tanh"
discriminator_hidden = [8]
[grid]
loss = ["non_saturating", "saturating"]
generator_norm = ["none", "batch"]
[scoring]
evaluations = 2
[report]
score = "fid_500"
factor = "loss"
reached = { modes = 9 }
[scales.smoke]
seeds = 2
steps = 100
"""
"""Two cohorts of 4 replicas."""

TUNE = """
[tune]
failed = 9.0
seeds = 2
trials = 4
batch = 2
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
"""


class Engine:
    """Gives every replica numbers and pictures drawn from its id, which no run changes.

    Args:
        begins: Called when there is something to train.

    Attributes:
        asked: Ids of the replicas that were trained, in order.
    """

    def __init__(self, begins: Callable[[], object] = lambda: None) -> None:
        self.begins = begins
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def run(self, cohorts: Sequence[Cohort], *_: Any, **__: Any) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`."""
        if cohorts:
            self.begins()
        for cohort in cohorts:
            self.asked += [r.id for r in cohort.replicas]
            yield Outcome(cohort, result_of(cohort))


def result_of(cohort: Cohort) -> CohortResult:
    """Return what training a cohort gives."""
    from gan.engine.cohort import references

    # What real data score is real: a run may make it again without the engine.
    return CohortResult([_result(r, cohort) for r in cohort.replicas], *references(cohort, Path(), "cpu"))


def _result(replica: Replica, cohort: Cohort) -> ReplicaResult:
    rng = np.random.default_rng(int(replica.id, 16))
    scores = [s.name for s in scores_of(cohort.target)]
    row: dict[str, Any] = {"status": "ok", "failed_step": None, "reason": "", "train_seconds": 0.0}
    row |= {name: float(rng.uniform(0.5, 1.5)) for name in (*LOSSES, "value_discriminator", *scores)}
    at = cohort.scoring.evaluation_steps(cohort.steps)
    curves = ("loss/discriminator", "loss/generator", "gradient/generator", *(f"score/{name}" for name in scores))
    history = [(step, metric, float(rng.uniform(0.5, 1.5))) for metric in curves for step in at]
    samples = {"final": _pictures(replica.seed, 100, cohort), "steps": np.array(at)}
    samples["progress"] = np.stack([_pictures(replica.seed + step, 16, cohort) for step in at])
    weights = {f"generator/{i}/weight": rng.standard_normal((8, 8)).astype("float32") for i in range(2)}
    return ReplicaResult(replica, row, history, samples, weights)


def _pictures(seed: int, n: int, cohort: Cohort) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, cohort.target.dimension), dtype="uint8")


def write_study(folder: Path, text: str = STUDY, name: str = "kept") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def directory_of(folder: Path, name: str = "kept") -> Path:
    return folder / "runs" / name / "smoke"


def with_few_trees(patch: pytest.MonkeyPatch) -> None:
    """Tell what each setting explains by four trees: Optuna's 64 take most of the time of a search like this."""
    importance = import_module("optuna.importance")  # which Optuna itself puts off: that would undo the patch
    patch.setattr(importance, "FanovaImportanceEvaluator", partial(importance.FanovaImportanceEvaluator, n_trees=4))


def ganbench(folder: Path, *typed: str, engine: Engine | None = None, name: str = "kept") -> Said:
    """Run `ganbench run` (or another verb, given first) on the study of a folder; in that folder."""
    verb, more = (typed[0], typed[1:]) if typed and typed[0] in ("run", "tune", "report") else ("run", typed)
    line = ["ganbench", verb, f"{name}.toml", "--scale", "smoke", "--tracking-uri", "off", *more]
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as done,
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", line)
        patch.setattr(typer.main, "get_command", built)
        if verb == "tune":
            with_few_trees(patch)
        kind = EngineKind("local", this_machine, lambda *_: engine or Engine())
        patch.setitem(ENGINES, "local", kind)
        cli.main()
    return Said(int(done.value.code or 0), out.getvalue(), err.getvalue())
