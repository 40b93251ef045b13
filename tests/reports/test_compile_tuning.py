"""The report on tuning as files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from gan.errors import InputError
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.index import compile_index
from reports.pages.tuning import compile_tuning
from reports.tuning.effects import Findings
from reports.tuning.evidence import gather_tuning
from reports.tuning.figures import tuning_pictures

from .conftest import lay_nothing_out
from .made import by_name, clipped_texts, named
from .tuned import Levels, write_tuned

FEW = {"loss": ["non_saturating", "saturating"]}


def compiled(ledger: Ledger, out: Path) -> Path:
    """Compile a report whose own figures are drawn without a layout, and one empty figure in each report of a grid.

    What is asked of the grids' figures is asked in `test_report.py`.
    """

    def pictures(*_: object) -> Iterator[Picture]:
        yield Picture("scores.png", "Scores", "Nothing.", Figure(figsize=(1, 1)))

    with pytest.MonkeyPatch.context() as patch:
        lay_nothing_out(patch)
        patch.setattr("reports.figures.overview.pictures", pictures)
        return compile_tuning(ledger, out).parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    directory = tmp_path_factory.mktemp("tuned") / "run"
    return write_tuned(directory, FEW, seeds=8, trials=6, second="failure_rate", failing=0.1)


@pytest.fixture(scope="module")
def folder(run: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(run, tmp_path_factory.mktemp("reports") / "made")


def test_compiling_twice_gives_the_same_bytes(run: Ledger, folder: Path, tmp_path: Path) -> None:
    again = compiled(run, tmp_path / "again")
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_every_figure_is_shown_and_every_link_leads_somewhere(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert sorted(re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)) == sorted(p.name for p in folder.glob("*.png"))
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {"untuned/report.md", "tuned/report.md", "trials.csv", "results.csv"} < set(links)
    assert all((folder / link).exists() for link in links)


def test_times_and_seconds_stay_in_the_provenance(folder: Path) -> None:
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["core_seconds"] == {"untuned": 12.5, "search": 12.5, "tuned": 12.5}
    assert len(provenance["sessions"]) == 3 and {"untuned", "search", "tuned"} < set(provenance)
    for path in folder.iterdir():
        if path.is_file() and path.name != "provenance.json":
            content = path.read_bytes()
            assert not any(secret in content for secret in (b"2031-05-06", b"feedbee", b"12.5", b"/tmp")), path.name


def test_results_hold_both_grids_and_pair_by_seed(folder: Path, run: Ledger) -> None:
    table = pd.read_csv(folder / "results.csv")
    assert table["tuned"].dtype == bool and table["tuned"].sum() == len(table) / 2 == 16
    pairs = table.pivot(index=["variant", "seed"], columns="tuned", values="ks")
    assert pairs.notna().all(axis=None)
    assert set(table["replica"]) == {r.id for led in (run, run.tuned()) for r in led.plan().replicas}


def test_the_report_answers_first_and_leaves_no_gap(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["headline"] in text.split("## ")[0] and "ranking" in summary["headline"]
    assert "no interval over seeds" not in text  # eight are enough
    assert "ncomplete" not in text and not summary["incomplete"] and "\n\n\n" not in text
    assert "nan" not in text.lower().split() and "None" not in text


def test_the_index_lists_it_once_with_what_tuning_changed(folder: Path) -> None:
    text = compile_index(folder.parent).read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("| [made]"))
    assert "tuning each variant with the same 6 trials" in line and "2031-05-06" in line and "`feedbee`" in line


def test_what_a_number_is_not_is_said_once(folder: Path) -> None:
    text = " ".join((folder / "report.md").read_text().split())
    assert text.count("each variant was searched once, and another search might have ended elsewhere") == 1
    assert "a failed replica counts as 1, and so does any that scores worse" in text
    # On the real line there are no data to hold out.
    assert text.count("nothing here speaks of data") == 1
    for phrase in ("test data", "validation data", "learned of the validation"):
        assert phrase not in text
    assert "test against validation latents, winners" in text and "In any order" in text
    assert "learns from earlier trials" in text
    assert "over 8 of the study's own seeds, and was not chosen; a trial's is over 4 validation seeds" in text


def test_only_the_digits_and_mnist_speak_of_images_and_only_learning_samplers_of_order(undrawn, tmp_path: Path) -> None:
    target = {"name": "digits"}
    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4, sampler="random", target=target)
    text = " ".join(compile_tuning(ledger, tmp_path / "report").read_text().split())
    assert "300 validation images are a set of their own" in text and "latents, winners" not in text
    assert "learns from earlier trials" not in text and "in any order" not in text.lower()


def test_a_variant_that_was_not_tuned_is_marked(undrawn, tmp_path: Path) -> None:
    def hopeless(levels: Levels) -> bool:
        return levels["loss"] == "saturating"

    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4, pruning="diverged", hopeless=hopeless)
    text = compile_tuning(ledger, tmp_path / "report").read_text()
    assert "| saturating (not tuned) " in text and "*Not tuned*: no trial was seen to its end" in text


def test_an_unfinished_study_is_reported_as_far_as_it_goes(undrawn, tmp_path: Path) -> None:
    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4, retrained=False)
    text = compile_tuning(ledger, tmp_path / "report").read_text()
    assert "with 3 seeds no interval over seeds here holds what it should more than about 75 %" in " ".join(
        text.split()
    )
    assert "**Incomplete.** Nothing has been retrained" in text and "`tuned/`: no replica" in text
    assert not (tmp_path / "report" / "tuned").exists()
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["incomplete"] and summary["missing"] and summary["replicas"] == 6


def test_a_lost_cohort_of_the_tuned_grid_is_named(undrawn, tmp_path: Path) -> None:
    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4)
    lost = next((ledger.tuned().directory / "cohorts").iterdir())
    lost.write_bytes(b"torn")
    text = compile_tuning(ledger, tmp_path / "report").read_text()
    assert f"tuned grid: `cohorts/{lost.name}`" in text and "tuned grid: 3 of loss=" in text
    assert "leaves open whether their order changes" in text


def test_a_damaged_record_leaves_the_former_report(undrawn, tmp_path: Path) -> None:
    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4)
    before = compile_tuning(ledger, tmp_path / "report").read_bytes()
    (ledger.directory / "tuning.json").write_text("{")
    with pytest.raises(InputError, match=r"tuning\.json"):
        compile_tuning(ledger, tmp_path / "report")
    assert (tmp_path / "report" / "report.md").read_bytes() == before


GONE = {"lost": lambda *_: 1.0, "failing": 9.0}
CASES = {
    "four variants": {"trials": 6, "second": "failure_rate", "failing": 0.1},
    "one variant": {"factors": {"loss": ["saturating"]}, "trials": 6},
    "one trial": {"factors": {}, "trials": 1, "seeds": 1},
    "all failed": {"factors": FEW, "seeds": 3, "trials": 6, "second": "failure_rate", **GONE},
    "pruned": {"trials": 8, "pruning": "wilcoxon", "retrained": False},
    "many variants": {"factors": {"lr_ratio": [0.1, 0.2, 0.5, 1, 2, 5, 10]}, "seeds": 3, "trials": 3},
}


@pytest.mark.usefixtures("style")
@pytest.mark.parametrize("case", CASES)
def test_every_figure_keeps_its_texts_on_the_page(case: str, tmp_path: Path) -> None:
    found = Findings(gather_tuning(write_tuned(tmp_path / "run", **CASES[case])))
    pictures = by_name(tuning_pictures(found))
    expected = {"ranking.png", "budget.png", "trials.png"}
    assert expected <= set(pictures)
    assert ("front.png" in pictures) == ("second" in CASES[case])
    assert ("selection.png" in pictures) == CASES[case].get("retrained", True)
    for picture in pictures.values():
        assert clipped_texts(picture.figure) == [], picture.name


@pytest.mark.usefixtures("style")
def test_crosses_and_hollow_marks_count_the_trials_they_stand_for(tmp_path: Path) -> None:
    found = Findings(gather_tuning(write_tuned(tmp_path / "run", FEW, seeds=3, trials=20, failing=0.4)))
    ended = [t for search in found.tuning.searches.values() for t in search.ended]
    panel = named(tuning_pictures(found), "trials.png").figure.axes[0]
    crosses = [c for c in panel.collections if len(c.get_paths()[0]) == 4]  # a cross has two strokes, a dot a circle
    assert len(panel.collections) == len(ended)
    assert len(crosses) == sum(not t.scored for t in ended) > 0
