"""From a ledger to a folder that a person can read: report.md, figures, results.csv, provenance.json."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.ledger import Ledger
from reports import tables
from reports.answer import answer
from reports.evidence import Evidence, gather, to_csv, to_json
from reports.statistics import separation

TEMPLATES = Path(__file__).parent / "templates"


def compile_report(ledger: Ledger, out: Path) -> Path:
    """Compile a study's report into `out`, creating it; the same results give the same bytes.

    Everything is written beside `out` first and then moved in, so an error leaves the former report whole.
    `provenance.json` alone holds what two identical studies would not share: clock times, hardware, run ids.

    Args:
        ledger: The study's run directory; an unfinished one gives a report marked incomplete.
        out: Folder of the report. Other files in it stay; figures of a former report that are no more go.

    Returns:
        The path of `report.md`.

    Raises:
        InputError: No replica has finished, or the report asks for a score that the study has not.
        OSError: `out` cannot be written.
    """
    import matplotlib

    from reports.figures import DPI, STYLE
    from reports.gallery import pictures

    evidence = gather(ledger)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        fresh = Path(scratch)
        drawn = []
        with matplotlib.rc_context():
            # From matplotlib's own defaults: a reader's matplotlibrc must not change the bytes.
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            for picture in pictures(evidence, ledger):
                picture.figure.savefig(fresh / picture.name, dpi=DPI, metadata={"Software": None})
                drawn.append({"name": picture.name, "title": picture.title, "caption": picture.caption})
        (fresh / "results.csv").write_text(to_csv(evidence.results), encoding="utf-8")
        (fresh / "provenance.json").write_text(to_json(ledger.provenance()), encoding="utf-8")
        (fresh / "report.md").write_text(render_report(evidence, drawn), encoding="utf-8")
        (fresh / "summary.json").write_text(to_json(summary(evidence, drawn)), encoding="utf-8")
        _move(fresh, out)
    return out / "report.md"


def render_report(evidence: Evidence, drawn: list[dict[str, str]]) -> str:
    """Return the text of report.md."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown, and the study's own words
    )
    counts = evidence.results["status"].value_counts()
    return environment.get_template("report.md.j2").render(
        study=evidence.study,
        command=evidence.plan["command"],
        device=evidence.plan["device"],
        answer=answer(evidence),
        replicas=len(evidence.results),
        planned=len(evidence.planned),
        missing=missing_by_variant(evidence),
        diverged=int(counts.get("diverged", 0)),
        failed=int(counts.get("failed", 0)),
        primary=evidence.label(evidence.primary),
        goal=tables.goal(evidence),
        factors=list(evidence.factors),
        variants_table=markdown(tables.variants_table(evidence)),
        levels_table=markdown(tables.levels_table(evidence)),
        scores_table=markdown(tables.scores_table(evidence)),
        settings_table=markdown(tables.settings_table(evidence)),
        fid=any(score.startswith("fid") for score in evidence.references),
        replicas_table=markdown(tables.replicas_table(evidence)),
        figures=drawn,
        limits=limits(evidence),
    )


def summary(evidence: Evidence, drawn: Iterable[dict[str, str]]) -> dict[str, Any]:
    """What an index says of this report, readable by a program."""
    return {
        "study": evidence.study["name"],
        "title": evidence.study["title"],
        "scale": evidence.study["scale"],
        "target": evidence.study["target_label"],
        "question": evidence.study["question"],
        "answer": answer(evidence),
        "replicas": len(evidence.results),
        "planned": len(evidence.planned),
        "figures": [picture["name"] for picture in drawn],
    }


def limits(evidence: Evidence) -> list[str]:
    """What the study could not settle, one sentence each, from the data."""
    said = []
    if evidence.reached and not tables.any_variant_reaches(evidence):
        said.append(f"No variant's median reaches {tables.goal(evidence)}: the training may be too short to answer.")
    seeds = sorted({len(evidence.of(v)) for v in evidence.variants.index})
    if seeds[-1] < 2:
        said.append("There is one seed a variant: nothing can be said about the spread, and no interval given.")
    else:
        said.append(
            f"Each variant has {seeds[-1]} seeds."
            if len(seeds) == 1
            else f"The variants have {seeds[0]} to {seeds[-1]} finished seeds."
        )
    broken = int((evidence.results["status"] != "ok").sum())
    if broken:
        said.append(
            f"{broken} of {len(evidence.results)} replicas failed. They count in every rate and rank last in "
            "every median; a median that falls on one reads *failed*."
        )
    for factor, levels in evidence.factors.items():
        overlapping = overlaps(evidence, factor, levels)
        if overlapping:
            said.append(f"`{factor}`: the interquartile ranges of {' and '.join(overlapping)} overlap.")
    return said


def overlaps(evidence: Evidence, factor: str, levels: list[str]) -> list[str]:
    """Return the levels of a factor whose interquartile range of the primary score touches another's."""
    direction = evidence.direction(evidence.primary)
    values = {
        level: tables.score_values(evidence, tables.at_level(evidence, factor, level), evidence.primary)
        for level in levels
    }
    values = {level: v for level, v in values.items() if len(v)}
    touching = []
    for level, own in values.items():
        others = (v for other, v in values.items() if other != level)
        if any(separation(own, other, direction) != "clear" for other in others):
            touching.append(level)
    return touching


def missing_by_variant(evidence: Evidence) -> dict[str, int]:
    """How many planned replicas of each variant have not finished."""
    counts = evidence.missing.groupby("variant", sort=False).size()
    return {str(variant): int(count) for variant, count in counts.items()}


def markdown(table: pd.DataFrame) -> str:
    """Return a table as markdown, its cells as they are written: tabulate must not turn "0.50" into 0.5."""
    return table.to_markdown(index=False, disable_numparse=True)


def _move(fresh: Path, out: Path) -> None:
    """Move finished files into place, report.md last; drop figures of the former report that are no more."""
    import json

    out.mkdir(parents=True, exist_ok=True)
    former = out / "summary.json"
    stale = set(json.loads(former.read_text(encoding="utf-8"))["figures"]) if former.exists() else set()
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == "report.md"):
        path.replace(out / path.name)
        stale.discard(path.name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
