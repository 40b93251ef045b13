"""Figures of a report on tuning, each with a caption that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.figures import primitives as draw
from reports.figures.layout import Picture, reference_lines, row_key, score_axis
from reports.stats.intervals import Interval, interval_kind
from reports.study.evidence import level_label
from reports.study.tables import score_iqm
from reports.tuning.budget import best_so_far
from reports.tuning.effects import Findings, second_values
from reports.tuning.evidence import SECOND, Search, Trial, Tuning
from reports.tuning.primitives import Point, plot_expected_best, plot_intervals, plot_trials
from reports.tuning.selection import POOLED, splits_of
from reports.tuning.tables import variant_name

DOT: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 4.5}
MOST_PANELS = 12  # parameters that get a panel of the figure of trials
MOST_CURVES = 6  # curves of the expected best in one panel


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
    order = sorted(own.variants, key=lambda v: _place(found, v))
    names = [variant_name(own, variant) for variant in order]
    grids = [[score_iqm(e, e.of(v), own.score) if len(e.of(v)) else _NONE for v in order] for e in own.grids]
    marks = _marks(["untuned", "tuned"][: len(grids)])
    fig, ax = _rows(own, names, grids, marks)
    handles = [Line2D([], [], **mark) for mark in marks] + reference_lines(own.untuned, own.score, ax.axvline)
    ax.set_xlabel(f"{own.label} ({own.direction} is better)")
    draw.place_legend(fig, handles)
    kind = interval_kind(interval for grid in grids for interval in grid)
    caption = (
        f"Interquartile mean of the {own.label} on test {splits_of(own).other} over the study's seeds, with its 95 % "
        f"{kind} interval, one row a variant {row_key(own.untuned)}, "
        f"the best {'after' if own.tuned else 'before'} tuning on top"
        + ("; an arrow marks a mean that failed replicas reach." if _lost(grids) else ".")
    )
    return Picture("ranking.png", "Scores before and after tuning", caption, fig)


def selection(found: Findings) -> Picture:
    """The winner's objective where it was chosen, on held-out seeds, and on test data."""
    own = found.tuning
    held = [h for h in found.held_out if h.variant != POOLED]
    other = splits_of(own).other
    places = [
        [Interval(h.selected, math.nan, math.nan, "none") for h in held],
        [h.validation for h in held],
        [h.test for h in held],
    ]
    labels = ["selection", f"held-out seeds, validation {other}", f"held-out seeds, test {other}"]
    marks = _marks(labels)
    fig, ax = _rows(own, [variant_name(own, h.variant) for h in held], places, marks)
    ax.set_xlabel(f"objective: {_aggregate(own)} {own.label} ({own.direction} is better)")
    draw.place_legend(fig, [Line2D([], [], **mark) for mark in marks])
    caption = (
        f"The objective of each variant's winner {row_key(own.untuned)}: the number it was chosen by, of "
        f"{own.tune['seeds']} validation seeds; the same settings on the study's own seeds and the same validation "
        f"{other}; and on test {other}, with 95 % bootstrap intervals over seeds. From the first to the second is the "
        "optimism of the selection; the third differs by the split itself too, as the untuned settings do."
    )
    return Picture("selection.png", "Selection and report apart", caption, fig)


def budget(found: Findings) -> Picture:
    """Expected best objective against the number of trials, the order they were drawn in, and the untuned settings."""
    own = found.tuning
    names = list(found.budget)
    colours = draw.palette([variant_name(own, v) for v in own.variants])
    values = [[i.estimate, i.low, i.high] for curve in found.budget.values() for i in curve]
    drawn = np.array([*np.ravel(values), *found.untuned_objectives.values()], dtype=float)
    log, limits = score_axis(own.untuned, own.score, drawn)
    columns = min(len(names), 2 if len(names) <= 4 else 3)
    rows = math.ceil(len(names) / columns)
    fig = draw.new_figure(0.8 + 1.75 * rows)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, variant in zip(axes.flat, names, strict=False):
        name = variant_name(own, variant)
        curve = np.array([interval[:3] for interval in found.budget[variant]])
        drawn_order = best_so_far(own.objectives(own.searches[variant]), own.direction)
        plot_expected_best(ax, curve, drawn_order, found.untuned_objectives.get(variant), limits, colours[name])
        ax.set_title(name)
        if log:
            ax.set_yscale("log")
            draw.log_ticks(ax.yaxis)
        ax.set_ylim(*limits)
    fig.supxlabel("trials", fontsize=8.5)
    label = f"{_aggregate(own)} {own.label} ({own.direction} is better)"
    fig.supylabel(draw.wrapped(label, 0.8 * fig.get_figheight()), fontsize=8.5)
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
            f"The sampler ({own.tune['sampler']}) learns from earlier trials, so they are not exchangeable: the "
            "expected curve is that of their average order, and the steps may fall faster or slower."
        )
    if found.untuned_objectives:
        parts.append(
            f"Dashed is the same objective of the untuned settings, which nobody chose, of {found.untuned_seeds} of "
            f"the study's own seeds on validation {splits_of(own).other}; a trial's is of {own.tune['seeds']} seeds."
        )
    if any(not t.scored for search in own.searches.values() for t in search.ended):
        parts.append("A trial that was pruned or whose replicas all failed counts as the worst value.")
    return " ".join(parts)


def trials(found: Findings) -> Picture:
    """Objective of every trial against each parameter that was searched, one panel a parameter."""
    own = found.tuning
    parameters = list(own.parameters)[:MOST_PANELS]
    colours = dict(zip(own.variants, draw.palette(own.variants).values(), strict=True))
    ended = [(v, t) for v, search in own.searches.items() for t in search.ended]
    scored = np.array([t.values[0] for _, t in ended if t.scored])
    log, limits = score_axis(own.untuned, own.score, scored)
    columns = min(len(parameters), 3)
    rows = math.ceil(len(parameters) / max(columns, 1))
    fig = draw.new_figure(0.9 + 1.8 * rows)
    axes = fig.subplots(rows, columns, sharey=True, squeeze=False)
    for ax in axes.flat[len(parameters) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, parameters, strict=False):
        before = {v: own.untuned.plan.variants.get(v, {}).get(name) for v in own.variants}
        points = [_point(own, v, t, name) for v, t in ended if name in t.params]
        plot_trials(ax, points, own.parameters[name], before, colours, limits, own.direction, log)
        ax.set_xlabel(f"`{name}`".replace("`", ""))
    label = f"{_aggregate(own)} {own.label} ({own.direction} is better)"
    fig.supylabel(draw.wrapped(label, 0.8 * fig.get_figheight()), fontsize=8.5)
    draw.place_legend(fig, _trial_handles(own, ended, colours))
    left = len(own.parameters) - len(parameters)
    caption = (
        f"The objective of every trial against each parameter, in the colours of the variants {row_key(own.untuned)}. "
        "Vertical lines are the untuned settings, in a variant's colour where they differ. A hollow mark has some "
        "replicas that failed, each of which counts as its set score; crosses at the bad end are trials without one."
        + (f" {left} further parameters are not drawn." if left else "")
    )
    return Picture("trials.png", "Every trial of the search", caption, fig)


def _point(tuning: Tuning, variant: str, trial: Trial, name: str) -> Point:
    value = trial.params[name]
    value = level_label(value) if tuning.parameters[name].get("low") is None else value
    state = "failed" if not trial.scored else "partly" if trial.failures else "whole"
    return Point(variant, value, trial.values[0] if trial.scored else math.nan, state)


def _trial_handles(tuning: Tuning, ended: list[tuple[str, Trial]], colours: dict[str, Any]) -> list[Line2D]:
    handles = [Line2D([], [], color=colours[v], label=variant_name(tuning, v), **DOT) for v in tuning.variants]
    grey: dict[str, Any] = {"color": "0.3", "linestyle": "", "markersize": 4.5}
    if any(t.scored and t.failures for _, t in ended):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="some replicas failed", **grey))
    if any(not t.scored for _, t in ended):
        handles.append(Line2D([], [], marker="x", label="no score", **grey))
    return [*handles, Line2D([], [], **draw.REFERENCE, label="untuned")]


def importances(tuning: Tuning) -> Picture:
    """Share of each parameter in each variant's search."""
    known = [search for search in tuning.searches.values() if search.importances]
    names = list(tuning.parameters)
    told = {n: [s.importances[n] for s in known if n in s.importances] for n in names}
    names.sort(key=lambda n: -float(np.mean(told[n] or [-1])))
    colours = dict(zip(tuning.variants, draw.palette(tuning.variants).values(), strict=True))
    fig = draw.new_figure(0.8 + (0.12 + 0.09 * len(known)) * len(names))
    ax = fig.subplots()
    height = 0.8 / len(known)
    for k, search in enumerate(known):
        rows = np.arange(len(names)) + (k - (len(known) - 1) / 2) * height
        shares = [search.importances.get(name, math.nan) for name in names]
        ax.barh(rows, shares, height=0.9 * height, color=colours[search.variant])
    draw.label_rows(ax, names)
    ax.set_xlim(0, 1)
    ax.set_xlabel("importance (share)")
    handles = [
        Line2D([], [], color=colours[s.variant], linewidth=5, label=variant_name(tuning, s.variant)) for s in known
    ]
    draw.place_legend(fig, handles if len(known) > 1 else [])
    gaps = any(len(shares) < len(known) for shares in told.values())
    without = sum(not search.importances for search in tuning.searches.values())
    caption = (
        "How much of the objective's variation over the search each parameter explains, shares that sum to 1 in a "
        "variant, the largest mean on top. They are of the ranges that were searched, and with few trials no more than "
        "a hint."
        + (" A parameter without a bar was not in every trial, so that its share cannot be told." if gaps else "")
        + (f" Left out: {without} variant{'s' if without > 1 else ''} of which it cannot be told." if without else "")
    )
    return Picture("importances.png", "Which parameters matter", caption, fig)


def front(tuning: Tuning) -> Picture:
    """Both objectives of every trial, and the trials that no other beats in both."""
    colours = dict(zip(tuning.variants, draw.palette(tuning.variants).values(), strict=True))
    both = {v: second_values(search) for v, search in tuning.searches.items()}
    values = np.array([pair[0] for own in both.values() for pair in own.values()])
    log, limits = score_axis(tuning.untuned, tuning.score, values)
    fig = draw.new_figure(3.2)
    ax = fig.subplots()
    for k, (variant, own) in enumerate(both.items()):
        _front_of(ax, tuning.searches[variant], own, colours[variant], 0.004 * (k - (len(both) - 1) / 2))
    if log:
        ax.set_xscale("log")
        draw.log_ticks(ax.xaxis)
    ax.set(xlim=limits, ylim=(-0.04, 1.04))
    ax.set_xlabel(f"{_aggregate(tuning)} {tuning.label} ({tuning.direction} is better)")
    ax.set_ylabel(SECOND[tuning.tune["second"]])
    handles = [Line2D([], [], color=colours[v], label=variant_name(tuning, v), **DOT) for v in both]
    ring: dict[str, Any] = {"marker": "*", "linestyle": "", "markersize": 9}
    draw.place_legend(fig, [*handles, Line2D([], [], color="0.3", label="winner", **ring)])
    caption = (
        f"Both objectives of every trial; joined are those that no other trial of their variant beats in both. The "
        f"winner has the lowest {SECOND[tuning.tune['second']]} of them, and of several with that the best score."
    )
    return Picture("front.png", "Score against failures", caption, fig)


def _front_of(ax: Axes, search: Search, both: dict[int, tuple[float, float]], colour: Any, shift: float) -> None:
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


_NONE = Interval(math.nan, math.nan, math.nan, "none")
_COLOURS = ("#8c8c8c", "#0059a8", "#c8401c")
_SHAPES = ("o", "o", "D")


def _marks(labels: list[str]) -> list[dict[str, Any]]:
    """Marks of what is set side by side in one row, from before to after."""
    styles = zip(labels, _COLOURS, _SHAPES, strict=False)
    return [{"color": c, "marker": m, "markersize": 5, "linewidth": 1.3, "label": name} for name, c, m in styles]


def _rows(tuning: Tuning, names: list[str], groups: list[list[Interval]], marks: list[dict[str, Any]]) -> Any:
    """A figure with one row a name, and in it one interval a group, from top to bottom."""
    values = np.array([[i.estimate, i.low, i.high] for group in groups for i in group])
    log, limits = score_axis(tuning.untuned, tuning.score, values.ravel())
    fig = draw.new_figure(1.0 + max(0.27, 0.16 * len(groups)) * max(len(names), 1))
    ax = fig.subplots()
    for k, (group, mark) in enumerate(zip(groups, marks, strict=True)):
        offset = 0.24 * (k - (len(groups) - 1) / 2)
        plot_intervals(
            ax, group, offset, limits, tuning.direction, **{key: mark[key] for key in mark if key != "label"}
        )
    if log:
        ax.set_xscale("log")
        draw.log_ticks(ax.xaxis)
    ax.set_xlim(*limits)
    draw.label_rows(ax, names)
    return fig, ax


def _lost(groups: list[list[Interval]]) -> bool:
    return any(math.isinf(interval.estimate) for group in groups for interval in group)


def _place(found: Findings, variant: str) -> tuple[float, float]:
    """Rank after tuning, then before; without a rank last."""
    place = found.tuning.variants.index(variant)
    before, after = (ranks[place] or math.inf for ranks in found.ranking.ranks)
    return after, before


def _aggregate(tuning: Tuning) -> str:
    return "interquartile mean" if tuning.tune["aggregate"] == "iqm" else tuning.tune["aggregate"]
