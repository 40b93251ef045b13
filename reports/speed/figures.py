"""The figure of the page on speed."""

from __future__ import annotations

import math
import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from reports.figures import primitives as draw
from reports.speed.results import AS_WRITTEN, Measured, System

PLANNED: dict[str, Any] = {"color": "C0", "marker": "o", "markersize": 4.0}
LINES: dict[str, dict[str, Any]] = {
    "plain loop as written": {"color": "0.25", "linestyle": "-", "linewidth": 1.1},
    "plain loop at its fairest": {"color": "0.25", "linestyle": (0, (4, 2)), "linewidth": 1.1},
    "bound by the machine's product peak": {"color": "0.6", "linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.1},
}


def rates(measured: Measured) -> Figure:
    """Draw replica-steps a second against replicas, one system a facet."""
    columns = min(2, len(measured.systems))
    rows = math.ceil(len(measured.systems) / columns)
    fig = draw.new_figure(1.0 + 2.3 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).flatten()
    for ax, system in zip(axes, measured.systems, strict=False):
        plot_rates(ax, measured, system)
    for ax in axes[len(measured.systems) :]:
        ax.set_axis_off()
    fig.supxlabel("replicas to train", fontsize=8.5)
    fig.supylabel("replica-steps a second", fontsize=8.5)
    styles = {"as the plan trains them": PLANNED, **LINES}
    draw.place_legend(fig, [Line2D([], [], **style, label=name) for name, style in styles.items()])
    return fig


def plot_rates(ax: Axes, measured: Measured, system: System) -> Axes:
    """Draw one system: the engine's medians, and the baselines as lines."""
    rate = {asked: 1.0 / measured.replica_seconds(row) for row in system.rows for asked in row.asked}
    replicas = sorted(rate)
    ax.plot(replicas, [rate[n] for n in replicas], **PLANNED, zorder=2)
    plain = {style: statistics.median(measured.loop_seconds(system, style)) for style in system.first_seconds}
    levels = (plain[AS_WRITTEN], min(plain.values()), measured.least_seconds(system))
    for seconds, style in zip(levels, LINES.values(), strict=True):
        ax.axhline(1.0 / seconds, **style, zorder=1.5)
    ax.set(xscale="log", yscale="log", title=f"system {system.system.upper()}, batch {system.batch}")
    ax.set_xlim(replicas[0] / 1.3, replicas[-1] * 1.3)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(replicas, [f"{n:,}" for n in replicas])
    draw.log_ticks(ax.yaxis)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return ax
