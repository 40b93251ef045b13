"""Time our engine against the loop a user would write, on the same work, interleaved in one process."""

from __future__ import annotations

import platform
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks import system
from gan.cohort import Run, one_thread
from gan.replica import Cohort, Replica, Scoring
from gan.targets import Gaussian
from gan.variant import Variant

ROUNDS = 7
BATCHES = (64, 128, 512)
WARM_UP_STEPS = 3
MOST_STEPS = 100_000  # room in the engine's history


class PlainLoop:
    """System A as a user would write it: modules, torch.optim, one GAN, its losses read at each step.

    Args:
        batch: Real samples a step.
    """

    def __init__(self, batch: int) -> None:
        def mlp(*widths: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in pairwise(widths[:-1]):
                layers += [nn.Linear(a, b), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

        self.batch = batch
        self.generator, self.discriminator = mlp(20, 32, 32, 1), mlp(1, 32, 64, 32, 1)
        self.g_adam = torch.optim.Adam(self.generator.parameters(), lr=5e-4)
        self.d_adam = torch.optim.Adam(self.discriminator.parameters(), lr=1e-3)
        self.loss = nn.BCEWithLogitsLoss()
        self.history: list[tuple[float, float]] = []

    def steps(self, count: int) -> None:
        """Train `count` steps."""
        ones, zeros = torch.ones(self.batch, 1), torch.zeros(self.batch, 1)
        for _ in range(count):
            real = 2 * torch.randn(self.batch, 1) + 3
            fake = self.generator(torch.randn(self.batch, 20))
            outputs = self.discriminator(torch.cat([real, fake.detach()]))
            d_loss = self.loss(outputs, torch.cat([ones, zeros]))
            self.d_adam.zero_grad()
            d_loss.backward()
            self.d_adam.step()

            g_loss = self.loss(self.discriminator(self.generator(torch.randn(self.batch, 20))), ones)
            self.g_adam.zero_grad()
            g_loss.backward()
            self.g_adam.step()
            self.history.append((d_loss.item(), g_loss.item()))


class Ours:
    """The engine on the same work: `replicas` side by side, streams and history included.

    Args:
        batch: Real samples a step.
        replicas: Side by side.
        steps: The most that will be asked for.
    """

    def __init__(self, batch: int, replicas: int, steps: int) -> None:
        variant = Variant(batch_size=batch, lr=5e-7**0.5, lr_ratio=2.0)
        cohort = Cohort(
            id="speed",
            replicas=tuple(Replica(f"{seed}", variant, seed) for seed in range(replicas)),
            target=Gaussian(),
            steps=steps,
            scoring=Scoring(),
            mode="vmap",
            compiled=system.has_compiler("cpu"),
            width=replicas,
        )
        self.run, self.done = Run(cohort, cohort.replicas, Path(), torch.device("cpu")), 0

    def steps(self, count: int) -> None:
        """Train `count` steps of every replica."""
        self.run.advance(self.done, self.done + count)
        self.done += count


@one_thread()
def compare(replicas: int, seconds: float) -> dict[str, Any]:
    """Measure milliseconds a replica-step of the plain loop and of the engine, one core, alternating.

    Args:
        replicas: Side by side in the engine.
        seconds: About how long each batch size is measured.
    """
    rows: list[dict[str, Any]] = []
    for batch in BATCHES:
        plain = PlainLoop(batch)
        plain_steps = _steps_for(plain, seconds / 2 / ROUNDS)
        ours = Ours(batch, replicas, MOST_STEPS)
        started = time.perf_counter()
        ours.steps(1)
        compile_seconds = time.perf_counter() - started
        our_steps = _steps_for(ours, seconds / 2 / ROUNDS)
        loop_ms: list[float] = []
        our_ms: list[float] = []
        for _ in range(ROUNDS):
            loop_ms.append(_milliseconds(plain, plain_steps) / plain_steps)
            our_ms.append(_milliseconds(ours, our_steps) / our_steps / replicas)
        rows.append(
            {
                "batch": batch,
                "plain_ms": statistics.median(loop_ms),
                "engine_ms": statistics.median(our_ms),
                "ratio": statistics.median(a / b for a, b in zip(loop_ms, our_ms, strict=True)),
                "ratio_range": [min(a / b for a, b in zip(loop_ms, our_ms, strict=True)),
                                max(a / b for a, b in zip(loop_ms, our_ms, strict=True))],
                "compile_seconds": compile_seconds,
            }
        )  # fmt: skip
    return {
        "replicas": replicas,
        "rounds": ROUNDS,
        "hardware": system.hardware("cpu"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rows": rows,
    }


def print_comparison(measured: dict[str, Any]) -> None:
    """Print a row a batch size."""
    table = Table(
        "batch", "plain loop, ms a step", "engine, ms a replica-step", "times faster", "compiling, s",
        box=None, header_style="bold",
    )  # fmt: skip
    for row in measured["rows"]:
        low, high = row["ratio_range"]
        table.add_row(
            str(row["batch"]), f"{row['plain_ms']:.3f}", f"{row['engine_ms']:.3f}",
            f"{row['ratio']:.1f} ({low:.1f} to {high:.1f})", f"{row['compile_seconds']:.0f}",
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(
        f"System A, one core, {measured['replicas']} replicas side by side; medians of {measured['rounds']} "
        "alternating rounds; streams, losses and history included on both sides"
    )
    console.print(table)


def _steps_for(work: PlainLoop | Ours, seconds: float) -> int:
    """Return how many steps fill `seconds`, after a warm-up."""
    work.steps(WARM_UP_STEPS)
    each = _milliseconds(work, WARM_UP_STEPS) / WARM_UP_STEPS / 1e3
    most = MOST_STEPS // (ROUNDS + 1) - WARM_UP_STEPS
    return min(max(WARM_UP_STEPS, round(seconds / each)), most)


def _milliseconds(work: PlainLoop | Ours, steps: int) -> float:
    started = time.perf_counter()
    work.steps(steps)
    return (time.perf_counter() - started) * 1e3
