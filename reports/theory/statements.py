"""Statements of theory, each beside what this study measured: the losses' gradients, the game of two numbers."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gan.columns import number_label
from gan.variant import Variant
from reports.stats.contrasts import ALPHA
from reports.stats.intervals import Interval
from reports.study.effects import FEW
from reports.study.evidence import Evidence, once
from reports.study.tables import pooled_iqm, reached, repeated, share, spread
from reports.theory.layers import layer_gradients
from reports.theory.optimum import jensen_shannon, optimal_discriminator
from reports.theory.section import (
    CROSS_ENTROPY,
    NONE,
    PLAIN,
    Measured,
    counts,
    curves,
    iqm_of,
    missing_metrics,
    plural,
    sentence,
    step_sizes,
    unchecked,
    with_settings,
)

WORDING = Path(__file__).with_name("statements.toml")
LOGITS = ("gradient/logits", "output/generator")
ROUNDING = 1e-4
"""Largest relative difference that float32 means over a batch and a window of steps may show."""
DIGITS_LOST = 0.01
"""1 - D keeps no digits that D near 1 has not: smaller gradients are compared on this scale."""
BINS = {"D(G(z)) < 0.01": 0.01, "0.01 to 0.1": 0.1, "0.1 to 0.5": 0.5, "> 0.5": math.inf}
TOLERANCE = 0.01
"""Of a growth factor's logarithm and of a ratio of radii, relative: float32 over a whole run."""


@dataclass(frozen=True)
class Statement:
    """One statement of theory beside what was measured: a section of the report."""

    name: str
    """The check's name in a study's `checks`."""
    title: str
    text: str
    """Markdown: what theory says, with its source."""
    measured: Measured


@once
def checks(evidence: Evidence) -> list[Statement]:
    """Return a statement for each of the study's checks, in its order.

    A check for which the study has not measured enough gives one that says what is missing.
    """
    return [statement(name, CHECKS[name](evidence)) for name in evidence.study.checks]


def statement(name: str, measured: Measured) -> Statement:
    """Put what was measured beside the text of `statements.toml`."""
    wording = tomllib.loads(WORDING.read_text(encoding="utf-8"))[name]
    text = " ".join(wording["text"].split("\n")).strip().format(digits_lost=DIGITS_LOST, alpha=ALPHA, few=FEW)
    return Statement(name, wording["title"], f"{text} {measured.note}".strip(), measured)


def logit_gradient(evidence: Evidence) -> Measured:
    """Does the gradient on the logit vanish where theory says it does, and what does that do to training?"""
    missing = missing_metrics(evidence, *LOGITS)
    if missing:
        return unchecked(f"the history has no {' and no '.join(f'`{m}`' for m in missing)}")
    replicas = with_settings(evidence, "loss", "optimiser", "reduction", "discriminator_output")
    applies = replicas["loss"].isin(CROSS_ENTROPY) & (replicas["reduction"] != "sum")
    applies &= replicas["discriminator_output"] == "logit"
    note = (
        ""
        if applies.all()
        else (
            f"Not checked: {plural(int((~applies).sum()), 'replica')} with a Wasserstein loss, a loss summed over the "
            "batch, or a discriminator that outputs probabilities."
        )
    )
    replicas = replicas[applies]
    windows = curves(evidence, *LOGITS, replicas=replicas["replica"])
    windows = windows.merge(replicas[["replica", "loss", "optimiser"]])
    if windows.empty:
        return unchecked("no replica with cross entropy on logits has recorded gradients", note)
    windows["difference"] = _difference(windows)
    edges = [-math.inf, *BINS.values()]
    windows["bin"] = pd.cut(windows["output/generator"], edges, right=False, labels=list(BINS))
    rows = []
    for (loss, optimiser), own in replicas.groupby(["loss", "optimiser"], sort=False):
        its = windows[(windows["loss"] == loss) & (windows["optimiser"] == optimiser)]
        row = {"loss": str(loss), "optimiser": str(optimiser)} | counts(own)
        row["largest relative difference"] = f"{_small(its['difference'].max())} ({plural(len(its), 'window')})"
        for label in BINS:
            inside = its[its["bin"] == label]
            typical = f"{spread(_typical(own, inside))}, {plural(inside['replica'].nunique(), 'replica')}"
            row[f"gradient, {label}"] = typical if len(inside) else NONE
        row[f"{evidence.label(evidence.primary)}<br>IQM"] = spread(
            iqm_of(own, evidence.primary, evidence.direction(evidence.primary), finished=False)
        )
        row["at the goal"] = NONE
        if evidence.reached:
            row["at the goal"] = share(int(reached(evidence, own).sum()), len(own), limits=repeated(own))
        row["starved"] = _starved(evidence, own)
        rows.append(row)
    return Measured(_said_of_logits(evidence, replicas, windows), pd.DataFrame(rows), note)


def _difference(windows: pd.DataFrame) -> pd.Series:
    """Relative difference of the measured gradient from theory's, a window."""
    saturating, output = windows["loss"] == "saturating", windows["output/generator"]
    theory = output.where(saturating, 1 - output)
    scale = theory.clip(lower=np.where(saturating, np.finfo(np.float32).tiny, DIGITS_LOST))
    return (windows["gradient/logits"] - theory).abs() / scale


def _starved(evidence: Evidence, replicas: pd.DataFrame) -> str:
    """Return how many starved of those whose verdict is known, with the rate's interval."""
    known = replicas["verdict"].dropna()
    count = int((known == "starved").sum()) if len(known) else None
    return share(count, len(known), limits=repeated(evidence.results))


def _said_of_logits(evidence: Evidence, replicas: pd.DataFrame, windows: pd.DataFrame) -> str:
    largest = windows["difference"].max()
    agrees = "agrees with theory to rounding" if largest <= ROUNDING else "does not agree with theory"
    of = f"largest relative difference {_small(largest)}, {plural(len(windows), 'window')}"
    said = [f"the gradient on the logit {agrees} ({of})"]
    both = windows.groupby("bin", observed=True)["loss"].nunique() == windows["loss"].nunique()
    lowest = next((label for label in BINS if both.get(label, False)), None)
    if lowest is not None:
        inside = windows[windows["bin"] == lowest]
        losses = dict.fromkeys(inside["loss"])
        each = " and ".join(f"{spread(_typical(replicas, inside[inside['loss'] == k]))} with `{k}`" for k in losses)
        bin_ = lowest.removeprefix("D(G(z)) ").replace("<", "below").replace(">", "above")
        said.append(f"where D(G(z)) is {bin_} its median is {each}")
    if replicas["verdict"].notna().any():
        by = ["loss", "optimiser"] if replicas["optimiser"].nunique() > 1 else ["loss"]
        rates = [
            f"{_starved(evidence, own)} {' '.join(f'`{k}`' for k in keys)}"
            for keys, own in replicas.groupby(by, sort=False)
        ]
        said.append(f"starved: {', '.join(rates)}")
    return sentence(said)


def _typical(replicas: pd.DataFrame, windows: pd.DataFrame) -> Interval:
    """Interquartile mean over replicas of each one's median gradient over these windows."""
    medians = windows.groupby("replica")["gradient/logits"].median()
    own = replicas[replicas["replica"].isin(medians.index)]
    # A replica that diverged later has had its gradients all the same.
    return pooled_iqm(own["replica"].map(medians).astype(float), own)


def growth_per_step(h: float) -> float:
    """Factor by which a simultaneous step of size h multiplies the radius in the game xy: sqrt(1 + h²).

    The step is the matrix [[1, -h], [h, 1]], a rotation times that factor (Mescheder et al. 2018, section 2). Two
    different sizes count by their geometric mean, up to a factor that is bounded.
    """
    return math.sqrt(1 + h * h)


def radius_ratio_bound(h_first: float, h_second: float) -> float:
    """Largest over smallest radius that alternating steps of these sizes can show in the game xy.

    x ← x − h₁y, y ← y + h₂x conserves h₂x² + h₁y² − h₁h₂xy, so the orbit stays on an ellipse and the ratio of radii is
    at most that of its axes, the root of the form's eigenvalues' ratio. With both h this is x² + y² − hxy, of
    eigenvalues 1 ± h/2: sqrt((1 + h/2) / (1 − h/2)).

    Returns:
        Infinite from h₁h₂ = 4 on, where the form is no ellipse.
    """
    low, high = np.linalg.eigvalsh(
        [[h_second, -h_first * h_second / 2], [-h_first * h_second / 2, h_first]],
    )
    return math.sqrt(high / low) if low > 1e-12 * high else math.inf


def bilinear(evidence: Evidence) -> Measured:
    """Do simultaneous steps spiral out, and alternating ones stay on their ellipse, at exactly theory's rates?"""
    fields = ["updates", "lr", "lr_ratio", "reduction", "batch_size", *PLAIN]
    replicas = with_settings(evidence, *fields)
    points = curves(evidence, "score/radius")
    if points.empty:
        return unchecked("the history has no `score/radius`")
    replicas = replicas.join(_radii(points), on="replica")
    rows, deviations = [], {"simultaneous": [], "alternating": []}
    for _, own in replicas.groupby(fields, sort=False):
        settings = own.iloc[0]
        sizes = step_sizes(Variant.from_settings(evidence.plan.variants[settings["variant"]]))
        followed = own[own["growth"].notna()]
        row = {"updates": settings["updates"], "lr": number_label(settings["lr"])} | counts(own)
        row["evaluations"] = f"{followed['evaluations'].median():.0f}" if len(followed) else NONE
        row["growth a step<br>(min to max)"] = _range(followed["growth"], "{:.6f}")
        row["largest over smallest radius<br>(min to max)"] = _range(followed["ratio"], "{:.4g}")
        exact, worst = NONE, math.nan
        if sizes and settings["updates"] == "simultaneous":
            growth = growth_per_step(math.sqrt(sizes[0] * sizes[1]))
            exact = f"growth {growth:.6f}"
            if math.isclose(*sizes):
                worst = float((followed["growth"].map(math.log) / math.log(growth) - 1).abs().max())
            else:  # the radius grows so only on average over a turn: a run need not be long enough
                exact += " in the long run"
        elif sizes and math.isfinite(bound := radius_ratio_bound(*sizes)):
            exact, worst = f"ratio ≤ {bound:.4g}", float((followed["ratio"] / bound - 1).clip(lower=0).max())
            # A bounded orbit does not diverge.
            worst = math.inf if (own["status"] == "diverged").any() else worst
        row["exact"], row["largest relative deviation"] = exact, NONE if math.isnan(worst) else _small(worst)
        rows.append(row)
        if not math.isnan(worst):
            deviations[settings["updates"]].append((worst, len(followed), int((own["status"] == "diverged").sum())))
    said = [_said_of_game(updates, found) for updates, found in deviations.items() if found]
    nothing = "Not checked: no variant plays the game xy by plain gradient descent in equal steps."
    return Measured(sentence(said) or nothing, pd.DataFrame(rows))


def _radii(points: pd.DataFrame) -> pd.DataFrame:
    """Return by replica the `growth` a step, the `ratio` of radii and the number of `evaluations`."""
    rows = {}
    for replica, own in points[points["score/radius"] > 0].groupby("replica", sort=False):
        steps, radius = own["step"].to_numpy(float), own["score/radius"].to_numpy(float)
        if len(steps) > 1:
            growth = math.exp(math.log(radius[-1] / radius[0]) / (steps[-1] - steps[0]))
            rows[replica] = (growth, radius.max() / radius.min(), len(radius))
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.Index(["growth", "ratio", "evaluations"]))


def _said_of_game(updates: str, found: list[tuple[float, int, int]]) -> str:
    worst, replicas, diverged = max(f[0] for f in found), sum(f[1] for f in found), sum(f[2] for f in found)
    broken = f", {diverged} of which diverged" if diverged else ""
    of = f"{plural(replicas, 'replica')}{broken}"
    if updates == "simultaneous":
        fit = "spiral out at theory's rate" if worst <= TOLERANCE else "do not grow at theory's rate"
        return f"simultaneous steps {fit} (largest relative deviation {_small(worst)}, {of})"
    if worst <= TOLERANCE:
        beyond = f"largest excess {_small(worst)}, {of}" if worst else of
        return f"alternating steps stay within the bound of their orbit ({beyond})"
    by = f"by {worst:.1e} of it, " if math.isfinite(worst) else ""
    return f"alternating steps leave the bound of their orbit ({by}{of})"


def _small(difference: float) -> str:
    """Return a difference that ought to be none: "2.7e-08", or 0."""
    return f"{difference:.1e}" if difference else "0"


def _range(values: pd.Series, form: str) -> str:
    low, high = form.format(values.min()), form.format(values.max())
    return NONE if values.empty else low if low == high else f"{low} to {high}"


CHECKS: dict[str, Callable[[Evidence], Measured]] = {
    "logit_gradient": logit_gradient,
    "jensen_shannon": jensen_shannon,
    "optimal_discriminator": optimal_discriminator,
    "bilinear": bilinear,
    "layer_gradients": layer_gradients,
}
