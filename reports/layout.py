"""How a study's factors and scores map onto a page: colours, rows, columns, axes and reference lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import figures as draw
from reports.evidence import Evidence
from reports.statistics import bands
from reports.tables import number

# Scores whose values span decades are drawn on a logarithmic axis: distances are, shares and counts are not.
LOGARITHMIC = ("ks", "fid", "mode_kl")


@dataclass(frozen=True)
class Picture:
    """One figure of the report."""

    name: str
    """File name."""
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Layout:
    """Which factor is the colour, which spread over rows and columns; what is left is pooled."""

    colour: str | None
    columns: str | None
    rows: str | None
    pooled: list[str]

    def cell(self, evidence: Evidence, row: str, column: str, colour: str) -> list[str]:
        """Variants that belong in one facet under one colour."""
        wanted = {self.rows: row, self.columns: column, self.colour: colour}
        chosen = evidence.variants
        for factor, level in wanted.items():
            if factor is not None:
                chosen = chosen[chosen[factor] == level]
        return list(chosen.index)

    def titles(self, evidence: Evidence, factor: str | None) -> list[str]:
        """Facet titles along one side."""
        return [""] if factor is None else [f"{factor} {level}" for level in evidence.factors[factor]]

    def describe(self) -> str:
        """Return the end of a caption: what the colours and facets are."""
        if self.colour is None:
            return ""
        parts = [f" Colours are `{self.colour}`"]
        parts += [f"columns are `{self.columns}`"] if self.columns else []
        parts += [f"rows are `{self.rows}`"] if self.rows else []
        parts += [f"pooled over {' and '.join(f'`{f}`' for f in self.pooled)}"] if self.pooled else []
        return ", ".join(parts) + "."


def layout_of(evidence: Evidence) -> Layout:
    """Colour for the factor in question, columns for the one with most levels, rows for the next."""
    others = [f for f in evidence.factors if f != evidence.factor and len(evidence.factors[f]) > 1]
    others.sort(key=lambda factor: -len(evidence.factors[factor]))
    columns, rows, *pooled = [*others, None, None] if len(others) < 2 else others
    return Layout(evidence.factor, columns, rows, [f for f in pooled if f])


def band_facets(
    evidence: Evidence,
    layout: Layout,
    table: pd.DataFrame,
    direction: str | None,
    limits: tuple[float, float],
    ylabel: str,
) -> tuple[Figure, np.ndarray]:
    """Bands of one metric in small multiples."""
    rows = evidence.factors[layout.rows] if layout.rows else [""]
    columns = evidence.factors[layout.columns] if layout.columns else [""]
    levels = evidence.factors[layout.colour] if layout.colour else [""]
    colours = draw.palette(levels)

    def cell(ax: Axes, i: int, j: int) -> None:
        for level in levels:
            names = layout.cell(evidence, rows[i], columns[j], level)
            replicas = evidence.results.loc[evidence.results["variant"].isin(names), "replica"]
            steps, quartiles = quartile_curves(table, replicas, direction)
            marker = {"marker": "o", "markersize": 2.5} if len(steps) <= 20 else {}
            if len(steps):
                draw.plot_band(ax, steps, quartiles, limits, color=colours[level], **marker)
        ax.set(xlim=(0, 1.02 * evidence.study["steps"]), ylim=limits)

    fig = draw.new_figure(0.9 + 1.75 * len(rows))
    titles = layout.titles(evidence, layout.rows), layout.titles(evidence, layout.columns)
    return fig, draw.facet_grid(fig, *titles, cell, "training step", ylabel)


def quartile_curves(table: pd.DataFrame, replicas: pd.Series, direction: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Steps, shape [steps], and quartiles over replicas, shape [3, steps]; see `statistics.bands`."""
    chosen = table[table["replica"].isin(replicas)]
    curves = chosen.pivot_table(index="replica", columns="step", values="value", aggfunc="last", dropna=False)
    # A replica that failed before its first record has no row at all, yet it counts.
    curves = curves.reindex(list(replicas))
    return curves.columns.to_numpy(), bands(curves.to_numpy(float), direction)


def is_log(score: str) -> bool:
    """Whether a score is drawn on a logarithmic axis."""
    return score.startswith(LOGARITHMIC)


def score_axis(evidence: Evidence, score: str, values: np.ndarray) -> tuple[bool, tuple[float, float]]:
    """Whether a score's axis is logarithmic, and limits that hold its values, floor and threshold."""
    marks = [evidence.floor(score), evidence.reached.get(score)]
    held = np.array([*values[np.isfinite(values)], *(m for m in marks if m is not None)], dtype=float)
    if held.size == 0:
        return False, (0.0, 1.0)
    log = is_log(score) and bool((held > 0).any())
    if log:
        held = np.log10(held[held > 0])
    margin = 0.06 * max(held.max() - held.min(), 0.05 * abs(held.max()), 1e-3)
    low, high = float(held.min() - margin), float(held.max() + margin)
    return log, ((10**low, 10**high) if log else (low, high))


def room_for_failures(low: float, high: float, log: bool, direction: str) -> tuple[float, float, float]:
    """Where to put failed replicas, beyond the bad end of an axis, and the limits with room for them."""
    ends = np.log10([low, high]) if log else np.array([low, high])
    outward = (ends[1] - ends[0]) * (1 if direction == "lower" else -1)
    bad = ends[1] if direction == "lower" else ends[0]
    place, end = bad + 0.02 * outward, bad + 0.05 * outward
    ends = np.array([min(ends[0], end), max(ends[1], end)])
    place, low, high = (10.0 ** np.array([place, *ends])) if log else (place, *ends)
    return float(place), float(low), float(high)


def loss_limits(evidence: Evidence, table: pd.DataFrame, marks: list[float]) -> tuple[tuple[float, float], bool]:
    """Limits of a loss's axis, and whether they cut curves: few extreme points must not flatten the rest."""
    curves = [quartile_curves(table, evidence.of(v)["replica"], None)[1].ravel() for v in evidence.variants.index]
    values = np.concatenate([*curves, marks])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return (0.0, 1.0), False
    low, high = np.quantile(values, [0.005, 0.995])
    low, high = min([low, *marks]), max([high, *marks])
    cut = bool(np.ptp(values) > 2 * (high - low) > 0)
    if not cut:
        low, high = values.min(), values.max()
    margin = 0.05 * max(high - low, 1e-6)
    return (float(low - margin), float(high + margin)), cut


def reference_lines(evidence: Evidence, score: str, line: Callable[..., object]) -> list[Line2D]:
    """Draw a score's floor and threshold with `ax.axhline` or `ax.axvline`; return legend handles."""
    handles = []
    floor, threshold = evidence.floor(score), evidence.reached.get(score)
    if floor is not None:
        line(floor, **draw.REFERENCE)
        handles.append(Line2D([], [], **draw.REFERENCE, label=f"real data {number(floor)}"))
    if threshold is not None:
        dotted: dict[str, Any] = {**draw.REFERENCE, "linestyle": ":"}
        line(threshold, **dotted)
        handles.append(Line2D([], [], **dotted, label=f"goal {threshold:g}"))
    return handles


def colour_handles(evidence: Evidence, layout: Layout) -> list[Line2D]:
    """Legend handles of the factor that is the colour."""
    if layout.colour is None:
        return []
    colours = draw.palette(evidence.factors[layout.colour])
    return [Line2D([], [], color=colours[k], label=f"{layout.colour} {k}") for k in colours]


def short_name(evidence: Evidence, variant: str) -> str:
    """Return a variant by its levels alone: "saturating · batch · 0.5"."""
    return " · ".join(str(level) for level in evidence.variants.loc[variant]) or variant or "the variant"
