"""Both sides of the timing do the same work."""

from __future__ import annotations

import math
import shutil

import pytest
import torch

from benchmarks.speed import BATCHES, ROUNDS, Ours, PlainLoop, compare


def test_both_sides_train_the_same_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.system.has_compiler", lambda _: False)
    plain, ours = PlainLoop(16), Ours(16, 2, steps=5)
    for module, player in ((plain.generator, "generator"), (plain.discriminator, "discriminator")):
        theirs = [tuple(p.shape) for p in module.parameters()]
        assert theirs == [tuple(v.shape[1:]) for v in getattr(ours.run.state, player).params.values()]
    assert plain.d_adam.param_groups[0]["lr"] == pytest.approx(ours.run.variant.lr_discriminator)
    assert plain.g_adam.param_groups[0]["lr"] == pytest.approx(ours.run.variant.lr_generator)
    plain.steps(5)
    ours.steps(5)
    assert len(plain.history) == 5 and all(math.isfinite(x) for pair in plain.history for x in pair)
    assert bool(torch.isfinite(ours.run.metrics).all())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_comparison_measures_every_batch_size() -> None:
    measured = compare(replicas=2, seconds=0.2)
    assert [row["batch"] for row in measured["rows"]] == list(BATCHES)
    for row in measured["rows"]:
        low, high = row["ratio_range"]
        assert 0 < low <= row["ratio"] <= high
    assert measured["rounds"] == ROUNDS
