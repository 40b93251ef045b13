"""The index of published reports: which questions were asked, and the answer to each in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

INTRODUCTION = """# Reports

Each folder answers one question: `report.md` with its figures, `results.csv` with one row a replica, and
`provenance.json` with the machine, versions and times. This page is compiled from the folders.
"""
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def compile_index(reports_dir: Path) -> Path:
    """Write `README.md` in a folder of published reports, from the `summary.json` of each, by name.

    The README of the folder above, where there is one, gets the same table between its `<!-- results -->` marks.

    Args:
        reports_dir: Folder whose subfolders are reports; a subfolder without a `summary.json` is none.

    Returns:
        The path of the index.
    """
    index = reports_dir / "README.md"
    _write(index, f"{INTRODUCTION}\n{_table(reports_dir, '')}\n")
    front = reports_dir.parent / "README.md"
    if front.exists():
        table = _table(reports_dir, f"{reports_dir.name}/")
        text = BLOCK.sub(lambda block: f"{block[1]}{table}\n{block[2]}", front.read_text(encoding="utf-8"))
        _write(front, text)
    return index


def _table(reports_dir: Path, prefix: str) -> str:
    rows: list[dict[str, Any]] = []
    for path in sorted(reports_dir.glob("*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        rows.append(
            {
                "study": f"[{summary['study']}]({prefix}{path.parent.name}/report.md)",
                "question": _cell(summary["question"]),
                "answer": _cell(summary["answer"]),
                "replicas": summary["replicas"],
                "scale": summary["scale"],
                "commit": _commit(path.with_name("provenance.json")),
            }
        )
    if not rows:
        return "No report is published yet."
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _commit(provenance: Path) -> str:
    """Return the commits of the code that trained a report's replicas, shortened."""
    sessions = json.loads(provenance.read_text(encoding="utf-8")).get("sessions", []) if provenance.exists() else []
    heads: list[str] = [session.get("commit", "") for session in sessions if session.get("trained")]
    short = [head[:10] + ("+changes" if "+" in head else "") for head in heads if head]
    return ", ".join(f"`{head}`" for head in dict.fromkeys(short))


def _cell(text: str) -> str:
    """Return text that fits one cell of a markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".md.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
