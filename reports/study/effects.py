"""What the contrasts of a grid come to: their table, where the variance is, and what stayed unresolved."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.stats.contrasts import ALPHA, Contrast, paired_differences, shares
from reports.stats.intervals import Interval
from reports.stats.paired import seeds_needed, smallest_p, variance_parts
from reports.study.evidence import Evidence, once
from reports.study.tables import any_variant_reaches, goal, number, score_values

MOST_SEEDS = 100_000
"""That a report asks for: to need more says that the effect cannot be resolved so."""
RELEVANT = 0.1
"""The smallest relative difference that the report asks its seeds to resolve."""
FEW = 6
"""With fewer runs a bootstrap interval, which never leaves their range, cannot hold 95 % of what it should."""
MANY = 24  # contrasts in the table: what follows is unresolved, or far smaller than the first

CONTRAST_COLUMNS = ("kind", "factors", "levels", "against", "estimate", "low", "high", "method", "ratio", "pairs", "p")
IMPROVEMENT = ("improvement", "improvement_low", "improvement_high")
CONTRAST_COLUMNS += ("p_holm", "effect", *IMPROVEMENT, "resolved")


def effect(value: float) -> str:
    """Return a ratio or a difference in three digits; "∞" where one side failed."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    return number(value).replace("-", "−")


def effect_interval(interval: Interval) -> str:
    """Return an estimate with its 95 % interval: "0.72 (0.61 to 0.85)"."""
    if math.isnan(interval.low):
        return effect(interval.estimate)
    return f"{effect(interval.estimate)} ({effect(interval.low)} to {effect(interval.high)})"


def probability(interval: Interval) -> str:
    """Return a probability with its interval, two digits each: "0.57 (0.52 to 0.62)"."""
    if math.isnan(interval.estimate):
        return "–"
    bounds = "" if math.isnan(interval.low) else f" ({interval.low:.2f} to {interval.high:.2f})"
    return f"{interval.estimate:.2f}{bounds}"


def p_value(p: float) -> str:
    """Return a p value: two digits, "< 0.0001" below that, "–" for none."""
    if math.isnan(p):
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:#.2g}"


def size(contrast: Contrast) -> float:
    """How large an effect is, whichever way: the distance of a ratio's logarithm, or of a difference, from zero."""
    estimate = contrast.interval.estimate
    if math.isnan(estimate):
        return 0.0
    if contrast.ratio:
        return abs(math.log(estimate)) if estimate > 0 else math.inf
    return abs(estimate)


def by_size(contrasts: list[Contrast]) -> list[Contrast]:
    """Order contrasts by the size of their effect, the largest first; of equal ones the surer first."""
    return sorted(contrasts, key=lambda c: (-size(c), c.p))


def named(contrast: Contrast) -> str:
    """Return a contrast by name: "`lr_ratio` 2 against 1", "`loss` saturating with `generator_norm` batch"."""
    if contrast.kind == "main":
        return f"`{contrast.factors[0]}` {contrast.levels[0]} against {contrast.against[0]}"
    return " with ".join(f"`{f}` {level}" for f, level in zip(contrast.factors, contrast.levels, strict=True))


def favours(contrast: Contrast, direction: str) -> bool:
    """Whether a main effect's estimate is on the good side for its first level."""
    neutral = 1.0 if contrast.ratio else 0.0
    estimate = contrast.interval.estimate
    return estimate < neutral if direction == "lower" else estimate > neutral


def contrasts_table(evidence: Evidence) -> pd.DataFrame:
    """One row a contrast, largest effect first: estimate, p, corrected p, effect size, improvement, resolved or not."""
    rows = []
    held = any(not math.isnan(contrast.interval.low) for contrast in evidence.contrasts)
    for contrast in by_size(evidence.contrasts)[:MANY]:
        unit = "ratio" if contrast.ratio else "difference"
        chance = contrast.improvement
        header = f"{unit} (95 % interval)" if held else unit
        row = {"effect": named(contrast), header: effect_interval(contrast.interval)}
        row |= {"p": p_value(contrast.p), "p (Holm)": p_value(contrast.p_holm)}
        row["rank-biserial"] = "–" if math.isnan(contrast.effect) else f"{contrast.effect:+.2f}".replace("-", "−")
        row["P(improvement)"] = probability(chance) if chance else "–"
        rows.append(row | {"resolved": "**yes**" if contrast.resolved else "no"})
    return pd.DataFrame(rows)


def contrasts_csv(evidence: Evidence) -> str:
    """Return the text of `contrasts.csv`: every contrast's numbers, largest effect first.

    The columns: kind, factors, levels and against (the reference; of an interaction the two joined by " × "), the
    estimate with its interval and its method, whether it is a ratio, pairs of seeds, p, p after Holm's correction,
    rank-biserial correlation, probability of improvement with its interval, and whether the contrast is resolved. An
    infinity is an effect of which one side failed; an empty cell is a number that there is not.
    """
    rows = [
        {
            "kind": c.kind,
            **{part: " × ".join(getattr(c, part)) for part in ("factors", "levels", "against")},
            **c.interval._asdict(),
            **{part: getattr(c, part) for part in ("ratio", "pairs", "p", "p_holm", "effect", "resolved")},
            **dict(zip(IMPROVEMENT, (c.improvement or Interval.alone())[:3], strict=True)),
        }
        for c in by_size(evidence.contrasts)
    ]
    table = pd.DataFrame(rows, columns=pd.Index(CONTRAST_COLUMNS))
    return table.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def beyond_reach(evidence: Evidence) -> str:
    """Say so, where there are too few seeds for any contrast to be resolved; empty otherwise."""
    family = [contrast for contrast in evidence.contrasts if not math.isnan(contrast.p)]
    if not family:
        return ""
    pairs = max(contrast.pairs for contrast in family)
    least = smallest_p(pairs)
    if least * len(family) <= ALPHA:
        return ""
    corrected = p_value(min(1.0, least * len(family)))
    what = f"anything among {len(family)} contrasts" if len(family) > 1 else "the one contrast"
    return (
        f"{pairs} paired seed{'s' if pairs > 1 else ''} cannot resolve {what}: the "
        f"smallest p they can give is {p_value(least)}, {corrected} after Holm's correction"
    )


@once
def spreads(evidence: Evidence) -> dict[tuple[str, str], float]:
    """Standard deviation over seeds of each main effect, by factor and level.

    Of differences of logarithms where effects are ratios, else in units of the score. A seed with a failed side
    counts for nothing here; an effect with fewer than three others is left out, for they say too little.
    """
    score = evidence.primary
    log, direction, found = evidence.log(score), evidence.direction(score), {}
    grid = evidence.grid(score)
    for sample in paired_differences(grid, evidence.factors, evidence.reference, log=log, direction=direction):
        differences = sample.differences[np.isfinite(sample.differences)]
        if sample.kind == "main" and len(differences) > 2:
            found[sample.factors[0], sample.levels[0]] = float(np.std(differences, ddof=1))
    return found


def seeds_for(evidence: Evidence, contrast: Contrast) -> int | None:
    """How many paired seeds would resolve a 10 % difference in a main effect, in 4 of 5 such studies.

    The level is Bonferroni's for this family, which is what Holm asks of its first contrast. None where fewer than
    three seeds are free of failures: they say too little about the spread; and where no study has so many.
    """
    spread = spreads(evidence).get((contrast.factors[0], contrast.levels[0]))
    values = evidence.results[evidence.primary].abs().median()
    relevant = math.log(1 + RELEVANT) if contrast.ratio else RELEVANT * float(values)
    if spread is None or not relevant > 0:
        return None
    needed = seeds_needed(spread, relevant, alpha=ALPHA / len(evidence.contrasts))
    return needed if needed <= MOST_SEEDS else None


def variance_table(evidence: Evidence) -> pd.DataFrame:
    """One row a factor, interaction or rest: its share of the grid's variance, and the seeds that 10 % would take."""
    family = evidence.contrasts
    grid = evidence.whole_grid()
    if not family or len(grid) < 2 or not np.isfinite(grid).all():
        return pd.DataFrame()
    rows = []
    for name, part in shares(grid, evidence.factors, log=evidence.log(evidence.primary)).items():
        own = [c for c in family if c.kind == "main" and c.factors[0] == name]
        needed = [n for n in (seeds_for(evidence, c) for c in own) if n is not None]
        row = {"source": f"`{name}`" if name in evidence.factors else name, "share of variance": f"{100 * part:.1f} %"}
        rows.append(row | {"seeds to resolve 10 %": f"{max(needed):,}" if needed else "–"})
    return pd.DataFrame(rows)


def evaluation_variance(evidence: Evidence) -> str:
    """Say how much of the spread within a variant is the evaluation's own; empty where nothing was scored twice."""
    score = evidence.primary
    repeat = f"repeat/{score}"
    if repeat not in evidence.results:
        return ""
    log = evidence.log(score)
    parts = []
    for variant in evidence.variants.index:
        replicas = evidence.of(variant)
        pair = np.array([score_values(evidence, replicas, score), score_values(evidence, replicas, repeat)])
        pair = pair[:, np.isfinite(pair).all(axis=0) & ((pair > 0).all(axis=0) | (not log))]
        if pair.shape[1] > 1:
            parts.append(variance_parts(*(np.log(pair) if log else pair)))
    seed, evaluation = (sum(p.seed for p in parts), sum(p.evaluation for p in parts)) if parts else (0.0, 0.0)
    if not seed + evaluation > 0:
        return ""
    what = f"the logarithm of the {evidence.label(score)}" if log else f"the {evidence.label(score)}"
    return (
        f"Within a variant, {100 * seed / (seed + evaluation):.1f} % of the variance of {what} lies between seeds and "
        f"{100 * evaluation / (seed + evaluation):.1f} % between two evaluations of the same replica."
    )


def unresolved_sentences(evidence: Evidence) -> list[str]:
    """What the study could not settle, one sentence each, from the data."""
    said = []
    if evidence.reached and not any_variant_reaches(evidence):
        said.append(f"No variant's median reaches {goal(evidence)}; a longer training might, or not.")
    seeds = sorted({len(evidence.of(v)) for v in evidence.variants.index})
    if seeds[-1] < 2:
        said.append("There is one seed a variant: nothing can be said about the spread, and no interval given.")
    elif seeds[0] < seeds[-1]:
        whole = len(evidence.whole_grid())
        said.append(
            f"The variants have {seeds[0]} to {seeds[-1]} finished seeds"
            + (f"; the contrasts rest on the {whole} that all of them have." if evidence.factors else ".")
        )
    if 1 < seeds[-1] < FEW:
        # All of n runs lie on one side of the median with probability 2^(1-n) (order statistics).
        said.append(
            f"A bootstrap interval never leaves the range of its runs: with {seeds[-1]} seeds it holds the median of "
            f"all possible runs at most {100 * (1 - 2.0 ** (1 - seeds[-1])):.0f} % of the time, and not 95 %."
        )
    if seeds[-1] > 1 and (short := beyond_reach(evidence)):
        said.append(f"{short}.")
    broken = int((evidence.results["status"] != "ok").sum())
    if broken:
        said.append(
            f"{broken} of {len(evidence.results)} replicas failed. They count in every rate and rank last in every "
            "mean; a mean that they reach reads *failed*."
        )
    open_effects = [c for c in by_size(evidence.contrasts) if c.kind == "main" and not c.resolved]
    for contrast in open_effects:
        needed = seeds_for(evidence, contrast)
        ending = f"; a 10 % difference would take about {needed:,} seeds" if needed else ""
        said.append(f"The effect of {named(contrast)}, {effect_interval(contrast.interval)}{ending}.")
    mixed = [c for c in evidence.contrasts if c.kind == "interaction"]
    if mixed and (count := sum(not c.resolved for c in mixed)):
        which = f"{count} of the {len(mixed)}" if count < len(mixed) else f"All {count}"
        said.append(f"{which} two-way interactions." if len(mixed) > 1 else f"The interaction of {named(mixed[0])}.")
    return said
