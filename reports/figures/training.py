"""Figures of the training: scores, the discriminator's value, gradients, and paths in the colours of their verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.figures import intervals as draw_evidence
from reports.figures import primitives as draw
from reports.figures.layout import (
    Picture,
    band_facets,
    colour_handles,
    comparable_values,
    curve_of,
    drawn_levels,
    equilibrium,
    equilibrium_lines,
    layout_of,
    loss_axis,
    quartile_curves,
    recorded,
    reference_lines,
    scale_loss,
    score_axis,
)
from reports.ledger.histories import Curves, Records
from reports.stats.intervals import bands
from reports.study.evidence import Evidence
from reports.study.tables import score_values

MOST_PATHS = 60  # lines that can still be told apart in one panel
VALUE, GRADIENT, LAYER = "value/discriminator", "gradient/generator", "gradient/generator/"


def training_pictures(evidence: Evidence, records: Records) -> Iterator[Picture]:
    """Draw what the history holds, one figure at a time.

    Args:
        evidence: The study's.
        records: Of its replicas.
    """
    metrics = records.survey.metrics
    curve = curve_of(evidence, metrics)
    named = [metric for metric in (f"score/{curve}", VALUE, GRADIENT) if metric in metrics]
    history = records.of(*named)
    tables = {metric: history[history["metric"] == metric] for metric in named}
    del history  # of thousands of replicas it is large
    if curve and not _moves(tables[f"score/{curve}"]):
        del tables[f"score/{curve}"]
        curve = None
    # A gradient that is never positive is that of a fixed generator.
    drawn = {name: own for name, own in tables.items() if name != GRADIENT or (own["value"] > 0).any()}
    if evidence.results["verdict"].notna().any() and drawn:
        yield trajectories(evidence, drawn, curve)
    if curve:
        yield score_curves(evidence, tables[f"score/{curve}"], curve)
    if VALUE in metrics:
        yield value_curves(evidence, tables[VALUE])
    if "layer_gradients" in evidence.study.checks and f"{LAYER}1" in metrics:
        yield layer_gradients(evidence, records)


def _moves(table: pd.DataFrame) -> bool:
    """Whether some replica's score changes at all: that of a generator which is never trained does not."""
    by_replica = table.groupby("replica", observed=True)["value"]
    return bool((by_replica.nunique() > 1).any() or (by_replica.size() < 2).any())


def score_curves(evidence: Evidence, table: pd.DataFrame, curve: str) -> Picture:
    """A score through training, medians and bands, failed replicas last."""
    layout, direction = layout_of(evidence), evidence.direction(curve)
    log, limits = score_axis(evidence, curve, table["value"].to_numpy(float))
    axis = f"{evidence.label(curve)} ({direction} is better)"
    fig, axes = band_facets(evidence, layout, table, direction, limits, axis)
    handles = colour_handles(evidence, layout)
    references = []
    for ax in axes.flat:
        if log:
            ax.set_yscale("log")
            draw.log_ticks(ax.yaxis)
        references = reference_lines(evidence, curve, ax.axhline)
    draw.place_legend(fig, [*handles, *references])
    caption = (
        f"The {evidence.label(curve)} through training: median over replicas, band from lower to upper quartile"
        + (
            "; failed replicas rank last, and a band or line ends where they begin"
            if (evidence.results["status"] != "ok").any()
            else ""
        )
        + "."
        + layout.describe(evidence)
    )
    return Picture("score_curves.png", "Scores through training", caption, fig)


def value_curves(evidence: Evidence, table: pd.DataFrame) -> Picture:
    """The discriminator's value through training, medians and bands over the replicas still training."""
    layout = layout_of(evidence)
    table, label, left_out = comparable_values(evidence, table)
    own = Curves(table)
    drawn = [quartile_curves(own, recorded(evidence, own, [v]), None)[1].ravel() for v in evidence.variants.index]
    limits, cut, scale = loss_axis(np.concatenate(drawn), equilibrium(evidence)[1])
    fig, axes = band_facets(evidence, layout, table, None, limits, label)
    for ax in axes.flat:
        scale_loss(ax, scale, limits)
    handles = colour_handles(evidence, layout, table["replica"])
    draw.place_legend(fig, [*handles, *equilibrium_lines(evidence, axes.flat)])
    survivors = ", over the replicas still training" if (evidence.results["status"] != "ok").any() else ""
    caption = (
        "The discriminator's value: the mean of its loss over both halves, on one scale for every variant. "
        f"Median and interquartile band{survivors}, each point the mean of a window of steps."
        f"{' The axis leaves out the most extreme hundredth of the curves.' if cut else ''}{left_out}"
    )
    return Picture("discriminator.png", "Discriminator's value", caption + layout.describe(evidence), fig)


def trajectories(evidence: Evidence, tables: Mapping[str, pd.DataFrame], curve: str | None) -> Picture:
    """Every replica's path through training in the colour of its verdict: score, discriminator's value, gradient.

    Args:
        evidence: The study's.
        tables: The records of each metric that is to be drawn, from left to right.
        curve: The score that is among them, if one is.
    """
    results = evidence.results
    shown = evenly_by_rank(evidence, MOST_PATHS)
    counts = results["verdict"].value_counts()
    # The commonest verdict at the back, so that the few others are not hidden.
    shown = shown.assign(_size=shown["verdict"].map(counts)).sort_values("_size", ascending=False, kind="stable")
    fig = draw.new_figure(3.0)
    handles: list[Line2D] = []
    cut, left_out = False, ""
    for ax, metric in zip(fig.subplots(1, len(tables), squeeze=False)[0], tables, strict=True):
        table = tables[metric]
        table = table[table["replica"].isin(list(shown["replica"]))]
        if metric == VALUE:
            table, title, left_out = comparable_values(evidence, table)
        by_replica = table.groupby("replica", observed=True)
        paths = {id: (own["step"].to_numpy(), own["value"].to_numpy(float)) for id, own in by_replica}
        values = table["value"].to_numpy(float)
        if metric == VALUE:
            limits, cut, scale = loss_axis(values, equilibrium(evidence)[1])
            scale_loss(ax, scale, limits)
            handles += equilibrium_lines(evidence, [ax])
        elif metric == GRADIENT:
            ax.set_yscale("log")
            draw.log_ticks(ax.yaxis)
            limits = decades(values)
            title = "norm of the generator's gradient"
        else:
            assert curve is not None
            log, limits = score_axis(evidence, curve, values)
            if log:
                ax.set_yscale("log")
                draw.log_ticks(ax.yaxis)
            good = f"({evidence.direction(curve)} is better)".replace(" ", "\N{NO-BREAK SPACE}")
            title = f"{evidence.label(curve)} {good}"
            handles += reference_lines(evidence, curve, ax.axhline, zorder=3)
        ordered = [
            (paths[id], verdict) for id, verdict in zip(shown["replica"], shown["verdict"], strict=True) if id in paths
        ]
        draw_evidence.plot_paths(ax, ordered)
        ax.set(xlim=(0, 1.02 * evidence.study.steps), ylim=limits)
        ax.set_title(textwrap.fill(title, 38), fontsize=8.5)
    fig.supxlabel("training step", fontsize=8.5)
    named = [
        Line2D([], [], color=colour, linewidth=2, label=f"{verdict} {counts[verdict]}")
        for verdict, colour in draw.VERDICT_COLOURS.items()
        if verdict in counts
    ]
    draw.place_legend(fig, [*named, *handles])
    total = int(results["verdict"].notna().sum())
    few = (
        f" {len(shown)} of the {total} are drawn, chosen evenly by the rank of their score."
        if len(shown) < total
        else ""
    )
    stopped = " A cross ends one that diverged or ran away." if "diverged" in counts else ""
    left_out += " The axis of the value leaves out the most extreme hundredth." if cut else ""
    caption = (
        f"Replicas through training, each a line in the colour of its verdict; the legend counts all {total}.{few}"
        f"{stopped} The discriminator's value and the gradient are means over windows of steps"
        f"{', the score is taken at each evaluation' if curve else ''}.{left_out}"
    )
    return Picture("trajectories.png", "Replicas through training, by verdict", caption, fig)


def layer_gradients(evidence: Evidence, records: Records) -> Picture:
    """The gradient's norm at each layer of the generator over the second half of training, medians and bands."""
    layout = layout_of(evidence)
    layout = replace(layout, rows=None, pooled=[f for f in (layout.rows, *layout.pooled) if f])
    history = records.of(*(name for name in records.survey.metrics if name.startswith(LAYER)))
    late = history[history["step"] > evidence.study.steps / 2]
    late = late.assign(replica=late["replica"].astype(str), layer=late["metric"].str.removeprefix(LAYER).astype(int))
    norms = late.pivot_table(index="replica", columns="layer", values="value", aggfunc="median", dropna=False)
    layers = norms.columns.to_numpy()
    columns, levels = drawn_levels(evidence, layout.columns), drawn_levels(evidence, layout.colour)
    colours = draw.palette(levels)
    limits = decades(norms.to_numpy(float))

    def cell(ax: Axes, _: int, j: int) -> None:
        for level in levels:
            names = layout.cell(evidence, "", columns[j], level)
            own = norms.loc[norms.index.isin(evidence.results.loc[evidence.results["variant"].isin(names), "replica"])]
            # An exact zero has no place on a logarithmic axis: it lies on the lower edge.
            quartiles = np.clip(bands(own.to_numpy(float)), limits[0], None)
            draw.plot_band(ax, layers, quartiles, limits, color=colours[level], marker="o", markersize=3.5)
        ax.set_yscale("log")
        draw.log_ticks(ax.yaxis)
        ax.set(ylim=limits, xlim=(layers[0] - 0.3, layers[-1] + 0.3), xticks=layers)

    fig = draw.new_figure(3.0)
    titles = layout.titles(evidence, layout.columns)
    draw.facet_grid(fig, [""], titles, cell, "layer of the generator, 1 at the latent", "norm of the gradient")
    draw.place_legend(fig, colour_handles(evidence, layout))
    without = int((~evidence.results["replica"].isin(norms.index)).sum())
    caption = (
        "Norm of the generator's gradient at each of its layers: of each replica the median over the windows of the "
        "second half of training, of these the median over replicas and the interquartile band."
        + (f" {without} of {len(evidence.results)} replicas left no record there." if without else "")
        + (" A norm of zero lies on the lower edge." if (norms == 0).any(axis=None) else "")
        + layout.describe(evidence)
    )
    return Picture("layers.png", "Gradients by layer", caption, fig)


def evenly_by_rank(evidence: Evidence, most: int) -> pd.DataFrame:
    """At most `most` of the replicas that have a verdict, spread evenly by rank from the best score to the worst."""
    judged = evidence.results[evidence.results["verdict"].notna()]
    values = score_values(evidence, judged, evidence.primary)
    worth = values if evidence.direction(evidence.primary) == "lower" else -values
    ranked = judged.iloc[np.argsort(np.where(np.isfinite(worth), worth, np.inf), kind="stable")]
    places = np.linspace(0, len(ranked) - 1, min(most, len(ranked))).round().astype(int)
    return ranked.iloc[places]


def decades(values: np.ndarray) -> tuple[float, float]:
    """Limits of a logarithmic axis that hold the positive ones of the values."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0:
        return 0.1, 1.0
    return float(positive.min()) / 1.4, float(positive.max()) * 1.4
