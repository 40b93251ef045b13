"""Tables of a report: one row a variant, one row a level, one row a score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gan.columns import level_label
from gan.verdict import VERDICTS
from reports.stats.intervals import Interval, better, iqm, iqm_interval, passes, ranked_quantiles
from reports.stats.rates import wilson
from reports.study.evidence import Evidence, once

ARROWS = {"lower": "↓", "higher": "↑"}
MOST_SCORES = 4  # of the table of variants: more columns do not fit a page
SIGNS = {"lower": "≤", "higher": "≥"}


def number(value: float | None) -> str:
    """Return three digits, or a whole number as such; "failed" for an infinite quantile; "–" for none.

    From ten millions on three digits and the power of ten, 2.47e14: nobody counts commas.
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "failed"
    if abs(value) >= 1e7:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits}e{int(power)}"
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    # "#" keeps trailing zeros, 0.030 rather than 0.03, but also a bare point after three whole digits.
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 0.0001 else f"{value:.1e}"


def markdown(table: pd.DataFrame) -> str:
    """Return a table as markdown, its cells as they are written: tabulate must not turn "0.50" into 0.5."""
    return "" if table.empty else table.to_markdown(index=False, disable_numparse=True)


def spread(interval: Interval) -> str:
    """Return an estimate with its 95 % interval, "0.021 (0.018 to 0.030)"; alone where it has no width."""
    middle, low, high = number(interval.estimate), number(interval.low), number(interval.high)
    sure = middle in ("failed", "–") or low == "–" or interval.low == interval.high
    return middle if sure else f"{middle} ({low} to {high})"


def share(successes: int | None, trials: int, *, limits: bool = True) -> str:
    """Return "12/16 (51–90 %)": a count with the 95 % Wilson interval of its rate, which a single trial has not.

    Args:
        successes: How many of the trials; None where that is not known.
        trials: How many.
        limits: False where nothing was repeated: "3/4" then.
    """
    if successes is None:
        return "–"
    if not limits or trials < 2:
        return f"{successes}/{trials}"
    low, high = wilson(successes, trials)
    return f"{successes}/{trials} ({100 * low:.0f}–{100 * high:.0f} %)"


def reached(evidence: Evidence, replicas: pd.DataFrame) -> np.ndarray:
    """Whether each replica met every threshold of the report, shape [replicas]; a failed one did not."""
    met = np.ones(len(replicas), dtype=bool)
    for score, threshold in evidence.reached.items():
        met &= passes(replicas[score].to_numpy(float), threshold, evidence.direction(score))
    return met & (replicas["status"] == "ok").to_numpy()


def score_values(evidence: Evidence, replicas: pd.DataFrame, score: str) -> np.ndarray:
    """One score a replica, shape [replicas], NaN for every replica that failed, whatever it scored before."""
    return replicas[score].where(replicas["status"] == "ok").to_numpy(float)


def repeated(replicas: pd.DataFrame) -> bool:
    """Whether some variant has two replicas: without one nothing is known of chance, whatever the variants."""
    return bool(replicas.groupby("variant").size().max() > 1)


def pooled_iqm(values: pd.Series, replicas: pd.DataFrame, direction: str | None = "lower") -> Interval:
    """Interquartile mean over replicas of any number of variants, with its 95 % bootstrap interval.

    Replicas of one seed share random numbers, so whole seeds are drawn again: an interval over many variants is of
    their mean alone, and no narrower than the seeds allow.

    Args:
        values: One a replica, NaN where it failed, on the index of `replicas`.
        replicas: Rows of the results: columns variant and seed.
        direction: As for `reports.stats.intervals.iqm`.
    """
    if not repeated(replicas):
        return Interval(iqm(values, direction), math.nan, math.nan, "none")
    if replicas["seed"].is_unique:  # nothing is shared
        return iqm_interval([values], direction)
    clusters = [own.to_numpy(float) for _, own in values.groupby(replicas["seed"])]
    return iqm_interval(clusters, direction, clustered=True)


def score_iqm(evidence: Evidence, replicas: pd.DataFrame, score: str) -> Interval:
    """A score's `pooled_iqm`, failed replicas last."""
    values = pd.Series(score_values(evidence, replicas, score), index=replicas.index)
    return pooled_iqm(values, replicas, evidence.direction(score))


def summarise(evidence: Evidence, replicas: pd.DataFrame) -> dict[str, Any]:
    """Counts of a group of replicas.

    Returns:
        "seeds", "repeated" (whether rates have limits), "failures", "reached" (None without thresholds), "verdicts" (a
        count by verdict, in the order of `gan.verdict.VERDICTS`, of those there are), and "time_to_goal": the median
        step at which the goal was reached, infinite where half of the replicas never did, NaN without thresholds or
        histories.
    """
    verdicts = replicas["verdict"].value_counts()
    # A replica trained to its end without a verdict has lost its history: when it got there is not known.
    known = replicas["verdict"].notna() | (replicas["status"] != "ok")
    times = replicas.loc[known, "time_to_goal"].to_numpy(float)
    return {
        "seeds": len(replicas),
        "repeated": repeated(replicas),
        "failures": int((replicas["status"] != "ok").sum()),
        "reached": int(reached(evidence, replicas).sum()) if evidence.reached else None,
        "verdicts": {v: int(verdicts[v]) for v in VERDICTS if v in verdicts},
        "time_to_goal": float(ranked_quantiles(times, [0.5])[0]) if evidence.reached else math.nan,
    }


@once
def ranking(evidence: Evidence) -> list[str]:
    """Variants with a finished replica, best interquartile mean first; ties go to more reached, then the plan."""
    direction = evidence.direction(evidence.primary)
    sign = 1 if direction == "lower" else -1

    def rank(variant: str) -> tuple[float, int]:
        replicas = evidence.of(variant)
        mean = iqm(score_values(evidence, replicas, evidence.primary), direction)
        return sign * mean, -int(reached(evidence, replicas).sum())

    return sorted((v for v in evidence.variants.index if len(evidence.of(v))), key=rank)


def best_first(evidence: Evidence, replicas: pd.DataFrame) -> pd.DataFrame:
    """Replicas from best to worst on the primary score, failed ones last; of equal ones the first stays first."""
    values = score_values(evidence, replicas, evidence.primary)
    worth = np.where(np.isnan(values), np.inf, values if evidence.direction(evidence.primary) == "lower" else -values)
    return replicas.iloc[np.argsort(worth, kind="stable")]


def score_header(evidence: Evidence, score: str) -> str:
    """Return a score's column header, with what real data would score."""
    floor = evidence.floor(score)
    beside = f"<br>real data {number(floor)}" if floor is not None else ""
    return f"{evidence.label(score)} {ARROWS[evidence.direction(score)]}{beside}"


def counted(verdicts: Mapping[str, int]) -> str:
    """Return "14 converged, 2 unsettled"."""
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "–"


def _outcome(evidence: Evidence, summary: dict[str, Any]) -> dict[str, str]:
    """Return the cells that say how a group of replicas ended."""
    count, limits = summary["seeds"], summary["repeated"]
    cells = {"failed": share(summary["failures"], count, limits=limits)}
    if evidence.reached:
        time = summary["time_to_goal"]
        cells["reached"] = share(summary["reached"], count, limits=limits)
        cells["steps to goal<br>(median)"] = "never" if math.isinf(time) else number(time)
    return cells | {"verdicts": counted(summary["verdicts"])}


def variants_table(evidence: Evidence) -> pd.DataFrame:
    """One row a variant, best first: levels, each score's interquartile mean with its interval, how replicas ended.

    The best mean of each score is bold, unless most variants share it. Of many scores the first stand here, and all in
    `results.csv`.
    """
    order, scores = ranking(evidence), evidence.scores[:MOST_SCORES]
    means = {s: {v: score_iqm(evidence, evidence.of(v), s) for v in order} for s in scores}
    best = {}
    for score, own in means.items():
        finite = [interval.estimate for interval in own.values() if math.isfinite(interval.estimate)]
        if finite:
            first = min(finite) if evidence.direction(score) == "lower" else max(finite)
            best[score] = first if finite.count(first) <= len(order) / 2 else None
    rows = []
    for variant in order:
        summary = summarise(evidence, evidence.of(variant))
        row = {factor: evidence.variants.loc[variant, factor] for factor in evidence.factors}
        row["seeds"] = summary["seeds"]
        for place, score in enumerate(scores):
            text = spread(means[score][variant])
            bold = means[score][variant].estimate == best.get(score)
            row[score_header(evidence, score)] = f"**{text}**" if bold else text
            if place == 0:
                row |= _outcome(evidence, summary)
        rows.append(row)
    return pd.DataFrame(rows)


def levels_table(evidence: Evidence) -> pd.DataFrame:
    """One row a level of each factor, pooled over all others, with 95 % intervals of its mean and rates."""
    rows = []
    for factor, levels in evidence.factors.items():
        for level in levels:
            replicas = at_level(evidence, factor, level)
            if len(replicas):
                mean = spread(score_iqm(evidence, replicas, evidence.primary))
                row = {"factor": factor, "level": level, score_header(evidence, evidence.primary): mean}
                rows.append(row | _outcome(evidence, summarise(evidence, replicas)))
    return pd.DataFrame(rows)


def at_level(evidence: Evidence, factor: str, level: str) -> pd.DataFrame:
    """Replicas of every variant at one level of a factor."""
    names = evidence.variants.index[evidence.variants[factor] == level]
    return evidence.results[evidence.results["variant"].isin(names)]


def scores_table(evidence: Evidence) -> pd.DataFrame:
    """One row a score: which end is good, how many samples, what real data and uniform noise would score."""
    rows = []
    for name in [*evidence.scores, *evidence.descriptive]:
        reference = evidence.references[name]
        row = {"score": f"`{name}`", "meaning": evidence.label(name), "better": reference.direction or "–"}
        row["samples"] = f"{reference.n:,}"
        if has_floors(evidence):
            spread_of = f" ± {number(reference.floor_std)}" if reference.floor_std is not None else ""
            row["real data"] = f"{number(reference.floor)}{spread_of}"
        if any(evidence.references[s].noise is not None for s in evidence.scores):
            row["uniform noise"] = number(reference.noise)
        if evidence.reached:
            met = name in evidence.reached
            row["reached at"] = f"{SIGNS[evidence.direction(name)]} {evidence.reached[name]:g}" if met else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def has_floors(evidence: Evidence) -> bool:
    """Whether it is known of some score what real data would get."""
    return any(evidence.floor(score) is not None for score in evidence.scores)


def settings_table(evidence: Evidence) -> pd.DataFrame:
    """The settings (gan/variant.py) that all variants share, one row a setting; a factor's bundle may vary several."""
    first, *others = evidence.plan.variants.values()
    shared = {name: v for name, v in first.items() if all(other.get(name) == v for other in others)}
    shared = {name: v for name, v in shared.items() if name not in evidence.factors}
    return pd.DataFrame({"setting": shared.keys(), "value": [level_label(value) for value in shared.values()]})


def bundles_table(evidence: Evidence) -> pd.DataFrame:
    """One row a level of each factor whose levels are named bundles of settings: what the level sets."""
    variants = pd.DataFrame.from_dict(
        {name: {k: level_label(v) for k, v in own.items()} for name, own in evidence.plan.variants.items()}, "index"
    )
    varied = [name for name in variants if name not in evidence.factors and variants[name].nunique() > 1]
    rows = []
    for factor in (f for f in evidence.factors if f not in variants):
        for level in evidence.factors[factor]:
            own = variants.loc[evidence.variants.index[evidence.variants[factor] == level]]
            sets = [f"`{name}` {own[name].iloc[0]}" for name in varied if len(own) and own[name].nunique() == 1]
            rows.append({"factor": factor, "level": level, "settings": ", ".join(sets) or "–"})
    return pd.DataFrame(rows)


def replicas_table(evidence: Evidence) -> pd.DataFrame:
    """One row a variant: the ids of its replicas in the order of their seeds."""
    finished = evidence.results.groupby("variant", sort=False)["replica"].apply(
        lambda ids: " ".join(f"`{i}`" for i in ids)
    )
    return finished.rename("replicas, by seed").reset_index()


def goal(evidence: Evidence) -> str:
    """Return the thresholds, by the scores' exact names: "`ks` ≤ 0.05 and `modes` ≥ 8"."""
    parts = [f"`{s}` {SIGNS[evidence.direction(s)]} {t:g}" for s, t in evidence.reached.items()]
    return " and ".join(parts)


def any_variant_reaches(evidence: Evidence) -> bool:
    """Whether some variant's medians meet every threshold."""

    def medians_reach(replicas: pd.DataFrame) -> bool:
        for score, threshold in evidence.reached.items():
            direction = evidence.direction(score)
            (median,) = ranked_quantiles(score_values(evidence, replicas, score), [0.5], direction)
            if better(threshold, median, direction):
                return False
        return True

    return any(medians_reach(evidence.of(variant)) for variant in ranking(evidence))
