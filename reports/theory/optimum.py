"""The discriminator's optimum: what it outputs there, and the divergence its value then measures."""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import integrate

from gan.targets import Gaussian, make_target
from reports.stats.intervals import Interval, ranked_quantiles
from reports.study.evidence import LOG2, Evidence
from reports.study.tables import number, repeated, share, spread
from reports.theory.section import (
    CROSS_ENTROPY,
    NONE,
    Measured,
    correlation,
    counts,
    curves,
    iqm_of,
    median_of,
    plural,
    sentence,
    spearman,
    unchecked,
    with_settings,
)

VALUE = "value/discriminator"
TAIL = 0.1  # the part of a run that its end is averaged over


def gaussian_divergence(mean: float, std: float, other_mean: float, other_std: float) -> float:
    """Jensen-Shannon divergence of two Gaussians in nats, by adaptive quadrature (Lin 1991, eq. 3.5).

    Args:
        mean: Of the first.
        std: Of the first, positive.
        other_mean: Of the second.
        other_std: Of the second, positive.

    Returns:
        In [0, log 2], to about 1e-9.
    """

    def log_density(x: float, centre: float, width: float) -> float:
        return -0.5 * ((x - centre) / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))

    def integrand(x: float) -> float:
        p, q = log_density(x, mean, std), log_density(x, other_mean, other_std)
        middle = np.logaddexp(p, q) - LOG2
        return (math.exp(p) * (p - middle) + math.exp(q) * (q - middle)) / 2

    # Outside 12 standard deviations there is less than 1e-32; a narrow peak is found only if it is pointed at.
    edges = sorted({c + k * s for c, s in ((mean, std), (other_mean, other_std)) for k in (-12, -3, 0, 3, 12)})
    pieces = (integrate.quad(integrand, a, b, epsabs=1e-12, limit=200)[0] for a, b in itertools.pairwise(edges))
    return float(min(max(sum(pieces), 0.0), LOG2))


def jensen_shannon(evidence: Evidence) -> Measured:
    """Is the Jensen-Shannon divergence falling, and is it what the discriminator's value says it is?"""
    score = next((s for s in evidence.scores if s.startswith("jsd_")), None)
    if score is None:
        return unchecked("the study has no score of the Jensen-Shannon divergence (`jsd_100k`)")
    replicas = with_settings(evidence, "loss", "generator")
    fixed = replicas["generator"] == "fixed_gaussian"
    if fixed.all():
        return unchecked("no `generator` is trained; see the optimal discriminator")
    replicas = replicas[~fixed].copy()  # what is not trained minimises nothing
    replicas["known"] = (LOG2 - replicas["value_discriminator"]).where(replicas["loss"].isin(CROSS_ENTROPY))
    replicas["gap"] = replicas[score] - replicas["known"]
    trained = _through_training(evidence)
    floor = evidence.floor(score)
    beside = "" if floor is None else f"<br>real data {number(floor)}"
    rows, said, gaps = [], {}, {}
    for loss, own in replicas.groupby("loss", sort=False):
        at_end = iqm_of(own, score, evidence.direction(score), finished=False)
        gap = iqm_of(own, "gap", finished=True)
        finished = own[own["status"] == "ok"]
        across, pairs = spearman(finished[score], finished["known"])
        curve = trained.reindex(own["replica"])
        fell = int(curve["fell"].eq(True).sum())
        followed = int(curve["fell"].notna().sum())
        within, n_within = median_of(curve["with value"])
        trend, n_trend = median_of(curve["with step"])
        row = {"loss": str(loss)} | counts(own)
        row[f"JSD at the end (`{score}`)<br>IQM{beside}"] = spread(at_end)
        row["log 2 − value at the end<br>IQM"] = _or_na(loss, spread(iqm_of(own, "known", finished=True)))
        row["gap<br>IQM"] = _or_na(loss, spread(gap))
        row["correlation over replicas<br>Spearman"] = _or_na(loss, correlation(across, pairs))
        row["JSD fell, first to last evaluation"] = _share(fell, own) if followed else NONE
        row["JSD against step<br>median Spearman"] = correlation(trend, n_trend)
        row["JSD against log 2 − value through training<br>median Spearman"] = _or_na(
            loss, correlation(within, n_within)
        )
        rows.append(row)
        said[str(loss)] = (_share(fell, own) if followed else ""), at_end
        if loss in CROSS_ENTROPY and math.isfinite(gap.estimate):
            gaps[str(loss)] = gap
    return Measured(_said_of_divergence(said, gaps, floor), pd.DataFrame(rows))


def _said_of_divergence(found: dict[str, tuple[str, Interval]], gaps: dict[str, Interval], floor: float | None) -> str:
    """Say how often the JSD fell and where it ended, and how far log 2 − value lies from it.

    Args:
        found: By loss: how often the JSD fell ("" where that is not known), and the JSD at the end.
        gaps: By loss: JSD less log 2 − value.
        floor: The JSD of real data.
    """
    fell = any(count for count, _ in found.values())
    parts = [f"{f'in {count} ' if count else ''}with `{k}`, to {spread(end)}" for k, (count, end) in found.items()]
    if not fell:
        parts = [f"at {spread(end)} with `{k}`" for k, (_, end) in found.items()]
    said = [f"the JSD {'falls' if fell else 'ends'} {', '.join(parts)}"]
    said[0] += f", where real data score {number(floor)}" if floor is not None else ""
    if gaps:
        said.append(f"it exceeds log 2 − value by {', '.join(f'{spread(g)} with `{k}`' for k, g in gaps.items())}")
    return sentence(said)


def _share(successes: int, replicas: pd.DataFrame) -> str:
    return share(successes, len(replicas), limits=repeated(replicas))


def _through_training(evidence: Evidence) -> pd.DataFrame:
    """Return a row a replica, by id: whether its JSD `fell`, and its correlation `with value` and `with step`.

    Evaluations may be on fewer samples than the final score, and so under another name. A replica that diverged
    did not end with a lower divergence, however it stood before.
    """
    statuses = evidence.results.set_index("replica")["status"]
    named = [f"score/{s}" for s in evidence.references if s.startswith("jsd_")]
    # The score of the end may be recorded too, once: the curve is the one with the most points.
    recorded = evidence.ledger.history(named)["metric"].value_counts()
    rows: dict[str, dict[str, Any]] = {}
    if len(recorded):
        metric = str(recorded.idxmax())
        divergence = curves(evidence, metric)
        values = dict(iter(curves(evidence, VALUE).groupby("replica", sort=False)))
        for replica, own in divergence.groupby("replica", sort=False):
            jsd = own[metric].to_numpy()
            fell = bool(jsd[-1] < jsd[0]) and statuses[replica] == "ok" if len(jsd) > 1 else None
            row = {"fell": fell, "with step": spearman(own["step"], jsd)[0]}
            if replica in values:
                at = pd.merge_asof(own[["step"]], values[replica], on="step", direction="nearest")
                row["with value"] = spearman(jsd, LOG2 - at[VALUE])[0]
            rows[str(replica)] = row
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.Index(["fell", "with value", "with step"]))


GAPS: Final = {
    "d_gap": "mean of abs(D − D*)<br>IQM",
    "d_excess": "excess cross entropy of D<br>IQM, nats",
}
"""How far D is from the optimal one: exact where the generator is known, else without a density estimate."""


def optimal_discriminator(evidence: Evidence) -> Measured:
    """How far the trained discriminators are from the optimal one, and from 1/2."""
    replicas = with_settings(evidence, "loss", "generator", "latent", "fixed_mean", "fixed_std")
    recorded = {output: curves(evidence, output) for output in ("output/real", "output/fake")}
    outputs = [output for output, points in recorded.items() if len(points)]
    if "d_gap" not in replicas and not outputs:
        return unchecked("the study has neither `d_gap` nor `output/real` and `output/fake`")
    for output in outputs:
        replicas[output] = replicas["replica"].map(_end(recorded[output], output))
    rows, trained, fixed = [], [], []
    for variant in evidence.variants.index:
        own = replicas[replicas["variant"] == variant]
        if own.empty:
            continue
        row = evidence.variants.loc[variant].to_dict() | counts(own)
        probabilities = own["loss"].iloc[0] in CROSS_ENTROPY
        for column, header in GAPS.items():
            if column in replicas and replicas[column].notna().any():
                known = probabilities and own[column].notna().any()
                row[header] = spread(iqm_of(own, column, finished=column != "d_gap")) if known else "n/a"
        for output in recorded:
            cell = _quartiles(own, output) if output in outputs else NONE
            row[f"`{output}` at the end<br>p_g = p: 0.5"] = cell if probabilities else "n/a"
        value = iqm_of(own, "value_discriminator", finished=True)
        row["value at the end, IQM<br>p_g = p: 0.693"] = spread(value) if probabilities else "n/a"
        exact = _exact(evidence, own)
        if (replicas["generator"] == "fixed_gaussian").any():
            row["exact log 2 − JSD"] = NONE if exact is None else f"{exact:.4f}"
            row["value − exact"] = NONE if exact is None else f"{value.estimate - exact:+.4f}"
        rows.append(row)
        if probabilities:
            (trained if own["generator"].iloc[0] != "fixed_gaussian" else fixed).append((own, value, exact))
    said = [_said_fixed(fixed, brief=bool(trained))]
    if trained:
        said.append(_said_trained(trained, outputs))
    return Measured(sentence(said) or "Not checked: no loss is a cross entropy.", pd.DataFrame(rows))


def _exact(evidence: Evidence, own: pd.DataFrame) -> float | None:
    """Return log 2 − JSD of a fixed Gaussian generator and a Gaussian target; None of any other."""
    parameters, settings = dict(evidence.study.target), own.iloc[0]
    target = make_target(parameters.pop("name"), **parameters)
    known = settings["generator"] == "fixed_gaussian" and settings["latent"] == "normal"
    if not isinstance(target, Gaussian) or not known or settings["loss"] not in CROSS_ENTROPY:
        return None
    return LOG2 - gaussian_divergence(target.mean, target.std, settings["fixed_mean"], settings["fixed_std"])


def _said_fixed(fixed: list[Any], brief: bool) -> str:
    """Return how far D ends from the optimum, and its value from the exact one, for each Gaussian G is fixed to.

    Args:
        fixed: (results, value, exact value) of each variant.
        brief: For all of them together, as where there are more than two: variants count alike.
    """
    alike = {}
    for one in fixed:
        settings = one[0].iloc[0]
        alike.setdefault((settings["fixed_mean"], settings["fixed_std"]), []).append(one)
    if not alike:
        return ""
    over = f"over {plural(len(fixed), 'variant')} ({plural(sum(len(f[0]) for f in fixed), 'replica')}) D, "
    if brief or len(alike) > 2:
        alike = {f"against {plural(len(alike), 'fixed Gaussian')}": fixed}
    else:
        alike = {f"against N({mean:g}, {std:g}²)": found for (mean, std), found in alike.items()}
    said = []
    for against, found in alike.items():
        replicas = pd.concat([own for own, *_ in found])
        exact = replicas["variant"].map({own["variant"].iloc[0]: e for own, _, e in found}).astype(float)
        parts = []
        if "d_gap" in replicas and replicas["d_gap"].notna().any():
            parts.append(f"ends {spread(iqm_of(replicas, 'd_gap', finished=False))} from the optimum")
        off = iqm_of(replicas, (replicas["value_discriminator"] - exact).abs(), finished=True)
        value = iqm_of(replicas, "value_discriminator", finished=True)
        if math.isfinite(off.estimate):
            parts.append(
                f"its value {spread(off)} off theory's" + (f" {exact.iloc[0]:.4f}" if exact.nunique() == 1 else "")
            )
        elif math.isfinite(value.estimate):
            parts.append(f"its value at {spread(value)}")
        said.append(f"{against}, {', '.join(parts) or 'never finished'}")
    return f"{over}{'; '.join(said)}"


def _said_trained(trained: list[Any], outputs: list[str]) -> str:
    replicas = pd.concat([own for own, *_ in trained])
    parts = []
    for column, says in (("output/real", "D(x) ends at"), ("output/fake", "D(G(z)) at")):
        end = iqm_of(replicas, column, finished=True) if column in outputs else None
        if end is not None and math.isfinite(end.estimate):
            parts.append(f"{says} {spread(end)}")
    value = iqm_of(replicas, "value_discriminator", finished=True)
    if math.isfinite(value.estimate):
        parts.append(f"the value at {spread(value)}, beside log 2 = 0.693")
    excess = iqm_of(replicas, "d_excess", finished=True) if "d_excess" in replicas else None
    if excess is not None and math.isfinite(excess.estimate):
        parts.append(f"D's cross entropy {spread(excess)} nats above that of the best D")
    return f"against trained generators ({plural(len(replicas), 'replica')}) {', '.join(parts) or 'none finished'}"


def _end(curve: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return each replica's mean over the last tenth of the steps it made."""
    last = curve.groupby("replica")["step"].transform("max")
    return {
        str(k): float(v) for k, v in curve[curve["step"] > (1 - TAIL) * last].groupby("replica")[metric].mean().items()
    }


def _quartiles(own: pd.DataFrame, column: str) -> str:
    values = own.loc[own["status"] == "ok", column].dropna()
    low, middle, high = (number(float(q)) for q in ranked_quantiles(values))
    return f"{middle} ({low} to {high}), n = {len(values)}" if len(values) else NONE


def _or_na(loss: Any, text: str) -> str:
    return text if loss in CROSS_ENTROPY else "n/a"
