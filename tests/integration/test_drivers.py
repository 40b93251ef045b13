"""Drivers that tune one study side by side, their trials in PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ..faults import commands
from .postgres import Postgres

pytestmark = pytest.mark.integration

TUNE = commands.TUNE.replace("trials = 4", "trials = 8").replace("batch = 2", "batch = 4")


def typed(study: str, url: str, runs: str) -> list[str]:
    words = ["tune", f"{study}.toml", "--scale", "smoke", "--storage", url, "--runs-dir", runs, "--workers", "1"]
    return [*words, "--tracking-uri", "off", "--no-report", "--checkpoint-seconds", "1"]


class Process:
    """A driver, and what it said."""

    def __init__(self, folder: Path, study: str, url: str, runs: str) -> None:
        self._said = folder / f"{runs}.said"
        with self._said.open("wb") as said:
            self.process = commands.start(folder, *typed(study, url, runs), err=said)

    def finishes(self) -> None:
        assert self.process.wait(300) == 0, self._said.read_text()


def found(folder: Path, runs: str, study: str) -> Any:
    """Return what a search found, but for where its trials were trained and are kept."""
    content = json.loads((folder / runs / study / "smoke/tuning.json").read_text())
    for variant in content["variants"].values():
        variant["trials"] = [{k: v for k, v in t.items() if k != "trained_in"} for t in variant["trials"]]
    return {key: content[key] for key in ("complete", "variants")}


def trained(folder: Path, runs: str, study: str) -> list[str]:
    """Return the replicas of trials that a driver recorded."""
    import pandas as pd

    files = (folder / runs / study / "smoke/search/cohorts").glob("*.parquet")
    return [id for file in files for id in pd.read_parquet(file, columns=["replica"])["replica"]]


def states(postgres: Postgres, database: str) -> dict[str, int]:
    return {state: n for state, n in postgres.ask("select state::text, count(*) from trials group by 1", database)}


def test_two_drivers_find_what_one_finds_and_repeat_no_trial(postgres: Postgres, tmp_path: Path) -> None:
    study = commands.write_study(tmp_path, commands.STUDY + TUNE, steps="50")
    commands.ganbench(tmp_path, *typed(study, postgres.database("single"), "alone"))
    shared = postgres.database("shared")
    for driver in [Process(tmp_path, study, shared, runs) for runs in ("one", "two")]:
        driver.finishes()
    own = [trained(tmp_path, runs, study) for runs in ("one", "two")]
    assert all(own)  # both have searched
    assert len(own[0] + own[1]) == len({*own[0], *own[1]}) == len(trained(tmp_path, "alone", study))
    assert states(postgres, "shared") == {"COMPLETE": 8 * 8}
    reported = [runs for runs in ("one", "two") if (tmp_path / runs / study / "smoke/tuned").exists()]
    assert len(reported) == 1
    assert found(tmp_path, reported[0], study) == found(tmp_path, "alone", study)


def test_a_killed_driver_leaves_its_trials_to_the_other(postgres: Postgres, tmp_path: Path) -> None:
    study = commands.write_study(tmp_path, commands.STUDY + TUNE, steps="50")
    commands.ganbench(tmp_path, *typed(study, postgres.database("undisturbed"), "alone"))
    url = postgres.database("disturbed")
    first = Process(tmp_path, study, url, "dies").process
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up and not trained(tmp_path, "dies", study):
        assert first.poll() is None
        time.sleep(0.05)
    second = Process(tmp_path, study, url, "lives")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second.finishes()
    assert states(postgres, "disturbed") == {"COMPLETE": 8 * 8}
    assert found(tmp_path, "lives", study) == found(tmp_path, "alone", study)
    # The dead driver's command ends what it had begun, and trains no trial.
    before = trained(tmp_path, "dies", study)
    commands.ganbench(tmp_path, *typed(study, url, "dies"))
    assert trained(tmp_path, "dies", study) == before
    assert found(tmp_path, "dies", study) == found(tmp_path, "alone", study)
