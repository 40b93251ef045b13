"""Ctrl-C: what is in training is kept, nothing stays behind, and the same command goes on to the same end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from reports.ledger.ledger import Ledger

from . import commands, processes
from .contents import contents_of, differences
from .kills import Study
from .test_two_at_once import copied, starts_training, wait_until

SOON = 20.0  # seconds that an interrupted command may take to keep what it has, on a busy machine
AT_ONCE = 4.0  # the same, when it was told twice


@dataclass(frozen=True)
class Interrupted:
    """A command that Ctrl-C ended."""

    code: int
    err: str
    seconds: float
    left: list[processes.Process]


def press(driver: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C: a terminal tells every process in the foreground."""
    os.killpg(driver.pid, signal.SIGINT)


def ended(driver: subprocess.Popen[bytes], said: Path, pressed: float) -> Interrupted:
    code = driver.wait(60)
    seconds = time.monotonic() - pressed
    return Interrupted(code, said.read_text(), seconds, processes.all_gone(driver.pid))


def interrupted_in_training(study: Study, folder: Path, times: int = 1) -> tuple[Interrupted, int]:
    """Press Ctrl-C when all cohorts that are left train; return also when that was, in nanoseconds."""
    said, directory = folder / "said.txt", commands.run_directory(folder)
    with said.open("wb") as err, commands.start(folder, *study.typed, err=err) as driver:
        began = time.time_ns()
        ledger = Ledger(directory)
        wait_until(
            lambda: (
                (directory / "plan.json").exists()
                and all(_is_newer(path, began) for path in checkpoints_of_unfinished(ledger).values())
            ),
            driver,
        )
        at = time.time_ns()
        press(driver)
        if times == 2:
            wait_until_said(said, driver)
            press(driver)
        return ended(driver, said, time.monotonic()), at


def _is_newer(path: Path, than: int) -> bool:
    return path.exists() and path.stat().st_mtime_ns > than


def wait_until_said(said: Path, driver: subprocess.Popen[bytes]) -> None:
    """Wait for an answer to the first Ctrl-C, or for the end."""
    while "once more" not in said.read_text() and driver.poll() is None:
        time.sleep(0.005)


def stopped_well(how: Interrupted) -> None:
    assert how.code == 130, how
    assert "Traceback" not in how.err and "the same command" in how.err, how.err
    assert how.left == []


def goes_on(study: Study, folder: Path) -> None:
    """Hold that the same command ends like the undisturbed one."""
    commands.ganbench(folder, *study.by(workers=1))
    assert differences(study.truth, contents_of(commands.run_directory(folder))) == []


def checkpoints_of_unfinished(ledger: Ledger) -> dict[str, Path]:
    """Return where the first stack of each cohort that is not recorded is kept."""
    planned = [cohort.id for cohort in ledger.plan().cohorts]
    left = [id for id in planned if id not in ledger.finished_cohorts()]
    return {id: ledger.directory / "checkpoints" / id / "0.safetensors" for id in left}


@pytest.mark.faults
def test_ctrl_c_keeps_what_is_in_training(unreported: Study, tmp_path: Path) -> None:
    folder = copied(unreported, tmp_path / "here")
    how, at = interrupted_in_training(unreported, folder)
    stopped_well(how)
    assert how.seconds < SOON
    training = checkpoints_of_unfinished(Ledger(commands.run_directory(folder)))
    assert training
    assert all(path.stat().st_mtime_ns >= at for path in training.values())
    goes_on(unreported, folder)


@pytest.mark.faults
def test_ctrl_c_twice_is_at_once_and_a_spoiled_checkpoint_costs_its_cohort_alone(
    unreported: Study, tmp_path: Path
) -> None:
    folder = copied(unreported, tmp_path / "here")
    interrupted_in_training(unreported, folder)
    cohort, path = next(iter(checkpoints_of_unfinished(Ledger(commands.run_directory(folder))).items()))
    content = path.read_bytes()[:-100]
    path.write_bytes(content)
    hurried, _ = interrupted_in_training(unreported, folder, times=2)
    assert hurried.code == 130 and hurried.left == [] and "Traceback" not in hurried.err, hurried
    assert hurried.seconds < AT_ONCE
    assert cohort in hurried.err and path.name in hurried.err
    assert path.with_name(f"{path.name}.set-aside-1").read_bytes() == content
    goes_on(unreported, folder)


@pytest.mark.faults
def test_ctrl_c_may_come_at_any_time(stormy: Study, tmp_path: Path) -> None:
    rng = random.Random(4)
    for case in range(16):
        folder = copied(stormy, tmp_path / str(case))
        said, ends = folder / "said.txt", False
        while not ends:
            delay = rng.uniform(0.6, stormy.seconds)
            with said.open("wb") as err, commands.start(folder, *stormy.typed, err=err) as driver:
                try:
                    driver.wait(delay)
                except subprocess.TimeoutExpired:
                    press(driver)
                how = ended(driver, said, time.monotonic())
            # While Python itself ends it heeds no handler any more: then all must be there.
            ends = how.code in (0, -signal.SIGINT)
            assert (ends or how.code == 130) and how.left == [] and "Traceback" not in how.err, how
            assert how.seconds < SOON
        assert differences(stormy.truth, contents_of(commands.run_directory(folder))) == []


@pytest.mark.faults
def test_a_terminated_run_leaves_no_worker_and_goes_on(stormy: Study, tmp_path: Path) -> None:
    folder = copied(stormy, tmp_path / "here")
    with commands.start(folder, *stormy.typed) as driver:
        starts_training(commands.run_directory(folder), driver)
        driver.terminate()  # as a batch system does
        assert driver.wait(SOON) == 128 + signal.SIGTERM
    assert processes.all_gone(driver.pid) == []
    goes_on(stormy, folder)
