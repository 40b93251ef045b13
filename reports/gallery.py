"""The figures of one study, each with a caption that says what it shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D

from benchmarks.ledger import Ledger
from reports import figures as draw
from reports.evidence import EQUILIBRIUM, Evidence
from reports.gallery_samples import sample_pictures
from reports.layout import (
    Picture,
    band_facets,
    colour_handles,
    is_log,
    layout_of,
    loss_limits,
    reference_lines,
    room_for_failures,
    score_axis,
    short_name,
)
from reports.tables import goal, number, ranking, reached, score_quartiles, score_values


def pictures(evidence: Evidence, ledger: Ledger) -> Iterator[Picture]:
    """Draw every figure of a study, one at a time."""
    yield final_scores(evidence)
    if evidence.factors:
        yield heat_map(evidence)
    history = ledger.history()
    history = history[history["replica"].isin(evidence.results["replica"])]
    curve = _curve_of(evidence, history)
    if curve:
        yield score_curves(evidence, history, curve)
    yield loss_curves(evidence, history, "value/discriminator")
    yield loss_curves(evidence, history, "loss/generator")
    yield from sample_pictures(evidence, ledger)


def final_scores(evidence: Evidence) -> Picture:
    """Every replica's final score, one strip a variant, best on top."""
    score, order = evidence.primary, ranking(evidence)
    direction = evidence.direction(score)
    groups = {short_name(evidence, v): score_values(evidence, evidence.of(v), score) for v in order}
    medians = {short_name(evidence, v): score_quartiles(evidence, evidence.of(v), score)[1] for v in order}
    hues = draw.palette(evidence.factors[evidence.factor] if evidence.factor else [""])
    colours = {
        short_name(evidence, v): hues[str(evidence.variants.loc[v, evidence.factor]) if evidence.factor else ""]
        for v in order
    }
    finite = np.concatenate([v[np.isfinite(v)] for v in groups.values()])
    log, (low, high) = score_axis(evidence, score, finite)
    failed = any(not np.isfinite(v).all() for v in groups.values())
    worst, low, high = room_for_failures(low, high, log, direction) if failed else (high, low, high)

    fig = draw.new_figure(1.0 + 0.27 * len(groups))
    ax = draw.plot_strip(fig.subplots(), groups, medians, colours, worst)
    if log:
        ax.set_xscale("log")
        draw.log_ticks(ax.xaxis)
    ax.set_xlim(low, high)
    ax.set_xlabel(f"{evidence.label(score)} ({direction} is better)")
    handles = [Line2D([], [], color="black", linewidth=1.6, label="median")]
    handles += reference_lines(evidence, score, ax.axvline)
    if evidence.factor:
        dots = {"marker": "o", "linestyle": "", "markersize": 4}
        handles = [Line2D([], [], color=hues[k], label=f"{evidence.factor} {k}", **dots) for k in hues] + handles
    if failed:
        handles.append(Line2D([], [], color="0.3", marker="x", linestyle="", markersize=4, label="failed"))
    fig.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
    caption = (
        f"Final {evidence.label(score)} of every replica, one row a variant "
        f"({' · '.join(evidence.factors) or 'one variant'}), best median on top; bars are medians"
        + (", crosses are failed replicas, which rank last." if failed else ".")
    )
    return Picture("scores.png", "Final scores", caption, fig)


def heat_map(evidence: Evidence) -> Picture:
    """Median score over two factors, facets over a third; each cell counts the replicas at the goal."""
    score, layout = evidence.primary, layout_of(evidence)
    direction = evidence.direction(score)
    across, facet = layout.columns, layout.rows
    rows = evidence.factors[layout.colour] if layout.colour else [""]
    columns = evidence.factors[across] if across else [""]
    facets = evidence.factors[facet] if facet else [""]
    medians = {f: pd.DataFrame(index=rows, columns=columns, dtype=float) for f in facets}
    notes = {f: pd.DataFrame("", index=rows, columns=columns) for f in facets}
    for f in facets:
        medians[f].index.name, medians[f].columns.name = layout.colour, across
        for row in rows:
            for column in columns:
                names = layout.cell(evidence, f, column, row)
                replicas = evidence.results[evidence.results["variant"].isin(names)]
                median = score_quartiles(evidence, replicas, score)[1]
                medians[f].loc[row, column] = median
                count = f"\n{reached(evidence, replicas).sum()}/{len(replicas)}" if evidence.reached else ""
                notes[f].loc[row, column] = f"{number(median)}{count}" if len(replicas) else ""

    everything = np.concatenate([m.to_numpy(float).ravel() for m in medians.values()])
    norm = draw.heat_norm(everything, is_log(score))
    # viridis runs from dark to light: the light end is the good one whatever the score's direction.
    cmap = "viridis_r" if direction == "lower" else "viridis"
    fig = draw.new_figure(1.15 + 0.5 * len(rows))
    axes = fig.subplots(1, len(facets), squeeze=False, sharey=True)[0]
    for ax, f in zip(axes, facets, strict=True):
        draw.plot_heat(ax, medians[f], notes[f], norm, cmap, f"{facet} {f}" if facet else "")
        ax.label_outer()
    label = f"median {evidence.label(score)}\n({direction} is better)"
    if np.isfinite(everything).any():
        bar = fig.colorbar(axes[0].collections[0], ax=axes, label=label, pad=0.015)
        if isinstance(norm, LogNorm):
            draw.log_ticks(bar.ax.yaxis)
    caption = f"Median {evidence.label(score)} of the replicas in each cell (lighter is better)"
    caption += f", and how many of them reached {goal(evidence)}" if evidence.reached else ""
    caption += "; pooled over " + " and ".join(f"`{f}`" for f in layout.pooled) if layout.pooled else ""
    caption += "; grey where the median replica failed" if np.isinf(everything).any() else ""
    return Picture("heat_map.png", "Scores over the factors", caption + ".", fig)


def score_curves(evidence: Evidence, history: pd.DataFrame, curve: str) -> Picture:
    """A score through training, medians and bands, failed replicas last."""
    layout, direction = layout_of(evidence), evidence.direction(curve)
    table = history[history["metric"] == f"score/{curve}"]
    log, limits = score_axis(evidence, curve, table["value"].to_numpy(float))
    axis = f"{evidence.label(curve)} ({direction} is better)"
    fig, axes = band_facets(evidence, layout, table, direction, limits, axis)
    handles = colour_handles(evidence, layout)
    for ax in axes.flat:
        if log:
            ax.set_yscale("log")
            draw.log_ticks(ax.yaxis)
        references = reference_lines(evidence, curve, ax.axhline)
    handles += references
    if handles:
        fig.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))
    caption = (
        f"{evidence.label(curve)} through training: median over replicas, band from lower to upper quartile"
        + (
            "; failed replicas rank last, and a band or line ends where they begin"
            if (evidence.results["status"] != "ok").any()
            else ""
        )
        + "."
        + layout.describe()
    )
    return Picture("score_curves.png", "Scores through training", caption, fig)


def loss_curves(evidence: Evidence, history: pd.DataFrame, metric: str) -> Picture:
    """A loss through training, medians and bands over the replicas still training."""
    layout = layout_of(evidence)
    table = history[history["metric"] == metric]
    discriminator = metric == "value/discriminator"
    label = "discriminator's value (nats)" if discriminator else "generator's loss (nats)"
    limits, cut = loss_limits(evidence, table, [EQUILIBRIUM] if discriminator else [])
    fig, axes = band_facets(evidence, layout, table, None, limits, label)
    handles = colour_handles(evidence, layout)
    if discriminator:
        for ax in axes.flat:
            ax.axhline(EQUILIBRIUM, **draw.REFERENCE)
        handles.append(Line2D([], [], **draw.REFERENCE, label="equilibrium log 2"))
    if handles:
        fig.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))
    subject = (
        "The discriminator's value: the mean of its loss over both halves, on one scale for every variant"
        if discriminator
        else "The generator's loss as trained; variants with other losses have other scales and equilibria"
    )
    survivors = ", over the replicas still training" if (evidence.results["status"] != "ok").any() else ""
    caption = f"{subject}. Median and interquartile band{survivors}, each point the mean of a window of steps."
    caption += " The axis leaves out the most extreme hundredth of the curves." if cut else ""
    name, title = (
        ("discriminator.png", "Discriminator's value") if discriminator else ("generator.png", "Generator's loss")
    )
    return Picture(name, title, caption + layout.describe(), fig)


def _curve_of(evidence: Evidence, history: pd.DataFrame) -> str | None:
    """The score to show through training: the primary one, or its kin at another sample size, or any."""
    metrics = set(history["metric"].unique())
    curves = [name for name in evidence.references if f"score/{name}" in metrics]
    kin = [name for name in curves if name.split("_")[0] == evidence.primary.split("_")[0]]
    return next(iter([n for n in curves if n == evidence.primary] + kin + curves), None)
