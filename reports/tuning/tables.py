"""Tables of a report on tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from gan.columns import level_label
from reports.figures.layout import short_name
from reports.stats.contrasts import Contrast
from reports.stats.ranking import change
from reports.study.effects import MANY, effect_interval, named, p_value
from reports.study.tables import number, score_iqm, share, spread
from reports.tuning.effects import Findings, second_values
from reports.tuning.evidence import TunedStudy
from reports.tuning.selection import POOLED, splits_of

MOST_FRONT = 30  # rows of the table of the fronts


def ranking_table(found: Findings) -> pd.DataFrame:
    """One row a variant, in the order after tuning: score, rank and chance of the first, before and after."""
    own, ranking = found.tuning, found.ranking
    several = len(own.variants) > 1
    rows = []
    for place in order_after(found):
        variant = own.variants[place]
        marked = " (not tuned)" if variant in own.without_winner else ""
        row: dict[str, Any] = {"variant": variant_name(own, variant) + marked}
        for side, (which, evidence) in enumerate(own.grids.items()):
            replicas, chance = evidence.of(variant), ranking.first[side][place]
            row[which] = spread(score_iqm(evidence, replicas, own.score)) if len(replicas) else "–"
            row[f"rank {which}"] = ranking.ranks[side][place] or "–"
            if several and not math.isnan(chance):
                row[f"first {which}"] = percent(chance)
        if own.tuned is not None:
            gain = found.gains[variant]
            compared = gain.pairs and not found.both_fail(place)
            row[f"tuned against untuned ({own.unit})"] = effect_interval(gain.interval) if compared else "–"
            row["p (Holm)" if several else "p"] = p_value(gain.p_holm)
        rows.append(row)
    return pd.DataFrame(rows)


def pairs_table(found: Findings) -> pd.DataFrame:
    """One row for every two variants: their comparison before and after; those that change first, then the surest."""
    own = found.tuning
    if own.tuned is None or len(own.variants) < 2:
        return pd.DataFrame()

    def surest(pair: Any) -> tuple[bool, bool, float]:
        ps = [p for p in (pair.before.p_holm, pair.after.p_holm) if not math.isnan(p)]
        return not pair.reversed, pair.before.resolved == pair.after.resolved, min(ps, default=math.inf)

    rows = []
    for pair in sorted(found.ranking.pairs, key=surest)[:MANY]:
        names = [variant_name(own, variant) for variant in (pair.one, pair.other)]
        rows.append(
            {
                f"comparison ({own.unit})": " against ".join(names),
                "untuned": _bold(pair.before),
                "p (Holm) untuned": p_value(pair.before.p_holm),
                "tuned": _bold(pair.after),
                "p (Holm) tuned": p_value(pair.after.p_holm),
                "": pair.change,
            }
        )
    return pd.DataFrame(rows)


def effects_table(found: Findings) -> pd.DataFrame:
    """One row a main effect of the grid, before and after tuning, a resolved one bold."""
    rows = []
    for before, after in found.effects if found.tuning.tuned else []:
        rows.append(
            {
                f"effect ({found.tuning.unit})": named(before),
                "untuned": _bold(before),
                "tuned": _bold(after) if after else "–",
                "": change(before, after) if after else "–",
            }
        )
    return pd.DataFrame(rows)


def held_table(found: Findings) -> pd.DataFrame:
    """One row a variant: the winner's objective where it was chosen, on held-out seeds, and on the test split.

    Then what lies between them: test against validation of the winners, of the untuned settings, and of one against
    the other.
    """
    own, other = found.tuning, splits_of(found.tuning).other
    rows = [
        {
            "variant": f"*{pooled_name(found)}*" if held.variant == POOLED else variant_name(own, held.variant),
            "selection": number(held.selected),
            "held-out seeds": spread(held.validation),
            f"held-out seeds, test {other}": spread(held.test),
            f"seeds against selection ({own.unit})": effect_interval(held.optimism),
            f"test against validation {other}, winners": effect_interval(held.splits),
            "untuned": effect_interval(held.untuned),
            "winners against untuned": effect_interval(held.learned),
        }
        for held in found.held_out
    ]
    return pd.DataFrame(rows)


def checkpoints_table(found: Findings) -> pd.DataFrame:
    """One row a variant and grid: the score at the end, at the best checkpoint, and between the two."""
    rows = [
        {
            "": grid,
            "variant": variant_name(found.tuning, own.variant),
            "last": spread(own.last),
            "best": spread(own.best),
            "best against last": effect_interval(own.gain.interval),
            "median step of the best": number(own.step),
        }
        for grid, checkpoints in found.checkpoints.items()
        for own in checkpoints
    ]
    return pd.DataFrame(rows)


def budget_table(found: Findings) -> pd.DataFrame:
    """One row a variant: the best objective after some of the trials, and what the untuned settings score.

    Of a sampler that learns it is the best so far as drawn, and what a part of the trials gives in any order stands
    beside it.
    """
    learns = found.tuning.learns
    most = max(map(len, found.budget.values()), default=0)
    after = sorted({1, max(most // 4, 1), max(most // 2, 1), most}) if most else []
    rows = []
    for variant, curve in found.budget.items():
        row: dict[str, Any] = {"variant": variant_name(found.tuning, variant)}
        reached = [number(best) for best in found.progress[variant]] if learns else [spread(i) for i in curve]
        row |= {f"{k} trial{'s' if k > 1 else ''}": reached[k - 1] if k <= len(curve) else "–" for k in after}
        if learns:
            part = [k for k in after if 1 < k < most]
            row |= {f"{k} in any order": spread(curve[k - 1]) if k <= len(curve) else "–" for k in part}
        if variant in found.untuned_objectives:
            row["untuned settings"] = number(found.untuned_objectives[variant])
            row["trials to beat them"] = found.trials_to_beat(variant) or "not within these"
        rows.append(row)
    return pd.DataFrame(rows)


def search_table(found: Findings) -> pd.DataFrame:
    """One row a variant: trials, those pruned and those without a score, replicas, and how many of them failed."""
    tuning, rows = found.tuning, []
    pruning = tuning.tune.pruning != "none"
    for variant, search in tuning.searches.items():
        finished, winner = search.finished, search.winner
        replicas, failed = sum(len(t.statuses) for t in finished), sum(t.failures for t in finished)
        row: dict[str, Any] = {"variant": variant_name(tuning, variant), "trials": len(finished)}
        if pruning:
            row["pruned"] = sum(trial.state == "PRUNED" for trial in finished)
        row["without a score"] = sum(trial.state == "COMPLETE" and not trial.scored for trial in finished)
        row["replicas"] = replicas
        if not pruning:
            row["replicas failed"] = share(failed, replicas)
        row["best trial"] = "–" if winner is None else winner.number
        row["its objective"] = number(winner.values[0]) if winner and winner.values else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def cost_table(found: Findings) -> pd.DataFrame:
    """One row a ledger: settings tried, replicas, and training steps of them all."""
    tuning = found.tuning
    steps, grid = tuning.untuned.study.steps, len(tuning.variants)
    trials = sum(len(search.finished) for search in tuning.searches.values())
    counts = {f"{name} grid": (grid, len(evidence.results)) for name, evidence in tuning.grids.items()}
    untuned = counts.pop("untuned grid")
    counts = {"untuned grid": untuned, "search": (trials, tuning.search_replicas[0]), **counts}
    table = [
        {
            "": name,
            "settings": f"{settings:,}",
            "replicas": f"{replicas:,}",
            "steps": f"{replicas * steps:,}",
            "times the untuned grid": number(replicas / untuned[1]),
        }
        for name, (settings, replicas) in counts.items()
    ]
    return pd.DataFrame(table)


def winners_table(found: Findings) -> pd.DataFrame:
    """One row a variant: its winner's settings, flagged at a bound, and the untuned ones in parentheses."""
    tuning, ends = found.tuning, {(variant, name) for variant, name, _ in found.bounds}
    rows = []
    for variant, search in tuning.searches.items():
        if search.winner is None:
            continue
        before = tuning.untuned.plan.variants.get(variant, {})
        row = {"variant": variant_name(tuning, variant)}
        for name in tuning.parameters:
            flag = " †" if (variant, name) in ends else ""
            value = f"**{setting(search.settings[name])}**{flag}" if name in search.settings else "–"
            row[f"`{name}`"] = f"{value} ({setting(before[name])})" if name in before else value
        rows.append(row)
    return pd.DataFrame(rows)


def importances_table(found: Findings) -> pd.DataFrame:
    """One row a parameter: its share of the objective's variance in each variant's search."""
    tuning = found.tuning
    known = {v: s for v, s in tuning.searches.items() if s.importances}
    rows = [
        {"parameter": f"`{name}`"}
        | {variant_name(tuning, v): percent(s.importances.get(name, math.nan)) for v, s in known.items()}
        for name in tuning.parameters
    ]
    return pd.DataFrame(rows) if known else pd.DataFrame()


def front_table(found: Findings) -> pd.DataFrame:
    """One row a trial of the Pareto fronts, by the second objective: both objectives and the settings."""
    tuning, rows = found.tuning, []
    for variant, search in tuning.searches.items():
        both, trials = second_values(search), {trial.number: trial for trial in search.trials}
        for place in sorted((n for n in search.front if n in both), key=lambda n: both[n][::-1]):
            row: dict[str, Any] = {"variant": variant_name(tuning, variant)}
            row["trial"] = f"**{place}**" if place == search.best else place
            row |= {tuning.label: number(both[place][0]), tuning.second: percent(both[place][1])}
            settings = trials[place].params.items()
            rows.append(row | {"settings": ", ".join(f"`{k}` {setting(v)}" for k, v in settings)})
    return pd.DataFrame(rows[:MOST_FRONT])


def space_table(tuning: TunedStudy) -> pd.DataFrame:
    """One row a parameter: what was searched, and with which other settings."""
    rows = []
    for name, parameter in tuning.parameters.items():
        values = ", ".join(map(setting, parameter.choices))
        if parameter.low is not None:
            values = f"{setting(parameter.low)} to {setting(parameter.high)}{', logarithmic' if parameter.log else ''}"
        when = " and ".join(f"`{key}` {' or '.join(map(setting, own))}" for key, own in parameter.when.items())
        rows.append({"parameter": f"`{name}`", "kind": parameter.kind, "values": values, "searched with": when or "–"})
    return pd.DataFrame(rows)


TABLES: dict[str, Callable[[Findings], pd.DataFrame]] = {
    "ranking": ranking_table,
    "pairs": pairs_table,
    "effects": effects_table,
    "held": held_table,
    "checkpoints": checkpoints_table,
    "budget": budget_table,
    "cost": cost_table,
    "search": search_table,
    "winners": winners_table,
    "importances": importances_table,
    "front": front_table,
}
"""The tables of `tuning.md.j2`, by their names there."""


def trials_csv(tuning: TunedStudy) -> str:
    """Return the text of `trials.csv`: `trials_table` with seven digits."""
    return trials_table(tuning).to_csv(index=False, float_format="%.7g", lineterminator="\n")


def trials_table(tuning: TunedStudy) -> pd.DataFrame:
    """Return one row a trial.

    The columns: variant, its level of each factor, number, batch, state, failed (how many of its replicas did),
    objective, the second objective by its name, `param/<name>`, empty where the trial did not draw it, and
    `score/<seed>`, empty for a replica that failed or was not trained.
    """
    names, seeds, second = list(tuning.parameters), tuning.record.validation_seeds, tuning.tune.second
    columns = ["variant", *tuning.untuned.factors, "number", "batch", "state", "failed", "objective"]
    columns += [second] if second else []
    columns += [f"param/{name}" for name in names] + [f"score/{seed}" for seed in seeds]
    rows = []
    for variant, search in tuning.searches.items():
        levels = {f: tuning.untuned.variants.loc[variant, f] for f in tuning.untuned.factors}
        for trial in search.trials:
            row = {"variant": variant, **levels, "number": trial.number, "batch": trial.batch, "state": trial.state}
            values = dict(zip(["objective", second or "second"], trial.values, strict=False))
            row |= {"failed": trial.failures, **values}
            row |= {f"param/{name}": precise(value) for name, value in trial.params.items()}
            rows.append(row | {f"score/{seed}": s for seed, s in zip(seeds, trial.scores, strict=False)})
    return pd.DataFrame(rows, columns=pd.Index(columns))


def variant_name(tuning: TunedStudy, variant: str) -> str:
    """Return a variant by its levels."""
    return short_name(tuning.untuned, variant)


def pooled_name(found: Findings) -> str:
    """Return whom the pooled row of selection and report is of: all variants, or "3 of 4 variants"."""
    return of_all(found.tuning, sum(held.variant != POOLED for held in found.held_out))


def of_all(tuning: TunedStudy, count: int) -> str:
    """Return "all variants", or of how many a number is."""
    return POOLED if count == len(tuning.variants) else f"{count} of {len(tuning.variants)} variants"


def setting(value: Any) -> str:
    """Return a setting as a person reads it, three digits of a number."""
    return f"{value:.3g}" if isinstance(value, float) else level_label(value)


def precise(value: Any) -> Any:
    """Return a setting for a table of numbers: as it is, or a list in words."""
    return level_label(value) if isinstance(value, list | tuple) else value


def percent(value: float) -> str:
    """Return a share, "62 %"."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def joined(texts: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def order_after(found: Findings) -> list[int]:
    """Places of the variants, best after tuning first, and without that, before; without any rank last."""
    before, after = ([rank or math.inf for rank in ranks] for ranks in found.ranking.ranks)
    return sorted(range(len(before)), key=lambda place: (after[place], before[place]))


def _bold(contrast: Contrast) -> str:
    text = effect_interval(contrast.interval)
    return f"**{text}**" if contrast.resolved else text
