"""Good study files, which tests change, and how a changed one is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gan.errors import InputError
from studies import schema

STUDY = """
title = "t"
question = "q?"
[target]
name = "gaussian"
[base]
batch_size = 64
[grid]
loss = ["non_saturating", "saturating"]
lr_ratio = [0.5, 1, 2.0]
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
base = { discriminator_hidden = [8] }
"""

LOSSES = 'loss = ["non_saturating", "saturating"]'
GRID = f"{LOSSES}\nlr_ratio = [0.5, 1, 2.0]"
FACTOR = 'factor = "loss"'
ALONE = STUDY.replace(f"[grid]\n{GRID}\n", "").replace(f"{FACTOR}\n", "")
"""A study without a grid."""

BUNDLES = 'r1 = { penalty = "r1", penalty_weight = 2 }\nplain = {}\nsgd = { optimiser = "sgd", lr = 0.1 }\n'
BUNDLED = (
    STUDY.replace(GRID, f"beta1 = [0.5, 0.9]\n[grid.recipe]\n{BUNDLES}")
    .replace(FACTOR, 'factor = "recipe"')
    .replace("batch_size = 64", 'batch_size = 64\nschedule = "linear"')
)
"""A study with a factor whose levels are named bundles of settings."""

SPACE = """lr = { low = 1e-4, high = 1e-2, log = true }
beta1 = { low = 0, high = 0.9 }
critic_steps = { low = 1, high = 5, step = 2 }
penalty = { choices = ["none", "r1"] }
penalty_weight = { low = 0.1, high = 10, log = true, when = { penalty = ["r1"], loss = ["saturating"] } }
generator_hidden = { choices = [[8], [16, 16]] }
"""
TUNE = f"""
[tune]
failed = 1
seeds = 2
trials = 8
batch = 4
[tune.space]
{SPACE}"""
TUNED = STUDY.replace("steps = 20", "steps = 20\ntune = { trials = 24, seeds = 6 }") + TUNE
"""A study that is tuned."""

PARTS = """
question = "q?"
[base]
batch_size = 64
lr = 1e-3
[grid]
loss = ["non_saturating", "saturating"]
[report]
factor = "loss"
claims = [5]
[scales.smoke]
seeds = 2
steps = 10
[tune]
seeds = 2
batch = 2
[tune.space]
lr = { low = 1e-4, high = 1e-2, log = true }
beta1 = { low = 0.0, high = 0.9 }
[scales.smoke.tune]
trials = 4

[parts.line]
title = "a line"
target = { name = "gaussian", mean = 3.0 }
report = { score = "ks", reached = { ks = 0.05 } }
tune = { failed = 1.0 }
[parts.line.scales.laptop]
seeds = 3
steps = 20
tune = { trials = 8 }

[parts.digits]
title = "digits"
target = { name = "digits" }
report = { score = "fid_500", reached = { fid_500 = 3.0 } }
base = { generator_output = "tanh", batch_size = 32 }
scales = { smoke = { steps = 5 } }
[parts.digits.tune]
failed = 37.0
space = { lr = { choices = [1e-3, 2e-3] }, beta2 = { low = 0.9, high = 0.99 } }
"""
"""A file of several studies."""

FIGURES = """
[[figures]]
study = "system-d"
quantity = "loss_generator_epoch"
label = "G's loss"
value = 2.7712
at_epoch = 45
steps = 23450
protocol = "mean over an epoch"
source = "system D"

[[figures]]
study = "mnist"
quantity = "fid_10k"
label = "FID"
value = 9.8
spread = 0.9
steps = 15625
protocol = "50 seeds"
source = "a paper"
not_comparable = "other features"
variant_levels = { loss = "saturating" }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def resolved(folder: Path, text: str, scale: str = "smoke", **given: int) -> schema.Resolved:
    return schema.resolve(schema.load(str(written(folder, text))), scale, **given)


def changed(text: str, *changes: tuple[str, str]) -> str:
    """Return a text with each first part in the place of which another stands."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def refusal(folder: Path, text: str, read: Callable[[str], object] = schema.load) -> str:
    """Return how a file is refused, less its own name: in one line, which begins with the key that is at fault."""
    path = written(folder, text)
    with pytest.raises(InputError) as refused:
        read(str(path))
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")
