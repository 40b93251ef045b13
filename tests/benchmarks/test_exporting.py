"""An archive holds what the ledger holds, to the last digit, and explains itself."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmarks.upkeep import exporting
from benchmarks.upkeep.exporting import ExportOptions, export
from gan.model.step import METRICS
from gan.variant import FIELDS
from reports.export import columns
from reports.export.archive import archive
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.study import compile_report
from reports.pages.tuning import compile_tuning

from ..reports.tuned import write_tuned
from ..typed import Ganbench
from .kept import contents, make_run
from .mirroring import make_plan, record_of


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """One empty figure in place of all."""

    def pictures(*_: object) -> Iterator[Picture]:
        yield Picture("scores.png", "Scores", "Nothing.", Figure(figsize=(1, 1)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.figures.overview.pictures", pictures)
        patch.setattr("reports.tuning.figures.tuning_pictures", pictures)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Path:
    """A run directory with its report."""
    ledger = make_run(tmp_path_factory.mktemp("runs"))
    compile_report(ledger, ledger.directory / "report")
    return ledger.directory


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Ledger:
    return Ledger(shutil.copytree(made, tmp_path / "runs/made/laptop"))


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def table(content: bytes, name: str) -> pd.DataFrame:
    if name.endswith("parquet"):
        return pd.read_parquet(io.BytesIO(content))
    return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])


def same(one: pd.Series, other: pd.Series) -> bool:
    """Say whether two columns hold the same, bit for bit; nothing is "" in the ledger and empty in a CSV."""
    if pd.api.types.is_numeric_dtype(other) and not pd.api.types.is_bool_dtype(other):
        return np.array_equal(
            one.to_numpy(float, na_value=np.nan), other.to_numpy(float, na_value=np.nan), equal_nan=True
        )
    return one.fillna("").astype(str).tolist() == other.fillna("").astype(str).tolist()


@pytest.fixture(scope="module", params=exporting.FORMATS)
def whole(request: pytest.FixtureRequest, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """All of the run, as it lies in an archive of each format."""
    path = tmp_path_factory.mktemp("whole") / "made.zip"
    (done,) = export([Ledger(made)], path, ExportOptions(request.param, samples=True, weights=True))
    members = read(path)
    assert done.incomplete == [] and done.files == len(members) and done.bytes == path.stat().st_size
    return Exports(path, request.param, members, Ledger(made))


class Exports(NamedTuple):
    path: Path
    format: str
    members: dict[str, bytes]
    ledger: Ledger

    def table(self, name: str) -> pd.DataFrame:
        return table(self.members[f"made-laptop/{name}.{self.format}"], self.format)


def test_tables_read_back_equal_to_the_ledger(whole: Exports) -> None:
    results = whole.table("results").sort_values("replica", ignore_index=True)
    wanted = whole.ledger.results().drop(columns=list(exporting.NOT_RESULTS))
    assert set(wanted) < set(results) and len(results) == len(wanted) == 6
    for name in wanted:
        assert same(results[name], wanted[name]), name
    assert results["verdict"].notna().all() and "diverged" in set(results["verdict"])
    history = whole.table("history")
    assert list(history) == ["replica", "step", "metric", "value"]
    for name in history:
        assert same(history[name], whole.ledger.history()[name]), name


def test_results_and_verdicts_are_those_of_the_report(whole: Exports) -> None:
    report = table(whole.members["made-laptop/report/results.csv"], "csv")
    ours = table(whole.table("results").to_csv(index=False).encode(), "csv")
    assert list(ours)[: len(report.columns)] == list(report)
    pd.testing.assert_frame_equal(ours[list(report)], report, rtol=1e-6)


def test_the_same_ledger_gives_the_same_bytes_whatever_lies_in_its_report(whole: Exports, tmp_path: Path) -> None:
    moved = Ledger(shutil.copytree(whole.ledger.directory, tmp_path / "moved/made/laptop"))
    shutil.rmtree(moved.directory / "report")
    (moved.directory / "report").mkdir()
    (moved.directory / "report" / "mine.txt").write_text("not for everybody")
    before = contents(moved.directory)
    export([moved], tmp_path / "other.zip", ExportOptions(whole.format, samples=True, weights=True))
    assert contents(moved.directory) == before  # the run may be somebody else's
    assert (tmp_path / "other.zip").read_bytes() == whole.path.read_bytes()
    with zipfile.ZipFile(whole.path) as file:
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert file.namelist() == sorted(file.namelist())


def test_two_runs_with_equal_results_differ_in_their_provenance_alone(ledger: Ledger, tmp_path: Path) -> None:
    export([ledger], tmp_path / "one.zip", ExportOptions())
    provenance = ledger.provenance().to_json()
    provenance["sessions"][0] |= {"started": "2032-01-01T00:00:00+00:00", "wall_seconds": 3.5}
    ledger.write_json("provenance.json", provenance)
    path = next((ledger.directory / "cohorts").iterdir())
    rows = pd.read_parquet(path)
    rows.assign(train_seconds=9.75).to_parquet(path, index=False)
    export([ledger], tmp_path / "other.zip", ExportOptions())
    one, other = read(tmp_path / "one.zip"), read(tmp_path / "other.zip")
    different = {name for name in one if one[name] != other[name]}
    assert one.keys() == other.keys()
    assert different == {"made-laptop/provenance.json", "made-laptop/report/provenance.json"}


def test_arrays_are_those_of_the_ledger_and_need_no_pickle(whole: Exports) -> None:
    checked = 0
    for part, theirs in (("samples", whole.ledger.samples), ("weights", whole.ledger.weights)):
        for replica in whole.ledger.results()["replica"]:
            wanted, name = theirs(replica), f"made-laptop/{part}/{replica}.npz"
            assert (name in whole.members) == bool(wanted)
            if wanted:
                with np.load(io.BytesIO(whole.members[name]), allow_pickle=False) as found:
                    assert {key: found[key].tobytes() for key in found} == {k: v.tobytes() for k, v in wanted.items()}
                    checked += 1
    assert checked == 5 + 6  # the one that diverged generated nothing


def test_the_readme_names_every_file_column_and_metric(whole: Exports) -> None:
    readme = whole.members["made-laptop/README.md"].decode()
    results, history = whole.table("results"), whole.table("history")
    variants = table(whole.members["made-laptop/variants.csv"], "csv")
    for name in [*results, *variants, *history["metric"].unique()]:
        (said,) = re.findall(rf"^\| `{re.escape(name)}` \| (.+) \| .+ \|$", readme, flags=re.MULTILINE)
        assert said != "one of the study's own", name
    for name in whole.members.keys() - {"made-laptop/README.md"}:
        place = re.sub(r"/[0-9a-f]{16}\.npz$", "/<replica>.npz", name.removeprefix("made-laptop/"))
        assert f"`{place}`" in readme or place.startswith("report/")
    for said in ("Which = loss?", "ganbench run made --scale laptop", "feedbee", "torch 2.14.0", "MIT"):
        assert said in readme
    assert "Incomplete" not in readme and "{{" not in readme and "\n\n\n" not in readme


READER = """
import sys, zipfile, json
import pandas as pd
with zipfile.ZipFile(sys.argv[1]) as file:
    with file.open("made-laptop/results.csv") as member:
        results = pd.read_csv(member)
    with file.open("made-laptop/history.csv") as member:
        history = pd.read_csv(member)
    plan = json.loads(file.read("made-laptop/plan.json"))
assert not {"benchmarks", "gan", "reports", "torch"} & sys.modules.keys()
print(len(results), len(history), plan["study"]["name"])
"""


def test_the_standard_library_and_pandas_are_enough_to_read_it(ledger: Ledger, tmp_path: Path) -> None:
    export([ledger], tmp_path / "made.zip", ExportOptions())
    words = [sys.executable, "-c", READER, str(tmp_path / "made.zip")]
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "72", "made"]


def test_every_setting_and_metric_of_ours_has_a_meaning() -> None:
    names = [*(f"variant/{name}" for name in FIELDS), *(f"param/{name}" for name in FIELDS)]
    said = [
        *columns.of_results(names[: len(FIELDS)], record_of(make_plan()), {}),
        *columns.of_trials(names[len(FIELDS) :], []),
    ]
    said += columns.of_metrics([*METRICS, "epoch/loss/generator", "score/ks", "gradient/generator/2"])
    assert [name for name, text, _ in said if "one of the study's own" in text] == []


def damage(ledger: Ledger, part: str) -> str:
    path = ledger.file(part, ledger.finished_cohorts()[0])
    path.write_bytes(path.read_bytes()[:60])
    return f"{part}/{path.name}"


@pytest.mark.parametrize("part", ["cohorts", "history", "samples", "weights"])
def test_a_damaged_file_is_named_and_the_rest_is_there(ledger: Ledger, tmp_path: Path, part: str) -> None:
    place = damage(ledger, part)
    (done,) = export([ledger], tmp_path / "made.zip", ExportOptions(samples=True, weights=True))
    members = read(tmp_path / "made.zip")
    assert any(place in line for line in done.incomplete)
    readme = members["made-laptop/README.md"].decode()
    assert "Incomplete" in readme and place in readme
    assert len(table(members["made-laptop/results.csv"], "csv")) == (3 if part == "cohorts" else 6)
    replicas = table(members["made-laptop/history.csv"], "csv")["replica"].nunique()
    assert replicas == (3 if part in ("cohorts", "history") else 6)


def test_weights_that_were_cleaned_away_are_said_to_be_missing_only_where_they_are_asked_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    shutil.rmtree(ledger.directory / "weights")
    (without,) = export([ledger], tmp_path / "one.zip", ExportOptions())
    (asked,) = export([ledger], tmp_path / "other.zip", ExportOptions(weights=True))
    assert without.incomplete == [] and len(asked.incomplete) == 2
    assert all("weights/" in line and "not there" in line for line in asked.incomplete)


def test_replicas_that_the_plan_no_longer_has_are_left_out(ledger: Ledger, tmp_path: Path) -> None:
    plan = ledger.plan().to_json()
    gone = plan["cohorts"].pop()
    plan["replicas"] = [replica for replica in plan["replicas"] if replica["id"] not in gone["replicas"]]
    ledger.write_json("plan.json", plan)
    export([ledger], tmp_path / "made.zip", ExportOptions(samples=True))
    members = read(tmp_path / "made.zip")
    assert len(table(members["made-laptop/results.csv"], "csv")) == 3
    assert set(table(members["made-laptop/history.csv"], "csv")["replica"]).isdisjoint(gone["replicas"])
    assert not any(replica in name for name in members for replica in gone["replicas"])


def test_a_replica_that_two_files_hold_is_there_once(ledger: Ledger, tmp_path: Path) -> None:
    cohort = ledger.finished_cohorts()[0]
    rows, history = ledger.results_of(cohort), ledger.history_of(cohort)
    for replica, piece in ((rows["replica"][0], "0"), (rows["replica"][1], "zz")):  # before it, and after it
        own = history[history["replica"] == replica]
        own = own.assign(value=own["value"] + 5)
        rows[rows["replica"] == replica].assign(ks=0.5).to_parquet(ledger.file("cohorts", piece), index=False)
        own.to_parquet(ledger.file("history", piece), index=False)
    export([ledger], tmp_path / "made.zip", ExportOptions())
    members = read(tmp_path / "made.zip")
    results = table(members["made-laptop/results.csv"], "csv").set_index("replica")
    assert len(results) == 6 and results.index[results["ks"] == 0.5].tolist() == [rows["replica"][0]]
    exported = table(members["made-laptop/history.csv"], "csv")
    assert len(exported) == 72
    assert set(exported["replica"][exported["value"] > 4]) == {rows["replica"][0]}  # the curve of the row that counts


def test_a_level_of_mixed_kinds_is_text_in_every_format(ledger: Ledger, tmp_path: Path) -> None:
    plan = ledger.plan().to_json()
    plan["study"]["factors"] = {"width": [0.5, "wide"]}
    plan["study"]["report"] |= {"factor": "width"}
    plan["levels"] = {name: {"width": level} for name, level in zip(plan["levels"], [0.5, "wide"], strict=True)}
    ledger.write_json("plan.json", plan)
    for format in exporting.FORMATS:
        export([ledger], tmp_path / f"{format}.zip", ExportOptions(format))
        results = table(read(tmp_path / f"{format}.zip")[f"made-laptop/results.{format}"], format)
        assert set(results["width"].astype(str)) == {"0.5", "wide"}


FEW = {"loss": ["non_saturating", "saturating"]}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Path:
    """A tuned study, whose search is a grid as well, with its report."""
    ledger = write_tuned(tmp_path_factory.mktemp("tuned") / "run", FEW, seeds=3, trials=4)
    for name in ("cohorts", "history", "samples", "plan.json", "references.json"):
        source, goal = ledger.tuned().directory / name, ledger.search().directory / name
        shutil.copytree(source, goal, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, goal)
    compile_tuning(ledger, ledger.directory / "report")
    return ledger.directory


@pytest.fixture
def tuned(searched: Path, tmp_path: Path) -> Ledger:
    return Ledger(shutil.copytree(searched, tmp_path / "runs/made/laptop"))


def test_of_a_tuned_study_the_search_and_the_winners_are_there(tuned: Ledger, tmp_path: Path) -> None:
    format = "parquet"  # in which every trial's settings must have one type
    (done,) = export([tuned], tmp_path / "made.zip", ExportOptions(format))
    members = read(tmp_path / "made.zip")
    assert done.incomplete == []
    for part, own in (("", tuned), ("search/", tuned.search()), ("tuned/", tuned.tuned())):
        results = table(members[f"made-laptop/{part}results.{format}"], format)
        wanted = own.results().set_index("replica").loc[results["replica"]].reset_index()
        assert len(results) == 6 and same(results["ks"], wanted["ks"])
    trials = table(members[f"made-laptop/trials.{format}"], format)
    recorded = tuned.tuning()["variants"]
    for variant, own in trials.groupby("variant"):
        found = recorded[str(variant)]["trials"]
        assert own["objective"].tolist() == [trial["values"][0] for trial in found]
        assert own["param/lr"].tolist() == [trial["params"]["lr"] for trial in found]
    assert json.loads(members["made-laptop/tuning.json"]) == tuned.tuning()
    assert {"made-laptop/report/tuned/report.md", "made-laptop/report/trials.csv"} < set(members)
    readme = members["made-laptop/README.md"].decode()
    for name in trials:
        assert f"| `{name}` |" in readme
    assert "one of the study's own" not in readme and "ganbench tune made" in readme


def test_a_search_of_which_nothing_is_left_is_named(tuned: Ledger, tmp_path: Path) -> None:
    shutil.rmtree(tuned.search().directory)
    (done,) = export([tuned], tmp_path / "made.zip", ExportOptions())
    assert any("search/" in line for line in done.incomplete)
    assert not [name for name in read(tmp_path / "made.zip") if "/search/" in name]


def test_an_archive_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "made.zip"
    path.write_bytes(b"the former")
    with pytest.raises(KeyboardInterrupt), archive(path) as opened:
        opened.add("a", b"content")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"the former" and list(tmp_path.iterdir()) == [path]
    with archive(path) as opened:
        opened.add("a", b"content")
    assert read(path) == {"a": b"content"} and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_export_left_of_this_archive_goes(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    left, stays = f".[made].zip.{gone.pid}.tmp", {f".other.zip.{gone.pid}.tmp", f".[made].zip.{os.getppid()}.tmp"}
    for name in (left, *stays):
        (tmp_path / name).touch()
    with archive(tmp_path / "[made].zip") as opened:
        opened.add("a", b"content")
    assert {path.name for path in tmp_path.iterdir()} == {"[made].zip", *stays}


# What a person types.


def test_one_archive_a_study_or_one_of_all(ganbench: Ganbench, made: Path, tmp_path: Path) -> None:
    for study in ("made", "other"):
        shutil.copytree(made, tmp_path / "runs" / study / "laptop")
    said = ganbench("export", "all")
    assert said.code == 0 and said.out.split() == ["made-laptop.zip", "other-laptop.zip"]
    (done,) = json.loads(ganbench("export", "made", "other", "--out", "both.zip", "--json").out)
    assert done["studies"] == ["made", "other"] and done["archive"] == "both.zip"
    both = read(tmp_path / "both.zip")
    assert both == read(tmp_path / "made-laptop.zip") | read(tmp_path / "other-laptop.zip")


def test_an_incomplete_study_is_exported_and_exits_1(ganbench: Ganbench, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", unfinished=1)
    (tmp_path / "made-laptop.zip").write_text("the former")
    said = ganbench("export", "made", "--force")
    assert said.code == 1 and "incomplete: 6 of 9 replicas" in said.err
    assert "Incomplete" in read(tmp_path / "made-laptop.zip")["made-laptop/README.md"].decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["made", "--format", "parket"], "did you mean 'parquet'"),
        (["mode"], "mode"),
        (["gaussian", "--scale", "smoke"], "not run yet at scale smoke"),
        (["made", "--out", "made.tar"], "ends in .zip"),
        (["made", "--out", "nowhere/made.zip"], "nowhere/made.zip"),
        (["made", "--out", "folder.zip", "--force"], "folder.zip"),
        (["made", "--out", "there.zip"], "--force"),
        (["empty"], "no replica has finished"),
    ],
    ids=str,
)
def test_what_cannot_be_exported_exits_2_and_writes_nothing(
    ganbench: Ganbench, ledger: Ledger, tmp_path: Path, words: list[str], said: str
) -> None:
    shutil.copytree(ledger.directory, tmp_path / "runs/empty/laptop", ignore=shutil.ignore_patterns("*.parquet"))
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "there.zip").write_text("the former")
    before = contents(tmp_path)
    answer = ganbench("export", *words)
    assert answer.code == 2 and said in answer.err and len(answer.err.splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("number", "code"), [(28, 1), (13, 2)])
def test_a_disk_that_is_full_or_closed_leaves_nothing(
    ganbench: Ganbench, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "it is so")

    monkeypatch.setattr("reports.export.archive.Archive.add", refuse)
    said = ganbench("export", "made")
    assert said.code == code and "it is so" in said.err and len(said.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
