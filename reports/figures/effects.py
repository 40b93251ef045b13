"""Figures of the evidence itself: contrasts with intervals, performance profiles, verdicts, survival."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gan.verdict import UNUSABLE
from reports.figures import intervals as draw_evidence
from reports.figures import primitives as draw
from reports.figures.intervals import Effect
from reports.figures.layout import (
    Picture,
    best_and_worst,
    drawn_levels,
    evenly,
    left_out,
    reference_lines,
    row_key,
    score_axis,
    short_name,
)
from reports.stats.contrasts import Contrast
from reports.stats.intervals import interval_kind, survival
from reports.stats.rates import performance_profile, profile_band
from reports.study.evidence import Evidence
from reports.study.tables import at_level, ranking, repeated, score_values

MOST_EFFECTS = 40  # rows of a forest plot that stay legible on a page
MOST_THRESHOLDS = 10_000  # points of a line, which Agg can fill under
MOST_LINES = 6  # variants with a line each
NOT_TRAINED = "not trained"  # the status failed: it could not be run


def evidence_pictures(evidence: Evidence) -> Iterator[Picture]:
    """Draw the figures of the statistics, one at a time."""
    found = evidence.contrasts
    if found:
        yield contrast_forest(evidence, found)
    yield profile(evidence)
    if evidence.results["verdict"].notna().any():
        yield verdicts(evidence)
    losses = lost(evidence)
    if losses["lost"].any():
        yield survival_curves(evidence, losses)


def contrast_forest(evidence: Evidence, found: Sequence[Contrast]) -> Picture:
    """Effect of each level and each pair of levels on the primary score, with intervals, best on top."""
    score = evidence.primary
    direction, ratio = evidence.direction(score), found[0].ratio
    null = 1.0 if ratio else 0.0
    main = _by_effect([c for c in found if c.kind == "main"], direction, MOST_EFFECTS)
    pairs = _by_effect([c for c in found if c.kind != "main"], direction, max(MOST_EFFECTS - len(main), 8))
    groups = {"main effects": [_effect(c) for c in main], "interactions": [_effect(c) for c in pairs]}
    effects = [e for group in groups.values() for e in group]
    limits = draw_evidence.forest_limits(effects, null, ratio)

    fig = draw.row_figure(len(effects) + sum(map(bool, groups.values())), 1.1)
    ax = fig.subplots()
    if ratio:
        draw.log_scale(ax, "x")
    colour = draw.VERDICT_COLOURS["converged"]
    draw_evidence.plot_forest(ax, groups, null, limits, color=colour)
    sides = ("← better", "worse →") if direction == "lower" else ("← worse", "better →")
    place: dict[str, Any] = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "va": "bottom"}
    for side, shift, align in zip(sides, (-5, 5), ("right", "left"), strict=True):
        ax.annotate(side, (null, 1.0), (shift, 3), ha=align, **place)
    ax.set_xlabel(f"{'ratio' if ratio else 'difference'} of the {evidence.label(score)}")
    dots = {"marker": "o", "color": colour, "markersize": 5, "linewidth": 1.3}
    marks = {
        True: Line2D([], [], **dots, label="resolved"),
        False: Line2D([], [], **dots, markerfacecolor="white", label="not resolved"),
    }
    shown = [mark for resolved, mark in marks.items() if any(c.resolved == resolved for c in found)]
    draw.place_legend(fig, [*shown, Line2D([], [], **draw.REFERENCE, label="no effect")])
    return Picture("contrasts.png", "Effects of the factors", _forest_caption(evidence, found, effects, limits), fig)


def _forest_caption(
    evidence: Evidence, found: Sequence[Contrast], effects: Sequence[Effect], limits: tuple[float, float]
) -> str:
    ratio = found[0].ratio
    unit, joined = ("ratio", "multiply") if ratio else ("difference", "add up")
    held = ", ".join(f"`{f}` {level}" for f, level in evidence.reference.items() if len(evidence.factors[f]) > 1)
    intervals, kind = any(not math.isnan(e.low) for e in effects), interval_kind(c.interval for c in found)
    parts = [
        f"Effect of each level on the {evidence.label(evidence.primary)}, against the reference ({held}): the "
        f"interquartile mean over seeds of the {unit} between the two"
        + (", each seed averaged over the other factors first" if "," in held else "")
        + (f", and its 95 % {kind} interval." if intervals else "; one seed gives no interval.")
    ]
    if any(c.kind != "main" for c in found):
        parts.append(f"An interaction is how far two levels together differ from what their own effects {joined} to.")
    parts.append("Filled marks are resolved: p ≤ 0.05 by the signed-rank test, corrected by Holm for all effects.")
    ends = [v for e in effects for v in (e.estimate, e.low, e.high) if not math.isnan(v)]
    if any(v < limits[0] or v > limits[1] for v in ends):
        parts.append("An arrow points to what lies beyond the axis; a side with failed replicas lies infinitely far.")
    if any(math.isnan(e.estimate) for e in effects):
        parts.append("There is no estimate where both sides failed.")
    left_out = len(found) - len(effects)
    if left_out:
        parts.append(f"The {left_out} interactions with the largest p are left out.")
    return " ".join(parts)


def _by_effect(found: Sequence[Contrast], direction: str, most: int) -> list[Contrast]:
    """Return the contrasts of smallest p, at most so many, the best effect first and those without one last."""
    kept = sorted(found, key=lambda c: math.inf if math.isnan(c.p) else c.p)[:most]
    sign = 1 if direction == "lower" else -1
    known = [c for c in kept if not math.isnan(c.interval.estimate)]
    unknown = [c for c in kept if math.isnan(c.interval.estimate)]
    return [*sorted(known, key=lambda c: sign * c.interval.estimate), *unknown]


def _effect(contrast: Contrast) -> Effect:
    if contrast.kind == "main":
        label = f"{contrast.factors[0]} {contrast.levels[0]} against {contrast.against[0]}"
    else:
        label = " × ".join(f"{f} {level}" for f, level in zip(contrast.factors, contrast.levels, strict=True))
    return Effect(label, *contrast.interval[:3], contrast.resolved)


def profile(evidence: Evidence) -> Picture:
    """Share of replicas at or beyond each value of the primary score."""
    score = evidence.primary
    direction = evidence.direction(score)
    groups, of_what = _groups(evidence)
    intervals = repeated(evidence.results)
    values = {name: score_values(evidence, replicas, score) for name, replicas in groups.items()}
    everything = np.concatenate(list(values.values()))
    finite = everything[np.isfinite(everything)]
    log, limits = score_axis(evidence, score, finite)
    # The share changes only at a replica's own value, so these are all the thresholds there are; of very many some, by
    # rank, which on a page of a thousand dots look the same.
    thresholds = np.array(sorted({*np.clip(finite, *limits).tolist(), *limits}))
    thresholds = thresholds[evenly(len(thresholds), MOST_THRESHOLDS)]
    fig = draw.new_figure(3.2)
    ax = fig.subplots()
    if log:
        draw.log_scale(ax, "x")
    colours = draw.palette(list(groups))
    for name, own in values.items():
        shares = performance_profile(own, thresholds, direction)
        band = profile_band(own, thresholds, direction) if intervals else np.stack([shares, shares])
        # At or below is continuous from the right, at or above from the left.
        where = "post" if direction == "lower" else "pre"
        draw_evidence.plot_steps(ax, thresholds, shares, band, where, colours[name], name)
    ax.set(xlim=limits, ylim=(-0.02, 1.02))
    ax.set_xlabel(f"threshold of the {evidence.label(score)} ({direction} is better)")
    ax.set_ylabel(f"share of replicas at or {'below' if direction == 'lower' else 'above'}")
    handles = [Line2D([], [], color=colours[n], linewidth=1.5, label=n) for n in groups] if len(groups) > 1 else []
    draw.place_legend(fig, [*handles, *reference_lines(evidence, score, ax.axvline)])
    failed = int((~np.isfinite(everything)).sum())
    caption = (
        f"Share of the replicas whose final {evidence.label(score)} is at least as good as each threshold, one line "
        f"{of_what}{', with the 95 % Wilson interval at each point' if intervals else ''}; the farther to the upper "
        f"{'left' if direction == 'lower' else 'right'}, the better."
        + (f" Failed replicas, {failed} of {len(everything)}, are counted and reach none." if failed else "")
        + (left_out(evidence, evidence.factor) if len(evidence.variants) > MOST_LINES else "")
    )
    return Picture("profile.png", "Performance profile", caption, fig)


def _groups(evidence: Evidence) -> tuple[dict[str, pd.DataFrame], str]:
    """Return what gets a line each, by name, and a caption's word for it: variants if few, else the main factor's."""
    order = ranking(evidence)
    if len(order) <= MOST_LINES or evidence.factor is None:
        return {short_name(evidence, v): evidence.of(v) for v in order}, f"a variant {row_key(evidence)}"
    levels = {
        f"{evidence.factor} {k}": at_level(evidence, evidence.factor, k)
        for k in drawn_levels(evidence, evidence.factor)
    }
    pooled = " (pooled over the other factors)" if len(evidence.factors) > 1 else ""
    return {name: own for name, own in levels.items() if len(own)}, f"a level of `{evidence.factor}`{pooled}"


def verdicts(evidence: Evidence) -> Picture:
    """Shares of verdicts of each variant, and how often it fails or is lost, with intervals."""
    results = evidence.results
    known = results[results["verdict"].notna() | (results["status"] == "failed")]
    there = set(known["variant"])
    order, few = best_and_worst([v for v in ranking(evidence) if v in there])
    colours = draw.VERDICT_COLOURS | {NOT_TRAINED: "#f0e8d8"}
    counts = pd.crosstab(known["variant"], known["verdict"].where(known["verdict"].notna(), NOT_TRAINED))
    counts = counts.reindex(index=order, columns=list(colours), fill_value=0)
    counts.index = pd.Index([short_name(evidence, v) for v in order])
    trials = counts.sum(axis=1).to_numpy()

    fig = draw.row_figure(len(order), 1.0)
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
    draw_evidence.plot_shares(left, counts.loc[:, counts.sum() > 0], colours)
    left.set_xlabel("share of replicas")
    failed = (known["status"] != "ok").groupby(known["variant"]).sum().reindex(order)
    rates = {
        "failed": (failed, "o", colours["diverged"], -0.17),
        "failed or of no use": (counts[[*UNUSABLE, NOT_TRAINED]].sum(axis=1), "D", colours["collapsed"], 0.17),
    }
    marks: list[Line2D] = []
    for label, (lost_, marker, colour, offset) in rates.items():
        mark = {"color": colour, "marker": marker, "markersize": 3.5}
        draw_evidence.plot_rates(right, lost_.to_numpy(), trials, offset, **mark)
        marks.append(Line2D([], [], **mark, linewidth=1.1, label=label))
    right.set(xlim=(-0.02, 1.02), xlabel="rate, 95 % interval" if repeated(results) else "rate")
    right.tick_params(axis="y", length=0)
    right.grid(axis="y", visible=False)
    present = [Patch(color=colours[str(name)], label=str(name)) for name in counts if counts[name].any()]
    draw.place_legend(fig, [*present, *marks])
    without = len(results) - len(known)
    caption = (
        f"Verdicts on the replicas of each variant {row_key(evidence)}, in the order of the scores, best on top: left "
        "the share of each verdict and the number of replicas in it, right the rate of those that failed (turned "
        "non-finite"
        + (" or could not be trained" if counts[NOT_TRAINED].any() else "")
        + f"), and of those that failed or have a verdict that says they are of no use ({', '.join(UNUSABLE)})"
        + (", each with its 95 % Wilson interval." if repeated(results) else ".")
        + (
            f" Without a readable history there is no verdict: {without} of {len(results)} are left out."
            if without
            else ""
        )
        + few
    )
    return Picture("verdicts.png", "Verdicts", caption, fig)


def survival_curves(evidence: Evidence, losses: pd.DataFrame) -> Picture:
    """Share of replicas that are still of use, through training.

    Args:
        evidence: The study's.
        losses: Of `lost`.
    """
    factor, steps = evidence.factor, evidence.study.steps
    levels = drawn_levels(evidence, factor)
    colours = draw.palette(levels)
    fig = draw.new_figure(3.2)
    ax = fig.subplots()
    handles, intervals = [], repeated(evidence.results)
    for level in levels:
        replicas = at_level(evidence, factor, level)["replica"] if factor else evidence.results["replica"]
        own = losses[losses["replica"].isin(list(replicas))]
        if own.empty:
            continue
        curve = survival(own["step"].to_numpy(float), own["lost"].to_numpy(bool))
        # From the whole group at step 0 to the end of training: the curve itself ends at its last time.
        x = np.r_[0.0, curve.times, steps]
        y, low, high = (np.r_[1.0, part, part[-1]] for part in (curve.probability, curve.low, curve.high))
        # Greenwood's interval is not defined where none or all are lost.
        band = np.array([np.where(np.isnan(low), y, low), np.where(np.isnan(high), y, high)] if intervals else [y, y])
        label = f"{factor} {level}: {int(own['lost'].sum())} of {len(own)}" if factor else ""
        draw_evidence.plot_steps(ax, x, y, band, "post", colours[level], label)
        handles += [Line2D([], [], color=colours[level], linewidth=1.5, label=label)] if factor else []
    ax.set(xlim=(0, 1.02 * steps), ylim=(-0.02, 1.04), xlabel="training step")
    ax.set_ylabel("share still of use")
    draw.place_legend(fig, handles)
    caption = (
        "Share of replicas that are still of use by each step: the Kaplan-Meier estimate"
        f"{' and its 95 % interval' if intervals else ''}. The event is a verdict that says they are not "
        f"({', '.join(UNUSABLE)}): when the value ran away or its last finite record, when the gradient vanished for "
        "good, when what was covered was lost for good; what never learned or never covered is lost from its first "
        "evaluation on. All others lasted to the end."
        + (f" Lines are levels of `{factor}`, pooled over the rest, with how many were lost." if factor else "")
        + left_out(evidence, factor)
    )
    return Picture("survival.png", "Time to a verdict of no use", caption, fig)


def lost(evidence: Evidence) -> pd.DataFrame:
    """When each trained replica was of no use any more, or until when it is known to have been.

    Returns:
        Columns replica, step, lost. A replica that could not be trained, or left no verdict, has no row.
    """
    results = evidence.results[evidence.results["verdict"].notna()]
    gone, end = results["verdict"].isin(UNUSABLE), float(evidence.study.steps)
    step = results["time_to_unusable"].astype(float).where(gone, end).fillna(end)
    return pd.DataFrame({"replica": results["replica"], "step": step, "lost": gone}).reset_index(drop=True)
