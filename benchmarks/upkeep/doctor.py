"""Check what a study needs: what works here, what does not, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from benchmarks.machine import system
from gan.errors import InputError
from gan.targets.images import DATASETS, Dataset, Images

Check = dict[str, str]
"""name, status (ok, missing: something optional; broken: nothing runs), detail, remedy."""
Finding = tuple[Literal["ok", "missing", "broken"], str, str]
"""Status, detail and remedy."""

DISK_GIB = 2.0
AGAIN = "install again from constraints.txt"


def check_all(runs_dir: Path, data_dir: Path) -> list[Check]:
    """Run every check; none of them changes anything."""
    checks: dict[str, Callable[[], Finding]] = {
        "torch": _torch,
        "device": _device,
        "processor": lambda: ("ok", f"{system.processor()}; vectors: {system.vectors()}", ""),
        "compiler": _compiler,
        "tuning": partial(_packages, ("optuna", "optuna-dashboard", "cmaes"), "not installed", AGAIN),
        "ray": partial(
            _packages, ("ray",), "not installed: studies train on one machine", 'pip install "gan-stability[ray]"'
        ),
        **{f"data: {name}": partial(_data, name, data_dir) for name in DATASETS},
        **{f"classifier: {name}": partial(_classifier, name) for name in DATASETS},
        "runs directory": partial(_runs, runs_dir),
        "disk": partial(_disk, runs_dir),
    }
    return [_check(name, look) for name, look in checks.items()]


def print_checks(checks: list[Check]) -> None:
    """Print a row a check."""
    table = Table("", "status", "", "what to do", box=None, header_style="bold")
    for check in checks:
        table.add_row(check["name"], check["status"], check["detail"], check["remedy"])
    Console(highlight=False).print(table)


def _check(name: str, look: Callable[[], Finding]) -> Check:
    try:
        status, detail, remedy = look()
    except Exception as error:
        # A doctor does not fall ill: whatever breaks is what was to be found out.
        status, detail, remedy = "broken", f"{type(error).__name__}: {error}", AGAIN
    return {"name": name, "status": status, "detail": detail, "remedy": remedy}


def _torch() -> Finding:
    import torch

    total = float((torch.ones(8, 8) @ torch.ones(8, 8)).sum())
    assert total == 512.0
    return "ok", f"torch {torch.__version__}", ""


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return "ok", f"cuda: {torch.cuda.get_device_name(0)}", ""
    return "ok", f"cpu, {system.default_workers('cpu')} cores", "a CUDA GPU makes scale full practical"


def _compiler() -> Finding:
    if system.has_compiler(system.choose_device("auto")):
        return "ok", "torch.compile can be used", ""
    slow = "no C++ compiler (or no Triton): studies run uncompiled, two to three times slower"
    return "missing", slow, "install g++"


def _packages(names: tuple[str, ...], without: str, remedy: str) -> Finding:
    try:
        return "ok", ", ".join(f"{name} {metadata.version(name)}" for name in names), ""
    except metadata.PackageNotFoundError as error:
        return "missing", f"{error.name}: {without}", remedy


def _data(name: Dataset, data_dir: Path) -> Finding:
    target = Images(name)
    if not target.available(data_dir):
        return "missing", f"not in {data_dir}", "set GAN_DATA_DIR, or `ganbench run` a study of it to download"
    try:
        data = target.load(data_dir)
    except InputError as error:
        return "broken", str(error), "delete the file named and download it again"
    return "ok", f"{len(data.train):,} training and {len(data.test):,} test images, digest as pinned", ""


def _classifier(name: Dataset) -> Finding:
    from gan.scores.classifier import load_classifier

    try:
        load_classifier(Images(name))
    except InputError as error:
        return "broken", str(error), "restore gan/scores/weights from the repository"
    return "ok", "weights' digest as recorded", ""


def _nearest(runs_dir: Path) -> Path:
    """Return the folder that is there, of a runs directory and those around it."""
    return next(folder for folder in (runs_dir.resolve(), *runs_dir.resolve().parents) if folder.exists())


def _runs(runs_dir: Path) -> Finding:
    probe = _nearest(runs_dir) / ".ganbench-doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return "broken", f"{probe.parent} cannot be written to ({error.strerror})", "choose another --runs-dir"
    return "ok", str(runs_dir.resolve()), ""


def _disk(runs_dir: Path) -> Finding:
    free = shutil.disk_usage(_nearest(runs_dir)).free / 2**30
    detail = f"{free:.1f} GiB free"
    return ("broken", detail, f"a laptop run needs up to {DISK_GIB:g} GiB") if free < DISK_GIB else ("ok", detail, "")
