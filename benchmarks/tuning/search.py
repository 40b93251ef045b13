"""A search for better settings, planned and checked before anything of it is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.machine import system
from benchmarks.machine.redaction import without_credentials
from benchmarks.planning import cost, listing
from benchmarks.planning.plan import Plan, make_plan, rounds
from benchmarks.running import runner
from benchmarks.running.runner import Options
from benchmarks.tuning.journal import JOURNAL
from benchmarks.tuning.objective import Judge
from benchmarks.tuning.storage import check
from gan.errors import InputError
from gan.replica import ENGINE_VERSION, Mode, plugins_of
from gan.scores import scoring_digest
from gan.targets import changed
from gan.variant import Variant
from reports.ledger.ledger import Ledger
from reports.ledger.tuning_record import TrialRecord
from studies import schema
from studies.schema import Resolved
from studies.tune import Tuning, apply


@dataclass(frozen=True)
class Search:
    """A study that is to be tuned, checked; nothing of it is written yet."""

    study: schema.Study
    ledger: Ledger
    plan: Plan
    """Of the untuned grid."""
    tuning: Tuning
    command: str
    storage: str | None
    mode: Mode | None

    @property
    def kept_in(self) -> str:
        """Where the trials are, as it may be printed."""
        return without_credentials(self.storage) if self.storage else JOURNAL

    @property
    def resolved(self) -> Resolved:
        """The untuned grid."""
        return self.plan.study

    @cached_property
    def judge(self) -> Judge:
        """What trials are judged by."""
        return Judge.of(self.resolved, self.tuning)

    def name(self, variant: str) -> str:
        """Return the name of a variant's Optuna study."""
        return f"{self.resolved.name} {self.resolved.scale}: {variant}"

    def _definitions(self) -> str:
        """Return a digest of the definitions of the scores that decide a trial: others may be added or change."""
        decisive = [self.tuning.score, *(self.resolved.report["reached"] if self.tuning.second else [])]
        return scoring_digest(self.resolved.target, self.resolved.scoring.scores, decisive)

    def identity(self, variant: str) -> dict[str, Any]:
        """Return what makes a variant's trials comparable; more trials, in other batches, stay comparable."""
        study = self.resolved
        searched = {k: v for k, v in self.tuning.settings().items() if k not in ("trials", "batch", "label")}
        searched["space"] = {p["name"]: p for p in searched["space"]}
        goal = study.report["reached"] if self.tuning.second == "missed_rate" else {}
        base = study.variants[variant]
        choices = [apply(base, {p.name: choice}) for p in self.tuning.space for choice in p.choices]
        plugins = {plugin.sha256 for plugin in plugins_of((base, *choices), study.scoring, study.target)}
        return {
            "tune": searched,
            "reached": goal,
            "variant": base.changed(),
            "target": changed(study.target),
            "steps": study.steps,
            "scoring": [study.scoring.changed(), self._definitions()],
            "device": self.plan.device,
            "engine": ENGINE_VERSION,
            **({"plugins": sorted(plugins)} if plugins else {}),
        }

    def tags(self, variant: str, trial: TrialRecord) -> dict[str, str]:
        """Return what leads from a run in the mirror to a trial of a variant."""
        return trial_tags(self.name(variant), trial.number, self.kept_in)

    def note(self, variant: str) -> str:
        """Return what the dashboard says of a variant's Optuna study, in markdown."""
        study, found = self.resolved, self.tuning
        report = self.ledger.directory / "report" / "report.md"
        parts = [
            f"**{study.question}**",
            f"Variant: {variant}, on {study.target.label}, {study.steps:,} steps a replica.",
            f"Objective: {found.score}, the {found.aggregate} over {found.seeds} validation seeds on validation data; "
            f"a replica that failed counts as {found.failed:g}.",
            f"Runs in MLflow: experiment `{study.name}`, `tags.optuna_study = '{self.name(variant)}'`.",
            f"Report: `{report}`",
        ]
        return "\n\n".join(parts)

    def plan_stage(self, stage: Resolved, ledger: Ledger | None, replicas: int) -> Plan:
        """Plan a stage.

        Args:
            stage: Its grid.
            ledger: Where it is recorded; None to plan as if nothing were there.
            replicas: How many of a variant it trains at a time.
        """
        earlier, placed = ledger.begun() if ledger else (None, set[str]())
        return make_plan(
            stage,
            self.plan.device,
            self.command,
            compiler=system.has_compiler(self.plan.device),
            earlier=earlier,
            finished=placed,
            mode=self.mode,
            rounds=rounds(self.resolved, replicas),
        )


def trial_tags(study: str, number: int, storage: str) -> dict[str, str]:
    """Return what leads from a run in the mirror to a trial of an Optuna study."""
    return {"optuna_study": study, "optuna_trial": str(number), "optuna_storage": storage}


def prepare(study: schema.Study, source: str, options: Options) -> Search:
    """Plan the tuning of a study against what its run directory and its storage hold; nothing is written.

    Raises:
        InputError: The study says not how it is tuned, or the run directory or the storage cannot be used.
    """
    ledger, plan = runner.prepare(study, source, options)
    found = plan.study.tune
    if found is None:
        raise InputError(f"{study.place}: tune: missing; expected a section [tune] that says what is searched")
    search = Search(study, ledger, plan, found, runner.command(source, options, "tune"), options.storage, options.mode)
    wanted = {search.name(variant): search.identity(variant) for variant in search.resolved.variants}
    check(ledger.directory, options.storage, wanted)
    return search


def plan_summary(search: Search) -> list[dict[str, Any]]:
    """Return what tuning would train and cost: a dictionary as `listing.plan_summary`'s for each of the three grids."""
    study, found = search.resolved, search.tuning
    won = _winners(search)
    untuned = listing.plan_summary(search.plan, search.ledger) | {"stage": "untuned"}

    trials = search.plan_stage(dataclasses.replace(study, seeds=found.trials * found.seeds), None, found.seeds)
    done = len(search.ledger.search().tolerant().finished())
    # Trials of the same settings, or stopped early, need fewer replicas than there could be.
    left = 0 if won else max(0, len(trials.replicas) - done)
    estimate, share = cost.estimate(trials, list(trials.cohorts)), left / len(trials.replicas)
    searched = listing.plan_summary(trials, search.ledger.search()) | {
        "stage": "search",
        "variants": found.trials * len(study.variants),
        "seeds": found.seeds,
        "to_train": left,
        **({} if left else {"cohorts": []}),
        "estimated_core_seconds": round(share * estimate.core_seconds),
        "estimated_disk_mb": round(share * estimate.disk_bytes / 1e6, 1),
    }

    # Which settings win is known at the end; until then the untuned ones cost about the same.
    ledger = search.ledger.tuned()
    if won:
        tuned = search.plan_stage(dataclasses.replace(study, stage="tuned", variants=won), ledger, study.seeds)
    else:
        tuned = search.plan_stage(study, None, study.seeds)
    return [untuned, searched, listing.plan_summary(tuned, ledger) | {"stage": "tuned"}]


def _winners(search: Search) -> dict[str, Variant]:
    """Return each variant with the settings that won, by `tuning.json`; none while the search is not over.

    Nor is it over by a file of another search: other variants, trials or parameters.
    """
    record, grid = search.ledger.tolerant().tuning(), search.resolved.variants
    if not (record and record.complete and record.variants.keys() == grid.keys()):
        return {}
    if (record.tune.trials, record.tune.space) != (search.tuning.trials, search.tuning.space):
        return {}
    return {variant: apply(base, record.variants[variant].settings) for variant, base in grid.items()}
