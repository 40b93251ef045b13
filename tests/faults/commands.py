"""The command line in a process of its own, and small studies that are really trained."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pandas as pd

from reports.ledger.ledger import Ledger

from ..small import small_study

ROOT = Path(__file__).parents[2]
SCALE = "smoke"
HANGS = 900  # seconds, where the slowest command takes one minute on a quiet machine

STUDY = small_study(
    'loss = ["non_saturating", "saturating"]',
    'generator_norm = ["none", "batch"]',
    'latent = ["uniform", "normal"]',
    factor="loss",
    batch_size=64,
    evaluations=4,
    steps=250,
)
"""Two cohorts of 8 replicas. So few steps that compiling does not pay."""

TUNE = """
[tune]
failed = 1.0
seeds = 2
trials = 4
batch = 2
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
"""


def write_study(folder: Path, text: str = STUDY, name: str = "stormy", **replaced: str) -> str:
    """Write a study file, `key = value` lines of it replaced, and return the study's name."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{key} = {replaced[key]}" if (key := line.split(" = ")[0]) in replaced else line for line in text.splitlines()
    ]
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def run_directory(folder: Path, name: str = "stormy") -> Path:
    return folder / "runs" / name / SCALE


def results(folder: Path) -> pd.DataFrame:
    """Return the rows of a run of this folder, by replica."""
    return Ledger(run_directory(folder)).results().set_index("replica")


def words(
    name: str = "stormy", *more: str, verb: str = "run", workers: int = 2, checkpoints: float | None = 0.1
) -> list[str]:
    """Return what is typed, after `ganbench`, to run a study of this folder; `checkpoints` are seconds."""
    given = [verb, f"{name}.toml", "--scale", SCALE, "--tracking-uri", "off", "--workers", str(workers), *more]
    return given + ([] if checkpoints is None else ["--checkpoint-seconds", str(checkpoints)])


@functools.cache
def environment() -> dict[str, str]:
    """Return the environment of the command: without data."""
    return {k: v for k, v in os.environ.items() if k != "GAN_DATA_DIR"} | {"PYTHONPATH": str(ROOT)}


def start(
    folder: Path, *typed: str, err: IO[bytes] | None = None, out: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, by which all its processes are found."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cli", *typed],
        cwd=folder,
        env=environment(),
        stdout=out or subprocess.DEVNULL,
        stderr=err or subprocess.DEVNULL,
        start_new_session=True,
    )


def ganbench(folder: Path, *typed: str, check: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with more variables in its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", *typed],
        cwd=folder,
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    if check is not None:
        assert done.returncode == check, done.stderr + done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    return done
