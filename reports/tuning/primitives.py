"""Plot functions of a report on tuning: each draws one thing on the axes it is given and returns them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from reports.figures import primitives as draw
from reports.figures.layout import room_for_failures
from reports.stats.intervals import Interval
from reports.study.evidence import level_label


class Point(NamedTuple):
    """One trial in one panel."""

    group: str
    value: Any
    """Of the parameter: a number, or a category's label."""
    objective: float
    """NaN for a trial without a score."""
    state: str
    """Whether its replicas were "whole", or "partly" failed; "failed" without a score."""


def plot_intervals(
    ax: Axes, intervals: Sequence[Interval], offset: float, limits: tuple[float, float], direction: str, **mark: Any
) -> Axes:
    """Draw one estimate with its interval a row; an infinite estimate is an arrow at the bad end.

    Args:
        ax: Where to draw; the rows are 0, 1, ...
        intervals: One a row; NaN leaves the row empty.
        offset: Down from the middle of the row, in rows.
        limits: The ends of the axis, where intervals are cut.
        direction: "lower" or "higher": which end is good.
        **mark: Of the point; its colour is the interval's too.
    """
    bad, arrow = (limits[1], ">") if direction == "lower" else (limits[0], "<")
    for row, (estimate, low, high, _) in enumerate(intervals):
        if not math.isnan(low):
            ax.plot(np.clip([low, high], *limits), [row + offset] * 2, color=mark["color"], linewidth=mark["linewidth"])
        if math.isinf(estimate):
            ax.plot(bad, row + offset, **{**mark, "marker": arrow}, linestyle="", clip_on=False)
        elif not math.isnan(estimate):
            ax.plot(estimate, row + offset, **mark, linestyle="")
    return ax


def plot_expected_best(
    ax: Axes,
    curve: np.ndarray,
    drawn: np.ndarray,
    reference: float | None,
    limits: tuple[float, float],
    color: Any,
) -> Axes:
    """Draw the expected best objective of k trials with its band, and the best so far in the order of drawing.

    Args:
        ax: Where to draw.
        curve: Shape [trials, 3]: the estimate and its limits, which are NaN for a single trial.
        drawn: Best so far, shape [trials].
        reference: The objective of the untuned settings.
        limits: The edges of the y axis.
        color: Of all of it.
    """
    count = np.arange(1, len(curve) + 1)
    marker = {"marker": "o", "markersize": 2.5} if len(curve) <= 8 else {}
    low, high = np.clip(curve[:, 1:], *limits).T
    ax.fill_between(count, low, high, color=color, alpha=0.22, linewidth=0)
    ax.step(count, drawn, where="post", color=color, linewidth=0.8, alpha=0.8)
    ax.plot(count, curve[:, 0], color=color, **marker)
    if reference is not None:
        ax.axhline(reference, **draw.REFERENCE)
    ax.set_xlim(0.5, len(curve) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return ax


def plot_trials(
    ax: Axes,
    points: Sequence[Point],
    parameter: Mapping[str, Any],
    before: Mapping[str, Any],
    colours: Mapping[str, Any],
    limits: tuple[float, float],
    direction: str,
    log: bool,
) -> Axes:
    """Draw objectives against one parameter; trials without a score are crosses beyond the bad end.

    Args:
        ax: Where to draw.
        points: The trials that drew the parameter.
        parameter: Its settings: low, high and log of a number, choices of a category.
        before: The untuned value of each group; None where there is none.
        colours: One a group.
        limits: Of the objective.
        direction: Which end of the objective is good.
        log: Whether the objective's axis is logarithmic.
    """
    failed = any(point.state == "failed" for point in points)
    worst, *ends = room_for_failures(*limits, log, direction) if failed else (limits[1], *limits)
    groups = list(colours)
    numeric = parameter.get("low") is not None
    labels = [] if numeric else [level_label(choice) for choice in parameter.get("choices") or ()]

    def across(group: str, value: Any) -> float:
        """Place on the x axis: a category's groups stand side by side."""
        aside = 0.6 * ((groups.index(group) + 0.5) / len(groups) - 0.5)
        return float(value) if numeric else labels.index(value) + aside if value in labels else math.nan

    for point in points:
        x, colour = across(point.group, point.value), colours[point.group]
        if point.state == "failed":
            ax.scatter([x], [worst], s=16, marker="x", color=colour, linewidths=1, clip_on=False)
        else:
            face = "white" if point.state == "partly" else colour
            ax.scatter([x], [point.objective], s=13, edgecolors=[colour], facecolors=[face], linewidths=0.9)
    _untuned_lines(ax, before, colours, labels)
    if numeric:
        _numeric_axis(ax, parameter, [v for v in before.values() if isinstance(v, int | float)])
    else:
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.5, max(len(labels), 1) - 0.5)
        if max(map(len, labels), default=0) * len(labels) > 28:
            ax.tick_params(axis="x", rotation=30)
    if log:
        ax.set_yscale("log")
        draw.log_ticks(ax.yaxis)
    ax.set_ylim(*ends)
    return ax


def _untuned_lines(ax: Axes, before: Mapping[str, Any], colours: Mapping[str, Any], labels: Sequence[str]) -> None:
    """A line at the untuned setting; one a group, in its colour, where they differ."""
    values = {group: value for group, value in before.items() if value is not None}
    shared = len({level_label(value) for value in values.values()}) == 1
    for group, value in list(values.items())[: 1 if shared else None]:
        label = level_label(value)
        place = labels.index(label) if label in labels else value
        if isinstance(place, int | float) and not isinstance(place, bool) and (not labels or label in labels):
            ax.axvline(place, **{**draw.REFERENCE, **({} if shared else {"color": colours[group]})})


def _numeric_axis(ax: Axes, parameter: Mapping[str, Any], marks: Sequence[float]) -> None:
    """The range that was searched, and the untuned settings where they lie outside."""
    held = [parameter["low"], parameter["high"], *marks]
    if parameter.get("log"):
        held = np.log10([value for value in held if value > 0])
        ax.set_xscale("log")
        draw.log_ticks(ax.xaxis)
        if np.ptp(held) > 1.5:  # a third of a page has room for whole decades
            ax.xaxis.set_major_locator(LogLocator(numticks=6))
    low, high = min(held), max(held)
    margin = 0.05 * max(high - low, 1e-12)
    ends = np.array([low - margin, high + margin])
    ax.set_xlim(*(10.0**ends if parameter.get("log") else ends))
