"""What a replica sees belongs to it alone."""

from __future__ import annotations

import torch

from gan import streams
from gan.targets import Gaussian, Mixture

CPU = torch.device("cpu")


def test_a_stream_does_not_depend_on_who_trains_beside_it() -> None:
    alone = streams.Latents([7], ["uniform"], "discriminator", 16, 5, CPU)
    among = streams.Latents([1, 7, 3], ["normal", "uniform", "normal"], "discriminator", 16, 5, CPU)
    for step in (0, 1, 63, 64, 200):
        assert torch.equal(alone.at(step)[0], among.at(step)[1])


def test_any_step_is_reachable_at_once() -> None:
    walked, jumped = (streams.Samples([3], Mixture(), 8, CPU) for _ in range(2))
    batches = [walked.at(s).clone() for s in range(150)]
    for step in (149, 0, 70):
        assert torch.equal(jumped.at(step), batches[step])


def test_streams_of_other_names_seeds_and_blocks_differ() -> None:
    draws = {
        (seed, name, index): torch.rand(4, generator=streams.generator(seed, name, index, CPU))
        for seed in (0, 1)
        for name in ("real", "latents/generator")
        for index in (0, 1)
    }
    values = [tuple(v.tolist()) for v in draws.values()]
    assert len(set(values)) == len(values)


def test_samples_follow_their_distribution() -> None:
    batch = streams.Samples([0], Gaussian(3.0, 2.0), 50_000, CPU).at(0)
    assert abs(float(batch.mean()) - 3) < 0.05
    assert abs(float(batch.std()) - 2) < 0.05


def test_latents_are_of_the_kind_that_was_asked_for() -> None:
    normal, uniform = streams.Latents([0, 0], ["normal", "uniform"], "generator", 5_000, 2, CPU).at(0)
    assert abs(float(normal.std()) - 1) < 0.05 and float(normal.abs().max()) > 3
    assert abs(float(uniform.std()) - 3**-0.5) < 0.02 and float(uniform.abs().max()) <= 1


def test_an_epoch_shows_every_image_once_in_the_replicas_own_order() -> None:
    images = torch.arange(100, dtype=torch.uint8).repeat(3, 1).T.contiguous()  # [100, 3], each its own number
    keep = streams.Images([0, 1], images, 32, signed=False, keep_last=True)
    drop = streams.Images([0, 1], images, 32, signed=False, keep_last=False)
    assert (keep.steps_per_epoch, drop.steps_per_epoch) == (4, 3)
    seen = torch.cat([streams.to_uint8(keep.at(s), signed=False)[:, :, 0] for s in range(4)], dim=1)
    assert [sorted(row.tolist()) for row in seen] == [list(range(100))] * 2
    assert not torch.equal(seen[0], seen[1])
    assert keep.at(3).shape == (2, 4, 3)
    assert not torch.equal(keep.at(0), keep.at(4))  # another epoch, another order


def test_ranges_are_undone_exactly() -> None:
    images = torch.arange(256, dtype=torch.uint8)[None]
    for signed in (False, True):
        scaled = streams.to_range(images, signed=signed)
        assert (float(scaled.min()), float(scaled.max())) == ((-1.0, 1.0) if signed else (0.0, 1.0))
        assert torch.equal(streams.to_uint8(scaled, signed=signed), images)
