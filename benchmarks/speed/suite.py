"""The run of `ganbench speed`: everything in turn, as one record that `speed.json` holds."""

from __future__ import annotations

import dataclasses
import datetime
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.engines.work import ONE_THREAD
from benchmarks.machine import system as machine
from benchmarks.planning.plan import make_plan
from benchmarks.speed.contender import Contender, Engine, Noise, Plain, fresh_process, in_turn
from benchmarks.speed.plain import STYLES
from gan.model.flops import flops_per_step
from gan.targets import Images
from reports.speed.results import Hardware, Measured, Processes, Row, Seconds, System, WholeStudy
from studies import schema
from studies.files import STUDIES_DIR
from studies.resolve import Resolved

STUDIES = {"a": "system-a", "c": "system-c", "d": "system-d"}
"""The studies that say what each system is."""
BATCHES = {"a": (512, 64), "c": (64,), "d": (128,)}
"""Of each system the batch sizes that are measured, the study's own first."""
SCALE = "laptop"
REPLICAS, QUICK_REPLICAS = (1, 8, 32, 128), (1, 32)
ROUNDS, QUICK_ROUNDS = 5, 3
RUNS = {512: 128, 64: 512}
"""Of system A by batch size: how many runs make a whole study, so that it takes minutes."""
PRODUCT = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product is the machine's peak."""
CACHE = "TORCHINDUCTOR_CACHE_DIR"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What `ganbench speed` was asked for."""

    systems: tuple[str, ...]
    device: Literal["cpu", "cuda"]
    seconds: float
    """That each contender is measured, over all rounds."""
    quick: bool = False

    @property
    def rounds(self) -> int:
        """How often each contender has its turn."""
        return QUICK_ROUNDS if self.quick else ROUNDS

    @property
    def command(self) -> str:
        """What a person types to run this again."""
        options = [f"--system {name}" for name in self.systems if self.systems != tuple(STUDIES)]
        options += ["--quick"] if self.quick else []
        return " ".join(["ganbench speed", *options, f"--seconds {self.seconds:g}", f"--device {self.device}"])


def measure(settings: Settings, say: Say) -> Measured:
    """Measure everything.

    Args:
        settings: What was asked for.
        say: Called with what goes on, a line each.
    """
    started = datetime.datetime.now(datetime.UTC)
    with tempfile.TemporaryDirectory() as programs:
        # An empty cache: compile times are those of a machine on which nothing was compiled.
        os.environ[CACHE] = programs
        first = product_peak(settings.device)
        systems = [_system(name, batch, settings, say) for name in settings.systems for batch in BATCHES[name]]
        whole = BATCHES["a"] if "a" in settings.systems and not settings.quick else ()
        studies = [_whole_study(batch, RUNS[batch], settings.device, say) for batch in whole]
        last = product_peak(settings.device)
    return Measured(
        command=settings.command,
        date=started.isoformat(timespec="seconds"),
        minutes=(datetime.datetime.now(datetime.UTC) - started).total_seconds() / 60,
        commit=machine.commit(),
        device=settings.device,
        hardware=Hardware(**machine.hardware(settings.device)),
        versions=machine.versions(),
        quick=settings.quick,
        images="noise of MNIST's shape",
        peaks=[first, last],
        systems=systems,
        studies=studies,
    )


def product_peak(device: str) -> float:
    """Measure the floating-point operations a second of a large float32 product, of one thread or of a GPU."""
    with fresh_process() as process:
        return process.submit(_product_peak, device, PRODUCT[device]).result()


def _product_peak(device: str, size: int) -> float:
    """Return the best rate of five trials, after one that does not count."""
    import torch

    a, b, out = (torch.randn(size, size, device=device) for _ in range(3))

    def seconds() -> float:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds()
    return 2.0 * size**3 / min(seconds() for _ in range(5))


def resolve(system: str, batch: int, replicas: int) -> Resolved:
    """Return a system's study at laptop scale with another batch size and so many seeds, on noise in place of images.

    An epoch's partial last batch is dropped: it would compile in the middle of a measurement, and is one step in
    hundreds.
    """
    study = schema.resolve(schema.load(STUDIES[system]), SCALE, seeds=replicas)
    ((name, variant),) = study.variants.items()
    changed = dataclasses.replace(variant, batch_size=batch, last_batch="drop")
    target = Noise(study.target.dataset) if isinstance(study.target, Images) else study.target
    return dataclasses.replace(study, variants={name: changed}, target=target)


def planned(study: Resolved, device: str) -> Engine:
    """Return the first of the cohorts that the plan of a study has: how its replicas really train."""
    return Engine(make_plan(study, device, "ganbench speed", compiler=machine.has_compiler(device)).cohorts[0])


def ways(system: str, batch: int, replicas: Sequence[int], device: str) -> list[tuple[list[int], Engine]]:
    """Return how the plan trains each of some numbers of replicas: every way once, with the numbers trained so."""
    found: dict[tuple[str, bool, int, int], tuple[list[int], Engine]] = {}
    for count in replicas:
        engine = planned(resolve(system, batch, count), device)
        cohort = engine.cohort
        asked, _ = found.setdefault((cohort.mode, cohort.compiled, cohort.width, engine.replicas), ([], engine))
        asked.append(count)
    return list(found.values())


def _system(name: str, batch: int, settings: Settings, say: Say) -> System:
    """Measure one system at one batch size: the plan's ways to train it, each in turn with the plain loops."""
    study = resolve(name, batch, 1)
    (variant,) = study.variants.values()
    compiles = machine.has_compiler(settings.device) and not settings.quick
    seconds = settings.seconds / settings.rounds
    say(f"{study.title}, batch {batch}: the plain loop")
    with ExitStack() as stack:
        loops = {
            style: stack.enter_context(Contender(Plain(name, batch, style, study.steps), settings.device))
            for style in STYLES
            if style != "compiled" or compiles
        }
        steps = {style: loop.calibrate(seconds) for style, loop in loops.items()}
        rows: list[Row] = []
        for asked, engine in ways(name, batch, QUICK_REPLICAS if settings.quick else REPLICAS, settings.device):
            say(f"{study.title}, batch {batch}: {', '.join(map(str, asked))} replicas")
            with Contender(engine, settings.device) as contender:
                contenders = [*loops.values(), contender]
                counts = [*steps.values(), contender.calibrate(seconds)]
                turns = [partial(each.steps, count) for each, count in zip(contenders, counts, strict=True)]
                timed = in_turn(turns, settings.rounds)
            each_step = [
                [Seconds(wall=t.wall / count, cpu=t.cpu / count) for t in rounds]
                for rounds, count in zip(timed, counts, strict=True)
            ]
            cohort = engine.cohort
            rows.append(
                Row(
                    asked=asked,
                    mode=cohort.mode,
                    compiled=cohort.compiled,
                    replicas=engine.replicas,
                    first_seconds=contender.first_seconds,
                    rounds=each_step.pop(),
                    loops=dict(zip(loops, each_step, strict=True)),
                )
            )
    return System(
        system=name,
        title=study.title,
        batch=batch,
        flops=flops_per_step(variant, study.target.shape),
        first_seconds={style: loop.first_seconds for style, loop in loops.items()},
        rows=rows,
    )


def _whole_study(batch: int, runs: int, device: str, say: Say) -> WholeStudy:
    """Time `ganbench run` on system A with `runs` seeds, alternating with plain processes on all cores.

    Both are timed from the start of the program to its end, imports and compiling included. The study does more: it
    scores each replica ten times and writes a ledger.
    """
    steps, cores = resolve("a", batch, 1).steps, machine.default_workers("cpu")
    loop = [sys.executable, "-m", "benchmarks.speed.plain", f"--batch={batch}", f"--steps={steps}"]
    loops = [[*loop, f"--device={device}", f"--seed={seed}"] for seed in range(cores)]

    def plain() -> Processes:
        took = _timed(loops, {})
        return Processes(runs=cores, wall=took.wall, cpu=took.cpu)

    with tempfile.TemporaryDirectory() as folder:
        study = [sys.executable, "-m", "benchmarks.cli", "run", str(write_study(Path(folder), batch)), "--no-report"]
        study += [f"--scale={SCALE}", f"--seeds={runs}", f"--device={device}", "--tracking-uri=off"]

        def ganbench(cache: str) -> Seconds:
            say(f"a whole study of {runs} runs at batch {batch}, {cache} cache")
            return _timed([[*study, f"--runs-dir={folder}/{cache}"]], {CACHE: f"{folder}/programs"})

        before, cold, between, warm, after = plain(), ganbench("cold"), plain(), ganbench("warm"), plain()
    return WholeStudy(batch=batch, runs=runs, steps=steps, cold=cold, warm=warm, plain=[before, between, after])


def write_study(folder: Path, batch: int) -> Path:
    """Write the study of system A with another batch size into a folder; return the file."""
    text = (STUDIES_DIR / f"{STUDIES['a']}.toml").read_text(encoding="utf-8")
    line = f"batch_size = {BATCHES['a'][0]}\n"
    assert text.count(line) == 1
    file = folder / f"speed-{batch}.toml"
    file.write_text(text.replace(line, f"batch_size = {batch}\n"), encoding="utf-8")
    return file


def _timed(commands: Sequence[Sequence[str]], more: dict[str, str]) -> Seconds:
    """Run programs at the same time; return the seconds until the last has ended, and those of the processor.

    Raises:
        CalledProcessError: A program failed; what it printed has been seen.
    """
    env = {**os.environ, **ONE_THREAD, **more}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for command in commands]
    statuses = [process.wait() for process in running]
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    for command, status in zip(commands, statuses, strict=True):
        if status:
            raise subprocess.CalledProcessError(status, command)
    return Seconds(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
