"""A replica that ends every worker that trains it: it alone is recorded as failed, and its neighbours as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reports.ledger.ledger import Ledger

from . import commands
from .contents import contents_of, differences
from .kills import Study
from .test_two_at_once import copied

# A file: workers import the main module again.
SCRIPT = """
import functools
import os
import signal
from pathlib import Path

POISON, HOW, LOG = os.environ["POISON"], os.environ["HOW"], Path("log.txt")


def die():
    if HOW == "raises":
        raise MemoryError("out of memory")
    if HOW == "exits":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def train(cohort, data_dir, device, progress, checkpoints):
    from gan.engine import cohort as real

    ids = [replica.id for replica in cohort.replicas]
    with LOG.open("a") as log:
        print(*ids, file=log)
    if set(POISON.split()) & set(ids):
        if HOW != "late":
            die()
        write = checkpoints.write

        def write_and_die(*content):
            write(*content)
            die()

        checkpoints.write = write_and_die
    return real.train(cohort, data_dir, device, progress, checkpoints)


if __name__ == "__main__":
    from benchmarks import cli
    from benchmarks.engines import local

    local.LocalEngine = functools.partial(local.LocalEngine, train=train)
    cli.main()
"""


def tried(folder: Path, id: str) -> list[list[str]]:
    """Return with whom a replica was tried, one time after the other."""
    return [ids for line in (folder / "log.txt").read_text().splitlines() if id in (ids := line.split())]


def run_poisoned(study: Study, folder: Path, how: str, *poison: str) -> subprocess.CompletedProcess[str]:
    """Run a study of which some replicas end their workers."""
    (folder / "main.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "main.py", *study.typed],
        cwd=folder,
        env=commands.environment() | {"POISON": " ".join(poison), "HOW": how},
        capture_output=True,
        text=True,
        timeout=commands.HANGS,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done


def first_cohort(study: Study) -> list[str]:
    """Return the replicas of a study's first cohort."""
    return next(iter(Ledger(commands.run_directory(study.folder)).plan().cohorts)).replicas


def fails_alone(how: str, study: Study, folder: Path) -> str:
    """Hold that a poisonous replica of a cohort of 8 is found and recorded, and changes no other; return its id."""
    planned = first_cohort(study)
    poison = planned[3]
    run_poisoned(study, folder, how, poison)
    row = commands.results(folder).to_dict(orient="index")[poison]
    reason = {"killed": "SIGKILL", "late": "SIGKILL", "exits": "exit 3", "raises": "out of memory"}[how]
    assert row["status"] == "failed" and reason in row["reason"], row["reason"]
    ledger = Ledger(commands.run_directory(folder))
    assert ledger.results_of(row["cohort"])["replica"].tolist() == [poison]  # a piece of its own
    unharmed(study, folder, poison)

    sizes = [len(ids) for ids in tried(folder, poison)]
    # A death may be chance; and what a broken process says of one replica, another is asked.
    assert sizes == [*([] if how == "raises" else [8]), 8, 4, 2, 1, 1]
    assert all(len(tried(folder, id)) <= len(sizes) for id in planned)
    return poison


def unharmed(study: Study, folder: Path, *poison: str) -> None:
    """Hold that all other replicas are those of an undisturbed run."""
    others = study.truth.replicas - {f"/{id}" for id in poison}
    found = contents_of(commands.run_directory(folder))
    assert found.replicas == study.truth.replicas and len(others) == len(found.replicas) - len(poison)
    assert differences(study.truth.of(others), found.of(others)) == []


@pytest.mark.faults
@pytest.mark.parametrize("how", ["killed", "late", "exits", "raises"])
def test_a_replica_fails_alone_however_it_ends_its_workers(how: str, stormy: Study, tmp_path: Path) -> None:
    folder = copied(stormy, tmp_path / "here")
    poison = fails_alone(how, stormy, folder)
    assert "nothing to train" in commands.ganbench(folder, *stormy.typed, check=1).stderr
    said = commands.ganbench(folder, *stormy.typed, "--retry-failed").stderr
    assert "training 1 of 16 replicas" in said, said
    assert poison in commands.results(folder).index
    assert differences(stormy.truth, contents_of(commands.run_directory(folder))) == []


@pytest.mark.faults
def test_a_kill_between_the_pieces_of_a_cohort_repeats_none(stormy: Study, tmp_path: Path) -> None:
    folder = copied(stormy, tmp_path / "here")
    directory = commands.run_directory(folder)
    poison = fails_alone("raises", stormy, folder)
    ledger = Ledger(directory)
    pieces = {id: ledger.results_of(id) for id in ledger.finished_cohorts()}
    (piece,) = [id for id, rows in pieces.items() if poison in rows["replica"].tolist()]
    ledger.file("cohorts", piece).unlink()  # as if the run had been killed before it
    before = {path: path.stat().st_ino for path in (directory / "cohorts").iterdir()}
    said = commands.ganbench(folder, *stormy.typed).stderr
    assert f"training {len(pieces[piece])} of 16 replicas" in said, said
    assert before.items() <= {path: path.stat().st_ino for path in (directory / "cohorts").iterdir()}.items()
    assert differences(stormy.truth, contents_of(directory)) == []


@pytest.mark.faults
def test_two_poisonous_replicas_of_one_cohort_fail_both(stormy: Study, tmp_path: Path) -> None:
    folder, planned = copied(stormy, tmp_path / "here"), first_cohort(stormy)
    poison = planned[0], planned[5]
    run_poisoned(stormy, folder, "killed", *poison)
    rows = commands.results(folder)
    assert sorted(rows.index[rows["status"] == "failed"]) == sorted(poison)
    unharmed(stormy, folder, *poison)
