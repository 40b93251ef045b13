"""The figures of one study, each with a caption that says what it shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D

from reports.figures import primitives as draw
from reports.figures.effects import evidence_pictures
from reports.figures.layout import (
    Picture,
    best_and_worst,
    drawn_levels,
    layout_of,
    left_out,
    reference_lines,
    room_for_failures,
    row_key,
    score_axis,
    short_name,
)
from reports.figures.samples import sample_pictures
from reports.figures.training import training_pictures
from reports.stats.intervals import iqm
from reports.study.evidence import Evidence
from reports.study.tables import goal, number, ranking, reached, score_values


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """Draw every figure of a study, one at a time."""
    yield final_scores(evidence)
    if sum(len(levels) > 1 for levels in evidence.factors.values()) > 1:
        yield heat_map(evidence)  # over one factor it would only repeat the figure before
    yield from evidence_pictures(evidence)
    yield from training_pictures(evidence)
    yield from sample_pictures(evidence)


def final_scores(evidence: Evidence) -> Picture:
    """Every replica's final score, one strip a variant, best on top."""
    score, (order, few) = evidence.primary, best_and_worst(ranking(evidence))
    direction = evidence.direction(score)
    groups = {short_name(evidence, v): score_values(evidence, evidence.of(v), score) for v in order}
    means = {name: iqm(values, direction) for name, values in groups.items()}
    hues = draw.palette(evidence.factors[evidence.factor] if evidence.factor else [""])
    named = drawn_levels(evidence, evidence.factor)
    colours = {
        short_name(evidence, v): hues[str(evidence.variants.loc[v, evidence.factor]) if evidence.factor else ""]
        for v in order
    }
    finite = np.concatenate([v[np.isfinite(v)] for v in groups.values()])
    log, (low, high) = score_axis(evidence, score, finite)
    failed = any(not np.isfinite(v).all() for v in groups.values())
    worst, low, high = room_for_failures(low, high, log, direction) if failed else (high, low, high)

    fig = draw.row_figure(len(groups), 1.0)
    ax = fig.subplots()
    draw.plot_strip(ax, groups, means, colours, worst)
    if log:
        draw.log_scale(ax, "x")
    ax.set_xlim(low, high)
    ax.set_xlabel(f"{evidence.label(score)} ({direction} is better)")
    handles = [Line2D([], [], color="black", linewidth=1.6, label="interquartile mean")]
    handles += reference_lines(evidence, score, ax.axvline)
    if evidence.factor:
        dots = {"marker": "o", "linestyle": "", "markersize": 4}
        handles = [Line2D([], [], color=hues[k], label=f"{evidence.factor} {k}", **dots) for k in named] + handles
    if failed:
        handles.append(Line2D([], [], color="0.3", marker="x", linestyle="", markersize=4, label="failed"))
    draw.place_legend(fig, handles)
    caption = (
        f"Final {evidence.label(score)} of every replica, one row a variant "
        f"{row_key(evidence)}, the best interquartile mean on top; the bars are these means"
        + (", crosses failed replicas, which rank last." if failed else ".")
        + few
    )
    return Picture("scores.png", "Final scores", caption, fig)


def heat_map(evidence: Evidence) -> Picture:
    """Interquartile mean over two factors, facets over a third; each cell counts the replicas at the goal."""
    score, layout = evidence.primary, layout_of(evidence)
    direction = evidence.direction(score)
    across, facet = layout.columns, layout.rows
    rows, columns = drawn_levels(evidence, layout.colour), drawn_levels(evidence, across)
    facets = drawn_levels(evidence, facet)
    means = {f: pd.DataFrame(index=rows, columns=columns, dtype=float) for f in facets}
    notes = {f: pd.DataFrame("", index=rows, columns=columns) for f in facets}
    for f, row, column in itertools.product(facets, rows, columns):
        replicas = evidence.results[evidence.results["variant"].isin(layout.cell(evidence, f, column, row))]
        if len(replicas):
            mean = iqm(score_values(evidence, replicas, score), direction)
            means[f].loc[row, column] = mean
            count = f"\n{reached(evidence, replicas).sum()}/{len(replicas)}" if evidence.reached else ""
            notes[f].loc[row, column] = f"{number(mean)}{count}"
    for own in means.values():
        own.index.name, own.columns.name = layout.colour, across

    everything = np.concatenate([m.to_numpy(float).ravel() for m in means.values()])
    norm = draw.heat_norm(everything, evidence.spans_decades(score))
    # viridis runs from dark to light: the light end is the good one whatever the score's direction.
    cmap = "viridis_r" if direction == "lower" else "viridis"
    stacked = len(facets) * len(columns) > 12  # narrower cells would not hold their texts
    down = len(facets) if stacked else 1
    height = 0.65 + 0.5 * down * (len(rows) + 1)
    fig = draw.new_figure(height)
    axes = fig.subplots(down, len(facets) // down, squeeze=False, sharex=True, sharey=True).ravel()
    cell = 0.7 * draw.WIDTH / (len(columns) * (len(facets) // down))
    for ax, f in zip(axes, facets, strict=True):
        draw.plot_heat(ax, means[f], notes[f], norm, cmap, f"{facet} {f}" if facet else "")
        if max(map(len, columns)) * draw.LETTER > cell:
            ax.tick_params(axis="x", rotation=30)
        ax.label_outer()
    label = draw.wrapped(f"{evidence.label(score)} ({direction} is better)", 0.75 * height)
    if np.isfinite(everything).any():
        bar = fig.colorbar(axes[0].collections[0], ax=axes, label=label, pad=0.015)
        if isinstance(norm, LogNorm):
            draw.log_ticks(bar.ax.yaxis)
    caption = f"Interquartile mean of the {evidence.label(score)} over the replicas in each cell (lighter is better)"
    caption += f", and how many of them reached {goal(evidence)}" if evidence.reached else ""
    caption += "; pooled over " + " and ".join(f"`{f}`" for f in layout.pooled) if layout.pooled else ""
    caption += "; grey where failed replicas reach the middle half" if np.isinf(everything).any() else ""
    caption += "." + left_out(evidence, layout.colour, across, facet)
    return Picture("heat_map.png", "Scores over the factors", caption, fig)
