from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gan.errors import InputError
from gan.thresholds import thresholds_table
from gan.verdict import VERDICTS
from reports.api import compile_report, load_results
from reports.pages.study import compile_report as compile_evidence
from reports.study.answer import answer
from reports.study.evidence import gather
from reports.study.tables import replicas_table

from .conftest import lay_nothing_out, print_blank_pages

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, gaussian, digits, gathered) -> dict[str, Path]:
    """Two reports, their figures without a layout; the pages of one are blank, for no test looks at them."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        lay_nothing_out(patch)
        compile_evidence(digits, folder / "digits", gathered(digits))
        print_blank_pages(patch)
        compile_evidence(gaussian, folder / "gaussian", gathered(gaussian))
    return {name: folder / name for name in ("gaussian", "digits")}


def test_compiling_twice_gives_the_same_bytes(unlaid, small, tmp_path: Path) -> None:
    first, second = (compile_report(small, tmp_path / name).parent for name in ("once", "again"))
    names = sorted(p.name for p in first.iterdir())
    assert names == sorted(p.name for p in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize("study", ["gaussian", "digits"])
def test_every_figure_is_referenced_and_every_reference_exists(published, study: str) -> None:
    folder = published[study]
    referenced = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (folder / "report.md").read_text())
    assert sorted(referenced) == sorted(p.name for p in folder.glob("*.png"))
    assert len(referenced) >= 4
    for link in re.findall(r"\]\(([^)]+)\)", (folder / "report.md").read_text()):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("study", ["gaussian", "digits"])
def test_times_run_ids_and_places_stay_in_the_provenance(published, study: str) -> None:
    folder = published[study]
    secrets = [b"2031-05-06", b"123.456", b"feedbee", b"run-id-of-the-tracker", b"9.87"]
    assert all(secret in (folder / "provenance.json").read_bytes() for secret in secrets[:-1])
    for path in folder.iterdir():
        if path.name != "provenance.json":
            assert not any(secret in path.read_bytes() for secret in secrets), path.name
            assert b"Software" not in path.read_bytes()[:300]


def test_nothing_finished_is_the_users_error(small, copy_of: Make, tmp_path: Path) -> None:
    ledger = copy_of(small)
    for path in (ledger.directory / "cohorts").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no replica has finished"):
        compile_report(ledger, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_failed_compilation_leaves_the_former_report(undrawn, small, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "report"
    compile_report(small, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setattr("reports.pages.study.render_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compile_report(small, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_stale_figures_go_and_other_files_stay(undrawn, small, tmp_path: Path) -> None:
    out = tmp_path / "report"
    compile_report(small, out)
    (out / "notes.txt").write_text("mine")
    (out / "old.png").write_bytes(b"")
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | {"figures": [*summary["figures"], "old.png"]}))
    compile_report(small, out)
    assert (out / "notes.txt").exists() and not (out / "old.png").exists()


def test_the_report_names_every_replica_and_the_command(published, digits, gathered) -> None:
    text = (published["digits"] / "report.md").read_text()
    assert digits.plan().command in text and "A shortened run." in text
    assert all(r.id in text for r in digits.plan().replicas)
    assert "This scale changes settings of the study: `batch_size` 32" in text
    assert len(replicas_table(gathered(digits))) == 8


def test_a_report_has_the_parts_of_a_paper_in_their_order(published) -> None:
    text = (published["gaussian"] / "report.md").read_text()
    parts = [line for line in text.splitlines() if line.startswith("## ")]
    expected = [
        "Evidence",
        "Held against theory",
        "Figures",
        "What was not resolved",
        "Reading the scores",
        "Reproduce",
    ]
    assert parts == [f"## {part}" for part in expected]
    assert "bears on claim | 1: The saturating loss starves the generator." in text
    assert all(f"| `{name}` |" in " ".join(text.split()) for name in VERDICTS)
    assert "converged" in text and all(f"`{name}`" in text for name, *_ in thresholds_table())
    assert "\n\n\n" not in text and "ncomplete" not in text and "This scale changes" not in text


def test_a_program_reads_the_summary(published) -> None:
    summary = json.loads((published["gaussian"] / "summary.json").read_text())
    assert summary["answer"].startswith(summary["headline"]) and summary["headline"].endswith(".")
    assert (summary["incomplete"], summary["missing"], summary["claims"]) == (False, [], [1, 8])
    (conclusion,) = summary["conclusions"]
    paragraphs = (published["gaussian"] / "report.md").read_text().split("\n\n")
    # Question, headline, what theory says to it, and then the rates.
    assert paragraphs[2:4] == [summary["headline"], f"**Held against theory.** {conclusion}"]
    assert paragraphs[4].startswith("- None of 120 replicas failed")
    summary = json.loads((published["digits"] / "summary.json").read_text())
    assert summary["conclusions"] == [] and "eld against" not in (published["digits"] / "report.md").read_text()


def test_every_contrast_s_numbers_are_in_a_table(published, digits, gathered) -> None:
    table = pd.read_csv(published["digits"] / "contrasts.csv")
    family = {(" × ".join(c.factors), " × ".join(c.levels)): c for c in gathered(digits).contrasts}
    assert len(table) == len(family) == 6 and "(contrasts.csv)" in (published["digits"] / "report.md").read_text()
    for row in table.to_dict("records"):
        contrast = family[row["factors"], row["levels"]]
        assert row["estimate"] == pytest.approx(contrast.interval.estimate, rel=1e-6, nan_ok=True)
        assert (
            row["p_holm"] == pytest.approx(contrast.p_holm, rel=1e-6, nan_ok=True)
            and row["resolved"] == contrast.resolved
        )
        assert pd.isna(row["improvement"]) == (contrast.kind == "interaction")


def test_a_study_without_floors_says_nothing_of_real_data(undrawn, small, copy_of: Make, tmp_path: Path) -> None:
    ledger = copy_of(small)
    references = {name: {**own.to_json(), "floor": None} for name, own in ledger.references().items()}
    ledger.write_json("references.json", references)
    assert "real data" not in compile_report(ledger, tmp_path / "report").read_text().lower()


@pytest.mark.parametrize(
    ("part", "damage"),
    [(p, d) for p in ("cohorts", "history", "samples") for d in ("gone", "cut short")] + [("history", "foreign")],
)
def test_a_lost_file_leaves_a_gap_and_its_name(
    undrawn, small, copy_of: Make, tmp_path: Path, part: str, damage: str
) -> None:
    ledger = copy_of(small)
    cohort = ledger.plan().cohorts[1]
    path = next((ledger.directory / part).glob(f"{cohort.id}.*"))
    if damage == "gone":
        path.unlink()
    elif damage == "foreign" and path.suffix == ".parquet":
        pd.DataFrame({"something": [1, 2]}).to_parquet(path)
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "cut short" else b"not ours")
    report = compile_report(ledger, tmp_path / "report")
    text, summary = report.read_text(), json.loads(report.with_name("summary.json").read_text())
    assert "**Incomplete.**" in text and f"`{part}/{path.name}`" in text and summary["incomplete"]
    (complaint,) = summary["missing"]
    assert path.name in complaint and "3 replicas (loss=saturating, seeds 0 to 2)" in complaint
    lost = part == "cohorts"
    assert (f"{3 if lost else 6} of 6 planned replicas" in text) and (text.count("So far, with 3 of 6") == lost)
    assert sorted(summary["missing_replicas"]) == (sorted(cohort.replicas) if lost else [])
    assert len(load_results(ledger.directory)) == (3 if lost else 6)


@pytest.mark.parametrize("part", ["history", "samples"])
def test_figures_are_drawn_of_what_is_left(unlaid, unprinted, small, copy_of: Make, tmp_path: Path, part: str) -> None:
    ledger = copy_of(small)
    for path in (ledger.directory / part).iterdir():
        path.write_bytes(b"not ours")
    text = compile_report(ledger, tmp_path / "report").read_text()
    assert "![Final scores](scores.png)" in text and text.count("**Incomplete.**") == 1


LOSSES = ["non_saturating", "saturating"]
SHAPES = {
    "one variant, one seed": ({}, 1),
    "one factor, two seeds": ({"loss": LOSSES}, 2),
    "a single level": ({"loss": ["saturating"], "lr_ratio": [1]}, 3),
    "four factors": ({"loss": LOSSES, "lr_ratio": [0.5, 1], "batch_size": [32], "beta1": [0]}, 2),
    "lists as levels": ({"loss": ["non_saturating"], "generator_hidden": [[32, 32], [64]]}, 3),
}


def test_one_seed_of_several_variants_has_no_interval_anywhere(unprinted, make_ledger: Make, tmp_path: Path) -> None:
    """Variants are no repetitions: a rate and a mean over four of them say nothing of chance."""
    factors = {"loss": LOSSES, "lr_ratio": [0.5, 1]}
    ledger = make_ledger(tmp_path / "run", factors=factors, seeds=1, failing=0.0)
    text = compile_report(ledger, tmp_path / "report").read_text()
    number = r"[−+-]?[\d.,]+(?:e-?\d+)?"
    assert not re.findall(rf"\({number}(?: %)?(?: to |–){number}", text)
    assert re.search(r"\| \d/1 +\|", text) and re.search(r"\| \d/2 +\|", text)  # of variants, and of levels
    assert "95 %" not in text and "no interval can be given" in text.split("\n\n")[2]


@pytest.mark.parametrize(("shape", "failing"), [*((s, 0.0) for s in SHAPES), ("one factor, two seeds", 1.0)])
def test_a_study_of_any_shape_compiles(unlaid, make_ledger: Make, tmp_path: Path, shape: str, failing: float) -> None:
    factors, seeds = SHAPES[shape]
    ledger = make_ledger(tmp_path / "run", factors=factors, seeds=seeds, failing=failing)
    evidence = gather(ledger)
    text = compile_evidence(ledger, tmp_path / "report", evidence).read_text()
    # Three pairs of seeds give no p below 0.25: whatever they look like, nothing is better than anything.
    assert "scores better" not in text and "scores worse" not in text and "**yes**" not in text
    said = answer(evidence)
    assert ("interval can be given" in said) == (seeds == 1) and ("Failed: " in said) == (failing == 1)
    words = re.findall(r"[\w.]+", text)
    assert not {"nan", "NaN", "inf", "−inf", "<NA>"} & set(words)
    assert "| None" not in text
