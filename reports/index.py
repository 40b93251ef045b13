"""The index of published reports: which questions were asked, and the answer to each in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

INTRODUCTION = """# Reports

Each folder answers one question: `report.md` with its figures, `results.csv` with one row a replica, and
`provenance.json` with the machine, versions and times. This page is compiled from the folders.
"""


def compile_index(reports_dir: Path) -> Path:
    """Write `README.md` in a folder of published reports, from the `summary.json` of each, by name.

    Args:
        reports_dir: Folder whose subfolders are reports; a subfolder without a `summary.json` is none.

    Returns:
        The path of the index.
    """
    rows = []
    for path in sorted(reports_dir.glob("*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        rows.append(
            {
                "study": f"[{summary['study']}]({path.parent.name}/report.md)",
                "question": _cell(summary["question"]),
                "answer": _cell(summary["answer"]),
                "replicas": summary["replicas"],
                "scale": summary["scale"],
            }
        )
    table = (
        pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) if rows else "No report is published yet."
    )
    index = reports_dir / "README.md"
    partial = index.with_suffix(".md.partial")
    partial.write_text(f"{INTRODUCTION}\n{table}\n", encoding="utf-8")
    partial.replace(index)
    return index


def _cell(text: str) -> str:
    """Return text that fits one cell of a markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
