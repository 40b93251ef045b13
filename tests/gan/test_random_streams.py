"""What a replica sees belongs to it alone."""

from __future__ import annotations

import torch

from gan.engine import random_streams
from gan.targets import Mixture

CPU = torch.device("cpu")


def test_streams_of_other_names_seeds_and_blocks_differ() -> None:
    draws = {
        (seed, name, index): torch.rand(4, generator=random_streams.generator(seed, name, index, CPU))
        for seed in (0, 1)
        for name in ("real", "latents/generator")
        for index in (0, 1)
    }
    values = [tuple(v.tolist()) for v in draws.values()]
    assert len(set(values)) == len(values)


def test_an_epoch_shows_every_image_once_in_the_replicas_own_order() -> None:
    images = torch.arange(100, dtype=torch.uint8).repeat(3, 1).T.contiguous()  # [100, 3], each its own number
    keep = random_streams.Images([0, 1], images, 32, signed=False, keep_last=True)
    drop = random_streams.Images([0, 1], images, 32, signed=False, keep_last=False)
    assert (keep.steps_per_epoch, drop.steps_per_epoch) == (4, 3)
    seen = torch.cat([random_streams.to_uint8(keep.at(s), signed=False)[:, :, 0] for s in range(4)], dim=1)
    assert [sorted(row.tolist()) for row in seen] == [list(range(100))] * 2
    assert not torch.equal(seen[0], seen[1])
    assert keep.at(3).shape == (2, 4, 3)
    assert not torch.equal(keep.at(0), keep.at(4))  # another epoch, another order


def test_ranges_are_undone_exactly() -> None:
    images = torch.arange(256, dtype=torch.uint8)[None]
    for signed in (False, True):
        scaled = random_streams.to_range(images, signed=signed)
        assert (float(scaled.min()), float(scaled.max())) == ((-1.0, 1.0) if signed else (0.0, 1.0))
        assert torch.equal(random_streams.to_uint8(scaled, signed=signed), images)


def test_blocks_are_what_each_replica_draws_alone_in_one_piece() -> None:
    """The formula that decides every result: no neighbour, no layout and no order of steps changes a bit of it."""
    seeds, blocks = (3, 5), (0, 2, 1, 7)
    z = random_streams.Latents(seeds, ["normal", "uniform"], "generator", 3, 5, CPU, blocks=3, staged=2)
    fractions = random_streams.PenaltyNoise(seeds, 7, 1, CPU, blocks=2)
    real = random_streams.Samples(seeds, Mixture().sample, 9, CPU)
    for index in blocks:
        for k, seed in enumerate(seeds):

            def g(stream: str, seed: int = seed, index: int = index) -> torch.Generator:
                return random_streams.generator(seed, stream, index, CPU)

            shape, rng = (64, 3, 5), g("latents/generator")
            drawn = torch.rand(shape, generator=rng) * 2.0 - 1.0 if k else torch.randn(shape, generator=rng)
            between = torch.rand(64, 7, 1, generator=g("penalty"))
            samples = Mixture().sample((64, 9), g("real"))
            for offset in (0, 1, 63):
                step = 64 * index + offset
                assert torch.equal(z.at(step)[k], drawn[offset])
                assert torch.equal(fractions.at(step)[k], between[offset])
                assert torch.equal(real.at(step)[k], samples[offset])


def test_what_is_held_stays_until_its_place_is_drawn_anew() -> None:
    z = random_streams.Latents([0, 1], ["normal", "normal"], "generator", 3, 2, CPU, blocks=2)
    where = z.buffer.data_ptr()
    first, second = z.at(63), z.at(64)
    kept = first.clone()
    assert torch.equal(first, kept) and not torch.equal(first, second)
    z.prepare(range(130, 140))  # the third block stands where the first did
    assert not torch.equal(first, kept) and torch.equal(z.at(63), kept)
    assert z.buffer.data_ptr() == where


def test_images_are_chosen_ahead_as_one_by_one() -> None:
    images = torch.arange(100, dtype=torch.uint8).repeat(3, 1).T.contiguous()
    ahead, one_by_one = (random_streams.Images([0, 1], images, 32, signed=True, keep_last=True) for _ in range(2))
    ahead.prepare(range(0, 64))  # sixteen epochs
    for step in (0, 3, 4, 31, 63):
        assert torch.equal(ahead.at(step), one_by_one.at(step))
        order = torch.stack(
            [torch.randperm(100, generator=random_streams.generator(s, "order", step // 4, CPU)) for s in (0, 1)]
        )
        chosen = order[:, step % 4 * 32 : (step % 4 + 1) * 32]
        assert torch.equal(ahead.at(step), random_streams.to_range(images[chosen], signed=True))
    assert [ahead.size(s) for s in (0, 2, 3, 4, 7)] == [32, 32, 4, 32, 4]
