"""Figures that were published, each beside what the seeds of the same system gave here."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from gan.columns import level_label
from reports.study.evidence import Evidence
from studies.published import PublishedFigure

VERDICT = "verdict"
SEEDS = "seeds"
NOT_COMPARABLE = "not comparable"
EPOCH_METRICS = ("epoch/loss/discriminator", "epoch/loss/generator")


def comparison(evidence: Evidence) -> pd.DataFrame | None:
    """Return one row a published figure, or None for a study that names none.

    A figure is of one system, so only replicas of one variant stand beside it: those at the levels that the
    figure names (`variant_levels`) and, of every other factor, at the reference level. Replicas that diverged
    have no value; they are counted in the row, and the range is over the seeds that finished.

    Args:
        evidence: The study's finished replicas and its plan, and its ledger for the means of single epochs.

    Returns:
        Strings, but for the number of `seeds`: the figure, its protocol, the value published (with its
        spread), ours (median, smallest and largest over seeds), where the published value falls among them,
        and the verdict: "within" their range, "outside", or "not comparable: <why>".
    """
    figures = evidence.study.published
    if not figures:
        return None
    by_epoch = any(figure.at_epoch for figure in figures)
    history = evidence.ledger.history(list(EPOCH_METRICS)) if by_epoch else pd.DataFrame()
    return pd.DataFrame([_row(evidence, history, figure) for figure in figures])


def caption(table: pd.DataFrame) -> str:
    """Say what "within" is worth: how often a new run of the same system falls inside the range of n seeds."""
    text = (
        "A figure is *within* when it lies between the smallest and the largest of our seeds. One more run of the "
        "same system falls between them with probability (n − 1)/(n + 1) for n seeds, whatever the distribution "
        "(order statistics, Wilks 1941)"
    )
    verdicts = table[VERDICT].astype(str)
    sizes = sorted(set(table.loc[~verdicts.str.startswith(NOT_COMPARABLE), SEEDS]))
    if sizes:
        text += ": " + ", ".join(f"{100 * inside(n):.0f} % for {n}" for n in sizes)
    text += "."
    if table["published"].str.contains("±", regex=False).any():
        text += " A value with ± is a mean of several runs, to which that probability does not apply."
    return text


def inside(seeds: int) -> float:
    """Probability that one more run falls within the range of `seeds` runs: (n - 1)/(n + 1) (Wilks 1941).

    Of n + 1 exchangeable runs without ties each is equally likely to be the smallest, and to be the largest.
    """
    return max(0, seeds - 1) / (seeds + 1)


def verdict_words(table: pd.DataFrame) -> str:
    """Return how many published figures our seeds reproduce, as part of a sentence."""
    verdicts = table[VERDICT].astype(str)
    total = len(table)
    within = int((verdicts == "within").sum())
    range_ = "the range of our seeds"
    outside = table[verdicts == "outside"]
    reasons = verdicts[verdicts.str.startswith(NOT_COMPARABLE)].str.removeprefix(f"{NOT_COMPARABLE}: ")
    if len(reasons) == total:
        shared = f": {reasons.iloc[0]}" if reasons.nunique() == 1 else ""
        subject = "the published figure is" if total == 1 else f"none of the {total} published figures is"
        return f"{subject} {'not ' if total == 1 else ''}comparable{shared}"
    named = "; ".join(f"{row['figure']}: {row['published']} against {row['ours']}" for _, row in outside.iterrows())
    if total == 1:
        return f"the published figure lies {'within' if within else 'outside'} {range_}" + (
            f" ({named})" if named else ""
        )
    if within == total:
        return f"{'both' if total == 2 else f'all {total}'} published figures lie within {range_}"
    parts = [f"{within or 'none'} of the {total} published figures {_verb(within or 1)} within {range_}"]
    if len(outside):
        parts.append(f"{len(outside)} {_verb(len(outside))} outside ({named})")
    if len(reasons):
        parts.append(f"{len(reasons)} {'is' if len(reasons) == 1 else 'are'} not comparable")
    return ", ".join(parts)


def _verb(count: int) -> str:
    return "lies" if count == 1 else "lie"


def _row(evidence: Evidence, history: pd.DataFrame, figure: PublishedFigure) -> dict[str, Any]:
    replicas, why_none = _replicas(evidence, figure)
    values, why_unmeasured = _values(evidence, history, replicas, figure)
    values = values[np.isfinite(values)]
    reasons = [figure.not_comparable, why_none, *_scale_differs(evidence, figure), why_unmeasured]
    reasons = [reason for reason in reasons if reason]
    if not reasons and not len(values):
        reasons = ["no finished replica"]
    if not reasons and len(values) == 1:
        reasons = ["one seed gives no range"]
    spread = f" ± {figure.spread:g}" if figure.spread is not None else ""
    row = {
        "figure": figure.label,
        "protocol": figure.protocol,
        "published": f"{figure.value:g}{spread}",
        "ours": _ours(values, replicas, named=bool(evidence.factors)),
        SEEDS: len(values),
        "where it falls": "–" if reasons else _position(values, figure.value),
        VERDICT: f"{NOT_COMPARABLE}: {'; '.join(reasons)}",
        "source": figure.source,
    }
    if not reasons:
        row[VERDICT] = "within" if values.min() <= figure.value <= values.max() else "outside"
    return row


def _replicas(evidence: Evidence, figure: PublishedFigure) -> tuple[pd.DataFrame, str]:
    """Return the finished replicas of the figure's system, and why there is no such system ("" if there is)."""
    wanted = {**evidence.study.reference, **figure.variant_levels}
    table, chosen = evidence.variants, np.ones(len(evidence.variants), dtype=bool)
    for factor, level in wanted.items():
        here = (table[factor] == level_label(level)).to_numpy() if factor in table else np.zeros(len(table), bool)
        if not (chosen & here).any():
            return evidence.results.iloc[:0], f"no variant has `{factor}` {level_label(level)}"
        chosen &= here
    names = list(table.index[chosen])
    if len(names) > 1:
        return evidence.results.iloc[:0], f"it is of one system, and {len(names)} variants fit"
    return evidence.results[evidence.results["variant"].isin(names)], ""


def _scale_differs(evidence: Evidence, figure: PublishedFigure) -> list[str]:
    """Return what sets this scale apart from the figure's protocol."""
    differences = []
    overrides = evidence.study.overrides
    if overrides:
        differences.append(f"this scale changes {', '.join(overrides)}")
    steps, own = figure.steps, evidence.study.steps
    if steps != own:
        differences.append(f"{own:,} of {steps:,} steps" if own < steps else f"{own:,} steps, not {steps:,}")
    return differences


def _values(
    evidence: Evidence, history: pd.DataFrame, replicas: pd.DataFrame, figure: PublishedFigure
) -> tuple[np.ndarray, str]:
    """Return the quantity of each replica that finished, shape [replicas], and why there is none ("" if there is)."""
    finished = replicas[replicas["status"] == "ok"]
    quantity, epoch = figure.quantity, figure.at_epoch
    if not epoch:
        if quantity not in evidence.results:
            return np.empty(0), f"`{quantity}` is not measured here"
        return finished[quantity].to_numpy(float), ""
    metric = _epoch_metric(quantity)
    if metric is None:
        return np.empty(0), f"`{quantity}` is not measured by epoch"
    own = history[(history["metric"] == metric) & history["replica"].isin(finished["replica"])]
    epochs = own.drop_duplicates(["replica", "step"]).sort_values("step").groupby("replica", sort=False)["value"]
    reached = epochs.nth(epoch - 1).to_numpy(float)
    if len(finished) and not len(reached):
        most = int(epochs.size().max()) if len(own) else 0
        return reached, f"it is of epoch {epoch}, and {most} are recorded"
    return reached, ""


def _epoch_metric(quantity: str) -> str | None:
    """The history's name of a loss by epoch: `loss_generator_epoch` and `loss/generator` are epoch/loss/generator."""
    match = re.search(r"loss[_/](discriminator|generator)", quantity)
    return f"epoch/loss/{match.group(1)}" if match else None


def _ours(values: np.ndarray, replicas: pd.DataFrame, *, named: bool) -> str:
    """Return "0.6931 (0.6802 to 0.7014), 24 seeds; 1 of 25 diverged", in a grid with the variant's name."""
    parts = []
    if len(values):
        shown = _digits(float(np.median(values)))
        if len(values) > 1:
            shown += f" ({_digits(float(values.min()))} to {_digits(float(values.max()))})"
        parts.append(f"{shown}, {len(values)} {'seed' if len(values) == 1 else 'seeds'}")
    for status, words in (("diverged", "diverged"), ("failed", "could not be run")):
        count = int((replicas["status"] == status).sum())
        if count:
            parts.append(f"{count} of {len(replicas)} {words}")
    variant = [f"`{replicas['variant'].iloc[0]}`"] if named and len(replicas) else []
    return "; ".join([*parts, *variant]) or "–"


def _position(values: np.ndarray, published: float) -> str:
    """Return "7 of 24 seeds lie below", and how many equal the published value, where some do."""
    below, equal = int((values < published).sum()), int((values == published).sum())
    return f"{below} of {len(values)} seeds {_verb(below)} below" + (f", {equal} equal" if equal else "")


def _digits(value: float) -> str:
    """Four digits, as many as the figures have."""
    return f"{value:#.4g}".rstrip(".")
