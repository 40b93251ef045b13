"""Splits of the data: what validation may look at, and that looking changes nothing of the test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from gan.engine import evaluation
from gan.engine.cohort import train
from gan.replica import ReplicaResult, Scoring
from gan.scores import Split, scores_of
from gan.scores.scorer import make_scorer
from gan.targets import Images, Point, Target
from gan.targets.images import ImageData
from gan.variant import Variant

from .games import DIGITS, LINE, cohort_of

IMAGE = Variant(generator_output="tanh", batch_size=16, generator_hidden=(32,), passes="separate")
GAME = Variant(generator="point", discriminator="slope", optimiser="sgd", loss="wasserstein", batch_size=2)
CASES: list[tuple[Target, Variant]] = [(LINE, Variant(batch_size=32)), (DIGITS, IMAGE)]


def trained(
    target: Target, variant: Variant, split: Literal["test", "validation", "both"], steps: int = 4
) -> list[ReplicaResult]:
    cohort = cohort_of(variant, target, steps=steps, scoring=Scoring(evaluations=2, split=split))
    results = train(cohort, Path("nowhere"), "cpu").replicas
    for result in results:
        del result.row["train_seconds"]
    return results


@pytest.mark.parametrize(("target", "variant"), CASES, ids=lambda x: getattr(x, "name", ""))
def test_both_is_the_test_bit_for_bit_and_validation_beside_it(target: Target, variant: Variant) -> None:
    tests, validations, boths = (trained(target, variant, split) for split in ("test", "validation", "both"))
    for test, validation, both in zip(tests, validations, boths, strict=True):
        beside = {name: value for name, value in both.row.items() if name.startswith("validation/")}
        alike = {name: value for name, value in both.row.items() if name not in beside}
        assert repr(alike) == repr(test.row)  # every bit, and NaN like NaN
        finals = {score.name for score in scores_of(target) if score.name in test.row}
        assert beside == {f"validation/{name}": validation.row[name] for name in finals}
        assert beside != {f"validation/{name}": test.row[name] for name in finals}

        curves = {score.name for score in scores_of(target) if score.curve}
        scored = [point for point in both.history if point[1].startswith("validation/")]
        assert [point for point in both.history if point not in scored] == test.history
        assert {metric for _, metric, _ in scored} == {f"validation/{name}" for name in curves}
        assert [(at, metric.replace("validation/", "score/"), value) for at, metric, value in scored] == [
            point for point in validation.history if point[1].startswith("score/")
        ]
        assert not any(metric.startswith("validation/") for _, metric, _ in validation.history)

        # The same training, and the first side's samples are the ones kept.
        for name, weights in test.weights.items():
            assert np.array_equal(weights, validation.weights[name]) and np.array_equal(weights, both.weights[name])
        assert np.array_equal(test.samples["final"], both.samples["final"])
        assert not np.array_equal(test.samples["final"], validation.samples["final"])


def test_a_game_of_two_numbers_has_nothing_to_hold_out() -> None:
    tests, validations, boths = (trained(Point(), GAME, split) for split in ("test", "validation", "both"))
    for test, *others in zip(tests, validations, boths, strict=True):
        for other in others:
            assert list(other.row) == list(test.row) and other.row["radius"] == test.row["radius"]
            assert other.history == test.history


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A way to replace parts of the digits; what earlier scorers remember is forgotten before and after."""
    data = DIGITS.load(Path("nowhere"))

    def forget() -> None:
        evaluation._scorer.cache_clear()
        evaluation.references_of.cache_clear()

    def replace(**parts: torch.Tensor) -> ImageData:
        replaced = dataclasses.replace(data, **parts)
        monkeypatch.setattr(Images, "load", lambda *_, **__: replaced)
        forget()
        return replaced

    yield replace
    forget()


def poison(images: torch.Tensor) -> torch.Tensor:
    return torch.randint(256, images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_validation_never_looks_at_the_test(digits: Any) -> None:
    data = digits()
    splits: tuple[Split, ...] = ("validation", "test")
    clean = [(trained(DIGITS, IMAGE, split), references(split)) for split in splits]
    digits(test=poison(data.test), test_labels=9 - data.test_labels)
    for split, (before, floors) in zip(splits, clean, strict=True):
        after = trained(DIGITS, IMAGE, split)
        same = [one.row == other.row and one.history == other.history for one, other in zip(before, after, strict=True)]
        assert same == [split == "validation"] * 2
        assert (references(split) == floors) == (split == "validation")


def references(split: Split) -> dict[str, Any]:
    return make_scorer(DIGITS, Path("nowhere"), split=split).references()


def test_floors_compare_no_image_with_itself(digits: Any) -> None:
    data = digits()
    test, validation = references("test"), references("validation")
    for found in (test, validation):
        assert 0 < found["fid_500"]["floor"] < found["fid_500"]["noise"] / 10
        assert found["modes"]["floor"] == 10 and found["modes"]["noise"] == 0
        # An image among its own references would be of high quality for certain.
        assert 0.9 < found["hq_share"]["floor"] < 1
        assert found["mode_kl"]["floor"] < 0.05
    assert test["fid_500"] != validation["fid_500"]
    # What judges samples is one threshold: noise scores the same but for the distance.
    for name in ("modes", "hq_share", "mode_kl"):
        assert test[name]["noise"] == validation[name]["noise"]

    # Poison in the part of train that is judged in the split of validation: its floors see it.
    train = data.train.clone()
    train[:500] = poison(train[:500])
    digits(train=train)
    assert references("validation")["hq_share"]["floor"] < 0.1


def test_validation_is_scored_against_validation_images(digits: Any) -> None:
    data = digits()
    test = make_scorer(DIGITS, Path("nowhere"), split="test").final(data.test)
    validation = make_scorer(DIGITS, Path("nowhere"), split="validation").final(data.test)
    assert test["fid_500"] == pytest.approx(0, abs=1e-6) and validation["fid_500"] > 0.01
    assert test["kid_500"] < min(0, validation["kid_500"])  # the same images are nearer than two draws
    for name in ("modes", "modes_any", "hq_share", "mode_kl", "diversity", "memorised"):
        assert test[name] == validation[name]  # of these there is one measure


def test_cohorts_of_one_worker_share_what_real_data_cost(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    digits()
    made: list[Any] = []

    def counted(*settings: Any) -> Any:
        made.append(settings)
        return make_scorer(*settings)

    monkeypatch.setattr(evaluation, "make_scorer", counted)
    for _ in range(2):
        for split in ("both", "validation", "test"):
            trained(DIGITS, IMAGE, split, steps=2)
    assert [settings[3] for settings in made] == ["test", "validation"]
    assert evaluation.references_of.cache_info().misses == 2
