"""From a ledger to a folder that a person can read: report.md, figures, results.csv, contrasts.csv, provenance.json."""

from __future__ import annotations

import json
import os
import re
import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from gan.verdict import thresholds_table
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.study import effects, literature, tables
from reports.study.answer import levels, sentences
from reports.study.evidence import Evidence, gather, level_label, to_csv, to_json
from reports.theory import statements
from reports.theory.section import Section

TEMPLATES = Path(__file__).parent / "templates"


def compile_report(ledger: Ledger, out: Path, evidence: Evidence | None = None) -> Path:
    """Compile a study's report into `out`, creating it; the same results give the same bytes.

    Everything is written beside `out` first and then moved in, so an error leaves the former report whole.
    `provenance.json` alone holds what two identical studies would not share: clock times, hardware, run ids.

    Args:
        ledger: The study's run directory; an unfinished one, or one with a file missing or damaged, gives a report
            marked incomplete that names what is not there.
        out: Folder of the report. Other files in it stay; figures of a former report that are no more go.
        evidence: What was gathered from the ledger as it is; without it that is done here.

    Returns:
        The path of `report.md`.

    Raises:
        InputError: No replica has finished, or the report asks for a score that the study has not.
        OSError: `out` cannot be written.
    """
    from reports.figures.overview import pictures

    evidence = evidence or gather(ledger)
    checks = statements.checks(evidence, evidence.ledger)
    ledger = evidence.ledger  # the tolerant one: a damaged file leaves a gap, not a traceback
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(out) as scratch:
        fresh = Path(scratch)
        drawn = draw(pictures(evidence, ledger), fresh)
        (fresh / "results.csv").write_text(to_csv(evidence.results), encoding="utf-8")
        (fresh / "contrasts.csv").write_text(effects.contrasts_csv(evidence), encoding="utf-8")
        (fresh / "provenance.json").write_text(to_json(ledger.provenance()), encoding="utf-8")
        (fresh / "report.md").write_text(render_report(evidence, drawn, checks), encoding="utf-8")
        (fresh / "summary.json").write_text(to_json(summary(evidence, drawn, checks)), encoding="utf-8")
        move(fresh, out)
    return out / "report.md"


def scratch_beside(out: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder to compile in, on the same disk; its name says whose it is, for whoever finds it after a kill."""
    return tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=f".{os.getpid()}.tmp", dir=out.parent)


def draw(pictures: Iterable[Picture], folder: Path) -> list[dict[str, str]]:
    """Draw figures into a folder, one at a time; return name, title and caption of each."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from reports.figures.primitives import STYLE

    drawn: list[dict[str, str]] = []
    with matplotlib.rc_context():
        # From matplotlib's own defaults: a reader's matplotlibrc must not change the bytes.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for picture in pictures:
            # Not savefig, which draws twice, once to lay out what is laid out here while it is drawn.
            FigureCanvasAgg(picture.figure).print_png(folder / picture.name, metadata={"Software": None})
            drawn.append({"name": picture.name, "title": picture.title, "caption": picture.caption})
    return drawn


def render(template: str, **content: Any) -> str:
    """Return a page of markdown from one of our templates."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown, and the study's own words
    )
    environment.filters["fill"] = lambda text: textwrap.fill(" ".join(text.split()), 120, break_on_hyphens=False)
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(**content))


def render_report(evidence: Evidence, drawn: list[dict[str, str]], checks: list[Section]) -> str:
    """Return the text of report.md.

    Args:
        evidence: The study's.
        drawn: Name, title and caption of each figure.
        checks: What was held against theory.
    """
    counts = evidence.results["status"].value_counts()
    family = evidence.contrasts()
    compared = literature.comparison(evidence, evidence.ledger)
    return render(
        "report.md.j2",
        study=evidence.study,
        claims=claims(evidence),
        overrides=", ".join(f"`{k}` {level_label(v)}" for k, v in evidence.study.overrides.items()),
        command=evidence.plan.command,
        device=evidence.plan.device,
        answer=sentences(evidence),
        replicas=len(evidence.results),
        planned=len(evidence.planned),
        complaints=evidence.complaints,
        missing=missing_by_variant(evidence),
        diverged=int(counts.get("diverged", 0)),
        failed=int(counts.get("failed", 0)),
        primary=evidence.label(evidence.primary),
        direction=evidence.direction(evidence.primary),
        goal=tables.goal(evidence),
        several=sum(len(levels) > 1 for levels in evidence.factors.values()) > 1,
        interactions=any(c.kind == "interaction" for c in family),
        floors=tables.has_floors(evidence),
        variants=evidence.results["variant"].nunique(),
        reference=", ".join(
            f"`{f}` {level}" for f, level in evidence.reference.items() if len(evidence.factors[f]) > 1
        ),
        contrasts=family,
        shown=min(len(family), effects.MANY),
        pairs=max((c.pairs for c in family), default=0),
        ratio=any(c.ratio for c in family),
        without_ratio=evidence.without_ratio(evidence.primary),
        repeated=tables.repeated(evidence.results),
        contrasts_table=markdown(effects.contrasts_table(evidence)),
        variants_table=markdown(tables.variants_table(evidence)),
        levels_table=markdown(tables.levels_table(evidence)),
        bundles_table=markdown(tables.bundles_table(evidence)),
        variance_table=markdown(effects.variance_table(evidence)),
        evaluation_variance=effects.evaluation_variance(evidence),
        published_table=markdown(compared) if compared is not None else "",
        published_caption=literature.caption(compared) if compared is not None and len(compared) else "",
        checks=[{"table": markdown(check.table), "section": check} for check in checks],
        scores_table=markdown(tables.scores_table(evidence)),
        settings_table=markdown(tables.settings_table(evidence)),
        fid=any(score.startswith("fid") for score in evidence.references),
        replicas_table=markdown(tables.replicas_table(evidence)),
        thresholds_table=markdown(_thresholds()),
        figures=drawn,
        unresolved=effects.unresolved(evidence),
    )


def summary(evidence: Evidence, drawn: Iterable[dict[str, str]], checks: Iterable[Section]) -> dict[str, Any]:
    """What an index says of this report, readable by a program."""
    said = sentences(evidence)
    study = evidence.study
    return {
        "study": study.name,
        "title": study.title,
        "scale": study.scale,
        "target": study.target_label,
        "question": study.question,
        "answer": " ".join(said),
        "headline": said[0],
        "levels": levels(evidence),
        "conclusions": [check.conclusion for check in checks],
        "replicas": len(evidence.results),
        "planned": len(evidence.planned),
        "incomplete": bool(evidence.complaints) or not evidence.missing.empty,
        "missing": evidence.complaints,
        "missing_replicas": evidence.missing["id"].tolist(),
        "claims": study.claims,
        "claim_texts": study.claim_texts,
        "figures": [picture["name"] for picture in drawn],
    }


def claims(evidence: Evidence) -> list[str]:
    """Return the claims that the study bears on, "1: the saturating loss ..."."""
    texts = evidence.study.claim_texts
    return [f"{n}: {texts[str(n)]}" if str(n) in texts else str(n) for n in evidence.study.claims]


def _thresholds() -> pd.DataFrame:
    rows = [(f"`{name}`", tables.number(value), meaning) for name, value, meaning in thresholds_table()]
    return pd.DataFrame(rows, columns=pd.Index(["threshold", "value", "meaning"]))


def missing_by_variant(evidence: Evidence) -> dict[str, int]:
    """How many planned replicas of each variant have not finished."""
    counts = evidence.missing.groupby("variant", sort=False).size()
    return {str(variant): int(count) for variant, count in counts.items()}


def markdown(table: pd.DataFrame) -> str:
    """Return a table as markdown, its cells as they are written: tabulate must not turn "0.50" into 0.5."""
    if table.empty:
        return ""
    return table.to_markdown(index=False, disable_numparse=True)


def move(fresh: Path, out: Path) -> None:
    """Move finished files into place, report.md last; drop figures of the former report that are no more."""
    out.mkdir(parents=True, exist_ok=True)
    former = out / "summary.json"
    stale = set(json.loads(former.read_text(encoding="utf-8"))["figures"]) if former.exists() else set()
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == "report.md"):
        path.replace(out / path.name)
        stale.discard(path.name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
