"""Our kernel for products of stacks of small matrices: right, and the same bits whoever else is in the stack."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._inductor import config as inductor
from torch.fx.experimental.proxy_tensor import make_fx

from gan.engine import bmm as kernel
from gan.engine.bmm import OurProducts, bmm

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the kernel needs a C++ compiler")


@pytest.fixture
def unfused() -> Iterator[None]:
    """Compile for a processor without a fused multiply-add."""
    kernel._compiled.cache_clear()
    with inductor.patch({"cpp.march": "x86-64", "cpp.simdlen": 1}):
        yield
    kernel._compiled.cache_clear()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="every other processor that PyTorch runs on has one")
@pytest.mark.usefixtures("unfused")
def test_without_a_fused_multiply_add_the_product_stays_pytorchs() -> None:
    traced = make_fx(torch.bmm, tracing_mode="fake")(drawn(2, 4, 6), drawn(2, 6, 5))
    OurProducts()(traced.graph)
    assert [str(node.target) for node in traced.graph.nodes if node.op == "call_function"] == ["aten.bmm.default"]
    assert not kernel.is_fused() and OurProducts().uuid()[-1] is False


SHAPES = (
    *((2, 512, 20, 32), (3, 7, 5, 3), (2, 64, 33, 64), (2, 29, 40, 65), (1, 2, 2, 2)),
    *((2, 13, 128, 130), (2, 1, 9, 16), (4, 17, 1, 48), (1, 31, 100, 15)),
)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def layouts(x: Tensor) -> list[Tensor]:
    """A stack of matrices as it is, as transposed ones, and as every other one of a larger stack."""
    return [x, x.mT.contiguous().mT, torch.stack([x, x], dim=1).flatten(0, 1)[::2]]


@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right_whatever_the_layout(shape: tuple[int, ...]) -> None:
    count, m, inner, n = shape
    a, b = drawn(count, m, inner), drawn(count, inner, n)
    exact = torch.bmm(a.double(), b.double())
    # Of a chain of roundings, each of half a unit in the last place (Higham 2002, section 3.1).
    bound = inner * torch.finfo(torch.float32).eps * torch.bmm(a.abs().double(), b.abs().double())
    found = [bmm(left, right) for left in layouts(a) for right in layouts(b)]
    assert bool(((found[0].double() - exact).abs() <= bound).all())
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_number_does_not_depend_on_its_neighbours(shape: tuple[int, ...]) -> None:
    count, m, inner, n = shape
    a, b = drawn(count, m, inner), drawn(count, inner, n)
    whole = bmm(a, b)
    assert torch.equal(whole[-1:], bmm(a[-1:], b[-1:]))  # another matrix of the stack
    assert torch.equal(whole[:, m // 2 :], bmm(a[:, m // 2 :], b))  # another row
    assert torch.equal(whole[:, :, n // 2 :], bmm(a, b[:, :, n // 2 :]))  # another column


def test_every_number_is_one_chain_of_fused_multiply_adds() -> None:
    a, b = drawn(1, 3, 50), drawn(1, 50, 5)
    expected = torch.zeros(1, 3, 5)
    for p in range(50):
        # In double precision the product is exact, and the sum rounded twice: once more than a fused one, which can
        # only matter at a tie.
        expected = (expected.double() + a[:, :, p : p + 1].double() * b[:, p : p + 1].double()).float()
    assert torch.equal(bmm(a, b), expected)


def test_the_pass_takes_the_products_it_can_do() -> None:
    def both(a: Tensor, b: Tensor, thin: Tensor, outer: Tensor, half: Tensor) -> tuple[Tensor, ...]:
        return torch.bmm(a, b), torch.bmm(thin, b), torch.bmm(outer, outer.mT), torch.bmm(half, half)

    given = drawn(2, 4, 6), drawn(2, 6, 5), drawn(2, 1, 6), drawn(2, 3, 1), drawn(2, 4, 4).bfloat16()
    traced = make_fx(both, tracing_mode="fake")(*given)
    OurProducts()(traced.graph)
    targets = [str(node.target) for node in traced.graph.nodes if node.op == "call_function"]
    assert targets == [
        "gan.bmm.default",
        "aten.bmm.default",
        "aten.transpose.int",
        "aten.mul.Tensor",
        "aten.bmm.default",
    ]
    traced.recompile()
    for found, expected in zip(traced(*given), both(*given), strict=True):
        torch.testing.assert_close(found, expected)
