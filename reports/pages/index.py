"""The index of published reports: which questions were asked, and the answer to each in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from reports.study.tables import markdown

INTRODUCTION = """# Reports

Each folder answers one question: `report.md` with its figures, `results.csv` with one row a replica, and
`provenance.json` with the machine, versions and times. This page is compiled from the folders.
"""
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def compile_index(reports_dir: Path, front: Path | None = None) -> Path:
    """Write `README.md` in a folder of published reports, from the `summary.json` of each, by name.

    The front page gets the table of studies between its `<!-- results -->` marks; the table of claims is on the index
    alone.

    Args:
        reports_dir: Folder whose subfolders are reports; a subfolder without a `summary.json` is none.
        front: The front page, a README in a folder above.

    Returns:
        The path of the index.
    """
    index = reports_dir / "README.md"
    paths = sorted(reports_dir.glob("*/summary.json"))
    found = [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    claims = claims_table(found)
    behind = f"\n## Claims\n\n{claims}\n" if claims else ""
    fast = (reports_dir / "speed/report.md").exists()
    speed = "\n## Speed\n\n[How fast the engine is](speed/report.md), beside the plain loop.\n" if fast else ""
    _write(index, f"{INTRODUCTION}\n{studies_table(found, '')}\n{behind}{speed}")
    if front is not None and front.exists():
        table = studies_table(found, f"{reports_dir.relative_to(front.parent).as_posix()}/")
        text = BLOCK.sub(lambda block: f"{block[1]}{table}\n{block[2]}", front.read_text(encoding="utf-8"))
        _write(front, text)
    return index


def studies_table(found: list[tuple[Path, dict[str, Any]]], prefix: str) -> str:
    """Return one row a study in markdown: question, answer in one line, replicas, scale, date and commit.

    Args:
        found: Folder and summary of each report.
        prefix: What leads from the page to the reports, "" or "reports/published/".
    """
    rows: list[dict[str, Any]] = []
    for folder, summary in found:
        sessions = _sessions(folder / "provenance.json")
        rows.append(
            {
                "study": f"[{summary['study']}]({prefix}{folder.name}/report.md)",
                "question": _cell(summary["question"]),
                "answer": _cell(summary["headline"]),
                "replicas": summary["replicas"],
                "scale": summary["scale"],
                "date": max((str(s.get("finished", ""))[:10] for s in sessions), default=""),
                "commit": _commit(sessions),
            }
        )
    if not rows:
        return "No report is published yet."
    return markdown(pd.DataFrame(rows))


def claims_table(found: list[tuple[Path, dict[str, Any]]]) -> str:
    """Return one row a claim in markdown: its number and text, and what each study that bears on it found.

    That is what was held against theory, and the study's headline and levels; elsewhere its whole answer. Claims that
    no study bears on are listed where some study's summary knows their text. Empty without claims.
    """
    texts: dict[int, str] = {}
    for _, summary in found:
        texts |= {int(number): text for number, text in (summary["claim_texts"]).items()}
        texts = {number: "" for number in summary["claims"]} | texts
    rows: list[dict[str, Any]] = []
    for number in sorted(texts):
        bearing = [(folder, s) for folder, s in found if number in (s["claims"])]
        links = [f"[{s['study']}]({folder.name}/report.md): {_cell(_bearing(s))}" for folder, s in bearing]
        rows.append({"": number, "claim": _cell(texts[number]), "evidence": "<br>".join(links) or "none yet"})
    return markdown(pd.DataFrame(rows)) if rows else ""


def _bearing(summary: dict[str, Any]) -> str:
    """Return what was checked against theory, the headline and every level's effect; else the whole answer."""
    said = [text for text in summary["conclusions"] if not text.startswith("Not checked")]
    if not said:
        return summary["answer"]
    return " ".join([*said, summary["headline"], summary["levels"]]).strip()


def _sessions(provenance: Path) -> list[dict[str, Any]]:
    """Return the sessions that trained something."""
    sessions = json.loads(provenance.read_text(encoding="utf-8")).get("sessions", []) if provenance.exists() else []
    return [session for session in sessions if session.get("trained")]


def _commit(sessions: list[dict[str, Any]]) -> str:
    """Return the commits of the code that trained a report's replicas, shortened."""
    heads: list[str] = [session.get("commit", "") for session in sessions]
    short = [head[:10] + ("+changes" if "+" in head else "") for head in heads if head]
    return ", ".join(f"`{head}`" for head in dict.fromkeys(short))


def _cell(text: str) -> str:
    """Return text that fits one cell of a markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".md.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
