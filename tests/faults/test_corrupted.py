"""Files that a disk or a hand spoiled: each is named and set aside, and the same command ends as if it had not been."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from reports.ledger.ledger import Ledger

from ..typed import Said
from . import inside
from .contents import Contents, contents_of, differences
from .damages import become_a_folder, empty, fill_with_text, flip, halve
from .inside import Engine, directory_of, ganbench, write_study


@dataclass(frozen=True)
class Finished:
    """A study that was run, and what it left."""

    folder: Path
    truth: Contents

    def copied(self, folder: Path) -> Path:
        """Copy it without its report, and return the copy's run directory."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("report"))
        return directory_of(folder)

    def differs(self, directory: Path) -> list[str]:
        """Name what differs in a copy, and in its report if it has one."""
        found = contents_of(directory)
        has_report = (directory / "report").exists()
        return differences(self.truth if has_report else self.truth.tables(), found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    write_study(folder)
    assert ganbench(folder).code == 0
    return Finished(folder, contents_of(directory_of(folder)))


def replace(path: Path) -> None:
    """Put another file of the same kind in its place."""
    if path.suffix == ".json":
        path.write_text(json.dumps({"name": "something else", "list": [1, 2]}), encoding="utf-8")
    elif path.suffix == ".safetensors":
        save_file({"x": np.zeros(3)}, path)
    else:
        shutil.copy(next(p for p in sorted(path.parent.iterdir()) if p.suffix == path.suffix and p != path), path)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated": halve,
    "empty": empty,
    "flipped": flip,
    "another file": replace,
    "text": fill_with_text,
    "a folder": become_a_folder,
}
OF_A_COHORT = ("cohorts", "history", "samples", "weights")
FILES = (*OF_A_COHORT, "digests", "plan.json", "references.json", "real.safetensors", "provenance.json")


def file_of(directory: Path, name: str) -> Path:
    """Return a file of a run directory: the first cohort's, where each cohort has one."""
    path = directory / name
    return path if path.suffix else Ledger(directory).file(name, Ledger(directory).finished_cohorts()[0])


def bytes_of(path: Path) -> dict[str, bytes]:
    """Return what a file holds, or the files of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def set_aside_well(path: Path, spoiled: dict[str, bytes], said: Said) -> None:
    """Hold that a file was named, and lies beside its place as it was."""
    assert said.code == 0, said
    assert "Traceback" not in said.err, said.err
    place = "runs/" + path.as_posix().rpartition("/runs/")[2]
    named = [line for line in said.err.splitlines() if line.startswith(f"{place}:")]
    assert len(named) == 1, said.err
    aside = path.with_name(f"{path.name}.set-aside-1")
    assert aside.exists(), f"{path}: {sorted(p.name for p in path.parent.iterdir())}"
    assert bytes_of(aside) == spoiled
    assert aside.name in named[0]


def but_one(cases: Iterable[str], one: str) -> list[Any]:
    """Return cases of which one is tested always, and the others among the faults."""
    return [case if case == one else pytest.param(case, marks=pytest.mark.faults) for case in cases]


SOME = {*((name, "truncated") for name in FILES), *(("history", damage) for damage in DAMAGE)}
CASES = [
    pytest.param(name, damage, id=f"{name}, {damage}", marks=() if (name, damage) in SOME else pytest.mark.faults)
    for name in FILES
    for damage in DAMAGE
]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_spoiled_file_is_set_aside_and_made_again(name: str, damage: str, finished: Finished, tmp_path: Path) -> None:
    directory = finished.copied(tmp_path / "copy")
    path = file_of(directory, name)
    cohort = set(Ledger(directory).results_of(path.stem)["replica"]) if name in OF_A_COHORT else set[str]()
    DAMAGE[damage](path)
    spoiled, engine = bytes_of(path), Engine()
    said = ganbench(tmp_path / "copy", "--no-report", engine=engine)
    set_aside_well(path, spoiled, said)
    assert path.is_file()
    assert finished.differs(directory) == []
    # What depends on the file is trained again, and nothing else.
    assert set(engine.asked) <= cohort or name not in OF_A_COHORT
    again = ganbench(tmp_path / "copy", "--no-report", engine=(second := Engine()))
    assert again.code == 0 and second.asked == [] and "set aside" not in again.err


@pytest.mark.parametrize("name", FILES)
def test_a_single_bit_changes_no_result(name: str, finished: Finished, tmp_path: Path) -> None:
    directory = finished.copied(tmp_path / "copy")
    path = file_of(directory, name)
    flip(path, 1)
    spoiled = bytes_of(path)
    said = ganbench(tmp_path / "copy", "--no-report")
    if name in (*OF_A_COHORT, "references.json", "real.safetensors"):
        set_aside_well(path, spoiled, said)  # others may have changed a word
    assert said.code == 0, said
    assert finished.differs(directory) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_made_again(name: str, finished: Finished, tmp_path: Path) -> None:
    directory = finished.copied(tmp_path / "copy")
    path = file_of(directory, name)
    path.unlink()
    said = ganbench(tmp_path / "copy", "--no-report")
    assert said.code == 0, said
    if name == "weights":  # whoever deletes these, the largest, means it
        assert not path.exists() and "training" not in said.err
        return
    assert path.is_file()
    assert finished.differs(directory) == []


def test_much_spoiled_at_once_ends_in_the_same_report(finished: Finished, tmp_path: Path) -> None:
    directory = finished.copied(tmp_path / "copy")
    cohorts = Ledger(directory).finished_cohorts()
    for i, name in enumerate(OF_A_COHORT):
        list(DAMAGE.values())[i](Ledger(directory).file(name, cohorts[i % 2]))
    for i, name in enumerate(("plan.json", "references.json", "real.safetensors", "provenance.json")):
        list(DAMAGE.values())[i](directory / name)
    said = ganbench(tmp_path / "copy")
    assert said.code == 0, said
    assert finished.differs(directory) == []
    assert len([line for line in said.err.splitlines() if "set aside as" in line]) == 8


def test_a_file_spoiled_again_and_again_is_set_aside_each_time(finished: Finished, tmp_path: Path) -> None:
    directory = finished.copied(tmp_path / "copy")
    path = file_of(directory, "history")
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        assert ganbench(tmp_path / "copy", "--no-report").code == 0
    asides = sorted(path.parent.glob("*.set-aside-*"))
    assert [p.read_bytes() for p in asides] == [b"one", b"two", b"three"]
    assert finished.differs(directory) == []


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A study of two variants that was tuned."""
    folder = tmp_path_factory.mktemp("tuned")
    text = inside.STUDY.replace('generator_norm = ["none", "batch"]\n', "")
    write_study(folder, text.replace("[scales.smoke]", f"{inside.TUNE}[scales.smoke]"))
    assert ganbench(folder, "tune").code == 0
    return Finished(folder, contents_of(directory_of(folder)))


def cut_the_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def spoil_a_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"This is no operation.\n"
    path.write_bytes(b"".join(lines))


# An empty one is what a search that was killed at its first write leaves; there is nothing in it to set aside.
OF_THE_JOURNAL = {**{k: v for k, v in DAMAGE.items() if k not in ("another file", "empty")}, "a line": spoil_a_line}


@pytest.mark.parametrize("damage", but_one(OF_THE_JOURNAL, "a line"))
def test_a_spoiled_journal_is_set_aside_and_told_again(damage: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / "optuna.log"
    OF_THE_JOURNAL[damage](path)
    spoiled, engine = bytes_of(path), Engine()
    said = ganbench(tmp_path / "copy", "tune", "--no-report", engine=engine)
    assert said.code == 0 and path.name in said.err and "Traceback" not in said.err, said
    asides = [bytes_of(p) for p in directory.glob("optuna.log.*-1")]
    # Of a line that was cut short nothing is kept.
    assert asides == [spoiled] or (damage == "truncated" and not asides), asides
    assert engine.asked == []
    assert tuned.differs(directory) == []


def test_an_empty_journal_is_filled_again(tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    empty(directory / "optuna.log")
    assert ganbench(tmp_path / "copy", "tune", "--no-report", engine=(engine := Engine())).code == 0
    assert engine.asked == [] and tuned.differs(directory) == []


def test_a_torn_line_is_set_aside_and_done_again(tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    cut_the_last_line(directory / "optuna.log")
    said = ganbench(tmp_path / "copy", "tune", "--no-report")
    assert said.code == 0 and "optuna.log" in said.err and "Traceback" not in said.err, said
    assert tuned.differs(directory) == []


@pytest.mark.parametrize("damage", but_one(DAMAGE, "another file"))
def test_spoiled_findings_are_set_aside_and_written_again(damage: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / "tuning.json"
    DAMAGE[damage](path)
    spoiled, engine = bytes_of(path), Engine()
    set_aside_well(path, spoiled, ganbench(tmp_path / "copy", "tune", "--no-report", engine=engine))
    assert engine.asked == []
    assert tuned.differs(directory) == []


@pytest.mark.parametrize("part", but_one(["search", "tuned"], "search"))
def test_the_ledgers_of_a_search_mend_like_any(part: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    spoiled: dict[Path, dict[str, bytes]] = {}
    for i, name in enumerate(("cohorts", "references.json", "provenance.json")):
        path = file_of(directory / part, name)
        list(DAMAGE.values())[i](path)
        spoiled[path] = bytes_of(path)
    said = ganbench(tmp_path / "copy", "tune")
    for path, content in spoiled.items():
        set_aside_well(path, content, said)
    assert tuned.differs(directory) == []


@pytest.mark.parametrize("part", but_one(["search", "tuned"], "search"))
def test_a_spoiled_plan_of_a_search_is_made_again(part: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / part / "plan.json"
    halve(path)
    spoiled, engine = bytes_of(path), Engine()
    more = ["--no-report"] if part == "search" else []  # which takes longer than all else here
    set_aside_well(path, spoiled, ganbench(tmp_path / "copy", "tune", *more, engine=engine))
    assert engine.asked == []
    # How trials that are told already were batched is nobody's business any more.
    said = tuned.differs(directory)
    assert path.exists() and set(said) <= ({"files search/plan.json"} if part == "search" else set())
