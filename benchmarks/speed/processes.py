"""Whole studies: one plain process a run over all cores, beside `ganbench run` with as many seeds.

Both are timed from the start of the program to its end, imports and compiling included. The study does more: it
scores each replica ten times and writes a ledger.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.engines.work import ONE_THREAD
from benchmarks.speed.contenders import NotMeasured
from benchmarks.speed.work import BATCHES, SCALE, SYSTEMS, study_of, variant_of
from studies.files import STUDIES_DIR

RUNS = {512: 128, 64: 512}
"""Of system A by batch size: how many runs make the study, so that it takes minutes."""


def plain_runs(system: str, batch: int, device: str, data_dir: Path | None, cores: int) -> dict[str, float]:
    """Train the plain loop once in each of `cores` processes at the same time, for as long as the study says.

    Returns:
        "runs", "steps" of each, and seconds for all of them: "wall" and "cpu".

    Raises:
        NotMeasured: A process failed.
    """
    steps = study_of(system, batch, 1).steps
    command = [sys.executable, "-m", "benchmarks.speed.plain", "--system", system, "--batch", str(batch)]
    command += ["--steps", str(steps), "--device", device]
    command += ["--data-dir", str(data_dir)] if data_dir and system != "a" else []
    commands = [[*command, "--seed", str(seed)] for seed in range(cores)]
    return {"runs": cores, "steps": steps, **_timed(commands, {})}


def whole_study(
    batch: int, runs: int, device: str, cores: int, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Time `ganbench run` on system A with `runs` seeds, alternating with plain processes.

    Args:
        batch: Real samples a step.
        runs: Seeds.
        device: ``cpu`` or ``cuda``.
        cores: Plain processes at a time; the study has its own rule, one worker a core or a GPU.
        rounds: How often the study is run: first with a cold cache of compiled programs, then with a warm one.
        say: Told what goes on.

    Raises:
        NotMeasured: A process failed.
    """
    study = study_of("a", batch, runs)
    plain = [plain_runs("a", batch, device, None, cores)]
    ours: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = write_study(Path(folder), batch)
        for r in range(rounds):
            say(f"a whole study of {runs} runs at batch {batch}, {'warm' if r else 'cold'} cache")
            where = ["--runs-dir", str(Path(folder) / f"runs-{r}"), "--tracking-uri", "off", "--no-report"]
            asked = ["--scale", SCALE, "--seeds", str(runs), "--device", device]
            command = [sys.executable, "-m", "benchmarks.cli", "run", str(file), *asked, *where]
            ours.append(_timed([command], {"TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "programs")}))
            plain.append(plain_runs("a", batch, device, None, cores))
    return {"system": "a", "batch": batch, "runs": runs, "steps": study.steps, "ours": ours, "plain": plain}


def write_study(folder: Path, batch: int) -> Path:
    """Write the study of system A with another batch size into a folder; return the file."""
    own = f"batch_size = {variant_of(study_of('a', BATCHES['a'][0], 1)).batch_size}\n"
    text = (STUDIES_DIR / f"{SYSTEMS['a']}.toml").read_text(encoding="utf-8")
    assert text.count(own) == 1
    file = folder / f"speed-{batch}.toml"
    file.write_text(text.replace(own, f"batch_size = {batch}\n"), encoding="utf-8")
    return file


def _timed(commands: Sequence[Sequence[str]], more: dict[str, str]) -> dict[str, float]:
    """Run programs at the same time; return the seconds until the last has ended, and those of the processor."""
    env = {**os.environ, **ONE_THREAD, **more}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    for command, process, text in zip(commands, running, said, strict=True):
        if process.returncode:
            last = text.strip().splitlines()[-1:] or [f"exit {process.returncode}"]
            raise NotMeasured(f"{command[2]}: {last[0][:200]}")
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
