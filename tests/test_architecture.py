"""The rooms and what may never cross between them."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("gan", "studies", "reports", "benchmarks")
"""The floors: each may import those before it."""
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LONGEST = 350  # lines of a module

# Libraries that a room may never import, even inside a function.
NEVER = {
    "gan": {"mlflow", "optuna", "pandas", "tests"},
    "studies": {"mlflow", "optuna", "torch", "tests"},
    "reports": {"torch", "torchvision", "torch_fidelity", "mlflow", "optuna", "tests"},
    "benchmarks": {"tests"},
}
# Libraries that one place alone may know: a module, some modules, or the whole of a room.
ONLY_IN: dict[str, str | tuple[str, ...]] = {
    "mlflow": "benchmarks/tracking/store.py",
    **dict.fromkeys(("optuna", "optuna_dashboard", "cmaes"), "benchmarks/tuning/*"),
    "pydantic": ("studies/*", "reports/ledger/*"),
    "ray": "benchmarks/engines/ray*.py",
}
# Planning, listing and reporting stay instant: these never load torch, nor a tracker or a tuner.
LIGHT = (
    *("gan", "gan.errors", "gan.variant", "gan.targets", "gan.scores", "studies.schema"),
    *("benchmarks.planning.plan", "benchmarks.planning.choosing", "benchmarks.running.session", "benchmarks.cli"),
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


def arrows() -> dict[str, set[str]]:
    """Return the modules of ours that each module of ours imports, wherever in it."""
    modules = {dotted(path): path for path in MODULES}

    def module_of(name: str) -> str | None:
        return name if name in modules else next((n for n in [name.rpartition(".")[0]] if n in modules), None)

    found = {name: {module_of(imported) for _, imported in imports(path)} for name, path in modules.items()}
    return {name: {other for other in others if other and other != name} for name, others in found.items()}


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """Return the modules of which each imports another of them, and so none can be read first; empty where none."""
    sorter = TopologicalSorter(arrows)
    try:
        sorter.prepare()
    except CycleError as error:
        return error.args[1]
    return []


def allowed(package: str, here: str) -> bool:
    """Say whether a module may know a library at all."""
    places = ONLY_IN.get(package, "*")
    return any(fnmatchcase(here, place) for place in ((places,) if isinstance(places, str) else places))


def test_one_place_alone_means_one_place() -> None:
    assert allowed("pydantic", "studies/schema.py") and allowed("pydantic", "studies/published.py")
    assert allowed("pydantic", "reports/ledger/records.py")
    assert not any(allowed("pydantic", here) for here in ("gan/variant.py", "benchmarks/a.py", "reports/a.py"))
    assert allowed("mlflow", "benchmarks/tracking/store.py") and not allowed("mlflow", "benchmarks/tracking/mirror.py")
    assert allowed("optuna", "benchmarks/tuning/trials.py") and not allowed("optuna_dashboard", "benchmarks/cli/a.py")
    assert not allowed("ray", "benchmarks/engines/local.py") and allowed("numpy", "anywhere.py")


def test_there_is_something_to_hold() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


def test_no_arrow_goes_up() -> None:
    up = [
        f"{here} imports {there}"
        for here, others in arrows().items()
        for there in others
        if ROOMS.index(there.split(".")[0]) > ROOMS.index(here.split(".")[0])
    ]
    assert up == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []
    assert circle_in(arrows()) == []


def test_libraries_keep_to_their_rooms() -> None:
    wrong = [
        f"{here}:{line} imports {module}"
        for path in MODULES
        for line, module in imports(path)
        if (package := module.split(".")[0]) in NEVER[(here := name_of(path)).split("/")[0]]
        or not allowed(package, here)
    ]
    assert wrong == []


def test_modules_are_short() -> None:
    long = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


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
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    data = {path for path in files if path.suffix != ".py" and not {"__pycache__", "published"} & {*path.parts}}
    assert data and data <= named


def test_constraints_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all("==" in pin and "://" not in pin and "@" not in pin for pin in pins)
