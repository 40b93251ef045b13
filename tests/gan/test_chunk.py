"""Chunks of steps: however training is cut into them, the bits are the same, and nothing moves from its address."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.utils import _pytree as pytree

from gan.engine import cohort as cohort_module
from gan.engine import cuda_graphs, random_streams
from gan.engine.chunk import CHUNK_STEPS, MOST_BLOCKS, Chunks
from gan.engine.cohort import Trainer
from gan.engine.cuda_graphs import GraphChunks
from gan.replica import Cohort, Mode, Replica
from gan.targets import Mixture, Target
from gan.variant import Variant

from . import games, recorder
from .games import DIGITS, LINE, SMALL, Settings, run_of

IMAGE: Settings = {**SMALL, "batch_size": 64, "generator_output": "tanh", "passes": "separate"}


def cohort_of(settings: Settings, target: Target, steps: int, mode: Mode = "vmap") -> Cohort:
    return games.cohort_of(Variant(**settings), target, steps=steps, mode=mode)


def same(one: Trainer, other: Trainer) -> None:
    assert one.metrics.numpy().tobytes() == other.metrics.numpy().tobytes()
    leaves = zip(pytree.tree_leaves(one.state), pytree.tree_leaves(other.state), strict=True)
    assert all(torch.equal(a, b) for a, b in leaves)


def stepwise(cohort: Cohort) -> Trainer:
    """Train without chunks, as a plain loop over the step."""
    run = run_of(cohort)
    state = run.state
    with torch.no_grad():
        for s in range(cohort.steps):
            t, behind = torch.tensor(float(s + 1)), torch.tensor(s / cohort.steps)
            state, run.metrics[s] = run.chunks.step(state, run.hyper, run.batch(s), t, behind)
    run.chunks.assign(state)
    return run


GAMES: dict[str, tuple[Settings, Target, Mode]] = {
    "plain": (SMALL, LINE, "vmap"),
    "one replica": (SMALL | {"generator_norm": "batch", "schedule": "linear"}, Mixture(), "loop"),
    "critic steps": (
        SMALL | {"critic_steps": 3, "penalty": "wgan_gp", "loss": "wasserstein", "latent": "uniform"},
        LINE,
        "vmap",
    ),
    "more critic steps than are held": (SMALL | {"critic_steps": MOST_BLOCKS + 1}, LINE, "vmap"),
    "latents reused": (SMALL | {"latents": "reused", "optimiser": "sgd"}, LINE, "vmap"),
    # 997 images: 15 batches of 64, and one of 37.
    "images": (IMAGE, DIGITS, "vmap"),
    "images and critic steps": (IMAGE | {"critic_steps": 2}, DIGITS, "vmap"),
    "whole batches": (IMAGE | {"last_batch": "drop"}, DIGITS, "vmap"),
}
STEPS = {"more critic steps than are held": 12, "images and critic steps": 40}  # for 70


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_training_changes_no_tensor_that_it_was_given(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    given = run_of(cohort_of(SMALL, LINE, 2, mode))._initial(Replica("0", Variant(**SMALL), 0))
    before = pytree.tree_map(torch.clone, given)
    monkeypatch.setattr(Trainer, "_initial", lambda *_: given)
    run_of(cohort_of(SMALL, LINE, 2, mode)).advance(0, 2)
    assert all(map(torch.equal, pytree.tree_leaves(given), pytree.tree_leaves(before)))


def game_of(name: str) -> Cohort:
    settings, target, mode = GAMES[name]
    return cohort_of(settings, target, STEPS.get(name, 70), mode)


@cache
def chunked(name: str) -> Trainer:
    """Train as it is trained on a CPU."""
    run = run_of(game_of(name))
    for first, last in ((0, 5), (5, run.cohort.steps)):
        run.advance(first, last)
    return run


@pytest.mark.parametrize("name", GAMES)
def test_chunks_are_the_plain_loop_over_the_step(name: str) -> None:
    same(chunked(name), stepwise(game_of(name)))


def test_a_chunk_ends_at_a_block_an_evaluation_or_another_shape() -> None:
    inputs = run_of(cohort_of(SMALL, LINE, 200)).inputs
    assert [inputs.end(*at) for at in ((0, 200), (10, 200), (64, 100), (130, 200))] == [64, 64, 100, 192]
    inputs = run_of(cohort_of(IMAGE, DIGITS, 200)).inputs
    assert [inputs.end(*at) for at in ((0, 200), (15, 200), (16, 200), (60, 200))] == [15, 16, 31, 63]
    assert [inputs.sizes(s) for s in (14, 15, 16)] == [(64,), (37,), (64,)]


def test_a_chunk_breaks_off_between_two_steps_and_the_bits_are_the_same() -> None:
    cohort = cohort_of(SMALL | {"generator_norm": "batch"}, LINE, 100)
    whole, broken = run_of(cohort), run_of(cohort)
    whole.advance(0, 100)
    done, ends = 0, list[int]()
    with torch.no_grad():
        while done < 100:
            done = broken.chunks.run(done, 100, lambda at: at % 7 == 0)
            ends.append(done)
    assert ends[:10] == [7, 14, 21, 28, 35, 42, 49, 56, 63, 64]
    same(whole, broken)


def test_progress_is_told_within_a_chunk_where_a_step_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = cohort_of(SMALL, LINE, 64)
    run, told = run_of(cohort), list[int]()
    ticks = iter(0.4 * i for i in range(10_000))
    monkeypatch.setattr(cohort_module.time, "perf_counter", lambda: next(ticks))
    run.advance(0, 64, told.append)
    assert sum(told) == 64 * 2 and len(told) > 10


@pytest.mark.parametrize("name", ["critic steps", "images"])
def test_what_a_step_reads_and_writes_keeps_its_address(name: str) -> None:
    settings, target, mode = GAMES[name]
    run = run_of(cohort_of(settings, target, 160, mode))

    def addresses() -> list[int]:
        held = [
            vars(stream) for stream in (run.inputs.z_d, run.inputs.z_g, run.inputs.noise, run.inputs.real) if stream
        ]
        found = pytree.tree_leaves(
            [held, vars(run.inputs), run.chunks.metrics, run.chunks.leaves, run.state, run.metrics]
        )
        return [x.data_ptr() for x in found if isinstance(x, torch.Tensor)]

    before = addresses()
    assert len(before) > 20
    for first, last in ((0, 2), (62, 66), (128, 130)):
        run.advance(first, last)
        assert addresses() == before

    def parts(s: int) -> list[torch.Tensor]:
        return [*pytree.tree_leaves(run.inputs.batch(s)[1:]), *run.inputs.time(s)]

    # A position in the chunk has one address at every chunk, and what is staged is laid out as what is not.
    run.inputs.prepare(0, 64)
    early = [(x.data_ptr(), x.stride()) for x in parts(3)]
    run.inputs.prepare(128, 160)
    late = [(x.data_ptr(), x.stride()) for x in parts(131)]
    assert early == late
    run.inputs.stage(131)
    staged = [*pytree.tree_leaves(run.inputs.batch(131, staged=True)), *run.inputs.time(131, staged=True)]
    plain = [*pytree.tree_leaves(run.inputs.batch(131)), *run.inputs.time(131)]
    for one, other in zip(staged, plain, strict=True):
        assert torch.equal(one, other) and one.stride() == other.stride()


# CUDA graphs, without CUDA.


def graphed(monkeypatch: pytest.MonkeyPatch, cohort: Cohort) -> Trainer:
    recorder.install(monkeypatch)
    monkeypatch.setattr(cohort_module, "chunks_of", lambda device: GraphChunks)
    run = run_of(cohort)
    assert isinstance(run.chunks, GraphChunks)
    return run


@pytest.mark.parametrize("name", GAMES)
def test_replayed_chunks_end_with_the_bits_of_plain_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, cohort = chunked(name), game_of(name)
    replayed = graphed(monkeypatch, cohort)
    monkeypatch.setattr(cuda_graphs, "WORTH_CHUNKS", 1)
    for first, last in ((0, 5), (5, cohort.steps)):
        replayed.advance(first, last)
    same(plain, replayed)
    assert recorder.Graph.made >= 1
    assert recorder.Graph.replayed >= cohort.steps - 3 * 3  # all but those that warm up, of three shapes at most


@pytest.mark.parametrize("name", ["plain", "critic steps", "whole batches"])
def test_a_whole_chunk_is_one_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, target, mode = GAMES[name]
    monkeypatch.setattr(cuda_graphs, "WORTH_CHUNKS", 1)
    monkeypatch.setattr(cuda_graphs, "CHUNK_STEPS", 8)
    monkeypatch.setattr("gan.engine.chunk.CHUNK_STEPS", 8)
    monkeypatch.setattr(random_streams, "BLOCK_STEPS", 8)
    cohort = cohort_of(settings, target, 44, mode)
    plain, replayed = run_of(cohort), graphed(monkeypatch, cohort)
    for run in (plain, replayed):
        run.advance(0, 44)
    same(plain, replayed)
    # Three steps warm up and five replay the graph of one; four chunks are the other graph's; four steps are left.
    assert (recorder.Graph.made, recorder.Graph.replayed) == (2, 5 + 4 + 4)
    assert recorder.Event.waits == 5  # between chunks, never inside one


def test_a_whole_chunk_is_recorded_only_where_enough_are_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    run = graphed(monkeypatch, cohort_of(SMALL, LINE, (cuda_graphs.WORTH_CHUNKS + 1) * CHUNK_STEPS - 1))
    run.advance(0, 2 * CHUNK_STEPS)
    assert isinstance(run.chunks, GraphChunks) and run.chunks.whole is None and len(run.chunks.ones) == 1


def test_a_replayed_training_goes_on_from_a_state_that_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = cohort_of(SMALL, LINE, 40)
    plain, replayed = run_of(cohort), graphed(monkeypatch, cohort)
    plain.advance(0, 20)
    for own, kept in zip(replayed.chunks.leaves, plain.chunks.leaves, strict=True):
        own.copy_(kept)
    replayed.metrics[:20] = plain.metrics[:20]
    for run in (plain, replayed):
        run.advance(20, 40)
    same(plain, replayed)


def test_no_more_graphs_than_shapes_a_plan_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "PROGRAMS", 1)
    cohort = cohort_of(IMAGE | {"batch_size": 400}, DIGITS, 24)  # two whole batches and one of 197
    plain, replayed = run_of(cohort), graphed(monkeypatch, cohort)
    for run in (plain, replayed):
        run.advance(0, 24)
    same(plain, replayed)
    assert recorder.Graph.made == 1


def test_a_graph_repeats_what_was_recorded_and_nothing_that_python_chose_since() -> None:
    """The stand-in itself: a program that does not read its numbers from a fixed place is found out."""
    buffer, out, chosen = torch.zeros(1), torch.zeros(1), {"it": 1.0}
    made = recorder.Graph()
    with recorder.recording(made, "thread_local"):
        out.copy_(buffer + chosen["it"])
    assert float(out) == 0.0  # recorded, not done
    buffer.fill_(5.0)
    chosen["it"] = 2.0
    made.replay()
    assert float(out) == 6.0


def test_a_cpu_trains_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.install(monkeypatch)
    run = run_of(cohort_of(SMALL, LINE, 8))
    assert type(run.chunks) is Chunks and cohort_module.chunks_of(torch.device("cuda")) is GraphChunks
    run.advance(0, 8)
    assert recorder.Graph.made == 0
