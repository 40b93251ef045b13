"""What a worker does with a cohort, whichever engine it belongs to, and what it says of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import CheckpointConfig, Outcome
from gan.engine.failures import Diverged, lost_machine
from gan.errors import CodeError, InputError, Stopped, place_in_code
from gan.files import FULL
from gan.plugins import registry
from gan.replica import Cohort, CohortResult

if TYPE_CHECKING:
    from gan.engine.checkpoint import Checkpoints

# Set before torch is imported: a worker is one thread, its compiler included.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
Train = Callable[[Cohort, Path, str, Callable[[int], None], "Checkpoints | None"], CohortResult]


@dataclass(frozen=True)
class Job:
    """Said to a worker: train this."""

    cohort: Cohort
    data_dir: Path
    device: str
    checkpoints: CheckpointConfig | None


class Interrupted:
    """Said by a worker: I kept the state of what I trained, and left it."""


def train_job(
    job: Job, train: Train, progress: Callable[[int], None], note: Callable[[str], None], stopping: Callable[[], bool]
) -> Outcome | Interrupted | InputError | OSError:
    """Train a cohort and return what came of it; nothing is raised.

    Args:
        job: What to train.
        train: How, such as `gan.engine.cohort.train`.
        progress: Called now and then with the replica-steps done since the last call.
        note: Called with a line that a person should know of.
        stopping: Says whether the training should be cut short; asked only where the job keeps its state.

    Returns:
        An `Outcome`, without a result where memory or a device was lost or numbers are not finite; `Interrupted` where
        it was cut short; or the error that is no replica's fault and ends the run, such as a `CodeError`.
    """
    cohort, started = job.cohort, time.perf_counter()
    checkpoints = None
    if job.checkpoints:
        from gan.engine.checkpoint import Checkpoints

        folder = job.checkpoints.folder / cohort.id
        checkpoints = Checkpoints(folder, job.checkpoints.seconds, stopping, note)
    try:
        result = train(cohort, job.data_dir, job.device, progress, checkpoints)
    except Stopped:
        return Interrupted()
    except InputError as error:
        return error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:  # no replica's fault
            return error
        if not isinstance(error, Diverged) and not lost_machine(error):
            place = place_in_code(error, *registry.paths())
            variant = f"cohort {cohort.id}, whose first variant is {cohort.replicas[0].variant.changed()}\n"
            return CodeError(place, variant + "".join(traceback.format_exception(error)))
        # A cohort that cannot be trained is a result like any other; the others go on.
        reason = traceback.format_exception_only(error)[-1].strip()
        return Outcome(cohort, None, reason, lost_machine(error), time.perf_counter() - started)
    seconds = time.perf_counter() - started
    return Outcome(cohort, result, seconds=seconds, checkpoint_seconds=checkpoints.took if checkpoints else 0.0)
