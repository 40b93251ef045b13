"""The report on tuning as files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from gan.errors import InputError
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.index import compile_index
from reports.pages.tuning import compile_tuning
from reports.study.evidence import Evidence, gather
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
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (folder, again)]
    assert contents[0].keys() == contents[1].keys()
    assert [name for name, content in contents[0].items() if contents[1][name] != content] == []


def test_each_grid_is_gathered_once(run: Ledger, tmp_path: Path, undrawn, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[Path] = []

    def counting(ledger: Ledger) -> Evidence:
        gathered.append(ledger.directory)
        return gather(ledger)

    for module in ("reports.tuning.evidence", "reports.tuning.grids", "reports.pages.study"):
        monkeypatch.setattr(f"{module}.gather", counting)
    compile_tuning(run, tmp_path / "report")
    assert gathered == [run.directory, run.tuned().directory]


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


def test_the_report_answers_first_leaves_no_gap_and_stands_in_the_index(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["headline"] in text.split("## ")[0] and "ranking" in summary["headline"]
    assert "ncomplete" not in text and not summary["incomplete"] and "\n\n\n" not in text
    assert "nan" not in text.lower().split() and "None" not in text
    (line,) = (i for i in compile_index(folder.parent).read_text().splitlines() if i.startswith("| [made]"))
    assert "tuning each variant with the same 6 trials" in line and "2031-05-06" in line and "`feedbee`" in line


def hopeless(levels: Levels) -> bool:
    return levels["loss"] == "saturating"


SAID: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "on the real line there are no data to hold out": (
        {"seeds": 8},
        [
            "each variant was searched once, and another search might have ended elsewhere",
            "a failed replica counts as 1, and so does any that scores worse",
            "nothing here speaks of data",
            "test against validation latents, winners",
            "In any order",
            "learns from earlier trials",
            "over 8 of the study's own seeds, and was not chosen; a trial's is over 4 validation seeds",
        ],
        ["test data", "validation data", "learned of the validation", "no interval over seeds"],
    ),
    "digits have images, and a random sampler does not learn": (
        {"sampler": "random", "target": {"name": "digits"}},
        ["300 validation images are a set of their own"],
        ["latents, winners", "learns from earlier trials", "in any order"],
    ),
    "a variant that was not tuned is marked": (
        {"pruning": "diverged", "hopeless": hopeless},
        ["| saturating (not tuned) ", "*Not tuned*: no trial was seen to its end"],
        [],
    ),
    "an unfinished study is reported as far as it goes": (
        {"retrained": False},
        [
            "with 3 seeds no interval over seeds here holds what it should more than about 75 %",
            "**Incomplete.** Nothing has been retrained",
            "`tuned/`: no replica",
        ],
        ["[tuned](tuned/report.md)"],
    ),
}
"""What a tuned study is like, what its report says, and what it does not say."""


@pytest.mark.parametrize("case", SAID)
def test_a_report_says_what_its_numbers_are_and_are_not(undrawn, tmp_path: Path, case: str) -> None:
    settings, said, unsaid = SAID[case]
    ledger = write_tuned(tmp_path / "run", FEW, **{"seeds": 3, "trials": 4, **settings})
    text = " ".join(compile_tuning(ledger, tmp_path / "report").read_text().split())
    assert [phrase for phrase in said if phrase not in text] == []
    assert [phrase for phrase in unsaid if phrase.lower() in text.lower()] == []
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["incomplete"] == bool(summary["missing"]) == ("retrained" in settings)
    assert (tmp_path / "report" / "tuned").exists() == (not summary["incomplete"])


def test_a_lost_cohort_is_named_and_a_damaged_record_leaves_the_former_report(undrawn, tmp_path: Path) -> None:
    ledger = write_tuned(tmp_path / "run", FEW, seeds=3, trials=4)
    lost = next((ledger.tuned().directory / "cohorts").iterdir())
    lost.write_bytes(b"torn")
    text = (report := compile_tuning(ledger, tmp_path / "report")).read_text()
    assert f"tuned grid: `cohorts/{lost.name}`" in text and "tuned grid: 3 of loss=" in text
    assert "leaves open whether their order changes" in text
    (ledger.directory / "tuning.json").write_text("{")
    with pytest.raises(InputError, match=r"tuning\.json"):
        compile_tuning(ledger, tmp_path / "report")
    assert report.read_text() == text


GONE = {"lost": lambda *_: 1.0, "failing": 9.0}
CASES = {
    "four variants": {"trials": 6, "second": "failure_rate", "failing": 0.1},
    "one variant": {"factors": {"loss": ["saturating"]}, "trials": 6},
    "one trial": {"factors": {}, "trials": 1, "seeds": 1},
    "all failed": {"factors": FEW, "seeds": 3, "trials": 6, "second": "failure_rate", **GONE},
    "pruned": {"trials": 8, "pruning": "wilcoxon", "retrained": False},
    "many variants": {"factors": {"lr_ratio": [0.1, 0.2, 0.5, 1, 2, 5, 10]}, "seeds": 3, "trials": 3},
}

LARGE = ("many variants", "four variants")


@pytest.mark.usefixtures("style")
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case in LARGE else []) for case in CASES]
)
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
    ended = [t for search in found.tuning.searches.values() for t in search.finished]
    panel = named(tuning_pictures(found), "trials.png").figure.axes[0]
    crosses = [c for c in panel.collections if len(c.get_paths()[0]) == 4]  # a cross has two strokes, a dot a circle
    assert len(panel.collections) == len(ended)
    assert len(crosses) == sum(not t.scored for t in ended) > 0
