"""What Ray runs for the engine: the tasks that train, and the actor to which they say how far they are."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import cloudpickle

# A machine without this package, or with another, is to say so: so it is sent what is defined here, and not its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@ray.remote(num_cpus=0)
class ProgressActor:
    """Where tasks say how far they are, and hear whether to stop; it is beside the head, without which nothing is."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str, Any]] = []
        self.stopped = False

    def say(self, task: int, kind: str, what: Any) -> bool:
        """Note what a task says; return whether it should stop."""
        self.messages.append((task, kind, what))
        return self.stopped

    def hear(self) -> list[tuple[int, str, Any]]:
        """Return what tasks said since the last call."""
        messages, self.messages = self.messages, []
        return messages

    def stop(self) -> None:
        """Tell every task to stop from now on."""
        self.stopped = True


@ray.remote(max_retries=0, scheduling_strategy="SPREAD")
def task(number: int, actor: Any, wanted: Mapping[str, str], job: bytes, data: list[Any]) -> tuple[str, Any]:
    """Train a cohort; return the id of this node and what came of it, or in words why this machine is refused."""
    node = ray.get_runtime_context().get_node_id()

    # While the main thread of a task waits for Ray, Ray lends its CPU to the next task: two would share a core. So
    # another thread waits.
    beside = ThreadPoolExecutor(1)

    def fetched(ref: Any) -> Any:
        return beside.submit(ray.get, ref).result()

    def say(kind: str, what: Any) -> bool:
        return fetched(actor.say.remote(number, kind, node if kind == "begun" else what))

    try:
        from benchmarks.engines import remote

        if refused := remote.difference(wanted):
            return node, refused
        remote_job = pickle.loads(job)
    except Exception as error:
        return node, f"gan-stability cannot be used there ({type(error).__name__}: {error})"
    return node, remote.work(remote_job, say, (lambda: fetched(data[0])) if data else None)


@ray.remote(max_retries=0, num_cpus=0)
def is_there() -> None:
    """Say by ending that a machine is there."""
