"""Tables of a report on tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.figures.layout import short_name
from reports.stats.contrasts import Contrast
from reports.stats.intervals import Interval
from reports.stats.ranking import change
from reports.study.effects import MANY, effect_interval, named, p_value
from reports.study.evidence import level_label
from reports.study.tables import number, score_iqm, share, spread
from reports.tuning.effects import Findings, second_values
from reports.tuning.evidence import SECOND, Tuning
from reports.tuning.selection import POOLED, Checkpoints, splits_of

MOST_FRONT = 30  # rows of the table of the fronts


def ranking_table(found: Findings) -> pd.DataFrame:
    """One row a variant, in the order after tuning: score, rank and chance of the first, before and after."""
    own, ranking = found.tuning, found.ranking
    rows = []
    for place in _order(found):
        variant = own.variants[place]
        row: dict[str, Any] = {"variant": variant_name(own, variant) + (" (not tuned)" if variant in own.unwon else "")}
        for side, evidence in enumerate([own.untuned, own.tuned]):
            if evidence is None:
                continue
            which = ("untuned", "tuned")[side]
            replicas = evidence.of(variant)
            row[which] = spread(score_iqm(evidence, replicas, own.score)) if len(replicas) else "–"
            row[f"rank {which}"] = ranking.ranks[side][place] or "–"
            if not math.isnan(ranking.first[side][place]) and len(own.variants) > 1:
                row[f"first {which}"] = percent(ranking.first[side][place])
        if own.tuned is not None:
            gain = found.gains[variant]
            row[f"tuned against untuned ({unit(own)})"] = (
                effect_interval(gain.interval) if gain.pairs and not found.both_fail(place) else "–"
            )
            row["p (Holm)" if len(own.variants) > 1 else "p"] = p_value(gain.p_holm)
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
                f"comparison ({unit(own)})": " against ".join(names),
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
        row = {f"effect ({unit(found.tuning)})": named(before), "untuned": _bold(before)}
        row |= {"tuned": _bold(after) if after else "–"}
        rows.append(row | {"": change(before, after) if after else "–"})
    return pd.DataFrame(rows)


def held_table(found: Findings) -> pd.DataFrame:
    """One row a variant: the winner's objective where it was chosen, on held-out seeds, and on the test split.

    Then what lies between them: test against validation of the winners, of the untuned settings, and of one against
    the other.
    """
    own, rows = found.tuning, []
    other = splits_of(own).other
    for held in found.held_out:
        alone = held.variant == POOLED
        rows.append(
            {
                "variant": f"*{pooled_name(found)}*" if alone else variant_name(own, held.variant),
                "selection": "–" if alone else number(held.selected),
                "held-out seeds": "–" if alone else spread(held.validation),
                f"held-out seeds, test {other}": "–" if alone else spread(held.test),
                f"seeds against selection ({unit(own)})": effect_interval(held.optimism),
                f"test against validation {other}, winners": effect_interval(held.splits),
                "untuned": _known(held.untuned),
                "winners against untuned": _known(held.learned),
            }
        )
    return pd.DataFrame(rows)


def checkpoints_table(found: Findings) -> pd.DataFrame:
    """One row a variant and grid: the score at the end, at the best checkpoint, and between the two."""
    rows = [
        {
            "": grid,
            "variant": variant_name(found.tuning, own.variant),
            "last": spread(own.last),
            "best": spread(own.best),
            "best against last": _checkpoint_gain(own),
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


def search_table(tuning: Tuning) -> pd.DataFrame:
    """One row a variant: trials, those pruned and those without a score, replicas, and how many of them failed."""
    rows = []
    for variant, search in tuning.searches.items():
        ended = search.ended
        replicas, failed = sum(len(t.statuses) for t in ended), sum(t.failures for t in ended)
        row: dict[str, Any] = {"variant": variant_name(tuning, variant), "trials": len(ended)}
        if tuning.tune["pruning"] != "none":
            row["pruned"] = sum(trial.state == "PRUNED" for trial in ended)
        row["without a score"] = sum(trial.state == "COMPLETE" and not trial.scored for trial in ended)
        row["replicas"] = replicas
        if tuning.tune["pruning"] == "none":
            row["replicas failed"] = share(failed, replicas)
        winner = search.winner
        row["best trial"] = "–" if winner is None else winner.number
        row["its objective"] = number(winner.values[0]) if winner and winner.values else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def cost_table(tuning: Tuning) -> pd.DataFrame:
    """One row a ledger: settings tried, replicas, and training steps of them all."""
    steps = tuning.untuned.study.steps
    ended = [trial for search in tuning.searches.values() for trial in search.ended]
    rows = [("untuned grid", len(tuning.variants), len(tuning.untuned.results))]
    rows.append(("search", len(ended), sum(len(trial.statuses) for trial in ended)))
    if tuning.tuned:
        rows.append(("tuned grid", len(tuning.variants), len(tuning.tuned.results)))
    table = [
        {
            "": name,
            "settings": f"{settings:,}",
            "replicas": f"{replicas:,}",
            "steps": f"{replicas * steps:,}",
            "times the untuned grid": number(replicas / len(tuning.untuned.results)),
        }
        for name, settings, replicas in rows
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


def importances_table(tuning: Tuning) -> pd.DataFrame:
    """One row a parameter: its share of the objective's variance in each variant's search."""
    known = {v: s for v, s in tuning.searches.items() if s.importances}
    rows = [
        {"parameter": f"`{name}`"}
        | {variant_name(tuning, v): percent(s.importances.get(name, math.nan)) for v, s in known.items()}
        for name in tuning.parameters
    ]
    return pd.DataFrame(rows) if known else pd.DataFrame()


def front_table(tuning: Tuning) -> pd.DataFrame:
    """One row a trial of the Pareto fronts, by the second objective: both objectives and the settings."""
    rows = []
    for variant, search in tuning.searches.items():
        both, trials = second_values(search), {trial.number: trial for trial in search.trials}
        for place in sorted((n for n in search.front if n in both), key=lambda n: both[n][::-1]):
            row: dict[str, Any] = {"variant": variant_name(tuning, variant)}
            row["trial"] = f"**{place}**" if place == search.best else place
            row |= {tuning.label: number(both[place][0]), SECOND[tuning.tune["second"]]: percent(both[place][1])}
            settings = trials[place].params.items()
            rows.append(row | {"settings": ", ".join(f"`{k}` {setting(v)}" for k, v in settings)})
    return pd.DataFrame(rows[:MOST_FRONT])


def trials_csv(tuning: Tuning) -> str:
    """Return the text of `trials.csv`: `trials_table` with seven digits."""
    return trials_table(tuning).to_csv(index=False, float_format="%.7g", lineterminator="\n")


def trials_table(tuning: Tuning) -> pd.DataFrame:
    """Return one row a trial.

    The columns: variant, its level of each factor, number, batch, state, failed (how many of its replicas did),
    objective, the second objective by its name, `param/<name>`, empty where the trial did not draw it, and
    `score/<seed>`, empty for a replica that failed or was not trained.
    """
    names, seeds = list(tuning.parameters), tuning.record["validation_seeds"]
    second = tuning.tune.get("second")
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


def variant_name(tuning: Tuning, variant: str) -> str:
    """Return a variant by its levels."""
    return short_name(tuning.untuned, variant)


def pooled_name(found: Findings) -> str:
    """Return whom the pooled row of selection and report is of: all variants, or "3 of 4 variants"."""
    return of_all(found.tuning, sum(held.variant != POOLED for held in found.held_out))


def of_all(tuning: Tuning, count: int) -> str:
    """Return "all variants", or of how many a number is."""
    return POOLED if count == len(tuning.variants) else f"{count} of {len(tuning.variants)} variants"


def unit(tuning: Tuning) -> str:
    """What two scores are compared by."""
    return "ratio" if tuning.log else "difference"


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


def _order(found: Findings) -> list[int]:
    """Places of the variants, best after tuning first, and without that, before."""
    before, after = (np.array(ranks) for ranks in found.ranking.ranks)
    last = len(before) + 1
    return np.lexsort((np.where(before == 0, last, before), np.where(after == 0, last, after))).tolist()


def _bold(contrast: Contrast) -> str:
    if not contrast.pairs:
        return "–"
    text = effect_interval(contrast.interval)
    return f"**{text}**" if contrast.resolved else text


def _known(interval: Interval) -> str:
    return "–" if math.isnan(interval.estimate) else effect_interval(interval)


def _checkpoint_gain(own: Checkpoints) -> str:
    interval: Interval = own.gain.interval
    return effect_interval(interval) if own.gain.pairs else "–"
