"""From a tuned study's run directory to a folder that a person can read: the report on tuning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reports.ledger.ledger import Ledger
from reports.pages.sections import claims, missing_by_variant
from reports.pages.study import compile_report, draw, move, render, scratch_beside
from reports.study.effects import FEW
from reports.study.evidence import to_csv, to_json
from reports.study.tables import markdown, number
from reports.tuning import tables
from reports.tuning.answer import tuning_sentences
from reports.tuning.effects import Findings
from reports.tuning.evidence import TunedStudy, gather_tuning
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
    for name, evidence in tuning.sources.items():
        compile_report(evidence.ledger, out / name, evidence)
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
    return render(
        "tuning.md.j2",
        found=found,
        tuning=tuning,
        answer=tuning_sentences(found),
        claims=claims(tuning.untuned),
        device=tuning.untuned.plan.device,
        complaints=complaints(tuning),
        missing={name: missing_by_variant(evidence) for name, evidence in tuning.grids.items()},
        several=len(tuning.variants) > 1,
        few_seeds=_few_seeds(found),
        own_seeds=_span(tuning.seeds),
        validation_seeds=_span(tuning.record.validation_seeds),
        parameters=markdown(tables.space_table(tuning)),
        failed=number(tuning.tune.failed),
        curve=_curve_label(found),
        splits=splits_of(tuning),
        rescued=sum(c.failures for own in found.checkpoints.values() for c in own),
        notes=sorted({s.importances_note for s in tuning.searches.values() if s.importances_note}),
        tables={name: markdown(table(found)) for name, table in tables.TABLES.items()},
        pictures={picture["name"].removesuffix(".png"): picture for picture in drawn},
    )


def tuning_summary(found: Findings, drawn: Iterable[dict[str, str]]) -> dict[str, Any]:
    """What an index says of this report, for a program: the keys of `reports.pages.study.summary` and a few more.

    The replicas are those of the two grids, the rows of `results.csv`; "trials" are the search's.
    """
    tuning = found.tuning
    said, study = tuning_sentences(found), tuning.untuned.study
    planned = [len(evidence.planned) for evidence in tuning.grids.values()]
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
        "replicas": sum(len(evidence.results) for evidence in tuning.grids.values()),
        "planned": sum(planned) if tuning.tuned else 2 * planned[0],
        "trials": sum(len(search.finished) for search in tuning.searches.values()),
        "ranking": found.ranking.outcome,
        "incomplete": not tuning.complete,
        "missing": complaints(tuning),
        "missing_replicas": [id for evidence in tuning.grids.values() for id in evidence.missing["id"]],
        "claims": study.claims,
        "claim_texts": study.claim_texts,
        "figures": [picture["name"] for picture in drawn],
    }


def both_grids(tuning: TunedStudy) -> pd.DataFrame:
    """Return one row a replica, the untuned grid first, with a column `tuned`, true or false, after the seed."""
    parts = []
    for name, evidence in tuning.grids.items():
        rows = evidence.results.copy()
        rows.insert(int(rows.columns.get_indexer(pd.Index(["seed"]))[0]) + 1, "tuned", str(name == "tuned").lower())
        parts.append(rows.astype(object))
    return pd.concat(parts, ignore_index=True).infer_objects()


def provenance(ledger: Ledger) -> dict[str, Any]:
    """Return the provenance of the three ledgers, the sessions that trained something together, and what they took.

    The core-seconds stand here, and not in the report: they are the machine's as much as the study's.
    """
    parts = {"untuned": ledger, "search": ledger.search(), "tuned": ledger.tuned()}
    own = {name: part.tolerant().provenance() for name, part in parts.items()}
    seconds = {name: sum(sum(s.cohort_seconds.values()) for s in content.trained) for name, content in own.items()}
    sessions = sorted((s for content in own.values() for s in content.trained), key=lambda s: s.started)
    return {"sessions": sessions, "core_seconds": {n: round(total, 3) for n, total in seconds.items()}, **own}


def complaints(tuning: TunedStudy) -> list[str]:
    """Return what is missing or unreadable, the search and then grid by grid."""
    return [*tuning.complaints, *(f"{name} grid: {said}" for name, e in tuning.grids.items() for said in e.complaints)]


def _few_seeds(found: Findings) -> str:
    """Return what to think of intervals over so few seeds as there are; empty where there are enough, or one."""
    seeds = max(len(e.of(v)) for e in found.tuning.grids.values() for v in found.tuning.variants)
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
