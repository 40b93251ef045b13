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
from studies.tune import FIRST_VALIDATION_SEED, Parameter, Tuning, apply, number_type

from .texts import ALONE, STUDY, TUNE, TUNED, resolved


def tuning(tmp_path: Path, scale: str = "smoke", **given: int) -> Tuning:
    found = resolved(tmp_path, TUNED, scale, **given).tune
    assert found is not None
    return found


def test_tuning_is_read_as_it_is_written(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    assert (tune.score, tune.label, tune.direction, tune.failed) == ("ks", "KS statistic", "lower", 1.0)
    assert (tune.aggregate, tune.sampler, tune.second, tune.pruning, tune.seed) == ("mean", "tpe", None, "none", 0)
    assert tune.space == (
        Parameter("lr", "float", 1e-4, 1e-2, log=True),
        Parameter("beta1", "float", 0.0, 0.9),
        Parameter("critic_steps", "int", 1, 5, step=2),
        Parameter("penalty", "categorical", choices=("none", "r1")),
        Parameter("penalty_weight", "float", 0.1, 10.0, log=True, when={"penalty": ("r1",), "loss": ("saturating",)}),
        Parameter("generator_hidden", "categorical", choices=([8], [16, 16])),
    )
    assert isinstance(tune.space[1].low, float) and isinstance(tune.space[2].low, int)


@pytest.mark.parametrize(
    ("scale", "given", "budget"),
    [
        ("smoke", {}, (8, 2, 4)),
        ("laptop", {}, (24, 6, 4)),  # a scale's own
        ("smoke", {"trials": 40}, (40, 2, 4)),  # which the command line's wins over
        ("smoke", {"trials": 3}, (3, 2, 3)),
    ],
)
def test_the_budget(scale: str, given: dict[str, int], budget: tuple[int, int, int], tmp_path: Path) -> None:
    tune = tuning(tmp_path, scale, **given)
    assert (tune.trials, tune.seeds, tune.batch) == budget


def test_what_is_tuned_is_scored_on_both_splits(tmp_path: Path) -> None:
    tuned, plain = resolved(tmp_path, TUNED), resolved(tmp_path, STUDY)
    assert (tuned.scoring.split, plain.scoring.split) == ("both", "test") and plain.tune is None
    assert (tuned.stage, tuned.first_seed, tuned.fewer_seeds) == ("untuned", 0, {}) and plain.stage == ""
    assert tuned.variants == plain.variants  # what is searched changes nothing of the untuned grid


def test_seeds_of_a_study_are_none_of_a_trial_s(tmp_path: Path) -> None:
    assert resolved(tmp_path, TUNED, seeds=FIRST_VALIDATION_SEED - 1).seeds == FIRST_VALIDATION_SEED - 1
    with pytest.raises(InputError, match="--seeds: expected less than 100,000"):
        resolved(tmp_path, TUNED, seeds=FIRST_VALIDATION_SEED)


def test_a_study_without_a_grid_tunes_its_one_variant(tmp_path: Path) -> None:
    study = resolved(tmp_path, ALONE + TUNE)
    assert list(study.variants) == ["base"] and study.tune is not None


def test_everything_is_plain_json(tmp_path: Path) -> None:
    settings = tuning(tmp_path, "laptop").settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["trials"] == 24 and [p["name"] for p in settings["space"]][:2] == ["lr", "beta1"]
    assert settings["space"][5]["choices"] == [[8], [16, 16]]
    assert settings["space"][4]["when"] == {"penalty": ["r1"], "loss": ["saturating"]}


def test_a_parameter_is_searched_under_its_conditions_alone(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    weight = tune.space[4]
    saturating, other = Variant(loss="saturating"), Variant()
    assert tune.active(saturating, {"penalty": "r1"}, weight)
    assert not tune.active(saturating, {"penalty": "none"}, weight)
    assert not tune.active(saturating, {}, weight)  # the variant's own penalty is none
    assert tune.active(Variant(loss="saturating", penalty="r1"), {}, weight)
    assert not tune.active(other, {"penalty": "r1"}, weight)
    widths = Parameter("lr", "float", 0.1, 1.0, when={"generator_hidden": ([8], [16, 16])})
    assert tune.active(Variant(generator_hidden=(8,)), {}, widths) and not tune.active(other, {}, widths)
    assert tune.active(other, {"generator_hidden": [16, 16]}, widths)


def test_the_combinations_are_those_of_the_conditions(tmp_path: Path) -> None:
    tune = tuning(tmp_path)
    ends = {"lr": [0.1, 0.2], "beta1": [0.5], "penalty_weight": [1.0, 2.0, 3.0]}

    def values(parameter: Parameter) -> list[Any]:
        return ends.get(parameter.name) or parameter.grid()

    plain = list(tune.combinations(Variant(), values))
    assert len(plain) == 2 * 3 * 2 * 2 and all("penalty_weight" not in params for params in plain)
    conditional = list(tune.combinations(Variant(loss="saturating"), values))
    assert len(conditional) == 2 * 3 * (1 + 3) * 2
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
