"""The page on speed, from figures that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gan.errors import InputError
from reports.api import PUBLISHED
from reports.pages.speed import compile_page, headlines
from reports.speed.results import Measured, System, read


def rounds(*seconds: float) -> list[dict[str, float]]:
    """Rounds with these seconds of the processor, and twice as many on the clock."""
    return [{"cpu": s, "wall": 2 * s} for s in seconds]


def content(device: str = "cpu") -> dict[str, Any]:
    # The loop takes 10, 20 and 30 ms a step as written, and half of it without host reads.
    loops = {"as written": rounds(0.01, 0.02, 0.03), "no host reads": rounds(0.005, 0.01, 0.015)}
    row = {"mode": "vmap", "compiled": False, "replicas": 8, "first_seconds": 3.0, "loops": loops}
    system = {
        "system": "a", "title": "System A", "batch": 512, "flops": 4e6,
        "first_seconds": {"as written": 0.1, "no host reads": 0.2},
        "rows": [
            {**row, "asked": [8], "rounds": rounds(0.1, 0.1, 0.1)},
            {**row, "asked": [32, 128], "replicas": 32, "compiled": True, "rounds": rounds(0.04, 0.08, 0.04)},
        ],
    }  # fmt: skip
    study = {
        "batch": 512, "runs": 64, "steps": 50, "cold": {"wall": 40.0, "cpu": 20.0}, "warm": {"wall": 32.0, "cpu": 16.0},
        "plain": [{**times, "runs": 2} for times in rounds(3.0, 3.0, 30.0)],
    }  # fmt: skip
    return {
        "format": 2, "command": "ganbench speed", "date": "2026-11-22T10:00:00+00:00", "minutes": 3.0, "commit": "abc",
        "device": device, "hardware": {"processor": "one", "cores": 2, "memory_gib": 4.0, "system": "Linux"},
        "versions": {"python": "3.11", "torch": "2.15"}, "quick": False, "images": "noise", "peaks": [8e9, 7e9],
        "systems": [system], "studies": [study],
    }  # fmt: skip


@pytest.fixture
def measured() -> Measured:
    return Measured.model_validate(content())


@pytest.fixture
def system(measured: Measured) -> System:
    return measured.systems[0]


def test_times_and_ratios_are_medians_of_rounds(measured: Measured, system: System) -> None:
    eight, more = system.rows
    assert measured.replica_seconds(eight) == pytest.approx(0.0125)
    # Eight replicas in the time of 10, of 5 and of 3.3 steps of the loop.
    assert measured.ratio(eight)[:3] == pytest.approx((1.6, 0.8, 2.4))
    assert measured.fairest(eight).estimate == pytest.approx(0.8)
    assert measured.ratio(more)[:3] == pytest.approx((8.0, 8.0, 24.0))


def test_a_gpu_is_timed_by_the_clock() -> None:
    on_gpu = Measured.model_validate(content("cuda"))
    assert on_gpu.replica_seconds(on_gpu.systems[0].rows[0]) == pytest.approx(0.025)


def test_shares_of_the_peak_and_what_limits_a_row(measured: Measured, system: System) -> None:
    eight, more = system.rows
    assert measured.least_seconds(system) == pytest.approx(5e-4)  # 4e6 of 8e9 operations a second
    assert (measured.peak_share(system, eight), measured.limit(system, eight)) == (pytest.approx(0.04), "overhead")
    assert (measured.peak_share(system, more), measured.limit(system, more)) == (pytest.approx(0.4), "arithmetic")


def test_the_time_of_all_runs_is_scaled_from_the_processes(measured: Measured) -> None:
    (study,) = measured.studies
    # A pair of processes takes 6 s on the clock, the median of three, so 64 runs take 192 s.
    assert study.plain_seconds("wall") == pytest.approx(192.0) and study.plain_seconds("cpu") == pytest.approx(96.0)


def test_how_replicas_are_trained_in_words(system: System) -> None:
    eight, more = system.rows
    assert (eight.how, more.how) == ("8 side by side, eager", "32 side by side, compiled")
    assert eight.model_copy(update={"mode": "loop", "replicas": 1}).how == "one after the other, eager"


def test_the_page_is_a_function_of_the_file(measured: Measured, tmp_path: Path) -> None:
    page = compile_page(measured, tmp_path / "one")
    text = page.read_text(encoding="utf-8")
    assert "at best 8 times the plain loop on one core, with 32, 128 replicas, 32 side by side" in text
    assert "4.80 (by the processor 4.80)" in text and "undefined" not in text.lower() and "\n\n\n" not in text
    again = compile_page(read(tmp_path / "one/speed.json"), tmp_path / "two")
    for name in ("report.md", "rates.png", "speed.json"):
        assert (again.parent / name).read_bytes() == (page.parent / name).read_bytes()


def test_a_quick_run_has_a_page(measured: Measured, tmp_path: Path) -> None:
    quick = measured.model_copy(update={"studies": [], "quick": True})
    text = compile_page(quick, tmp_path).read_text(encoding="utf-8")
    assert "**A quick run.**" in text and "## A whole study" not in text


def test_the_published_page_is_that_of_its_measurements() -> None:
    text = (PUBLISHED / "speed/report.md").read_text(encoding="utf-8")
    assert all(line in text for line in headlines(read(PUBLISHED / "speed/speed.json")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "Invalid JSON"), ("[]", "an object"), (json.dumps(content() | {"format": 1}), "format: Input should be 2")],
)
def test_another_file_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    expected = rf"speed\.json: .*{problem}.*; expected a speed\.json that `ganbench speed` wrote"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        read(file)
    with pytest.raises(InputError, match=r"speed\.json: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none" / "speed.json")
