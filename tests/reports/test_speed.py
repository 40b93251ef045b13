"""The page on speed, from figures that can be worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gan.errors import InputError
from reports.pages.speed import compile_page, read
from reports.speed import results as results
from reports.speed.goals import goals, headlines
from reports.speed.growth import growth_lines, growth_table

STYLES = ("as written", "no host reads")


def rounds(*seconds: float) -> list[dict[str, float]]:
    """Rounds with these seconds of the processor, and twice as many on the clock."""
    return [{"cpu": s, "wall": 2 * s} for s in seconds]


def row(width: int, times: list[dict[str, float]] | None, **more: Any) -> dict[str, Any]:
    content = {
        "planned": False, "mode": "vmap", "compiled": False, "width": width, "replicas": width, "reason": None,
        "same_as": None, "steps_a_round": 10, "first_seconds": 3.0, "build_seconds": 1.0, "peak_bytes": 2**30,
    }  # fmt: skip
    return content | ({"rounds": times} if times else {}) | more


def group(replicas: int, *rows: dict[str, Any]) -> dict[str, Any]:
    # The loop takes 1, 2 and 3 s for 100 steps as written, and half of it without host reads.
    plain = {STYLES[0]: rounds(1.0, 2.0, 3.0), STYLES[1]: rounds(0.5, 1.0, 1.5)}
    return {"replicas": replicas, "rows": list(rows), "plain": plain}


def measured(device: str = "cpu") -> dict[str, Any]:
    # A replica-step of 0.02 s by the loop. Ours: eight in 10 steps, 1 s: 0.0125 s.
    eight = row(8, rounds(1.0, 1.0, 1.0), planned=True)
    again = row(8, None, planned=True, same_as=8)
    whole = row(32, rounds(0.4, 0.8, 0.4), compiled=True)  # 0.00125 s in the middle
    refused = row(512, None, reason="one step of all might take 60 s")
    system = {
        "system": "a", "study": "system-a", "title": "System A", "batch": 512, "steps": 50, "tf32": device == "cuda",
        "flops": 4e6, "bytes": 1e5, "parameters": 100.0,
        "plain": [
            {"style": s, "steps_a_round": 100, "first_seconds": 0.1, "build_seconds": 0.1, "peak_bytes": 2**29}
            for s in STYLES
        ],
        "groups": [group(8, eight), group(32, again, whole), group(512, refused)],
        "processes": [{"runs": 2, "steps": 50, "cpu": 4.0, "wall": 4.0}],
    }  # fmt: skip
    product = {"precision": "tf32" if device == "cuda" else "float32", "size": 256, "flops_per_second": 8e9}
    peak = {"products": [product], "batched": [{**product, "products": 4, "flops_per_second": 2e9}], "bandwidth": 1e9}
    points = [{"at": n, "flops": 1e6, "bytes": 1e5, "rounds": rounds(0.004 + 0.001 * n)} for n in (1, 2, 8, 32)]
    fixed = {"batch": 64, "width": 32}
    return {
        "format": 1, "command": "ganbench speed", "date": "2026-11-22T10:00:00+00:00", "minutes": 3.0, "commit": "abc",
        "device": device, "hardware": {"processor": "one", "cores": 2, "memory_gib": 4.0, "system": "Linux"},
        "versions": {"python": "3.11", "torch": "2.15"}, "quick": False, "rounds": 3, "seconds": 1.0, "cores": 2,
        "compiler": True, "mnist": "real", "base_bytes": 2**28, "peaks": [peak, peak], "systems": [system],
        "studies": [
            {
                "system": "a", "batch": 512, "runs": 64, "steps": 50, "ours": rounds(20.0, 16.0),
                "plain": [{**times, "runs": 2, "steps": 50} for times in rounds(3.0, 3.0, 30.0)],
            },
            {"system": "a", "batch": 64, "runs": 8, "reason": "its process ended"},
        ],
        "growth": [{"axis": "replicas", "compiled": False, "fixed": fixed, "points": points}],
    }  # fmt: skip


def rows_of(content: dict[str, Any]) -> list[results.Row]:
    return results.rows(content, content["systems"][0])


def test_times_and_ratios_are_medians_of_rounds() -> None:
    eight, _, whole = rows_of(measured())
    assert eight.seconds == pytest.approx(0.0125) and eight.rate == pytest.approx(80)
    # Round by round the loop takes 0.01, 0.02 and 0.03 s.
    assert (eight.ratio.median, eight.ratio.low, eight.ratio.high) == pytest.approx((1.6, 0.8, 2.4))
    assert eight.fairest.median == pytest.approx(0.8)
    assert whole.seconds == pytest.approx(0.00125)
    assert (whole.ratio.low, whole.ratio.median, whole.ratio.high) == pytest.approx((8.0, 8.0, 24.0))
    # One process a run takes 4 s for 2 x 50 steps.
    assert eight.processes == pytest.approx(3.2)


def test_shares_and_what_limits_a_row() -> None:
    eight, _, whole = rows_of(measured())
    assert results.bound(measured(), measured()["systems"][0]) == pytest.approx(5e-4)  # 4e6 / 8e9, not 1e5 / 1e9
    assert (whole.peak_share, whole.bandwidth_share, whole.bound_share) == pytest.approx((0.4, 0.08, 0.4))
    assert whole.limit == "arithmetic" and eight.limit == "overhead"
    content = measured()
    content["systems"][0]["bytes"] = 1e6
    assert rows_of(content)[-1].limit == "memory" and rows_of(content)[-1].bound_share == pytest.approx(0.8)


def test_the_clock_is_the_gpu_s() -> None:
    assert rows_of(measured("cuda"))[0].seconds == pytest.approx(0.025)


def test_a_cohort_of_an_earlier_group_is_taken_from_there() -> None:
    eight, again, whole = rows_of(measured())
    assert (again.asked, again.seconds, again.ratio) == (32, eight.seconds, eight.ratio)
    assert again.planned and not again.side_by_side and whole.side_by_side
    assert results.unmeasured(measured()["systems"][0]) == [
        (512, "512 side by side, eager", "one step of all might take 60 s")
    ]


def test_how_replicas_are_trained_in_words() -> None:
    assert results.how(row(1, None)) == "alone, eager"
    assert results.how(row(8, None, replicas=5, compiled=True)) == "5 side by side (of 8 places), compiled"
    assert results.how(row(1, None, mode="loop")) == "one after the other"


def test_a_whole_study_is_scaled_from_the_processes() -> None:
    (study,) = results.whole_studies(measured())
    # A pair of processes takes 6 s on the clock, the median of three, so 64 runs take 192 s.
    assert study.plain_seconds == pytest.approx(192.0) and study.ours == (40.0, 32.0)
    assert study.ratios == pytest.approx((4.8, 6.0)) and study.core_ratios == pytest.approx((4.8, 6.0))


def test_a_fit_finds_the_line_and_its_knee() -> None:
    found = results.fit([1, 2, 8, 32], [5.0, 6.0, 12.0, 36.0])
    assert (found.fixed, found.each, found.knee) == pytest.approx((4.0, 1.0, 4.0)) and found.worst < 1e-9
    assert results.fit([1, 2, 4], [1.0, 2.0, 4.0]).fixed == pytest.approx(0.0, abs=1e-9)
    assert math.isinf(results.fit([1, 2, 4], [3.0, 2.0, 1.0]).knee)


def test_widths_are_fitted_against_their_operations() -> None:
    content = measured()
    points = [{"at": h, "flops": float(h**2), "rounds": rounds(1.0 + h**2 / 4096)} for h in (8, 16, 32, 64, 128)]
    content["growth"] = [{"axis": "width", "compiled": True, "fixed": {"replicas": 2, "batch": 4}, "points": points}]
    assert results.curve(content, content["growth"][0])[3] == pytest.approx(64.0)
    assert growth_table(content)[0]["both equal at"] == "64 numbers wide"


def test_growth_is_explained_from_the_points() -> None:
    (line,) = growth_lines(measured())
    assert line.startswith("**Replicas, eager** (64 samples a batch, 32 wide): leaves the flat part at 4 replicas. ")
    # At the last point 32 x 1e6 operations in 36 ms, of 8e9 a second.
    assert "costs 4.00 ms before it computes anything" in line and "11 % at the last" in line


def test_goals_are_met_or_missed() -> None:
    outcomes = [goal[""] for goal in goals(measured())]
    # 1.6 times at 32 replicas, of the 4 hoped for; whole studies 4.8 and 6 times, of 4; the rest was not measured.
    assert outcomes == ["missed", "not measured", "met", "met", "not measured", "not measured", "not measured"]
    assert [goal[""] for goal in goals(measured("cuda"))] == ["missed", "missed", "missed"] + 2 * ["not measured"]
    said = headlines(measured())
    assert said[0].startswith("System A, batch 512: at best 1.60 times the plain loop on one core")
    assert said[-1] == "Of 7 goals 2 are met, 1 missed and 4 not measured."


def test_the_page_is_a_function_of_the_file(tmp_path: Path) -> None:
    page = compile_page(measured(), tmp_path / "one")
    assert page == tmp_path / "one/report.md"
    text = page.read_text(encoding="utf-8")
    assert "- 512 replicas, 512 side by side, eager: one step of all might take 60 s" in text
    assert "at batch 64" not in text and "undefined" not in text.lower() and "\n\n\n" not in text
    again = compile_page(read(tmp_path / "one/speed.json"), tmp_path / "two")
    for name in ("report.md", "rates.png", "growth.png", "speed.json"):
        assert (again.parent / name).read_bytes() == (page.parent / name).read_bytes()


def test_a_run_without_growth_or_studies_has_a_page(tmp_path: Path) -> None:
    content = {**measured(), "growth": [], "studies": [], "quick": True}
    text = compile_page(content, tmp_path).read_text(encoding="utf-8")
    assert "**A quick run.**" in text and "## Growth" not in text and "## A whole study" not in text
    assert not (tmp_path / "growth.png").exists()


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 0})])
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"speed\.json: .*expected a speed\.json that `ganbench speed` wrote"):
        read(file)
