"""Plot functions: each draws one thing on the axes it is given; none opens a window."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gan.verdict import VERDICTS
from reports.study.tables import number

WIDTH = 7.5  # inches: the width of a page
DPI = 150
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so the bytes do not depend on the machine's fonts
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.columnspacing": 1.3,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
}
REFERENCE: dict[str, Any] = {"color": "0.25", "linewidth": 1.0, "linestyle": (0, (4, 2)), "zorder": 1.5}
VERDICT_COLOURS = {name: verdict.colour for name, verdict in VERDICTS.items()}
LETTER = 0.062  # inches: the mean width of a letter at 8 points


def palette(levels: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Colours that colour-blind readers can tell apart, one a level, in a fixed order; a ramp from eleven levels on."""
    import seaborn

    name = "colorblind" if len(levels) <= 10 else "viridis"
    return dict(zip(levels, seaborn.color_palette(name, max(len(levels), 2)), strict=False))


def new_figure(height: float) -> Figure:
    """An empty figure of page width that keeps its labels clear of each other; `height` in inches."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def row_figure(rows: int, extra: float) -> Figure:
    """An empty figure for rows of labelled items, closer together the more there are; `extra` inches beside them."""
    return new_figure(extra + (0.27 if rows <= 20 else 0.2) * rows)


def label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label rows 0, 1, ... from the top, in letters that leave most of the page to what is drawn."""
    longest = max(map(len, names), default=0)
    ax.set_yticks(range(len(names)), list(names), fontsize=8 if longest <= 36 else 7 if longest <= 48 else 6)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


def place_legend(fig: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend above the axes, in as many columns as the page has room for; none without handles."""
    widths = [0.5 + LETTER * len(str(handle.get_label())) for handle in handles]
    for columns in range(len(handles), 0, -1):
        # Matplotlib fills column by column, the first ones with one more where they do not come out even.
        parts = np.array_split(np.array(widths), columns)
        if sum(part.max() for part in parts) <= WIDTH or columns == 1:
            fig.legend(handles=list(handles), loc="outside upper center", ncols=columns)
            return


def plot_band(ax: Axes, steps: np.ndarray, quartiles: np.ndarray, limits: tuple[float, float], **line: Any) -> None:
    """Draw a median curve and the interquartile band around it, from quartiles of shape [3, steps].

    An infinite quartile falls on a failed run, and the band then runs to the limit of the y axis; where the median is
    not finite there is no line.
    """
    low, middle, high = quartiles
    shown = np.isfinite(middle)
    inside = np.clip(low, *limits), np.clip(high, *limits)
    ax.fill_between(steps, *inside, where=shown, color=line["color"], alpha=0.22, linewidth=0)
    ax.plot(steps, np.where(shown, middle, np.nan), **line)


class Decimals(LogLocator):
    """Ticks at 1, 2 and 5 of each decade: evenly within a part of one, only whole ones over many."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the ticks between two positive limits."""
        decades = abs(math.log10(vmax) - math.log10(vmin)) if min(vmin, vmax) > 0 else 1.0
        if decades < 0.5:
            return [tick for tick in MaxNLocator(5).tick_values(vmin, vmax) if tick > 0]
        # Over many decades matplotlib skips some, and then gives no ticks at all if asked for parts of one.
        self.set_params(subs=(1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3.5 else (1,))
        return super().tick_values(vmin, vmax)


def log_scale(ax: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, labelled in plain decimals, in powers of ten where they grow long."""
    ax.set(**{f"{which}scale": "log"})
    log_ticks(ax.xaxis if which == "x" else ax.yaxis)


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis as `log_scale` does."""

    def text(value: float, _: object) -> str:
        plain = 1e-4 <= value < 1e4 or value <= 0
        return f"{value:g}" if plain else f"$10^{{{math.log10(value):.0f}}}$"

    axis.set_major_locator(Decimals())
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def wrapped(label: str, height: float) -> str:
    """Break a vertical label into lines of so many inches."""
    return textwrap.fill(label, max(int(height / (1.1 * LETTER)), 12))


def facet_grid(
    fig: Figure,
    rows: Sequence[str],
    columns: Sequence[str],
    draw: Callable[[Axes, int, int], object],
    xlabel: str,
    ylabel: str,
) -> np.ndarray:
    """Draw small multiples with shared axes and labels: column titles on top, row titles at the right.

    Args:
        fig: Where to draw.
        rows: Row titles; one empty title for a single untitled row.
        columns: Column titles.
        draw: Called with the axes, the row and the column.
        xlabel: With its unit.
        ylabel: With its unit.

    Returns:
        The axes, shape [rows, columns].
    """
    axes = fig.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for (i, j), ax in np.ndenumerate(axes):
        draw(ax, i, j)
        if i == 0 and columns[j]:
            ax.set_title(columns[j])
        if j == len(columns) - 1 and rows[i]:
            aside: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
            ax.annotate(rows[i], (1.0, 0.5), (6, 0), **aside, rotation=270, ha="left", va="center")
    width = WIDTH / len(columns) / LETTER  # letters that fit above one column
    if max(map(len, columns)) > width:
        for ax, title in zip(axes[0], columns, strict=True):
            ax.set_title(textwrap.fill(title, max(int(width), 8), break_long_words=False), fontsize=8)
    fig.supxlabel(xlabel, fontsize=8.5)
    fig.supylabel(wrapped(ylabel, 0.8 * fig.get_figheight()), fontsize=8.5)
    return axes


def plot_heat(ax: Axes, means: pd.DataFrame, notes: pd.DataFrame, norm: Normalize, cmap: str, title: str = "") -> None:
    """Draw a table of means as a heat map, each cell with its text; a failed mean is a grey cell.

    Args:
        ax: Where to draw.
        means: Levels of two factors, the axes' names; infinite where failed replicas reach it, NaN without any.
        notes: The cells' texts, the same shape.
        norm: Shared by the facets, so that a colour means the same in each.
        cmap: Its light end should be the bad one.
        title: Above the axes.
    """
    import seaborn

    values = means.to_numpy(float)
    # Without limits seaborn looks for them in the values, of which there may be none.
    scale: dict[str, Any] = {"norm": norm, "vmin": norm.vmin, "vmax": norm.vmax, "cmap": cmap, "cbar": False}
    cells: dict[str, Any] = {"annot": notes, "fmt": "", "annot_kws": {"fontsize": 8}}
    seaborn.heatmap(means.where(np.isfinite(values)), ax=ax, linewidths=1.5, linecolor="white", **scale, **cells)
    ax.set_facecolor("0.85")
    for row, column in np.argwhere(~np.isfinite(values)):
        ax.text(column + 0.5, row + 0.5, str(notes.iloc[row, column]), ha="center", va="center", fontsize=8)
    ax.grid(False)
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel=means.columns.name or "", ylabel=means.index.name or "", title=title)


def heat_norm(values: np.ndarray, log: bool) -> Normalize:
    """A colour scale over the finite values, logarithmic on request."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.1, 1.0)
    if high <= low:  # one colour needs a range too
        low, high = low - 0.5 * abs(low) - 1e-3 * (low == 0), high + 0.5 * abs(high) + 1e-3 * (high == 0)
    return LogNorm(low, high) if log and low > 0 else Normalize(low, high)


def plot_histogram(
    ax: Axes,
    samples: np.ndarray,
    grid: np.ndarray,
    density: np.ndarray,
    color: tuple[float, float, float],
    title: str,
    bins: int = 80,
) -> None:
    """Draw generated samples, of shape [n], as a histogram under the exact density of the target at the grid's points.

    The ends of the grid bound the histogram of so many bins; what lies outside is said.
    """
    edges = np.linspace(grid[0], grid[-1], bins + 1)
    inside = (samples >= grid[0]) & (samples <= grid[-1])
    counts, _ = np.histogram(samples[inside], edges)
    # Over all samples, not those in view: what lies outside must lower the bars.
    heights = counts / (len(samples) * np.diff(edges))
    ax.stairs(heights, edges, fill=True, color=color, alpha=0.55, label="generated")
    ax.plot(grid, density, color="black", linewidth=1.1, label="real (exact density)")
    ax.set_ylim(0, 2.2 * density.max())
    notes = []
    if not inside.all():
        away = 100 * (1 - inside.mean())
        share = f"{away:.2g}" if away < 10 else f"{away:.0f}" if away < 99.5 or not inside.any() else "over 99"
        notes += [f"{share} % out of view"] + [f"median {np.median(samples):.3g}"] * int(away > 50)
    if heights.max() > 2.2 * density.max():
        notes.append(f"peak {number(heights.max())} cut")
    if notes:
        ax.text(0.98, 0.96, "\n".join(notes), transform=ax.transAxes, ha="right", va="top", fontsize=8)
    ax.set_title(title)


def plot_images(ax: Axes, images: np.ndarray, columns: int) -> None:
    """Draw greyscale images, uint8 [n, side * side], so many in a row, with a hair of white between."""
    side = math.isqrt(images.shape[1])
    rows = math.ceil(len(images) / columns)
    gap = max(1, side // 14)
    canvas = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap), 255, dtype=np.uint8)
    for k, image in enumerate(images):
        top, left = (k // columns) * (side + gap), (k % columns) * (side + gap)
        canvas[top : top + side, left : left + side] = image.reshape(side, side)
    ax.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_axis_off()


def plot_strip(
    ax: Axes,
    groups: Mapping[str, np.ndarray],
    means: Mapping[str, float],
    colors: Mapping[str, object],
    worst: float,
) -> None:
    """Draw a horizontal strip of points a group, its mean a bar, from top to bottom.

    A failed run (NaN) is a cross at `worst`, the bad end of the axis, and so is an infinite mean.
    """
    for row, (name, values) in enumerate(groups.items()):
        # A fixed spread in the order of the values, instead of random jitter: the same figure every time.
        offset = np.linspace(-0.24, 0.24, len(values)) if len(values) > 1 else np.zeros(1)
        height = row + offset[np.argsort(np.argsort(_scatter_order(len(values))))]
        failed = ~np.isfinite(values)
        ax.scatter(values[~failed], height[~failed], s=11, color=colors[name], alpha=0.75, linewidths=0)
        ax.scatter(np.full(failed.sum(), worst), height[failed], s=16, marker="x", color=colors[name], linewidths=1)
        at = means[name] if np.isfinite(means[name]) else worst
        ax.plot([at, at], [row - 0.36, row + 0.36], color="black", linewidth=1.6, solid_capstyle="butt")
    label_rows(ax, list(groups))


def plot_absent(ax: Axes, side: int, columns: int, rows: int, text: str) -> None:
    """Draw a grey plate of the size of a grid of images, with a text instead of them."""
    gap = max(1, side // 14)
    shape = rows * (side + gap) - gap, columns * (side + gap) - gap
    ax.imshow(np.full(shape, 235, dtype=np.uint8), cmap="gray", vmin=0, vmax=255)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=8)
    ax.set_axis_off()


def _scatter_order(n: int) -> np.ndarray:
    """A fixed order of n places that puts neighbours apart (multiples of the golden ratio)."""
    return (np.arange(n) * 0.6180339887498949) % 1.0
