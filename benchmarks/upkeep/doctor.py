"""Check what a study needs: what works here, what does not, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import system
from gan.errors import InputError
from gan.targets.images import DATASETS, Dataset, Images

Check = dict[str, str]
"""name, status (ok, missing: something optional; broken: nothing runs), detail, remedy."""

DISK_GIB = 2.0


def check_all(runs_dir: Path, data_dir: Path) -> list[Check]:
    """Run every check; none of them changes anything."""
    return [
        _check("torch", _torch),
        _check("device", _device),
        _check("processor", _processor),
        _check("compiler", _compiler),
        _check("tuning", _tuning),
        _check("ray", _ray),
        *[_check(f"data: {name}", lambda name=name: _data(name, data_dir)) for name in image_targets()],
        *[_check(f"classifier: {name}", lambda name=name: _classifier(name)) for name in image_targets()],
        _check("runs directory", lambda: _runs(runs_dir)),
        _check("disk", lambda: _disk(runs_dir)),
    ]


def image_targets() -> list[Dataset]:
    """Return the names of the image targets."""
    return list(DATASETS)


def print_checks(checks: list[Check]) -> None:
    """Print a row a check."""
    table = Table("", "status", "", "what to do", box=None, header_style="bold")
    for check in checks:
        table.add_row(check["name"], check["status"], check["detail"], check["remedy"])
    Console(highlight=False).print(table)


def _check(name: str, look: Callable[[], tuple[str, str, str]]) -> Check:
    try:
        status, detail, remedy = look()
    except Exception as error:
        # A doctor does not fall ill: whatever breaks is what was to be found out.
        status, detail, remedy = (
            "broken",
            f"{type(error).__name__}: {error}",
            "install again from constraints.txt",
        )
    return {"name": name, "status": status, "detail": detail, "remedy": remedy}


def _torch() -> tuple[str, str, str]:
    import torch

    total = float((torch.ones(8, 8) @ torch.ones(8, 8)).sum())
    assert total == 512.0
    return "ok", f"torch {torch.__version__}", ""


def _device() -> tuple[str, str, str]:
    import torch

    if torch.cuda.is_available():
        return "ok", f"cuda: {torch.cuda.get_device_name(0)}", ""
    return "ok", f"cpu, {system.default_workers('cpu')} cores", "a CUDA GPU makes scale full practical"


def _processor() -> tuple[str, str, str]:
    return "ok", f"{system.processor()}; vectors: {system.vectors()}", ""


def _compiler() -> tuple[str, str, str]:
    if system.has_compiler(system.choose_device("auto")):
        return "ok", "torch.compile can be used", ""
    return (
        "missing",
        "no C++ compiler (or no Triton): studies run uncompiled, two to three times slower",
        "install g++",
    )


def _tuning() -> tuple[str, str, str]:
    found: list[str] = []
    for package in ("optuna", "optuna-dashboard", "cmaes"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            return "missing", f"{package} is not installed", "install again from constraints.txt"
    return "ok", ", ".join(found), ""


def _ray() -> tuple[str, str, str]:
    try:
        return "ok", f"ray {metadata.version('ray')}", ""
    except metadata.PackageNotFoundError:
        return "missing", "not installed: studies train on one machine", 'pip install "gan-stability[ray]"'


def _data(name: Dataset, data_dir: Path) -> tuple[str, str, str]:
    target = Images(name)
    if not target.available(data_dir):
        return (
            "missing",
            f"not in {data_dir}",
            "set GAN_DATA_DIR, or `ganbench run` a study of it to download",
        )
    try:
        data = target.load(data_dir)
    except InputError as error:
        return "broken", str(error), "delete the file named and download it again"
    return "ok", f"{len(data.train):,} training and {len(data.test):,} test images, digest as pinned", ""


def _classifier(name: Dataset) -> tuple[str, str, str]:
    from gan.scores.classifier import load_classifier

    target = Images(name)
    try:
        load_classifier(target)
    except InputError as error:
        return "broken", str(error), "restore gan/scores/weights from the repository"
    return "ok", "weights' digest as recorded", ""


def _runs(runs_dir: Path) -> tuple[str, str, str]:
    parent = next(p for p in [runs_dir.resolve(), *runs_dir.resolve().parents] if p.exists())
    probe = parent / ".ganbench-doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return "broken", f"{parent} cannot be written to ({error.strerror})", "choose another --runs-dir"
    return "ok", str(runs_dir.resolve()), ""


def _disk(runs_dir: Path) -> tuple[str, str, str]:
    parent = next(p for p in [runs_dir.resolve(), *runs_dir.resolve().parents] if p.exists())
    free = shutil.disk_usage(parent).free / 2**30
    if free < DISK_GIB:
        return "broken", f"{free:.1f} GiB free", f"a laptop run needs up to {DISK_GIB:g} GiB"
    return "ok", f"{free:.1f} GiB free", ""
