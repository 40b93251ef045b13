"""What becomes of a cohort whose training did not end well: tried again, then in halves, down to the one to blame."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from benchmarks.engines import Outcome
from gan.replica import Cohort, digest_of, width_for


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

    def blamed(self, why: str) -> tuple[list[Attempt], str, list[Outcome]]:
        """Decide what becomes of it after its worker died.

        Args:
            why: How the worker died.

        Returns:
            What to try; a line that says so; and the outcome of the replica that is to blame, where one is.
        """
        again = self.after_death()
        if again:
            parts = "it is tried again" if len(again) == 1 else "its replicas are tried in two halves"
            return again, f"a worker died ({why}) over cohort {self.cohort.id}; {parts}", []
        (replica,) = self.cohort.replicas
        said = f"a worker died ({why}) over replica {replica.id} alone, again; it is recorded as failed"
        return [], said, [Outcome(self.cohort, None, f"two workers died training it alone ({why})")]

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
