"""A Ray cluster of two nodes on this machine, once for all tests of a module."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..faults.commands import ROOT

DOINGS = ROOT / "tests" / "benchmarks"
"""Where tasks find what workers do in tests of the engines."""
CLIENTS_PORT = 23789  # where the head listens to machines outside the cluster

DIES_ONCE = """
import os
import sys

if "--mode=specific-server" in sys.orig_argv:
    try:
        os.mkdir({mark!r})
    except FileExistsError:
        pass
    else:
        os._exit(1)
"""
"""Imported by all processes of the cluster: ends the first one that is to serve a machine outside."""


class Nodes:
    """A head and one more node, with a CPU each.

    They start in a folder of their own, have no data, keep what they are sent there, and find the code of this clone.

    Attributes:
        folder: Where they start.
        address: Of the head.
        mark: Made when a server for a machine outside the cluster has died.
    """

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.mark = folder, folder / "died"
        (folder / "sitecustomize.py").write_text(DIES_ONCE.format(mark=str(self.mark)), encoding="utf-8")
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": CLIENTS_PORT}
        with self._surroundings():
            self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self.cluster.address or ""
        self.second = self.add()

    @property
    def from_outside(self) -> str:
        """The address for a machine outside the cluster."""
        return f"ray://{self.address.split(':')[0]}:{CLIENTS_PORT}"

    def add(self, **environment: str) -> Any:
        """Add a node, with more variables in its environment."""
        with self._surroundings():
            return self.cluster.add_node(num_cpus=1, env_vars=environment)

    def kill(self, node: Any) -> None:
        """Kill a node and all its processes, without a word to anybody."""
        self.cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        nodes = self.cluster.list_all_nodes()
        self.cluster.shutdown()
        assert not any(node.any_processes_alive() for node in nodes)

    @contextmanager
    def _surroundings(self) -> Generator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.delenv("GAN_DATA_DIR", raising=False)
            patch.setenv("GAN_CACHE_DIR", str(self.folder / "cache"))
            more = filter(None, [os.environ.get("PYTHONPATH")])
            patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(DOINGS), str(self.folder), *more]))
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "10")  # it would be half a minute
            yield


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Start a cluster of two nodes."""
    pytest.importorskip("ray")
    started = Nodes(tmp_path_factory.mktemp("nodes"))
    yield started
    started.end()
    gc.collect()  # what Ray leaves open is found out now, and not in another's test
