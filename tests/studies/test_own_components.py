"""Where a study names components of a person's own: known names are valid, unknown ones say what they would need."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import templates
from gan.plugins.registry import NEEDS_PLUGIN, Plugin
from studies import schema

from .texts import changed, refusal, resolved

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


def study_of(tmp_path: Path, **change: str) -> schema.Resolved:
    return resolved(tmp_path, STUDY.format(**(GIVEN | change)))


def test_names_of_plugins_are_valid_where_ours_are(load: Load, tmp_path: Path) -> None:
    load(SOURCE)
    study = study_of(tmp_path)
    assert [(v.loss, v.generator) for v in study.variants.values()] == [
        ("non_saturating", "residual"),
        ("hinge", "residual"),
    ]
    assert study.scoring.scores == ("transport",) and study.report["score"] == "transport"
    searched = study_of(tmp_path, generator="mlp", tune=TUNE.format(choices='["mlp", "residual"]')).tune
    assert searched is not None and (searched.score, searched.direction) == ("transport", "lower")
    assert searched.space[0].choices == ("mlp", "residual")


OURS = {"losses": '["saturating"]', "generator": "mlp", "scores": "[]", "score": "ks"}
IMAGES = {"target": "digits", "base": 'generator_output = "tanh"'}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (OURS | {"losses": GIVEN["losses"]}, "grid.loss: .*'hinge'"),
        (OURS | {"generator": "residual"}, "base.generator: .*'residual'"),
        (OURS | {"scores": '["transport"]', "score": "transport"}, "scoring.scores: .*'transport'"),
        (OURS | {"tune": TUNE.format(choices='["mlp", "residual"]')}, "tune.space.generator.choices: .*'residual'"),
    ],
)
def test_without_the_plugin_the_message_says_what_it_needs(
    change: dict[str, str], said: str, tmp_path: Path, no_plugins: None
) -> None:
    message = refusal(tmp_path, STUDY.format(**(GIVEN | change)))
    assert re.match(said, message) and message.endswith(NEEDS_PLUGIN)


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"losses": '["hinje"]'}, "grid.loss: .*'hinje'.*did you mean 'hinge'"),
    ({"generator": "mpl"}, "base.generator: .*did you mean 'mlp'"),
    ({"generator": '3" #'}, "base.generator: "),
    (
        {"base": 'discriminator_output = "probability"'},
        "discriminator_output: the loss hinge has no form for a probability",
    ),
    ({"scores": '["transpor"]'}, "scoring.scores: .*'transpor'.*did you mean 'transport'"),
    ({"scores": '["ks"]', "score": "ks"}, "scoring.scores: .*'ks'.*anyway"),
    ({"scores": '["transport", "transport"]'}, "scoring.scores: .*twice"),
    ({"scores": "[]"}, "report.score: 'transport'"),
    ({**IMAGES}, "scoring.scores: .*'transport'.*gaussian or mixture"),
    (
        {**IMAGES, "scores": "[]", "score": "hq_share"},
        "generator: residual is for gaussian or mixture, and not for digits",
    ),
    (
        {"target": "point", "scores": "[]", "score": "radius", "base": 'discriminator = "slope"'},
        "generator: .*expected point.*'residual'",
    ),
]


@pytest.mark.parametrize(("change", "said"), REFUSED)
def test_what_does_not_fit_is_refused_at_its_key(load: Load, change: dict[str, str], said: str, tmp_path: Path) -> None:
    only = ', compiles=True, needs=frozenset({"line"})),\n    PluginScore'
    load(changed(SOURCE, (", compiles=True),\n    PluginScore", only)))
    assert re.match(said, refusal(tmp_path, STUDY.format(**(GIVEN | change))))


def test_a_score_with_the_name_of_a_column_or_of_a_factor_is_refused(load: Load, tmp_path: Path) -> None:
    load(SOURCE.replace('PluginScore("transport"', 'PluginScore("drift"'))
    said = refusal(tmp_path, STUDY.format(**(GIVEN | {"scores": '["drift"]', "score": "drift"})))
    assert said.startswith("scoring.scores: 'drift': a column of results.csv")
