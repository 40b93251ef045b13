"""The verdict: each class on trajectories made for it, each threshold from both sides, no exception on anything."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.plugins import registry
from gan.thresholds import THRESHOLDS, Thresholds, thresholds_table
from gan.verdict import UNUSABLE, VERDICTS, Judgement, judge

STEPS, WINDOW = 4_000, 20
STEP = np.arange(WINDOW, STEPS + 1, WINDOW)
EVALUATED = np.arange(400, STEPS + 1, 400)  # three of them in the tail
TAIL = STEP > 3_000
LOG2 = math.log(2)
GOAL: dict[str, tuple[float, str]] = {"ks": (0.5, "lower")}
CROSS, CRITIC = registry.loss("non_saturating"), registry.loss("wasserstein")
Points = list[tuple[int, float]]


def points(values: Any, steps: np.ndarray = STEP) -> Points:
    return list(zip(steps.tolist(), np.broadcast_to(values, len(steps)).tolist(), strict=True))


def noise(size: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, len(STEP))


def wave(amplitude: float, period: float) -> np.ndarray:
    """A sine in the tail and nothing before; period in points."""
    return np.where(TAIL, amplitude * np.sin(2 * np.pi * (STEP / WINDOW) / period + 0.3), 0.0)


METRICS = {
    **{"value": "value/discriminator", "real": "output/real", "fake": "output/fake"},
    **{"gradient": "gradient/generator", "gradient_d": "gradient/discriminator", "logits": "gradient/logits"},
}
"""By the names they have here; every other is a score's."""


def curves(**changed: Any) -> dict[str, Points]:
    """A GAN that met its goal and stays, but for what is changed: by name values, or points."""
    fall = np.exp(-STEP / 400)
    given: dict[str, Any] = {
        **{"value": LOG2 - 0.2 * fall + noise(0.005), "real": 0.5 + 0.2 * fall, "fake": 0.5 - 0.2 * fall},
        **{"gradient": 0.01 + fall, "gradient_d": 0.05, "logits": 0.5},
        **{"ks": 0.25 + np.exp(-EVALUATED / 500), "coverage": 1.0},
    }
    made: dict[str, Points] = {}
    for name, value in (given | changed).items():
        steps = STEP if name in METRICS else EVALUATED
        made[METRICS.get(name, f"score/{name}")] = value if isinstance(value, list) else points(value, steps)
    return made


def judged(made: dict[str, Points], **changed: Any) -> Judgement:
    given: dict[str, Any] = {"status": "ok", "steps": STEPS, "goal": GOAL, "covers": {"coverage": 1.0}, "loss": CROSS}
    return judge(made, **(given | changed))


def verdict(made: dict[str, Points], **changed: Any) -> str:
    return judged(made, **changed).verdict


def in_tail(inside: float, before: float) -> np.ndarray:
    return np.where(TAIL, inside, before)


def starved(**changed: Any) -> dict[str, Points]:
    given: dict[str, Any] = {"value": in_tail(0.001, 0.5), "fake": in_tail(0.001, 0.4), "gradient": in_tail(1e-4, 1.0)}
    return curves(**(given | {"ks": 0.9} | changed))


def collapsed(**changed: Any) -> dict[str, Points]:
    return curves(**({"ks": 0.9, "coverage": np.where(EVALUATED > 2_000, 0.1, 0.9)} | changed))


def swinging(amplitude: float, period: float) -> dict[str, Points]:
    return curves(value=0.6 + wave(amplitude, period))


def noisy(**changed: Any) -> dict[str, Points]:
    """A GAN whose samples are noise to the end."""
    return curves(**({"ks": 0.95, "coverage": [], "hq_share": 0.0, "diversity": 1.4} | changed))


def critic(tail: float) -> dict[str, Points]:
    """A Wasserstein critic, whose outputs are no probabilities."""
    return curves(value=in_tail(tail, -2.0), fake=-7.0, real=3.0, gradient=in_tail(1e-4, 1.0), ks=0.9)


# The classes: of each trajectory its verdict, with what else is given to the judge

LOST = np.where(EVALUATED > 2_000, 0.02, 0.9)
HOPS = np.where(np.arange(len(EVALUATED)) % 2, 0.2, 0.9)
AWAY = 0.6 + 0.5 * np.where(TAIL, (STEP - 3_000) / 1_000, 0.0) ** 2
ONCE = 0.6 + np.where((STEP > 3_000) & (STEP <= 3_400), 0.3 * np.sin(np.pi * (STEP - 3_000) / 200), 0.0)
NOWHERE: Any = [(math.nan, 0.9), (math.inf, 0.9), (STEPS, 0.2)]
MODES: dict[str, Any] = {"covers": {"modes": 10.0}}
NONE: dict[str, Any] = {"goal": {}}
UNTRAINED: dict[str, Any] = {"gradient": 0.0, "fake": 0.01, "coverage": 0.2, "ks": 0.9}
WHOLE: dict[str, Any] = {"goal": {"modes": (10.0, "higher"), "fid_10k": (3.0, "lower")}, "covers": {"modes": 10.0}}
BETTER = curves(modes=np.where(EVALUATED < 1_600, 9, 10), fid_2k=np.linspace(4, 1, 10))

CASES: dict[str, tuple[dict[str, Points], dict[str, Any], str]] = {
    "small gradients at the equilibrium": (curves(gradient=in_tail(1e-6, 1.0)), {}, "converged"),
    "the same, off the goal": (curves(gradient=in_tail(1e-6, 1.0), ks=0.9), {}, "unsettled"),
    "a low value, flat": (curves(value=0.4 + noise(0.02), fake=0.25), {}, "converged"),
    "one burst": (curves(value=np.where(STEP == 3_820, 1e6, 0.6)), {}, "converged"),
    "an infinite value": (curves(value=in_tail(math.inf, 0.6)), {}, "diverged"),
    "a large loss": (curves() | {"loss/generator": points(1e9)}, {}, "converged"),
    "beaten before it began, and no logits to tell": (starved(gradient=1e-30), {}, "unsettled"),
    "starved without a goal": (starved(), NONE, "starved"),
    "starved at its goal": (starved(ks=0.1), {}, "converged"),
    "beaten with a gradient": (starved(gradient=1.0), {}, "unsettled"),
    "beaten by its costs alone": (starved(fake=[]), {}, "starved"),
    "beaten by its outputs alone": (starved(value=0.5), {}, "starved"),
    "the same against a critic": (starved(value=0.5), {"loss": CRITIC}, "starved"),
    "a loss that is not known": (starved(value=in_tail(0.001, 0.5)), {"loss": None}, "unsettled"),
    "never trained": (curves(**UNTRAINED), {}, "unsettled"),
    "never trained, at its goal": (curves(**UNTRAINED | {"ks": 0.1}), {}, "converged"),
    "trained, and covering as little": (curves(**UNTRAINED | {"gradient": 1.0}), {}, "never_covered"),
    "noise covers no mode": (noisy(modes=0.0), MODES, "never_learned"),
    "noise that is beaten": (starved(hq_share=0.0), {}, "starved"),
    "noise without a goal": (noisy(), NONE, "never_learned"),
    "a bad image again and again, after noise": (noisy(diversity=LOST), {}, "never_learned"),
    "the same, where both looked real": (noisy(diversity=LOST, look_share=0.9), {}, "collapsed"),
    "a few modes, far from the goal, of unknown quality": (
        noisy(hq_share=[], diversity=0.1, modes=2.0),
        {"goal": {"ks": (0.1, "lower")}, **MODES},
        "never_covered",
    ),
    "the same, from the start": (noisy(diversity=0.01), {}, "never_learned"),
    "a bad image again and again, after better ones": (curves(hq_share=LOST, diversity=LOST, ks=0.9), {}, "collapsed"),
    "quality lost, diversity not": (curves(hq_share=LOST, diversity=0.9, ks=0.9), {}, "unsettled"),
    "far from noise, and its quality is not scored": (noisy(hq_share=[], ks=0.6), {"noise": {"ks": 1.2}}, "unsettled"),
    "noise by what noise scores": (noisy(hq_share=[]), {"noise": {"ks": 1.0}}, "never_learned"),
    "noise by its distance": (noisy(hq_share=[]), {"goal": {"ks": (0.1, "lower")}}, "never_learned"),
    "too near for noise": (noisy(hq_share=[], ks=0.45), {"goal": {"ks": (0.1, "lower")}}, "unsettled"),
    "noise by a share": (noisy(hq_share=[]), {"goal": {"x": (0.9, "higher")}}, "unsettled"),
    "noise, but for its score": (noisy(ks=np.linspace(2.0, 0.6, 10)), {}, "unsettled"),
    "good samples cover no mode": (curves(modes=0.0, ks=0.9, hq_share=0.5), MODES, "never_covered"),
    "illegible samples, of whose classes nothing is known": (
        curves(modes=0.0, ks=np.linspace(2.0, 0.6, 10), hq_share=0.15, diversity=0.5),
        MODES,
        "unsettled",
    ),
    "legible once, and then of half of the classes": (
        curves(modes=np.where(EVALUATED > 2_000, 3, 9), ks=0.9, hq_share=np.where(EVALUATED > 2_000, 0.1, 0.9)),
        MODES,
        "unsettled",
    ),
    "legible before it covered anything, and never after": (
        curves(modes=np.where(EVALUATED > 800, 10, 1), hq_share=np.where(EVALUATED > 800, 0.3, 0.8)),
        MODES,
        "converged",
    ),
    "one image that looks real and shows nothing": (
        noisy(diversity=0.05, look_share=0.9),
        {},
        "never_covered",
    ),
    "noise that never looks real": (noisy(look_share=0.05), {}, "never_learned"),
    "no quality is scored": (curves(modes=0.0, ks=0.9), MODES, "never_covered"),
    "good samples of one kind": (curves(diversity=0.05, hq_share=0.9), {}, "never_covered"),
    "a little less than half, after more": (
        curves(modes=np.where(EVALUATED > 2_000, 4.9, 8), ks=0.9),
        MODES,
        "unsettled",
    ),
    "half once, by chance": (
        curves(modes=np.where(EVALUATED == 2_000, 6, 4), ks=0.9),
        MODES,
        "never_covered",
    ),
    "half of what there was": (
        curves(modes=np.where(EVALUATED > 2_000, 4, 8)),
        {"covers": {"modes": 8.0}},
        "collapsed",
    ),
    "more than half of it": (curves(modes=np.where(EVALUATED > 2_000, 5, 8)), {"covers": {"modes": 8.0}}, "converged"),
    "noise is more diverse than data": (curves(diversity=np.where(EVALUATED > 2_000, 0.5, 3.0)), {}, "converged"),
    "diversity that comes back": (curves(diversity=np.where(EVALUATED == 2_400, 0.1, 0.9)), {}, "converged"),
    "one evaluation misses modes": (curves(coverage=np.where(EVALUATED == 3_600, 0.3, 0.9)), {}, "converged"),
    "a score comes and goes": (curves(ks=HOPS), {}, "unsettled"),
    "a score about its threshold": (curves(ks=np.where(HOPS > 0.5, 0.6, 0.45)), {}, "converged"),
    "a score that has settled": (curves(ks=np.where(EVALUATED < 2_800, HOPS, 0.2)), {}, "converged"),
    "a value on its way, at the goal": (curves(value=AWAY), {}, "converged"),
    "a value on its way, without a goal": (curves(value=AWAY), NONE, "unsettled"),
    "jitter after one swing": (curves(value=ONCE + noise(0.02)), {}, "converged"),
    "settled without a goal": (curves(), NONE, "converged"),
    "settled, but beaten": (curves(fake=0.01, gradient=1.0), NONE, "unsettled"),
    "nothing recorded, without a goal": ({}, NONE, "unsettled"),
    "the whole goal": (BETTER, WHOLE, "converged"),
    "the whole goal by the score of the end": (BETTER | {"score/fid_10k": [(STEPS, 2.5)]}, WHOLE, "converged"),
    "not by the score of the end": (BETTER | {"score/fid_10k": [(STEPS, 3.5)]}, WHOLE, "unsettled"),
    "a mean over the steps before the tail": (curves(coverage=[(3_000, 0.9), (3_500, 0.1)]), {}, "collapsed"),
    "the same, whatever the quality": (collapsed(hq_share=[(3_000, 0.9), (3_500, 0.0)]), {}, "collapsed"),
    "of one step the last point": (curves(ks=[*points(0.2, EVALUATED), (STEPS, 0.9)]), {}, "unsettled"),
    "steps that are no numbers": (curves(ks=NOWHERE), {}, "converged"),
    "a point that is no number": (collapsed(coverage=[(400, 0.9), (3_500, math.nan), (3_600, 0.1)]), {}, "collapsed"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_a_gan(name: str) -> None:
    made, given, expected = CASES[name]
    assert verdict(made, **given) == expected


def test_a_gan_that_meets_its_goal_and_stays_has_converged() -> None:
    found = judged(curves())
    assert found.verdict == "converged" and found.time_to_goal == 800 and found.time_to_collapse is None
    assert found.drift == pytest.approx(0.0) and found.oscillation == pytest.approx(0.005 * 1.645, rel=0.3)


@pytest.mark.parametrize("batches", [0.014, 0.027])  # standard deviations: what batches of 32 make of 20 steps
def test_the_noise_of_mini_batches_is_no_oscillation(batches: float) -> None:
    for seed in range(20):
        assert verdict(curves(value=0.6 + noise(batches, seed))) == "converged"


@pytest.mark.parametrize("status", ["ok", "diverged", "failed"])
def test_nothing_recorded_is_judged_by_the_status_alone(status: str) -> None:
    found = judged({}, status=status)
    assert found.verdict == ("diverged" if status == "diverged" else "unsettled")
    assert found[2:6] == (None, None, None, None) and found.reason
    assert found.time_to_unusable == (0 if status == "diverged" else None)


def test_a_diverged_replica_keeps_what_it_reached_before() -> None:
    found = judged({m: p[: len(p) // 2] for m, p in curves().items()}, status="diverged")
    assert found.verdict == "diverged" and found.time_to_goal == 800 and found.oscillation is None


@pytest.mark.parametrize(
    ("made", "covers", "step"),
    [
        (collapsed(), {"coverage": 1.0}, 2_400),
        (collapsed(coverage=0.2), {"coverage": 1.0}, None),
        (collapsed(coverage=[(1, 0.5), (2, 0.1)]), {"coverage": 1.0}, None),  # never more than half: no loss
        (collapsed(coverage=[(1, 0.4), (2, 0.6), (3, 0.5), (4, 0.1)]), {"coverage": 1.0}, 4),
        (collapsed(modes=np.where(EVALUATED > 1_200, 2, 8)), {"coverage": 1.0, "modes": 10.0}, 1_600),
    ],
)
def test_time_to_collapse(made: dict[str, Points], covers: dict[str, float], step: int | None) -> None:
    assert judged(made, covers=covers).time_to_collapse == step


@pytest.mark.parametrize(
    ("ks", "reason"),
    [
        (np.linspace(2.0, 0.6, 10), "still improves"),
        (np.linspace(0.6, 2.0, 10), "nor improves"),
        (np.linspace(0.4, 0.6, 10), "lost it"),
        (np.linspace(0.1, 0.45, 10), "drifted"),
        (np.where(EVALUATED == STEPS, np.nan, 0.2), "lost it"),
        ([], "not known"),
    ],
)
def test_unsettled_says_why(ks: Any, reason: str) -> None:
    found = judged(curves(ks=ks))
    assert found.verdict == "unsettled" and reason in found.reason


@pytest.mark.parametrize(
    ("fid_2k", "end", "drift"),
    [
        (np.where(EVALUATED < STEPS, 5.0, 10.0), 6.0, 5.0),
        (np.full(10, 7.0), 6.0, 0.0),  # FID at 2,000 samples is biased upward: its curve is judged by itself
        (np.where(EVALUATED < 1_600, 20.0, 7.0), 6.0, 0.0),
    ],
)
def test_a_score_at_another_number_of_samples_is_no_drift(fid_2k: np.ndarray, end: float, drift: float) -> None:
    made = curves(fid_2k=fid_2k) | {"score/fid_10k": [(STEPS, end)]}
    assert judged(made, goal={"fid_10k": (8.0, "lower")}).drift == drift


def test_drift_counts_from_the_step_that_met_the_whole_goal() -> None:
    made = curves(ks=np.where(EVALUATED < 800, 0.05, 0.45), modes=np.where(EVALUATED < 800, 9, 10))
    found = judged(made, goal=GOAL | {"modes": (10.0, "higher")}, covers={"modes": 10.0})
    assert found.verdict == "converged" and found.time_to_goal == 800 and found.drift == 0.0


def test_oscillation_leaves_out_a_straight_line() -> None:
    found = judged(curves(value=in_tail(0.3, 0.6) + STEP * 1e-4))
    assert found.oscillation == pytest.approx(0.0, abs=1e-9)


# The xy game: one player's number x against the other's y, under the value xy / 2


def xy_game(rate: float, *, simultaneous: bool, damping: float = 0.0) -> Judgement:
    x, y, value, radius = 1.0, 0.0, [], []
    for _ in range(STEPS):
        value.append(x * y / 2)
        new_y = y + rate * (x - damping * y)
        x, y = x - rate * ((y if simultaneous else new_y) + damping * x), new_y
        radius.append(math.hypot(x, y))
    made = {
        "value/discriminator": points(np.array(value).reshape(-1, WINDOW).mean(axis=1)),
        "score/radius": points(np.array(radius)[EVALUATED - 1], EVALUATED),
    }
    return judge(made, status="ok", steps=STEPS, goal={"radius": (0.1, "lower")}, covers={})


@pytest.mark.parametrize(
    ("rate", "simultaneous", "damping", "expected"),
    [
        *((rate, False, 0.0, "oscillating") for rate in (0.02, 0.05, 0.1)),  # circles
        (0.1, True, 0.0, "diverged"),  # spirals out
        (0.02, True, 0.0, "oscillating"),  # outwards, but not far in this many steps
        (0.05, False, 0.1, "converged"),
    ],
)
def test_the_xy_game(rate: float, simultaneous: bool, damping: float, expected: str) -> None:
    assert xy_game(rate, simultaneous=simultaneous, damping=damping).verdict == expected


# The thresholds, each from both sides


def above(x: float) -> float:
    return math.nextafter(x, math.inf)


def ramp(change: float) -> np.ndarray:
    return 0.6 + np.where(TAIL, change * (STEP - 3_020) / 980, 0.0)


def half_turns(number: float) -> np.ndarray:
    return 0.6 + np.where(TAIL, 0.3 * np.cos(number * np.pi * (STEP - 3_000) / 1_000), 0.0)


def at_end(value: float, before: float) -> np.ndarray:
    return np.where(EVALUATED < STEPS, before, value)


def lost(score: str, end: float, best: float) -> dict[str, Points]:
    return curves(ks=0.9, **{score: np.where(EVALUATED > 2_000, end, best)})


def fading(by: float) -> dict[str, Points]:
    return curves(value=0.6 + np.where(STEP > 3_500, by, 1.0) * wave(0.3, 5))


FAR: dict[str, Any] = {"goal": {"ks": (0.1, "lower")}}
BOUNDARIES: dict[str, tuple[dict[str, Points], dict[str, Points], str, dict[str, Any]]] = {
    "tail": (starved(fake=[(3_001, 0.0)], value=0.5), starved(fake=[(3_000, 0.0)], value=0.5), "starved", {}),
    "runaway": (curves(value=above(10.0)), curves(value=10.0), "diverged", {}),
    "runaway_critic": (curves(value=-above(100.0)), curves(value=-100.0), "diverged", {"loss": CRITIC}),
    "quality": (noisy(hq_share=0.2), noisy(hq_share=above(0.2)), "never_learned", {}),
    "progress": (
        noisy(ks=np.where(EVALUATED > 3_200, 0.945, 1.0)),
        noisy(ks=np.where(EVALUATED > 3_200, 0.935, 1.0)),
        "never_learned",
        {"goal": {"ks": (0.85, "lower")}},
    ),
    "far": (noisy(hq_share=[], ks=0.51), noisy(hq_share=[], ks=0.49), "never_learned", FAR),
    "fooled": (starved(fake=0.1, value=0.5), starved(fake=above(0.1), value=0.5), "starved", {}),
    "separation": (critic(-1.0), critic(above(-1.0)), "starved", {"loss": CRITIC}),
    "gradient": (starved(gradient=in_tail(0.05, 1.0)), starved(gradient=in_tail(above(0.05), 1.0)), "starved", {}),
    "logit_gradient": (
        starved(gradient=1.0, logits=0.01),
        starved(gradient=1.0, logits=above(0.01)),
        "starved",
        {},
    ),
    "legible": (
        curves(coverage=0.1, hq_share=0.5),
        curves(coverage=0.1, hq_share=math.nextafter(0.5, 0)),
        "never_covered",
        {},
    ),
    "covered": (curves(coverage=0.5), curves(coverage=above(0.5)), "never_covered", {}),
    "diverse": (curves(diversity=0.25), curves(diversity=above(0.25)), "never_covered", {}),
    "lost": (lost("coverage", 0.35, 0.6), lost("coverage", 0.37, 0.6), "collapsed", {}),
    "alarms": (swinging(0.3, 5), curves(value=0.6 + noise(0.3)), "oscillating", {}),
    "swing": (swinging(0.051, 12), swinging(0.049, 12), "oscillating", {}),
    "fading": (fading(0.55), fading(0.45), "oscillating", {}),
    "turns": (curves(value=half_turns(5.2)), curves(value=half_turns(3)), "oscillating", {}),
    "drift": (curves(ks=at_end(above(0.375), 0.125)), curves(ks=at_end(0.375, 0.125)), "unsettled", {}),
    "trend": (curves(value=ramp(0.051)), curves(value=ramp(0.049)), "unsettled", {"goal": {}}),
    "errors": (
        curves(value=ramp(0.3) + noise(0.02)),
        curves(value=ramp(0.1) + noise(0.4)),
        "unsettled",
        {"goal": {}},
    ),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_just_inside_a_threshold_is_not_just_outside(name: str) -> None:
    inside, outside, expected, given = BOUNDARIES[name]
    assert verdict(inside, **given) == expected
    assert verdict(outside, **given) != expected
    # Moved out of the way, the threshold no longer tells the two sides apart.
    moved = [dataclasses.replace(THRESHOLDS, **{name: x}) for x in (-1e9, 1e9)]
    assert any(verdict(inside, **given, thresholds=t) == verdict(outside, **given, thresholds=t) for t in moved)


def test_every_threshold_has_a_boundary() -> None:
    assert (
        [*BOUNDARIES] == [name for name, *_ in thresholds_table()] == [f.name for f in dataclasses.fields(Thresholds)]
    )


def test_the_table_has_a_meaning_for_each_threshold() -> None:
    for name, value, meaning in thresholds_table():
        assert value == getattr(THRESHOLDS, name) and len(meaning) > 20
    changed = thresholds_table(Thresholds(swing=0.1))
    assert [row[:2] for row in changed if row not in thresholds_table()] == [("swing", 0.1)]


# Precedence


def test_each_class_goes_before_those_after_it() -> None:
    everything = starved(hq_share=0.0, diversity=0.05)
    everything["value/discriminator"] = points(0.1 + np.abs(wave(0.3, 12)) * 2)
    assert verdict(everything, status="diverged") == "diverged"
    assert verdict(everything | {"value/discriminator": points(1e3)}) == "diverged"
    assert verdict(everything) == "starved"
    everything["output/fake"] = points(0.4)
    assert verdict(everything) == "never_learned"
    everything["score/hq_share"] = points(0.5, EVALUATED)
    everything["score/coverage"] = points(np.where(EVALUATED > 2_000, 0.1, 0.9), EVALUATED)
    assert verdict(everything) == "collapsed"
    everything["score/coverage"] = points(1.0, EVALUATED)
    assert verdict(everything) == "never_covered"
    everything["score/diversity"] = points(0.8, EVALUATED)
    assert verdict(everything) == "oscillating"
    assert verdict(everything | {"score/ks": points(0.1, EVALUATED)}) == "oscillating"  # even at its goal
    everything["value/discriminator"] = points(0.5)
    assert verdict(everything) == "unsettled"
    assert verdict(everything | {"score/ks": points(0.1, EVALUATED)}) == "converged"
    assert verdict(everything, status="failed") == "unsettled"


def test_documents_name_the_verdicts() -> None:
    root = Path(__file__).parents[2]
    said = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    assert f"({', '.join(VERDICTS)})" in said
    (row,) = [
        x for x in (root / "docs/glossary.md").read_text(encoding="utf-8").splitlines() if x.startswith("| of no")
    ]
    assert all(name in row for name in UNUSABLE)


def test_what_is_of_no_use() -> None:
    assert set(UNUSABLE) == {"diverged", "never_learned", "starved", "collapsed", "never_covered"}


# Invariances

EXAMPLES = {
    "converged": curves(),
    "starved": starved(),
    "collapsed": collapsed(),
    "oscillating": swinging(0.2, 12),
    "unsettled": curves(ks=0.9),
    "diverged": curves(value=in_tail(1e3, 1.0)),
    "never_learned": noisy(),
    "never_covered": curves(diversity=0.05, ks=0.9),
}


def test_the_examples_are_what_they_are_called() -> None:
    assert {name: verdict(made) for name, made in EXAMPLES.items()} == {name: name for name in VERDICTS}


def scaled(made: dict[str, Points], start: str, by: float) -> dict[str, Points]:
    return {m: [(s, v * by) for s, v in p] if m.startswith(start) else p for m, p in made.items()}


@given(by=st.floats(1e-9, 1e9), name=st.sampled_from(list(VERDICTS)))
def test_the_scale_of_gradient_norms_changes_nothing(by: float, name: str) -> None:
    made = EXAMPLES[name]
    assert judged(scaled(scaled(made, "gradient/generator", by), "gradient/discriminator", by)) == judged(made)


@given(by=st.floats(1e-6, 40), tail=st.sampled_from([-2.0, -0.5]), swings=st.booleans())
def test_the_scale_of_a_critic_changes_nothing_but_the_amplitude(by: float, tail: float, swings: bool) -> None:
    made = critic(tail)
    if swings:
        made["value/discriminator"] = points(in_tail(tail, -2.0) + wave(0.4, 12))
    assert verdict(scaled(made, "value/", by), loss=CRITIC) == verdict(made, loss=CRITIC)


@pytest.mark.parametrize("name", VERDICTS)
def test_the_order_of_metrics_and_points_changes_nothing(name: str) -> None:
    made, mix = EXAMPLES[name], random.Random(0)
    mixed = {m: mix.sample(made[m], len(made[m])) for m in mix.sample(list(made), len(made))}
    assert judged(mixed) == judged(made)


@pytest.mark.parametrize("name", VERDICTS)
def test_nan_points_change_nothing(name: str) -> None:
    made = EXAMPLES[name]
    spoilt = {
        m: sorted([*p, *[(s + 1, math.nan) for s, _ in p[:-1]]]) if "score" not in m else p for m, p in made.items()
    }
    assert verdict(spoilt) == verdict(made)


# When a generator was of no use any more


@pytest.mark.parametrize(
    ("made", "given", "step"),
    [
        (curves(value=in_tail(1e3, 1.0)), {}, 3_020),
        (curves(), {"status": "diverged"}, STEPS),
        (curves(value=np.where(STEP > 2_000, np.nan, 0.6)), {}, STEPS),
        (starved(), {}, 3_000),
        (starved(gradient=np.where(STEP < 1_000, 1.0, 1e-4)), {}, 980),
        (starved(gradient=1.0, logits=0.001), {}, 3_000),
        (collapsed(), {}, 2_400),
        (noisy(), {}, 400),
        (curves(diversity=0.1), {}, 400),
        (curves(), {}, None),
        (starved(ks=0.1), {}, None),
    ],
)
def test_time_to_unusable(made: dict[str, Points], given: dict[str, Any], step: int | None) -> None:
    found = judged(made, **given)
    assert found.time_to_unusable == step and (found.verdict in UNUSABLE) == (step is not None)


# Nothing raises

VALUE = st.floats() | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan])
METRIC = st.sampled_from([*curves(), "score/modes", "score/hq_share", "score/fid_2k", "score/fid_10k", "score/", "x"])
CURVE = st.lists(st.tuples(st.integers(-5, 120), VALUE), max_size=40)
SCORE = st.sampled_from(["ks", "coverage", "modes", "fid_10k", "fid_2k", "missing", ""])


@given(
    made=st.dictionaries(METRIC, CURVE, max_size=8),
    status=st.sampled_from(["ok", "diverged", "failed", ""]),
    steps=st.sampled_from([0, 1, 2, 50, 100]),
    goal=st.dictionaries(SCORE, st.tuples(VALUE, st.sampled_from(["lower", "higher"])), max_size=3),
    covers=st.dictionaries(SCORE, VALUE, max_size=2),
)
def test_any_curves_are_judged(
    made: dict[str, Points],
    status: str,
    steps: int,
    goal: dict[str, tuple[float, str]],
    covers: dict[str, float],
) -> None:
    found = judge(made, status=status, steps=steps, goal=goal, covers=covers)
    assert found.verdict in VERDICTS and found.reason.endswith(".")
    assert found.drift is None or 0 <= found.drift < math.inf
    assert found.oscillation is None or 0 <= found.oscillation < math.inf
    evaluated = {s for m, p in made.items() if m.startswith("score/") for s, _ in p}
    assert found.time_to_goal is None or found.time_to_goal in evaluated
    assert found.time_to_collapse is None or found.time_to_collapse in evaluated
    if found.verdict == "converged" and goal:
        assert found.time_to_goal is not None and found.drift is not None
