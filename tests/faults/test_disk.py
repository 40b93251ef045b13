"""A disk that is full: one message, what is finished stays, and the same command goes on when there is room again."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..typed import Said
from .contents import Contents, contents_of, differences, left_behind
from .inside import Engine, directory_of, ganbench, write_study

DISK_BYTES = 160 * 2**20  # more than a run wants to see before it begins


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The end of a run that always had room, with its report."""
    folder = tmp_path_factory.mktemp("whole")
    write_study(folder)
    assert ganbench(folder).code == 0
    return contents_of(directory_of(folder))


@contextmanager
def full_from(write: int) -> Generator[list[int]]:
    """Let so many writes through, and refuse all others as a full disk does; count them."""
    done = [0]

    def fsync(descriptor: int) -> None:
        done[0] += 1
        if done[0] > write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield done


def stopped_well(said: Said, folder: Path, whole: Contents) -> set[str]:
    """Hold what a run on a full disk owes: one message that names the place, nothing half-written, and what it had.

    Returns:
        The replicas that are recorded.
    """
    assert said.code == 1, said
    errors = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and errors[0].startswith("error: runs") and "No space left" in errors[0], said.err
    assert "the same command" in errors[0] and "Traceback" not in said.err
    assert left_behind(directory_of(folder)) == []
    kept = contents_of(directory_of(folder))
    assert not kept.replicas or differences(whole.of(kept.replicas), kept.of(kept.replicas)) == []
    return kept.replicas


def goes_on(folder: Path, there: set[str], whole: Contents, *more: str) -> None:
    """Hold that the same command ends like one that always had room, and trains nothing that was recorded."""
    engine = Engine()
    said = ganbench(folder, *more, engine=engine)
    assert said.code == 0, said
    assert sorted(engine.asked) == sorted(id.strip("/") for id in whole.replicas - there)
    assert differences(whole, contents_of(directory_of(folder))) == []


def test_a_disk_may_be_full_at_any_write(tmp_path: Path, whole: Contents) -> None:
    write_study(tmp_path / "counted")
    with full_from(10**9) as done:
        assert ganbench(tmp_path / "counted", "--no-report").code == 0
    assert done[0] > 8 * 2  # a cohort's
    for write in range(done[0]):
        folder = tmp_path / str(write)
        write_study(folder)
        with full_from(write):
            said = ganbench(folder, "--no-report")
        there = stopped_well(said, folder, whole)
        with full_from(10**9):
            goes_on(folder, there, whole.tables(), "--no-report")


def test_the_report_after_a_full_disk_is_byte_for_byte_the_same(tmp_path: Path, whole: Contents) -> None:
    write_study(tmp_path)
    with full_from(20):
        said = ganbench(tmp_path)
    goes_on(tmp_path, stopped_well(said, tmp_path, whole), whole)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)]
    try:
        refused = subprocess.run(mount, capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        refused = "there is no mount"
    if refused:
        pytest.skip(f"no file system can be mounted here: {refused.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def held_on(disk: Path, free: int, whole: Contents) -> None:
    """Run while somebody else takes all but so many bytes of the disk; then with room."""
    folder, filler = disk / str(free), disk / "filler"
    write_study(folder)

    def fill() -> None:
        room = os.statvfs(disk)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize - free)

    said = ganbench(folder, engine=Engine(fill))
    filler.unlink()
    if said.code:
        goes_on(folder, stopped_well(said, folder, whole), whole)
    assert differences(whole, contents_of(directory_of(folder))) == []
    shutil.rmtree(folder)


@pytest.mark.faults
def test_a_small_disk_fills_up_and_is_cleared(disk: Path, whole: Contents) -> None:
    for free in (8_192, 500_000):  # at a cohort's first files, and in the report
        held_on(disk, free, whole)


@pytest.mark.faults
def test_a_small_disk_may_have_any_room(disk: Path, whole: Contents) -> None:
    rng = random.Random(1)
    for _ in range(40):
        held_on(disk, rng.randrange(0, 1_500_000), whole)
