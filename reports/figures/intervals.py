"""Plot functions for intervals, shares, step functions and paths: each draws on the axes it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from reports.figures import primitives as draw
from reports.stats.rates import wilson


class Effect(NamedTuple):
    """One row of a forest plot."""

    label: str
    estimate: float
    """Infinite where one side failed, NaN where nothing can be said."""
    low: float
    """Of the interval; NaN for none."""
    high: float
    filled: bool


def forest_limits(effects: Sequence[Effect], null: float, log: bool) -> tuple[float, float]:
    """Limits that hold every finite estimate, and the intervals up to three times as far from no effect, at `null`.

    Both sides of `null` keep room for their name. On a logarithmic axis what is not positive lies off it.
    """

    def distances(values: Sequence[float]) -> np.ndarray:
        numbers = np.array([v for v in values if math.isfinite(v) and (v > 0 or not log)], dtype=float)
        return np.log(numbers / null) if log else numbers - null

    estimates = distances([e.estimate for e in effects])
    ends = distances([end for e in effects for end in (e.low, e.high)])
    farthest = float(np.abs(estimates).max(initial=0.0))
    if farthest > 0:
        ends = np.clip(ends, -3 * farthest, 3 * farthest)
    held = np.array([0.0, *estimates, *ends])
    low, high = float(held.min()), float(held.max())
    span = high - low or (math.log(2) if log else 1.0)
    low, high = min(low - 0.06 * span, -0.25 * span), max(high + 0.06 * span, 0.25 * span)
    return (null * math.exp(low), null * math.exp(high)) if log else (null + low, null + high)


def plot_forest(
    ax: Axes, groups: Mapping[str, Sequence[Effect]], null: float, limits: tuple[float, float], **color: Any
) -> None:
    """Draw effects and their intervals, one a row from top to bottom under a heading a group that has any.

    What lies beyond the limits of the x axis, whose scale is set, is an arrow at the edge, infinity too; an effect
    without an estimate is a text. There is no effect at `null`.
    """
    names: list[str] = []
    headings: list[int] = []
    for heading, effects in groups.items():
        if not effects:
            continue
        headings.append(len(names))
        names.append(heading)
        for effect in effects:
            _plot_effect(ax, effect, len(names), null, limits, **color)
            names.append(effect.label)
    ax.axvline(null, **draw.REFERENCE)
    draw.label_rows(ax, names)
    for row in headings:
        ax.get_yticklabels()[row].set_fontweight("bold")
        if row:
            ax.axhline(row - 0.5, color="0.8", linewidth=0.6)
    ax.set_xlim(*limits)
    ax.tick_params(axis="y", length=0, pad=9)  # clear of the arrows at the edge


def _plot_effect(ax: Axes, effect: Effect, row: int, null: float, limits: tuple[float, float], color: Any) -> None:
    if math.isnan(effect.estimate):
        aside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7}
        ax.annotate("no estimate", (null, row), (6, 0), color="0.4", **aside)
        return
    if not (math.isnan(effect.low) or math.isnan(effect.high)):
        low, high = np.clip([effect.low, effect.high], *limits)
        ax.plot([low, high], [row, row], color=color, linewidth=1.3, solid_capstyle="butt", zorder=2)
        for end, edge, arrow in ((effect.low, limits[0], "<"), (effect.high, limits[1], ">")):
            if (end < edge) if arrow == "<" else (end > edge):
                ax.plot(edge, row, marker=arrow, markersize=4, color=color, clip_on=False, zorder=2.5)
    at = float(np.clip(effect.estimate, *limits))
    marker = "o" if at == effect.estimate else ">" if effect.estimate > at else "<"
    size = 5 if marker == "o" else 7
    face = color if effect.filled else "white"
    ax.plot(at, row, marker=marker, markersize=size, color=color, markerfacecolor=face, clip_on=False, zorder=3)


def plot_steps(ax: Axes, x: np.ndarray, y: np.ndarray, band: np.ndarray, where: str, color: Any, label: str) -> None:
    """Draw a step function, x ascending, and the band around it, of shape [2, points] and NaN where there is none.

    `where` is "post" where a value holds from its point on, "pre" where it holds up to it.
    """
    ax.fill_between(x, band[0], band[1], step=where, color=color, alpha=0.16, linewidth=0)  # pyright: ignore[reportArgumentType]
    ax.step(x, y, where=where, color=color, label=label, linewidth=1.5)  # pyright: ignore[reportArgumentType]


def plot_shares(ax: Axes, counts: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Draw a row of stacked bars for each of the counts', each as wide as its share of the row, its count in it."""
    totals = counts.sum(axis=1).to_numpy(float)
    rows = np.arange(len(counts))
    left = np.zeros(len(counts))
    for name in counts:
        share = counts[name].to_numpy(float) / totals
        ax.barh(rows, share, left=left, height=0.78, color=colours[str(name)], edgecolor="white", linewidth=0.6)
        dark = np.dot(to_rgb(colours[str(name)]), [0.299, 0.587, 0.114]) < 0.5
        style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 7}
        for row in rows[share > 0.06]:
            middle, count = left[row] + share[row] / 2, str(counts[name].iloc[row])
            ax.text(middle, row, count, color="white" if dark else "black", **style)
        left += share
    ax.set_xlim(0, 1)
    ax.grid(axis="x", visible=False)
    draw.label_rows(ax, [str(name) for name in counts.index])


def plot_rates(ax: Axes, successes: np.ndarray, trials: np.ndarray, offset: float, **mark: Any) -> None:
    """Draw a rate a row with its 95 % Wilson interval, which a single trial has not; without trials a row is empty.

    Args:
        ax: Where to draw.
        successes: Shape [rows].
        trials: Shape [rows].
        offset: Down from the middle of the row, in rows.
        **mark: Of the point; its colour is the interval's too.
    """
    for row, (k, n) in enumerate(zip(successes.tolist(), trials.tolist(), strict=True)):
        if n:
            limits = wilson(k, n) if n > 1 else [k / n] * 2
            ax.plot(limits, [row + offset] * 2, color=mark["color"], linewidth=1.1, solid_capstyle="butt")
            ax.plot(k / n, row + offset, linestyle="", **mark)


def plot_paths(ax: Axes, paths: Sequence[tuple[tuple[np.ndarray, np.ndarray], str]]) -> None:
    """Draw paths, ((steps, values), verdict), in the colours of their verdicts; a cross ends a diverged one.

    The last one is in front. On a logarithmic axis what is not positive leaves a gap.
    """
    faint: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.75} if len(paths) <= 30 else {"linewidth": 0.6, "alpha": 0.6}
    for (steps, values), verdict in paths:
        drawable = np.isfinite(values) & ((values > 0) if ax.get_yscale() == "log" else True)
        colour = draw.VERDICT_COLOURS[verdict]
        ax.plot(steps, np.where(drawable, values, np.nan), color=colour, **faint)
        if verdict == "diverged" and drawable.any():
            last = np.flatnonzero(drawable)[-1]
            ax.plot(steps[last], values[last], marker="x", markersize=4, color=colour)


def plot_orbit(ax: Axes, positions: np.ndarray, joined: bool, **line: Any) -> None:
    """Draw the path of a point in the plane, its positions of shape [points, 2], its start a ring.

    A line may join them only where the point turns little from one to the next.
    """
    x, y = positions.T
    if joined:
        ax.plot(x, y, linewidth=0.9, **line)
    ax.plot(x, y, linestyle="", marker="o", markersize=2, **line)
    ax.plot(x[0], y[0], linestyle="", marker="o", markersize=6, markerfacecolor="none", **line)
