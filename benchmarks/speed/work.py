"""What is timed: a plain loop, or the engine on a cohort. It is built and driven in a process of its own."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.planning.plan import make_plan
from gan.replica import Cohort, Mode, Replica
from gan.targets import ImageData, Images
from gan.variant import Variant
from studies import schema

if TYPE_CHECKING:
    from benchmarks.speed.plain import Style
    from studies.resolve import Resolved

SYSTEMS = {"a": "system-a", "c": "system-c", "d": "system-d"}
"""The studies that say what each system is."""
BATCHES = {"a": (512, 64), "c": (64,), "d": (128,)}
"""Of each system the batch sizes that are measured, the study's own first."""
SCALE = "laptop"


@dataclass(frozen=True)
class Plain:
    """A plain loop."""

    system: str
    batch: int
    style: Style
    steps: int


@dataclass(frozen=True)
class Engine:
    """The engine on a cohort: its first stack, as long as it is asked for."""

    cohort: Cohort

    @property
    def replicas(self) -> int:
        """Replicas that train at once."""
        return 1 if self.cohort.mode == "loop" else len(self.cohort.replicas)


Work = Plain | Engine


@dataclass(frozen=True)
class Place:
    """Where work is done, the same for both sides."""

    device: str
    tf32: bool = False
    """Products in TF32, on CUDA alone: the plain loop's; of ours the variant says so."""
    data_dir: Path | None = None
    """Where MNIST is; None for noise in its place."""


class Noise(Images):
    """Noise of MNIST's shape, where its files are not: a step takes as long."""

    def load(self, data_dir: Path, download: bool = False) -> ImageData:
        """Return uniform noise; `data_dir` is not looked at."""
        import torch

        from benchmarks.speed.plain import mnist

        images, labels = mnist(None), torch.zeros(self.train_size, dtype=torch.int64)
        return ImageData(images, labels, images[:1], labels[:1], images[:1], labels[:1])


def study_of(system: str, batch: int, replicas: int, *, tf32: bool = False, noise: bool = False) -> Resolved:
    """Return a system's study at laptop scale with another batch size and so many seeds, perhaps with TF32 products.

    An epoch's partial last batch is dropped: it would compile in the middle of a measurement, and is one step in
    hundreds.
    """
    study = schema.resolve(schema.load(SYSTEMS[system]), SCALE, seeds=replicas)
    changed: dict[str, Any] = {"batch_size": batch, "last_batch": "drop", "precision": "tf32" if tf32 else "float32"}
    variants = {name: dataclasses.replace(variant, **changed) for name, variant in study.variants.items()}
    return dataclasses.replace(study, variants=variants, target=Noise("mnist") if noise else study.target)


def variant_of(study: Resolved) -> Variant:
    """Return the one variant of a system's study."""
    (variant,) = study.variants.values()
    return variant


def planned(study: Resolved, device: str, compiler: bool) -> Engine:
    """Return the first of the cohorts that the plan of a study has: how its replicas really train."""
    return Engine(make_plan(study, device, "ganbench speed", compiler=compiler).cohorts[0])


def stacked(study: Resolved, replicas: int, *, compiled: bool, mode: Mode = "vmap") -> Engine:
    """Return all replicas of a study side by side, whatever the plan would say."""
    variant = variant_of(study)
    members = tuple(Replica(f"{seed}", variant, seed) for seed in range(replicas))
    return Engine(
        Cohort(
            id="speed",
            replicas=members,
            target=study.target,
            steps=study.steps,
            scoring=study.scoring,
            mode=mode,
            compiled=compiled,
            width=1 if mode == "loop" else replicas,
        )
    )


class Running:
    """Work in training. Made in the process that does it.

    Args:
        work: What to train.
        place: Where.
    """

    def __init__(self, work: Work, place: Place) -> None:
        import torch

        from benchmarks.speed import plain
        from gan.engine import programs
        from gan.engine.cohort import Run
        from gan.engine.process_setup import one_thread

        self.done, self.one_thread = 0, one_thread
        device = torch.device(place.device)
        if isinstance(work, Plain):
            if place.tf32:  # for ours the variant says so
                torch.set_float32_matmul_precision("high")
            images = None if work.system == "a" else plain.mnist(place.data_dir)
            self.loop = plain.make(work.system, work.batch, work.style, device, images, work.steps)
            self.length = math.inf
        else:
            cohort = work.cohort
            stack = cohort.replicas[:1] if cohort.mode == "loop" else cohort.replicas
            if cohort.steps > programs.traced_after:
                programs.trace_at_once()  # as it is for all but the first steps of the run
            self.run = Run(cohort, stack, place.data_dir or Path(), device)
            self.length = cohort.steps
        self.ours = isinstance(work, Engine)

    def steps(self, count: int) -> None:
        """Train `count` steps; the engine begins again at step 0, with the state it has, when its run is over."""
        if not self.ours:
            self.loop.steps(count)
            return
        with self.one_thread():
            while count:
                part = min(count, int(self.length) - self.done)
                self.run.advance(self.done, self.done + part)
                self.done, count = (self.done + part) % int(self.length), count - part
