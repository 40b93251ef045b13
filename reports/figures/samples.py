"""Figures of what was generated: histograms against the exact density, grids of images, or the orbits of a point."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from gan.targets import Mixture, RealLine, make_target
from gan.variant import Variant
from reports.figures import intervals as draw_evidence
from reports.figures import primitives as draw
from reports.figures.layout import Picture, never_trained, row_key, short_name, varied
from reports.ledger.ledger import Ledger
from reports.study.evidence import Evidence
from reports.study.tables import by_seed_rank, number, ranking
from reports.theory.section import step_sizes

IMAGE_COLUMNS, IMAGE_ROWS = 6, 2
MOST_VARIANTS = 8  # rows of images that stay legible on a page


def sample_pictures(evidence: Evidence, ledger: Ledger) -> Iterator[Picture]:
    """Draw the samples of the study's target, or for the target `point` its orbits; nothing where there are none.

    Nor where no generator is trained: its samples are known.
    """
    settings = dict(evidence.study.target)
    target = make_target(settings.pop("name"), **settings)
    if "game" in target.provides:
        yield from orbits(evidence, ledger)
    elif not (evidence.results["status"] == "ok").any() or never_trained(evidence):
        return
    elif isinstance(target, RealLine):
        yield histograms(evidence, ledger, target)
    else:
        yield image_grids(evidence, ledger, target.shape[-1])


def three_of(evidence: Evidence, variant: str) -> dict[str, pd.Series]:
    """Return a variant's best, middle and worst replica, failed ones last; fewer with fewer seeds."""
    ranked = by_seed_rank(evidence, variant)
    if len(ranked) == 1:
        return {"only": ranked.iloc[0]}
    if len(ranked) == 2:
        return {"best": ranked.iloc[0], "worst": ranked.iloc[1]}
    return {"best": ranked.iloc[0], "middle": ranked.iloc[(len(ranked) - 1) // 2], "worst": ranked.iloc[-1]}


def histograms(evidence: Evidence, ledger: Ledger, target: RealLine) -> Picture:
    """Generated samples under the exact density: three seeds of the best and of the worst variant."""
    order = ranking(evidence)
    chosen = {"best variant": order[0]} | ({"worst variant": order[-1]} if len(order) > 1 else {})
    low, high = target.quantile([0.0005, 0.9995])
    grid = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 1201)
    density = np.gradient(target.cdf(grid), grid)
    bins = 24 * target.modes if isinstance(target, Mixture) else 80  # fine enough to show the gaps between modes

    picks = {rank: three_of(evidence, variant) for rank, variant in chosen.items()}
    columns, places = max(len(p) for p in picks.values()), ledger.places()
    fig = draw.new_figure(0.5 + 2.0 * len(picks))
    bands = fig.subfigures(len(picks), 1, squeeze=False)[:, 0]
    shown = []
    for band, (rank, pick) in zip(bands, picks.items(), strict=True):
        levels = ", ".join(f"{k} {v}" for k, v in evidence.variants.loc[chosen[rank], varied(evidence)].items())
        band.suptitle(textwrap.fill(f"{rank}: {levels}", 100) if levels else "", fontweight="bold")
        axes = band.subplots(1, columns, sharey=True, squeeze=False)[0]
        for ax, (place, replica) in zip(axes, pick.items(), strict=False):
            shown.append(f"`{replica['replica']}`")
            title = f"{place} seed ({replica['seed']}): {_score(evidence, replica)}"
            values = _samples(ledger, places, replica)
            if values is None:
                ax.plot(grid, density, color="black", linewidth=1.1)
                ax.text(
                    0.5,
                    0.85,
                    f"no samples:\n{_why_none(replica)}",
                    transform=ax.transAxes,
                    ha="center",
                    va="center",
                )
                ax.set_title(f"{place} seed ({replica['seed']})")
            else:
                draw.plot_histogram(ax, values.ravel(), grid, density, draw.palette([""])[""], title, bins)
            ax.set_xlabel("x")
        axes[0].set_ylabel("density")
    labelled = next((ax for band in bands for ax in band.axes if ax.get_legend_handles_labels()[0]), None)
    if labelled is not None:
        draw.place_legend(fig, labelled.get_legend_handles_labels()[0])
    caption = (
        "Generated samples of the seeds that are best, in the middle and worst by "
        f"{evidence.label(evidence.primary)}, against the exact density of {evidence.study.target_label}. "
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
    columns, places = max(len(p) for p in picks.values()), ledger.places()
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
            "\n".join(short_name(evidence, variant).split(" · ")),
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
            images = _samples(ledger, places, replica)
            if images is not None:
                draw.plot_images(ax, images[: IMAGE_COLUMNS * IMAGE_ROWS], IMAGE_COLUMNS)
            else:
                draw.plot_absent(ax, side, IMAGE_COLUMNS, IMAGE_ROWS, f"no samples: {_why_none(replica)}")
    which = f", the {MOST_VARIANTS // 2} best and the {MOST_VARIANTS // 2} worst variants" if left_out > 0 else ""
    caption = (
        f"Generated samples, the first {IMAGE_COLUMNS * IMAGE_ROWS} of each replica, unchosen{which}: "
        f"one row a variant {row_key(evidence)}, best on top; in it the seeds that are "
        f"best, in the middle and worst by {evidence.label(evidence.primary)}."
        f"{' The top row shows training images.' if real is not None else ''}"
    )
    return Picture("samples.png", "Generated samples", caption, fig)


def orbits(evidence: Evidence, ledger: Ledger) -> Iterator[Picture]:
    """The paths of the two-parameter game, one a variant: in the plane, and their radius beside the exact one."""
    order = ranking(evidence)
    shown = [order[i] for i in np.linspace(0, len(order) - 1, min(MOST_VARIANTS, len(order))).round().astype(int)]
    shown.sort(key=list(evidence.variants.index).index)  # in the plan's order, so that the panels line up
    colours = draw.palette(shown)
    paths: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    places = ledger.places()
    for variant in shown:
        for replica in evidence.of(variant)["replica"]:  # by seed: the first that left its path
            kept = ledger.samples(replica, places.get(replica))
            if len(kept.get("progress", ())):
                paths[variant] = kept["steps"].ravel(), kept["progress"].reshape(-1, 2).astype(float)
                break
    if not paths:
        return
    columns = math.ceil(len(paths) / 2)
    fig = draw.new_figure(3.2)
    left, right = fig.subfigures(1, 2, squeeze=False, width_ratios=[1.35 if columns > 2 else 0.9, 1])[0]
    planes = left.subplots(math.ceil(len(paths) / columns), columns, squeeze=False, sharex=True, sharey=True)
    radii = right.subplots()
    reach = 3 * float(np.median([np.hypot(*positions[0]) for _, positions in paths.values()])) or 1.0
    exact: set[float] = set()
    apart = False
    for ax in planes.flat[len(paths) :]:
        ax.set_visible(False)
    for ax, (variant, (steps, positions)) in zip(planes.flat, paths.items(), strict=False):
        own = Variant.from_settings(evidence.plan.variants[variant])
        # A step of size h turns the point by about h radians; beyond a quarter turn a line would mislead.
        joined = len(steps) < 2 or own.lr * float(np.diff(steps).max()) < math.pi / 2
        apart |= not joined
        draw_evidence.plot_orbit(ax, positions, joined, color=colours[variant])
        ax.plot(0, 0, marker="+", markersize=7, color="black")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.tick_params(labelsize=7)
        name = short_name(evidence, variant)
        ax.set_title(name.replace(" · ", "\n") if columns > 2 else name, fontsize=7)
        radius = np.hypot(*positions.T)
        radii.plot(steps, np.where(radius > 0, radius, np.nan), color=colours[variant])
        h = spiral_step(own)
        if h is not None and radius[0] > 0:
            growth = np.log(radius[0]) + (steps - steps[0]) / 2 * math.log1p(h * h)
            radii.plot(steps, np.exp(np.minimum(growth, 700)), **{**draw.REFERENCE, "zorder": 3})
            exact.add(h)
        ax.set(xlabel="x", ylabel="y")
        ax.label_outer()
    radii.set(yscale="log", xlabel="training step")
    draw.log_ticks(radii.yaxis)
    radii.set_title("distance from the equilibrium", fontsize=8.5)
    if exact:
        radii.legend(handles=[Line2D([], [], **draw.REFERENCE, label="exact: (1 + h²)^(t/2)")], loc="upper left")
    caption = (
        f"Path of the two parameters, one replica a variant {row_key(evidence)}, its first seed: in the plane, the "
        "generator's x and the discriminator's y, where a ring is the first record, the cross the equilibrium, and a "
        "path may leave the view; and its distance from the equilibrium, in the same colours."
        + (f" {len(shown)} of {len(order)} variants, chosen evenly by rank." if len(shown) < len(order) else "")
        + (" Points too far apart on their orbit to tell the way between them are not joined." if apart else "")
        + (
            " Dashed: simultaneous gradient steps of size h multiply the distance by √(1 + h²) each, exactly "
            f"(h = {', '.join(f'{h:.3g}' for h in sorted(exact))})."
            if exact
            else ""
        )
    )
    yield Picture("orbit.png", "Orbits of the two-parameter game", caption, fig)


def spiral_step(variant: Variant) -> float | None:
    """The h of a variant whose radius grows by exactly sqrt(1 + h²) each step of the game xy; None of any other.

    Simultaneous gradient steps of one size on a bilinear game are the map (x, y) -> (x + hy, y - hx): a rotation
    times sqrt(1 + h²).
    """
    sizes = step_sizes(variant)
    if sizes is None or variant.updates != "simultaneous" or not math.isclose(*sizes, rel_tol=1e-6):
        return None
    return sizes[1]


def _samples(ledger: Ledger, places: Mapping[str, str], replica: pd.Series) -> np.ndarray | None:
    """What a replica generated at the end, [n, dimension]; None where it failed or left nothing."""
    if replica["status"] != "ok":
        return None
    return ledger.samples(replica["replica"], places.get(replica["replica"])).get("final")


def _why_none(replica: pd.Series) -> str:
    return "the replica failed" if replica["status"] != "ok" else "none on record"


def _score(evidence: Evidence, replica: pd.Series) -> str:
    if replica["status"] != "ok":
        return "failed"
    return f"{evidence.primary} {number(float(replica[evidence.primary]))}"
