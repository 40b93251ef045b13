"""What this machine is: devices, compiler, versions and commit, for plans, provenance and the doctor."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from gan.errors import InputError, nearest

CPUINFO = Path("/proc/cpuinfo")
VECTOR_FLAGS = {
    "AVX512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "fma"},
    "AVX2": {"avx2", "fma"},
}
"""What a processor must have for each of PyTorch's kinds of kernels, best first."""

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("gan-stability", "torch", "torchvision", "torch-fidelity", "mlflow", "optuna", "numpy", "scipy", "pandas")


def choose_device(asked: str) -> Literal["cpu", "cuda"]:
    """Return the kind of device to train on.

    Args:
        asked: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        InputError: Another name, or CUDA asked for and not there.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {asked}: no such device; {nearest(asked, ('auto', 'cpu', 'cuda'))}")
    if asked == "cpu" or (asked == "auto" and not _may_have_cuda()):
        return "cpu"
    import torch  # seconds: only where a GPU is likely or asked for

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise InputError("--device cuda: torch finds no CUDA device here; expected auto or cpu (see `ganbench doctor`)")
    return "cpu"


def has_compiler(device: str) -> bool:
    """Return whether torch.compile has what it needs: a C++ compiler on a CPU, Triton and a C compiler on a GPU."""
    if device == "cuda":
        triton = any(_version(name) for name in ("triton", "pytorch-triton"))
        return triton and any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang"))
    by_system = {"Darwin": "clang++", "Windows": "cl"}.get(platform.system(), "g++")
    return shutil.which(os.environ.get("CXX", by_system)) is not None


def default_workers(device: str) -> int:
    """Return how many processes train: one for a GPU, one for each core this process may use."""
    if device == "cuda":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_data_dir() -> Path:
    """Return where image data sets are looked for: GAN_DATA_DIR, or `data` in the current directory.

    Raises:
        InputError: It is a file.
    """
    path = Path(os.environ.get("GAN_DATA_DIR") or "data")
    if path.exists() and not path.is_dir():
        raise InputError(f"GAN_DATA_DIR: {path} is no folder; expected a torchvision root, or none")
    return path


def cache_dir() -> Path:
    """Return where a cluster's machine keeps what drivers sent: GAN_CACHE_DIR, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("GAN_CACHE_DIR") or user_cache_path("gan-stability"))


def commit() -> str:
    """Return the commit of this code, with ``+changes`` where the working tree differs; empty outside git."""
    try:
        head = _git("rev-parse", "HEAD")
        # Published reports and notes are written after training; only code decides results.
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "gan", "benchmarks", "studies")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}+changes" if changed else head


def hardware(device: str) -> dict[str, Any]:
    """Return processor, its vector capability, cores, memory in GiB and, on CUDA, the GPU's name."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "vectors": vectors(),
        "cores": default_workers("cpu"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
        if hasattr(os, "sysconf")
        else None,
    }
    if device == "cuda" and _may_have_cuda():  # or those that train are other machines
        import torch

        found["gpu"] = torch.cuda.get_device_name(0)
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide results."""
    return {"python": platform.python_version()} | {p: _version(p) or "not installed" for p in PACKAGES}


def _may_have_cuda() -> bool:
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


@cache  # each asks the file system, and reads a package's whole description
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    call = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return call.stdout.strip()


def processor() -> str:
    """Return the processor's name with its family and model, such as ``AMD EPYC (family 25, model 1)``."""
    known = _cpuinfo()
    name = known.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key} {known[of]}" for key, of in (("family", "cpu family"), ("model", "model")) if of in known]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def vectors() -> str:
    """Return which vector registers PyTorch uses: ``AVX512``, ``AVX2``, ``DEFAULT`` (none), or ``unknown``.

    They decide the last bits of results. Read from the processor's flags, as PyTorch reads them, because importing it
    takes seconds; ``ATEN_CPU_CAPABILITY`` comes first, as it does there. Unknown off Linux and x86.
    """
    asked = os.environ.get("ATEN_CPU_CAPABILITY", "")
    if asked in ("avx512", "avx2", "default"):
        return asked.upper()
    flags = set(_cpuinfo().get("flags", "").split())
    if not flags:
        return "unknown"
    return next((level for level, needed in VECTOR_FLAGS.items() if needed <= flags), "DEFAULT")


@cache
def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first core, by its key; nothing elsewhere."""
    first = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0] if CPUINFO.exists() else ""
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
