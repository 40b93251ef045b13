"""Products of stacks of small matrices, which most of a mapped step is, on a CPU.

The library behind `torch.bmm` has no path for the wide registers of many processors: our kernel, `bmm.cpp`, is
about twice as fast there on the small matrices of a stack of GANs, and never slower where we measured it. It takes
the place of `torch.bmm` in compiled programs alone, which need a C++ compiler anyway; the step itself knows nothing
of it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._inductor.codecache import CppCodeCache
from torch._inductor.cpu_vec_isa import pick_vec_isa
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph
from torch.library import Library, register_fake

SOURCE = Path(__file__).with_suffix(".cpp")
_library = Library("gan", "FRAGMENT")
_library.define("bmm(Tensor a, Tensor b) -> Tensor")


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """Return a[z] b[z] for every z.

    Each number is one chain of fused multiply-adds in the order of the inner dimension: its bits depend neither on
    how many matrices there are nor on the others.

    Args:
        a: float32 [count, m, inner] on the CPU, of any strides.
        b: float32 [count, inner, n], the same.

    Returns:
        float32 [count, m, n], contiguous.
    """
    assert a.dtype == b.dtype == torch.float32
    count, m, inner = a.shape
    n = b.shape[2]
    c = a.new_empty((count, m, n))
    _kernel()(a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), c.data_ptr(), count, m, inner, n)
    return c


_library.impl("bmm", bmm, "CPU")


def _like(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))


register_fake("gan::bmm", _like)


def is_fused() -> bool:
    """Return whether the compiler's target has a fused multiply-add; without one `torch.bmm` stays in place."""
    return bool(_compiled().fused())


@cache
def _compiled() -> Any:
    """Compile the kernel for this processor, or find it in the compiler's cache."""
    return CppCodeCache.load(SOURCE.read_text(encoding="utf-8"))


@cache
def _kernel() -> Any:
    kernel = _compiled().products
    matrix = [ctypes.c_void_p, *[ctypes.c_int64] * 3]
    kernel.argtypes = [*matrix, *matrix, ctypes.c_void_p, *[ctypes.c_int64] * 4]
    kernel.restype = None
    return kernel


class OurProducts(CustomGraphPass):
    """Puts our kernel into a program in place of `torch.bmm`: a pass of the compiler over its graph."""

    def __call__(self, graph: Graph) -> None:
        """Replace every batched product of float32 matrices; thin ones become elementwise work for the compiler."""
        if not is_fused():
            return
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.bmm.default):
            a, b = (x.meta["val"] for x in node.args)
            m, inner, n = a.shape[1], a.shape[2], b.shape[2]
            if a.device.type != "cpu" or a.dtype != torch.float32 or m == 1 or n == 1:
                continue  # the compiler itself makes a sum of products where m or n is 1
            node.target = torch.ops.aten.mul.Tensor if inner == 1 else torch.ops.gan.bmm.default

    def uuid(self) -> Any:
        """Return what names this pass in the compiler's cache, its target with it: the compiler's own key lacks that.

        Else a program compiled for wide registers would be found, and run, where narrower ones are emulated.
        """
        return get_hash_for_files((__file__, str(SOURCE))), str(pick_vec_isa()), is_fused()
