"""What the page says of growth: where a curve leaves its flat part, and why there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reports.speed import results as results
from reports.study.tables import number

NAMES = {"replicas": "replicas", "batch": "samples a batch", "width": "numbers wide", "steps": "steps"}


def growth_table(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row a curve: its fixed part, the part that grows, and where they are equal."""
    rows: list[dict[str, str]] = []
    for told in measured["growth"]:
        _, _, fitted, knee = results.curve(measured, told)
        per = {"width": "million operations", "batch": "sample", "steps": "step", "replicas": "replica"}[told["axis"]]
        each = fitted.each * (1e6 / told["fixed"]["replicas"] if told["axis"] == "width" else 1.0)
        rows.append(
            {
                "against": told["axis"],
                "program": _program(told),
                "fixed, ms": number(1e3 * fitted.fixed),
                "each, ms": f"{number(1e3 * each)} a {per}",
                "both equal at": _place(knee, told),
                "worst error of the fit": f"{100 * fitted.worst:.0f} %",
            }
        )
    return rows


def growth_lines(measured: Mapping[str, Any]) -> list[str]:
    """Return a sentence or two a curve: where it leaves its flat part, and what explains it."""
    return [_line(measured, told) for told in measured["growth"]]


def _line(measured: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    at, seconds, fitted, knee = results.curve(measured, told)
    head = f"**{told['axis'].capitalize()}, {_program(told)}** ({_fixed(told)})"
    if told["axis"] == "steps":
        return (
            f"{head}: {number(fitted.fixed)} s of building{' and compiling' if told['compiled'] else ''}, then "
            f"{number(1e3 * fitted.each)} ms a step; it takes {_place(knee, told)} for the training to cost as much as "
            "what comes before it."
        )
    if fitted.fixed == 0:
        flat = "no flat part: the time is proportional from the first point on"
    elif knee <= at[0]:
        flat = f"already past its flat part at {number(at[0])} {NAMES[told['axis']]}"
    elif knee >= at[-1]:
        flat = f"all but flat to the last point, {number(at[-1])} {NAMES[told['axis']]}"
    else:
        flat = f"leaves the flat part at {_place(knee, told)}"
    return f"{head}: {flat}. {_why(measured, told, seconds, fitted)}{_bend(at, seconds, fitted)}"


def _why(measured: Mapping[str, Any], told: Mapping[str, Any], seconds: Any, fitted: results.Fit) -> str:
    """Explain the flat part by what a step costs whatever it holds, and the rise by the share of the peak there."""
    most = results.peaks(measured)
    last = told["points"][-1]
    stack = last["at"] if told["axis"] == "replicas" else told["fixed"]["replicas"]
    share = last["flops"] * stack / float(seconds[-1]) / max(most["product"], most["batched"])
    first = told["points"][0]
    few = first["at"] if told["axis"] == "replicas" else told["fixed"]["replicas"]
    start = first["flops"] * few / float(seconds[0]) / max(most["product"], most["batched"])
    source = (
        "calling one program and drawing each replica's numbers"
        if told["compiled"]
        else "telling the machine each of its operations one by one"
    )
    return (
        f"A step costs {number(1e3 * fitted.fixed)} ms before it computes anything, {source}, and reaches "
        f"{_percent(start)} of the matrix-product peak at the first point; where its work outweighs that it reaches "
        f"{_percent(share)} at the last."
    )


def _bend(at: Any, seconds: Any, fitted: results.Fit) -> str:
    """Say where the points leave the line, if they do."""
    if fitted.worst < 0.25:
        return ""
    return (
        f" The line misses by up to {100 * fitted.worst:.0f} %: the cost of one more is not the same everywhere, as "
        "where a stack outgrows a cache."
    )


def _fixed(told: Mapping[str, Any]) -> str:
    units = {"replicas": "replicas", "batch": "samples a batch", "width": "wide"}
    return ", ".join(f"{value} {units[name]}" for name, value in told["fixed"].items())


def _place(knee: float, told: Mapping[str, Any]) -> str:
    if math.isinf(knee):
        return "never"
    return f"{float(f'{knee:.2g}'):,g} {NAMES[told['axis']]}"


def _program(told: Mapping[str, Any]) -> str:
    return "compiled" if told["compiled"] else "eager"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"
