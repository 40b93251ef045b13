"""How a `[tune]` that could not be searched is refused: the file, the key, what was expected, the nearest name."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan.errors import InputError
from gan.replica import Scoring
from gan.targets import make_target
from gan.variant import Variant
from studies import schema
from studies.fit import check_fit

GOOD = """
title = "t"
question = "q?"
[target]
name = "gaussian"
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
tune = { trials = 24, seeds = 6 }
[tune]
failed = 1.0
seeds = 6
trials = 8
batch = 4
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
beta1 = { low = 0.0, high = 0.9 }
critic_steps = { low = 1, high = 5, step = 2 }
penalty = { choices = ["none", "r1"] }
penalty_weight = { low = 0.1, high = 10.0, log = true, when = { penalty = ["r1"] } }
"""
SPACE = GOOD[GOOD.index("[tune.space]\n") + len("[tune.space]\n") :]
LR = "lr = { low = 1e-4, high = 1e-2, log = true }"
BETA = "beta1 = { low = 0.0, high = 0.9 }"
STEPS = "critic_steps = { low = 1, high = 5, step = 2 }"
PENALTY = 'choices = ["none", "r1"]'
WHEN = 'penalty = ["r1"]'
FAILED = "failed = 1.0"
RANGES = "lr = { low = 1e-4, high = 1e-2 }\n"


def sampler(name: str, extra: str = "") -> str:
    return f'{FAILED}\nsampler = "{name}"\n{extra}'


BAD: dict[str, tuple[str, str, list[str]]] = {
    # Names.
    "unknown setting": (BETA, "beta3 = { low = 0.0, high = 0.9 }", ["tune.space.beta3", "did you mean 'beta2'"]),
    "a factor of the grid": (BETA, 'loss = { choices = ["a", "b"] }', ["tune.space.loss", "factor loss"]),
    "a setting of a bundle": (
        'loss = ["non_saturating", "saturating"]\n[report]\nscore = "ks"\nfactor = "loss"',
        'recipe = { a = { beta1 = 0.5 }, b = {} }\n[report]\nscore = "ks"\nfactor = "recipe"',
        ["tune.space.beta1", "factor recipe"],
    ),
    "unknown key of [tune]": (FAILED, "failed = 1.0\nsamplers = 'tpe'", ["tune.samplers", "did you mean 'sampler'"]),
    "unknown key of a setting": (BETA, "beta1 = { low = 0.0, hihg = 0.9 }", ["tune.space.beta1.hihg", "'high'"]),
    "unknown key of a scale": ("tune = { trials = 24", "tune = { trails = 24", ["laptop.tune.trails", "'trials'"]),
    "unknown score": (FAILED, "failed = 1.0\nscore = 'kss'", ["tune.score", "'kss'", "did you mean 'ks'"]),
    "a score of the curve alone": (FAILED, "failed = 1.0\nscore = 'jsd_10k'", ["tune.score", "jsd_100k"]),
    "unknown sampler": (FAILED, sampler("tpee"), ["tune.sampler", "did you mean 'tpe'"]),
    "unknown aggregate": (FAILED, "failed = 1.0\naggregate = 'men'", ["tune.aggregate", "did you mean 'mean'"]),
    "unknown pruning": (FAILED, "failed = 1.0\npruning = 'wilcox'", ["tune.pruning", "did you mean 'wilcoxon'"]),
    "unknown second": (FAILED, "failed = 1.0\nsecond = 'failures'", ["tune.second", "did you mean 'failure_rate'"]),
    # Ranges.
    "bounds reversed": (BETA, "beta1 = { low = 0.9, high = 0.1 }", ["tune.space.beta1.low", "less than high"]),
    "bounds equal": (BETA, "beta1 = { low = 0.5, high = 0.5 }", ["tune.space.beta1.low", "less than high"]),
    "log from zero": (BETA, "beta1 = { low = 0, high = 0.9, log = true }", ["tune.space.beta1.low", "more than 0"]),
    "log below zero": (
        BETA,
        "fixed_mean = { low = -1.0, high = 0.9, log = true }",
        ["tune.space.fixed_mean.low", "more than 0"],
    ),
    "low outside": ("low = 1e-4", "low = -1e-4", ["tune.space.lr.low", "greater than 0"]),
    "high outside": ("high = 0.9", "high = 1.0", ["tune.space.beta1.high", "less than 1"]),
    "infinite": ("high = 1e-2", "high = inf", ["tune.space.lr.high", "finite"]),
    "not a number": ("high = 1e-2", "high = nan", ["tune.space.lr.high"]),
    "a word for a number": ("high = 1e-2", 'high = "1"', ["tune.space.lr.high", "number"]),
    "a fraction where whole": (STEPS, "critic_steps = { low = 1.5, high = 5 }", ["critic_steps.low", "integer"]),
    "a fraction above": (STEPS, "critic_steps = { low = 1, high = 5.0 }", ["critic_steps.high", "integer"]),
    "one end": (BETA, "beta1 = { low = 0.0 }", ["tune.space.beta1.high", "missing"]),
    "the other end": (BETA, "beta1 = { high = 0.9 }", ["tune.space.beta1.low", "missing"]),
    "neither": (BETA, "beta1 = {}", ["tune.space.beta1", "choices, or low and high"]),
    "neither but log": (BETA, "beta1 = { log = true }", ["tune.space.beta1", "choices, or low and high"]),
    "not a table": (BETA, "beta1 = 0.5", ["tune.space.beta1", "expected a table, got 0.5"]),
    "log that is no truth": ("log = true }", "log = 1 }", ["tune.space.lr.log", "boolean"]),
    "a range of words": (BETA, "latent = { low = 1, high = 2 }", ["tune.space.latent.low", "expected choices"]),
    "a range of widths": (BETA, "generator_hidden = { low = 1, high = 2 }", ["generator_hidden.low", "choices"]),
    "words without choices": (BETA, "latent = {}", ["tune.space.latent", "expected choices"]),
    "step of a float": (BETA, "beta1 = { low = 0.0, high = 0.9, step = 1 }", ["tune.space.beta1.step", "whole"]),
    "step of nothing": ("step = 2", "step = 0", ["tune.space.critic_steps.step", "greater than 0"]),
    "step past the end": ("step = 2", "step = 3", ["tune.space.critic_steps.high", "steps of 3", "7"]),
    "step and log": ("step = 2", "step = 2, log = true", ["tune.space.critic_steps.step", "log"]),
    # Choices.
    "one choice": (PENALTY, 'choices = ["r1"]', ["tune.space.penalty.choices", "at least two"]),
    "no choice": (PENALTY, "choices = []", ["tune.space.penalty.choices", "at least two"]),
    "a choice twice": (PENALTY, 'choices = ["r1", "none", "r1"]', ["tune.space.penalty.choices", "twice"]),
    "a number twice": (BETA, "lr_ratio = { choices = [1, 1.0] }", ["tune.space.lr_ratio.choices", "twice"]),
    "unknown choice": (PENALTY, 'choices = ["none", "r2"]', ["tune.space.penalty.choices", "did you mean 'r1'"]),
    "a choice of a wrong type": (BETA, "beta1 = { choices = [0.5, 'x'] }", ["tune.space.beta1.choices", "number"]),
    "a choice outside": (BETA, "beta1 = { choices = [0.5, 1.5] }", ["tune.space.beta1.choices", "less than 1"]),
    "a width for widths": (BETA, "generator_hidden = { choices = [[8], 8] }", ["generator_hidden.choices", "8"]),
    "no list of choices": (PENALTY, "choices = 'none'", ["tune.space.penalty.choices", "list"]),
    "choices and a range": (BETA, "beta1 = { choices = [0.1, 0.5], low = 0.0 }", ["tune.space.beta1.low", "choices"]),
    "choices and log": (BETA, "beta1 = { choices = [0.1, 0.5], log = true }", ["tune.space.beta1.log", "choices"]),
    # Conditions.
    "unknown condition": (WHEN, 'penalti = ["r1"]', ["penalty_weight.when.penalti", "did you mean 'penalty'"]),
    "a condition on itself": (WHEN, "penalty_weight = [1.0]", ["penalty_weight.when.penalty_weight", "itself"]),
    "a later condition": (BETA, f'beta1 = {{ {PENALTY}, when = {{ penalty = ["r1"] }} }}', ["beta1.when.penalty"]),
    "a condition not searched": (WHEN, 'penalty = ["wgan_gp"]', ["when.penalty", "'none', 'r1'"]),
    "an impossible condition": (WHEN, 'loss = ["hinge"]', ["penalty_weight.when.loss", "expected"]),
    "a condition on a float": (WHEN, "beta1 = [0.5]", ["penalty_weight.when.beta1", "range"]),
    "a condition off the steps": (WHEN, "critic_steps = [2]", ["when.critic_steps", "1 to 5", "steps of 2"]),
    "an empty condition": (WHEN, "penalty = []", ["penalty_weight.when.penalty", "at least 1"]),
    "a condition that is no list": (WHEN, 'penalty = "r1"', ["penalty_weight.when.penalty", "list"]),
    # What no trial can be.
    "nothing searched": (SPACE, "beta1 = { low = 0.0, high = 0.9, when = { loss = ['saturating'] } }", ["nothing is"]),
    "no GAN at a choice": (
        "[grid]",
        '[base]\ndiscriminator_output = "probability"\n[grid]',
        ["tune.space.penalty.choices", "penalty 'r1' makes no GAN of loss=non_saturating: discriminator_output"],
    ),
    "no GAN of one variant": (
        '"saturating"]',
        '"saturating", "wasserstein"]',
        ["tune.space.discriminator_output.choices", "'probability' makes no GAN of loss=wasserstein"],
    ),
    "no GAN of two settings": (
        PENALTY,
        f'{PENALTY} }}\ndiscriminator_output = {{ choices = ["logit", "probability"]',
        ["tune.space.penalty.choices", "penalty 'r1' with discriminator_output 'probability'"],
    ),
    "no GAN under a condition": (
        PENALTY,
        f"{PENALTY}, when = {{ critic_steps = [3] }}",
        ["tune.space.penalty.choices", "penalty 'r1' makes no GAN of loss=non_saturating: discriminator_output"],
    ),
    # The budget.
    "empty space": (SPACE, "", ["tune.space: empty"]),
    "no space": ("[tune.space]\n" + SPACE, "", ["tune.space: missing"]),
    "no failed": (FAILED, "", ["tune.failed: missing"]),
    "failed infinite": (FAILED, "failed = inf", ["tune.failed", "finite"]),
    "failed no number": (FAILED, "failed = nan", ["tune.failed"]),
    "no trials": ("trials = 8\n", "", ["tune.trials: missing", "scales.smoke.tune"]),
    "no seeds": ("seeds = 6\ntrials", "trials", ["tune.seeds: missing", "scales.smoke.tune"]),
    "no batch": ("batch = 4\n", "", ["tune.batch: missing"]),
    "no trial": ("trials = 8", "trials = 0", ["tune.trials", "greater than 0"]),
    "seed below zero": (FAILED, "failed = 1.0\nseed = -1", ["tune.seed", "greater than or equal to 0"]),
    "batch above": ("batch = 4", "batch = 9", ["tune.batch", "at most the 8 trials"]),
    "batch above at a scale": (
        "tune = { trials = 24",
        "tune = { batch = 30, trials = 24",
        ["scales.laptop.tune.batch", "at most the 24 trials"],
    ),
    "a budget without [tune]": (GOOD[GOOD.index("[tune]") :], "", ["scales.laptop.tune.", "there is no [tune]"]),
    "seeds that meet a trial's": ("seeds = 3\n", "seeds = 100000\n", ["scales.laptop.seeds", "less than 100000"]),
    # Samplers and pruning.
    "grid without points": (FAILED, sampler("grid"), ["tune.space.lr.points", "missing"]),
    "points without grid": (BETA, "beta1 = { low = 0.0, high = 0.9, points = 3 }", ["beta1.points", "grid"]),
    "one point": (BETA, "beta1 = { low = 0.0, high = 0.9, points = 1 }", ["beta1.points", "greater than or equal"]),
    "cmaes with choices": (FAILED, sampler("cmaes"), ["tune.space.penalty.choices", "cmaes"]),
    "pruning a failure rate": (
        FAILED,
        'failed = 1.0\npruning = "diverged"\nsecond = "failure_rate"',
        ["tune.pruning", "a failure rate needs every seed of every trial"],
    ),
    "pruning a missed rate": (
        FAILED,
        'failed = 1.0\npruning = "wilcoxon"\nsecond = "missed_rate"',
        ["tune.pruning", "a missed rate needs every seed of every trial"],
    ),
    "a failure that pays": (
        FAILED,
        "failed = 0.05",
        ["tune.failed", "a failed replica would count as one that reached ks 0.05"],
    ),
    "few seeds for wilcoxon": (
        "failed = 1.0\nseeds = 6",
        'failed = 1.0\npruning = "wilcoxon"\nseeds = 4',
        ["tune.seeds", "wilcoxon", "expected at least 5"],
    ),
    "few seeds to stop at": (
        "trials = 24, seeds = 6",
        "trials = 24, seeds = 1",
        ["scales.laptop.tune.seeds", "diverged", "expected at least 2"],
    ),
}
# What stands besides in the file of some cases.
BESIDES = {
    "no GAN under a condition": ("[grid]", '[base]\ndiscriminator_output = "probability"\n[grid]'),
    "no GAN of one variant": ("penalty = {", 'discriminator_output = { choices = ["logit", "probability"] }\n#'),
    "few seeds to stop at": (FAILED, 'failed = 1.0\npruning = "diverged"'),
    "no seeds": ("trials = 24, seeds = 6", "trials = 24"),
}


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(InputError) as refused:
        schema.load(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_the_good_one_is_good(tmp_path: Path) -> None:
    assert schema.load(written(tmp_path, GOOD)).tune is not None


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_searched_is_refused_with_its_place(case: str, tmp_path: Path) -> None:
    text = GOOD
    for old, new in (BESIDES.get(case, ("", "")), BAD[case][:2]):
        assert old in text
        text = text.replace(old, new, 1) if old else text
    message = refusal(written(tmp_path, text))
    for word in BAD[case][2]:
        assert word in message, message


def test_a_range_is_judged_by_its_ends_before_it_is_walked(tmp_path: Path) -> None:
    text = GOOD.replace('name = "gaussian"', 'name = "digits"\n[base]\ngenerator_output = "tanh"').replace(
        "ks", "fid_500"
    )
    batches = f"{BETA}\nbatch_size = {{ low = 2, high = 1_000_000 }}"
    message = refusal(written(tmp_path, text.replace(BETA, batches)))
    assert "tune.space.batch_size.high" in message and "997 images" in message


@pytest.mark.parametrize(
    ("settings", "space", "words"),
    [
        ("", RANGES, ["tune.space: ", "at least two"]),
        ("", f"{RANGES}lr_ratio = {{ low = 0.5, high = 2.0, when = {{ loss = ['saturating'] }} }}", ["lr_ratio.when"]),
        ('second = "failure_rate"', f"{RANGES}{BETA}", ["tune.second", "one objective"]),
    ],
)
def test_what_cmaes_cannot_search_is_refused(settings: str, space: str, words: list[str], tmp_path: Path) -> None:
    text = GOOD.replace(SPACE, space).replace(FAILED, sampler("cmaes", settings))
    assert all(word in refusal(written(tmp_path, text)) for word in ["cmaes", *words])
    good = GOOD.replace(SPACE, f"{RANGES}{BETA}").replace(FAILED, sampler("cmaes"))
    assert schema.load(written(tmp_path, good)).tune is not None


@pytest.mark.parametrize("trials", [29, 30, 31])
def test_a_grid_has_only_so_many_trials(trials: int, tmp_path: Path) -> None:
    # 3 lr, 5 critic_steps, and penalty none, or r1 with each of 1 weight where the loss is saturating.
    space = (
        "lr = { low = 1e-4, high = 1e-2, log = true, points = 3 }\ncritic_steps = { low = 1, high = 5 }\n"
        f"penalty = {{ {PENALTY} }}\n"
        "penalty_weight = { choices = [1.0, 2.0], when = { penalty = ['r1'], loss = ['saturating'] } }"
    )
    text = GOOD.replace(SPACE, space).replace(FAILED, sampler("grid"))
    path = written(tmp_path, text.replace("trials = 24", f"trials = {trials}"))
    if trials <= 30:
        assert schema.load(path).tune is not None
    else:
        message = refusal(path)
        assert "scales.laptop.tune.trials: expected at most the 30 points" in message
        assert "loss=non_saturating" in message  # which does not have the weights
    with pytest.raises(InputError, match="--trials: expected at most the 30 points"):
        schema.resolve(schema.load(written(tmp_path, text)), "smoke", trials=31)


DIGITS = """
title = "t"
question = "q?"
[target]
name = "digits"
[base]
generator_output = "tanh"
[report]
score = "fid_500"
reached = { modes = 10 }
[scales.smoke]
seeds = 2
steps = 10
[tune]
failed = 37.0
seeds = 1
trials = 1
batch = 1
[tune.space]
lr = { low = 1e-4, high = 1e-2 }
"""


@given(st.integers(70, 90), st.integers(1, 20), st.booleans(), st.booleans())
def test_a_space_is_accepted_if_every_trial_makes_a_gan(low: int, width: int, norms: bool, drops: bool) -> None:
    # 997 digits leave one over at batches of 83: with BatchNorm, unless it is dropped, that is no batch.
    batches = range(low, low + width + 1)
    choices: dict[str, list[Any]] = {"generator_norm": ["none", "batch"]} if norms else {}
    choices |= {"last_batch": ["keep", "drop"]} if drops else {}
    text = DIGITS + f"batch_size = {{ low = {low}, high = {low + width} }}\n"
    text += "".join(f"{name} = {{ choices = {its} }}\n" for name, its in choices.items())
    target = make_target("digits")
    good = True
    for batch, *values in itertools.product(batches, *choices.values()):
        settings: dict[str, Any] = dict(zip(choices, values, strict=True))
        variant = Variant(generator_output="tanh", batch_size=batch, **settings)
        try:
            check_fit(variant, Scoring(), target, "x")
        except InputError:
            good = False
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), text)
        if good:
            assert schema.load(path).tune is not None
        else:
            assert "tune.space.batch_size" in refusal(path)
