"""Train a cohort: the textbook step mapped over replicas, and what each leaves behind.

`vmap` runs the replicas side by side as one tensor program; `loop`, the reference, one after the other through
the same step. A replica that turns non-finite is recorded at that step and left out from then on; its neighbours,
which share no number with it, do not change by a bit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from gan import streams
from gan.evaluation import Evaluation, Side, references_of, sides_of
from gan.replica import PROGRAMS, Cohort, CohortResult, Replica, ReplicaResult, batch_shapes
from gan.step import METRICS, Batch, Game, Hyper, State, step
from gan.targets import Images

HISTORY_POINTS = 200  # windows a metric's history is averaged over
LAST_STEPS = 100  # steps behind the end that the reported losses are means of
REAL_SAMPLES = 100  # training images kept beside the generated ones
PROGRESS_SECONDS = 1.0

StepFunction = Callable[..., tuple[State, Tensor]]


@contextmanager
def one_thread() -> Generator[None]:
    """Train with one thread, and with denormal numbers taken as zero; put both back afterwards.

    A second thread slows small GANs down many times over; so do the denormals of a starved generator's moments.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@one_thread()
def train(
    cohort: Cohort, data_dir: Path, device: str, progress: Callable[[int], None] = lambda _: None
) -> CohortResult:
    """Train and score every replica of a cohort.

    Args:
        cohort: What to train and how.
        data_dir: A torchvision root, for image targets.
        device: ``cpu`` or ``cuda``.
        progress: Called about once a second with the number of replica-steps done since the last call.

    Returns:
        One result a replica, in the cohort's order, and the references of the scores.

    Raises:
        InputError: The target's data or the pinned classifier cannot be read.
    """
    where = torch.device(device)
    sides = sides_of(cohort.target, cohort.scoring.split, data_dir, where)
    stacks = [[r] for r in cohort.replicas] if cohort.mode == "loop" else [list(cohort.replicas)]
    results: list[ReplicaResult] = []
    for replicas in stacks:
        started = time.perf_counter()
        run = Run(cohort, replicas, data_dir, where)
        finished = run.train(sides, progress)
        for result in finished:
            result.row["train_seconds"] = (time.perf_counter() - started) / len(replicas)
        results += finished
    real = {}
    if isinstance(cohort.target, Images):
        real = {"images": _train_images(cohort.target, data_dir, where)[:REAL_SAMPLES].cpu().numpy()}
    return CohortResult(results, references_of(sides[0]), real)


class Run:
    """A stack of replicas in training.

    In mode `vmap` the state's tensors carry a leading dimension [width]; in mode `loop` there is one replica and
    no such dimension.
    """

    def __init__(self, cohort: Cohort, replicas: Sequence[Replica], data_dir: Path, device: torch.device) -> None:
        self.cohort, self.replicas, self.device = cohort, replicas, device
        self.looped = cohort.mode == "loop"
        self.variant = variant = replicas[0].variant
        self.game, *others = {Game.of(r.variant, cohort.target.dimension) for r in replicas}
        assert not others, "replicas of one cohort play one game"
        # Padding repeats the first replica: the arithmetic of the others does not depend on it.
        padding = 0 if self.looped else cohort.width - len(replicas)
        stacked = [*replicas, *[replicas[0]] * padding]
        seeds = [r.seed for r in stacked]
        self.state = self._stack([self._initial(r) for r in stacked])
        self.hyper = self._stack([pytree.tree_map(self._on_device, Hyper.of(r.variant)) for r in stacked])
        kinds = [r.variant.latent for r in stacked]
        size = variant.batch_size, variant.latent_dim
        self.z_d = streams.Latents(seeds, kinds, "discriminator", *size, device)
        self.z_g = streams.Latents(seeds, kinds, "generator", *size, device) if variant.latents == "fresh" else None
        self.between = streams.Fractions(seeds, size[0], device) if variant.penalty == "wgan_gp" else None
        self.real = self._real(seeds, data_dir)
        self.step = step_function(self.game, cohort)
        self.metrics = torch.full((cohort.steps, len(stacked), len(self.game.metrics)), math.nan)

    def train(self, sides: Sequence[Side], progress: Callable[[int], None]) -> list[ReplicaResult]:
        """Train to the end, evaluating on the way."""
        target, scoring = self.cohort.target, self.cohort.scoring
        evaluations = [Evaluation(r.variant, self.game, target, scoring, sides, self.device) for r in self.replicas]
        failed: list[int | None] = [None for _ in self.replicas]
        done = 0
        for until in self.cohort.scoring.at(self.cohort.steps):
            if all(f is not None for f in failed):
                progress((self.cohort.steps - done) * len(self.replicas))
                break
            self.advance(done, until, progress)
            done = until
            for k in range(len(self.replicas)):
                failed[k] = failed[k] or self.first_failure(k, until)
                if failed[k] is None:
                    evaluations[k].during(until, self.of(k))
        return [self._result(k, failed[k], evaluations[k]) for k in range(len(self.replicas))]

    def advance(self, first: int, last: int, progress: Callable[[int], None] = lambda _: None) -> None:
        """Train steps `first` to `last` (exclusive), counted from 0."""
        told, told_at = first, time.perf_counter()
        with torch.no_grad():
            for s in range(first, last):
                t = torch.tensor(float(s + 1), device=self.device)
                behind = torch.tensor(s / self.cohort.steps, device=self.device)
                self.state, metrics = self.step(self.state, self.hyper, self.batch(s), t, behind)
                self.metrics[s] = metrics
                if time.perf_counter() - told_at > PROGRESS_SECONDS:
                    progress((s + 1 - told) * len(self.replicas))
                    told, told_at = s + 1, time.perf_counter()
        progress((last - told) * len(self.replicas))

    def batch(self, s: int) -> Batch:
        """Return what step `s`, counted from 0, is trained on; its tensors as the state's."""
        critic_steps = range(s * self.variant.critic_steps, (s + 1) * self.variant.critic_steps)
        real = [self.real.at(i) for i in critic_steps]
        sizes = [x.shape[1] for x in real]  # smaller at the end of an epoch
        z_d = [self.z_d.at(i)[:, :n] for i, n in zip(critic_steps, sizes, strict=True)]
        z_g = z_d[-1] if self.z_g is None else self.z_g.at(s)[:, : sizes[-1]]
        between = [self.between.at(i)[:, :n] for i, n in zip(critic_steps, sizes, strict=True)] if self.between else []
        batch = Batch(tuple(real), tuple(z_d), z_g, tuple(between))
        return cast(Batch, pytree.tree_map(lambda x: x[0], batch)) if self.looped else batch

    def first_failure(self, k: int, until: int) -> int | None:
        """Return the number of the first step, from 1, at which replica `k` was not finite, or None."""
        broken = ~torch.isfinite(self.metrics[:until, k]).all(dim=1)
        if broken.any():
            return int(broken.nonzero()[0]) + 1
        leaves = cast("list[Tensor]", pytree.tree_leaves(self.of(k)))
        return None if all(bool(torch.isfinite(x).all()) for x in leaves) else until

    def of(self, k: int) -> State:
        """Return the state of replica `k` alone."""
        return self.state if self.looped else cast(State, pytree.tree_map(lambda x: x[k], self.state))

    def _initial(self, replica: Replica) -> State:
        def rng(name: str) -> torch.Generator:
            return streams.generator(replica.seed, f"initialisation/{name}", 0, self.device)

        return self.game.initial(rng, replica.variant.initialisation)

    def _real(self, seeds: Sequence[int], data_dir: Path) -> streams.Samples | streams.Images:
        target, variant = self.cohort.target, self.variant
        if not isinstance(target, Images):
            return streams.Samples(seeds, target, variant.batch_size, self.device)
        return streams.Images(
            seeds,
            _train_images(target, data_dir, self.device),
            variant.batch_size,
            signed=variant.generator_output != "sigmoid",
            keep_last=variant.last_batch == "keep",
        )

    def _on_device(self, x: Tensor) -> Tensor:
        return x.to(self.device)

    def _stack(self, trees: Sequence[Any]) -> Any:
        return trees[0] if self.looped else pytree.tree_map(lambda *xs: torch.stack(xs), *trees)

    def _result(self, k: int, failed_step: int | None, evaluation: Evaluation) -> ReplicaResult:
        epoch = self.real.steps_per_epoch
        epoch = None if epoch is None else math.ceil(epoch / self.variant.critic_steps)
        row, history = summarise(self.metrics[:, k].double().numpy(), self.game.metrics, failed_step, epoch)
        result = ReplicaResult(self.replicas[k], row, history + evaluation.history, evaluation.progress())
        if failed_step is None:
            state = self.of(k)
            scores, result.samples["final"] = evaluation.final(state)
            row |= scores
            for name, player in state._asdict().items():
                tensors = {**player.params, **player.buffers}
                result.weights |= {f"{name}/{key}": v.cpu().numpy() for key, v in tensors.items()}
        return result


def summarise(
    metrics: NDArray[np.float64], names: Sequence[str], failed_step: int | None, steps_per_epoch: int | None
) -> tuple[dict[str, Any], list[tuple[int, str, float]]]:
    """Reduce a replica's metrics by step to its row of the ledger and its history.

    Args:
        metrics: [steps, len(names)], METRICS first.
        names: What they are.
        failed_step: First step, from 1, that was not finite: nothing from there on counts.
        steps_per_epoch: None where the data never run out; then no epoch's mean is given (NaN).

    Returns:
        The row: status, and for each loss its mean over the last 100 steps, at the last step (`_last`) and over
        the last epoch (`_epoch`; over the run if it is shorter), NaN for a diverged replica. The history: means
        over at most 200 windows, each at its last step; and of both losses over each whole epoch (`epoch/`).
    """
    steps = len(metrics)
    finite = metrics if failed_step is None else metrics[: failed_step - 1]
    row: dict[str, Any] = {
        "status": "ok" if failed_step is None else "diverged",
        "failed_step": failed_step,
        "reason": "" if failed_step is None else f"not finite at step {failed_step}",
    }

    def mean_of_last(column: NDArray[np.float64], n: int | None) -> float:
        return float(column[-n:].mean()) if failed_step is None and n else math.nan

    def windows(i: int, window: int, last: int) -> list[tuple[int, float]]:
        starts = range(0, last, window)
        return [(min(s + window, last), float(finite[s : s + window, i].mean())) for s in starts]

    history: list[tuple[int, str, float]] = []
    for i, name in enumerate(METRICS[:3]):
        kind, player = name.split("/")
        row[f"{kind}_{player}"] = mean_of_last(metrics[:, i], LAST_STEPS)
        if kind == "loss":
            row[f"{kind}_{player}_last"] = mean_of_last(metrics[:, i], 1)
            row[f"{kind}_{player}_epoch"] = mean_of_last(metrics[:, i], steps_per_epoch)
            if steps_per_epoch:
                whole = len(finite) // steps_per_epoch * steps_per_epoch
                history += [(at, f"epoch/{name}", v) for at, v in windows(i, steps_per_epoch, whole)]
    for i, name in enumerate(names):
        history += [(at, name, v) for at, v in windows(i, math.ceil(steps / HISTORY_POINTS), len(finite))]
    return row, history


@lru_cache(maxsize=1)
def _train_images(target: Images, data_dir: Path, device: torch.device) -> Tensor:
    return target.load(data_dir).train.to(device)


_compiled: dict[Any, tuple[int, StepFunction]] = {}  # with how many programs each may come to


def step_function(game: Game, cohort: Cohort) -> StepFunction:
    """Return the step of a cohort: alone or mapped over replicas, compiled or not.

    A worker that goes from shape to shape, as tuning does, finds what it compiled before; `PROGRAMS` at most are kept.
    """
    one = partial(step, game)
    mapped: StepFunction = (
        one if cohort.mode == "loop" else cast(StepFunction, vmap(one, in_dims=(0, 0, 0, None, None)))
    )
    if not cohort.compiled:
        return mapped
    variant = cohort.replicas[0].variant
    needed = batch_shapes(variant, cohort.target)
    assert needed <= PROGRAMS, "the plan compiles no cohort that needs more"
    key = (game, variant.shape(), cohort.mode, cohort.width)
    if key not in _compiled:
        # With a CUDA compiler but no GPU, torch would say at each compilation that it found none.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # The compiler counts the programs it made of one piece of code, and all of ours are made of the same. Before
        # there are too many its memory is cleared with ours; on disk its own cache keeps them all.
        if sum(programs for programs, _ in _compiled.values()) + needed > PROGRAMS:
            _compiled.clear()
            torch.compiler.reset()
        _compiled[key] = needed, cast(StepFunction, torch.compile(mapped, dynamic=False, fullgraph=True))
    return _compiled[key][1]
