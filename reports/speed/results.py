"""What `speed.json` says once it is worked out: times, ratios, shares of the machine's peaks, fits and goals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMITED = 1 / 3
"""A step that reaches less than this share of both peaks is limited by neither, but by overhead."""

AS_WRITTEN = "as written"


@dataclass(frozen=True)
class Ratio:
    """How many times as fast: the median over rounds, and the least and the most."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One way of training so many replicas, measured."""

    asked: int
    """Replicas that were to be trained."""
    replicas: int
    """Of them at a time."""
    planned: bool
    how: str
    """Such as ``32 side by side, compiled``."""
    compiled: bool
    side_by_side: bool
    """All that were asked for train at once."""
    seconds: float
    """Of a replica-step, the median."""
    ratio: Ratio
    """To the plain loop as written."""
    fairest: Ratio
    """To the plain loop in the style that is fastest here."""
    processes: float | None
    """To one plain process a run."""
    peak_share: float
    bandwidth_share: float
    bound_share: float
    """Of the least time that the machine's peaks allow."""
    peak_bytes: int
    first_seconds: float

    @property
    def rate(self) -> float:
        """Replica-steps a second."""
        return 1.0 / self.seconds

    @property
    def limit(self) -> str:
        """What limits it."""
        if max(self.peak_share, self.bandwidth_share) < LIMITED:
            return "overhead"
        return "arithmetic" if self.peak_share >= self.bandwidth_share else "memory"


@dataclass(frozen=True)
class Fit:
    """Seconds a step as fixed + each · x, by least squares on the relative error, neither negative."""

    fixed: float
    each: float
    worst: float
    """The largest relative error."""

    @property
    def knee(self) -> float:
        """Where both parts are equal: below it the time is all but flat, beyond it all but proportional."""
        return self.fixed / self.each if self.each else math.inf


def clock(measured: Mapping[str, Any]) -> str:
    """Return the clock that times are taken from: the processor's, but for a GPU, which it does not see."""
    return "cpu" if measured["device"] == "cpu" else "wall"


def peaks(measured: Mapping[str, Any], tf32: bool = False) -> dict[str, float]:
    """Return the best "product", "batched" product and "bandwidth" of both measurements, each a second."""
    wanted = "tf32" if tf32 else "float32"

    def best(kind: str) -> float:
        found = [p["flops_per_second"] for told in measured["peaks"] for p in told[kind] if p["precision"] == wanted]
        return max(found)

    bandwidth = max(told["bandwidth"] for told in measured["peaks"])
    return {"product": best("products"), "batched": best("batched"), "bandwidth": bandwidth}


def bound(measured: Mapping[str, Any], system: Mapping[str, Any]) -> float:
    """Return the least seconds of one replica-step that the peaks allow: of its arithmetic or of its traffic."""
    most = peaks(measured, system["tf32"])
    return max(system["flops"] / max(most["product"], most["batched"]), system["bytes"] / most["bandwidth"])


def plain_seconds(measured: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the seconds a step of the plain loop in each style, of all its rounds."""
    told: dict[str, list[float]] = {}
    for row in system["plain"]:
        rounds = [t for group in system["groups"] for t in group["plain"][row["style"]]]
        told[row["style"]] = [t[clock(measured)] / row["steps_a_round"] for t in rounds]
    return told


def process_seconds(measured: Mapping[str, Any], system: Mapping[str, Any]) -> float | None:
    """Return the seconds a replica-step that one plain process a run takes, start-up included.

    On a CPU those of the processor; on CUDA those of the clock, all processes sharing the GPU.
    """
    if not system["processes"]:
        return None
    which = clock(measured)
    return statistics.median(p[which] / (p["runs"] * p["steps"]) for p in system["processes"])


def rows(measured: Mapping[str, Any], system: Mapping[str, Any]) -> list[Row]:
    """Work out every way of training that was measured, in the file's order."""
    steps = {row["style"]: row["steps_a_round"] for row in system["plain"]}
    found: list[Row] = []
    for group in system["groups"]:
        for row in group["rows"]:
            home, its = _measured(system, group, row)
            if its is not None:
                found.append(_row(measured, system, group["replicas"], row, home, its, steps))
    return found


def unmeasured(system: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return what was not measured: replicas, how, and why."""
    return [
        (group["replicas"], how(row), row["reason"])
        for group in system["groups"]
        for row in group["rows"]
        if row["reason"] is not None
    ]


def how(row: Mapping[str, Any]) -> str:
    """Say how replicas are trained: how many side by side, compiled or not."""
    if row["mode"] == "loop":
        return "one after the other" + (", compiled" if row["compiled"] else "")
    padded = f" (of {row['width']} places)" if row["width"] != row["replicas"] else ""
    beside = f"{row['replicas']} side by side" if row["replicas"] > 1 else "alone"
    return f"{beside}{padded}, {'compiled' if row['compiled'] else 'eager'}"


def _measured(
    system: Mapping[str, Any], group: Mapping[str, Any], row: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return where a row's rounds are, in its own group or in an earlier one with the same cohort."""
    if row["same_as"] is None:
        return group, row if row["reason"] is None else None
    home = next(g for g in system["groups"] if g["replicas"] == row["same_as"])
    keys = ("mode", "compiled", "width", "replicas")
    same = (r for r in home["rows"] if r["same_as"] is None and all(r[k] == row[k] for k in keys))
    return home, next(same)


def _row(
    measured: Mapping[str, Any],
    system: Mapping[str, Any],
    asked: int,
    row: Mapping[str, Any],
    home: Mapping[str, Any],
    its: Mapping[str, Any],
    steps: Mapping[str, int],
) -> Row:
    which, most = clock(measured), peaks(measured, system["tf32"])
    each = [t[which] / its["steps_a_round"] / its["replicas"] for t in its["rounds"]]
    plain = {style: [t[which] / steps[style] for t in home["plain"][style]] for style in steps}
    fastest = min(plain, key=lambda style: statistics.median(plain[style]))
    seconds, processes = statistics.median(each), process_seconds(measured, system)
    return Row(
        asked=asked,
        replicas=row["replicas"],
        planned=row["planned"],
        how=how(row),
        compiled=row["compiled"],
        side_by_side=row["mode"] == "vmap" and row["width"] == asked,
        seconds=seconds,
        ratio=_ratio(plain[AS_WRITTEN], each),
        fairest=_ratio(plain[fastest], each),
        processes=processes and processes / seconds,
        peak_share=system["flops"] / seconds / max(most["product"], most["batched"]),
        bandwidth_share=system["bytes"] / seconds / most["bandwidth"],
        bound_share=bound(measured, system) / seconds,
        peak_bytes=its["peak_bytes"],
        first_seconds=its["first_seconds"],
    )


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class WholeStudy:
    """A whole study by `ganbench run` beside one plain process a run, on all cores."""

    batch: int
    runs: int
    steps: int
    plain_seconds: float
    """On the clock, for all runs, scaled from the processes that were timed."""
    ours: tuple[float, ...]
    """On the clock: with a cold cache of compiled programs, then with a warm one."""
    ratios: tuple[float, ...]
    core_ratios: tuple[float, ...]
    """The same by the processor's seconds, which other work on the machine does not lengthen."""


def whole_studies(measured: Mapping[str, Any]) -> list[WholeStudy]:
    """Work out the studies that were timed whole."""
    found: list[WholeStudy] = []
    for told in measured["studies"]:
        if "reason" in told:
            continue
        runs = told["runs"]
        wall, cpu = (statistics.median(p[c] / p["runs"] for p in told["plain"]) * runs for c in ("wall", "cpu"))
        found.append(
            WholeStudy(
                batch=told["batch"],
                runs=runs,
                steps=told["steps"],
                plain_seconds=wall,
                ours=tuple(t["wall"] for t in told["ours"]),
                ratios=tuple(wall / t["wall"] for t in told["ours"]),
                core_ratios=tuple(cpu / t["cpu"] for t in told["ours"]),
            )
        )
    return found


def fit(x: Sequence[float] | np.ndarray, seconds: Sequence[float] | np.ndarray) -> Fit:
    """Fit seconds = fixed + each · x, the relative errors least in square and neither term negative.

    Args:
        x: What grows, two values or more.
        seconds: Measured at each.
    """
    from scipy.optimize import nnls

    at, took = np.asarray(x, float), np.asarray(seconds, float)
    columns = np.stack([np.ones_like(at), at / at.max()], axis=1) / took[:, None]
    (fixed, scaled), _ = nnls(columns, np.ones_like(at))
    each = scaled / at.max()
    return Fit(float(fixed), float(each), float(np.abs((fixed + each * at) / took - 1).max()))


def curve(measured: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, Fit, float]:
    """Work out one curve of growth.

    Returns:
        Where it was measured and the median seconds there, both [points]; the fit, against operations where widths
        grow, as a step's work is not proportional to them; and the knee on the curve's own axis.
    """
    points = told["points"]
    at = np.array([p["at"] for p in points], float)
    seconds = np.array([statistics.median(t[clock(measured)] for t in p["rounds"]) for p in points])
    if told["axis"] != "width":
        fitted = fit(at, seconds)
        return at, seconds, fitted, fitted.knee
    flops = np.array([p["flops"] for p in points], float)
    fitted = fit(flops, seconds)
    # Operations grow smoothly with the widths: on logarithmic axes all but a straight line between two points.
    knee = math.exp(np.interp(math.log(max(fitted.knee, 1e-300)), np.log(flops), np.log(at)))
    return at, seconds, fitted, knee
