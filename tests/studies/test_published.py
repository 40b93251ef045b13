"""The documents' claims and published figures: what stands there, and how a figure that cannot be used is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gan.errors import InputError
from gan.targets import make_target
from studies import published, schema

GOOD = """
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
LOSS = {"loss": ["non_saturating", "saturating"]}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "published.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_figures_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (loss,) = published.figures_of("system-d", make_target("mnist"), {}, path)
    assert loss == {
        "quantity": "loss_generator_epoch",
        "label": "G's loss",
        "value": 2.7712,
        "spread": None,
        "at_epoch": 45,
        "steps": 23450,
        "protocol": "mean over an epoch",
        "source": "system D",
        "not_comparable": "",
        "variant_levels": {},
    }
    (fid,) = published.figures_of("mnist", make_target("mnist"), LOSS, path)
    assert (fid["spread"], fid["at_epoch"], fid["variant_levels"]) == (0.9, None, {"loss": "saturating"})
    assert published.figures_of("gaussian", make_target("gaussian"), {}, path) == []


BAD: dict[str, tuple[str, str, list[str]]] = {
    "unknown study": ('study = "mnist"', 'study = "mnits"', ["figures.1.study", "did you mean 'mnist'"]),
    "unknown quantity": ("fid_10k", "fid_10", ["figures.1.quantity", "did you mean 'fid_10k'"]),
    "another target's score": ('"fid_10k"', '"ks"', ["figures.1.quantity", "'ks' is not measured on mnist"]),
    "a score of the curve alone": ('"fid_10k"', '"fid_2k"', ["figures.1.quantity", "fid_2k"]),
    "not finite": ("value = 9.8", "value = inf", ["figures.1.value", "finite"]),
    "not a number": ("value = 9.8", "value = nan", ["figures.1.value"]),
    "a word for a value": ("value = 9.8", 'value = "9.8"', ["figures.1.value", "number", "9.8"]),
    "spread of nothing": ("spread = 0.9", "spread = 0.0", ["figures.1.spread", "greater than 0"]),
    "no source": ('source = "a paper"', "", ["figures.1.source", "missing"]),
    "an empty source": ('source = "a paper"', 'source = ""', ["figures.1.source", "at least 1"]),
    "no protocol": ('protocol = "50 seeds"', "", ["figures.1.protocol", "missing"]),
    "no steps": ("steps = 15625", "steps = 0", ["figures.1.steps", "greater than or equal to 1"]),
    "unknown key": ("spread = 0.9", "sprad = 0.9", ["figures.1.sprad", "did you mean 'spread'"]),
    "unknown section": ("[[figures]]", "[[figure]]\n[[figures]]", ["figure", "did you mean 'figures'"]),
    "an epoch of the last step": ('"loss_generator_epoch"', '"loss_generator"', ["figures.0.at_epoch", "epochs"]),
    "epoch zero": ("at_epoch = 45", "at_epoch = 0", ["figures.0.at_epoch", "greater than or equal to 1"]),
    "unknown factor": ("{ loss =", "{ los =", ["figures.1.variant_levels.los", "did you mean 'loss'"]),
    "unknown level": ('"saturating" }', '"wasserstein" }', ["figures.1.variant_levels.loss", "expected one of"]),
    "broken TOML": ("[[figures]]", "[[figures", ["TOML"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_figures_are_refused_with_their_place(case: str, tmp_path: Path) -> None:
    old, new, words = BAD[case]
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        published.figures_of("system-d", make_target("mnist"), {}, path)
        published.figures_of("mnist", make_target("mnist"), LOSS, path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for word in words:
        assert word in message, message


def test_an_epoch_s_mean_needs_epochs(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('"system-d"', '"system-a"'))
    with pytest.raises(InputError, match=r"figures.0.at_epoch: 'loss_generator_epoch' on gaussian has no epochs"):
        published.figures_of("system-a", make_target("gaussian"), {}, path)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected the published figures"):
        published.figures(tmp_path / "published.toml")
    with pytest.raises(InputError, match="no such file; expected the documents' claims"):
        published.claim_texts(tmp_path / "claims.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("8 =", "9 =", "claims.8: missing"),
        ("[claims]", '[claims]\n9 = "a ninth"', "claims.9: no such claim"),
        ("[claims]", "[claim]", "claim.*did you mean 'claims'|claims: missing"),
        ('3 = "', '3 = ""\n#', "claims.3: .*at least 1"),
    ],
)
def test_claims_are_exactly_those_there_are(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = published.CLAIM_TEXTS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "claims.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        published.claim_texts(path)


def test_every_claim_is_tested_by_a_study() -> None:
    claimed = {claim for name in schema.available() for claim in schema.load(name).report.claims}
    assert claimed == set(published.claim_texts()) == set(range(1, 9))


def test_every_check_is_made_by_a_study() -> None:
    assert {check for name in schema.available() for check in schema.load(name).report.checks} == set(schema.CHECKS)


def test_published_figures_are_of_the_repository_s_studies_alone(tmp_path: Path) -> None:
    ours = schema.load("system-a")
    copy = tmp_path / "system-a.toml"
    shutil.copy(ours.path, copy)
    assert len(schema.resolve(ours, "laptop").published) == 2
    assert schema.resolve(schema.load(str(copy)), "laptop").published == []
