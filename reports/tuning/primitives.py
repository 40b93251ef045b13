"""Plot functions of a report on tuning: each draws one thing on the axes it is given and returns them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from gan.columns import level_label
from reports.figures import primitives as draw
from reports.figures.layout import room_for_failures
from reports.stats.intervals import Interval
from studies.tune import Parameter


class TrialMark(NamedTuple):
    """One trial in one panel."""

    variant: str
    value: Any
    """Of the parameter."""
    objective: float
    """NaN for a trial without a score."""
    state: str
    """Whether its replicas were "whole", or "partly" failed; "failed" without a score."""


def log_scale(ax: Axes, axis: Literal["x", "y"], log: bool) -> None:
    """Make an axis logarithmic if it is to be."""
    if log:
        ax.set(**{f"{axis}scale": "log"})
        draw.log_ticks(getattr(ax, f"{axis}axis"))


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
    marks: Sequence[TrialMark],
    parameter: Parameter,
    before: Mapping[str, Any],
    colours: Mapping[str, Any],
    limits: tuple[float, float],
    direction: str,
    log: bool,
) -> Axes:
    """Draw objectives against one parameter; trials without a score are crosses beyond the bad end.

    Args:
        ax: Where to draw.
        marks: The trials that drew the parameter.
        parameter: What was searched.
        before: The untuned value of each variant; None where there is none.
        colours: One a variant.
        limits: Of the objective.
        direction: Which end of the objective is good.
        log: Whether the objective's axis is logarithmic.
    """
    failed = any(mark.state == "failed" for mark in marks)
    worst, *ends = room_for_failures(*limits, log, direction) if failed else (limits[1], *limits)
    labels = [level_label(choice) for choice in parameter.choices]
    # A category's variants stand side by side.
    aside = {variant: 0.6 * ((i + 0.5) / len(colours) - 0.5) for i, variant in enumerate(colours)}

    def across(value: Any) -> float:
        """Place on the x axis."""
        if not labels:
            return float(value)
        return labels.index(level_label(value)) if level_label(value) in labels else math.nan

    for mark in marks:
        x, colour = across(mark.value) + (aside[mark.variant] if labels else 0), colours[mark.variant]
        if mark.state == "failed":
            ax.scatter([x], [worst], s=16, marker="x", color=colour, linewidths=1, clip_on=False)
        else:
            face = "white" if mark.state == "partly" else colour
            ax.scatter([x], [mark.objective], s=13, edgecolors=[colour], facecolors=[face], linewidths=0.9)
    untuned = {variant: across(value) for variant, value in before.items() if value is not None}
    shared = len({level_label(value) for value in before.values() if value is not None}) == 1
    for variant, place in list(untuned.items())[: 1 if shared else None]:
        if not math.isnan(place):
            ax.axvline(place, **{**draw.REFERENCE, **({} if shared else {"color": colours[variant]})})
    if labels:
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
        if max(map(len, labels)) * len(labels) > 28:
            ax.tick_params(axis="x", rotation=30)
    else:
        _numeric_axis(ax, parameter, list(untuned.values()))
    log_scale(ax, "y", log)
    ax.set_ylim(*ends)
    return ax


def _numeric_axis(ax: Axes, parameter: Parameter, marks: Sequence[float]) -> None:
    """The range that was searched, and the untuned settings where they lie outside."""
    assert parameter.low is not None and parameter.high is not None
    held = np.array([parameter.low, parameter.high, *marks], dtype=float)
    log_scale(ax, "x", parameter.log)
    if parameter.log:
        held = np.log10(held[held > 0])
        if np.ptp(held) > 1.5:  # a third of a page has room for whole decades
            ax.xaxis.set_major_locator(LogLocator(numticks=6))
    low, high = held.min(), held.max()
    margin = 0.05 * max(high - low, 1e-12)
    ends = np.array([low - margin, high + margin])
    ax.set_xlim(*(10.0**ends if parameter.log else ends))
