"""Train a cohort: the textbook step mapped over replicas, and what each leaves behind.

`vmap` runs the replicas side by side as one tensor program; `loop`, the reference, one after the other through
the same step. A replica that turns non-finite is recorded at that step and left out from then on; its neighbours,
which share no number with it, do not change by a bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from gan.engine import random_streams
from gan.engine.checkpoint import Checkpoints
from gan.engine.chunk import Chunks, Inputs
from gan.engine.cuda_graphs import GraphChunks
from gan.engine.evaluation import EvalSplit, Evaluation, eval_splits, references_of
from gan.engine.failures import Diverged, lost_machine
from gan.engine.precision import products
from gan.engine.process_setup import one_thread
from gan.engine.programs import release_state, step_function
from gan.engine.summary import summarise
from gan.errors import InputError, Stopped
from gan.model.step import Batch, Hyper, State, StepConfig
from gan.replica import ENGINE_VERSION, Cohort, CohortResult, Replica, ReplicaResult, load_plugins
from gan.variant import refused_precision

PROGRESS_SECONDS = 1.0

Arrays = dict[str, NDArray[Any]]


@one_thread()
def train(
    cohort: Cohort,
    data_dir: Path,
    device: str,
    progress: Callable[[int], None] = lambda _: None,
    checkpoints: Checkpoints | None = None,
) -> CohortResult:
    """Train and score every replica of a cohort.

    Args:
        cohort: What to train and how.
        data_dir: A torchvision root, for image targets.
        device: ``cpu`` or ``cuda``.
        progress: Called about once a second with the number of replica-steps done since the last call.
        checkpoints: Where the state is kept on the way, and what an earlier process left of it; None keeps none.

    Returns:
        One result a replica, in the cohort's order, and the references of the scores.

    Raises:
        InputError: The target's data or the pinned classifier cannot be read, or the device lacks the precision.
        Stopped: `checkpoints.stopping` said so.
        Diverged: An exception arose over numbers of some replica that are not finite; alone, that replica is recorded
            as diverged.
    """
    where = torch.device(device)
    if refused := refused_precision(cohort.replicas[0].variant.precision, where.type):
        raise InputError(f"replica {cohort.replicas[0].id}: {refused}")
    load_plugins(cohort, device)
    splits = eval_splits(cohort.target, cohort.scoring.split, data_dir, where, cohort.scoring.scores)
    stacks = [[r] for r in cohort.replicas] if cohort.mode == "loop" else [list(cohort.replicas)]
    results: list[ReplicaResult] = []
    for i, replicas in enumerate(stacks):
        started = time.perf_counter()
        trainer = Trainer(cohort, replicas, data_dir, where)
        slot = CheckpointSlot(checkpoints, i, last=i == len(stacks) - 1) if checkpoints else None
        finished = trainer.train(splits, progress, slot)
        for result in finished:
            result.row["train_seconds"] = (time.perf_counter() - started + trainer.seconds_before) / len(replicas)
        results += finished
    release_state()
    return CohortResult(results, *references(cohort, data_dir, device))


@one_thread()
def references(cohort: Cohort, data_dir: Path, device: str) -> tuple[dict[str, Any], Arrays]:
    """Return what the scores of a cohort are set beside: by score what real data score, and some training images.

    Raises:
        InputError: The target's data or the pinned classifier cannot be read.
    """
    where = torch.device(device)
    first, *_ = eval_splits(cohort.target, cohort.scoring.split, data_dir, where, cohort.scoring.scores)
    return references_of(first), dict(cohort.target.examples(data_dir, where))


@dataclass(frozen=True)
class CheckpointSlot:
    """Where the checkpoint of one stack of a cohort lies."""

    checkpoints: Checkpoints
    stack: int
    last: bool
    """No other stack of the cohort is trained after it."""


def chunks_of(device: torch.device) -> type[Chunks]:
    """Return how chunks are trained on a device."""
    return GraphChunks if device.type == "cuda" else Chunks


class Trainer:
    """A stack of replicas in training.

    In mode `vmap` the state's tensors carry a leading dimension [width]; in mode `loop` there is one replica and
    no such dimension.
    """

    def __init__(self, cohort: Cohort, replicas: Sequence[Replica], data_dir: Path, device: torch.device) -> None:
        self.cohort, self.replicas, self.device = cohort, replicas, device
        self._started = time.perf_counter()
        self.looped = cohort.mode == "loop"
        self.variant = replicas[0].variant
        losses = cohort.losses_chosen_between()
        self.config, *others = {StepConfig.of(r.variant, cohort.target.shape, losses) for r in replicas}
        assert not others, "replicas of one cohort share the step's branches"
        # The first replica fills the places that are left: the arithmetic of the others does not depend on it.
        stacked = [replicas[0]] * (1 if self.looped else cohort.width)
        self.places = (0,) if self.looped else cohort.stack_places()
        for place, replica in zip(self.places, replicas, strict=True):
            stacked[place] = replica
        state = cast(State, self._stack([self._initial(r) for r in stacked]))
        self.hyper = self._stack([pytree.tree_map(self._on_device, Hyper.of(r.variant, losses)) for r in stacked])
        self.inputs = Inputs(cohort, stacked, data_dir, device)
        self.metrics = torch.full((cohort.steps, len(stacked), len(self.config.metrics)), math.nan, device=device)
        self.chunks = chunks_of(device)(
            step_function(self.config, cohort), state, self.hyper, self.inputs, self.metrics
        )
        self.failed: list[int | None] = [None for _ in replicas]
        self.evaluations: list[Evaluation] = []
        self.seconds_before = 0.0
        """That earlier processes trained this stack for."""

    def train(
        self, splits: Sequence[EvalSplit], progress: Callable[[int], None], slot: CheckpointSlot | None = None
    ) -> list[ReplicaResult]:
        """Train to the end, evaluating on the way; what was kept is not trained again."""
        target, scoring, failed = self.cohort.target, self.cohort.scoring, self.failed
        self.evaluations = [
            Evaluation(replica, self.config, target, scoring, splits, self.device) for replica in self.replicas
        ]
        done = self._resume(slot) if slot else 0
        progress(done * len(self.replicas))
        for until in [at for at in scoring.evaluation_steps(self.cohort.steps) if at > done]:
            if all(f is not None for f in failed):
                progress((self.cohort.steps - done) * len(self.replicas))
                break
            with self._diverging():
                self.advance(done, until, progress, slot)
            done = until
            for k in range(len(self.replicas)):
                failed[k] = failed[k] or self.first_failure(k, until)
                if failed[k] is None:
                    with self._scoring(k, until):
                        self.evaluations[k].during(until, self.replica_state(k))
            if slot and (slot.checkpoints.due() or (done == self.cohort.steps and not slot.last)):
                self._keep(slot, done)
        return [self._result(k, self.evaluations[k]) for k in range(len(self.replicas))]

    @contextmanager
    def _diverging(self) -> Generator[None]:
        """Tell an exception over numbers that are not finite from an error of the code, which it lets through.

        Alone, a replica diverged then; of a stack the exception does not say which.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, Stopped) or lost_machine(error):
                raise
            taken = int((~self.metrics.isnan().all(dim=2).all(dim=1)).sum())
            whole = range(len(self.replicas))
            if all(
                self.first_failure(k, taken) is None and self.evaluations[k].finite(self.replica_state(k))
                for k in whole
            ):
                raise
            if len(self.replicas) > 1:
                raise Diverged(f"{type(error).__name__} over numbers that are not finite: {error}") from error
            self.failed[0] = self.first_failure(0, taken) or taken + 1

    @contextmanager
    def _scoring(self, k: int, at: int) -> Generator[None]:
        """Count replica `k` as diverged at step `at` where its samples are not finite, or a score fails over them."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, Diverged) and self.evaluations[k].finite(self.replica_state(k)):
                raise
            self.failed[k] = at

    def advance(
        self,
        first: int,
        last: int,
        progress: Callable[[int], None] = lambda _: None,
        slot: CheckpointSlot | None = None,
    ) -> None:
        """Train steps `first` to `last` (exclusive), counted from 0."""
        reported, reported_at, stopping, done = first, time.perf_counter(), False, first

        def interrupted(at: int) -> bool:
            nonlocal stopping
            if slot and at < last:  # at `last` the evaluation comes first
                stopping = slot.checkpoints.stopping()
            due = slot is not None and at < last and slot.checkpoints.due()
            return stopping or due or time.perf_counter() - reported_at > PROGRESS_SECONDS

        with torch.no_grad(), products(self.variant.precision, self.device):
            while done < last:
                done = self.chunks.run(done, last, interrupted)
                if time.perf_counter() - reported_at > PROGRESS_SECONDS:
                    progress((done - reported) * len(self.replicas))
                    reported, reported_at = done, time.perf_counter()
                if slot and done < last and (stopping or slot.checkpoints.due()):
                    self._keep(slot, done)
                    if stopping:
                        raise Stopped
        progress((last - reported) * len(self.replicas))

    @property
    def state(self) -> State:
        """Both players of all replicas, as the last chunk left them: the next one changes them in place."""
        return self.chunks.state

    def batch(self, s: int) -> Batch:
        """Return what step `s`, counted from 0, is trained on; its tensors as the state's."""
        return self.inputs.batch(s)

    def first_failure(self, k: int, until: int) -> int | None:
        """Return the number of the first step, from 1, at which replica `k` was not finite, or None."""
        broken = ~torch.isfinite(self.metrics[:until, self.places[k]]).all(dim=1)
        if broken.any():
            return int(broken.nonzero()[0]) + 1
        leaves = cast("list[Tensor]", pytree.tree_leaves(self.replica_state(k)))
        return None if all(bool(torch.isfinite(x).all()) for x in leaves) else until

    def replica_state(self, k: int) -> State:
        """Return the state of replica `k` alone: of a stack a copy, placed in memory as saved weights will be."""
        # Where a matrix begins in memory can decide its last bits, and scores taken again must be the same.
        return self.state if self.looped else cast(State, pytree.tree_map(self._alone(k), self.state))

    def _alone(self, k: int) -> Callable[[Tensor], Tensor]:
        return lambda x: x[self.places[k]].clone()

    def _keep(self, slot: CheckpointSlot, done: int) -> None:
        """Write all that decides the rest of the training, and the metrics and evaluations so far."""
        progress = [evaluation.progress() for evaluation in self.evaluations]
        tensors = {f"state{name}": tensor for name, tensor in _named(self.state)}
        tensors |= {"metrics": self.metrics[:done]}
        tensors |= {f"{k}/{name}": torch.from_numpy(x) for k, its in enumerate(progress) for name, x in its.items()}
        metadata = {
            "done": done,
            "failed": self.failed,
            "histories": [evaluation.history for evaluation in self.evaluations],
            "seconds": self.seconds_before + time.perf_counter() - self._started,
        }
        slot.checkpoints.write(slot.stack, self._identity(), metadata, tensors)

    def _resume(self, slot: CheckpointSlot) -> int:
        """Load the checkpoint if there is one; return how many steps it has behind it."""
        found = slot.checkpoints.read(slot.stack, self._identity())
        if found is None:
            return 0
        metadata, tensors = found
        named = dict(_named(self.state))
        if any(f"state{n}" not in tensors or tensors[f"state{n}"].shape != x.shape for n, x in named.items()):
            slot.checkpoints.refuse(slot.stack, "it is of other networks")
            return 0
        for name, own in named.items():
            own.copy_(tensors[f"state{name}"])
        self.metrics[: metadata["done"]] = tensors["metrics"]
        self.failed[:] = metadata["failed"]
        self.seconds_before = metadata["seconds"]
        for k, evaluation in enumerate(self.evaluations):
            progress = {name: tensors[f"{k}/{name}"] for name in ("progress", "steps") if f"{k}/{name}" in tensors}
            evaluation.resume([(at, name, value) for at, name, value in metadata["histories"][k]], progress)
        return metadata["done"]

    def _identity(self) -> dict[str, Any]:
        """Return what a training must share to go on from a checkpoint and end with the same bits."""
        cohort = self.cohort
        return {
            "engine": ENGINE_VERSION,
            "torch": torch.__version__,
            "device": self.device.type,
            "vectors": torch.backends.cpu.get_cpu_capability() if self.device.type == "cpu" else "",
            "replicas": [r.id for r in self.replicas],
            "losses": list(cohort.losses_chosen_between()),
            "mode": cohort.mode,
            "compiled": cohort.compiled,
            "width": cohort.width,
            "places": list(self.places),
        }

    def _initial(self, replica: Replica) -> State:
        def rng(name: str) -> torch.Generator:
            return random_streams.generator(replica.seed, f"initialisation/{name}", 0, self.device)

        return self.config.initial(rng, replica.variant.initialisation)

    def _on_device(self, x: Tensor) -> Tensor:
        return x.to(self.device)

    def _stack(self, trees: Sequence[Any]) -> Any:
        if not self.looped:
            return pytree.tree_map(lambda *xs: torch.stack(xs), *trees)
        # Copies here too: training changes them in place, and a plugin's layer may hand out the same tensor twice.
        return pytree.tree_map(lambda x: x.clone(memory_format=torch.contiguous_format), trees[0])

    def _result(self, k: int, evaluation: Evaluation) -> ReplicaResult:
        scores, final = dict[str, float](), None
        if self.failed[k] is None:
            with self._scoring(k, self.cohort.steps):
                scores, final = evaluation.final(self.replica_state(k))
        epoch = self.inputs.real.steps_per_epoch
        epoch = None if epoch is None else math.ceil(epoch / self.variant.critic_steps)
        metrics = self.metrics[:, self.places[k]].double().cpu().numpy()
        row, history = summarise(metrics, self.config.metrics, self.failed[k], epoch)
        result = ReplicaResult(self.replicas[k], row, history + evaluation.history, evaluation.progress())
        if final is not None:
            result.samples["final"] = final
            row |= scores
            for name, player in self.replica_state(k)._asdict().items():
                tensors = {**player.params, **player.buffers}
                result.weights |= {f"{name}/{key}": v.cpu().numpy() for key, v in tensors.items()}
        return result


def _named(state: State) -> list[tuple[str, Tensor]]:
    """Return the tensors of a state by name, such as ``.generator.params['0.weight']``, in the order of its leaves."""
    return [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_flatten_with_path(state)[0]]
