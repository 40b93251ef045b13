"""How far the harness itself goes: studies of many replicas through plan, ledger, resume and report, training nothing.

`python -m benchmarks.running.simulation 1000 10000` plans the study `gaussian` with as many seeds as make so many
replicas, lets an engine that returns at once make its results up, and prints what each stage took: of this repository's
own code, since there is no training in it. Each stage is a separate process, so that its memory can be measured. The
figures that this gave, and what follows from them, are in `docs/scaling.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks.engines import CheckpointConfig, Outcome
from benchmarks.planning import choosing, listing
from benchmarks.running import reporting, runner
from benchmarks.running.progress import Progress
from benchmarks.tracking import OFF
from benchmarks.upkeep.integrity import repair
from gan.columns import NUMBERS
from gan.replica import Cohort, CohortResult, Replica, ReplicaResult
from gan.scores import scores_of
from reports.ledger.ledger import Ledger

STUDY, SCALE = "gaussian", "laptop"
METRICS = ("value/discriminator", "loss/discriminator", "loss/generator", "gradient/discriminator")
METRICS += ("gradient/generator", "output/real", "output/fake")
LOST = 10  # of so many cohorts one is lost, and trained again by the stage `resume`


@dataclass(frozen=True)
class Size:
    """How much a made-up replica leaves."""

    points: int
    """Of each metric's history."""
    samples: int
    """Numbers."""
    weights: int
    """Numbers."""


SMALL = Size(points=10, samples=100, weights=16)
TRAINED = Size(points=200, samples=20_000, weights=6_600)
"""As a trained replica of the study at this scale leaves: 128 kB."""


class SimulatedEngine:
    """An engine that makes results up, the same ones for the same replica; see `benchmarks.engines.Engine`.

    Args:
        size: Of a replica's results.
        most: Cohorts until it is interrupted, as by Ctrl-C; None for no interruption.
    """

    def __init__(self, size: Size = SMALL, most: int | None = None) -> None:
        self._size, self._most = size, most

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Hand out a result for each cohort, in their order."""
        for cohort in cohorts[: self._most]:
            on_progress(cohort.steps * len(cohort.replicas))
            yield Outcome(
                cohort, CohortResult([_made_up(r, cohort, self._size) for r in cohort.replicas], _references(cohort))
            )
        if self._most is not None and self._most < len(cohorts):
            raise KeyboardInterrupt


def _made_up(replica: Replica, cohort: Cohort, size: Size) -> ReplicaResult:
    """Return a result of the kind that training gives: a score that falls, other in each variant; 1 in 100 diverges."""
    random = np.random.default_rng(int(replica.id, 16))
    diverged = random.random() < 0.01
    windows = np.linspace(cohort.steps / size.points, cohort.steps, size.points).astype(int)
    evaluations = np.array(cohort.scoring.evaluation_steps(cohort.steps))
    if diverged:
        windows, evaluations = windows[: size.points // 2], evaluations[: len(evaluations) // 2]
    worse = 1 + abs(math.log(replica.variant.lr_ratio)) + (replica.variant.loss == "saturating")
    ks = 0.02 * worse * np.exp(0.3 * random.standard_normal() + 1 - evaluations / cohort.steps)
    curves = {name: (windows, math.log(2) + 0.02 * random.standard_normal(len(windows))) for name in METRICS}
    curves["score/ks"] = evaluations, ks
    history = [
        (step, name, value)
        for name, (steps, values) in curves.items()
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
    ]
    row: dict[str, Any] = {
        "status": "diverged" if diverged else "ok",
        "failed_step": int(windows[-1]) if diverged else None,
        "reason": "made up" if diverged else "",
        **dict.fromkeys(NUMBERS, float(curves["value/discriminator"][1][-1])),
        **{s.name: math.nan if diverged else float(ks[-1]) for s in scores_of(cohort.target) if s.final},
        "train_seconds": 0.0,
    }
    samples = random.normal(3, 2, (size.samples, 1)).astype(np.float32)
    weights = random.standard_normal(size.weights).astype(np.float32)
    return ReplicaResult(replica, row, history, {"final": samples}, {"generator/0.weight": weights})


def _references(cohort: Cohort) -> dict[str, Any]:
    """Return what real data would score, made up too."""
    return {
        score.name: {"label": score.label, "direction": score.direction, "n": 10_000, "floor": 0.01, "noise": None}
        for score in scores_of(cohort.target)
        if score.final
    }


def options_for(runs_dir: Path, replicas: int) -> runner.Options:
    """Return the options of a run of the study with as many seeds as make at least so many replicas."""
    (chosen,), _ = choosing.studies([STUDY], SCALE, Path("data"))
    variants = math.prod(map(len, chosen.study.grid.values()))
    seeds = math.ceil(replicas / variants)
    return runner.Options(SCALE, "cpu", 1, runs_dir, Path("data"), tracking_uri=OFF, seeds=seeds)


def plan(options: runner.Options) -> dict[str, Any]:
    """Plan the study and work out what it costs, as `ganbench run --dry-run` does; nothing is written."""
    (chosen,), _ = choosing.studies([STUDY], SCALE, options.data_dir)
    ledger, planned = runner.prepare(chosen.study, chosen.source, options)
    return listing.plan_summary(planned, ledger)


def train(options: runner.Options, engine: SimulatedEngine) -> runner.Summary:
    """Do what `ganbench run` does with a study: plan, repair what is there, plan again, train what is missing."""
    (chosen,), _ = choosing.studies([STUDY], SCALE, options.data_dir)
    ledger, planned = runner.prepare(chosen.study, chosen.source, options)
    listing.plan_summary(planned, ledger)
    repair(ledger)
    ledger, planned = runner.prepare(chosen.study, chosen.source, options)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        return runner.run(ledger, planned, options, engine, Progress(Console(file=nowhere)))


def lose(ledger: Ledger) -> int:
    """Delete the rows of one in ten cohorts, as if the run had been killed before them; return how many."""
    lost = ledger.finished_cohorts()[::LOST]
    for cohort in lost:
        ledger.file("cohorts", cohort).unlink()
    return len(lost)


def measured(stage: str, runs_dir: Path, replicas: int, size: Size) -> dict[str, Any]:
    """Run one stage in this process.

    Args:
        stage: One of `STAGES`.
        runs_dir: The directory of all stages of this number of replicas.
        replicas: How many.
        size: Of a replica's results.

    Returns:
        Seconds of wall and processor, the most memory in MiB, and what the stage had to do.
    """
    options = options_for(runs_dir, replicas)
    ledger = Ledger(runner.directory(runs_dir, STUDY, SCALE))
    done: dict[str, Any] = {"cohorts": lose(ledger)} if stage == "resume" else {}
    began, before = time.perf_counter(), time.process_time()
    done |= STAGES[stage](options, ledger, SimulatedEngine(size))
    seconds, busy = time.perf_counter() - began, time.process_time() - before
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"stage": stage, "seconds": seconds, "cpu_seconds": busy, "peak_mib": kilobytes / 1024} | done


STAGES: dict[str, Callable[[runner.Options, Ledger, SimulatedEngine], dict[str, Any]]] = {
    "plan": lambda options, _, __: {"trained": plan(options)["to_train"]},
    "train": lambda options, _, engine: {"trained": train(options, engine).trained},
    "resume": lambda options, _, engine: {"trained": train(options, engine).trained},
    "report": lambda _, ledger, __: {"report": str(reporting.compile_study(ledger, ledger.directory / "report"))},
}
"""In their order; each goes on from what those before it left in the runs directory."""


def size_of(folder: Path) -> tuple[int, int]:
    """Return how many files there are in a folder and below, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def simulate(replicas: int, folder: Path, *more: str) -> list[dict[str, Any]]:
    """Run every stage of one number of replicas, each in a separate process, and delete what they wrote.

    Args:
        replicas: How many.
        folder: Where to write.
        *more: Words of the command line for each stage.

    Returns:
        One row a stage, with the files and bytes of the run directory after it.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix=f"{replicas}-", dir=folder) as runs_dir:
        for stage in STAGES:
            words = [sys.executable, "-m", "benchmarks.running.simulation", str(replicas), "--stage", stage]
            said = subprocess.run([*words, "--folder", runs_dir, *more], check=True, stdout=subprocess.PIPE, text=True)
            row = {"replicas": replicas} | json.loads(said.stdout)
            row["files"], row["bytes_on_disk"] = size_of(Path(runs_dir))
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a person reads them."""
    return pd.DataFrame(
        {
            "replicas": f"{row['replicas']:,}",
            "stage": row["stage"],
            "wall s": f"{row['seconds']:,.1f}",
            "CPU s": f"{row['cpu_seconds']:,.1f}",
            "peak MiB": f"{row['peak_mib']:,.0f}",
            "files": f"{row['files']:,}",
            "MB on disk": f"{row['bytes_on_disk'] / 1e6:,.1f}",
        }
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the numbers of replicas asked for; or run one stage and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.running.simulation", description="How far the harness goes."
    )
    parser.add_argument("replicas", type=int, nargs="+", help="numbers of replicas")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk that is to be measured")
    parser.add_argument(
        "--stage", choices=list(STAGES), help="run this one alone, in --folder, and keep what it writes"
    )
    parser.add_argument("--trained-size", action="store_true", help="results as large as trained ones: 128 kB each")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.gettempdir())
    if options.stage:
        size = TRAINED if options.trained_size else SMALL
        print(json.dumps(measured(options.stage, folder, options.replicas[0], size)))
        return
    more = ["--trained-size"] if options.trained_size else []
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for replicas in options.replicas for row in simulate(replicas, folder, *more)]
    print(table(rows).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
