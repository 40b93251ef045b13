"""The pinned classifiers: what their cards say is so, and damaged ones are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from gan.errors import InputError
from gan.scores import scoring_digest
from gan.scores.card import WEIGHTS, read_card
from gan.scores.classifier import ARCHITECTURES, load_classifier
from gan.scores.train_classifier import RECIPES, accuracy, main, shifted, speckled, spoiled, training_part
from gan.targets import Images, make_target
from gan.targets.images import DATASETS, Dataset

DATA_DIR = Path(os.environ.get("GAN_DATA_DIR", "data"))


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed weights, to be damaged."""
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))
    monkeypatch.setattr("gan.scores.card.WEIGHTS", folder)
    monkeypatch.setattr("gan.scores.classifier.WEIGHTS", folder)
    return folder


@pytest.mark.parametrize("dataset", DATASETS)
def test_card_fits_data_and_weights(dataset: Dataset) -> None:
    card = read_card(dataset)
    assert card["data_digest"] == Images(dataset).digest
    assert (card["seed"], card["epochs"]) == (RECIPES[dataset].seed, RECIPES[dataset].epochs)
    classifier = load_classifier(Images(dataset))
    features, logits = classifier(torch.zeros(3, Images(dataset).dimension, dtype=torch.uint8))
    assert features.shape == (3, card["features"]) == (3, ARCHITECTURES[dataset].features)
    assert logits.shape == (3, 10)
    assert (WEIGHTS / f"{dataset}.safetensors").stat().st_size < 400_000


@pytest.mark.parametrize(("dataset", "least"), [("digits", 0.97), ("mnist", 0.99), ("fashion_mnist", 0.88)])
def test_recorded_accuracy_is_the_accuracy(dataset: Dataset, least: float) -> None:
    if not Images(dataset).available(DATA_DIR):
        pytest.skip(f"no {dataset} files under {DATA_DIR}: set GAN_DATA_DIR")
    data = Images(dataset).load(DATA_DIR)
    card = read_card(dataset)
    measured = accuracy(load_classifier(Images(dataset)), data.test, data.test_labels)
    # Another processor may round a logit the other way, so one image in 5,000 may differ.
    assert measured == pytest.approx(card["test_accuracy"], abs=2e-4)
    assert measured >= least


def test_damaged_weights_are_refused_by_name(copied: Path) -> None:
    path = copied / "digits.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"digits\.safetensors"):
        load_classifier(Images("digits"))


@pytest.mark.parametrize("file", ["digits.safetensors", "digits.json"])
def test_missing_weights_are_named(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(InputError, match=file):
        load_classifier(Images("digits"))


def test_other_weights_mean_another_scoring(copied: Path) -> None:
    before = scoring_digest(Images("digits"))
    line = scoring_digest(make_target("gaussian"))
    path = copied / "digits.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": "0" * 64}))
    assert scoring_digest(Images("digits")) != before
    assert scoring_digest(make_target("gaussian")) == line


def test_training_gives_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gan.scores import train_classifier

    monkeypatch.setitem(train_classifier.RECIPES, "digits", train_classifier.Recipe(epochs=2, shift=1))
    data = Images("digits").load(DATA_DIR)
    recipe = train_classifier.RECIPES["digits"]
    for folder in ("one", "two"):
        trained = train_classifier.train(data, "digits", recipe)
        train_classifier.write("digits", trained, data, recipe, tmp_path / folder)
    assert capsys.readouterr().out.count("epoch 2/2") == 2
    for file in ("digits.safetensors", "digits.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_missing_data_end_the_script_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    try:
        assert main(["mnist", "--data-dir", str(tmp_path)]) == 2
    finally:
        torch.use_deterministic_algorithms(before)
    assert "Three ways out" in capsys.readouterr().err


def test_shifts_move_whole_images() -> None:
    images = torch.randint(1, 256, (200, 9), dtype=torch.uint8)
    moved = shifted(images, side=3, most=1)
    kinds: set[tuple[int, int]] = set()
    for before, after in zip(images.reshape(-1, 3, 3), moved, strict=True):
        matches = [
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if torch.equal(_moved(before, down, right), after)
        ]
        assert len(matches) == 1
        kinds.update(matches)
    assert len(kinds) == 9
    assert torch.equal(shifted(images, side=3, most=0), images.reshape(-1, 3, 3))


def _moved(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    moved = torch.zeros_like(image)
    for row in range(3):
        for column in range(3):
            if 0 <= row + down < 3 and 0 <= column + right < 3:
                moved[row + down, column + right] = image[row, column]
    return moved


def test_spoiled_images_are_never_the_images() -> None:
    images = Images("digits").load(DATA_DIR).train[:200].reshape(-1, 8, 8)
    bad = spoiled(images)
    assert (bad.shape, bad.dtype) == (images.shape, torch.uint8)
    assert not (bad == images).flatten(1).all(dim=1).any()


def test_speckle_grows_up_to_its_bound() -> None:
    images = torch.full((500, 8, 8), 128, dtype=torch.uint8)
    assert torch.equal(speckled(images, 0), images)
    spread = speckled(images, 20).flatten(1).float().std(dim=1)
    assert float(spread.min()) < 3
    assert 17 < float(spread.max()) < 28


def test_validation_is_held_out_from_training() -> None:
    digits = Images("digits").load(DATA_DIR)
    assert len(training_part(digits)[0]) == len(digits.train) == 997
    if Images("mnist").available(DATA_DIR):
        mnist = Images("mnist").load(DATA_DIR)
        assert torch.equal(training_part(mnist)[0], mnist.train[:50_000])
