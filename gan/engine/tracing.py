"""A step without a compiler: traced once into a flat list of operations, which then run without the code around them.

Vectorising and differentiating a step takes the host longer than a narrow step computes. Its trace is what is left of
both: the same operations on the same numbers, and so the same bits. What would be computed twice is computed once, and
what nobody reads any more is overwritten, so that the caches hold fewer copies of large parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.dialect.common.cse_pass import CSEPass
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.multiprocessing.reductions import StorageWeakRef

_ATEN = torch.ops.aten
_IN_PLACE: dict[Any, Any] = {
    _ATEN.add.Tensor: _ATEN.add_.Tensor,
    _ATEN.sub.Tensor: _ATEN.sub_.Tensor,
    _ATEN.mul.Tensor: _ATEN.mul_.Tensor,
    _ATEN.div.Tensor: _ATEN.div_.Tensor,
    _ATEN.lerp.Tensor: _ATEN.lerp_.Tensor,
    _ATEN.lerp.Scalar: _ATEN.lerp_.Scalar,
    _ATEN.sqrt.default: _ATEN.sqrt_.default,
    _ATEN.neg.default: _ATEN.neg_.default,
}
"""Elementwise operations, and what writes their result over their first operand."""
_COMMUTE = (_ATEN.add.Tensor, _ATEN.mul.Tensor)


def trace(function: Callable[..., Sequence[Tensor]], given: Sequence[Tensor], states: int) -> GraphModule:
    """Trace a function, and have it change its first arguments in place.

    Args:
        function: Of tensors alone, to one tensor more than `states`. It changes no tensor, nor one that it makes, and
            draws no random numbers: what is written twice is taken for the same.
        given: What it may be given. Shapes, strides and types are those of each later call.
        states: So many of the first arguments become what the function returns at their places.

    Returns:
        A program that takes the same arguments and returns the last tensor.
    """
    # A tensor that is not given is a constant, and is taken as it is.
    traced = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*given)
    targets: list[Any] = [node.target for node in traced.graph.nodes if hasattr(node.target, "overloadpacket")]
    assert not any(x._schema.is_mutable or torch.Tag.nondeterministic_seeded in x.tags for x in targets)
    once = CSEPass()(traced)
    assert once is not None
    once.graph_module.graph.eliminate_dead_code()
    FakeTensorProp(once.graph_module, FakeTensorMode(allow_non_fake_inputs=True)).propagate(*given)
    return _Overwriting(once.graph_module, states).program()


class _Overwriting:
    """A graph whose operations overwrite what nobody reads after them.

    Tensors that share storage, as a matrix and its transpose do, are recognised by the storage of each node's value
    when the graph was run on tensors without numbers.

    Args:
        module: What has the graph, with the value of each node.
        states: So many of the first inputs are replaced by the outputs at their places.
    """

    def __init__(self, module: GraphModule, states: int) -> None:
        self.module = module
        self.nodes = list(module.graph.nodes)
        self.at = {node: i for i, node in enumerate(self.nodes)}
        inputs = [node for node in self.nodes if node.op == "placeholder"]
        self.output = self.nodes[-1]
        *after, self.metrics = self.output.args[0]
        self.new = dict(zip(inputs[:states], after, strict=True))
        self.storage = {node: _storage(node) for node in self.nodes}
        self.given = {self.storage[node]: node for node in self.nodes if node.op in ("placeholder", "get_attr")}
        self.last_read: dict[Any, int] = {}
        for node in self.nodes:
            for read in node.all_input_nodes:
                self._read(self.storage[read], self.at[node])

    def program(self) -> GraphModule:
        """Rewrite the graph; return it as a program."""
        for node in self.nodes:
            if node.target in _IN_PLACE and not node.kwargs:
                self._overwrite(node)
        graph = self.module.graph
        with graph.inserting_before(self.output):
            moved = {old: new for old, new in self.new.items() if not self._stands_in(new, old)}
            for old, new in moved.items():
                if self.storage[new] in self.given:  # which its own new value may overwrite first
                    moved[old] = graph.call_function(_ATEN.clone.default, (new,))
            for old, new in moved.items():
                graph.call_function(_ATEN.copy_.default, (old, new))
        self.output.args = (self.metrics,)
        graph.lint()
        self.module.recompile()
        return self.module

    def _overwrite(self, node: Node) -> None:
        """Let an operation write over one of its operands, if it may."""
        for i in (0, 1) if node.target in _COMMUTE else (0,):
            operand = node.args[i]
            if isinstance(operand, Node) and self._may(node, operand):
                node.args = (operand, *(x for j, x in enumerate(node.args) if j != i))
                node.target = _IN_PLACE[node.target]
                freed, taken = self.storage[node], self.storage[operand]
                self.storage |= {other: taken for other in self.nodes if self.storage[other] == freed}
                self._read(taken, self.last_read.get(freed, -1))
                return

    def _may(self, node: Node, operand: Node) -> bool:
        """Say whether nobody misses an operand over which an operation has written."""
        storage = self.storage[operand]
        if storage is None or self.last_read[storage] > self.at[node] or _layout(node) != _layout(operand):
            return False
        if node.args.count(operand) > 1 or [self.storage[x] for x in node.all_input_nodes].count(storage) > 1:
            return False
        old = self.given.get(storage)
        return old is None or (self._stands_in(operand, old) and self._replaces(node, old))

    def _stands_in(self, node: Node, old: Node) -> bool:
        """Say whether a node's value stands where an input does, number by number."""
        return node is old or (self.storage[node] == self.storage[old] and node.target in _IN_PLACE.values())

    def _replaces(self, node: Node, old: Node) -> bool:
        """Say whether the result of an operation, or of those that go on with it alone, is an input's new value."""
        if old not in self.new:
            return False
        while node is not self.new[old]:
            users = list(node.users)
            if len(users) != 1 or users[0].target not in _IN_PLACE:
                return False
            (node,) = users
        return True

    def _read(self, storage: Any, at: int) -> None:
        self.last_read[storage] = max(self.last_read.get(storage, -1), at)


def _storage(node: Node) -> Any:
    """Return what tells the storage of a node's value; None where it has no value, or several."""
    value = node.meta.get("val")
    return StorageWeakRef(value.untyped_storage()).cdata if isinstance(value, Tensor) else None


def _layout(node: Node) -> tuple[Any, ...]:
    value = node.meta["val"]
    return value.shape, value.stride(), value.dtype
