"""Traced steps: the bits of the step as it is written, in fewer operations, whatever of the state shares storage."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils import _pytree as pytree

from gan.engine import programs
from gan.engine.cohort import Trainer
from gan.engine.tracing import trace
from gan.replica import Mode
from gan.variant import Variant

from .games import GAMES, SMALL, Settings, cohort_of, replicas_of, run_of

LAYERS: Settings = {"generator_hidden": (4, 6), "discriminator_hidden": (6, 4)}
TRACED = (
    *("non-saturating", "wgan_gp as published", "latents reused", "sgd", "simultaneous", "bfloat16", "fixed generator"),
    *("images with BatchNorm", "convolutions with r1"),
)
LONG = ("images with BatchNorm", "wgan_gp as published")
LOOPED = ("non-saturating", "images with BatchNorm")
STEPS = 9


@pytest.fixture(autouse=True)
def none_kept() -> Iterator[None]:
    programs.clear_cache(False)
    yield
    programs.clear_cache(False)


def untrained(name: str, mode: Mode) -> Trainer:
    settings, target = GAMES[name]
    # 997 images in batches of 400, 400 and 197.
    uneven: Settings = {"batch_size": 400, "critic_steps": 2} if name == "images with BatchNorm" else {}
    variant = Variant(**SMALL | LAYERS | settings | uneven)
    return run_of(cohort_of(replicas_of(variant, range(1 if mode == "loop" else 3)), target, steps=STEPS, mode=mode))


def trained(run: Trainer) -> list[Tensor]:
    for part in pairwise((0, 4, 5, STEPS)):
        run.advance(*part)
    return [run.metrics, *pytree.tree_leaves(run.state)]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(pytest.param(name, "vmap", marks=[pytest.mark.slow] if name in LONG else []) for name in TRACED),
        *((name, "loop") for name in LOOPED),
    ],
)
def test_a_traced_step_gives_the_bits_of_the_step_as_it_is_written(
    name: str, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = trained(untrained(name, mode))
    assert not made()
    monkeypatch.setattr(programs, "traced_after", 1)
    run = untrained(name, mode)
    programs.clear_cache(False)
    run.chunks.step = programs.step_function(run.config, run.cohort)
    traced = trained(run)
    assert made()
    assert all(torch.equal(a, b) or (a.isnan() == b.isnan()).all() for a, b in zip(written, traced, strict=True))
    assert all(torch.isfinite(x).all() for x in traced)


def made() -> list[Any]:
    return [traced for program in programs._programs[False].values() for traced in program.programs.values()]


def test_a_replica_finds_what_the_one_before_it_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "traced_after", STEPS + 2)
    for _ in range(3):
        trained(untrained("non-saturating", "loop"))
    assert len(made()) == 1


def test_what_is_kept_holds_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "traced_after", 0)
    run = untrained("non-saturating", "vmap")
    trained(run)
    leaf = weakref.ref(pytree.tree_leaves(run.state)[0])
    programs.release_state()
    del run
    gc.collect()
    assert leaf() is None and made()


def test_a_function_that_changes_tensors_or_draws_numbers_is_not_taken() -> None:
    for function in (lambda a: (a, torch.zeros_like(a).add_(a).sum()), lambda a: (a, (a + torch.randn(3)).sum())):
        with pytest.raises(AssertionError):
            trace(function, [torch.ones(3)], 1)


# The rewriting, on functions of its own.

Function = Callable[..., Sequence[Tensor]]
FUNCTIONS: dict[str, Function] = {
    "an input that is read after its new value is made": lambda a, b: (a + 1.0, b * a, a.sum()),
    "a transposed input": lambda a, b: ((a.t() * 2.0).t(), b, a.sum()),
    "a new value that is a view of the input": lambda a, b: (a.t().contiguous(), b.t(), b.sum()),
    "two inputs that change places": lambda a, b: (b, a, (a - b).sum()),
    "an input that becomes what another was": lambda a, b: (a * 2.0, a, b.sum()),
    "one result for both": lambda a, b: ((x := a * b), x, x.sum()),
    "a result that is read through a view": lambda a, b: ((x := a * b).t() + 1.0, x + 1.0, x.sum()),
    "an operand twice": lambda a, b: ((x := a + b) * x, x + x, x.sum()),
    "an operand and its transpose": lambda a, b: ((x := a + b) * x.t(), x, x.sum()),
    "an operand that is broadcast": lambda a, b: (a + (x := b[0] * 2.0), b + x, x.sum()),
    "an input that stays": lambda a, b: (a, b + a, a.sum()),
    "moments": lambda a, b: (torch.lerp(a, b, 0.1), b * 0.9 + 0.1 * a * a, torch.sqrt(b.abs()).sum()),
    "parts": lambda a, b: (torch.cat([x * 2.0 for x in a.split(1)]), b + a, torch.stack(a.unbind()).sum()),
}


def matrices(seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(3, 3, generator=rng), torch.rand(3, 3, generator=rng)


def holds(function: Function, a: Tensor, b: Tensor) -> None:
    """Run a function as a program twice in a row, and hold what becomes of its inputs against the function's."""
    program = trace(function, (a, b), 2)
    mine, its = (a.clone(), b.clone()), (a.clone(), b.clone())
    for _ in range(2):
        *after, told = (x.clone() for x in function(*mine))
        mine = tuple(after)
        assert torch.equal(program(*its), told)
        for own, expected in zip(its, mine, strict=True):
            assert torch.equal(own, expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_become_what_the_function_returns(name: str) -> None:
    holds(FUNCTIONS[name], *matrices(0))


def test_what_is_given_beside_the_states_stays_as_it_is() -> None:
    (a, b), (_, expected) = matrices(0), matrices(0)
    trace(lambda a, b: (torch.neg(b) + a, (b * 2.0).sum()), (a, b), 1)(a, b)
    assert torch.equal(b, expected)


def test_an_input_is_overwritten_by_its_own_new_value_alone() -> None:
    holds(lambda a, b: (b * 2.0, torch.neg(a) + b.sum(), b.sum()), *matrices(0))


UNARY: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.neg,
    lambda x: x.t(),
    lambda x: x[:1].expand(3, 3),
    lambda x: x.reshape(9).view(3, 3),
    lambda x: x.abs().sqrt(),
    lambda x: x.flip(0),
)
BINARY: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    torch.add,
    torch.mul,
    torch.sub,
    lambda x, y: x / (y.abs() + 1.0),
    lambda x, y: torch.lerp(x, y, 0.25),
    lambda x, y: x * y[0],
)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12))
@settings(max_examples=60)
def test_whatever_is_computed_from_whatever(recipe: list[tuple[int, int, int]]) -> None:
    def function(a: Tensor, b: Tensor) -> Sequence[Tensor]:
        made = [a, b]
        for operation, i, j in recipe:
            x, y = made[-1 - i % len(made)], made[-1 - j % len(made)]
            made.append(UNARY[operation](x) if operation < 6 else BINARY[operation - 6](x, y))
        return made[-1], made[-2], sum((x.sum() for x in made), torch.zeros(()))

    a, b = matrices(len(recipe))
    program = trace(function, (a, b), 2)
    *after, told = (x.clone() for x in function(a, b))
    assert torch.equal(program(a, b), told) or not math.isfinite(told)
    for own, expected in zip((a, b), after, strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=0, equal_nan=True)


def test_what_nobody_reads_is_overwritten_and_nothing_is_computed_twice() -> None:
    def function(p: Tensor, m: Tensor, v: Tensor, g: Tensor) -> Sequence[Tensor]:
        m, v = torch.lerp(m, g, 0.1), v * 0.9 + 0.1 * g * g
        return p - 0.1 * m / (torch.sqrt(v) + 1e-8), m, v, g.square().sum() + g.square().sum()

    program = trace(function, [torch.rand(3) for _ in range(4)], 3)
    names = [node.target._schema.name for node in program.graph.nodes if node.op == "call_function"]
    assert names.count("aten::copy_") == 0 and names.count("aten::pow") == 1
    fresh = [name for name in names if not name.endswith("_")]
    assert sorted(fresh) == [f"aten::{name}" for name in ("add", "mul", "mul", "pow", "sqrt", "sum")]
