"""Two processes and one run directory: one of them writes, and whatever its end is, the next can."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import commands, processes
from .contents import contents_of, differences
from .kills import Study, Watch

SECONDS = 180.0  # until a command counts as hanging: three that start at once take over a minute on two busy cores


def wait_until(there: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    """Wait for something while a command runs."""
    deadline = time.monotonic() + SECONDS
    while not there():
        assert driver.poll() is None, "it ended first"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def starts_training(directory: Path, driver: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: any(directory.glob("checkpoints/*/*.safetensors")), driver)


def copied(study: Study, folder: Path) -> Path:
    """Return a folder with the study's file alone."""
    folder.mkdir(exist_ok=True)
    for file in study.folder.glob("*.toml"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def refused(err: str, directory: Path) -> None:
    """Hold that one message says who is in the way."""
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "another process" in errors[0] and str(directory) in errors[0], err
    assert "Traceback" not in err


@pytest.mark.faults
def test_of_two_runs_of_a_study_one_trains(stormy: Study, tmp_path: Path) -> None:
    folder = copied(stormy, tmp_path / "here")
    said = [tmp_path / "first.txt", tmp_path / "second.txt"]
    drivers = []
    for path in said:
        with path.open("wb") as err:
            drivers.append(commands.start(folder, *stormy.typed, err=err))
    codes = [driver.wait(SECONDS) for driver in drivers]
    assert sorted(codes) == [0, 2], [path.read_text() for path in said]
    refused(said[codes.index(2)].read_text(), commands.run_directory(Path()))
    assert all(processes.all_gone(driver.pid) == [] for driver in drivers)
    directory = commands.run_directory(folder)
    assert differences(stormy.truth, contents_of(directory)) == []
    assert said[codes.index(2)].read_text().count("training") == 0


@pytest.mark.faults
def test_a_killed_run_frees_its_directory_at_once(unreported: Study, tmp_path: Path) -> None:
    folder = copied(unreported, tmp_path / "here")
    directory = commands.run_directory(folder)
    watch = Watch(directory)
    with commands.start(folder, *unreported.by(workers=1)) as first:
        starts_training(directory, first)
        refused(commands.ganbench(folder, *unreported.by(workers=1), check=2).stderr, commands.run_directory(Path()))
        assert first.poll() is None
        processes.kill(first.pid, first.pid)
    commands.ganbench(folder, *unreported.by(workers=1))  # its worker may not have noticed yet
    watch.look()
    assert watch.changed == []
    assert processes.all_gone(first.pid) == []
    assert differences(unreported.truth, contents_of(directory)) == []


@pytest.mark.faults
def test_other_studies_and_other_scales_are_not_in_the_way(stormy: Study, tmp_path: Path) -> None:
    folder = copied(stormy, tmp_path / "here")
    text = (folder / "stormy.toml").read_text()
    (folder / "stormy.toml").write_text(f"{text}[scales.laptop]\nseeds = 1\nsteps = 10\n")
    (folder / "other.toml").write_text(text.replace("steps = 250", "steps = 10"))
    scale, study = list(stormy.typed), list(stormy.typed)
    scale[scale.index("smoke")] = "laptop"
    study[study.index("stormy.toml")] = "other.toml"
    with commands.start(folder, *stormy.typed) as first:
        starts_training(commands.run_directory(folder), first)
        others = [commands.start(folder, *typed) for typed in (scale, study)]
        assert [other.wait(SECONDS) for other in others] == [0, 0]
        assert first.wait(SECONDS) == 0
    assert (folder / "runs/stormy/laptop/report/report.md").exists()
    assert (folder / "runs/other/smoke/report/report.md").exists()
    ours, truth = contents_of(commands.run_directory(folder)), stormy.truth
    assert differences(truth, ours) == []


@pytest.mark.faults
@pytest.mark.parametrize("verb", ["tune", "run"])
def test_a_search_and_a_run_of_one_study_are_two(verb: str, stormy: Study, tmp_path: Path) -> None:
    text = commands.STUDY.replace("[scales.smoke]", f"{commands.TUNE}[scales.smoke]")
    folder = tmp_path / "here"
    name = commands.write_study(folder, text)
    other = {"tune": "run", "run": "tune"}[verb]
    with commands.start(folder, *commands.words(name, verb=verb)) as first:
        starts_training(commands.run_directory(folder), first)
        typed = commands.words(name, verb=other)
        refused(commands.ganbench(folder, *typed, check=2).stderr, commands.run_directory(Path()))
        processes.kill_all(first.pid)
    assert processes.all_gone(first.pid) == []
