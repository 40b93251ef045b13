"""The gradient at each of the generator's layers, and how it goes with the discriminator's strength."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.ledger import Ledger
from reports.evidence import Evidence
from reports.tables import number
from reports.theory_section import (
    NONE,
    Section,
    counts,
    median_of,
    sentence,
    spearman,
    unchecked,
    with_settings,
)

STRENGTHS = ("lr_ratio", "critic_steps")
"""How much stronger than the generator a setting makes the discriminator: its learning rate, its steps, over G's."""


def layer_gradients(evidence: Evidence, ledger: Ledger) -> Section:
    """Does a stronger discriminator take the gradient from the generator's first layers first?"""
    name, title = (
        "layer_gradients",
        "The gradient of each of the generator's layers, against the discriminator's strength",
    )
    text = (
        "The nearer the discriminator is to the optimum, the smaller the generator's gradient (Arjovsky and Bottou "
        "2017, theorem 2.4, for the saturating loss). That the first layers, those at the latent, starve first is a "
        "claim: they do if their gradient, and its share of the last layer's, fall as the discriminator's strength "
        "grows. Norms are each replica's median over the last half of training, then the median over replicas; "
        "*trend* is Spearman's correlation with the strength (`lr_ratio`: D's learning rate over G's; `critic_steps`: "
        "steps of D to one of G) over replicas."
    )
    replicas = with_settings(evidence, "loss", *STRENGTHS)
    varied = [strength for strength in STRENGTHS if replicas[strength].nunique() > 1]
    if not varied:
        return unchecked(name, title, text, f"no variant differs in {' or '.join(f'`{s}`' for s in STRENGTHS)}")
    norms = _layer_norms(evidence, ledger)
    if norms.empty:
        return unchecked(name, title, text, "the history has no `gradient/generator/1` in the last half of training")
    layers = [column for column in norms if column != "last"]
    norms["share"] = norms[1] / norms["last"].where(norms["last"] > 0)
    replicas = replicas.join(norms, on="replica")
    trends = len(varied) * replicas["loss"].nunique() * 2
    rows, said = [], []
    for strength in varied:
        for loss, own in replicas.groupby("loss", sort=False):
            weakest = own[own[strength] == own[strength].min()]["share"].median()
            for level, at in own.groupby(strength):
                row = {"strength": f"`{strength}` {level:g}", "loss": str(loss)} | counts(at)
                for layer in layers:
                    row[f"layer {layer}"] = "{} (n = {})".format(*_shown(at[layer]))
                median, n = median_of(at["share"])
                row["first layer over last"] = f"{number(median)} (n = {n})"
                row["against the weakest D"] = number(median / weakest) if weakest > 0 else NONE
                rows.append(row)
            if own[strength].nunique() > 1:
                row = {"strength": f"`{strength}`, *trend*", "loss": str(loss)} | counts(own)
                row |= {f"layer {layer}": _trend(own[strength], own[layer]) for layer in layers}
                rows.append(row | {"first layer over last": _trend(own[strength], own["share"])})
                said.append(_Trend.of(own, strength, str(loss), trends))
    nothing = "Not checked: the variants of one loss differ in no such setting."
    conclusion = _said_of_layers(said, replicas["loss"].nunique() > 1) if said else nothing
    return Section(name, title, text, conclusion, pd.DataFrame(rows).fillna(NONE))


def _layer_norms(evidence: Evidence, ledger: Ledger) -> pd.DataFrame:
    """Return each replica's median gradient norm over the last half, by id: columns 1 to L, and `last`, its own L."""
    metrics = [f"gradient/generator/{layer}" for layer in range(1, 101)]
    history = ledger.history(metrics)
    if history.empty:
        return pd.DataFrame()
    late = history["step"] > evidence.study["steps"] / 2
    history = history[late & history["replica"].isin(evidence.results["replica"]) & np.isfinite(history["value"])]
    layer = history["metric"].str.rsplit("/", n=1).str[-1].astype(int)
    norms = history.assign(layer=layer).groupby(["replica", "layer"])["value"].median().unstack()
    if 1 not in norms or norms.shape[1] < 2:
        return pd.DataFrame()
    return norms.assign(last=norms.ffill(axis=1).iloc[:, -1])


def _shown(values: pd.Series) -> tuple[str, int]:
    median, n = median_of(values)
    return number(median), n


def _trend(strength: pd.Series, values: pd.Series) -> str:
    rho, p, n = spearman(strength, values)
    return NONE if math.isnan(rho) else f"{rho:+.2f} (p {'< 1e-4' if p < 1e-4 else f'= {p:.2g}'}, n = {n})"


class _Trend(NamedTuple):
    """How the first layer's gradient goes with D's strength, over the replicas of one loss."""

    strength: str
    loss: str
    outcome: str
    first: float
    share: float
    replicas: int
    silent: int

    @classmethod
    def of(cls, own: pd.DataFrame, strength: str, loss: str, trends: int) -> _Trend:
        """A trend counts at 5 % shared among all that are asked about (Bonferroni)."""
        first, p_first, n = spearman(own[strength], own[1])
        relative, p_share, _ = spearman(own[strength], own["share"])
        falls, share_falls = (r < 0 and p <= 0.05 / trends for r, p in ((first, p_first), (relative, p_share)))
        outcome = "the generator's first layers starve first"
        if math.isnan(first):
            outcome = f"too few replicas ({n}) record gradients for a trend,"
        elif not falls:
            outcome = "the gradient at the generator's first layer does not fall"
        elif not share_falls:
            outcome = "the generator's gradient falls, but not in the first layers first,"
        return cls(strength, loss, outcome, first, relative, n, len(own) - n)


def _said_of_layers(trends: list[_Trend], losses: bool) -> str:
    """Return the findings, those alike together."""
    alike: dict[str, list[_Trend]] = {}
    for trend in trends:
        alike.setdefault(trend.outcome, []).append(trend)
    said = []
    for outcome, found in alike.items():
        grows = " and ".join(f"`{t.strength}`{f' with `{t.loss}`' if losses else ''}" for t in found)
        verb = "grows" if len(found) == 1 else "grow"
        measured = [t for t in found if not math.isnan(t.first)]
        of = ""
        if measured and len(trends) <= 2:  # of more the table must do
            first, relative = (" and ".join(f"{getattr(t, v):+.2f}" for t in measured) for v in ("first", "share"))
            replicas = " and ".join(dict.fromkeys(str(t.replicas) for t in measured))
            silent = sum(t.silent for t in measured)
            without = f"; {silent} without a gradient" if silent else ""
            of = f" (Spearman over {replicas} replicas: {first}; share of the last layer's: {relative}{without})"
        said.append(f"{outcome} as {grows} {verb}{of}")
    return sentence(said)
