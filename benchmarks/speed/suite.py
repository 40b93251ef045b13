"""The run of `ganbench speed`: everything in turn, raw, as one dictionary that `speed.json` holds."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import system
from benchmarks.speed import growth, peaks
from benchmarks.speed.contenders import Contender, NotMeasured, in_turn, side_by_side
from benchmarks.speed.plain import STYLES, Style
from benchmarks.speed.processes import RUNS, plain_runs, whole_study
from benchmarks.speed.roofline import bytes_held, counts
from benchmarks.speed.work import BATCHES, SYSTEMS, Engine, Place, Plain, planned, stacked, study_of, variant_of

FORMAT = 1
REPLICAS = (1, 8, 32, 128, 512)
ROUNDS = 5
STUDY_ROUNDS = 2
QUICK_REPLICAS = (1, 32)
QUICK_ROUNDS = 3
MOST_SECONDS_A_STEP = 6.0
MOST_MEMORY = 0.5  # of what is free
CACHE = "TORCHINDUCTOR_CACHE_DIR"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What `ganbench speed` was asked for."""

    systems: tuple[str, ...]
    device: str
    data_dir: Path | None
    """Where MNIST is; None for noise in its place."""
    seconds: float
    """That each contender is measured, over all rounds."""
    quick: bool = False

    @property
    def rounds(self) -> int:
        """How often each contender has its turn."""
        return QUICK_ROUNDS if self.quick else ROUNDS

    @property
    def cores(self) -> int:
        """Processes at a time where all cores are used."""
        return system.default_workers("cpu")

    @property
    def compiler(self) -> bool:
        """Whether torch.compile has what it needs."""
        return system.has_compiler(self.device)


def measure(settings: Settings, command: str, say: Say) -> dict[str, Any]:
    """Measure everything; the layout of what is returned is `speed.json`.

    Args:
        settings: What was asked for.
        command: What a person types to run this again.
        say: Told what goes on, a line each.
    """
    with _nothing_compiled():
        started = datetime.datetime.now(datetime.UTC)
        say("the machine's peaks")
        with Contender() as process:
            base_bytes = process.peak_bytes()
        first, free = _peaks(settings), MOST_MEMORY * free_bytes(settings.device)
        pairs = [(name, batch) for name in settings.systems for batch in BATCHES[name]]
        systems = [_system(name, batch, settings, free, say) for name, batch in pairs]
        ours = "a" in settings.systems
        whole = [_whole_study(batch, settings, say) for batch in BATCHES["a"]] if ours and not settings.quick else []
        curves = _growth(settings, free, say) if ours else []
        return {
            "format": FORMAT,
            "command": command,
            "date": started.isoformat(timespec="seconds"),
            "minutes": (datetime.datetime.now(datetime.UTC) - started).total_seconds() / 60,
            "commit": system.commit(),
            "device": settings.device,
            "hardware": system.hardware(settings.device),
            "versions": system.versions(),
            "quick": settings.quick,
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "cores": settings.cores,
            "compiler": settings.compiler,
            "mnist": "real" if settings.data_dir else "noise",
            "base_bytes": base_bytes,
            "peaks": [first, _peaks(settings)],
            "systems": systems,
            "studies": whole,
            "growth": curves,
        }


@contextmanager
def _nothing_compiled() -> Generator[None]:
    """Begin with an empty cache of compiled programs: compile times are those of a machine that has none of these."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory() as programs:
        os.environ[CACHE] = programs
        try:
            yield
        finally:
            del os.environ[CACHE]
            os.environ |= {CACHE: before} if before is not None else {}


def _peaks(settings: Settings) -> dict[str, Any]:
    with Contender() as process:
        return process.call(peaks.measure, settings.device)


def _system(name: str, batch: int, settings: Settings, free: float, say: Say) -> dict[str, Any]:
    """Measure one system at one batch size: the plain loop in each style, and the engine group by group."""
    study = study_of(name, batch, 1)
    variant, shape = variant_of(study), study.target.shape
    # TF32 pays where products are large, and both sides have it.
    place = Place(settings.device, tf32=settings.device == "cuda" and name != "a", data_dir=settings.data_dir)
    say(f"{study.title}, batch {batch}: the plain loop")
    with ExitStack() as stack:
        plain, loops = _plain_loops(name, batch, study.steps, place, settings, stack, say)
        styles, each = list(loops), settings.seconds / settings.rounds
        steps = {row["style"]: row["steps_a_round"] for row in plain}
        probe = loops[styles[0]].steps(steps[styles[0]])["wall"] / steps[styles[0]]
        groups: list[dict[str, Any]] = []
        for replicas in QUICK_REPLICAS if settings.quick else REPLICAS:
            say(f"{study.title}, batch {batch}: {replicas} replicas")
            rows = _rows(name, batch, replicas, place, settings)
            for row in rows:
                row["reason"] = _too_much(row["work"], shape, free, probe)
                row["same_as"] = _measured(row, groups)
            groups.append(_group(replicas, rows, {s: (loops[s], steps[s]) for s in styles}, place, settings, each))
        for row in plain:
            row["peak_bytes"] = loops[row["style"]].peak_bytes()
    say(f"{study.title}, batch {batch}: plain processes on all cores")
    try:
        processes = [plain_runs(name, batch, settings.device, settings.data_dir, settings.cores)]
    except NotMeasured as error:
        say(f"plain processes: {error}")
        processes = []
    return {
        "system": name, "study": SYSTEMS[name], "title": study.title, "batch": batch, "steps": study.steps,
        "tf32": place.tf32, **counts(variant, shape), "plain": plain, "groups": groups, "processes": processes,
    }  # fmt: skip


def _plain_loops(
    name: str, batch: int, length: int, place: Place, settings: Settings, stack: ExitStack, say: Say
) -> tuple[list[dict[str, Any]], dict[Style, Contender]]:
    """Start the plain loop in each style; return what there is to tell of each, and their processes.

    Raises:
        NotMeasured: The loop as written cannot be trained; a style that cannot be is left out.
    """
    compiles = settings.compiler and not settings.quick
    styles: list[Style] = [style for style in STYLES if style != "compiled" or compiles]
    loops: dict[Style, Contender] = {style: stack.enter_context(Contender()) for style in styles}

    def built(style: Style) -> dict[str, float] | NotMeasured:
        try:
            return loops[style].build(Plain(name, batch, style, length), place)
        except NotMeasured as error:
            return error

    plain: list[dict[str, Any]] = []
    for style, told in zip(styles, side_by_side([partial(built, s) for s in styles], settings.cores), strict=True):
        if isinstance(told, NotMeasured):
            if style == STYLES[0]:
                raise told
            say(f"the plain loop, {style}: {told}")
            del loops[style]
        else:
            steps = loops[style].calibrate(settings.seconds / settings.rounds)
            plain.append({"style": style, "steps_a_round": steps, **told})
    return plain, loops


def _rows(name: str, batch: int, replicas: int, place: Place, settings: Settings) -> list[dict[str, Any]]:
    """Return the ways of training so many replicas that are measured: the plan's, and all side by side."""
    study = study_of(name, batch, replicas, tf32=place.tf32, noise=place.data_dir is None and name != "a")
    plan = planned(study, settings.device, settings.compiler)
    conv_on_cpu = variant_of(study).discriminator == "conv" and settings.device == "cpu"
    ways = [plan, stacked(study, replicas, compiled=False)]
    if settings.compiler and not settings.quick and not conv_on_cpu:  # which gains nothing and compiles for long
        ways.append(stacked(study, replicas, compiled=True))
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for work in ways:
        cohort = work.cohort
        how = {"mode": cohort.mode, "compiled": cohort.compiled, "width": cohort.width}
        rows.setdefault(tuple(how.values()), {"work": work, "planned": work is plan, "replicas": work.replicas, **how})
    return list(rows.values())


def _measured(row: dict[str, Any], groups: Sequence[dict[str, Any]]) -> int | None:
    """Return the group of an earlier number of replicas in which the same cohort was measured."""
    keys = ("mode", "compiled", "width", "replicas")
    for group in groups:
        for other in group["rows"]:
            if all(other[k] == row[k] for k in keys) and other["same_as"] is None and other["reason"] is None:
                return group["replicas"]
    return None


def _too_much(work: Engine, shape: tuple[int, ...], free: float, plain_seconds: float) -> str | None:
    """Say why a stack is not measured, if so: by an estimate of its memory and of the time of its step."""
    held = bytes_held(work.cohort.replicas[0].variant, shape, work.replicas)
    if held > free:
        return f"needs about {held / 2**30:.0f} GiB, more than half of what is free"
    seconds = plain_seconds * work.replicas
    if seconds > MOST_SECONDS_A_STEP:
        return f"one step of all might take {seconds:.0f} s"
    return None


def _group(
    replicas: int, rows: list[dict[str, Any]], loops: dict[str, tuple[Contender, int]], place: Place,
    settings: Settings, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Measure the ways of training so many replicas in turn with the plain loops."""
    with ExitStack() as stack:
        open_rows = [row for row in rows if row["reason"] is None and row["same_as"] is None]
        homes = [stack.enter_context(Contender()) for _ in open_rows]

        def build(row: dict[str, Any], home: Contender) -> None:
            try:
                row |= home.build(row["work"], place)
            except NotMeasured as error:
                row["reason"] = str(error)

        side_by_side([partial(build, r, h) for r, h in zip(open_rows, homes, strict=True)], settings.cores)
        ready = [(row, home) for row, home in zip(open_rows, homes, strict=True) if row["reason"] is None]
        for row, home in ready:
            try:
                row["steps_a_round"] = home.calibrate(seconds)
            except NotMeasured as error:
                row["reason"] = str(error)
        ready = [(row, home) for row, home in ready if row["reason"] is None]
        turns: dict[Any, Callable[[], dict[str, float]]] = {
            style: lambda loop=loop, n=n: loop.steps(n) for style, (loop, n) in loops.items()
        }
        turns |= {i: lambda r=r, h=h: h.steps(r["steps_a_round"]) for i, (r, h) in enumerate(ready)}
        timed = in_turn(turns, settings.rounds)
        for i, (row, home) in enumerate(ready):
            row["rounds"], row["peak_bytes"] = timed[i], home.peak_bytes()
    for row in rows:
        del row["work"]
    return {"replicas": replicas, "rows": rows, "plain": {style: timed[style] for style in loops}}


def _growth(settings: Settings, free: float, say: Say) -> list[dict[str, Any]]:
    return growth.measure(
        Place(settings.device),
        compiler=settings.compiler,
        quick=settings.quick,
        rounds=settings.rounds,
        seconds=settings.seconds / settings.rounds / 2,
        cores=settings.cores,
        free=free,
        say=say,
    )


def _whole_study(batch: int, settings: Settings, say: Say) -> dict[str, Any]:
    try:
        return whole_study(batch, RUNS[batch], settings.device, settings.cores, STUDY_ROUNDS, say)
    except NotMeasured as error:
        return {"system": "a", "batch": batch, "runs": RUNS[batch], "reason": str(error)}


def free_bytes(device: str) -> float:
    """Return the memory that is free: the GPU's, or what the system says it can give."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0])
    told = Path("/proc/meminfo")
    if told.exists():
        line = next(line for line in told.read_text().splitlines() if line.startswith("MemAvailable"))
        return 1024.0 * int(line.split()[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
