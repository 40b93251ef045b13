"""Two runs side by side: what differs in their settings, their scores, and which replicas are equal bit for bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan.columns import NUMBERS, level_label
from gan.errors import InputError
from reports.ledger.ledger import Ledger
from reports.stats.contrasts import contrasts
from reports.stats.intervals import Interval, interval_kind, worst_of
from reports.stats.paired import holm
from reports.study.effects import effect_interval, p_value
from reports.study.evidence import Evidence, gather, plain
from reports.study.tables import goal, markdown, number, score_iqm, score_values, share, spread, summarise

# Of the plan's study: what decides results. Titles, notes and the like may differ without a consequence.
COMPARED = ("target", "steps", "scoring", "report")


def compare(a: str | Path, b: str | Path) -> dict[str, Any]:
    """Hold two run directories against each other.

    Variants are matched by name and their replicas by seed.

    Args:
        a: A run directory, `runs/<study>/<scale>`.
        b: Another: the same study at another commit, on another machine or at another scale, or another study.

    Returns:
        Plain values, strict JSON: None where there is no number, "inf" or "-inf" where a side failed. "a" and "b"
        (directory, study, scale, device, commits, replicas), "score" (name, label, direction, "ratio": whether
        differences are ratios), "settings" (one dictionary a setting that differs), "variants" (one a variant in
        both: means and rates of each, and the difference paired by seed with its interval, p, and Holm's p over these
        variants), "only_a" and "only_b" (variants in one of them), and "bits" (how many replicas are in both, how
        many of them are equal bit for bit, and which are not).

    Raises:
        InputError: One holds no finished replica, or they have no score in common.
    """
    one, other = gather(Ledger(Path(a))), gather(Ledger(Path(b)))
    score = next((name for name in one.scores if name in other.scores), None)
    if score is None:
        raise InputError(
            f"{a} and {b}: no score in common ({', '.join(one.scores)}; {', '.join(other.scores)}); "
            "expected two runs on targets of one kind"
        )
    names = [name for name in one.variants.index if name in other.variants.index]
    log = one.log(score) and other.log(score)
    compared = {
        "a": _described(one),
        "b": _described(other),
        "score": {
            "name": score,
            "label": one.label(score),
            "direction": one.direction(score),
            "ratio": log,
        },
        "settings": settings(one, other),
        "variants": _corrected([_variant(one, other, name, score, log) for name in names]),
        "only_a": [name for name in one.variants.index if name not in names],
        "only_b": [name for name in other.variants.index if name not in names],
        "bits": _bits(one, other),
    }
    return plain(compared)


def settings(one: Evidence, other: Evidence) -> list[dict[str, str]]:
    """Return every setting that differs between two plans: of the study, and of the variants both have."""
    rows = []

    def note(setting: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            rows.append({"setting": setting, "a": _said(ours), "b": _said(theirs)})

    note("study", one.study.name, other.study.name)
    note("scale", one.study.scale, other.study.scale)
    note("device", one.plan.device, other.plan.device)
    note("seeds", len(one.seeds), len(other.seeds))
    for key in COMPARED:
        ours, theirs = (plain(getattr(evidence.study, key)) for evidence in (one, other))
        if isinstance(ours, dict) and isinstance(theirs, dict):
            for name in dict.fromkeys([*ours, *theirs]):
                if (key, name) != ("report", "notes"):
                    note(f"{key}.{name}", ours.get(name), theirs.get(name))
        else:
            note(key, ours, theirs)
    found: dict[tuple[str, Any, Any], list[str]] = {}
    shared = [name for name in one.plan.variants if name in other.plan.variants]
    for variant in shared:
        ours, theirs = one.plan.variants[variant], other.plan.variants[variant]
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name):
                found.setdefault((name, _said(ours.get(name)), _said(theirs.get(name))), []).append(variant)
    for (name, ours, theirs), variants in found.items():
        where = "" if len(variants) == len(shared) else f" (in {len(variants)} of {len(shared)} variants)"
        rows.append({"setting": f"variant.{name}{where}", "a": ours, "b": theirs})
    return rows


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    return "–" if value is None else level_label(value)


def _described(evidence: Evidence) -> dict[str, Any]:
    commits = dict.fromkeys(session.commit[:10] for session in evidence.ledger.provenance().trained)
    return {
        "directory": str(evidence.ledger.directory),
        "study": evidence.study.name,
        "scale": evidence.study.scale,
        "device": evidence.plan.device,
        "commits": [commit for commit in commits if commit],
        "replicas": len(evidence.results),
        "planned": len(evidence.planned),
        "goal": goal(evidence),
    }


def _variant(one: Evidence, other: Evidence, name: str, score: str, log: bool) -> dict[str, Any]:
    """One variant in both runs, and its difference, b against a, over the seeds that both have."""
    row: dict[str, Any] = {"variant": name}
    for side, evidence in (("a", one), ("b", other)):
        replicas = evidence.of(name)
        if replicas.empty:
            row[side] = None
            continue
        summary = summarise(evidence, replicas)
        mean = score_iqm(evidence, replicas, score)
        row[side] = {key: summary[key] for key in ("seeds", "failures", "reached", "verdicts")} | mean._asdict()
    direction, (ours, theirs) = one.direction(score), (_by_seed(evidence, name, score) for evidence in (one, other))
    pairs = ours.index.intersection(theirs.index)
    values = np.stack([ours[pairs].to_numpy(float), theirs[pairs].to_numpy(float)], axis=1)
    grid = np.where(np.isfinite(values), values, worst_of(direction))
    (found,) = contrasts(grid, {"run": ("a", "b")}, {"run": "a"}, log=log, direction=direction)
    equal = int((values[:, 0] == values[:, 1]).sum())
    row["difference"] = {"pairs": found.pairs, **found.interval._asdict(), "p": found.p, "equal": equal}
    return row


def _by_seed(evidence: Evidence, name: str, score: str) -> pd.Series:
    replicas = evidence.of(name)
    return pd.Series(score_values(evidence, replicas, score), index=replicas["seed"].to_numpy(int))


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add Holm's p over the variants that could be tested."""
    for row, p in zip(rows, holm([row["difference"]["p"] for row in rows]), strict=True):
        row["difference"]["p_holm"] = float(p)
    return rows


def _bits(one: Evidence, other: Evidence) -> dict[str, Any]:
    """Which replicas, matched by variant and seed, have the same results to the last bit."""
    scores = [s for s in one.scores if s in other.scores]
    repeats = [f"repeat/{s}" for s in scores if f"repeat/{s}" in one.results and f"repeat/{s}" in other.results]
    columns = ["status", "steps", *NUMBERS, *scores, *repeats]
    keys = ["variant", "seed"]
    both = one.results[keys + columns].merge(other.results[keys + columns], on=keys, suffixes=("/a", "/b"))
    equal = np.ones(len(both), dtype=bool)
    for column in columns:
        ours, theirs = both[f"{column}/a"], both[f"{column}/b"]
        equal &= ((ours == theirs) | (ours.isna() & theirs.isna())).to_numpy(bool)
    differing = [{"variant": str(v), "seed": int(s)} for v, s in both.loc[~equal, keys].itertuples(index=False)]
    return {"replicas": len(both), "equal": int(equal.sum()), "differing": differing, "columns": columns}


def render(compared: dict[str, Any]) -> str:
    """Return a comparison as markdown."""
    score, bits = compared["score"], compared["bits"]
    lines = ["# Two runs compared", ""]
    for side in ("a", "b"):
        run = compared[side]
        commits = ", ".join(f"`{commit}`" for commit in run["commits"])
        lines.append(
            f"- **{side}**: {run['study']}, {run['scale']}, {run['replicas']} of {run['planned']} replicas on "
            f"{run['device']}{f', trained by {commits}' if commits else ''} (`{run['directory']}`)"
        )
    lines += ["", _bits_said(bits), "", "## Settings", ""]
    lines.append(markdown(pd.DataFrame(compared["settings"])) if compared["settings"] else "No setting differs.")
    lines += ["", f"## {score['label']} ({score['direction']} is better)", ""]
    if compared["variants"]:
        what = "ratio of b to a" if score["ratio"] else "b minus a"
        kind = interval_kind(
            _interval(row[side]) for row in compared["variants"] for side in ("a", "b", "difference") if row[side]
        )
        lines += [
            f"Interquartile means with their 95 % {kind} intervals. The {what} is paired by seed; its p is of "
            "Wilcoxon's signed-rank test, corrected by Holm over these variants.",
            "",
            markdown(pd.DataFrame([_row(row, what) for row in compared["variants"]]).fillna("–")),
        ]
    else:
        lines.append("No variant is in both.")
    for side in ("a", "b"):
        names = compared[f"only_{side}"]
        if names:
            lines += ["", f"Only in {side}: {'; '.join(name or 'the one variant' for name in names)}."]
    return "\n".join(lines) + "\n"


def _bits_said(bits: dict[str, Any]) -> str:
    if not bits["replicas"]:
        return "No replica is in both."
    if bits["equal"] == bits["replicas"]:
        return f"All {bits['replicas']} replicas that are in both have the same results, bit for bit."
    text = f"{bits['equal']} of {bits['replicas']} replicas that are in both have the same results, bit for bit"
    first = ", ".join(f"{d['variant'] or 'the one variant'} seed {d['seed']}" for d in bits["differing"][:3])
    rest = f" and {len(bits['differing']) - 3} others" if len(bits["differing"]) > 3 else ""
    return f"{text}; not {first}{rest}."


def _interval(own: dict[str, Any]) -> Interval:
    """Read back what `plain` wrote."""
    estimate, low, high = (math.nan if own[key] is None else float(own[key]) for key in ("estimate", "low", "high"))
    return Interval(estimate, low, high, own["method"])


def _row(row: dict[str, Any], what: str) -> dict[str, str]:
    cells = {"variant": row["variant"] or "the one variant"}
    for side in ("a", "b"):
        own = row[side]
        cells[side] = spread(_interval(own)) if own else "–"
        cells[f"failed in {side}"] = share(own["failures"], own["seeds"]) if own else "–"
        if own and own["reached"] is not None:
            cells[f"reached in {side}"] = share(own["reached"], own["seeds"])
    own = row["difference"]
    interval = _interval(own)
    cells[what] = effect_interval(interval) if own["pairs"] and not math.isnan(interval.estimate) else "–"
    p = math.nan if own["p_holm"] is None else own["p_holm"]
    return cells | {"p (Holm)": p_value(p), "pairs": number(own["pairs"])}
