"""Factors whose levels are named bundles of settings, and how a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan.errors import InputError
from gan.variant import Variant
from studies import schema

GOOD = """
title = "t"
question = "q?"
[target]
name = "gaussian"
[base]
batch_size = 64
schedule = "linear"
[grid.recipe]
r1 = { penalty = "r1", penalty_weight = 2 }
plain = {}
sgd = { optimiser = "sgd", lr = 0.1 }
[grid]
beta1 = [0.5, 0.9]
[report]
score = "ks"
factor = "recipe"
reached = { ks = 0.05 }
[scales.smoke]
seeds = 2
steps = 10
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_bundles_are_levels_by_name(tmp_path: Path) -> None:
    resolved = schema.resolve(schema.load(write(tmp_path, GOOD)), "smoke")
    assert resolved.factors == {"recipe": ["r1", "plain", "sgd"], "beta1": [0.5, 0.9]}
    assert len(resolved.variants) == 6
    name = "recipe=r1 beta1=0.5"
    common = {"batch_size": 64, "schedule": "linear"}
    assert resolved.variants[name] == Variant(penalty="r1", penalty_weight=2.0, beta1=0.5, **common)
    assert resolved.variants["recipe=sgd beta1=0.9"] == Variant(optimiser="sgd", lr=0.1, **common)
    assert resolved.levels[name] == {"recipe": "r1", "beta1": 0.5}


def test_the_reference_bundle_is_the_one_that_changes_nothing(tmp_path: Path) -> None:
    resolved = schema.resolve(schema.load(write(tmp_path, GOOD)), "smoke")
    assert resolved.reference == {"recipe": "plain", "beta1": 0.9}
    spelled = GOOD.replace("plain = {}", 'plain = { schedule = "linear" }')
    assert schema.resolve(schema.load(write(tmp_path, spelled)), "smoke").reference["recipe"] == "plain"
    none = GOOD.replace("plain = {}\n", "")
    assert schema.resolve(schema.load(write(tmp_path, none)), "smoke").reference["recipe"] == "r1"


def test_a_bundle_wins_over_the_base(tmp_path: Path) -> None:
    text = GOOD.replace("plain = {}", 'plain = { schedule = "constant" }')
    resolved = schema.resolve(schema.load(write(tmp_path, text)), "smoke")
    assert resolved.variants["recipe=plain beta1=0.9"].schedule == "constant"
    assert resolved.variants["recipe=r1 beta1=0.9"].schedule == "linear"


BAD: dict[str, tuple[str, str, list[str]]] = {
    "a setting's name for bundles": ("[grid.recipe]", "[grid.penalty]", ["grid.penalty", "a setting", "another name"]),
    "a column's name for bundles": ("[grid.recipe]", "[grid.status]", ["grid.status", "column of results.csv"]),
    "a score's name for bundles": ("[grid.recipe]", "[grid.ks]", ["grid.ks", "score of gaussian"]),
    "a name with a space": ("[grid.recipe]", '[grid."my recipe"]', ["grid.my recipe", "not a name"]),
    "a bundle's name with a space": ("plain = {}", '"the plain" = {}', ["grid.recipe.the plain", "letters"]),
    "an empty bundle's name": ("plain = {}", '"" = {}', ["grid.recipe: the key ''", "letters"]),
    "a bundle that is none": ("plain = {}", "plain = 3", ["grid.recipe.plain", "table of settings", "3"]),
    "unknown setting": ('penalty = "r1"', 'penalti = "r1"', ["grid.recipe.r1.penalti", "did you mean 'penalty'"]),
    "unknown level": ('penalty = "r1"', 'penalty = "r2"', ["grid.recipe.r1.penalty", "did you mean 'r1'"]),
    "wrong type": ("penalty_weight = 2", 'penalty_weight = "2"', ["grid.recipe.r1.penalty_weight", "number"]),
    "out of range": ("penalty_weight = 2", "penalty_weight = -2", ["grid.recipe.r1.penalty_weight", "greater than 0"]),
    "a setting of another factor": (
        'optimiser = "sgd"',
        'optimiser = "sgd", beta1 = 0.0',
        ["beta1", "the factor recipe sets beta1 already"],
    ),
    "no bundles": (
        'r1 = { penalty = "r1", penalty_weight = 2 }\nplain = {}\nsgd = { optimiser = "sgd", lr = 0.1 }\n',
        "",
        ["grid.recipe", "empty"],
    ),
    "two bundles that are one": (
        "plain = {}",
        'plain = {}\nplainer = { schedule = "linear" }',
        ["grid", "'recipe=plain beta1=0.5' and 'recipe=plainer beta1=0.5' are the same GAN"],
    ),
    "two factors of one setting": (
        "[grid]\n",
        "[grid.other]\na = { lr = 1e-3 }\nb = { lr = 2e-3 }\n[grid]\n",
        ["grid.other.a.lr", "the factor recipe sets lr already"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_bundles_are_refused_with_their_place(case: str, tmp_path: Path) -> None:
    old, new, words = BAD[case]
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        schema.load(path)
    message = str(refused.value)
    assert message.startswith(path) and "\n" not in message
    for word in words:
        assert word in message, message
