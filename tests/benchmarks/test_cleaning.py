"""Only what was shown is removed, nothing goes unasked, and no other process is disturbed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.machine.lock import locked
from benchmarks.upkeep import cleaning, integrity
from gan.errors import InputError
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.pages.study import compile_report

from ..typed import Ganbench
from .kept import CHECKPOINTS, FOREIGN, LITTER, contents, make_run, write

Clean = Callable[..., tuple[int, str, bool]]
"""Runs the command: how it exits, what it says, whether anything is gone."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of which the first is unfinished and full of what was left behind; a foreign folder; the mirror."""
    runs = tmp_path_factory.mktemp("template")
    write(make_run(runs, unfinished=1).directory, [*LITTER, *CHECKPOINTS, *FOREIGN])
    make_run(runs, "other", "smoke")
    write(runs, ["mlflow.db", "mlartifacts/1/x.png", "mine/laptop/.x.123.tmp"])
    return runs


@pytest.fixture
def runs(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "runs")


@pytest.mark.parametrize("what", [*((kind,) for kind in cleaning.KINDS), tuple(cleaning.KINDS)], ids=str)
def test_exactly_what_was_shown_is_removed(runs: Path, what: tuple[str, ...]) -> None:
    before = contents(runs)
    shown = cleaning.survey(runs, what=what)
    assert contents(runs) == before  # looking writes nothing
    assert {part.kind for part in shown.parts} == set(what)
    files = {f.path.relative_to(runs).as_posix(): f.size for part in shown.parts for f in part.files}
    done = cleaning.remove(shown)
    after = contents(runs)
    assert {name: before[name] for name in before if name not in files} == after
    freed = sum(len(content) for name, content in before.items() if name not in after)
    assert freed == shown.to_json()["bytes"] == done.to_json()["bytes"] == sum(files.values())
    assert not done.left and not done.failed and all(f"made/laptop/{place}" in after for place in FOREIGN)
    assert {"mlflow.db", "mlartifacts/1/x.png", "mine/laptop/.x.123.tmp"} <= set(after)
    assert cleaning.survey(runs, what=what).parts == []


def test_a_kind_is_what_its_name_says(runs: Path) -> None:
    run = runs / "made" / "laptop"
    parts = cleaning.survey(runs, ["made"]).parts
    found = {part.kind: {file.path.relative_to(run).as_posix() for file in part.files} for part in parts}
    assert found["checkpoints"] == set(CHECKPOINTS) and {*LITTER, *CHECKPOINTS, *found["weights"]} < found["runs"]
    assert {run / place for place in found["weights"]} == set((run / "weights").glob("*.safetensors"))
    cleaning.remove(cleaning.survey(runs, what=["checkpoints", "weights"]))
    assert {"plan.json", "cohorts", "weights", "log.txt"} < {path.name for path in run.iterdir()}
    assert not (run / "search" / "checkpoints" / "def").exists()  # a folder that became empty


def test_a_run_at_work_is_left_out(runs: Path) -> None:
    run, shown, before = runs / "made" / "laptop", cleaning.survey(runs, what=["runs"]), contents(runs / "made")
    with locked(run):
        found = cleaning.survey(runs, what=["runs"])
        done = cleaning.remove(shown)  # it began while a person was thinking
    assert [part.directory for part in found.parts] == [runs / "other" / "smoke"]
    for left in (found.left, done.left):
        assert len(left) == 1 and str(run) in left[0] and "another process" in left[0]
    assert contents(runs / "made") == before and not (runs / "other").exists()


def test_what_changes_while_a_person_thinks_stays(runs: Path) -> None:
    shown = cleaning.survey(runs, ["made"], what=["weights"])
    changed = shown.parts[0].files[0].path
    changed.write_bytes(b"other content")
    done = cleaning.remove(shown)
    assert changed.read_bytes() == b"other content"
    assert len(done.parts[0].files) == len(shown.parts[0].files) - 1 and str(changed) in done.left[0]


def test_nothing_behind_a_link_is_removed(runs: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere", "linked")
    write(tmp_path / "elsewhere/linked/laptop", CHECKPOINTS)
    (runs / "linked").symlink_to(tmp_path / "elsewhere/linked")
    run = runs / "other" / "smoke"
    shutil.move(run / "weights", tmp_path / "elsewhere/weights")
    for link in ("weights", ".report.abcdefgh.99.tmp", "checkpoints"):
        (run / link).symlink_to(tmp_path / "elsewhere/weights")
    (run / "samples" / "link.safetensors").symlink_to(tmp_path / "elsewhere/linked/laptop/plan.json")
    before = contents(tmp_path / "elsewhere")
    for what in (["checkpoints"], ["weights"], ["runs"]):
        shown = cleaning.survey(runs, what=what)
        assert any("linked" in line and "link" in line for line in shown.left)
        assert not cleaning.remove(shown).failed and contents(tmp_path / "elsewhere") == before
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
    assert integrity.repair(run) == []  # what is left is sound: it can be resumed, too
    cleaning.remove(cleaning.survey(tmp_path, ["made"], what=["runs"]))
    assert list(tmp_path.iterdir()) == []


def test_without_weights_nothing_is_trained_again_and_the_report_is_the_same(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pictures(*_: object) -> Iterator[Picture]:
        yield Picture("scores.png", "Scores", "Nothing.", Figure(figsize=(1, 1)))

    monkeypatch.setattr("reports.figures.overview.pictures", pictures)
    ledger = Ledger(runs / "other" / "smoke")
    compile_report(ledger, runs / "before")
    cleaning.remove(cleaning.survey(runs, what=["checkpoints", "weights"]))
    compile_report(ledger, runs / "after")
    assert contents(runs / "before") == contents(runs / "after") and not list((ledger.directory / "weights").iterdir())
    assert integrity.repair(ledger) == [] and len(ledger.finished_cohorts()) == 2


def test_what_cannot_be_removed_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    shown = cleaning.survey(runs, what=["checkpoints", "weights"])
    monkeypatch.setattr(Path, "unlink", refuse)
    done = cleaning.remove(shown)
    assert done.parts == [] and len(done.failed) == sum(len(part.files) for part in shown.parts)


@pytest.fixture
def clean(ganbench: Ganbench, runs: Path) -> Clean:
    def clean(*words: str) -> tuple[int, str, bool]:
        before = contents(runs)
        said = ganbench("clean", *words)
        return said.code, said.out + said.err, contents(runs) != before

    return clean


def test_it_shows_asks_and_frees(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr("typer.confirm", lambda question, **_: asked.append(question) or len(asked) > 1)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, said, gone = clean("--what", "checkpoints")
    assert code == 0 and "Nothing was removed" in said and not gone
    code, said, gone = clean("--what", "checkpoints")
    assert code == 0 and f"{len(CHECKPOINTS)} files of 0.000 MB freed" in said and gone
    assert "made/laptop: checkpoints" in said and "Lost with checkpoints: " in said
    assert asked[0] == asked[1] and f"{len(CHECKPOINTS)} files" in asked[0]
    code, said, gone = clean("--what", "checkpoints")
    assert code == 0 and "Nothing to free" in said and not gone and len(asked) == 2


def test_nothing_goes_that_was_not_chosen_and_agreed_to(clean: Clean) -> None:
    for words in ([], ["--dry-run"], ["--json"]):
        code, said, gone = clean(*words)
        assert code == 0 and all(kind in said for kind in cleaning.KINDS) and not gone
    assert clean("--what", "runs", "--yes", "--dry-run")[::2] == (0, False)
    refused = {("--what", "weights"): "--yes", ("--what", "weights", "--json"): "--yes", ("--yes",): "--what"}
    for words, expected in refused.items():
        code, said, gone = clean(*words)
        assert code == 2 and expected in said and not gone
    assert clean("--what", "weights", "--yes")[::2] == (0, True)


def test_a_script_reads_what_was_freed(ganbench: Ganbench, runs: Path) -> None:
    words = ("clean", "other", "--what", "weights", "--json")
    shown, done = (json.loads(ganbench(*words, flag).out) for flag in ("--dry-run", "--yes"))
    assert shown["dry_run"] and not done["dry_run"]
    assert shown["parts"] == done["parts"] and shown["bytes"] == done["bytes"] > 0
    assert [part["directory"] for part in done["parts"]] == ["runs/other/smoke"]
    assert json.loads(ganbench(*words, "--yes").out)["parts"] == []


def test_a_scale_and_a_name_choose(runs: Path) -> None:
    assert cleaning.survey(runs, ["other"], "smoke").parts != []
    assert {part.directory.name for part in cleaning.survey(runs, [], "smoke").parts} == {"smoke"}
    assert cleaning.survey(runs, ["all"], "full").parts == []
    for name, scale in (("gaussian", None), ("other", "full")):
        with pytest.raises(InputError, match="not run yet"):
            cleaning.survey(runs, [name], scale)


def test_a_typing_error_exits_2(clean: Clean) -> None:
    errors = {("--what", "weight"): "did you mean 'weights'", ("--scale", "smok"): "did you mean 'smoke'"}
    errors |= {("othr",): "othr", ("--runs-dir", "nowhere"): "nowhere: no such folder"}
    for words, expected in errors.items():
        code, said, gone = clean("--what", "runs", "--yes", *words)
        assert code == 2 and expected in said and len(said.splitlines()) == 1 and not gone
