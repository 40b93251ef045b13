"""Which spaces can be searched: every trial makes a GAN, and a grid or CMA-ES has something to work on."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.errors import InputError
from gan.replica import Scoring
from gan.targets import make_target
from gan.variant import Variant
from studies.fit import check_fit

from .texts import ALONE, SPACE, TUNE, TUNED, changed, refusal, resolved

LR = "lr = { low = 1e-4, high = 1e-2 }\n"
BETA = "beta1 = { low = 0, high = 0.9 }\n"
DIGITS = changed(
    ALONE,
    ('"gaussian"', '"digits"'),
    ("batch_size = 64", 'generator_output = "tanh"'),
    ('"ks"', '"fid_500"'),
    ("ks = 0.05", "modes = 10"),
) + changed(TUNE, ("failed = 1", "failed = 37.0"), (SPACE, LR))


def searched(space: str, sampler: str, extra: str = "") -> str:
    return changed(TUNED, (SPACE, space), ("failed = 1", f'failed = 1\nsampler = "{sampler}"\n{extra}'))


def test_a_range_is_judged_by_its_ends_before_it_is_walked(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"{DIGITS}batch_size = {{ low = 2, high = 1_000_000 }}\n")
    assert message.startswith("tune.space.batch_size.high") and "997 images" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [
                ('"saturating"]', '"saturating", "wasserstein"]'),
                (BETA, 'discriminator_output = { choices = ["logit", "probability"] }\n'),
                ('choices = ["none", "r1"]', 'choices = ["none", "r1"], when = { discriminator_output = ["logit"] }'),
            ],
            "tune.space.discriminator_output.choices: discriminator_output 'probability' makes no GAN of loss=wasserst",
        ),
        (
            [
                ("batch_size = 64", 'discriminator_output = "probability"'),
                ('choices = ["none", "r1"]', 'choices = ["none", "r1"], when = { critic_steps = [3] }'),
            ],
            "tune.space.penalty.choices: penalty 'r1' makes no GAN of loss=non_saturating",
        ),
    ],
    ids=["of one variant", "under a condition"],
)
def test_a_trial_that_makes_no_gan_is_found_wherever_it_hides(
    changes: list[tuple[str, str]], said: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, changed(TUNED, *changes)).startswith(said)


@pytest.mark.parametrize(
    ("extra", "space", "said"),
    [
        ("", LR, "tune.space: .*cmaes.*at least two"),
        (
            "",
            f"{LR}fixed_std = {{ low = 0.5, high = 2.0, when = {{ loss = ['saturating'] }} }}",
            "fixed_std.when.*cmaes",
        ),
        ('second = "failure_rate"', f"{LR}{BETA}", "tune.second: .*cmaes.*one objective"),
    ],
)
def test_what_cmaes_cannot_search_is_refused(extra: str, space: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        resolved(tmp_path, searched(space, "cmaes", extra))


def test_what_cmaes_can_search_is_taken(tmp_path: Path) -> None:
    assert resolved(tmp_path, searched(f"{LR}{BETA}", "cmaes")).tune is not None


def test_a_grid_has_only_so_many_trials(tmp_path: Path) -> None:
    # 3 lr, 5 critic_steps, and penalty none, or r1 with each of 1 weight where the loss is saturating.
    space = (
        "lr = { low = 1e-4, high = 1e-2, log = true, points = 3 }\ncritic_steps = { low = 1, high = 5 }\n"
        'penalty = { choices = ["none", "r1"] }\n'
        "penalty_weight = { choices = [1.0, 2.0], when = { penalty = ['r1'], loss = ['saturating'] } }"
    )
    text = searched(space, "grid")
    for trials in (29, 30):
        assert resolved(tmp_path, changed(text, ("trials = 24", f"trials = {trials}"))).tune is not None
    message = refusal(tmp_path, changed(text, ("trials = 24", "trials = 31")))
    assert message.startswith("scales.laptop.tune.trials: expected at most the 30 points")
    assert "loss=non_saturating" in message  # which does not have the weights
    with pytest.raises(InputError, match="--trials: expected at most the 30 points"):
        resolved(tmp_path, text, trials=31)


@settings(deadline=None)
@given(st.integers(70, 90), st.integers(1, 20), st.booleans(), st.booleans())
def test_a_space_is_accepted_if_every_trial_makes_a_gan(low: int, width: int, norms: bool, drops: bool) -> None:
    # 997 digits leave one over at batches of 83: with BatchNorm, unless it is dropped, that is no batch.
    choices: dict[str, list[Any]] = {"generator_norm": ["none", "batch"]} if norms else {}
    choices |= {"last_batch": ["keep", "drop"]} if drops else {}
    text = f"{DIGITS}batch_size = {{ low = {low}, high = {low + width} }}\n"
    text += "".join(f"{name} = {{ choices = {its} }}\n" for name, its in choices.items())
    target = make_target("digits")
    good = True
    for batch, *values in itertools.product(range(low, low + width + 1), *choices.values()):
        chosen: dict[str, Any] = dict(zip(choices, values, strict=True))
        try:
            check_fit(Variant(generator_output="tanh", batch_size=batch, **chosen), Scoring(), target, "x")
        except InputError:
            good = False
    with tempfile.TemporaryDirectory() as folder:
        if good:
            assert resolved(Path(folder), text).tune is not None
        else:
            assert refusal(Path(folder), text).startswith("tune.space.batch_size")
