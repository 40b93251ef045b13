"""What the speed of a chunk rests on, counted and not timed: no word between host and device, and no more operations.

A step is run on tensors of the device `meta`, which have a shape and no value: no shape of theirs can depend on data,
and what the host asks of them fails. A chunk is run on the CPU, and each of its operations is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch._dynamo.utils import counters
from torch.func import vmap
from torch.fx import GraphModule
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gan.engine import programs
from gan.engine.cohort import Trainer
from gan.model.step import Batch, Hyper, step
from gan.replica import Mode, batch_shapes
from gan.targets import Target
from gan.variant import Variant

from .games import DIGITS, GAMES, IMAGE, SMALL, begun, cohort_of, run_of

META = torch.device("meta")

# What makes the host wait for a value on the device, or makes a shape of one.
READS = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique", "unique_dim")
# What brings host data to a tensor.
MAKES = ("lift_fresh", "lift", "_pin_memory")
# Of a number and a tensor: the number travels with the kernel.
ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "pow")


class Watch(TorchDispatchMode):
    """Notes each operation that makes a host wait, and counts those that compute (views of a tensor do not)."""

    def __init__(self) -> None:
        super().__init__()
        self.computing, self.refused = 0, set[str]()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = operation(*args, **(kwargs or {}))
        name = operation._schema.name.removeprefix("aten::")
        if name.startswith((*READS, *MAKES)):
            self.refused.add(name)
        tensors = [x for x in pytree.tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        if name.startswith("index") and any(x.dtype == torch.bool for x in tensors[1:]):
            self.refused.add(f"{name} by a condition")
        devices = {x.device.type for x in tensors}
        if len(devices) > 1 and name not in ARITHMETIC:
            self.refused.add(f"{name} from device to device")
        self.computing += not operation.is_view and not name.startswith("empty") and devices != {"cpu"}
        return out


def variant_of(name: str) -> Variant:
    return Variant(**SMALL | GAMES[name][0])


def small_run(variant: Variant, target: Target, steps: int, mode: Mode = "vmap", **changes: Any) -> Trainer:
    return run_of(cohort_of(variant, target, steps=steps, mode=mode, **changes))


def on_meta(variant: Variant, shape: tuple[int, ...], width: int) -> tuple[Any, Watch]:
    """Train one step of `width` replicas on tensors without values; return what comes out, and what was seen."""
    n, batch = variant.critic_steps, variant.batch_size
    game, state = begun(variant, shape)

    def stacked(x: torch.Tensor) -> torch.Tensor:
        return torch.empty(width, *x.shape, dtype=x.dtype, device=META)

    state, hyper = pytree.tree_map(stacked, (state, Hyper.of(variant)))
    z = torch.empty(width, batch, variant.latent_dim, device=META)
    between = (torch.empty(width, batch, 1, device=META),) * n if variant.penalty == "wgan_gp" else ()
    data = Batch((torch.empty(width, batch, math.prod(shape), device=META),) * n, (z,) * n, z, between)
    time = torch.empty(2, device=META).unbind()
    with torch.no_grad(), Watch() as watch:
        told = vmap(partial(step, game), in_dims=(0, 0, 0, None, None))(state, hyper, data, *time)
    before, after = pytree.tree_leaves(state), pytree.tree_leaves(told[0])
    assert [(x.shape, x.dtype, x.stride()) for x in after] == [(x.shape, x.dtype, x.stride()) for x in before]
    return told, watch


@pytest.mark.parametrize("name", GAMES)
def test_a_step_has_shapes_without_values_and_asks_the_device_nothing(name: str) -> None:
    (_, metrics), watch = on_meta(variant_of(name), GAMES[name][1].shape, 3)
    assert watch.refused == set()
    assert metrics.device == META and metrics.shape[0] == 3


@pytest.mark.parametrize("name", GAMES)
def test_inside_a_chunk_the_host_reads_nothing_and_brings_nothing(name: str) -> None:
    run = small_run(variant_of(name), GAMES[name][1], 8)
    run.inputs.prepare(0, 3)
    with torch.no_grad(), Watch() as watch:
        assert run.chunks.run_eager(0, 3) == 3
    assert watch.refused == set()


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_nor_does_it_at_the_end_of_an_epoch(mode: Mode) -> None:
    run = small_run(Variant(**{**SMALL, **IMAGE, "batch_size": 400, "critic_steps": 2}), DIGITS, 6, mode)
    for first, last in ((0, 1), (1, 2), (2, 3)):  # sizes 400 and 400, 197 and 400, 400 and 197
        assert run.inputs.end(first, 6) == last
        run.inputs.prepare(first, last)
        with torch.no_grad(), Watch() as watch:
            run.chunks.run_eager(first, last)
        assert watch.refused == set()


REFUSED: dict[str, Callable[[torch.Tensor], object]] = {
    "a read": lambda x: float(x.sum()),
    "a branch": lambda x: bool((x > 0).any()),
    "a shape from data": lambda x: x[x > 0],
    "a number from the host": lambda x: x + torch.tensor(1.0),
    "a comparison": lambda x: torch.equal(x, x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_watch_sees(name: str) -> None:
    with Watch() as watch:
        REFUSED[name](torch.ones(3))
    assert watch.refused


def test_the_watch_sees_a_copy_from_the_host() -> None:
    given = torch.ones(3)
    with Watch() as watch:
        given.to(META)
    assert watch.refused == {"_to_copy from device to device"}


# Operations that compute in one step, mapped: as it is written, and as it is traced. Each is a kernel on a device; more
# are a slower step. Pinned with this version of torch, whose own rules decide some of them; after a change that is
# meant, write here what the test prints.
TORCH = "2.15"
OPERATIONS = {
    "non-saturating": (259, 244),
    "wasserstein with wgan_gp": (301, 284),
    "BatchNorm": (372, 359),
    "critic steps": (369, 355),
    "bfloat16": (363, 346),
    "convolutions": (344, 340),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_takes_no_more_operations_at_any_width(name: str) -> None:
    variant, shape = variant_of(name), GAMES[name][1].shape
    narrow, wide = (on_meta(variant, shape, width)[1].computing for width in (2, 5))
    assert narrow == wide


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_takes_no_more_operations_than_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.__version__.startswith(f"{TORCH}."):
        pytest.skip(f"the operations were counted with torch {TORCH}, and this is {torch.__version__}")
    variant, target = variant_of(name), GAMES[name][1]
    written = on_meta(variant, target.shape, 2)[1].computing
    monkeypatch.setattr(programs, "traced_after", 0)
    programs.clear_cache(False)
    small_run(variant, target, 8).advance(0, 1)
    ((program,),) = (traced.programs.values() for traced in programs._programs[False].values())
    programs.clear_cache(False)
    operations = [node.target for node in cast(GraphModule, program).graph.nodes if node.op == "call_function"]
    computing = [x for x in operations if not (isinstance(x, torch._ops.OpOverload) and x.is_view)]
    assert (written, len(computing)) == OPERATIONS[name]


# Compiled, but for the compiler's own backend: what is counted is how often it would be called.


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = torch.compile

    def compiled(function: Any, *, dynamic: bool, fullgraph: bool, **options: Any) -> Any:
        return real(function, dynamic=dynamic, fullgraph=fullgraph, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", compiled)
    programs._programs[True].clear()
    torch.compiler.reset()
    counters.clear()
    yield
    programs._programs[True].clear()
    torch.compiler.reset()


@pytest.mark.usefixtures("unbuilt")
def test_a_study_compiles_each_shape_once_without_a_break() -> None:
    variant = Variant(**{**SMALL, **IMAGE, "batch_size": 400})  # 400, 400 and 197 of 997 images
    losses = ("non_saturating", "saturating")
    first = small_run(variant, DIGITS, 6, compiled=True, losses=losses)
    first.advance(0, 6)
    shapes = batch_shapes(variant, DIGITS)
    assert counters["stats"]["unique_graphs"] == shapes == 2
    assert not counters["graph_break"]
    # Other numbers, another seed, another number of steps, chunks that are cut elsewhere: the same programs.
    numbers = replace(variant, lr=1e-3, beta1=0.5, loss="saturating", reduction="sum")
    other = small_run(numbers, DIGITS, 8, compiled=True, losses=losses)
    with torch.compiler.set_stance("fail_on_recompile"):
        for at in ((0, 1), (1, 5), (5, 8)):
            other.advance(*at)
    assert counters["stats"]["unique_graphs"] == shapes
    assert bool(torch.isfinite(other.metrics).all())
