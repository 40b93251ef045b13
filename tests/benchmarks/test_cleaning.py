"""Only what was shown is removed, nothing that may be of use is shown unasked, and no other process is disturbed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.machine.lock import locked
from benchmarks.upkeep import cleanable, cleaning, integrity
from gan.errors import InputError
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.study import compile_report

from .kept import FOREIGN, LITTER, contents, make_run, write
from .typed import Ganbench


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of which the first is unfinished and full of what was left behind; a foreign folder; the mirror."""
    runs = tmp_path_factory.mktemp("template")
    ledger = make_run(runs, unfinished=1)
    recorded, _, waiting = (cohort["id"] for cohort in ledger.plan()["cohorts"])
    write(ledger.directory, [place for kind in LITTER for place in LITTER[kind]])
    write(ledger.directory, [f"checkpoints/{recorded}/0.safetensors", f"checkpoints/{waiting}/0.safetensors"])
    write(ledger.directory, FOREIGN)
    make_run(runs, "other", "smoke")
    write(runs, ["mlflow.db", "mlartifacts/1/x.png", "mine/laptop/.x.123.tmp"])
    return runs


@pytest.fixture
def runs(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "runs")


@pytest.mark.parametrize("what", [(), *((kind,) for kind in cleanable.KINDS), tuple(cleanable.KINDS)], ids=str)
def test_exactly_what_was_shown_is_removed(runs: Path, what: tuple[str, ...]) -> None:
    before = contents(runs)
    shown = cleaning.survey(runs, what=what)
    assert contents(runs) == before  # looking writes nothing
    assert {part.kind for part in shown.parts} <= set(what or cleanable.DEFAULT)
    files = {f.path.relative_to(runs).as_posix(): f.size for part in shown.parts for f in part.files}
    done = cleaning.remove(shown)
    after = contents(runs)
    assert {name: before[name] for name in before if name not in files} == after
    freed = sum(len(content) for name, content in before.items() if name not in after)
    assert freed == shown.size == done.size == sum(files.values())
    assert not done.failed and all(f"made/laptop/{place}" in after for place in FOREIGN)
    assert {"mlflow.db", "mlartifacts/1/x.png", "mine/laptop/.x.123.tmp"} <= set(after)
    assert cleaning.survey(runs, what=what).parts == []


@pytest.mark.parametrize("kind", LITTER)
def test_what_was_left_behind_is_found_by_its_kind(runs: Path, kind: str) -> None:
    (part,) = cleaning.survey(runs, what=[kind]).parts
    found = sorted(file.path.relative_to(part.directory).as_posix() for file in part.files)
    assert found == sorted(LITTER[kind]) and part.directory == runs / "made" / "laptop"


def test_a_folder_that_becomes_empty_goes_and_those_of_a_run_stay(runs: Path) -> None:
    run = runs / "made" / "laptop"
    (run / ".report.00000000.99.tmp").mkdir()  # killed before anything was drawn
    shown = cleaning.survey(runs)
    found = [f.path for part in shown.parts for f in part.files]
    assert (run / ".report.00000000.99.tmp") not in found  # may be in use
    write(run, [".report.00000000.99.tmp/x"])
    (run / ".report.00000000.99.tmp" / "x").unlink()
    os.utime(run / ".report.00000000.99.tmp", (1e9, 1e9))
    cleaning.remove(cleaning.survey(runs))
    assert {path.name for path in run.glob(".report*")} == {".report-mine"}
    assert not (run / "report" / ".untuned.abcd_fgh.98.tmp").exists()
    assert all((run / name).is_dir() for name in ("cohorts", "history", "samples", "weights", "digests", "report"))


def test_a_report_that_is_being_rendered_is_not_touched(runs: Path) -> None:
    write(runs / "made/laptop", [".report.a1b2c3d4.99.tmp/just_now.png"], age=1.0)
    (part,) = cleaning.survey(runs, what=["temporary"]).parts
    assert not [file for file in part.files if ".report.a1b2c3d4.99.tmp" in file.path.parts]


class TestCheckpoints:
    """Those that training may go on from are kept unless they are asked for."""

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Ledger:
        ledger = make_run(tmp_path, unfinished=1)
        plan = ledger.plan()
        plan["retired"] = [{**plan["cohorts"][0], "id": "putby", "replicas": ["later"]}]
        ledger.write_json("plan.json", plan)
        write(ledger.directory, [f"checkpoints/{id}/1.safetensors" for id in ("putby", "piece")])
        write(ledger.directory, [f"checkpoints/{cohort['id']}/0.safetensors" for cohort in plan["cohorts"]])
        return ledger

    def found(self, ledger: Ledger, kind: str) -> set[str]:
        parts = cleaning.survey(ledger.directory.parent.parent, what=[kind]).parts
        return {file.path.parent.name for part in parts for file in part.files}

    def test_recorded_cohorts_need_none(self, ledger: Ledger) -> None:
        recorded, other, waiting = (cohort["id"] for cohort in ledger.plan()["cohorts"])
        assert self.found(ledger, "checkpoints") == {recorded, other}
        # What the plan only put by may be asked for again, and what it does not know may be a piece of a cohort.
        assert self.found(ledger, "unfinished") == {waiting, "putby", "piece"}

    def test_pieces_are_of_no_use_once_the_plan_is_done(self, ledger: Ledger) -> None:
        plan = ledger.plan()
        last = plan["cohorts"].pop()
        plan["replicas"] = [replica for replica in plan["replicas"] if replica["id"] not in last["replicas"]]
        ledger.write_json("plan.json", plan)
        assert self.found(ledger, "unfinished") == {"putby"}
        assert {"piece", last["id"]} < self.found(ledger, "checkpoints")

    def test_damaged_rows_do_not_count_as_recorded(self, ledger: Ledger) -> None:
        cohort = ledger.plan()["cohorts"][0]["id"]
        ledger.file("cohorts", cohort).write_bytes(b"not ours")
        assert cohort in self.found(ledger, "unfinished")

    def test_without_a_plan_all_may_be_of_use(self, ledger: Ledger) -> None:
        (ledger.directory / "plan.json").rename(ledger.directory / "plan.json.set-aside-1")
        assert {"piece", "putby"} <= self.found(ledger, "unfinished")

    def test_a_damaged_plan_leaves_the_run_out(self, ledger: Ledger) -> None:
        (ledger.directory / "plan.json").write_text("not ours")
        found = cleaning.survey(ledger.directory.parent.parent)
        assert found.parts == [] and len(found.left) == 1 and "plan.json" in found.left[0]


def test_a_run_at_work_is_left_out(runs: Path) -> None:
    run = runs / "made" / "laptop"
    with locked(run):
        found = cleaning.survey(runs, what=["runs"])
    assert [part.directory for part in found.parts] == [runs / "other" / "smoke"]
    assert len(found.left) == 1 and str(run) in found.left[0] and "another process" in found.left[0]


def test_a_run_that_begins_while_a_person_thinks_is_left_alone(runs: Path) -> None:
    shown, before = cleaning.survey(runs, what=["runs"]), contents(runs / "made")
    with locked(runs / "made" / "laptop"):
        done = cleaning.remove(shown)
    assert contents(runs / "made") == before
    assert not (runs / "other").exists() and "another process" in done.left[0]


def test_what_changes_while_a_person_thinks_stays(runs: Path) -> None:
    shown = cleaning.survey(runs, what=["set-aside"])
    changed = shown.parts[0].files[0].path
    changed.write_bytes(b"other content")
    done = cleaning.remove(shown)
    assert changed.read_bytes() == b"other content"
    assert len(done.parts[0].files) == len(shown.parts[0].files) - 1 and str(changed) in done.left[0]


def test_nothing_behind_a_link_is_removed(runs: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere", "linked")
    write(tmp_path / "elsewhere/linked/laptop", ["cohorts/.x.parquet.12.tmp"])
    (runs / "linked").symlink_to(tmp_path / "elsewhere/linked")
    run = runs / "other" / "smoke"
    shutil.move(run / "weights", tmp_path / "elsewhere/weights")
    (run / "weights").symlink_to(tmp_path / "elsewhere/weights")
    (run / ".report.abcdefgh.99.tmp").symlink_to(tmp_path / "elsewhere/weights")
    (run / "samples" / "link.safetensors").symlink_to(tmp_path / "elsewhere/linked/laptop/plan.json")
    before = contents(tmp_path / "elsewhere")
    for what in (list(cleanable.DEFAULT), ["weights"], ["runs"]):
        done = cleaning.remove(cleaning.survey(runs, what=what))
        assert any("linked" in line and "link" in line for line in cleaning.survey(runs, what=what).left)
        assert not done.failed and contents(tmp_path / "elsewhere") == before
    assert (run / "weights").is_symlink() and (run / "samples" / "link.safetensors").is_symlink()


@pytest.mark.parametrize("after", [0, 1, 5, 11, 14])
def test_a_run_half_removed_is_found_and_removed_again(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, unfinished=1)
    unlink, left = Path.unlink, [after]

    def killed(path: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        cleaning.remove(cleaning.survey(tmp_path, what=["runs"]))
    monkeypatch.undo()
    run = Ledger(tmp_path / "made" / "laptop")
    assert integrity.mend(run) == []  # what is left is sound: it can be resumed, too
    cleaning.remove(cleaning.survey(tmp_path, what=["runs"]))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_were_cleaned_away_cost_no_training(tmp_path: Path) -> None:
    ledger = make_run(tmp_path)
    cleaning.remove(cleaning.survey(tmp_path, what=["weights"]))
    assert not list((ledger.directory / "weights").iterdir())
    assert integrity.mend(ledger) == [] and len(ledger.finished_cohorts()) == 2


def test_a_report_compiles_to_the_same_bytes_after_cleaning(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pictures(*_: object) -> Iterator[Picture]:
        yield Picture("scores.png", "Scores", "Nothing.", Figure(figsize=(1, 1)))

    monkeypatch.setattr("reports.figures.overview.pictures", pictures)
    ledger = Ledger(runs / "other" / "smoke")
    write(ledger.directory, [place for kind in LITTER for place in LITTER[kind]])
    compile_report(ledger, runs / "before")
    cleaning.remove(cleaning.survey(runs, what=[kind for kind in cleanable.KINDS if kind != "runs"]))
    compile_report(ledger, runs / "after")
    assert contents(runs / "before") == contents(runs / "after")


def test_downloads_that_were_cut_short_are_found(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    write(tmp_path / "data", [".download-abcdefgh/MNIST/raw/t10k.gz", "MNIST/raw/t10k.gz", ".download-notes"])
    write(tmp_path / "data", [".download-12345678/MNIST/raw/t10k.gz"], age=1.0)  # under way
    write(tmp_path / "cache", ["data/0123456789abcdef/MNIST/raw/tmpabcd_123", "data/0123456789abcdef/MNIST/raw/t10k"])
    shown = cleaning.survey(tmp_path / "runs", downloads=[tmp_path / "data", tmp_path / "cache", tmp_path / "none"])
    done = cleaning.remove(shown)
    assert [part.kind for part in done.parts] == ["downloads", "downloads"]
    left = ["data/.download-12345678/MNIST/raw/t10k.gz", "data/.download-notes", "data/MNIST/raw/t10k.gz"]
    assert list(contents(tmp_path)) == ["cache/data/0123456789abcdef/MNIST/raw/t10k", *left]
    assert not (tmp_path / "data" / ".download-abcdefgh").exists()


def test_what_cannot_be_removed_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    shown = cleaning.survey(runs)
    monkeypatch.setattr(Path, "unlink", refuse)
    done = cleaning.remove(shown)
    assert done.parts == [] and len(done.failed) == sum(len(part.files) for part in shown.parts)


class TestCommandLine:
    """What a person sees and is asked."""

    def test_it_shows_asks_and_frees(self, ganbench: Ganbench, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before, asked = contents(runs), list[str]()

        def confirm(question: str, **_: object) -> bool:
            asked.append(question)
            return len(asked) > 1

        monkeypatch.setattr("typer.confirm", confirm)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        said = ganbench("clean")
        assert said.code == 0 and "Nothing was removed" in said.out and contents(runs) == before
        said = ganbench("clean")
        assert said.code == 0 and "freed" in said.out and contents(runs) != before
        assert all(word in said.out for word in ("temporary", "set-aside", "checkpoints", "Lost with it"))
        shown = before.keys() - contents(runs).keys()
        assert f"{sum(len(before[name]) for name in shown)} bytes in {len(shown)} files freed" in said.out
        assert asked[0] == asked[1] and "bytes" in asked[0]
        again = ganbench("clean")
        assert again.code == 0 and "Nothing to free" in again.out and len(asked) == 2

    def test_without_a_terminal_it_refuses(self, ganbench: Ganbench, runs: Path) -> None:
        before = contents(runs)
        said = ganbench("clean")
        assert said.code == 2 and "--yes" in said.err and contents(runs) == before
        assert ganbench("clean", "--json").code == 2
        assert ganbench("clean", "--dry-run").code == 0 and contents(runs) == before
        assert ganbench("clean", "--yes").code == 0 and contents(runs) != before

    def test_a_script_reads_what_was_freed(self, ganbench: Ganbench, runs: Path) -> None:
        words = ("clean", "other", "--what", "weights", "--json")
        shown, done = (json.loads(ganbench(*words, flag).out) for flag in ("--dry-run", "--yes"))
        assert shown["dry_run"] and not done["dry_run"]
        assert shown["parts"] == done["parts"] and shown["bytes"] == done["bytes"] > 0
        assert [part["directory"] for part in done["parts"]] == ["runs/other/smoke"]
        assert json.loads(ganbench(*words, "--yes").out)["parts"] == []

    def test_a_scale_and_a_name_choose(self, runs: Path) -> None:
        assert cleaning.survey(runs, ["other"], "smoke", ["weights"]).parts != []
        assert cleaning.survey(runs, [], "smoke", ["set-aside"]).parts == []
        assert cleaning.survey(runs, ["all"], "full", ["weights"]).parts == []
        with pytest.raises(InputError, match="not run yet"):
            cleaning.survey(runs, ["gaussian"])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--what", "weight"], "did you mean 'weights'"),
            (["--scale", "smok"], "did you mean 'smoke'"),
            (["othr"], "othr"),
            (["--runs-dir", "nowhere"], "nowhere: no such folder"),
        ],
        ids=str,
    )
    def test_a_typing_error_exits_2(self, ganbench: Ganbench, runs: Path, words: list[str], said: str) -> None:
        before = contents(runs)
        answer = ganbench("clean", "--yes", *words)
        assert answer.code == 2 and said in answer.err and len(answer.err.splitlines()) == 1
        assert contents(runs) == before
