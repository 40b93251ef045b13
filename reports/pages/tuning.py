"""From a tuned study's run directory to a folder that a person can read: the report on tuning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reports.ledger.ledger import Ledger
from reports.pages.study import claims, compile_report, draw, markdown, missing_by_variant, move, render, scratch_beside
from reports.study.effects import FEW
from reports.study.evidence import Evidence, to_csv, to_json
from reports.study.tables import number
from reports.tuning import tables
from reports.tuning.answer import tuning_sentences
from reports.tuning.effects import LEVELS, Findings
from reports.tuning.evidence import SECOND, Tuning, gather_tuning
from reports.tuning.selection import splits_of


def compile_tuning(ledger: Ledger, out: Path) -> Path:
    """Compile the report of a tuned study into `out`, creating it; the same results give the same bytes.

    Beside `report.md` stand `trials.csv` (one row a trial), `results.csv` (one row a replica of the two grids, with
    the column `tuned`), `summary.json`, `provenance.json` and the figures; `untuned/` and `tuned/` hold the ordinary
    reports of the two grids.

    Args:
        ledger: The run directory, with `tuning.json`. What is not finished is named in the report.
        out: Folder of the report. Other files in it stay; figures of a former report that are no more go.

    Returns:
        The path of `report.md`.

    Raises:
        InputError: There is no `tuning.json`, it is damaged, or the untuned grid has no finished replica.
        OSError: `out` cannot be written.
    """
    from reports.tuning.figures import tuning_pictures

    found = Findings(gather_tuning(ledger))
    tuning = found.tuning
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    compile_report(ledger, out / "untuned")
    if tuning.tuned is not None:
        compile_report(ledger.tuned(), out / "tuned")
    with scratch_beside(out) as scratch:
        fresh = Path(scratch)
        drawn = draw(tuning_pictures(found), fresh)
        (fresh / "trials.csv").write_text(tables.trials_csv(tuning), encoding="utf-8")
        (fresh / "results.csv").write_text(to_csv(both_grids(tuning)), encoding="utf-8")
        (fresh / "provenance.json").write_text(to_json(provenance(ledger)), encoding="utf-8")
        (fresh / "report.md").write_text(render_tuning(found, drawn), encoding="utf-8")
        (fresh / "summary.json").write_text(to_json(tuning_summary(found, drawn)), encoding="utf-8")
        move(fresh, out)
    return out / "report.md"


def render_tuning(found: Findings, drawn: list[dict[str, str]]) -> str:
    """Return the text of report.md.

    Args:
        found: What the study found.
        drawn: Name, title and caption of each figure.
    """
    tuning = found.tuning
    grids = dict(zip(LEVELS, tuning.grids, strict=False))
    return render(
        "tuning.md.j2",
        study=tuning.untuned.study,
        tune=tuning.tune,
        record=tuning.record,
        answer=tuning_sentences(found),
        claims=claims(tuning.untuned),
        device=tuning.untuned.plan.device,
        complete=tuning.complete,
        complaints=complaints(tuning),
        missing={name: missing_by_variant(evidence) for name, evidence in grids.items()},
        label=tuning.label,
        direction=tuning.direction,
        unit=tables.unit(tuning),
        log=tuning.log,
        second=SECOND.get(str(tuning.tune.get("second")), ""),
        retrained=tuning.tuned is not None,
        several=len(tuning.variants) > 1,
        variants=len(tuning.variants),
        seeds=found.ranking.seeds,
        few_seeds=_few_seeds(found),
        own_seeds=_span(sorted({int(s) for e in tuning.grids for s in e.results["seed"]})),
        validation_seeds=_span(tuning.record["validation_seeds"]),
        parameters=_space(tuning),
        failed=number(tuning.failed),
        curve=_curve_label(found),
        splits=splits_of(tuning),
        learns=tuning.learns,
        untuned_seeds=found.untuned_seeds,
        unwon=bool(tuning.unwon),
        rescued=sum(c.failures for own in found.checkpoints.values() for c in own),
        notes=sorted({s.importances_note for s in tuning.searches.values() if s.importances_note}),
        bounds=found.bounds,
        tables={
            name: markdown(table)
            for name, table in {
                "ranking": tables.ranking_table(found),
                "pairs": tables.pairs_table(found),
                "effects": tables.effects_table(found),
                "held": tables.held_table(found),
                "checkpoints": tables.checkpoints_table(found),
                "budget": tables.budget_table(found),
                "cost": tables.cost_table(tuning),
                "search": tables.search_table(tuning),
                "winners": tables.winners_table(found),
                "importances": tables.importances_table(tuning),
                "front": tables.front_table(tuning) if tuning.tune.get("second") else pd.DataFrame(),
            }.items()
        },
        pictures={picture["name"].removesuffix(".png"): picture for picture in drawn},
    )


def tuning_summary(found: Findings, drawn: Iterable[dict[str, str]]) -> dict[str, Any]:
    """What an index says of this report, for a program: the keys of `reports.pages.study.summary` and a few more.

    The replicas are those of the two grids, the rows of `results.csv`; "trials" are the search's.
    """
    tuning = found.tuning
    said, study = tuning_sentences(found), tuning.untuned.study
    planned = [len(evidence.planned) for evidence in tuning.grids]
    return {
        "study": study.name,
        "title": study.title,
        "scale": study.scale,
        "target": study.target_label,
        "question": study.question,
        "answer": " ".join(said),
        "headline": said[0],
        "levels": "",
        "conclusions": [],
        "replicas": sum(len(evidence.results) for evidence in tuning.grids),
        "planned": sum(planned) if tuning.tuned else 2 * planned[0],
        "trials": sum(len(search.ended) for search in tuning.searches.values()),
        "ranking": found.ranking.outcome,
        "incomplete": not tuning.complete,
        "missing": complaints(tuning),
        "missing_replicas": [id for evidence in tuning.grids for id in evidence.missing["id"]],
        "claims": study.claims,
        "claim_texts": study.claim_texts,
        "figures": [picture["name"] for picture in drawn],
    }


def both_grids(tuning: Tuning) -> pd.DataFrame:
    """Return one row a replica, the untuned grid first, with a column `tuned`, true or false, after the seed."""
    parts = []
    for evidence, text in zip(tuning.grids, ("false", "true"), strict=False):
        rows = evidence.results.copy()
        rows.insert(int(rows.columns.get_indexer(pd.Index(["seed"]))[0]) + 1, "tuned", text)
        parts.append(rows.astype(object))
    return pd.concat(parts, ignore_index=True).infer_objects() if len(parts) > 1 else parts[0].infer_objects()


def provenance(ledger: Ledger) -> dict[str, Any]:
    """Return the provenance of the three ledgers, the sessions that trained something together, and what they took.

    The core-seconds stand here, and not in the report: they are the machine's as much as the study's.
    """
    parts = {"untuned": ledger, "search": ledger.search(), "tuned": ledger.tuned()}
    own = {name: part.tolerant().provenance() for name, part in parts.items()}
    seconds = {name: sum(sum(s.cohort_seconds.values()) for s in content.trained) for name, content in own.items()}
    sessions = sorted((s for content in own.values() for s in content.trained), key=lambda s: s.started)
    return {"sessions": sessions, "core_seconds": {n: round(total, 3) for n, total in seconds.items()}, **own}


def complaints(tuning: Tuning) -> list[str]:
    """Return what is missing or unreadable, the search and then grid by grid."""
    names: list[tuple[str, Evidence]] = list(zip(LEVELS, tuning.grids, strict=False))
    return [*tuning.complaints, *(f"{name} grid: {said}" for name, e in names for said in e.complaints)]


def _few_seeds(found: Findings) -> str:
    """Return what to think of intervals over so few seeds as there are; empty where there are enough, or one."""
    seeds = max(len(e.of(v)) for e in found.tuning.grids for v in found.tuning.variants)
    if not 1 < seeds < FEW:
        return ""
    return (
        f"A bootstrap interval never leaves the range of its runs: with {seeds} seeds no interval over seeds here "
        f"holds what it should more than about {100 * (1 - 2.0 ** (1 - seeds)):.0f} % of the time."
    )


def _span(seeds: list[int]) -> str:
    """Return "0 to 15", or a list where seeds are left out."""
    whole = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if whole else tables.joined([str(seed) for seed in seeds])


def _curve_label(found: Findings) -> str:
    if found.curve is None:
        return ""
    evidence = found.tuning.untuned
    return evidence.label(found.curve) if found.curve in evidence.references else f"`{found.curve}`"


def _space(tuning: Tuning) -> str:
    """Return what was searched as a markdown table."""
    rows = []
    for name, parameter in tuning.parameters.items():
        values = ", ".join(tables.setting(choice) for choice in parameter.get("choices") or ())
        if parameter.get("low") is not None:
            ends = " to ".join(tables.setting(parameter[end]) for end in ("low", "high"))
            values = f"{ends}{', logarithmic' if parameter.get('log') else ''}"
        when = " and ".join(
            f"`{key}` {' or '.join(map(tables.setting, own))}" for key, own in (parameter.get("when") or {}).items()
        )
        rows.append(
            {"parameter": f"`{name}`", "kind": parameter["kind"], "values": values, "searched with": when or "–"}
        )
    return markdown(pd.DataFrame(rows))
