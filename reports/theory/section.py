"""What the checks against theory share: a section of the report, and the ways its numbers are taken and written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from gan.variant import Variant
from reports.ledger.ledger import Ledger
from reports.stats.intervals import Interval
from reports.study.evidence import Evidence
from reports.study.tables import pooled_iqm

CROSS_ENTROPY = ("non_saturating", "saturating")
"""The losses whose discriminator minimises a cross entropy; a Wasserstein critic's output is no probability."""
NONE = "–"


@dataclass(frozen=True)
class Section:
    """One statement of theory beside what was measured."""

    name: str
    """The check's name in a study's `checks`."""
    title: str
    text: str
    """Markdown: what theory says, with its source."""
    conclusion: str
    """One sentence, computed from the numbers, of about 50 words: it stands under the report's first sentence."""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Strings; empty where nothing could be checked."""


def unchecked(name: str, title: str, text: str, reason: str) -> Section:
    """Return the section of a check that could not be made, which says why."""
    return Section(name, title, text, f"Not checked: {reason}.")


def with_settings(evidence: Evidence, *fields: str) -> pd.DataFrame:
    """Return the results with the named settings of each replica's variant (`gan/variant.py`) as columns.

    A setting comes from the variant, not from a factor's level, which may be the name of a bundle of settings.
    """
    settings = {name: {**Variant().settings(), **own} for name, own in evidence.plan.variants.items()}
    columns = {f: evidence.results["variant"].map({v: own[f] for v, own in settings.items()}) for f in fields}
    return evidence.results.assign(**columns)


def curves(ledger: Ledger, metrics: Iterable[str], replicas: Iterable[str]) -> pd.DataFrame:
    """Return the history with one column a metric: columns replica, step and the metrics asked for, by step.

    Only rows in which every metric is finite; empty where the history lacks one of them.
    """
    names = list(metrics)
    history = ledger.history(names)
    history = history[history["replica"].isin(list(replicas))].drop_duplicates(["replica", "step", "metric"])
    if set(history["metric"]) != set(names):
        return pd.DataFrame(columns=pd.Index(["replica", "step", *names]))
    wide = history.pivot(index=["replica", "step"], columns="metric", values="value").astype(float)
    finite = np.isfinite(wide[names]).all(axis=1)
    return wide[finite].reset_index().sort_values(["replica", "step"], ignore_index=True)


def lacking(ledger: Ledger, metrics: Iterable[str]) -> list[str]:
    """Return the metrics that the history has nothing of."""
    names = list(metrics)
    recorded = set(ledger.history(names)["metric"])
    return [name for name in names if name not in recorded]


def iqm_of(replicas: pd.DataFrame, column: str | pd.Series, direction: str = "lower", *, finished: bool) -> Interval:
    """Interquartile mean over replicas with its bootstrap interval, which draws whole seeds.

    Args:
        replicas: Rows of the results.
        column: A column of theirs, or a series on their index.
        direction: Which end is good, where failed replicas rank last.
        finished: Over the replicas that finished, for a quantity that has no bad end.
    """
    values = replicas[column] if isinstance(column, str) else column.loc[replicas.index]
    values = pd.to_numeric(values).astype(float).where(replicas["status"] == "ok")
    if finished:
        values = values[np.isfinite(values)]
    if values.empty or not np.isfinite(values).any():
        return Interval(math.nan if finished or values.empty else math.inf, math.nan, math.nan, "none")
    return pooled_iqm(values, replicas.loc[values.index], direction)


def spearman(x: ArrayLike, y: ArrayLike) -> tuple[float, int]:
    """Rank correlation (Spearman 1904) over the finite pairs, a description: it comes without a p value.

    Returns:
        The coefficient and the number of pairs; NaN with fewer than three pairs or where one side is constant,
        since there is then no order to compare.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = np.isfinite(a) & np.isfinite(b)
    a, b, n = a[both], b[both], int(both.sum())
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan, n
    result: Any = stats.spearmanr(a, b)
    return float(result.statistic), n


def correlation(rho: float, pairs: int) -> str:
    """Return "+0.45 (n = 20)"."""
    return f"{'–' if math.isnan(rho) else f'{rho:+.2f}'} (n = {pairs})"


def counts(replicas: pd.DataFrame) -> dict[str, str]:
    """Return the cells that say how many replicas a row is of, and how many turned non-finite or could not be run."""
    row = {"replicas": str(len(replicas)), "non-finite": str(int((replicas["status"] == "diverged").sum()))}
    failed = int((replicas["status"] == "failed").sum())
    return row | ({"replicas": f"{len(replicas)} ({failed} could not be run)"} if failed else {})


PLAIN = {"loss": "wasserstein", "optimiser": "sgd", "penalty": "none", "schedule": "constant", "critic_steps": 1}
PLAIN |= {"generator": "point", "discriminator": "slope"}
"""Settings of the game xy: theory's rates are of no other."""


def step_sizes(variant: Variant) -> tuple[float, float] | None:
    """Return the step sizes of D and G in the game xy played by plain gradient descent; None of any other game.

    D's loss is the mean of its two halves, which halves its step, or their sum. A loss summed over the batch, all of
    one point here, multiplies both players' steps by the batch size.
    """
    if any(getattr(variant, name) != value for name, value in PLAIN.items()):
        return None
    half = 0.5 if variant.reduction == "mean" else 1.0
    batch = variant.batch_size if variant.reduction == "sum" else 1
    return variant.lr_discriminator * half * batch, variant.lr_generator * batch


def median_of(values: pd.Series) -> tuple[float, int]:
    """Return the median of the finite values, NaN of none, and how many there are."""
    finite = pd.to_numeric(values).astype(float)
    finite = finite[np.isfinite(finite)]
    return (float(finite.median()) if len(finite) else math.nan), len(finite)


def plural(count: int, noun: str) -> str:
    """Return "1 replica", "1,200 windows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def sentence(parts: Iterable[str]) -> str:
    """Join clauses into one sentence."""
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else ""
