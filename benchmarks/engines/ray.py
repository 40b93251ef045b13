"""The Ray engine: cohorts are tasks of a Ray cluster, with one CPU thread or a share of a GPU each.

The driver alone writes; it hands out cohorts in their order, about twice as many as can train at once, and takes in
results as they finish. What a task does is in `remote.py`. Ray retries nothing: what becomes of a cohort that did not
end well is decided in `retries.py`, as for the local engine, but a machine that was lost is nobody's fault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmarks.engines import CheckpointConfig, Outcome, Say, Stopping, WorkerDied, remote
from benchmarks.engines.ray_task import ProgressActor, is_there, task
from benchmarks.engines.retries import Attempt, CohortQueue, slots
from benchmarks.engines.work import Job, Train
from gan.errors import InputError
from gan.files import digest
from gan.replica import Cohort

POLL_SECONDS = 0.5
NODE = "ray.io/node-id"


@dataclass
class _Flight:
    """A cohort that was handed to Ray."""

    attempt: Attempt
    ref: Any
    steps: int = 0
    """Replica-steps so far."""
    node: str = ""
    """Where it began; empty before it did."""


@dataclass(frozen=True)
class _PendingDiagnosis:
    """A cohort whose worker died, until it is known whether its machine did."""

    attempt: Attempt
    node: str
    why: str
    probe: Any
    """A task that only this machine can do."""


class RayEngine:
    """Tasks of the cluster that `benchmarks.engines.ray_cluster` connected to.

    Args:
        gpus_per_cohort: On CUDA, the share of a GPU that a cohort takes.
        say: Called with a line that a person should know of.
        stopping: Says whether a person asked to stop.
        train: What a task does with a cohort, instead of `gan.engine.cohort.train`.
    """

    def __init__(
        self,
        gpus_per_cohort: float = 1.0,
        say: Say = print,
        stopping: Stopping = lambda: False,
        train: Train | None = None,
    ) -> None:
        self._share, self._say, self._stopping, self._train = gpus_per_cohort, say, stopping, train
        head = next(node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"])
        beside_head = NodeAffinitySchedulingStrategy(head, soft=False)
        self._actor = ProgressActor.options(scheduling_strategy=beside_head).remote()
        self._refused: dict[str, str] = {}  # by node, why
        self._sent: dict[str, Any] = {}  # files of data sets, by digest
        self._numbers = itertools.count()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # Ray prints what befalls its processes; what a person should know, the engine says.
        nowhere = self._open.enter_context(open(os.devnull, "w", encoding="utf-8"))
        self._open.enter_context(contextlib.redirect_stdout(nowhere))
        self._open.callback(ray.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    def run(
        self,
        cohorts: Sequence[Cohort],
        data_dir: Path,
        device: str,
        on_progress: Callable[[int], None],
        checkpoints: CheckpointConfig | None = None,
    ) -> Iterator[Outcome]:
        """Train cohorts; see `benchmarks.engines.Engine.run`. A machine that differs from this one is refused.

        Raises:
            InputError: Data or weights cannot be read, or every machine was refused.
            KeyboardInterrupt: A person asked to stop; what had finished was handed out before.
            WorkerDied: Tasks end before they can train, or the cluster is gone.
        """
        if not cohorts:
            return
        self._queue, self._on_progress = CohortQueue(cohorts, self._say), on_progress
        self._flying: dict[int, _Flight] = {}
        self._pending: list[_PendingDiagnosis] = []
        plan = checkpoints.folder.parent / "plan.json" if checkpoints else None
        kept = dataclasses.replace(checkpoints, folder=checkpoints.folder.absolute()) if checkpoints else None
        self._job = remote.RemoteJob(
            Job(cohorts[0], data_dir.absolute(), device, kept),
            plan=digest(plan) if plan and plan.exists() else "",
            train=self._train,
        )
        try:
            yield from self._outcomes()
        except RayTaskError:  # an error in code
            raise
        except RayError as error:
            raise WorkerDied(f"the Ray cluster is lost ({_line(error)})") from None

    def _outcomes(self) -> Iterator[Outcome]:
        room, looked, alone = 0, -math.inf, False
        while self._queue or self._flying or self._pending:
            if time.monotonic() - looked >= POLL_SECONDS:
                room, looked = 2 * self._slots(), time.monotonic()
            if self._stopping():
                self._stop()
                if not self._flying:
                    break
            while self._queue and len(self._flying) < room and not self._stopping():
                self._hand_out(self._queue.take())
            refs = {flight.ref: number for number, flight in self._flying.items()}
            awaited = [*refs, *(pending.probe for pending in self._pending)]
            if not awaited:
                if not alone:
                    self._say("no machine of the Ray cluster is left to train; waiting for one to join")
                alone = True
                time.sleep(POLL_SECONDS)
                continue
            alone = False
            done = ray.wait(awaited, timeout=POLL_SECONDS)[0]
            self._listen()
            for ref in done:
                if ref in refs:
                    yield from self._landed(self._flying.pop(refs[ref]))
            yield from self._diagnosed()
        self._queue.close()

    def _slots(self) -> int:
        """Return how many cohorts can train at once, on the machines that are there now and are not refused."""
        found = [n["Resources"] for n in ray.nodes() if n["Alive"] and n["NodeID"] not in self._refused]
        free = sum(slots(resources, self._job.job.device, self._share) for resources in found)
        if self._refused and not free:
            raise InputError(f"no machine of the Ray cluster can train: {'; '.join(self._refused.values())}")
        return free

    def _hand_out(self, attempt: Attempt) -> None:
        number, target = next(self._numbers), attempt.cohort.target
        job = dataclasses.replace(
            self._job,
            job=dataclasses.replace(self._job.job, cohort=attempt.cohort),
            plugins=remote.plugins_of(attempt.cohort),
        )
        sent = [self._sent[target.digest]] if target.digest in self._sent else []
        cuda = job.job.device == "cuda"
        handed = task.options(
            **({"num_cpus": 0, "num_gpus": self._share} if cuda else {"num_cpus": 1}),
            label_selector={NODE: f"!in({','.join(self._refused)})"} if self._refused else None,
        )
        ref = handed.remote(number, self._actor, remote.identity(), pickle.dumps(job), sent)
        self._flying[number] = _Flight(attempt, ref)

    def _listen(self) -> None:
        for number, kind, what in ray.get(self._actor.hear.remote()):
            flight = self._flying.get(number)
            if kind == "note":
                self._say(what)
            elif flight and kind == "begun":
                flight.node = what
                self._queue.started()
            elif flight:
                flight.steps += what
                self._on_progress(what)

    def _stop(self) -> None:
        """Let what has begun keep its state and leave; what has not is not to begin."""
        ray.get(self._actor.stop.remote())
        self._listen()
        for flight in self._flying.values():
            if not flight.node:
                ray.cancel(flight.ref)
        self._queue.put_back(*(pending.attempt for pending in self._pending))
        self._pending.clear()

    def _landed(self, flight: _Flight) -> list[Outcome]:
        """Take in what a task returned, or find out why it did not; return the outcome that counts, if there is one."""
        attempt = flight.attempt
        try:
            node, answer = ray.get(flight.ref)
        except TaskCancelledError:
            self._queue.put_back(attempt)
            return []
        except RayTaskError:
            raise
        except RayError as error:
            return self._died(flight, error)
        match answer:
            case str():
                self._refuse(node, answer)
                self._queue.put_back(attempt)
                return []
            case remote.LacksData():
                self._send(attempt.cohort.target)
                self._queue.put_back(attempt)
                return []
            case Outcome(result=None):
                self._on_progress(-flight.steps)
        return self._queue.returned(attempt, answer)

    def _died(self, flight: _Flight, error: RayError) -> list[Outcome]:
        """Decide what becomes of a task whose process or machine died, once it is known which."""
        self._on_progress(-flight.steps)
        if self._stopping():  # the request may have gone to the workers too
            self._queue.put_back(flight.attempt)
        elif isinstance(error, NodeDiedError | ObjectLostError):  # where it was trained, or its result was kept
            return self._queue.machine_lost(flight.attempt, flight.node)
        elif not flight.node:
            self._queue.start_failed(flight.attempt, _line(error))
        else:
            probe = is_there.options(scheduling_strategy=NodeAffinitySchedulingStrategy(flight.node, soft=False))
            why = "out of memory" if isinstance(error, OutOfMemoryError) else "its process ended"
            self._pending.append(_PendingDiagnosis(flight.attempt, flight.node, why, probe.remote()))
        return []

    def _diagnosed(self) -> Iterator[Outcome]:
        """Decide what becomes of cohorts whose process died, as it becomes known whether the machine is there."""
        probes = [pending.probe for pending in self._pending]
        for probe in ray.wait(probes, num_returns=len(probes), timeout=0)[0] if probes else ():
            pending = self._pending.pop([p.probe for p in self._pending].index(probe))
            try:
                ray.get(probe)
            except RayError:
                yield from self._queue.machine_lost(pending.attempt, pending.node)
            else:
                yield from self._queue.worker_died(pending.attempt, pending.why)

    def _refuse(self, node: str, why: str) -> None:
        """Give a machine nothing more to train."""
        if node not in self._refused:
            host = next((n["NodeManagerHostname"] for n in ray.nodes() if n["NodeID"] == node), "?")
            self._refused[node] = f"machine {host} (node {node[:8]}): {why}"
            self._say(f"refused: {self._refused[node]}")

    def _send(self, target: Any) -> None:
        """Put the files of a data set into the cluster, once: each machine that lacks them fetches them from there."""
        if target.digest not in self._sent:
            self._sent[target.digest] = ray.put(remote.files_of(target, self._job.job.data_dir))


def _line(error: BaseException) -> str:
    """Return what Ray says of an error, in one line."""
    return " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__
