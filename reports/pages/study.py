"""From a ledger to a folder that a person can read: report.md, figures, results.csv, contrasts.csv, provenance.json."""

from __future__ import annotations

import json
import os
import re
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.sections import SECTIONS, shared
from reports.study.answer import levels, sentences
from reports.study.effects import contrasts_csv
from reports.study.evidence import Evidence, gather, to_csv, to_json
from reports.study.outcome import answers
from reports.theory import statements

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
    ledger = evidence.ledger  # the tolerant one: a damaged file leaves a gap, not a traceback
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(out) as scratch:
        fresh = Path(scratch)
        drawn = draw(pictures(evidence), fresh)
        (fresh / "results.csv").write_text(to_csv(evidence.results), encoding="utf-8")
        (fresh / "contrasts.csv").write_text(contrasts_csv(evidence), encoding="utf-8")
        (fresh / "provenance.json").write_text(to_json(ledger.provenance()), encoding="utf-8")
        (fresh / "report.md").write_text(render_report(evidence, drawn), encoding="utf-8")
        (fresh / "summary.json").write_text(to_json(summary(evidence, drawn)), encoding="utf-8")
        move(fresh, out)
    return out / "report.md"


def scratch_beside(out: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder to compile in, on the same disk; its name says whose it is, if it is found after a kill."""
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
    return _without_gaps(_environment().get_template(template).render(**content))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown, and the study's own words
    )
    environment.filters["fill"] = lambda text: textwrap.fill(" ".join(text.split()), 120, break_on_hyphens=False)
    return environment


def _without_gaps(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text)


def render_report(evidence: Evidence, drawn: list[dict[str, str]]) -> str:
    """Return the text of report.md: the sections, in their order.

    Args:
        evidence: The study's.
        drawn: Name, title and caption of each figure.
    """
    template = _environment().get_template("report.md.j2")
    common = shared(evidence) | {"figures": drawn}
    found = {section.__name__: section(evidence) for section in SECTIONS}
    blocks = [
        "".join(template.blocks[name](template.new_context(common | content)))
        for name, content in found.items()
        if content is not None
    ]
    return _without_gaps("".join(blocks))


def summary(evidence: Evidence, drawn: Iterable[dict[str, str]]) -> dict[str, Any]:
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
        "answers": [asdict(answer) for answer in answers(evidence)],
        "levels": levels(evidence),
        "conclusions": [check.measured.conclusion for check in statements.checks(evidence)],
        "replicas": len(evidence.results),
        "planned": len(evidence.planned),
        "incomplete": bool(evidence.complaints) or not evidence.missing.empty,
        "missing": evidence.complaints,
        "missing_replicas": evidence.missing["id"].tolist(),
        "claims": study.claims,
        "claim_texts": study.claim_texts,
        "figures": [picture["name"] for picture in drawn],
    }


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
