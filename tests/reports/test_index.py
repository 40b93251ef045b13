"""The index: one line a study, and what is known of each claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports.pages.index import claims_table, compile_index, studies_table

TEXTS = {"1": "The saturating loss starves.", "2": "Balance | matters.", "3": "Nobody asked."}


def publish(folder: Path, name: str, **changes: Any) -> None:
    said = ["On N(3, 2²), `loss` b scores better than a, with 0.72 times its KS (p = 0.010).", "None failed."]
    summary = {"study": name, "question": "Which | one?", "answer": " ".join(said), "headline": said[0]}
    summary |= {"replicas": 12, "scale": "laptop", "claims": [1], "claim_texts": TEXTS}
    summary |= {"conclusions": [], "levels": "", **changes}
    sessions = [
        {"finished": "2031-05-06T23:59:00+00:00", "commit": "abcdef1234567", "trained": 12},
        {"finished": "2031-05-08T00:00:00+00:00", "commit": "fedcba", "trained": 0},
    ]
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps(summary))
    (folder / name / "provenance.json").write_text(json.dumps({"sessions": sessions}))


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    publish(tmp_path / "reports", "beta", claims=[1, 2])
    publish(tmp_path / "reports", "alpha")
    return tmp_path / "reports"


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_each_study_has_a_line_with_the_first_sentence_of_its_answer(reports: Path) -> None:
    text = compile_index(reports).read_text()
    _, _, alpha, beta, *_ = rows(text)
    assert "(alpha/report.md)" in alpha and "(beta/report.md)" in beta
    assert "scores better than a, with 0.72 times its KS (p = 0.010). " in alpha and "None failed" not in alpha + beta
    # The day on which what is shown was trained, by which commit; not that of a session that trained nothing.
    assert "2031-05-06" in alpha and "`abcdef1234`" in alpha and "fedcba" not in text and "2031-05-08" not in text
    assert "Which \\| one?" in alpha
    assert compile_index(reports).read_text() == text


def test_each_claim_has_the_studies_that_bear_on_it(reports: Path) -> None:
    text = compile_index(reports).read_text()
    one, two, three = rows(text.split("## Claims")[1])[2:]
    assert one.index("(alpha/report.md)") < one.index("(beta/report.md)") and "starves" in one
    assert "(beta/report.md): On N(3, 2²)" in two and "alpha" not in two and "Balance \\| matters." in two
    assert "None failed" in two  # what was held against no theory has the whole answer
    assert "none yet" in three
    assert claims_table([]) == "" and "No report is published yet." in studies_table([], "")


def test_a_claim_s_evidence_is_first_what_was_held_against_theory(tmp_path: Path) -> None:
    publish(tmp_path, "gamma", conclusions=["It agrees | to rounding.", "Not checked: no curve."])
    (row,) = [r for r in rows(compile_index(tmp_path).read_text().split("## Claims")[1]) if "gamma" in r]
    assert "(gamma/report.md): It agrees \\| to rounding. On N(3, 2²)" in row and "Not checked" not in row


def test_the_front_page_gets_the_studies_between_its_marks(tmp_path: Path) -> None:
    reports = tmp_path / "reports" / "published"
    publish(reports, "alpha")
    front = tmp_path / "README.md"
    front.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    compile_index(reports, front)
    text = front.read_text()
    assert text.startswith("before\n<!-- results -->\n|") and text.endswith("<!-- /results -->\nafter\n")
    assert "(reports/published/alpha/report.md)" in text and "old" not in text and "none yet" not in text
