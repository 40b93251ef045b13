"""Time a search against the loop a user would write: Optuna's own, one trial at a time, one seed after the other."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.engines.local import LocalEngine
from benchmarks.machine import system
from benchmarks.running.progress import Progress
from benchmarks.running.runner import Options
from benchmarks.tracking import OFF
from benchmarks.tuning.objective import objective
from benchmarks.tuning.search import Search, prepare
from benchmarks.tuning.storage import opened
from benchmarks.tuning.trials import suggest
from benchmarks.tuning.tune import Driver, next_batch, open_trials, train_batch
from gan.replica import Cohort, Replica
from studies import schema
from studies.tune import FIRST_VALIDATION_SEED, apply

ROUNDS = 3


def compare(name: str, options: Options) -> dict[str, Any]:
    """Measure trials a minute of a study's search, and of the plain loop on the same space, seeds, steps and scores.

    The two alternate, round by round. The loop has one process, keeps its trials in memory and trains with our step
    for one replica, uncompiled; the search has all workers, writes its journal and its ledger. Neither the search's
    first batch, which compiles, nor the loop's first trial counts.

    Args:
        name: Of a study with `[tune]`.
        options: Scale, device and workers; nothing is recorded in its runs directory.

    Raises:
        InputError: The study cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = replace(options, runs_dir=Path(folder), tracking_uri=OFF)
        study = schema.load(name)
        tune = schema.resolve(study, chosen.scale).tune
        search = prepare(study, name, replace(chosen, trials=tune.batch * (ROUNDS + 1) if tune else None))
        search.ledger.open_for_writing()
        progress = Progress(Console(quiet=True))
        loop = _PlainLoop(search, chosen)
        with LocalEngine(chosen.workers, progress.say) as engine:
            trials = open_trials(opened(search.ledger.directory, None, progress.say), search)

            def ours() -> float:
                started = time.perf_counter()
                batch = next_batch(trials, search)
                train_batch(batch, trials, Driver(search, chosen, engine, progress))
                return 60 * len(batch) / (time.perf_counter() - started)

            first, _ = ours(), loop.trials(1)  # what is imported, read and compiled once does not count
            rounds = [(loop.trials(len(trials)), ours()) for _ in range(ROUNDS)]
    ratios = [b / a for a, b in rounds]
    return {
        "study": name,
        "scale": options.scale,
        "rounds": len(rounds),
        "trials_a_batch": search.tuning.batch * len(trials),
        "seeds_a_trial": search.tuning.seeds,
        "steps": search.resolved.steps,
        "workers": chosen.workers,
        "plain_trials_a_minute": statistics.median(a for a, _ in rounds),
        "search_trials_a_minute": statistics.median(b for _, b in rounds),
        "first_batch_trials_a_minute": first,
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "ratio_a_core": statistics.median(ratios) / chosen.workers,
        "hardware": system.hardware(chosen.device),
        "versions": {"python": platform.python_version(), **system.versions()},
    }


class _PlainLoop:
    """Optuna's own loop over each variant in turn.

    Args:
        search: What is searched.
        options: Data and device.
    """

    def __init__(self, search: Search, options: Options) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        direction = "maximize" if search.tuning.direction == "higher" else "minimize"
        self.search, self.options = search, options
        self.studies = {
            variant: optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=0))
            for variant in search.resolved.variants
        }

    def trials(self, count: int) -> float:
        """Run `count` trials, the variants in turn; return trials a minute."""
        started = time.perf_counter()
        for i in range(count):
            variant = list(self.studies)[i % len(self.studies)]
            self.studies[variant].optimize(lambda trial, variant=variant: self._objective(trial, variant), n_trials=1)
        return 60 * count / (time.perf_counter() - started)

    def _objective(self, trial: Any, variant: str) -> float:
        from gan.engine.cohort import train

        study, tuning = self.search.resolved, self.search.tuning
        settings = apply(study.variants[variant], suggest(trial, tuning, study.variants[variant]))
        rows: list[dict[str, Any]] = []
        for seed in range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + tuning.seeds):
            cohort = Cohort(
                id="plain",
                replicas=(Replica("plain", settings, seed),),
                target=study.target,
                steps=study.steps,
                scoring=replace(study.scoring, split="validation"),
                mode="loop",
                compiled=False,
                width=1,
            )
            rows += [result.row for result in train(cohort, self.options.data_dir, self.options.device).replicas]
        return objective(rows, study, tuning)[0][0]


def print_comparison(measured: dict[str, Any]) -> None:
    """Print what was measured, a sentence each."""
    low, high = measured["ratio_range"]
    print(
        f"{measured['study']} at {measured['scale']} scale: {measured['seeds_a_trial']} replicas a trial, "
        f"{measured['steps']:,} steps; medians of {measured['rounds']} alternating rounds\n"
        f"plain Optuna loop, one process: {measured['plain_trials_a_minute']:.1f} trials a minute\n"
        f"this search, {measured['workers']} workers, {measured['trials_a_batch']} trials a batch: "
        f"{measured['search_trials_a_minute']:.1f} trials a minute (its first batch, which compiles, "
        f"{measured['first_batch_trials_a_minute']:.1f})\n"
        f"{measured['ratio']:.1f} times as many ({low:.1f} to {high:.1f}), {measured['ratio_a_core']:.1f} times a core"
    )
