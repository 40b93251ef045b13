"""Killed at any instant, driver or workers: the same command goes on, and its end is the undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import commands
from .kills import Storm, Study, storm, summary, undisturbed


def survived(storms: list[Storm]) -> None:
    print(summary(storms))
    assert not any(storm.wrong for storm in storms), summary(storms)


@pytest.mark.faults
def test_a_killed_run_ends_like_an_undisturbed_one(stormy: Study, tmp_path: Path) -> None:
    survived([storm(stormy, tmp_path / "storm", seed=1, kills=4)])


@pytest.mark.faults
def test_a_hundred_kills_lose_and_repeat_nothing(stormy: Study, tmp_path: Path) -> None:
    storms: list[Storm] = []
    seed = 100
    while sum(len(storm.kills) for storm in storms) < 100:
        storms.append(storm(stormy, tmp_path / str(seed), seed, kills=4))
        seed += 1
    survived(storms)


@pytest.mark.faults
def test_a_killed_search_ends_like_an_undisturbed_one(stormy: Study, tmp_path: Path) -> None:
    text = commands.STUDY.replace("[scales.smoke]", f"{commands.TUNE}[scales.smoke]")
    smaller = {"generator_norm": '["none"]', "latent": '["uniform"]', "steps": "100"}
    tuned = undisturbed(tmp_path / "undisturbed", study=text, verb="tune", workers=2, **smaller)
    storms: list[Storm] = []
    seed = 500
    while sum(len(storm.kills) for storm in storms) < 10:
        storms.append(storm(tuned, tmp_path / str(seed), seed, kills=4))
        seed += 1
    survived(storms)
