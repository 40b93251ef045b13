"""Figures of what was generated: histograms against the exact density, or grids of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.ledger import Ledger
from gan.targets import Gaussian, Mixture, make_target
from reports import figures as draw
from reports.evidence import Evidence
from reports.layout import Picture
from reports.tables import by_seed_rank, number, ranking

IMAGE_COLUMNS, IMAGE_ROWS = 6, 2
MOST_VARIANTS = 8  # rows of images that stay legible on a page


def sample_pictures(evidence: Evidence, ledger: Ledger) -> Iterator[Picture]:
    """Draw the samples of the study's target: nothing where no replica finished."""
    if not (evidence.results["status"] == "ok").any():
        return
    settings = dict(evidence.study["target"])
    target = make_target(settings.pop("name"), **settings)
    if isinstance(target, Gaussian | Mixture):
        yield histograms(evidence, ledger, target)
    else:
        yield image_grids(evidence, ledger, target.side)


def three_of(evidence: Evidence, variant: str) -> dict[str, pd.Series]:
    """Return a variant's best, middle and worst replica, failed ones last; fewer with fewer seeds."""
    ranked = by_seed_rank(evidence, variant)
    if len(ranked) == 1:
        return {"only": ranked.iloc[0]}
    if len(ranked) == 2:
        return {"best": ranked.iloc[0], "worst": ranked.iloc[1]}
    return {"best": ranked.iloc[0], "middle": ranked.iloc[(len(ranked) - 1) // 2], "worst": ranked.iloc[-1]}


def histograms(evidence: Evidence, ledger: Ledger, target: Gaussian | Mixture) -> Picture:
    """Generated samples under the exact density: three seeds of the best and of the worst variant."""
    order = ranking(evidence)
    chosen = {"best variant": order[0]} | ({"worst variant": order[-1]} if len(order) > 1 else {})
    low, high = target.quantile([0.0005, 0.9995])
    grid = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 1201)
    density = np.gradient(target.cdf(grid), grid)
    bins = 24 * target.modes if isinstance(target, Mixture) else 80  # fine enough to show the gaps between modes

    picks = {rank: three_of(evidence, variant) for rank, variant in chosen.items()}
    columns = max(len(p) for p in picks.values())
    fig = draw.new_figure(0.5 + 2.0 * len(picks))
    bands = fig.subfigures(len(picks), 1, squeeze=False)[:, 0]
    shown = []
    for band, (rank, pick) in zip(bands, picks.items(), strict=True):
        levels = ", ".join(f"{k} {v}" for k, v in evidence.variants.loc[chosen[rank]].items())
        band.suptitle(f"{rank}: {levels}" if levels else "", fontweight="bold")
        axes = band.subplots(1, columns, sharey=True, squeeze=False)[0]
        for ax, (place, replica) in zip(axes, pick.items(), strict=False):
            shown.append(f"`{replica['replica']}`")
            title = f"{place} seed ({replica['seed']}): {_score(evidence, replica)}"
            if replica["status"] != "ok":
                ax.plot(grid, density, color="black", linewidth=1.1)
                ax.text(
                    0.5,
                    0.85,
                    "no samples:\nthe replica failed",
                    transform=ax.transAxes,
                    ha="center",
                    va="center",
                )
                ax.set_title(f"{place} seed ({replica['seed']})")
            else:
                values = ledger.samples(replica["replica"])["final"].ravel()
                draw.plot_histogram(ax, values, grid, density, draw.palette([""])[""], title, bins)
            ax.set_xlabel("x")
        axes[0].set_ylabel("density")
    labelled = next((ax for band in bands for ax in band.axes if ax.get_legend_handles_labels()[0]), None)
    if labelled is not None:
        fig.legend(*labelled.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    caption = (
        "Generated samples of the seeds that are best, in the middle and worst by "
        f"{evidence.label(evidence.primary)}, against the exact density of {evidence.study['target_label']}. "
        f"Replicas, row by row: {', '.join(shown)}."
    )
    return Picture("samples.png", "Generated against real", caption, fig)


def image_grids(evidence: Evidence, ledger: Ledger, side: int) -> Picture:
    """Image samples, one row a variant from best to worst: its best, middle and worst seed."""
    order = ranking(evidence)
    left_out = len(order) - MOST_VARIANTS
    if left_out > 0:
        half = MOST_VARIANTS // 2
        order = [*order[:half], *order[-half:]]
    picks = {variant: three_of(evidence, variant) for variant in order}
    columns = max(len(p) for p in picks.values())
    real = ledger.real_images()
    fig = draw.new_figure(0.2 + 0.98 * (len(order) + (real is not None)))
    axes = fig.subplots(len(order) + (real is not None), columns, squeeze=False)
    if real is not None:
        top, axes = axes[0], axes[1:]
        for i, ax in enumerate(top):
            ax.set_axis_off()
            ax.set_title("real", fontsize=8, pad=3)
            start = i * IMAGE_COLUMNS * IMAGE_ROWS
            draw.plot_images(ax, real[start : start + IMAGE_COLUMNS * IMAGE_ROWS], IMAGE_COLUMNS)
    for row, (variant, pick) in zip(axes, picks.items(), strict=True):
        row[0].annotate(
            "\n".join(str(level) for level in evidence.variants.loc[variant]),
            xy=(0, 0.5),
            xytext=(-8, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
        )
        for ax in row:
            ax.set_axis_off()
        for ax, (place, replica) in zip(row, pick.items(), strict=False):
            ax.set_title(f"{place} seed ({replica['seed']}): {_score(evidence, replica)}", fontsize=8, pad=3)
            if replica["status"] == "ok":
                images = ledger.samples(replica["replica"])["final"][: IMAGE_COLUMNS * IMAGE_ROWS]
                draw.plot_images(ax, images, IMAGE_COLUMNS)
            else:
                draw.plot_absent(ax, side, IMAGE_COLUMNS, IMAGE_ROWS, "no samples: the replica failed")
    which = f", the {MOST_VARIANTS // 2} best and the {MOST_VARIANTS // 2} worst variants" if left_out > 0 else ""
    caption = (
        f"Generated samples, the first {IMAGE_COLUMNS * IMAGE_ROWS} of each replica, unchosen{which}: "
        f"one row a variant ({', '.join(evidence.factors) or 'one'}), best on top; in it the seeds that are "
        f"best, in the middle and worst by {evidence.label(evidence.primary)}."
        f"{' The top row shows training images.' if real is not None else ''}"
    )
    return Picture("samples.png", "Generated samples", caption, fig)


def _score(evidence: Evidence, replica: pd.Series) -> str:
    if replica["status"] != "ok":
        return "failed"
    return f"{evidence.primary} {number(float(replica[evidence.primary]))}"
