"""Figures of a report on tuning, each with a caption that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import primitives as draw
from reports.figures.layout import Picture, reference_lines, row_key, score_axis
from reports.ledger.tuning_record import SearchRecord, TrialRecord
from reports.stats.intervals import Interval, interval_kind
from reports.study.tables import score_iqm
from reports.tuning.budget import best_so_far
from reports.tuning.effects import Findings, second_values
from reports.tuning.evidence import TunedStudy
from reports.tuning.primitives import TrialMark, log_scale, plot_expected_best, plot_intervals, plot_trials
from reports.tuning.selection import POOLED, splits_of
from reports.tuning.tables import order_after, variant_name

DOT: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 4.5}
NOTHING = Interval(math.nan, math.nan, math.nan, "none")
MOST_PANELS = 12  # parameters that get a panel of the figure of trials
SIDES = (("#8c8c8c", "o"), ("#0059a8", "o"), ("#c8401c", "D"))
"""Colour and marker of what is set side by side in one row, from before to after."""


def tuning_pictures(found: Findings) -> Iterator[Picture]:
    """Draw every figure of the report on tuning, one at a time."""
    own = found.tuning
    yield ranking(found)
    if found.held_out:
        yield selection(found)
    if found.budget:
        yield budget(found)
        yield trials(found)
    if any(search.importances for search in own.searches.values()):
        yield importances(own)
    if any(second_values(search) for search in own.searches.values()):
        yield front(own)


def ranking(found: Findings) -> Picture:
    """Each variant's score before and after tuning, best after tuning on top."""
    own = found.tuning
    order = [own.variants[place] for place in order_after(found)]
    groups = {
        name: [score_iqm(grid, grid.of(v), own.score) if len(grid.of(v)) else NOTHING for v in order]
        for name, grid in own.grids.items()
    }
    fig, ax, handles = _rows(own, order, groups)
    ax.set_xlabel(f"{own.label} ({own.direction} is better)")
    draw.place_legend(fig, handles + reference_lines(own.untuned, own.score, ax.axvline))
    intervals = [interval for group in groups.values() for interval in group]
    lost = any(math.isinf(interval.estimate) for interval in intervals)
    caption = (
        f"Interquartile mean of the {own.label} on test {splits_of(own).other} over the study's seeds, with its 95 % "
        f"{interval_kind(intervals)} interval, one row a variant {row_key(own.untuned)}, "
        f"the best {'after' if own.tuned else 'before'} tuning on top"
        + ("; an arrow marks a mean that failed replicas reach." if lost else ".")
    )
    return Picture("ranking.png", "Scores before and after tuning", caption, fig)


def selection(found: Findings) -> Picture:
    """The winner's objective where it was chosen, on held-out seeds, and on test data."""
    own, other = found.tuning, splits_of(found.tuning).other
    held = [h for h in found.held_out if h.variant != POOLED]
    groups = {
        "selection": [NOTHING._replace(estimate=h.selected) for h in held],
        f"held-out seeds, validation {other}": [h.validation for h in held],
        f"held-out seeds, test {other}": [h.test for h in held],
    }
    fig, ax, handles = _rows(own, [h.variant for h in held], groups)
    ax.set_xlabel(f"objective: {own.objective}")
    draw.place_legend(fig, handles)
    caption = (
        f"The objective of each variant's winner {row_key(own.untuned)}: the number it was chosen by, of "
        f"{own.tune.seeds} validation seeds; the same settings on the study's own seeds and the same validation "
        f"{other}; and on test {other}, with 95 % bootstrap intervals over seeds. From the first to the second is the "
        "optimism of the selection; the third differs by the split itself too, as the untuned settings do."
    )
    return Picture("selection.png", "Selection and report apart", caption, fig)


def budget(found: Findings) -> Picture:
    """Expected best objective against the number of trials, the order they were drawn in, and the untuned settings."""
    own = found.tuning
    colours = draw.palette(own.variants)
    values = [[i.estimate, i.low, i.high] for curve in found.budget.values() for i in curve]
    drawn = np.array([*np.ravel(values), *found.untuned_objectives.values()], dtype=float)
    log, limits = score_axis(own.untuned, own.score, drawn)
    fig, axes = _panels(len(found.budget), 2 if len(found.budget) <= 4 else 3, 0.8, 1.75, sharex=True)
    for ax, (variant, intervals) in zip(axes, found.budget.items(), strict=True):
        curve = np.array([interval[:3] for interval in intervals])
        in_order = best_so_far(own.objectives(own.searches[variant]), own.direction)
        plot_expected_best(ax, curve, in_order, found.untuned_objectives.get(variant), limits, colours[variant])
        ax.set_title(variant_name(own, variant))
        log_scale(ax, "y", log)
        ax.set_ylim(*limits)
    fig.supxlabel("trials", fontsize=8.5)
    fig.supylabel(draw.wrapped(own.objective, 0.8 * fig.get_figheight()), fontsize=8.5)
    handles = [
        Line2D([], [], color="0.3", label="expected best of so many trials"),
        Line2D([], [], color="0.3", linewidth=0.8, alpha=0.8, drawstyle="steps-post", label="best so far, as drawn"),
    ]
    if found.untuned_objectives:
        handles.append(Line2D([], [], **draw.REFERENCE, label="untuned settings"))
    draw.place_legend(fig, handles)
    return Picture("budget.png", "What the budget bought", _budget_caption(found), fig)


def _budget_caption(found: Findings) -> str:
    own = found.tuning
    parts = [
        "Expected best objective of k trials drawn at random from those of the search, without replacement, one panel "
        f"a variant {row_key(own.untuned)}, with 95 % bootstrap bands over trials; thin steps are the best so far in "
        "the order in which the trials were drawn."
    ]
    if own.learns:
        parts.append(
            f"The sampler ({own.tune.sampler}) learns from earlier trials, so they are not exchangeable: the "
            "expected curve is that of their average order, and the steps may fall faster or slower."
        )
    if found.untuned_objectives:
        parts.append(
            f"Dashed is the same objective of the untuned settings, which nobody chose, of {found.untuned_seeds} of "
            f"the study's own seeds on validation {splits_of(own).other}; a trial's is of {own.tune.seeds} seeds."
        )
    if any(not t.scored for search in own.searches.values() for t in search.finished):
        parts.append("A trial that was pruned or whose replicas all failed counts as the worst value.")
    return " ".join(parts)


def trials(found: Findings) -> Picture:
    """Objective of every trial against each parameter that was searched, one panel a parameter."""
    own = found.tuning
    parameters = list(own.parameters.values())[:MOST_PANELS]
    colours = draw.palette(own.variants)
    finished = [(v, t) for v, search in own.searches.items() for t in search.finished]
    scored = np.array([t.values[0] for _, t in finished if t.scored])
    log, limits = score_axis(own.untuned, own.score, scored)
    fig, axes = _panels(len(parameters), 3, 0.9, 1.8)
    for ax, parameter in zip(axes, parameters, strict=True):
        before = {v: own.untuned.plan.variants.get(v, {}).get(parameter.name) for v in own.variants}
        marks = [_mark(v, t, parameter.name) for v, t in finished if parameter.name in t.params]
        plot_trials(ax, marks, parameter, before, colours, limits, own.direction, log)
        ax.set_xlabel(parameter.name)
    fig.supylabel(draw.wrapped(own.objective, 0.8 * fig.get_figheight()), fontsize=8.5)
    handles, grey = _variant_handles(own, colours), {"color": "0.3", "linestyle": "", "markersize": 4.5}
    if any(t.scored and t.failures for _, t in finished):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="some replicas failed", **grey))
    if any(not t.scored for _, t in finished):
        handles.append(Line2D([], [], marker="x", label="no score", **grey))
    draw.place_legend(fig, [*handles, Line2D([], [], **draw.REFERENCE, label="untuned")])
    left = len(own.parameters) - len(parameters)
    caption = (
        f"The objective of every trial against each parameter, in the colours of the variants {row_key(own.untuned)}. "
        "Vertical lines are the untuned settings, in a variant's colour where they differ. A hollow mark has some "
        "replicas that failed, each of which counts as its set score; crosses at the bad end are trials without one."
        + (f" {left} further parameters are not drawn." if left else "")
    )
    return Picture("trials.png", "Every trial of the search", caption, fig)


def _mark(variant: str, trial: TrialRecord, parameter: str) -> TrialMark:
    state = "failed" if not trial.scored else "partly" if trial.failures else "whole"
    return TrialMark(variant, trial.params[parameter], trial.values[0] if trial.scored else math.nan, state)


def importances(tuning: TunedStudy) -> Picture:
    """Share of each parameter in each variant's search."""
    known = {variant: search.importances for variant, search in tuning.searches.items() if search.importances}
    shares = {name: [own[name] for own in known.values() if name in own] for name in tuning.parameters}
    names = sorted(shares, key=lambda name: -float(np.mean(shares[name] or [-1])))
    colours = draw.palette(tuning.variants)
    fig = draw.new_figure(0.8 + (0.12 + 0.09 * len(known)) * len(names))
    ax = fig.subplots()
    height = 0.8 / len(known)
    for k, (variant, own) in enumerate(known.items()):
        rows = np.arange(len(names)) + (k - (len(known) - 1) / 2) * height
        ax.barh(rows, [own.get(name, math.nan) for name in names], height=0.9 * height, color=colours[variant])
    draw.label_rows(ax, names)
    ax.set_xlim(0, 1)
    ax.set_xlabel("importance (share)")
    handles = [Line2D([], [], color=colours[v], linewidth=5, label=variant_name(tuning, v)) for v in known]
    draw.place_legend(fig, handles if len(known) > 1 else [])
    gaps = any(len(own) < len(known) for own in shares.values())
    without = len(tuning.searches) - len(known)
    caption = (
        "How much of the objective's variation over the search each parameter explains, shares that sum to 1 in a "
        "variant, the largest mean on top. They are of the ranges that were searched, and with few trials no more than "
        "a hint."
        + (" A parameter without a bar was not in every trial, so that its share cannot be told." if gaps else "")
        + (f" Left out: {without} variant{'s' if without > 1 else ''} of which it cannot be told." if without else "")
    )
    return Picture("importances.png", "Which parameters matter", caption, fig)


def front(tuning: TunedStudy) -> Picture:
    """Both objectives of every trial, and the trials that no other beats in both."""
    colours = draw.palette(tuning.variants)
    both = {v: second_values(search) for v, search in tuning.searches.items()}
    values = np.array([pair[0] for own in both.values() for pair in own.values()])
    log, limits = score_axis(tuning.untuned, tuning.score, values)
    fig = draw.new_figure(3.2)
    ax = fig.subplots()
    for k, (variant, own) in enumerate(both.items()):
        _front_of(ax, tuning.searches[variant], own, colours[variant], 0.004 * (k - (len(both) - 1) / 2))
    log_scale(ax, "x", log)
    ax.set(xlim=limits, ylim=(-0.04, 1.04), xlabel=tuning.objective, ylabel=tuning.second)
    star = Line2D([], [], color="0.3", label="winner", marker="*", linestyle="", markersize=9)
    draw.place_legend(fig, [*_variant_handles(tuning, colours), star])
    caption = (
        f"Both objectives of every trial; joined are those that no other trial of their variant beats in both. The "
        f"winner has the lowest {tuning.second} of them, and of several with that the best score."
    )
    return Picture("front.png", "Score against failures", caption, fig)


def _front_of(ax: Axes, search: SearchRecord, both: dict[int, tuple[float, float]], colour: Any, shift: float) -> None:
    """One variant's trials and its front, moved a hair up so that variants at one rate do not hide each other."""
    points = np.array([(x, y + shift) for x, y in both.values()]).reshape(-1, 2)
    ax.scatter(*points.T, s=14, color=colour, alpha=0.55, linewidths=0)
    joined = sorted(both[number] for number in search.front if number in both)
    if joined:
        x, y = np.array(joined).T
        ax.plot(x, y + shift, color=colour, linewidth=1.1, marker="o", markersize=4)
    if search.best in both:
        x, y = both[search.best]
        ax.plot(x, y + shift, color=colour, marker="*", markersize=11, markeredgecolor="white", linestyle="")


def _rows(
    tuning: TunedStudy, variants: list[str], groups: dict[str, list[Interval]]
) -> tuple[Figure, Axes, list[Line2D]]:
    """Draw a row a variant, and in it one interval a group, from top to bottom; return legend handles too."""
    values = np.array([[i.estimate, i.low, i.high] for group in groups.values() for i in group])
    log, limits = score_axis(tuning.untuned, tuning.score, values.ravel())
    fig = draw.new_figure(1.0 + max(0.27, 0.16 * len(groups)) * max(len(variants), 1))
    ax, handles = fig.subplots(), []
    for k, (name, (colour, marker)) in enumerate(zip(groups, SIDES, strict=False)):
        mark: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.3}
        plot_intervals(ax, groups[name], 0.24 * (k - (len(groups) - 1) / 2), limits, tuning.direction, **mark)
        handles.append(Line2D([], [], **mark, label=name))
    log_scale(ax, "x", log)
    ax.set_xlim(*limits)
    draw.label_rows(ax, [variant_name(tuning, variant) for variant in variants])
    return fig, ax, handles


def _panels(count: int, most: int, extra: float, height: float, sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """Make panels that share their y axis, at most so many in a row.

    Args:
        count: How many.
        most: In a row.
        extra: Inches of the figure beside the rows.
        height: Inches of a row.
        sharex: Whether they share their x axis too.
    """
    columns = max(min(count, most), 1)
    rows = math.ceil(count / columns)
    fig = draw.new_figure(extra + height * rows)
    axes = list(fig.subplots(rows, columns, sharex=sharex, sharey=True, squeeze=False).flat)
    for ax in axes[count:]:
        ax.set_axis_off()
    return fig, axes[:count]


def _variant_handles(tuning: TunedStudy, colours: dict[str, Any]) -> list[Line2D]:
    return [Line2D([], [], color=colours[v], label=variant_name(tuning, v), **DOT) for v in tuning.variants]
