"""Which cohort trains next, and what becomes of one whose training did not end well: of that, engines decide nothing.

It is tried again, then in halves, down to the replica to blame. Nothing here knows a process, a machine or Ray.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.engines import Outcome, Say, WorkerDied
from benchmarks.engines.work import Interrupted
from gan.replica import Cohort, digest_of, width_for

STARTS = 5  # of workers, in a row, that end before they can train
LOSSES = 3  # of machines, by one cohort, that count as its fault


@dataclass(frozen=True)
class Attempt:
    """A cohort, or a piece of one, that is to be trained."""

    cohort: Cohort
    failures: int = 0
    """Of its training, as it is, that may have been another's fault."""
    piece: bool = False
    """It is a part of what was planned."""

    def after_death(self) -> list[Attempt]:
        """Return what to try after its worker died; nothing when one replica is to blame.

        The first death of a planned cohort says little: a worker may be killed for what others do. After that a piece
        is halved at once, and a replica is blamed that was alone with two workers that died.
        """
        alone = len(self.cohort.replicas) == 1
        return self._again() if alone or not (self.piece or self.failures) else self._halves()

    def after_error(self, *, broken: bool) -> list[Attempt]:
        """Return what to try after an exception; nothing when one replica is to blame.

        Args:
            broken: It may have come from what the process trained before.
        """
        if len(self.cohort.replicas) > 1:
            return self._halves()
        return self._again() if broken else []

    def _again(self) -> list[Attempt]:
        return [dataclasses.replace(self, failures=1)] if self.failures == 0 else []

    def _halves(self) -> list[Attempt]:
        """Cut it in two.

        A piece is narrower than the whole, because a lack of memory is the likeliest cause. So its replicas leave
        their places, and their last bits may not be those of the whole.
        """
        replicas, cohort = self.cohort.replicas, self.cohort
        middle = math.ceil(len(replicas) / 2)
        return [
            Attempt(
                dataclasses.replace(
                    cohort,
                    id=digest_of([r.id for r in part]),
                    replicas=part,
                    places=(),
                    as_planned=cohort.mode == "loop",
                    width=1 if cohort.mode == "loop" else width_for(part[0].variant, cohort.target.shape, len(part)),
                ),
                piece=True,
            )
            for part in (replicas[:middle], replicas[middle:])
        ]


class CohortQueue:
    """The cohorts that wait to be trained. What did not end well goes to its front.

    Args:
        cohorts: In the order they should start.
        say: Called with a line that a person should know of.
    """

    def __init__(self, cohorts: Sequence[Cohort], say: Say = print) -> None:
        self._waiting = deque(Attempt(cohort) for cohort in cohorts)
        self._say = say
        self._failed_starts = 0  # in a row
        self._losses = Counter[str]()  # of machines, by cohort
        self._interrupted = False

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt:
        """Return what to train next."""
        return self._waiting.popleft()

    def put_back(self, *attempts: Attempt) -> None:
        """Have cohorts trained next, as they are: what happened to them was not their fault."""
        self._waiting.extendleft(reversed(attempts))

    def close(self) -> None:
        """End: everything that could be trained was.

        Raises:
            KeyboardInterrupt: It was not, since a person asked to stop.
        """
        if self._waiting or self._interrupted:
            raise KeyboardInterrupt

    def returned(self, attempt: Attempt, answer: Outcome | Interrupted | Exception) -> list[Outcome]:
        """Take in what a worker returned; return the outcome that counts, if there is one.

        Raises:
            Exception: The answer, where it is one that no replica is to blame for and that ends the run.
        """
        match answer:
            case Exception():
                raise answer
            case Interrupted():
                self._interrupted = True
                return []
            case Outcome(result=None) if again := attempt.after_error(broken=answer.broken):
                self.put_back(*again)
                return []
        return [answer]

    def started(self) -> None:
        """Note that a worker can train."""
        self._failed_starts = 0

    def start_failed(self, attempt: Attempt, why: str) -> None:
        """Note that a worker ended before it could train, with which its cohort has nothing to do.

        Raises:
            WorkerDied: As did the others before it.
        """
        self.put_back(attempt)
        self._failed_starts += 1
        if self._failed_starts == STARTS:
            raise WorkerDied(f"{STARTS} workers in a row ended before they could train ({why})")

    def worker_died(self, attempt: Attempt, why: str) -> list[Outcome]:
        """Have a cohort trained again whose worker died; return the outcome of the replica to blame, where one is.

        Args:
            attempt: What it trained.
            why: How it died.
        """
        cohort, again = attempt.cohort, attempt.after_death()
        if again:
            parts = "it is tried again" if len(again) == 1 else "its replicas are tried in two halves"
            self._say(f"a worker died ({why}) over cohort {cohort.id}; {parts}")
            self.put_back(*again)
            return []
        (replica,) = cohort.replicas
        self._say(f"a worker died ({why}) over replica {replica.id} alone, again; it is recorded as failed")
        return [Outcome(cohort, None, f"two workers died training it alone ({why})")]

    def machine_lost(self, attempt: Attempt, node: str) -> list[Outcome]:
        """Have a cohort trained elsewhere; one that loses machine after machine may be the reason.

        Args:
            attempt: What was trained there.
            node: The machine; empty where the training had not begun.
        """
        cohort = attempt.cohort.id
        self._losses[cohort] += bool(node)
        if self._losses[cohort] >= LOSSES:
            return self.worker_died(attempt, f"{LOSSES} machines were lost")
        self.put_back(attempt)
        if node:
            self._say(f"machine {node[:8]} was lost; cohort {cohort} is trained elsewhere")
        return []


def slots(resources: Mapping[str, float], device: str, gpus_per_cohort: float) -> int:
    """Return how many cohorts a machine of a cluster trains at once.

    Args:
        resources: Its CPUs and GPUs, by the names ``CPU`` and ``GPU``.
        device: ``cpu``, of which a cohort takes one, or ``cuda``.
        gpus_per_cohort: The share of a GPU that a cohort takes.
    """
    return int(resources.get("GPU", 0) / gpus_per_cohort) if device == "cuda" else int(resources.get("CPU", 0))
