"""What tuning searches, as plain data: how a study file's `[tune]` is read, and what its settings make of a variant."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.errors import InputError
from gan.variant import FIELDS, Variant
from studies import schema
from studies.tune import FIRST_VALIDATION_SEED, Parameter, Tuning, apply, number_type

GOOD = """
title = "t"
question = "q?"
[target]
name = "gaussian"
[base]
batch_size = 64
[grid]
loss = ["non_saturating", "saturating"]
[report]
score = "ks"
factor = "loss"
reached = { ks = 0.05 }
[scales.smoke]
seeds = 2
steps = 10
[scales.laptop]
seeds = 3
steps = 20
tune = { trials = 24, seeds = 4 }
[tune]
failed = 1
seeds = 2
trials = 4
batch = 4
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
critic_steps = { low = 1, high = 5, step = 2 }
penalty = { choices = ["none", "r1", "wgan_gp"] }
penalty_weight = { low = 1, high = 10, when = { penalty = ["r1", "wgan_gp"], loss = ["saturating"] } }
generator_hidden = { choices = [[8], [16, 16]] }
beta2 = { choices = [0.9, 0.99] }
"""


def resolve(tmp_path: Path, text: str, scale: str = "smoke", **given: Any) -> schema.Resolved:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return schema.resolve(schema.load(str(path)), scale, **given)


def tuning(tmp_path: Path, text: str = GOOD, scale: str = "smoke", **given: Any) -> Tuning:
    found = resolve(tmp_path, text, scale, **given).tune
    assert found is not None
    return found


def test_tuning_is_read_as_it_is_written(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    assert (tune.score, tune.label, tune.direction, tune.failed) == ("ks", "KS statistic", "lower", 1.0)
    assert (tune.aggregate, tune.sampler, tune.second, tune.pruning, tune.seed) == ("mean", "tpe", None, "none", 0)
    assert tune.space == (
        Parameter("lr", "float", 1e-4, 1e-2, log=True),
        Parameter("critic_steps", "int", 1, 5, step=2),
        Parameter("penalty", "categorical", choices=("none", "r1", "wgan_gp")),
        Parameter("penalty_weight", "float", 1, 10, when={"penalty": ("r1", "wgan_gp"), "loss": ("saturating",)}),
        Parameter("generator_hidden", "categorical", choices=([8], [16, 16])),
        Parameter("beta2", "categorical", choices=(0.9, 0.99)),
    )
    assert isinstance(tune.space[3].low, float) and isinstance(tune.space[1].low, int)


def test_a_scale_has_its_own_budget(tmp_path: Path) -> None:
    small, large = tuning(tmp_path), tuning(tmp_path, scale="laptop")
    assert (small.trials, small.seeds, small.batch) == (4, 2, 4)
    assert (large.trials, large.seeds, large.batch) == (24, 4, 4)
    assert small.space == large.space


def test_another_number_of_trials_wins_over_the_scale_s(tmp_path: Path) -> None:
    more, fewer = tuning(tmp_path, trials=40), tuning(tmp_path, trials=3)
    assert (more.trials, more.batch) == (40, 4) and (fewer.trials, fewer.batch) == (3, 3)


def test_what_is_tuned_is_scored_on_both_splits(tmp_path: Path) -> None:
    tuned = resolve(tmp_path, GOOD)
    plain = resolve(tmp_path, GOOD[: GOOD.index("[tune]")].replace("tune = {", "# tune = {"))
    assert (tuned.scoring.split, plain.scoring.split) == ("both", "test") and plain.tune is None
    assert (tuned.stage, tuned.first_seed, tuned.fewer_seeds) == ("untuned", 0, {}) and plain.stage == ""
    assert tuned.variants == plain.variants  # what is searched changes nothing of the untuned grid


def test_seeds_of_a_study_are_none_of_a_trial_s(tmp_path: Path) -> None:
    assert resolve(tmp_path, GOOD, seeds=FIRST_VALIDATION_SEED - 1).seeds == FIRST_VALIDATION_SEED - 1
    with pytest.raises(InputError, match="--seeds: expected less than 100,000"):
        resolve(tmp_path, GOOD, seeds=FIRST_VALIDATION_SEED)


def test_a_study_without_a_grid_tunes_its_one_variant(tmp_path: Path) -> None:
    text = GOOD.replace('[grid]\nloss = ["non_saturating", "saturating"]\n', "").replace('factor = "loss"\n', "")
    resolved = resolve(tmp_path, text)
    assert list(resolved.variants) == ["base"] and resolved.tune is not None


def test_everything_is_plain_json(tmp_path: Path) -> None:
    settings = tuning(tmp_path, scale="laptop").settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["trials"] == 24 and [p["name"] for p in settings["space"]][:2] == ["lr", "critic_steps"]
    assert settings["space"][4]["choices"] == [[8], [16, 16]]
    assert settings["space"][3]["when"] == {"penalty": ["r1", "wgan_gp"], "loss": ["saturating"]}


def test_a_parameter_is_searched_under_its_conditions_alone(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    weight = tune.space[3]
    saturating, other = Variant(loss="saturating"), Variant()
    assert tune.active(saturating, {"penalty": "r1"}, weight)
    assert not tune.active(saturating, {"penalty": "none"}, weight)
    assert not tune.active(saturating, {}, weight)  # the variant's own penalty is none
    assert tune.active(Variant(loss="saturating", penalty="wgan_gp"), {}, weight)
    assert not tune.active(other, {"penalty": "r1"}, weight)
    widths = Parameter("lr", "float", 0.1, 1.0, when={"generator_hidden": ([8], [16, 16])})
    assert tune.active(Variant(generator_hidden=(8,)), {}, widths) and not tune.active(other, {}, widths)
    assert tune.active(other, {"generator_hidden": [16, 16]}, widths)


def test_the_combinations_are_those_of_the_conditions(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    ends = {"lr": [0.1, 0.2], "penalty_weight": [1.0, 2.0, 3.0]}

    def values(parameter: Parameter) -> list[Any]:
        return ends.get(parameter.name) or parameter.grid()

    plain = list(tune.combinations(Variant(), values))
    assert len(plain) == 2 * 3 * 3 * 2 * 2 and all("penalty_weight" not in params for params in plain)
    conditional = list(tune.combinations(Variant(loss="saturating"), values))
    assert len(conditional) == 2 * 3 * (1 + 3 + 3) * 2 * 2
    assert all(("penalty_weight" in params) == (params["penalty"] != "none") for params in conditional)
    for combinations in (plain, conditional):
        assert all(a != b for a, b in itertools.combinations(combinations, 2))


@st.composite
def ranges(draw: st.DrawFn) -> Parameter:
    log, points = draw(st.booleans()), draw(st.integers(2, 30))
    if draw(st.booleans()):
        low = draw(st.integers(1, 1000))
        high = low + draw(st.integers(1, 1000))
        return Parameter("batch_size", "int", low, high, log, points=points)
    low = draw(st.floats(1e-6, 1e3))
    return Parameter("lr", "float", low, low * draw(st.floats(1.001, 1e6)), log, points=points)


@given(ranges())
def test_a_grid_spans_its_range_evenly(parameter: Parameter) -> None:
    grid = parameter.grid()
    assert (grid[0], grid[-1]) == (parameter.low, parameter.high)
    assert grid == sorted(set(grid)) and parameter.points is not None
    if parameter.kind == "int":
        assert len(grid) <= parameter.points and all(isinstance(value, int) for value in grid)
    else:
        assert len(grid) == parameter.points
        place = math.log if parameter.log else float
        gaps = [place(b) - place(a) for a, b in itertools.pairwise(grid)]
        assert gaps == pytest.approx([gaps[0]] * len(gaps), rel=1e-4, abs=1e-12)


def test_a_grid_of_whole_numbers_takes_every_step() -> None:
    assert Parameter("critic_steps", "int", 1, 4).grid() == [1, 2, 3, 4]
    assert Parameter("batch_size", "int", 32, 64, step=16).grid() == [32, 48, 64]
    assert Parameter("batch_size", "int", 2, 4, log=True, points=9).grid() == [2, 3, 4]
    assert Parameter("penalty", "categorical", choices=("none", "r1")).grid() == ["none", "r1"]


def test_a_trial_changes_its_settings_and_no_other() -> None:
    variant = Variant(loss="saturating")
    params = {"lr": 1, "generator_hidden": [8, 8], "batch_size": 32, "penalty": "r1"}
    tried = apply(variant, params)
    assert {k: v for k, v in tried.settings().items() if k in params} == params
    assert {k: v for k, v in tried.settings().items() if k not in params} == {
        k: v for k, v in variant.settings().items() if k not in params
    }
    # Replicas are named by their settings' JSON, in which 1 and 1.0 differ.
    assert isinstance(tried.lr, float) and isinstance(tried.batch_size, int) and tried.generator_hidden == (8, 8)
    assert tried == Variant.from_settings(json.loads(json.dumps(tried.settings())))
    assert apply(variant, {}) == variant


def test_every_setting_is_a_number_or_has_choices() -> None:
    numbers = {name: number_type(name) for name in FIELDS}
    assert {name for name, kind in numbers.items() if kind == "int"} == {"latent_dim", "batch_size", "critic_steps"}
    default = Variant()
    for name, kind in numbers.items():
        assert isinstance(getattr(default, name), {"float": float, "int": int, None: (str, tuple)}[kind])
