"""How the engine's time grows: against replicas, steps, the batch and the widths of the networks, on system A."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.speed.contenders import Contender, in_turn, side_by_side
from benchmarks.speed.roofline import bytes_held, counts
from benchmarks.speed.work import Engine, Place, planned, stacked, study_of, variant_of
from gan.replica import Cohort, Replica

REPLICAS = 32
"""Side by side where something else varies."""
BATCH = 64
EAGER = {
    "replicas": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    "batch": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "width": (8, 16, 32, 64, 128, 256),
}
COMPILED = {"replicas": (2, 8, 32, 128, 512), "batch": (16, 64, 256, 1024), "width": (8, 32, 128)}
"""Fewer: each compiles a program of its own."""
QUICK = {"replicas": (1, 8, 64), "batch": (16, 128, 512), "width": (8, 32, 128)}
MARKS = (1, 64, 250, 500, 1000, 1500)
"""Steps at which the time since the start is looked at."""


def measure(
    place: Place, *, compiler: bool, quick: bool, rounds: int, seconds: float, cores: int, free: float,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure all axes.

    Args:
        place: Where.
        compiler: Whether compiled programs are measured too.
        quick: Three points an axis, none compiled, and no axis of steps.
        rounds: Each point's.
        seconds: Of one round of one point.
        cores: Processes that compile at a time.
        free: Bytes that a step may hold.
        say: Told what goes on.

    Returns:
        One entry a curve: "axis", "compiled", what is held fixed, and "points" of "at", "flops" of one replica-step and
        "rounds" of seconds a step of the whole stack.
    """
    curves: list[dict[str, Any]] = []
    for axis, points in (QUICK if quick else EAGER).items():
        say(f"growth with {axis}, eager")
        curves.append(_curve(axis, points, False, place, rounds, seconds, 1, free))
        if compiler and not quick:
            say(f"growth with {axis}, compiled")
            curves.append(_curve(axis, COMPILED[axis], True, place, rounds, seconds, cores, free))
    if not quick:
        say("growth with steps")
        curves.append(_steps(place, compiler))
    return curves


def point(axis: str, at: int, compiled: bool) -> Engine:
    """Return the cohort of one point: system A with `at` replicas, samples a batch, or numbers in its first layers."""
    replicas, batch = at if axis == "replicas" else REPLICAS, at if axis == "batch" else BATCH
    engine = stacked(study_of("a", batch, replicas), replicas, compiled=compiled)
    return _widened(engine, at) if axis == "width" else engine


def _widened(engine: Engine, width: int) -> Engine:
    """Return system A with each hidden layer wider in proportion, 32 becoming `width`."""
    cohort: Cohort = engine.cohort
    variant = cohort.replicas[0].variant
    unit = variant.generator_hidden[0]
    scaled = dataclasses.replace(
        variant,
        generator_hidden=tuple(h * width // unit for h in variant.generator_hidden),
        discriminator_hidden=tuple(h * width // unit for h in variant.discriminator_hidden),
    )
    members = tuple(Replica(r.id, scaled, r.seed) for r in cohort.replicas)
    return Engine(dataclasses.replace(cohort, replicas=members))


def _curve(
    axis: str, points: tuple[int, ...], compiled: bool, place: Place, rounds: int, seconds: float, cores: int,
    free: float,
) -> dict[str, Any]:  # fmt: skip
    """Measure the points of one axis in turn, in one process, or in one each where they compile at the same time."""
    works = {at: point(axis, at, compiled) for at in points}
    works = {at: w for at, w in works.items() if _held(w) < free}
    each = len(works) if compiled else 1
    processes = [Contender() for _ in range(each)]
    try:
        homes = {at: processes[i % each] for i, at in enumerate(works)}
        side_by_side([lambda at=at, w=w: homes[at].build(w, place, str(at)) for at, w in works.items()], cores)
        chosen = {at: homes[at].calibrate(seconds, str(at)) for at in works}
        timed = in_turn({at: lambda at=at: homes[at].steps(chosen[at], str(at)) for at in works}, rounds)
    finally:
        for process in processes:
            process.__exit__(None, None, None)
    fixed = {"replicas": REPLICAS, "batch": BATCH, "width": 32}
    return {
        "axis": axis,
        "compiled": compiled,
        "fixed": {name: value for name, value in fixed.items() if name != axis},
        "points": [
            {
                "at": at,
                **counts(w.cohort.replicas[0].variant, (1,)),
                "rounds": [{clock: t[clock] / chosen[at] for clock in t} for t in timed[at]],
            }
            for at, w in works.items()
        ],
    }


def _held(engine: Engine) -> float:
    return bytes_held(engine.cohort.replicas[0].variant, (1,), engine.replicas)


def _steps(place: Place, compiler: bool) -> dict[str, Any]:
    """Follow one cohort of the plan from the start of its process: seconds until each of `MARKS`."""
    study = study_of("a", BATCH, REPLICAS)
    work = planned(study, place.device, compiler)
    with Contender() as process:
        built = process.build(work, place)
        passed = {clock: built["build_seconds"] + built["first_seconds"] for clock in ("wall", "cpu")}
        points = [{"at": 1, "rounds": [dict(passed)]}]
        for before, mark in pairwise(MARKS):
            took = process.steps(mark - before)
            passed = {clock: passed[clock] + took[clock] for clock in passed}
            points.append({"at": mark, "rounds": [dict(passed)]})
    for mark in points:
        mark |= counts(variant_of(study), (1,))
    fixed = {"replicas": work.replicas, "batch": BATCH, "width": 32}
    return {"axis": "steps", "compiled": work.cohort.compiled, "fixed": fixed, "points": points}
