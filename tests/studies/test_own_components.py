"""Where a study names components of a person's own: known names are valid, unknown ones say what they would need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import templates
from gan.errors import InputError
from gan.plugins import NEEDS_PLUGIN, Plugin
from studies import schema

Load = Callable[[str], Plugin]
SOURCE = templates.PLUGIN.read_text(encoding="utf-8")
STUDY = """
title = "t"
question = "q?"
[target]
name = "{target}"
[base]
generator = "{generator}"
{base}
[grid]
loss = {losses}
[scoring]
scores = {scores}
[report]
score = "{score}"
factor = "loss"
reached = {{ {score} = 0.5 }}
{tune}
[scales.smoke]
seeds = 2
steps = 10
"""
GIVEN = {
    "target": "gaussian",
    "generator": "residual",
    "base": "",
    "losses": '["non_saturating", "hinge"]',
    "scores": '["transport"]',
    "score": "transport",
    "tune": "",
}
TUNE = "[tune]\nfailed = 9.0\ntrials = 2\nbatch = 2\nseeds = 1\n[tune.space]\ngenerator = {{ choices = {choices} }}\n"


def resolved(tmp_path: Path, **change: str) -> schema.Resolved:
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.format(**(GIVEN | change)), encoding="utf-8")
    return schema.resolve(schema.load(str(path)), "smoke")


def test_names_of_plugins_are_valid_where_ours_are(load: Load, tmp_path: Path) -> None:
    load(SOURCE)
    study = resolved(tmp_path)
    assert [(v.loss, v.generator) for v in study.variants.values()] == [
        ("non_saturating", "residual"),
        ("hinge", "residual"),
    ]
    assert study.scoring.scores == ("transport",) and study.report["score"] == "transport"
    searched = resolved(tmp_path, generator="mlp", tune=TUNE.format(choices='["mlp", "residual"]')).tune
    assert searched is not None and (searched.score, searched.direction) == ("transport", "lower")
    assert searched.space[0].choices == ("mlp", "residual")


WITHOUT = {
    "loss": ({"generator": "mlp", "scores": "[]", "score": "ks"}, ["grid.loss", "'hinge'"]),
    "generator": ({"losses": '["saturating"]', "scores": "[]", "score": "ks"}, ["base.generator", "'residual'"]),
    "score": ({"losses": '["saturating"]', "generator": "mlp"}, ["scoring.scores", "'transport'"]),
    "choices": (
        {**{"losses": '["saturating"]', "generator": "mlp", "scores": "[]", "score": "ks"}}
        | {"tune": TUNE.format(choices='["mlp", "residual"]')},
        ["tune.space.generator.choices", "'residual'"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), WITHOUT.values(), ids=list(WITHOUT))
def test_without_the_plugin_the_message_says_what_it_needs(
    change: dict[str, str], expected: list[str], tmp_path: Path, no_plugins: None
) -> None:
    with pytest.raises(InputError) as refused:
        resolved(tmp_path, **change)
    assert all(part in str(refused.value) for part in expected) and str(refused.value).endswith(NEEDS_PLUGIN)


REFUSED = {
    "nearest of theirs": ({"losses": '["hinje"]'}, ["grid.loss", "hinge", "did you mean 'hinge'"]),
    "nearest of ours": ({"generator": "mpl"}, ["base.generator", "did you mean 'mlp'"]),
    "no word": ({"generator": '3" #'}, ["base.generator"]),
    "probability": ({"base": 'discriminator_output = "probability"'}, ["discriminator_output", "hinge", "logit"]),
    "nearest score": ({"scores": '["transpor"]'}, ["scoring.scores", "'transpor'", "did you mean 'transport'"]),
    "a score of ours": ({"scores": '["ks"]', "score": "ks"}, ["scoring.scores", "'ks'", "anyway"]),
    "twice": ({"scores": '["transport", "transport"]'}, ["scoring.scores", "twice"]),
    "a score without its entry": ({"scores": "[]"}, ["report.score", "'transport'"]),
    "another target's": (
        {"target": "digits", "base": 'generator_output = "tanh"'},
        ["scoring.scores", "'transport'", "gaussian or mixture"],
    ),
    "another target's network": (
        {"target": "digits", "base": 'generator_output = "tanh"', "scores": "[]", "score": "hq_share"},
        ["generator: residual is not for digits", "gaussian or mixture"],
    ),
    "the point": (
        {"target": "point", "scores": "[]", "score": "radius", "base": 'discriminator = "slope"'},
        ["generator: ", '"point"', "'residual'"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), REFUSED.values(), ids=list(REFUSED))
def test_what_does_not_fit_is_refused(load: Load, change: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    only = ', compiles=True, targets=("real_line",)),\n    PluginScore'
    load(SOURCE.replace(", compiles=True),\n    PluginScore", only))
    with pytest.raises(InputError) as refused:
        resolved(tmp_path, **change)
    said = str(refused.value)
    assert said.startswith(str(tmp_path / "mine.toml")) and all(part in said for part in expected), said


def test_a_score_with_the_name_of_a_column_is_refused(load: Load) -> None:
    with pytest.raises(InputError, match="drift"):
        load(SOURCE.replace('PluginScore("transport"', 'PluginScore("drift"'))
