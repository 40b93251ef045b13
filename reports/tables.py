"""Tables of a report: one row a variant, one row a level, one row a score."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from reports.evidence import EQUILIBRIUM, Evidence, level_label
from reports.statistics import QUARTILES, better, passes, ranked_quantiles, wilson

ARROWS = {"lower": "↓", "higher": "↑"}


def number(value: float | None) -> str:
    """Return three digits, or a whole number as such; "failed" for an infinite quantile; "–" for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "failed"
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    # "#" keeps trailing zeros, 0.030 rather than 0.03, but also a bare point after three whole digits.
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 0.0001 else f"{value:.1e}"


def spread(quartiles: Any) -> str:
    """Return a median and its interquartile range: "0.021 (0.018–0.030)"."""
    low, middle, high = (number(float(q)) for q in quartiles)
    if middle in ("failed", "–"):
        return middle
    return f"{middle} ({low}–{high})"


def reached(evidence: Evidence, replicas: pd.DataFrame) -> np.ndarray:
    """Whether each replica met every threshold of the report, shape [replicas]; a failed one did not."""
    met = np.ones(len(replicas), dtype=bool)
    for score, threshold in evidence.reached.items():
        met &= passes(replicas[score].to_numpy(float), threshold, evidence.direction(score))
    return met & (replicas["status"] == "ok").to_numpy()


def summarise(evidence: Evidence, replicas: pd.DataFrame) -> dict[str, Any]:
    """Counts and quartiles of a group of replicas.

    Returns:
        "seeds", "failures", "reached" (None without thresholds), and for each score its quartiles, shape
        [3], in which failed replicas rank last. `value_discriminator` has no bad end: its
        quartiles are over the replicas that finished.
    """
    counts = {
        "seeds": len(replicas),
        "failures": int((replicas["status"] != "ok").sum()),
        "reached": int(reached(evidence, replicas).sum()) if evidence.reached else None,
    }
    finished = replicas.loc[replicas["status"] == "ok", "value_discriminator"].dropna()
    quartiles = {s: score_quartiles(evidence, replicas, s) for s in evidence.scores}
    return counts | quartiles | {"value_discriminator": ranked_quantiles(finished, QUARTILES)}


def score_values(evidence: Evidence, replicas: pd.DataFrame, score: str) -> np.ndarray:
    """One score a replica, shape [replicas], NaN for every replica that failed, whatever it scored before."""
    return replicas[score].where(replicas["status"] == "ok").to_numpy(float)


def score_quartiles(evidence: Evidence, replicas: pd.DataFrame, score: str) -> np.ndarray:
    """Quartiles of a score over replicas, shape [3], failed replicas last."""
    return ranked_quantiles(score_values(evidence, replicas, score), QUARTILES, evidence.direction(score))


def ranking(evidence: Evidence) -> list[str]:
    """Variants with a finished replica, best median score first; ties go to more reached, then the plan."""
    sign = 1 if evidence.direction(evidence.primary) == "lower" else -1
    keys = {}
    for place, variant in enumerate(evidence.variants.index):
        replicas = evidence.of(variant)
        if len(replicas):
            median = score_quartiles(evidence, replicas, evidence.primary)[1]
            keys[variant] = (sign * median, -int(reached(evidence, replicas).sum()), place)
    return sorted(keys, key=lambda variant: keys[variant])


def by_seed_rank(evidence: Evidence, variant: str) -> pd.DataFrame:
    """One variant's replicas from best to worst on the primary score, failed ones last."""
    replicas = evidence.of(variant)
    values = score_values(evidence, replicas, evidence.primary)
    worth = np.where(np.isnan(values), np.inf, values if evidence.direction(evidence.primary) == "lower" else -values)
    return replicas.iloc[np.lexsort((replicas["seed"].to_numpy(), worth))]


def share(successes: int | None, trials: int) -> str:
    """Return "12/16 (51–90 %)": a count with the 95 % Wilson interval of its rate."""
    if successes is None:
        return "–"
    low, high = wilson(successes, trials)
    return f"{successes}/{trials} ({100 * low:.0f}–{100 * high:.0f} %)"


def score_header(evidence: Evidence, score: str) -> str:
    """Return a score's column header, with what real data would score."""
    floor = evidence.floor(score)
    beside = f"<br>real data {number(floor)}" if floor is not None else ""
    return f"{evidence.label(score)} {ARROWS[evidence.direction(score)]}{beside}"


def variants_table(evidence: Evidence) -> pd.DataFrame:
    """One row a variant, best first: levels, seeds, failures, reached, and each score's median and quartiles.

    The best median of each score is bold.
    """
    order = ranking(evidence)
    summaries = {variant: summarise(evidence, evidence.of(variant)) for variant in order}
    best = {}
    for score in evidence.scores:
        medians = [summaries[v][score][1] for v in order if np.isfinite(summaries[v][score][1])]
        if medians:
            best[score] = min(medians) if evidence.direction(score) == "lower" else max(medians)
    rows = []
    for variant in order:
        summary = summaries[variant]
        row = {factor: evidence.variants.loc[variant, factor] for factor in evidence.factors}
        row |= {"seeds": summary["seeds"], "failed": summary["failures"]}
        if evidence.reached:
            row["reached"] = f"{summary['reached']}/{summary['seeds']}"
        for score in evidence.scores:
            text = spread(summary[score])
            row[score_header(evidence, score)] = f"**{text}**" if summary[score][1] == best.get(score) else text
        row[f"discriminator's value<br>equilibrium {EQUILIBRIUM:.3f}"] = spread(summary["value_discriminator"])
        rows.append(row)
    return pd.DataFrame(rows)


def levels_table(evidence: Evidence) -> pd.DataFrame:
    """One row a level of each factor, pooled over all others, with 95 % Wilson intervals of its rates."""
    rows = []
    for factor, levels in evidence.factors.items():
        for level in levels:
            replicas = at_level(evidence, factor, level)
            if replicas.empty:
                continue
            summary = summarise(evidence, replicas)
            row = {"factor": factor, "level": level, "failed": share(summary["failures"], summary["seeds"])}
            if evidence.reached:
                row["reached"] = share(summary["reached"], summary["seeds"])
            row[score_header(evidence, evidence.primary)] = spread(summary[evidence.primary])
            rows.append(row)
    return pd.DataFrame(rows)


def at_level(evidence: Evidence, factor: str, level: str) -> pd.DataFrame:
    """Replicas of every variant at one level of a factor."""
    names = evidence.variants.index[evidence.variants[factor] == level]
    return evidence.results[evidence.results["variant"].isin(names)]


def scores_table(evidence: Evidence) -> pd.DataFrame:
    """One row a score: which end is good, how many samples, what real data and uniform noise would score."""
    rows = []
    for name in evidence.scores:
        reference = evidence.references[name]
        row = {"score": f"`{name}`", "meaning": reference["label"], "better": reference["direction"]}
        row |= {"samples": f"{reference['n']:,}", "real data": number(reference.get("floor"))}
        if any(evidence.references[s].get("noise") is not None for s in evidence.scores):
            row["uniform noise"] = number(reference.get("noise"))
        if evidence.reached:
            sign = "≤" if reference["direction"] == "lower" else "≥"
            row["reached at"] = f"{sign} {evidence.reached[name]:g}" if name in evidence.reached else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def settings_table(evidence: Evidence) -> pd.DataFrame:
    """The settings of a variant (gan/variant.py) that no factor varies, one row a setting."""
    settings = next(iter(evidence.plan["variants"].values()))
    shared = {name: value for name, value in settings.items() if name not in evidence.factors}
    return pd.DataFrame({"setting": shared.keys(), "value": [level_label(value) for value in shared.values()]})


def replicas_table(evidence: Evidence) -> pd.DataFrame:
    """One row a variant: the ids of its replicas in the order of their seeds."""
    finished = evidence.results.groupby("variant", sort=False)["replica"].apply(
        lambda ids: " ".join(f"`{i}`" for i in ids)
    )
    return finished.rename("replicas, by seed").reset_index()


def goal(evidence: Evidence) -> str:
    """Return the thresholds, by the scores' exact names: "`ks` ≤ 0.05 and `modes` ≥ 8"."""
    signs = {"lower": "≤", "higher": "≥"}
    parts = [f"`{s}` {signs[evidence.direction(s)]} {t:g}" for s, t in evidence.reached.items()]
    return " and ".join(parts)


def any_variant_reaches(evidence: Evidence) -> bool:
    """Whether some variant's medians meet every threshold."""
    for variant in ranking(evidence):
        medians = {s: score_quartiles(evidence, evidence.of(variant), s)[1] for s in evidence.reached}
        if not any(better(t, medians[s], evidence.direction(s)) for s, t in evidence.reached.items()):
            return True
    return False
