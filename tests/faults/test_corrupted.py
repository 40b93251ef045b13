"""Files that a disk or a hand spoiled: each is named and set aside, and the same command ends as if it had not been."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reports.ledger.ledger import Ledger

from ..typed import Said
from . import inside
from .contents import Contents, contents_of, differences
from .damages import DAMAGES, cut_the_last_line, flip, halve, spoil_a_line
from .inside import Engine, directory_of, ganbench, write_study

OF_A_COHORT = ("cohorts", "history", "samples", "weights")
OF_A_LEDGER = ("plan.json", "references.json", "real.safetensors", "provenance.json")
FILES = (*OF_A_COHORT, "digests", *OF_A_LEDGER)
NO_REPORT = "--no-report"  # which takes longer than all else here


@dataclass(frozen=True)
class Finished:
    """A study that was run or tuned, and what it left.

    Attributes:
        verb: What was typed.
        folder: Where.
        truth: What it left.
    """

    verb: str
    folder: Path
    truth: Contents

    def copied(self, folder: Path) -> Path:
        """Copy it without its report, and return the copy's run directory."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("report"))
        return directory_of(folder)

    def again(self, directory: Path, *more: str, engine: Engine | None = None) -> Said:
        """Type the same command once more, for a copy; it must succeed, and end as it did."""
        said = ganbench(directory.parents[2], self.verb, *more, engine=engine)
        assert said.code == 0 and "Traceback" not in said.err, said
        truth = self.truth.tables() if NO_REPORT in more else self.truth
        assert differences(truth, contents_of(directory)) == []
        return said


def finished(verb: str, folder: Path, study: str) -> Finished:
    write_study(folder, study)
    assert ganbench(folder, verb).code == 0
    return Finished(verb, folder, contents_of(directory_of(folder)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished("run", tmp_path_factory.mktemp("run"), inside.STUDY)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A study of two variants that was tuned."""
    study = inside.STUDY.replace('generator_norm = ["none", "batch"]\n', "")
    study = study.replace("[scales.smoke]", f"{inside.TUNE}[scales.smoke]")
    return finished("tune", tmp_path_factory.mktemp("tuned"), study)


def file_of(directory: Path, name: str) -> Path:
    """Return a file of a run directory: the first cohort's, where each cohort has one."""
    path = directory / name
    return path if path.suffix else Ledger(directory).file(name, Ledger(directory).finished_cohorts()[0])


def bytes_of(path: Path) -> dict[str, bytes]:
    """Return what a file holds, or the files of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def set_aside_well(path: Path, spoiled: dict[str, bytes], said: Said) -> None:
    """Hold that a file was named, lies beside its place as it was, and was made again."""
    place = "runs/" + path.as_posix().rpartition("/runs/")[2]
    (named,) = [line for line in said.err.splitlines() if line.startswith(f"{place}:")]
    aside = path.with_name(f"{path.name}.set-aside-1")
    assert bytes_of(aside) == spoiled and aside.name in named
    assert path.is_file()


def among_the_faults(*case: Any, id: str) -> Any:
    return pytest.param(*case, id=id, marks=pytest.mark.faults)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (pytest.param if "truncated" in case or case[0] == "history" else among_the_faults)(*case, id=", ".join(case))
        for case in ((name, damage) for name in FILES for damage in DAMAGES)
    ],
)
def test_a_spoiled_file_is_set_aside_and_made_again(name: str, damage: str, run: Finished, tmp_path: Path) -> None:
    directory = run.copied(tmp_path / "copy")
    path = file_of(directory, name)
    cohort = set(Ledger(directory).results_of(path.stem)["replica"]) if name in OF_A_COHORT else set[str]()
    DAMAGES[damage](path)
    spoiled, engine = bytes_of(path), Engine()
    set_aside_well(path, spoiled, run.again(directory, NO_REPORT, engine=engine))
    # What depends on the file is trained again, and nothing else.
    assert set(engine.asked) <= cohort or name not in OF_A_COHORT
    again = run.again(directory, NO_REPORT, engine=(second := Engine()))
    assert second.asked == [] and "set aside" not in again.err


@pytest.mark.parametrize("name", FILES)
def test_a_single_bit_changes_no_result(name: str, run: Finished, tmp_path: Path) -> None:
    directory = run.copied(tmp_path / "copy")
    path = file_of(directory, name)
    flip(path, 1)
    spoiled = bytes_of(path)
    said = run.again(directory, NO_REPORT)
    if name in (*OF_A_COHORT, "references.json", "real.safetensors"):
        set_aside_well(path, spoiled, said)  # others may have changed a word


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_made_again(name: str, run: Finished, tmp_path: Path) -> None:
    directory = run.copied(tmp_path / "copy")
    path = file_of(directory, name)
    path.unlink()
    if name == "weights":  # whoever deletes these, the largest, means it
        said = ganbench(tmp_path / "copy", NO_REPORT)
        assert said.code == 0 and not path.exists() and "training" not in said.err, said
    else:
        run.again(directory, NO_REPORT)
        assert path.is_file()


@pytest.mark.parametrize(
    ("verb", "part"),
    [among_the_faults("run", "", id="run-"), ("tune", "search"), among_the_faults("tune", "tuned", id="tune-tuned")],
)
def test_much_spoiled_at_once_ends_in_the_same_report(
    verb: str, part: str, run: Finished, tuned: Finished, tmp_path: Path
) -> None:
    whole = run if verb == "run" else tuned
    directory = whole.copied(tmp_path / "copy")
    cohorts = Ledger(directory / part).finished_cohorts()
    paths = [Ledger(directory / part).file(name, cohorts[i % len(cohorts)]) for i, name in enumerate(OF_A_COHORT)]
    # A search that is planned again has other batches: its plan is spoiled in a test of its own.
    others = [name for name in OF_A_LEDGER if (part, name) != ("search", "plan.json")]
    paths += [directory / part / name for name in others]
    for i, path in enumerate(paths):
        list(DAMAGES.values())[i % 4](path)
    spoiled = {path: bytes_of(path) for path in paths}
    said = whole.again(directory)
    for path, content in spoiled.items():
        set_aside_well(path, content, said)


def test_a_file_spoiled_again_and_again_is_set_aside_each_time(run: Finished, tmp_path: Path) -> None:
    directory = run.copied(tmp_path / "copy")
    path = file_of(directory, "history")
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        run.again(directory, NO_REPORT)
    assert [p.read_bytes() for p in sorted(path.parent.glob("*.set-aside-*"))] == [b"one", b"two", b"three"]


JOURNAL = {name: damage for name, damage in DAMAGES.items() if name != "another file"}
JOURNAL |= {"a line": spoil_a_line, "a torn line": cut_the_last_line}


@pytest.mark.parametrize(
    "damage",
    [name if name in ("a line", "a torn line", "empty") else among_the_faults(name, id=name) for name in JOURNAL],
)
def test_a_spoiled_journal_is_set_aside_and_told_again(damage: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / "optuna.log"
    JOURNAL[damage](path)
    spoiled = bytes_of(path)
    said = tuned.again(directory, NO_REPORT, engine=(engine := Engine()))
    assert engine.asked == []
    asides = [bytes_of(p) for p in directory.glob("optuna.log.*-1")]
    if damage == "empty":  # as a search leaves it that was killed at its first write
        assert asides == []
    elif damage in ("truncated", "a torn line"):  # of a line that was cut short nothing stays
        assert path.name in said.err and asides == []
    else:
        assert path.name in said.err and asides == [spoiled]


@pytest.mark.parametrize(
    "damage", [name if name == "another file" else among_the_faults(name, id=name) for name in DAMAGES]
)
def test_spoiled_findings_are_set_aside_and_written_again(damage: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / "tuning.json"
    DAMAGES[damage](path)
    spoiled = bytes_of(path)
    set_aside_well(path, spoiled, tuned.again(directory, NO_REPORT, engine=(engine := Engine())))
    assert engine.asked == []


@pytest.mark.parametrize("part", ["search", among_the_faults("tuned", id="tuned")])
def test_a_spoiled_plan_of_a_search_is_made_again(part: str, tuned: Finished, tmp_path: Path) -> None:
    directory = tuned.copied(tmp_path / "copy")
    path = directory / part / "plan.json"
    halve(path)
    spoiled, engine = bytes_of(path), Engine()
    said = ganbench(tmp_path / "copy", "tune", NO_REPORT, engine=engine)
    set_aside_well(path, spoiled, said)
    assert engine.asked == []
    # How trials that have their results were batched does not matter any more.
    differing = differences(tuned.truth.tables(), contents_of(directory))
    assert set(differing) <= ({"search/plan.json: differs"} if part == "search" else set())
