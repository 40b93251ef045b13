"""How a study's factors and scores map onto a page: colours, rows, columns, axes and reference lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.figures import primitives as draw
from reports.ledger.histories import Curves
from reports.stats.intervals import bands
from reports.study.evidence import LOG2, Evidence, is_log
from reports.study.tables import number
from reports.theory.section import CROSS_ENTROPY

MOST_LEVELS = 8  # of a factor in one figure: more lines cannot be told apart, and more panels not be read
MOST_ROWS = 60  # of variants in one figure
CROSS_ENTROPIES = "cross entropies"  # the scale of their values, which is nats


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
        return [""] if factor is None else [f"{factor} {level}" for level in drawn_levels(evidence, factor)]

    def describe(self, evidence: Evidence) -> str:
        """Return the end of a caption: what the colours and facets are, and which levels are left out."""
        if self.colour is None:
            return ""
        parts = [f" Colours are `{self.colour}`"]
        parts += [f"columns are `{self.columns}`"] if self.columns else []
        parts += [f"rows are `{self.rows}`"] if self.rows else []
        parts += [f"pooled over {' and '.join(f'`{f}`' for f in self.pooled)}"] if self.pooled else []
        return ", ".join(parts) + "." + left_out(evidence, self.colour, self.columns, self.rows)


def drawn_levels(evidence: Evidence, factor: str | None) -> list[str]:
    """The levels of a factor that a figure shows, evenly chosen where there are many; an empty one without a factor."""
    levels = evidence.factors[factor] if factor else [""]
    return [levels[i] for i in np.linspace(0, len(levels) - 1, min(MOST_LEVELS, len(levels))).round().astype(int)]


def left_out(evidence: Evidence, *factors: str | None) -> str:
    """Return a sentence on the factors of which only some levels are drawn; empty where all are."""
    many = [f for f in factors if f and len(evidence.factors[f]) > MOST_LEVELS]
    counts = ", ".join(f"{MOST_LEVELS} of {len(evidence.factors[f])} of `{f}`" for f in many)
    return f" Not all levels are drawn but {counts}, evenly chosen." if many else ""


def best_and_worst(order: Sequence[str]) -> tuple[list[str], str]:
    """Return the variants that a figure of one row a variant shows, and a sentence if these are not all.

    Args:
        order: From the best to the worst.
    """
    if len(order) <= MOST_ROWS:
        return list(order), ""
    half = MOST_ROWS // 2
    return [*order[:half], *order[-half:]], f" Of {len(order)} variants the {half} best and the {half} worst are drawn."


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
    rows, columns = drawn_levels(evidence, layout.rows), drawn_levels(evidence, layout.columns)
    levels = drawn_levels(evidence, layout.colour)
    colours = draw.palette(levels)
    curves = Curves(table)

    def cell(ax: Axes, i: int, j: int) -> None:
        for level in levels:
            replicas = recorded(evidence, curves, layout.cell(evidence, rows[i], columns[j], level))
            steps, quartiles = quartile_curves(curves, replicas, direction)
            marker = {"marker": "o", "markersize": 2.5} if len(steps) <= 20 else {}
            if len(steps):
                draw.plot_band(ax, steps, quartiles, limits, color=colours[level], **marker)
        ax.set(xlim=(0, 1.02 * evidence.study.steps), ylim=limits)

    fig = draw.new_figure(0.9 + 1.75 * len(rows))
    titles = layout.titles(evidence, layout.rows), layout.titles(evidence, layout.columns)
    return fig, draw.facet_grid(fig, *titles, cell, "training step", ylabel)


def recorded(evidence: Evidence, curves: Curves, variants: Sequence[str]) -> list[str]:
    """Replicas of some variants that left a history, or failed too early to: one whose file is lost did not fail."""
    own = [evidence.of(variant)[["replica", "status"]] for variant in variants]
    return [id for rows in own for id, status in rows.itertuples(index=False) if status != "ok" or id in curves]


def quartile_curves(curves: Curves, replicas: Sequence[str], direction: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Steps, shape [steps], and quartiles over replicas, shape [3, steps]; see `statistics.bands`.

    A replica that failed before its first record has none at all, yet it counts.
    """
    steps, values = curves.of(replicas)
    return steps, bands(values, direction)


def score_axis(evidence: Evidence, score: str, values: np.ndarray) -> tuple[bool, tuple[float, float]]:
    """Whether a score's axis is logarithmic, and limits that hold its values, floor and threshold."""
    marks = [m for m in (evidence.floor(score), evidence.reached.get(score)) if m is not None]
    held = np.append(values[np.isfinite(values)], marks)
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


def loss_axis(values: np.ndarray, mark: float) -> tuple[tuple[float, float], bool, dict[str, Any]]:
    """How to draw a loss, so that few extreme points do not flatten the rest.

    Args:
        values: All that is to be drawn, any shape.
        mark: What must be in view.

    Returns:
        The limits of the axis, whether they cut curves, and the keywords of `Axes.set_yscale`: linear, or logarithmic
        on both sides of zero where the largest values are hundreds of times the typical ones.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    linear: dict[str, Any] = {"value": "linear"}
    if values.size == 0:
        return (min(mark, 0.0), max(mark, 1.0)), False, linear
    typical = float(np.median(np.abs(values))) or 1.0
    extreme = max(float(np.quantile(np.abs(values), 0.995)), abs(mark))
    if extreme > 300 * typical:
        largest = 1.5 * float(np.abs(values).max())
        low = -largest if values.min() < -typical else min(0.0, float(values.min()))
        high = largest if values.max() > typical else max(mark, float(values.max()))
        return (low, max(high, mark + typical)), False, {"value": "symlog", "linthresh": typical}
    low, high = np.quantile(values, [0.005, 0.995])
    low, high = min(low, mark), max(high, mark)
    cut = bool(np.ptp(values) > 2 * (high - low) > 0)
    if not cut:
        low, high = min(values.min(), mark), max(values.max(), mark)
    margin = 0.05 * max(high - low, 1e-6)
    return (float(low - margin), float(high + margin)), cut, linear


def scale_loss(ax: Axes, scale: dict[str, Any], limits: tuple[float, float]) -> Axes:
    """Set the scale of a loss's axis from `loss_axis`; on both sides of zero with few enough ticks to be read."""
    ax.set_yscale(**scale)
    if scale["value"] == "symlog":
        lowest, highest = np.log10(scale["linthresh"]), np.log10(max(abs(limits[0]), abs(limits[1])))
        stride = max(1, math.ceil((highest - lowest) / 4))
        powers = np.arange(math.floor(highest), lowest + 0.4 * stride, -stride)
        ticks = [t for p in powers for t in (-(10.0**p), 10.0**p) if limits[0] <= t <= limits[1]]
        ax.yaxis.set_major_locator(FixedLocator([0.0, *ticks]))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(_signed_power))
    return ax


def _signed_power(value: float, _: object) -> str:
    if abs(value) < 1e4:
        return f"{value:g}".replace("-", "−")
    return f"${'-' if value < 0 else ''}10^{{{math.log10(abs(value)):.0f}}}$"


def reference_lines(evidence: Evidence, score: str, line: Callable[..., object], **more: Any) -> list[Line2D]:
    """Draw a score's floor and threshold with `ax.axhline` or `ax.axvline`; return legend handles."""
    style: dict[str, Any] = {**draw.REFERENCE, **more}
    handles = []
    floor, threshold = evidence.floor(score), evidence.reached.get(score)
    if floor is not None and (floor > 0 or not is_log(score)):  # zero has no place on a logarithmic axis
        line(floor, **style)
        handles.append(Line2D([], [], **style, label=f"real data {number(floor)}"))
    if threshold is not None:
        dotted: dict[str, Any] = {**style, "linestyle": ":"}
        line(threshold, **dotted)
        handles.append(Line2D([], [], **dotted, label=f"goal {threshold:g}"))
    return handles


def colour_handles(evidence: Evidence, layout: Layout, replicas: pd.Series | None = None) -> list[Line2D]:
    """Legend handles of the factor that is the colour, of the levels that these replicas are at, or all."""
    if layout.colour is None:
        return []
    colours = draw.palette(drawn_levels(evidence, layout.colour))
    if replicas is not None:
        own = evidence.results.loc[evidence.results["replica"].isin(list(replicas.unique())), "variant"]
        shown = set(evidence.variants.loc[own.unique(), layout.colour])
        colours = {level: colour for level, colour in colours.items() if level in shown}
    return [Line2D([], [], color=colours[k], label=f"{layout.colour} {k}") for k in colours]


def varied(evidence: Evidence) -> list[str]:
    """The factors that tell variants apart: those of more than one level, or all where none has."""
    return [f for f, levels in evidence.factors.items() if len(levels) > 1] or list(evidence.factors)


def short_name(evidence: Evidence, variant: str) -> str:
    """Return a variant by its levels alone: "saturating · batch · 0.5"."""
    levels = evidence.variants.loc[variant, varied(evidence)]
    return " · ".join(str(level) for level in levels) or variant or "the variant"


def row_key(evidence: Evidence) -> str:
    """Return what the parts of a `short_name` are, for a caption: "(loss · lr_ratio)"."""
    return f"({' · '.join(varied(evidence)) or 'one variant'})"


def losses(evidence: Evidence) -> dict[str, str]:
    """Return each variant's loss."""
    return {name: fields.get("loss", "non_saturating") for name, fields in evidence.plan.variants.items()}


def never_trained(evidence: Evidence) -> bool:
    """Whether every variant's generator is fixed."""
    return {fields.get("generator") for fields in evidence.plan.variants.values()} == {"fixed_gaussian"}


def equilibrium(evidence: Evidence) -> tuple[str, float]:
    """Return what the discriminator's value is at the equilibrium, a label and the value, in `comparable_values`.

    log 2 for the cross entropies (Goodfellow et al. 2014, theorem 1), 0 for the difference of a critic's means; of a
    plugin's loss nobody knows, and the label is empty. With a generator that is never trained there is no equilibrium
    to find, and log 2 only says that D is 1/2.
    """
    scale = _value_scales(evidence)[0]
    if scale != CROSS_ENTROPIES:
        return ("equilibrium 0" if scale == "wasserstein" else ""), 0.0
    return ("log 2 (D = 1/2)" if never_trained(evidence) else "equilibrium log 2"), LOG2


def _value_scales(evidence: Evidence) -> list[str]:
    """Return the scales that a study's discriminator's values have, the one that is drawn first: a loss's own name."""
    scales = dict.fromkeys(CROSS_ENTROPIES if loss in CROSS_ENTROPY else loss for loss in losses(evidence).values())
    return sorted(scales, key=lambda scale: scale != CROSS_ENTROPIES)


def comparable_values(evidence: Evidence, table: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """Leave out what is on another scale of the discriminator's value, such as the critics beside cross entropies.

    Args:
        evidence: The study's.
        table: Rows of the history.

    Returns:
        The rows to draw, the axis's label, and a sentence for the caption, maybe empty.
    """
    shown, *others = _value_scales(evidence)
    labels = {CROSS_ENTROPIES: "discriminator's value (nats)", "wasserstein": "critic's value"}
    label = labels.get(shown, f"discriminator's value ({shown})")
    if not others:
        return table, label, ""
    own = evidence.results["variant"].map(losses(evidence))
    kept = own.isin(CROSS_ENTROPY) if shown == CROSS_ENTROPIES else own == shown
    who = "Wasserstein critics" if others == ["wasserstein"] else f"Variants with the loss {', '.join(others)}"
    said = f" {who}, whose value has another scale, are left out of the discriminator's value."
    return table[table["replica"].isin(evidence.results.loc[kept, "replica"])], label, said


def equilibrium_lines(evidence: Evidence, axes: Iterable[Axes]) -> list[Line2D]:
    """Draw the equilibrium of the discriminator's value across the axes; return its legend handle, if it is known."""
    label, value = equilibrium(evidence)
    if not label:
        return []
    # In front, and unlike a score's reference lines, which may stand in the panel beside.
    style: dict[str, Any] = {**draw.REFERENCE, "linestyle": (0, (6, 1.5, 1, 1.5)), "zorder": 3}
    for ax in axes:
        ax.axhline(value, **style)
    return [Line2D([], [], **style, label=label)]


def curve_of(evidence: Evidence, metrics: Iterable[str]) -> str | None:
    """The score to show through training: the primary one, or its kin at another sample size, or any.

    Args:
        evidence: The study's.
        metrics: Names of the recorded metrics.
    """
    recorded = set(metrics)
    curves = [name for name in evidence.references if f"score/{name}" in recorded]
    kin = [name for name in curves if name.split("_")[0] == evidence.primary.split("_")[0]]
    return next(iter([n for n in curves if n == evidence.primary] + kin + curves), None)
