"""The engines by name. Each is one record here: how it is opened, what it trains on, and the options it alone has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.engines import Engine, Say, Stopping
from benchmarks.machine import system
from benchmarks.options import Options, RunOptions
from gan.errors import InputError, nearest


@dataclass(frozen=True)
class EngineKind:
    """An engine that can be asked for."""

    name: str
    resources: Callable[[RunOptions], tuple[str, int]]
    """The device to train on, and how many cohorts train at once; raises an InputError where they cannot be had."""
    open: Callable[[Options, Say, Stopping], AbstractContextManager[Engine]]
    options: frozenset[str] = frozenset()
    """Fields of `RunOptions` that no other engine has; None where they are not given."""


def this_machine(asked: RunOptions) -> tuple[str, int]:
    """Return this machine's device, and a worker a core, or one for a GPU."""
    device = system.choose_device(asked.device)
    return device, asked.workers or system.default_workers(device)


def _local(options: Options, say: Say, stopping: Stopping) -> AbstractContextManager[Engine]:
    from benchmarks.engines.local import LocalEngine

    return LocalEngine(options.workers, say, stopping)


def _cluster(asked: RunOptions) -> tuple[str, int]:
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            '--engine ray: Ray is not installed; expected `pip install "gan-stability[ray]"`, or --engine local'
        )
    from benchmarks.engines import ray_cluster

    ray_cluster.connect(asked.address, asked.workers or system.default_workers("cpu"))
    return ray_cluster.device_of_cluster(asked.device), ray_cluster.cpus()


def _ray(options: Options, say: Say, stopping: Stopping) -> AbstractContextManager[Engine]:
    from benchmarks.engines.ray import RayEngine

    return RayEngine(options.gpus_per_cohort, say, stopping)


KINDS = (
    EngineKind("local", this_machine, _local),
    EngineKind("ray", _cluster, _ray, frozenset({"address", "gpus_per_cohort"})),
)
ENGINES = {kind.name: kind for kind in KINDS}


def engine_of(asked: RunOptions) -> EngineKind:
    """Return the engine that was asked for.

    Raises:
        InputError: There is no such engine, or an option was given that only another one has.
    """
    if asked.engine not in ENGINES:
        raise InputError(f"--engine {asked.engine}: no such engine; {nearest(asked.engine, ENGINES)}")
    kind = ENGINES[asked.engine]
    for other in KINDS:
        for option in sorted(other.options - kind.options):
            if getattr(asked, option) is not None:
                word = option.replace("_", "-")
                raise InputError(f"--{word}: the engine {kind.name} has no such option; expected --engine {other.name}")
    return kind
