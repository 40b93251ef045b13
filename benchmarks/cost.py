"""What a plan costs, estimated from work counted in the variants, for a dry run."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.plan import COMPILE_SECONDS, Plan
from gan.flops import flops_per_step, parameters
from gan.replica import Cohort

# Seconds a replica-step costs beyond its arithmetic, and arithmetic a second, by kind of device: round numbers
# that hold within a factor of two on the machines we measured.
OVERHEAD_SECONDS = {"cpu": 1.0e-4, "cuda": 1.0e-6}
FLOPS_PER_SECOND = {"cpu": 3.0e10, "cuda": 5.0e12}


@dataclass(frozen=True)
class Cost:
    """An estimate for one plan."""

    replica_steps: int
    core_seconds: float
    """Seconds of one core (or one GPU)."""
    disk_bytes: int


def estimate(plan: Plan, cohorts: list[Cohort]) -> Cost:
    """Estimate what training `cohorts` of a plan costs."""
    dimension = plan.study.target.dimension
    seconds = steps = disk = 0.0
    for cohort in cohorts:
        variant = cohort.replicas[0].variant
        each = OVERHEAD_SECONDS[plan.device] + flops_per_step(variant, dimension) / FLOPS_PER_SECOND[plan.device]
        steps += len(cohort.replicas) * cohort.steps
        seconds += len(cohort.replicas) * cohort.steps * each
        disk += len(cohort.replicas) * (4 * parameters(variant, dimension) + 100_000)
    shapes = {c.replicas[0].variant.shape() for c in cohorts if c.compiled}
    return Cost(int(steps), seconds + COMPILE_SECONDS * len(shapes), int(disk))
