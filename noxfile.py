"""What can be run from a clone: `nox -l` lists it. Everything that needs torch shares one environment."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.16"  # `requires=`
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

CONSTRAINTS = "constraints.txt"
PROJECT = nox.project.load_toml("pyproject.toml")
SETTINGS = {
    "OMP_NUM_THREADS": "1",  # every worker is one thread: two threads in one process can be 50 times slower
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONDONTWRITEBYTECODE": "",  # else each of the tests' processes compiles the project and its tests anew
    "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",  # no look on the network for a newer pyright
    "UV_HTTP_TIMEOUT": "300",  # seconds; torch's largest wheel is half a gigabyte
}
NARROWER = {
    "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",  # of what torch compiles: AVX2 and a fused multiply-add
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""Of a processor without AVX512, for the compiler and the libraries behind torch."""
OF_THE_PROCESSOR = [
    *("tests/gan/test_bmm.py", "tests/gan/test_chunk.py", "tests/gan/test_cohort.py", "tests/gan/test_conformance.py"),
    *("tests/gan/test_evaluation.py", "tests/gan/test_guards.py", "tests/gan/test_precision.py"),
    *("tests/gan/test_programs.py", "tests/gan/test_step.py", "tests/gan/test_tracing.py"),
]
"""Tests whose numbers, bits or operations depend on the processor's vectors; those of plain Python do not."""
WORKERS = str(min(os.cpu_count() or 1, 8))
DEFAULT = "not slow and not faults and not integration"
TESTS = ("python", "-m", "pytest", "-n", WORKERS, "--dist", "loadfile")


def install_once(session: nox.Session, *requirements: str) -> None:
    """Install, unless this environment already holds exactly this: then no network is needed."""
    inputs = [Path("pyproject.toml").read_bytes(), Path(CONSTRAINTS).read_bytes(), sys.version.encode()]
    digest = hashlib.sha256(repr((inputs, requirements, os.getcwd())).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        session.log("The environment is up to date.")
        return
    # Compiled once here, and not by the first process that imports torch, for seconds.
    session.install("-c", CONSTRAINTS, *requirements, env={**SETTINGS, "UV_COMPILE_BYTECODE": "1"})
    stamp.write_text(digest)


def in_environment(session: nox.Session, *command: str, **settings: str) -> None:
    """Run one of the shared environment's programs, with more variables. GAN_DATA_DIR and the like pass through."""
    environment = (session.env_dir.parent / "environment").resolve()
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    env = {**SETTINGS, "PATH": path, "VIRTUAL_ENV": str(environment), **settings}
    session.run(str(programs / command[0]), *command[1:], env=env, external=True)


@nox.session(reuse_venv=True)
def environment(session: nox.Session) -> None:
    """Make the shared environment (7.0 GB with torch from PyPI). The other sessions ask for it themselves."""
    install_once(session, "-e", ".[postgres,ray]", *nox.project.dependency_groups(PROJECT, "dev"))


@nox.session(venv_backend="none", requires=["environment"])
def benchmark(session: nox.Session) -> None:
    """Run the default studies, tune those that say how, and compile their reports; arguments go to `ganbench run`."""
    in_environment(session, "ganbench", "run", "--tune", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run the tests, without the slow ones and with a bounded part of the faults; arguments go to pytest."""
    in_environment(session, *TESTS, "-m", DEFAULT, *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
@nox.parametrize("vectors", ["avx2", "default"])
def emulated(session: nox.Session, vectors: str) -> None:
    """Run tests of gan as on older processors: with AVX2 at most, and without vectors; arguments go to pytest."""
    if platform.machine() not in ("x86_64", "AMD64"):
        session.skip("Emulates x86-64 processors, on one of them.")
    chosen = ("-m", DEFAULT, *(session.posargs or OF_THE_PROCESSOR))
    in_environment(session, *TESTS, *chosen, ATEN_CPU_CAPABILITY=vectors, **NARROWER)


@nox.session(venv_backend="none", requires=["environment"])
def slow(session: nox.Session) -> None:
    """Run the slow tests; arguments go to pytest."""
    in_environment(session, *TESTS, "-m", "slow", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def faults(session: nox.Session) -> None:
    """Run what breaks things on purpose: kills, full disks, dead servers, bad files; arguments go to pytest."""
    in_environment(session, *TESTS, "-m", "faults", "-rP", *session.posargs)  # with what each has to tell


@nox.session(venv_backend="none", requires=["environment"])
def integration(session: nox.Session) -> None:
    """Run what needs Ray, PostgreSQL, an MLflow server, a browser or a wheel, all here; arguments go to pytest."""
    # Two files at once on any machine: each starts several programs.
    chosen = ("-n", "2", "-m", "integration", *(session.posargs or ["tests/integration"]))
    in_environment(session, *TESTS, *chosen)


@nox.session(venv_backend="none", requires=["environment"])
def coverage(session: nox.Session) -> None:
    """Run the tests and print which lines ran, by module and in whichever process; arguments go to pytest."""
    in_environment(session, *TESTS, "-m", DEFAULT, "--cov", "--cov-report=term", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def scaling(session: nox.Session) -> None:
    """Take made-up replicas through plan, ledger, resume and report; arguments: how many, and --folder."""
    in_environment(session, "python", "-m", "benchmarks.running.simulation", *(session.posargs or ["1000"]))


@nox.session(venv_backend="none", requires=["environment"])
def speed(session: nox.Session) -> None:
    """Measure the engine beside the plain PyTorch loop and write its report; arguments go to `ganbench speed`."""
    in_environment(session, "ganbench", "speed", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """Check types: strictly in gan, plainly elsewhere; arguments go to pyright."""
    in_environment(session, "python", "-m", "pyright", *session.posargs)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting; `nox -s lint -- --fix` mends what can be mended."""
    install_once(session, "ruff")
    mend = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if mend else []))
    session.run("ruff", "format", *([] if mend else ["--check", "--diff"]))
