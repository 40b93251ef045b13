"""What a plan costs, estimated from work counted in the variants, for a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.planning.plan import COMPILE_SECONDS, Plan
from gan.model.flops import flops_per_step, weights
from gan.replica import Cohort, cohort_shape

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
    shape = plan.study.target.shape
    seconds = steps = disk = 0.0
    for cohort in cohorts:
        variant = cohort.replicas[0].variant
        each = OVERHEAD_SECONDS[plan.device] + flops_per_step(variant, shape) / FLOPS_PER_SECOND[plan.device]
        steps += len(cohort.replicas) * cohort.steps
        seconds += len(cohort.replicas) * cohort.steps * each
        disk += len(cohort.replicas) * (4 * weights(variant, shape) + 100_000)
    shapes = {cohort_shape(c.replicas[0].variant) for c in cohorts if c.compiled}
    return Cost(int(steps), seconds + COMPILE_SECONDS * len(shapes), int(disk))


def spread(plans: list[dict[str, Any]], nodes: int, workers: int) -> None:
    """Add to plans how long they take on many machines: no less than their longest cohort.

    Args:
        plans: From `benchmarks.planning.listing.plan_summary`.
        nodes: Machines.
        workers: Cohorts that train at once on each.
    """
    for plan in plans:
        shared = plan["estimated_core_seconds"] / (nodes * workers)
        longest = min(plan["longest_cohort_seconds"], plan["estimated_core_seconds"])
        plan |= {"nodes": nodes, "workers_a_node": workers, "estimated_hours": max(shared, longest) / 3600}
        plan["limited_by"] = "the longest cohort" if longest > shared else "the work in all"


def told(plans: list[dict[str, Any]]) -> str:
    """Say what plans take that were `spread`, one after the other; and which of them more machines do not help."""
    replicas, cohorts = sum(plan["to_train"] for plan in plans), sum(len(plan["cohorts"]) for plan in plans)
    lines = [
        f"On {plans[0]['nodes']} nodes of {plans[0]['workers_a_node']} workers: {replicas:,} replicas in {cohorts:,} "
        f"cohorts, about {sum(plan['estimated_hours'] for plan in plans):.2g} hours and "
        f"{sum(plan['estimated_disk_mb'] for plan in plans):,.0f} MB on the disk."
    ]
    for plan in plans:
        if plan["limited_by"] == "the longest cohort":
            name, minutes = f"{plan['study']} {plan.get('stage', '')}".strip(), plan["longest_cohort_seconds"] / 60
            lines.append(f"{name}: its longest cohort takes {minutes:.1f} minutes; more nodes do not help.")
    return "\n".join(lines)
