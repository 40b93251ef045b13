"""The verdict: each class on a trajectory made for it, each threshold from both sides, and no exception on anything."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.verdict import THRESHOLDS, VERDICTS, Judgement, Thresholds, judge, thresholds_table

STEPS, WINDOW = 4_000, 20
STEP = np.arange(WINDOW, STEPS + 1, WINDOW)
EVALUATED = np.arange(400, STEPS + 1, 400)  # three of them in the tail
TAIL = STEP > 3_000
LOG2 = math.log(2)
GOAL: dict[str, tuple[float, str]] = {"ks": (0.5, "lower")}
Points = list[tuple[int, float]]


def points(values: Any, steps: np.ndarray = STEP) -> Points:
    return list(zip(steps.tolist(), np.broadcast_to(values, len(steps)).tolist(), strict=True))


def noise(size: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, len(STEP))


def wave(amplitude: float, period: float) -> np.ndarray:
    """A sine in the tail and nothing before; period in points."""
    return np.where(TAIL, amplitude * np.sin(2 * np.pi * (STEP / WINDOW) / period + 0.3), 0.0)


def curves(**changed: Any) -> dict[str, Points]:
    """A GAN that met its goal and stays; `changed` names metrics with __ for /, and gives values or points."""
    fall = np.exp(-STEP / 400)
    made = {
        "value/discriminator": points(LOG2 - 0.2 * fall + noise(0.005)),
        "output/real": points(0.5 + 0.2 * fall),
        "output/fake": points(0.5 - 0.2 * fall),
        "gradient/generator": points(0.01 + fall),
        "gradient/discriminator": points(0.05),
        "gradient/logits": points(0.5),
        "score/ks": points(0.25 + np.exp(-EVALUATED / 500), EVALUATED),
        "score/coverage": points(1.0, EVALUATED),
    }
    for name, value in changed.items():
        metric = name.replace("__", "/")
        steps = EVALUATED if metric.startswith("score/") else STEP
        made[metric] = value if isinstance(value, list) else points(value, steps)
    return made


def judged(made: dict[str, Points], **changed: Any) -> Judgement:
    given: dict[str, Any] = {"status": "ok", "steps": STEPS, "goal": GOAL, "covers": {"coverage": 1.0}}
    return judge(made, **(given | changed))


def verdict(made: dict[str, Points], **changed: Any) -> str:
    return judged(made, **changed).verdict


def in_tail(inside: float, before: float) -> np.ndarray:
    return np.where(TAIL, inside, before)


def starved(**changed: Any) -> dict[str, Points]:
    given = {"output__fake": in_tail(0.001, 0.4), "gradient__generator": in_tail(1e-4, 1.0), "score__ks": 0.9}
    return curves(**(given | {"value__discriminator": in_tail(0.001, 0.5), "score__coverage": 1.0} | changed))


def collapsed(**changed: Any) -> dict[str, Points]:
    return curves(**({"score__ks": 0.9, "score__coverage": np.where(EVALUATED > 2_000, 0.1, 0.9)} | changed))


def oscillating(**changed: Any) -> dict[str, Points]:
    return curves(**({"value__discriminator": 0.6 + wave(0.2, 12)} | changed))


def critic(tail: float, **changed: Any) -> dict[str, Points]:
    """A Wasserstein critic, whose outputs are no probabilities."""
    given = {"value__discriminator": in_tail(tail, -2.0), "output__fake": -7.0, "output__real": 3.0}
    return curves(**(given | {"gradient__generator": in_tail(1e-4, 1.0), "score__ks": 0.9} | changed))


# The classes


def test_a_gan_that_meets_its_goal_and_stays_has_converged() -> None:
    found = judged(curves())
    assert found.verdict == "converged" and found.time_to_goal == 800 and found.time_to_collapse is None
    assert found.drift == pytest.approx(0.0) and found.oscillation == pytest.approx(0.005 * 1.645, rel=0.3)


def test_small_gradients_at_the_equilibrium_do_not_starve() -> None:
    assert verdict(curves(gradient__generator=in_tail(1e-6, 1.0))) == "converged"
    assert verdict(curves(gradient__generator=in_tail(1e-6, 1.0), score__ks=0.9)) == "unsettled"


def test_a_value_well_below_log_2_is_fine_when_the_goal_is_met_and_it_is_flat() -> None:
    assert verdict(curves(value__discriminator=0.4 + noise(0.02), output__fake=0.25)) == "converged"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("batches", [0.014, 0.027])  # standard deviations: what batches of 32 make of 20 steps
def test_the_noise_of_mini_batches_is_no_oscillation(seed: int, batches: float) -> None:
    assert verdict(curves(value__discriminator=0.6 + noise(batches, seed))) == "converged"


@pytest.mark.parametrize("status", ["ok", "diverged", "failed"])
def test_nothing_recorded_is_judged_by_the_status_alone(status: str) -> None:
    found = judged({}, status=status)
    assert found.verdict == ("diverged" if status == "diverged" else "unsettled")
    assert found[2:] == (None, None, None, None) and found.reason


def test_a_diverged_replica_keeps_what_it_reached_before() -> None:
    found = judged({m: p[: len(p) // 2] for m, p in curves().items()}, status="diverged")
    assert found.verdict == "diverged" and found.time_to_goal == 800 and found.oscillation is None


def test_one_burst_is_no_divergence() -> None:
    value = np.full(len(STEP), 0.6)
    value[-10] = 1e6
    assert verdict(curves(value__discriminator=value)) == "converged"


def test_an_infinite_value_diverged() -> None:
    assert verdict(curves(value__discriminator=in_tail(math.inf, 0.6))) == "diverged"


def test_the_generator_s_loss_alone_is_no_divergence() -> None:
    assert verdict(curves(loss__generator=1e9, loss__discriminator=1e9)) == "converged"


def test_a_starved_generator() -> None:
    found = judged(starved())
    assert found.verdict == "starved" and "0.0001" in found.reason
    assert verdict(starved(gradient__generator=1e-30)) == "unsettled"  # beaten before it began, and no logits to tell
    assert verdict(starved(), goal={}) == "starved"


def test_a_beaten_generator_with_gradient_is_not_starved() -> None:
    assert verdict(starved(gradient__generator=1.0)) == "unsettled"


def test_noise_images_have_not_collapsed() -> None:
    few = {"score__modes": 0.0, "score__ks": 0.9}
    assert verdict(curves(**few, score__hq_share=0.0), covers={"modes": 10.0}) == "unsettled"
    assert verdict(curves(**few, score__hq_share=0.5), covers={"modes": 10.0}) == "collapsed"
    assert verdict(curves(**few), covers={"modes": 10.0}) == "collapsed"  # no quality is scored: coverage decides


def test_one_evaluation_that_misses_modes_is_no_collapse() -> None:
    assert verdict(curves(score__coverage=np.where(EVALUATED == 3_600, 0.3, 0.9))) == "converged"


def test_time_to_collapse_needs_something_to_lose() -> None:
    assert judged(collapsed()).time_to_collapse == 2_400
    assert judged(collapsed(score__coverage=0.2)).time_to_collapse is None
    assert judged(collapsed(score__coverage=[(1, 0.5), (2, 0.1)])).time_to_collapse is None
    assert judged(collapsed(score__coverage=[(1, 0.4), (2, 0.6), (3, 0.5), (4, 0.1)])).time_to_collapse == 3
    both = collapsed(score__modes=np.where(EVALUATED > 1_200, 2, 8))
    assert judged(both, covers={"coverage": 1.0, "modes": 10.0}).time_to_collapse == 1_600


def test_a_goal_score_that_comes_and_goes_oscillates() -> None:
    hops = np.where(np.arange(len(EVALUATED)) % 2, 0.2, 0.9)
    assert verdict(curves(score__ks=hops)) == "oscillating"
    assert verdict(curves(score__ks=np.where(hops > 0.5, 0.6, 0.45))) == "converged"  # about the threshold: noise
    assert verdict(curves(score__ks=np.where(EVALUATED < 2_800, hops, 0.2))) == "converged"  # settled since


def test_a_drift_is_no_oscillation() -> None:
    away = 0.6 + 0.5 * np.where(TAIL, (STEP - 3_000) / 1_000, 0.0) ** 2
    assert verdict(curves(value__discriminator=away)) == "converged"  # by its goal
    assert verdict(curves(value__discriminator=away), goal={}) == "unsettled"


def test_jitter_after_one_swing_makes_no_turns() -> None:
    once = np.where((STEP > 3_000) & (STEP <= 3_400), 0.3 * np.sin(np.pi * (STEP - 3_000) / 200), 0.0)
    found = judged(curves(value__discriminator=0.6 + once + noise(0.02)))
    assert found.verdict == "converged" and (found.oscillation or 0) > 0.2


def test_without_a_goal_settled_losses_decide() -> None:
    found = judged(curves(), goal={})
    assert found.verdict == "converged" and found.time_to_goal is None and found.drift is None
    assert verdict(curves(output__fake=0.01, gradient__generator=1.0), goal={}) == "unsettled"  # settled, but beaten
    assert verdict({}, goal={}) == "unsettled"


def test_a_goal_that_was_not_scored_is_not_met() -> None:
    found = judged(curves(), goal=GOAL | {"fid_10k": (9.0, "lower")})
    assert found.verdict == "unsettled" and found.time_to_goal is None and "not known" in found.reason


@pytest.mark.parametrize(
    ("ks", "reason"),
    [
        (np.linspace(2.0, 0.6, 10), "still improves"),
        (np.linspace(0.6, 2.0, 10), "nor improves"),
        (np.linspace(0.4, 0.6, 10), "lost it"),
        (np.linspace(0.1, 0.45, 10), "drifted"),
        (np.where(EVALUATED == STEPS, np.nan, 0.2), "lost it"),
    ],
)
def test_unsettled_says_why(ks: np.ndarray, reason: str) -> None:
    found = judged(curves(score__ks=ks))
    assert found.verdict == "unsettled" and reason in found.reason


def test_every_score_of_the_goal_counts_and_the_leading_one_drifts() -> None:
    made = curves(score__modes=np.where(EVALUATED < 1_600, 9, 10), score__fid_2k=np.linspace(4, 1, 10))
    goal = {"modes": (10.0, "higher"), "fid_10k": (3.0, "lower")}
    found = judged(made, goal=goal, covers={"modes": 10.0})
    assert found.verdict == "converged" and found.time_to_goal == 1_600 and found.drift == 0.0
    # The score of the end is taken on more samples: it says whether the goal is met, its family's curve what drifted.
    last = judged(made | {"score/fid_10k": [(STEPS, 2.5)]}, goal=goal, covers={"modes": 10.0})
    assert last.verdict == "converged" and last.drift == 0
    assert verdict(made | {"score/fid_10k": [(STEPS, 3.5)]}, goal=goal, covers={"modes": 10.0}) == "unsettled"


def test_drift_counts_from_the_step_that_met_the_whole_goal() -> None:
    made = curves(score__ks=np.where(EVALUATED < 800, 0.05, 0.45), score__modes=np.where(EVALUATED < 800, 9, 10))
    found = judged(made, goal=GOAL | {"modes": (10.0, "higher")}, covers={"modes": 10.0})
    assert found.verdict == "converged" and found.time_to_goal == 800 and found.drift == 0.0


def test_oscillation_leaves_out_a_straight_line() -> None:
    found = judged(curves(value__discriminator=in_tail(0.3, 0.6) + STEP * 1e-4))
    assert found.oscillation == pytest.approx(0.0, abs=1e-9)


def test_the_last_point_of_a_step_counts() -> None:
    assert verdict(curves(score__ks=[*[(STEPS, 0.2)] * 60, (STEPS, 0.9)])) == "unsettled"
    assert verdict(curves(score__ks=[*points(0.2, EVALUATED), (STEPS, 0.9)])) == "unsettled"


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


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_the_xy_game_circles_when_players_alternate(rate: float) -> None:
    assert xy_game(rate, simultaneous=False).verdict == "oscillating"


def test_the_xy_game_spirals_out_when_players_move_at_once() -> None:
    assert xy_game(0.1, simultaneous=True).verdict == "diverged"
    assert xy_game(0.02, simultaneous=True).verdict == "oscillating"  # outwards, but not far in this many steps


def test_the_damped_xy_game_converges() -> None:
    assert xy_game(0.05, simultaneous=False, damping=0.1).verdict == "converged"


# The thresholds, each from both sides


def above(x: float) -> float:
    return math.nextafter(x, math.inf)


def below(x: float) -> float:
    return math.nextafter(x, -math.inf)


BOUNDARIES: dict[str, tuple[dict[str, Points], dict[str, Points], str]] = {
    "runaway": (curves(value__discriminator=above(100.0)), curves(value__discriminator=100.0), "diverged"),
    "fooled": (starved(output__fake=0.05), starved(output__fake=above(0.05)), "starved"),
    "separation": (critic(-1.0), critic(above(-1.0)), "starved"),
    "gradient": (
        starved(gradient__generator=in_tail(0.02, 1.0)),
        starved(gradient__generator=in_tail(above(0.02), 1.0)),
        "starved",
    ),
    "logit_gradient": (
        starved(gradient__generator=1.0, gradient__logits=0.01),
        starved(gradient__generator=1.0, gradient__logits=above(0.01)),
        "starved",
    ),
    "coverage": (curves(score__coverage=0.5), curves(score__coverage=above(0.5)), "collapsed"),
    "quality": (collapsed(score__hq_share=0.05), collapsed(score__hq_share=below(0.05)), "collapsed"),
    "swing": (
        curves(value__discriminator=0.6 + wave(0.055, 12)),
        curves(value__discriminator=0.6 + wave(0.045, 12)),
        "oscillating",
    ),
    # From 0.3 / sqrt(20) = 0.067 nats on, whatever the period, an amplitude is beyond noise.
    "smoothness": (
        curves(value__discriminator=0.6 + wave(0.06, 7.5)),
        curves(value__discriminator=0.6 + wave(0.06, 5.5)),
        "oscillating",
    ),
    "step_swing": (
        curves(value__discriminator=0.6 + wave(0.074, 3.3)),
        curves(value__discriminator=0.6 + wave(0.064, 3.3)),
        "oscillating",
    ),
    "turns": (
        curves(value__discriminator=0.6 + np.where(TAIL, 0.3 * np.cos(4 * np.pi * (STEP - 3_000) / 1_000), 0.0)),
        curves(
            value__discriminator=0.6
            + np.where(TAIL, 0.3 * np.cos(3 * np.pi * (STEP - 3_000) / 1_000), 0.0)
            + noise(0.03)
        ),
        "oscillating",
    ),
    "drift": (
        curves(score__ks=np.where(EVALUATED < STEPS, 0.125, above(0.375))),
        curves(score__ks=np.where(EVALUATED < STEPS, 0.125, 0.375)),
        "unsettled",
    ),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_just_inside_a_threshold_is_not_just_outside(name: str) -> None:
    inside, outside, expected = BOUNDARIES[name]
    assert verdict(inside) == expected
    assert verdict(outside) != expected


@pytest.mark.parametrize(("change", "expected"), [(0.049, "converged"), (0.051, "unsettled"), (-0.051, "unsettled")])
def test_the_trend_s_threshold(change: float, expected: str) -> None:
    ramp = 0.6 + np.where(TAIL, change * (STEP - 3_020) / 980, 0.0)
    assert verdict(curves(value__discriminator=ramp), goal={}) == expected


@pytest.mark.parametrize(("step", "expected"), [(3_001, "collapsed"), (3_000, "converged")])
def test_the_tail_s_threshold(step: int, expected: str) -> None:
    assert verdict(curves(score__coverage=[(400, 0.9), (step, 0.1)])) == expected
    # A point at the tail's very beginning is a mean over the steps before it.
    assert verdict(curves(score__coverage=[(3_000, 0.9), (3_500, 0.1)])) == "collapsed"
    assert verdict(collapsed(score__hq_share=[(3_000, 0.9), (3_500, 0.0)])) == "unsettled"


def test_every_threshold_has_its_test_and_decides() -> None:
    names = {name for name, *_ in thresholds_table()}
    assert names == {*BOUNDARIES, "trend", "tail"} == {f.name for f in dataclasses.fields(Thresholds)}
    # Moved out of the way, the threshold no longer tells the two sides apart.
    for name, (inside, outside, _) in BOUNDARIES.items():
        moved = [dataclasses.replace(THRESHOLDS, **{name: x}) for x in (-1e9, 1e9)]
        assert any(verdict(inside, thresholds=t) == verdict(outside, thresholds=t) for t in moved), name


def test_the_amplitude_is_compared_as_it_is_reported() -> None:
    made = oscillating()
    amplitude = judged(made).oscillation
    assert amplitude is not None
    assert verdict(made, thresholds=Thresholds(swing=amplitude)) == "oscillating"
    assert verdict(made, thresholds=Thresholds(swing=above(amplitude))) == "converged"


def test_the_table_has_a_meaning_for_each_threshold() -> None:
    for name, value, meaning in thresholds_table():
        assert value == getattr(THRESHOLDS, name) and len(meaning) > 20
    changed = thresholds_table(Thresholds(swing=0.1))
    assert [row for row in changed if row not in thresholds_table()] == [("swing", 0.1, changed[9][2])]


# Precedence


def test_each_class_goes_before_those_after_it() -> None:
    everything = starved() | {m: collapsed()[m] for m in ("score/coverage",)}
    swinging = points(0.1 + np.abs(wave(0.3, 12)) * 2)
    everything["value/discriminator"] = swinging
    assert verdict(everything, status="diverged") == "diverged"
    assert verdict(everything | {"value/discriminator": points(1e3)}) == "diverged"
    assert verdict(everything) == "starved"
    everything["output/fake"] = points(0.4)
    assert verdict(everything) == "collapsed"
    everything["score/coverage"] = points(1.0, EVALUATED)
    assert verdict(everything) == "oscillating"
    assert verdict(everything | {"score/ks": points(0.1, EVALUATED)}) == "oscillating"  # even at its goal
    everything["value/discriminator"] = points(0.5)
    assert verdict(everything) == "unsettled"
    assert verdict(everything | {"score/ks": points(0.1, EVALUATED)}) == "converged"
    assert verdict(everything, status="failed") == "unsettled"


def test_a_goal_that_is_met_is_not_starved() -> None:
    assert verdict(starved(score__ks=0.1)) == "converged"


# Invariances

EXAMPLES = {
    "converged": curves(),
    "starved": starved(),
    "collapsed": collapsed(),
    "oscillating": oscillating(),
    "unsettled": curves(score__ks=0.9),
    "diverged": curves(value__discriminator=in_tail(1e3, 1.0)),
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
    assert verdict(scaled(made, "value/", by)) == verdict(made)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", VERDICTS)
def test_the_order_of_metrics_and_points_changes_nothing(name: str, seed: int) -> None:
    made, mix = EXAMPLES[name], random.Random(seed)
    mixed = {m: mix.sample(made[m], len(made[m])) for m in mix.sample(list(made), len(made))}
    assert judged(mixed) == judged(made)


@pytest.mark.parametrize("name", VERDICTS)
def test_nan_points_change_nothing(name: str) -> None:
    made = EXAMPLES[name]
    spoilt = {
        m: sorted([*p, *[(s + 1, math.nan) for s, _ in p[:-1]]]) if "score" not in m else p for m, p in made.items()
    }
    assert verdict(spoilt) == verdict(made)


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


@pytest.mark.parametrize("name", VERDICTS)
@pytest.mark.parametrize("kept", [1, 2, 7])
def test_short_curves_are_judged(name: str, kept: int) -> None:
    for made in ({m: p[:kept] for m, p in EXAMPLES[name].items()}, {m: p[-kept:] for m, p in EXAMPLES[name].items()}):
        assert judged(made).verdict in VERDICTS


def test_a_point_that_is_not_a_number_is_left_out() -> None:
    assert verdict(collapsed(score__coverage=[(3_500, math.nan), (3_600, 0.1)])) == "collapsed"
    nowhere: Any = [(math.nan, 0.9), (math.inf, 0.9), (STEPS, 0.2)]
    assert verdict(curves(score__ks=nowhere)) == "converged"


def test_each_metric_may_be_missing() -> None:
    for made in EXAMPLES.values():
        for metric in made:
            assert verdict({m: p for m, p in made.items() if m != metric}) in VERDICTS


def test_judging_is_fast_and_needs_no_torch() -> None:
    started = time.process_time()
    for _ in range(200):
        judged(EXAMPLES["converged"])
    assert time.process_time() - started < 2  # 10,000 in about 10 s, with room for a busy machine
    code = "import sys, gan.verdict; assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_generator_that_is_never_trained_neither_starves_nor_collapses() -> None:
    steps = range(10, 1_001, 10)
    curves = {
        "value/discriminator": [(s, 0.3) for s in steps],
        "output/fake": [(s, 0.01) for s in steps],
        "gradient/generator": [(s, 0.0) for s in steps],
        "score/coverage": [(s, 0.2) for s in steps],
    }
    told = {"status": "ok", "steps": 1_000, "goal": {"d_gap": (0.01, "lower")}, "covers": {"coverage": 1.0}}
    assert judge(curves, **told).verdict == "unsettled"
    assert judge({**curves, "score/d_gap": [(1_000, 0.005)]}, **told).verdict == "converged"
    trained = {**curves, "gradient/generator": [(s, 1.0) for s in steps]}
    assert judge(trained, **told).verdict == "collapsed"


def test_a_score_at_another_number_of_samples_is_no_drift() -> None:
    """FID at 2,000 samples is biased upward: its curve is judged by itself, the end by the score of the end."""
    steps = range(100, 1_001, 100)
    quiet = {"value/discriminator": [(s, 0.69) for s in range(10, 1_001, 10)]}
    told = {"status": "ok", "steps": 1_000, "goal": {"fid_10k": (8.0, "lower")}, "covers": {}}
    falling = {
        **quiet,
        "score/fid_2k": [(s, 5.0 if s < 1_000 else 10.0) for s in steps],
        "score/fid_10k": [(1_000, 6.0)],
    }
    assert judge(falling, **told).drift == 5.0
    level = {**quiet, "score/fid_2k": [(s, 7.0) for s in steps], "score/fid_10k": [(1_000, 6.0)]}
    assert judge(level, **told).drift == 0.0 and judge(level, **told).verdict == "converged"
    never = {**quiet, "score/fid_2k": [(s, 20.0) for s in steps], "score/fid_10k": [(1_000, 19.0)]}
    assert "nor improves" in judge(never, **told).reason
