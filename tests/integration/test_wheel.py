"""A wheel, installed in an environment of its own away from the clone, does what the clone does.

Its dependencies are those of this environment, which a path adds; a path file (`.pth`) of that folder, such as the one
that leads to the clone, is not read from there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ..faults import commands

pytestmark = pytest.mark.integration

ROOMS = ("gan", "studies", "reports", "benchmarks")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
PUBLISHED = "reports/published"


def ran(*command: object, cwd: Path) -> str:
    """Run a program that finds no code by its environment; return its standard output."""
    env = {name: value for name, value in commands.environment().items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_in(folder: Path) -> set[str]:
    """Return the files of the four rooms in a folder, but for what Python writes."""
    paths = (path for room in ROOMS for path in (folder / room).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a wheel is built from: building writes into it."""
    folder = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        shutil.copytree(commands.ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(commands.ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it; return the environment."""
    dist, environment = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("environment")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(dist)!r})"
    ran(sys.executable, "-c", build, cwd=source)
    (wheel,) = dist.glob("gan_stability-*.whl")
    ran(sys.executable, "-m", "venv", environment, cwd=dist)
    ran(environment / "bin" / "python", "-m", "pip", "install", "--no-index", "--no-deps", wheel, cwd=dist)
    packages(environment).joinpath("dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def test_the_wheel_holds_everything_but_the_published_reports(source: Path, installed: Path) -> None:
    wanted = {name for name in files_in(source) if not name.startswith(PUBLISHED)}
    assert {name.rpartition(".")[2] for name in wanted} >= {"py", "cpp", "toml", "safetensors", "typed"}
    assert files_in(packages(installed)) == wanted


def test_the_installed_command_trains_a_new_study_and_reports(installed: Path, tmp_path: Path) -> None:
    ganbench, python = installed / "bin" / "ganbench", installed / "bin" / "python"
    code = Path(ran(python, "-c", "import gan; print(gan.__path__[0])", cwd=tmp_path).strip())
    assert code == packages(installed) / "gan"
    listed = json.loads(ran(ganbench, "studies", "--json", cwd=tmp_path))
    assert listed == json.loads(commands.ganbench(tmp_path, "studies", "--json").stdout)

    ran(ganbench, "new", "mine", cwd=tmp_path)
    ran(ganbench, "run", "mine.toml", "--scale", "smoke", "--dry-run", cwd=tmp_path)
    one = {"generator_norm": '["none"]', "latent": '["normal"]', "steps": "20"}
    ran(ganbench, *commands.words(commands.write_study(tmp_path, **one), workers=1), cwd=tmp_path)
    load = "from reports.api import load_results; print(len(load_results('runs/stormy/smoke')))"
    assert ran(python, "-c", load, cwd=tmp_path).strip() == "4"
    assert (commands.run_directory(tmp_path) / "report" / "report.md").read_text().startswith("# A small study")

    weights = "from gan.scores.classifier import load_classifier as load; from gan.targets import Images; "
    ran(python, "-c", weights + "[load(Images(name)) for name in ('digits', 'mnist', 'fashion_mnist')]", cwd=tmp_path)
