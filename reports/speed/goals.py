"""What was hoped for, set beside what was measured: each goal met or missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reports.speed import results as results
from reports.study.tables import number

COLD, WARM = 0, 1


@dataclass(frozen=True)
class Goal:
    """A goal and what came of it."""

    text: str
    wanted: float
    found: float | None
    """None where it was not measured."""
    told: str
    """What was found, in words."""
    percent: bool = False

    @property
    def outcome(self) -> str:
        """Met, missed, or not measured."""
        if self.found is None:
            return "not measured"
        return "met" if self.found >= self.wanted else "missed"


def goals(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row a goal of this kind of device; none for a device without goals."""
    found = list(_on_cpu(measured) if measured["device"] == "cpu" else _on_cuda(measured))
    return [{"goal": g.text, "measured": g.told or "–", "": g.outcome} for g in found]


def headlines(measured: Mapping[str, Any]) -> list[str]:
    """Return the page's answer, a sentence a system, and how many goals were met."""
    said: list[str] = []
    for system in measured["systems"]:
        rows = [row for row in results.rows(measured, system) if row.planned]
        if not rows:
            continue
        best = max(rows, key=lambda row: row.ratio.median)
        beside = f" and {number(best.processes)} times one plain process a run" if best.processes else ""
        where = "on one core" if measured["device"] == "cpu" else "on the GPU"
        said.append(
            f"System {system['system'].upper()}, batch {system['batch']}: at best {number(best.ratio.median)} times "
            f"the plain loop {where}{beside}, with {counted(best.asked)}, {best.how}; "
            f"{100 * best.bound_share:.0f} % of what the machine's peaks allow."
        )
    judged = [row[""] for row in goals(measured)]
    if judged:
        said.append(
            f"Of {len(judged)} goals {judged.count('met')} are met, {judged.count('missed')} missed and "
            f"{judged.count('not measured')} not measured."
        )
    return said


def counted(replicas: int) -> str:
    """Return "1 replica" or "32 replicas"."""
    return f"{replicas} replica{'s' if replicas > 1 else ''}"


def _on_cpu(measured: Mapping[str, Any]) -> Iterator[Goal]:
    yield _against_the_loop(measured, "a", 512, 32, 4.0)
    yield _against_the_loop(measured, "a", 64, 128, 25.0)
    for batch, wanted in ((512, 4.0), (64, 15.0)):
        for cache, name in ((COLD, "cold"), (WARM, "warm")):
            yield _whole_study(measured, batch, wanted, cache, name)
    system = _system(measured, "c", 64)
    rows = [r for r in results.rows(measured, system) if r.planned] if system else []
    worst = min(rows, key=lambda row: row.ratio.median, default=None)
    told = f"{number(worst.ratio.median)} times at {counted(worst.asked)}, the slowest" if worst else ""
    text = "System C as fast as the plain loop at every number of replicas"
    yield Goal(text, 1.0, worst.ratio.median if worst else None, told)


def _on_cuda(measured: Mapping[str, Any]) -> Iterator[Goal]:
    for wanted, name in ((500.0, ""), (1000.0, " (a stretch)")):
        yield _at_best(measured, "a", 512, wanted, name)
    best = _fastest(measured, "a", 512)
    told = f"{100 * best.bound_share:.0f} % with {counted(best.asked)}" if best else ""
    text = "System A, batch 512: 30 % of what the machine's peaks allow, at the best width"
    yield Goal(text, 0.3, best.bound_share if best else None, told)
    for name, batch in (("c", 64), ("d", 128)):
        yield _at_best(measured, name, batch, 10.0, ", both with TF32")


def _against_the_loop(measured: Mapping[str, Any], name: str, batch: int, replicas: int, wanted: float) -> Goal:
    """Judge the plan's way of training so many replicas, core against core."""
    system = _system(measured, name, batch)
    rows = results.rows(measured, system) if system else []
    row = next((r for r in rows if r.planned and r.asked == replicas), None)
    text = f"System {name.upper()}, batch {batch}, {replicas} replicas: {wanted:.0f} times the plain loop, a core"
    if row is None:
        return Goal(text, wanted, None, "")
    most = number(row.ratio.median / row.bound_share)
    told = f"{number(row.ratio.median)} times, where the machine's product peak would give {most}"
    return Goal(text, wanted, row.ratio.median, told)


def _whole_study(measured: Mapping[str, Any], batch: int, wanted: float, cache: int, name: str) -> Goal:
    """Judge a whole study on all cores, by the processor's seconds where other work may have lengthened the clock's."""
    study = next((s for s in results.whole_studies(measured) if s.batch == batch), None)
    text = f"A whole study of system A, batch {batch}, {name} cache: {wanted:.0f} times one plain process a run"
    if study is None or cache >= len(study.ours):
        return Goal(text, wanted, None, "")
    told = f"{number(study.ratios[cache])} times ({number(study.core_ratios[cache])} by the processor's seconds)"
    return Goal(text, wanted, study.ratios[cache], told)


def _at_best(measured: Mapping[str, Any], name: str, batch: int, wanted: float, more: str) -> Goal:
    best = _fastest(measured, name, batch)
    text = f"System {name.upper()}, batch {batch}, at the best width{more}: {wanted:,.0f} times the plain loop"
    told = f"{number(best.ratio.median)} times with {counted(best.asked)}" if best else ""
    return Goal(text, wanted, best.ratio.median if best else None, told)


def _fastest(measured: Mapping[str, Any], name: str, batch: int) -> results.Row | None:
    system = _system(measured, name, batch)
    return max(results.rows(measured, system), key=lambda row: row.rate, default=None) if system else None


def _system(measured: Mapping[str, Any], name: str, batch: int) -> Mapping[str, Any] | None:
    return next((s for s in measured["systems"] if (s["system"], s["batch"]) == (name, batch)), None)
