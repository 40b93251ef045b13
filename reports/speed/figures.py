"""The figures of the page on speed, drawn from `speed.json`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.figures import primitives as draw
from reports.figures.layout import Picture
from reports.speed import results as results

WAYS = ("as the plan trains them", "side by side, compiled", "side by side, eager")
LINES: dict[str, dict[str, Any]] = {
    "plain loop as written": {"color": "0.25", "linestyle": "-", "linewidth": 1.1},
    "plain loop at its fairest": {"color": "0.25", "linestyle": (0, (4, 2)), "linewidth": 1.1},
    "one plain process a run": {"color": "0.25", "linestyle": (0, (1, 1.5)), "linewidth": 1.1},
    "bound by the machine's peaks": {"color": "0.6", "linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.1},
}
AXES = {
    "replicas": "replicas side by side",
    "batch": "samples a batch",
    "width": "numbers in the first hidden layer",
    "steps": "steps",
}


def pictures(measured: Mapping[str, Any]) -> Iterator[Picture]:
    """Draw what there is to draw: replica-steps a second, and growth where it was measured."""
    per = "a core" if measured["device"] == "cpu" else "the GPU"
    yield Picture(
        "rates.png",
        "Replica-steps a second",
        f"Replica-steps a second of {per}, medians of {measured['rounds']} rounds; higher is better. The grey lines "
        "are the baselines, and what the machine's matrix-product peak and bandwidth allow at most.",
        rates(measured),
    )
    if measured["growth"]:
        yield Picture(
            "growth.png",
            "Growth",
            "Milliseconds a step of the whole stack, system A; for steps, seconds since the work was begun. Lines are "
            "fits of a fixed and a proportional part; a mark on the lower edge is where both are equal.",
            growth(measured),
        )


def rates(measured: Mapping[str, Any]) -> Figure:
    """Draw replica-steps a second against replicas, one system a facet."""
    systems = measured["systems"]
    columns = min(2, len(systems))
    rows = math.ceil(len(systems) / columns)
    fig = draw.new_figure(1.0 + 2.3 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).flatten()
    for ax, system in zip(axes, systems, strict=False):
        plot_rates(ax, measured, system)
    for ax in axes[len(systems) :]:
        ax.set_axis_off()
    fig.supxlabel("replicas to train", fontsize=8.5)
    fig.supylabel("replica-steps a second", fontsize=8.5)
    colours = draw.palette(WAYS)
    handles = [Line2D([], [], color=colours[way], marker="o", markersize=3.5, label=way) for way in WAYS]
    draw.place_legend(fig, [*handles, *(Line2D([], [], **style, label=name) for name, style in LINES.items())])
    return fig


def plot_rates(ax: Axes, measured: Mapping[str, Any], system: Mapping[str, Any]) -> Axes:
    """Draw one system: the engine's curves, with the range of their rounds, and the baselines as lines."""
    found, colours = results.rows(measured, system), draw.palette(WAYS)
    chosen = {
        WAYS[0]: [r for r in found if r.planned],
        WAYS[1]: [r for r in found if r.side_by_side and r.compiled],
        WAYS[2]: [r for r in found if r.side_by_side and not r.compiled],
    }
    for size, way in zip((6.0, 3.5, 3.5), WAYS, strict=True):
        rows = chosen[way]
        filled = "white" if way == WAYS[0] else colours[way]
        at, rate = [r.asked for r in rows], [r.rate for r in rows]
        ax.plot(at, rate, color=colours[way], marker="o", markersize=size, markerfacecolor=filled, zorder=2)
    plain = {style: statistics.median(x) for style, x in results.plain_seconds(measured, system).items()}
    processes = results.process_seconds(measured, system)
    levels = (plain[results.AS_WRITTEN], min(plain.values()), processes, results.bound(measured, system))
    for seconds, style in zip(levels, LINES.values(), strict=True):
        if seconds:
            ax.axhline(1.0 / seconds, **style, zorder=1.5)
    ax.set(xscale="log", yscale="log", title=f"system {system['system'].upper()}, batch {system['batch']}")
    ticks = sorted({group["replicas"] for group in system["groups"]})
    ax.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
    _counted(ax, ticks)
    draw.log_ticks(ax.yaxis).set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return ax


def growth(measured: Mapping[str, Any]) -> Figure:
    """Draw time against what grows, one axis a facet, eager and compiled."""
    axes_named = list(dict.fromkeys(told["axis"] for told in measured["growth"]))
    columns = min(2, len(axes_named))
    rows = math.ceil(len(axes_named) / columns)
    fig = draw.new_figure(0.7 + 2.2 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).flatten()
    for ax, name in zip(axes, axes_named, strict=False):
        for told in measured["growth"]:
            if told["axis"] == name:
                plot_growth(ax, measured, told)
    for ax in axes[len(axes_named) :]:
        ax.set_axis_off()
    colours = draw.palette(WAYS)
    ways = {"compiled": WAYS[1], "eager": WAYS[2]}
    seen = {"compiled" if told["compiled"] else "eager" for told in measured["growth"]}
    kinds = {name: colours[way] for name, way in ways.items() if name in seen}
    draw.place_legend(fig, [Line2D([], [], color=c, marker="o", markersize=3.5, label=k) for k, c in kinds.items()])
    return fig


def plot_growth(ax: Axes, measured: Mapping[str, Any], told: Mapping[str, Any]) -> Axes:
    """Draw one curve: its points, its fit, and a mark where the fit leaves its flat part."""
    at, seconds, fitted, knee = results.curve(measured, told)
    colour = draw.palette(WAYS)[WAYS[1] if told["compiled"] else WAYS[2]]
    x = np.geomspace(at[0], at[-1], 100)
    work = x
    if told["axis"] == "width":
        work = np.exp(np.interp(np.log(x), np.log(at), np.log([p["flops"] for p in told["points"]])))
    scale = 1.0 if told["axis"] == "steps" else 1e3
    ax.plot(at, scale * seconds, color=colour, linestyle="none", marker="o", markersize=3.5)
    ax.plot(x, scale * (fitted.fixed + fitted.each * work), color=colour, linewidth=1.0)
    if at[0] < knee < at[-1]:
        ax.plot([knee], [0.02], transform=ax.get_xaxis_transform(), color=colour, marker="^", markersize=6)
    ax.set(xscale="log", yscale="log", xlabel=AXES[told["axis"]])
    ax.set_ylabel("seconds since the start" if told["axis"] == "steps" else "ms a step")
    _counted(ax, sorted({p["at"] for c in measured["growth"] if c["axis"] == told["axis"] for p in c["points"]}))
    draw.log_ticks(ax.yaxis)
    return ax


def _counted(ax: Axes, ticks: list[int]) -> None:
    """Label a logarithmic axis at what was measured, leaving out labels that would touch."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or math.log(tick / kept[-1]) > 0.11 * math.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(kept, [f"{tick:,}" for tick in kept])
