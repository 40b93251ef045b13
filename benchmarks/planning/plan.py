"""The plan of a run: which replicas, in which cohorts, trained how.

It follows from the study and the kind of device alone and is written into the run directory before anything is
trained. What it holds is never chosen again: a resumed run trains the same cohorts in the same way.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gan.errors import InputError
from gan.model.flops import flops_per_step
from gan.plugins.registry import compilable
from gan.replica import (
    PROGRAMS,
    Cohort,
    Mode,
    Replica,
    Scoring,
    batch_shapes,
    cohort_shape,
    digest_of,
    plugins_of,
    replica_id,
    width_for,
)
from gan.targets import Target, make_target
from gan.variant import PER_REPLICA, Variant
from reports.ledger.records import PlannedCohort, PlannedReplica, PlannedReport, PlannedStudy, PlanRecord, decided_by
from studies.fit import check_device
from studies.published import PublishedFigure
from studies.schema import Resolved

# Replicas side by side. On a CPU the gain has flattened out by 32; on a GPU a wider program fills the machine.
MAX_WIDTH = {"cpu": 32, "cuda": 256}

# A step with this much work for each replica gains nothing from more neighbours than 16 on a CPU, and two narrower
# cohorts can train on two cores.
LARGE_STEP_FLOPS = 3e7
LARGE_STEP_WIDTH = 16

# A loop gains nothing from longer cohorts: short ones spread over the cores and are recorded as they finish.
LOOP_WIDTH = 2

# Compiling costs seconds in each process that trains a shape, and then saves part of every replica-step (measured on a
# CPU, of system A: 0.3 ms of 0.35 at batch 64, 1.0 of 1.5 at 512; of MNIST's networks 3 to 8 ms, a half of it; it saves
# less against traced steps, which came later: reports/published/speed). A group of cohorts of one shape is compiled
# where it saves twice what it costs: short runs are not.
COMPILE_SECONDS = 25.0
SAVED_SECONDS = 1.5e-4
SAVED_SECONDS_PER_FLOP = 1 / 8e10

# Convolutions this large keep a core busy one replica at a time; stacked they only crowd its caches, and compiled
# they are no faster.
LOOPED_CONV_FLOPS = 2e9


@dataclass(frozen=True)
class Plan:
    """What a run is to train."""

    study: Resolved
    device: str
    command: str
    replicas: dict[str, tuple[str, int]]
    """Replica id to (variant name, seed), in the study's order: what the report is about."""
    cohorts: tuple[Cohort, ...]
    """Largest first, so that the last worker to finish is not late; among them any of earlier runs."""
    retired: tuple[PlannedCohort, ...] = ()
    """Cohorts of earlier plans with replicas that are not asked for now."""

    def missing(self, finished: set[str]) -> list[Cohort]:
        """Return what there is to train: cohorts without a result, and of those recorded in part the rest."""
        left = [(c, tuple(r for r in c.replicas if r.id not in finished)) for c in self.cohorts]
        return [c.part(rest) for c, rest in left if any(r.id in self.replicas for r in rest)]

    def plugins(self) -> dict[str, str]:
        """Return the sha256 of the source of each plugin that decides a result, by the module's name."""
        study = self.study
        needed = plugins_of(study.variants.values(), study.scoring, study.target)
        return {plugin.module: plugin.sha256 for plugin in needed}

    def record(self) -> PlanRecord:
        """Return the run directory's `plan.json`."""
        study, retired = self.study, list(self.retired)
        cohorts = [_planned(cohort) for cohort in self.cohorts]
        return PlanRecord(
            study=PlannedStudy(
                name=study.name,
                title=study.title,
                question=study.question,
                scale=study.scale,
                stage=study.stage,
                target=study.target_settings,
                target_label=study.target.label,
                steps=study.steps,
                first_seed=study.first_seed,
                scoring=dataclasses.asdict(study.scoring) | {"scores": list(study.scoring.scores)},
                factors=study.factors,
                reference=study.reference,
                overrides=study.overrides,
                report=PlannedReport(**study.report),
                claims=list(study.claims),
                claim_texts={str(number): text for number, text in study.claims.items()},
                checks=study.checks,
                published=[PublishedFigure(**figure) for figure in study.published],
            ),
            device=self.device,
            command=self.command,
            plugins=self.plugins(),
            variants={name: variant.settings() for name, variant in study.variants.items()},
            levels=study.levels,
            replicas=[PlannedReplica(id, variant, seed) for id, (variant, seed) in self.replicas.items()],
            cohorts=cohorts,
            retired=retired,
            decided=decided_by(cohorts, retired),
        )


def make_plan(
    study: Resolved,
    device: str,
    command: str,
    *,
    compiler: bool,
    earlier: PlanRecord | None = None,
    finished: Collection[str] = (),
    mode: Mode | None = None,
    rounds: int = 1,
) -> Plan:
    """Plan a study.

    Args:
        study: At one scale.
        device: ``cpu`` or ``cuda``.
        command: What a person types to run this again.
        compiler: Whether torch.compile has what it needs here.
        earlier: The plan already in the run directory: its cohorts stay as they are.
        finished: Replicas that have a result; only those outside every cohort and without one are partitioned.
        mode: Instead of the mode chosen by measurement.
        rounds: How many plans like this one follow each other, of a search: a compiled program serves them all.

    Raises:
        InputError: The study asks for a precision that the device has not.
    """
    check_device(study.name, study.variants, study.tune.space if study.tune else (), device)
    names: dict[str, tuple[str, int]] = {}
    replicas: dict[str, Replica] = {}
    for name, variant in study.variants.items():
        for seed in range(study.first_seed, study.first_seed + study.fewer_seeds.get(name, study.seeds)):
            id = replica_id(variant, seed, target=study.target, steps=study.steps, scoring=study.scoring, device=device)
            names[id] = (name, seed)
            replicas[id] = Replica(id, variant, seed)

    kept: list[Cohort] = []
    retired: list[PlannedCohort] = []
    placed: set[str] = set()
    for _, old in earlier.every_cohort() if earlier else ():
        # A cohort with a replica that is not asked for today waits for the day it is.
        if not all(id in replicas for id in old.replicas):
            retired.append(old)
        elif placed.isdisjoint(old.replicas):
            members = [replicas[id] for id in old.replicas]
            kept.append(_cohort(members, study, old.mode, old.compiled, old.width, tuple(old.losses)))
            placed.update(old.replicas)
    settled = placed.union(finished)
    groups: dict[tuple[Any, ...], list[Replica]] = defaultdict(list)
    for replica in replicas.values():
        if replica.id not in settled:
            groups[cohort_shape(replica.variant)].append(replica)
    fresh = [cohort for group in groups.values() for cohort in _partition(group, study, device, compiler, mode, rounds)]
    cohorts = tuple(sorted([*kept, *fresh], key=_work, reverse=True))
    return Plan(study, device, command, names, cohorts, tuple(retired))


def rounds(study: Resolved, replicas: int) -> int:
    """Return how often the tuning of a study trains `replicas` a variant, in all its stages; 1 without tuning."""
    if study.tune is None or any(p.name not in PER_REPLICA for p in study.tune.space):
        return 1  # where shapes are searched, none may come again
    return max(1, round((study.tune.trials * study.tune.seeds + 2 * study.seeds) / replicas))


def _partition(
    group: list[Replica], study: Resolved, device: str, compiler: bool, mode: Mode | None, rounds: int
) -> list[Cohort]:
    """Cut replicas of one shape into cohorts of one width, so that one compiled program serves them all."""
    variant, shape = group[0].variant, study.target.shape
    large = device == "cpu" and flops_per_step(variant, shape) > LARGE_STEP_FLOPS
    alone: Mode | None = "loop" if len(group) == 1 else None  # side by side with its own copy it takes twice as long
    chosen = mode or alone or choose_mode(variant, shape, device)
    most = LOOP_WIDTH if chosen == "loop" else LARGE_STEP_WIDTH if large else MAX_WIDTH[device]
    count = math.ceil(len(group) / most)
    share = max(2, math.ceil(len(group) / count))
    width = width_for(variant, shape, share)
    # Seed by seed, so that a cohort holds whole sets of variants and each finished one says something of all.
    group = sorted(group, key=lambda r: r.seed)
    compiled = compiler and compilable(variant) and batch_shapes(variant, study.target) <= PROGRAMS
    compiled = compiled and compiling_pays(variant, shape, device, rounds * len(group) * study.steps)
    losses = tuple(sorted({r.variant.loss for r in group}))
    parts = (group[i : i + share] for i in range(0, len(group), share))
    return [_cohort(part, study, chosen, compiled, 1 if chosen == "loop" else width, losses) for part in parts]


def choose_mode(variant: Variant, shape: tuple[int, ...], device: str) -> Mode:
    """Return the mode that was measured to be faster for a shape."""
    large_conv = variant.discriminator == "conv" and flops_per_step(variant, shape) > LOOPED_CONV_FLOPS
    return "loop" if large_conv and device == "cpu" else "vmap"


def compiling_pays(variant: Variant, shape: tuple[int, ...], device: str, replica_steps: float) -> bool:
    """Return whether a group of this shape saves, compiled, twice what compiling costs."""
    if choose_mode(variant, shape, device) == "loop":
        return False
    saved = replica_steps * (SAVED_SECONDS + flops_per_step(variant, shape) * SAVED_SECONDS_PER_FLOP)
    return saved > 2 * COMPILE_SECONDS


def _cohort(
    replicas: list[Replica], study: Resolved, mode: Mode, compiled: bool, width: int, losses: tuple[str, ...]
) -> Cohort:
    return Cohort(
        id=digest_of([r.id for r in replicas]),
        replicas=tuple(replicas),
        target=study.target,
        steps=study.steps,
        scoring=study.scoring,
        mode=mode,
        compiled=compiled,
        width=width,
        losses=losses,
        plugins=_import_specs(replicas, study.scoring, study.target, losses),
    )


def _import_specs(
    replicas: Sequence[Replica], scoring: Scoring, target: Target, losses: Sequence[str]
) -> tuple[str, ...]:
    return tuple(p.import_spec for p in plugins_of([r.variant for r in replicas], scoring, target, losses))


def _work(cohort: Cohort) -> tuple[int, int, str, str]:
    """Order cohorts by how long they take: conv discriminators first, then by replica-steps.

    Those of one shape stand together: a worker keeps few compiled programs.
    """
    variant = cohort.replicas[0].variant
    return (
        int(variant.discriminator == "conv"),
        len(cohort.replicas) * cohort.steps,
        repr(cohort_shape(variant)),
        cohort.id,
    )


def _planned(cohort: Cohort) -> PlannedCohort:
    """Return a cohort as `plan.json` has it; the losses of its step only where there are several."""
    losses = {"losses": list(cohort.losses)} if len(cohort.losses) > 1 else {}
    return PlannedCohort(
        id=cohort.id,
        mode=cohort.mode,
        compiled=cohort.compiled,
        width=cohort.width,
        replicas=[replica.id for replica in cohort.replicas],
        **losses,
    )


def cohort_of_one(plan: PlanRecord, id: str) -> Cohort:
    """Return a cohort that trains one replica of a plan again, as planned: in its mode, width and place.

    Raises:
        InputError: The plan does not know the replica.
    """
    planned = next((replica for replica in plan.replicas if replica.id == id), None)
    trained = next((cohort for _, cohort in plan.every_cohort() if id in cohort.replicas), None)
    if planned is None or trained is None:
        raise InputError(f"{id}: not in the present plan of its study; run the study with the seeds that had it")
    settings = dict(plan.study.target)
    target = make_target(settings.pop("name"), **settings)
    variant = Variant.from_settings(plan.variants[planned.variant])
    scoring = Scoring.from_settings(plan.study.scoring)
    replicas = (Replica(id, variant, planned.seed),)
    return Cohort(
        id=id,
        replicas=replicas,
        target=target,
        steps=plan.study.steps,
        scoring=scoring,
        mode=trained.mode,
        compiled=trained.compiled,
        width=trained.width,
        places=() if trained.mode == "loop" else (trained.replicas.index(id),),
        losses=tuple(trained.losses),
        plugins=_import_specs(replicas, scoring, target, trained.losses),
    )
