"""The gradient at each of the generator's layers, and how it goes with the discriminator's strength."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gan.columns import level_label
from reports.stats.contrasts import ALPHA
from reports.stats.intervals import Interval, iqm_interval
from reports.stats.paired import holm, signed_rank
from reports.study.effects import FEW, p_value
from reports.study.evidence import Evidence
from reports.study.tables import number, spread
from reports.theory.section import (
    NONE,
    Measured,
    counts,
    median_of,
    plural,
    sentence,
    unchecked,
    with_settings,
)

STRENGTHS = ("lr_ratio", "critic_steps")
"""How much stronger than the generator a setting makes the discriminator: its learning rate, its steps, over G's."""


def layer_gradients(evidence: Evidence) -> Measured:
    """Does a stronger discriminator take the gradient from the generator's first layers first?"""
    replicas = with_settings(evidence, "loss", *STRENGTHS)
    varied = [strength for strength in STRENGTHS if replicas[strength].nunique() > 1]
    if not varied:
        return unchecked(f"no variant differs in {' or '.join(f'`{s}`' for s in STRENGTHS)}")
    norms = _layer_norms(evidence)
    if norms.empty:
        return unchecked("the history has no `gradient/generator/1` in the last half of training")
    layers = [column for column in norms if column != "last"]
    norms["share"] = norms[1] / norms["last"].where(norms["last"] > 0)
    replicas = replicas.join(norms, on="replica")
    for strength in varied:
        beside = {
            v: str({k: own[k] for k in sorted(own) if k != strength}) for v, own in evidence.plan.variants.items()
        }
        replicas[f"beside {strength}"] = replicas["variant"].map(beside)
    groups = [(s, str(loss), own) for s in varied for loss, own in replicas.groupby("loss", sort=False)]
    trends = _corrected(
        [(_Trend.of(own, s, 1), _Trend.of(own, s, "share")) for s, _, own in groups if own[s].nunique() > 1]
    )
    by_group = {(first.strength, first.loss): (first, share) for first, share in trends}
    rows = []
    for strength, loss, own in groups:
        weakest = own[own[strength] == own[strength].min()]["share"].median()
        for level, at in own.groupby(strength):
            row = {"strength": f"`{strength}` {level_label(level)}", "loss": loss} | counts(at)
            row |= {f"layer {layer}": _median(at[layer]) for layer in layers}
            row["first layer over last"] = _median(at["share"])
            row["against the weakest D"] = number(at["share"].median() / weakest) if weakest > 0 else NONE
            rows.append(row)
        if (strength, loss) in by_group:
            first, share = by_group[strength, loss]
            row = {"strength": f"`{strength}`, *trend*", "loss": loss} | counts(own)
            row |= {f"layer {k}": str(_Trend.of(own, strength, k)._replace(p=math.nan)) for k in layers}
            rows.append(row | {"layer 1": str(first), "first layer over last": str(share)})
    conclusion = "Not checked: the variants of one loss differ in no such setting."
    if trends:
        silent = int((~np.isfinite(replicas[1].astype(float))).sum())
        conclusion = _conclusion(trends, replicas["loss"].nunique() > 1, silent)
    return Measured(conclusion, pd.DataFrame(rows).fillna(NONE))


def _layer_norms(evidence: Evidence) -> pd.DataFrame:
    """Return each replica's median gradient norm over the last half, by id: columns 1 to L, and `last`, its own L."""
    history = evidence.ledger.history([f"gradient/generator/{layer}" for layer in range(1, 101)])
    if history.empty:
        return pd.DataFrame()
    late = history["step"] > evidence.study.steps / 2
    history = history[late & history["replica"].isin(evidence.results["replica"]) & np.isfinite(history["value"])]
    layer = history["metric"].str.rsplit("/", n=1).str[-1].astype(int)
    norms = history.assign(layer=layer).groupby(["replica", "layer"])["value"].median().unstack()
    if 1 not in norms or norms.shape[1] < 2:
        return pd.DataFrame()
    return norms.assign(last=norms.ffill(axis=1).iloc[:, -1])


def _median(values: pd.Series) -> str:
    """Return the median of the finite values and how many there are."""
    median, n = median_of(values)
    return f"{number(median)} (n = {n})"


class _Trend(NamedTuple):
    """How a norm goes with the discriminator's strength, over seeds: what a doubling multiplies it by."""

    strength: str
    loss: str
    interval: Interval
    p: float
    seeds: int

    @classmethod
    def of(cls, own: pd.DataFrame, strength: str, column: Any) -> _Trend:
        """The slope of log2 norm against log2 strength, one a seed: seeds are what is independent.

        Variants alike in every other setting give a line each, and the seed the mean of their slopes, so that a
        replica without a gradient does not tip the comparison of levels.
        """
        # A median of 0 is underflow. What is not finite was not measured.
        y = np.log2(own[column].astype(float).clip(lower=float(np.finfo(np.float32).tiny)))
        points = own.assign(x=np.log2(own[strength].astype(float)), y=y)[np.isfinite(y)]
        slopes: dict[int, list[float]] = {}
        for (seed, _), line in points.groupby(["seed", f"beside {strength}"], sort=True):
            if line["x"].nunique() > 1:
                slopes.setdefault(seed, []).append(float(np.polyfit(line["x"], line["y"], 1)[0]))
        # Nine digits: the sign of what is only rounding is no evidence.
        each = np.array([round(float(np.mean(own_)), 9) for own_ in slopes.values()])
        log2 = iqm_interval([each], None)
        interval = Interval(2.0**log2.estimate, 2.0**log2.low, 2.0**log2.high, log2.method)
        p = signed_rank(each).p if each.size >= FEW else math.nan
        return cls(strength, str(own["loss"].iloc[0]), interval, p, each.size)

    @property
    def falls(self) -> bool:
        """Whether a fall is resolved."""
        return self.p <= ALPHA and self.interval.estimate < 1

    @property
    def rises(self) -> bool:
        """Whether a rise is resolved."""
        return self.p <= ALPHA and self.interval.estimate > 1

    def __str__(self) -> str:
        tested = "" if math.isnan(self.p) else f", p = {p_value(self.p)}".replace("= <", "<")
        return f"× {spread(self.interval)}{tested}, n = {self.seeds}" if self.seeds else NONE


def _corrected(trends: list[tuple[_Trend, _Trend]]) -> list[tuple[_Trend, _Trend]]:
    """Adjust by Holm over all trends that a conclusion rests on: of each first layer, and of its share."""
    p = iter(holm([trend.p for pair in trends for trend in pair]).tolist())
    return [(first._replace(p=next(p)), share._replace(p=next(p))) for first, share in trends]


def _outcome(first: _Trend, share: _Trend) -> str:
    """What two trends say together; what is not resolved is said to be that, and not absent."""
    if first.falls and share.falls:
        return "the first layers starve first"
    if first.falls and share.rises:
        return "falls, but the last layer's more"
    if first.falls:
        return "falls, though no fall of its share of the last layer's is resolved"
    return "rises" if first.rises else "no fall is resolved"


def _conclusion(trends: list[tuple[_Trend, _Trend]], losses: bool, silent: int) -> str:
    """Return for each strength what its doubling multiplies the first layer's gradient by, and what that means."""
    said, few = [], []
    for strength in dict.fromkeys(first.strength for first, _ in trends):
        each = []
        for first, share in (pair for pair in trends if pair[0].strength == strength):
            loss = f" with `{first.loss}`" if losses else ""
            if first.seeds < FEW:
                few.append(f"`{strength}`{loss} ({first.seeds} of {FEW})")
                continue
            # Of more than two the table must do.
            beside = f" and its share of the last layer's by {spread(share.interval)}" if len(trends) <= 2 else ""
            outcome = f": {_outcome(first, share)}" if len(trends) == 1 else f" ({_outcome(first, share)})"
            each.append(f"{spread(first.interval)}{beside}{loss}{outcome}")
        what = "of" if said else "a doubling of"
        gradient = "" if said else " multiplies the first layer's gradient"
        if each:
            said.append(f"{what} `{strength}`{gradient} by {', '.join(each)}")
    if few:
        said.append(f"too few seeds for a trend over {' and '.join(few)}")
    without = f"{plural(silent, 'replica')} without a gradient" if silent else ""
    return sentence([*said, without])
