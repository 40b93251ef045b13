"""Foreign files in a run directory, and files edited by hand: reading commands name the file, or do without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from ..typed import Ganbench
from . import inside
from .damages import become_a_folder, empty, fill_with_text, halve
from .refusals import problem

RUN = Path("runs") / "kept" / "smoke"
READING = {
    "status": ["status", "kept", "--scale", "smoke"],
    "compare": ["compare", str(RUN), str(RUN)],
    "run": ["run", "kept.toml", "--scale", "smoke", "--dry-run"],
    "show": ["show"],
}
"""The commands that read a run directory; the last one takes a replica."""
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a study that trains nothing, once."""
    folder = tmp_path_factory.mktemp("finished")
    inside.write_study(folder)
    assert inside.ganbench(folder, "--no-report").code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """Copy what was run, to be damaged; return the run directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / RUN


def a_replica(run: Path) -> str:
    return json.loads((run / "plan.json").read_text(encoding="utf-8"))["replicas"][0]["id"]


def judge(path: Path, ganbench: Ganbench, *names: str, replica: str = "") -> dict[str, int]:
    """Run the commands beside a damaged file: each does without it, or names it. Return their exit codes."""
    codes: dict[str, int] = {}
    for name in names:
        said = ganbench(*READING[name], *([replica] if name == "show" else []))
        codes[name] = said.code
        wrong = problem(said, path.name) if said.code else ("a traceback" if "Traceback" in said.err else "")
        assert not wrong, f"{name}: {wrong}"
    return codes


def written(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return damage


FOREIGN: dict[str, Damage] = {
    "nothing": written(b""),
    "zeros": written(bytes(1000)),
    "words": written(b"hello"),
    "half": written(b'{"study": {"name": "kept", '),
    "a list": written(b"[]"),
    "a number": written(b"3"),
    "null": written(b"null"),
    "of others": written(b'{"a": 1}'),
    "not UTF-8": written(b'{"\xe9": 1}'),
    "UTF-16": written('{"a": 1}'.encode("utf-16")),
    "deep": written(b"[" * 100_000),
    "digits": written(b"9" * 5_000),
}


@pytest.mark.parametrize("damage", [*FOREIGN, "a folder"])
def test_a_foreign_plan_is_refused_by_name(damage: str, run: Path, ganbench: Ganbench) -> None:
    replica = a_replica(run)
    {**FOREIGN, "a folder": become_a_folder}[damage](run / "plan.json")
    codes = judge(run / "plan.json", ganbench, *READING, replica=replica)
    assert codes["status"] == codes["compare"] == codes["show"] == 2  # a run sets it aside and plans anew


@pytest.mark.parametrize(
    "strange", [None, *(pytest.param(strange, marks=pytest.mark.faults) for strange in (7, {"a": 7}))]
)
def test_a_plan_of_other_types_is_refused_by_name(strange: Any, run: Path, ganbench: Ganbench) -> None:
    whole, replica = json.loads((run / "plan.json").read_text(encoding="utf-8")), a_replica(run)
    spoiled = [{**whole, key: strange} for key in whole]
    spoiled += [{**whole, "study": {**whole["study"], key: strange}} for key in whole["study"]]
    for plan in spoiled:
        (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        judge(run / "plan.json", ganbench, "status", "show", replica=replica)


@pytest.mark.parametrize("name", ["references.json", "provenance.json", "tuning.json"])
def test_other_foreign_files_are_named_or_done_without(name: str, run: Path, ganbench: Ganbench) -> None:
    replica = a_replica(run)
    for damage in FOREIGN.values():
        damage(run / name)
        judge(run / name, ganbench, "status", "show", replica=replica)  # the others read them as these do


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _other_columns(path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(path)


def _other_types(path: Path) -> None:
    pd.DataFrame({name: [1] for name in ("replica", "status", "step", "metric", "value")}).to_parquet(path)


def _other_arrays(path: Path) -> None:
    save_file({"a": np.zeros(3, dtype="float32")}, path)


TABLES = [fill_with_text, halve, _zeros, empty, become_a_folder, _other_columns, _other_types, _other_arrays]


@pytest.mark.parametrize("damage", TABLES)
@pytest.mark.parametrize("part", ["cohorts", "history", "samples"])
def test_damaged_parts_of_a_cohort_are_named_or_done_without(
    part: str, damage: Damage, run: Path, ganbench: Ganbench
) -> None:
    path = sorted((run / part).iterdir())[0]
    replica = pd.read_parquet(run / "cohorts" / f"{path.stem}.parquet")["replica"].iloc[0]
    damage(path)
    codes = judge(path, ganbench, "status", "show", replica=replica)
    assert part != "cohorts" or 2 in codes.values()
