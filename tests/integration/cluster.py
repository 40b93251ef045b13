"""A Ray cluster of two nodes on this machine, which ends with the test that asked for it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..faults.commands import ROOT

DOINGS = ROOT / "tests" / "benchmarks"
"""Where tasks find what workers do in tests of the engines."""


class TwoNodes:
    """A head and one more node.

    Args:
        head: Ray's settings of the head, such as `num_cpus`.
        **environment: Of the second node, beside the first's.
    """

    def __init__(self, head: dict[str, Any], **environment: str) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **head})
        self.address: str = self.cluster.address or ""
        self.second: Any = self.cluster.add_node(num_cpus=1, env_vars=environment)

    def kill_second(self) -> None:
        """Kill the second node and all its processes, without a word to anybody."""
        self.cluster.remove_node(self.second, allow_graceful=False)

    def end(self) -> None:
        nodes = self.cluster.list_all_nodes()
        self.cluster.shutdown()
        assert not any(node.any_processes_alive() for node in nodes)


Start = Callable[..., TwoNodes]


@pytest.fixture
def start_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a cluster of two nodes with one CPU each.

    Nodes start in a folder of their own, have no data, keep what they are sent there, and find the code of this clone.
    """
    pytest.importorskip("ray")
    started: list[TwoNodes] = []

    def start(head: dict[str, Any] | None = None, **environment: str) -> TwoNodes:
        place = tmp_path / "nodes"
        place.mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(place)
            patch.delenv("GAN_DATA_DIR", raising=False)
            patch.setenv("GAN_CACHE_DIR", str(place / "cache"))
            more = filter(None, [os.environ.get("PYTHONPATH")])
            patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(DOINGS), *more]))
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            started.append(TwoNodes(head or {}, **environment))
        return started[-1]

    yield start
    for cluster in started:
        cluster.end()
    gc.collect()  # what Ray leaves open is found out now, and not in another's test
