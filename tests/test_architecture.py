"""The rooms and what may never cross between them."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("gan", "studies", "benchmarks", "reports")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LONGEST = 350  # lines of a module

# Who may never import what, even inside a function.
NEVER = {
    "gan": {"mlflow", "optuna", "pandas", "studies", "benchmarks", "reports", "tests"},
    "studies": {"mlflow", "optuna", "torch", "benchmarks", "reports", "tests"},
    "benchmarks": {"tests"},
    "reports": {"torch", "torchvision", "torch_fidelity", "mlflow", "optuna", "studies", "tests"},
}
# Libraries that one place alone may know: a module, some modules, or the whole of a room.
ONLY_IN = {
    "mlflow": "benchmarks/tracking/store.py",
    **dict.fromkeys(("optuna", "optuna_dashboard", "cmaes"), "benchmarks/tuning/*"),
    "pydantic": "studies/*",
    "ray": "benchmarks/engines/ray*.py",
}
# Planning, listing and reporting stay instant: these never load torch, nor a tracker or a tuner.
LIGHT = (
    *("gan", "gan.errors", "gan.variant", "gan.targets", "gan.scores", "studies.schema"),
    *("benchmarks.plan", "benchmarks.ledger", "benchmarks.cli", "benchmarks.choosing", "benchmarks.session"),
)
TOO_HEAVY = ("torch", "torchvision", "torch_fidelity", "mlflow", "optuna", "optuna_dashboard")
TOO_HEAVY_FOR_HELP = (*TOO_HEAVY, "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "pyarrow")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def allowed(package: str, here: str) -> bool:
    """Say whether a module may know a library at all."""
    return fnmatchcase(here, ONLY_IN.get(package, "*"))


def test_one_place_alone_means_one_place() -> None:
    assert allowed("pydantic", "studies/schema.py") and allowed("pydantic", "studies/published.py")
    assert not any(allowed("pydantic", here) for here in ("gan/variant.py", "benchmarks/plan.py", "reports/answer.py"))
    assert allowed("mlflow", "benchmarks/tracking/store.py") and not allowed("mlflow", "benchmarks/tracking/mirror.py")
    assert allowed("optuna", "benchmarks/tuning/trials.py") and not allowed("optuna_dashboard", "benchmarks/cli/a.py")
    assert not allowed("ray", "benchmarks/engines/local.py") and allowed("numpy", "anywhere.py")


def test_there_is_something_to_hold() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_rooms_keep_to_themselves(path: Path) -> None:
    here = name_of(path)
    for line, module in imports(path):
        package = module.split(".")[0]
        assert package not in NEVER[here.split("/")[0]], f"{here}:{line} imports {module}"
        assert allowed(package, here), f"{here}:{line} imports {module}"
        if here.startswith("reports/") and package == "benchmarks":
            assert module.startswith("benchmarks.ledger"), f"{here}:{line} imports {module}, not the ledger"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def heavy_after(modules: list[str], heavy: tuple[str, ...]) -> str:
    """Import modules one by one in a fresh interpreter; say which first loads what it must not."""
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = sorted(set({heavy!r}) & sys.modules.keys())\n"
        "    if loaded:\n"
        "        sys.exit(f'{name} loads {loaded}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"exit {done.returncode}")


def test_planning_and_reporting_load_no_torch() -> None:
    reports = [dotted(path) for path in MODULES if path.is_relative_to(ROOT / "reports")]
    assert heavy_after([*LIGHT, *reports], TOO_HEAVY) == ""


def test_help_loads_nothing_heavy() -> None:
    assert heavy_after(["benchmarks.cli"], TOO_HEAVY_FOR_HELP) == ""


def test_continuous_integration_runs_the_readme_s_command() -> None:
    (command,) = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.endswith("nox -s tests")]
    assert command in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def test_everything_that_is_no_module_is_packaged() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    named = {
        path
        for package, kinds in told.items()
        for kind in kinds
        for path in ROOT.glob(f"{package.replace('.', '/')}/{kind}")
    }
    files = (path for room in ("gan", "benchmarks") for path in (ROOT / room).rglob("*") if path.is_file())
    data = {path for path in files if path.suffix != ".py" and "__pycache__" not in path.parts}
    assert data and data <= named


def test_constraints_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all("==" in pin and "://" not in pin and "@" not in pin for pin in pins)
