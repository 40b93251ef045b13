"""A stand-in for CUDA graphs: what a program does to tensors is recorded, undone, and done again at each replay.

As on the device, a replay repeats operations on tensors at their addresses: whatever Python would have chosen anew, and
whatever tensor is no longer where it was, comes out as it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class Graph:
    """In place of `torch.cuda.CUDAGraph`."""

    made: int = 0
    replayed: int = 0

    def __init__(self) -> None:
        Graph.made += 1
        self.done: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def replay(self) -> None:
        Graph.replayed += 1
        for operation, args, kwargs, results in self.done:
            again = tensors(operation(*args, **kwargs))
            for result, new in zip(results, again, strict=True):
                if result.data_ptr() != new.data_ptr():  # neither a view nor changed in place
                    result.copy_(new)


class _Recording(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph, self.before = graph, list[tuple[Tensor, Tensor]]()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        for place, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write and place < len(args):
                self.before += [(x, x.clone()) for x in tensors(args[place])]
        out = operation(*args, **given)
        self.graph.done.append((operation, args, given, tensors(out)))
        return out


class Stream:
    """In place of `torch.cuda.Stream`."""

    def wait_stream(self, stream: Stream) -> None: ...


class Event:
    """In place of `torch.cuda.Event`; how often the host waited for the device is counted."""

    waits: int = 0

    def record(self) -> None: ...

    def synchronize(self) -> None:
        Event.waits += 1


@contextmanager
def recording(graph: Graph, capture_error_mode: str) -> Generator[None]:
    with torch.no_grad(), _Recording(graph) as mode:
        yield
    for tensor, before in reversed(mode.before):
        tensor.copy_(before)


@contextmanager
def beside(stream: Stream) -> Generator[None]:
    yield


def install(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins in the place of what `gan/engine/cuda_graphs.py` asks of CUDA."""
    Graph.made = Graph.replayed = Event.waits = 0
    for name, value in {
        "CUDAGraph": Graph,
        "graph": recording,
        "Stream": Stream,
        "stream": beside,
        "current_stream": Stream,
        "Event": Event,
    }.items():
        patch.setattr(torch.cuda, name, value)


def tensors(tree: Any) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(tree) if isinstance(x, Tensor)]
