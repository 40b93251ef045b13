"""The harness without training: every stage of a study of some hundred replicas, and what grows with their number."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.engines import Outcome
from benchmarks.machine import system
from benchmarks.planning import choosing
from benchmarks.running import reporting, runner, simulation
from benchmarks.running.provenance import Session
from benchmarks.running.runner import Options
from benchmarks.running.simulation import SimulatedEngine
from reports.ledger import tables
from reports.ledger.ledger import FOLDERS, Ledger

REPLICAS = 320
COHORTS = 10

pytestmark = pytest.mark.usefixtures("no_compiler")


def ledger_of(options: Options) -> Ledger:
    return Ledger(runner.directory(options.runs_dir, simulation.STUDY, simulation.SCALE))


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return simulation.options_for(tmp_path, REPLICAS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate a whole run, once: tests copy it."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "has_compiler", lambda _: False)
        assert simulation.train(simulation.options_for(folder, REPLICAS), SimulatedEngine()).trained == REPLICAS
    return folder


@pytest.fixture
def trained(finished: Path, options: Options, tmp_path: Path) -> Ledger:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return ledger_of(options)


def test_a_dry_run_writes_nothing(options: Options) -> None:
    assert simulation.plan(options)["to_train"] == REPLICAS
    assert simulation.size_of(options.runs_dir) == (0, 0)


def test_what_is_missing_is_trained_and_nothing_else(options: Options, trained: Ledger, tmp_path: Path) -> None:
    interrupted = simulation.options_for(tmp_path / "interrupted", REPLICAS)
    with pytest.raises(KeyboardInterrupt):
        simulation.train(interrupted, SimulatedEngine(most=4))
    left = REPLICAS - len(ledger_of(interrupted).results())
    assert 0 < left < REPLICAS
    assert simulation.train(interrupted, SimulatedEngine()).trained == left
    whole = trained.results()
    pd.testing.assert_frame_equal(ledger_of(interrupted).results(), whole)

    assert simulation.lose(trained) == COHORTS // simulation.LOST
    left = REPLICAS - len(trained.results())
    assert left == simulation.train(options, SimulatedEngine()).trained == REPLICAS // COHORTS
    assert simulation.train(options, SimulatedEngine()).trained == 0
    pd.testing.assert_frame_equal(trained.results(), whole)


@pytest.mark.slow
def test_the_report_is_whole_and_reads_each_table_a_few_times(
    trained: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()

    class Counted(pq.ParquetFile):
        def __init__(self, source: Path, *args: Any, **more: Any) -> None:
            opened[source.parent.name] += 1
            super().__init__(source, *args, **more)

    monkeypatch.setattr(tables.pq, "ParquetFile", Counted)
    report = reporting.compile_study(trained, tmp_path / "report")
    summary = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))
    assert not summary["incomplete"] and summary["replicas"] == summary["planned"] == REPLICAS
    assert len(pd.read_csv(report.parent / "results.csv")) == REPLICAS
    # All rows, whether they can be read, and where samples are; whether histories can be, all of them, and by metric.
    assert opened["cohorts"] <= 3 * COHORTS and opened["history"] <= 6 * COHORTS


def test_files_and_bytes_grow_with_the_replicas_alone(trained: Ledger) -> None:
    files = Counter(path.relative_to(trained.directory).parts[0] for path in trained.directory.rglob("*.*"))
    assert {part: files[part] for part in FOLDERS} == dict.fromkeys(FOLDERS, COHORTS) | {"digests": COHORTS + 1}
    assert sum(files.values()) == len(FOLDERS) * COHORTS + 4  # with plan, references and their digests, provenance
    sizes = {part: simulation.size_of(trained.directory / part)[1] / REPLICAS for part in FOLDERS}
    assert sizes["cohorts"] < 1500 and sizes["history"] < 2000 and sizes["digests"] < 20  # bytes a replica
    assert (trained.directory / "plan.json").stat().st_size < 250 * REPLICAS


def test_provenance_is_written_ever_more_seldom(
    options: Options, trained: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def write(ledger: Ledger, name: str, content: Any) -> None:
        written.append(len(content.sessions[-1].cohort_seconds))

    (chosen,), _ = choosing.studies([simulation.STUDY], simulation.SCALE, options.data_dir)
    _, plan = runner.prepare(chosen.study, chosen.source, options)
    monkeypatch.setattr(Ledger, "write_json", write)
    session = Session(trained, command="", workers=1, device="cpu", estimated_core_seconds=0)
    for i in range(2000):
        cohort = dataclasses.replace(plan.cohorts[0], id=f"{i:016x}")
        with session.recording(Outcome(cohort, None)):
            # Whatever kills it now, the machine is on record.
            assert written and written[-1] >= (i + 1) / 1.02
    assert written[:100] == list(range(1, 101)) and len(written) < 450


def test_a_run_directory_takes_over_what_another_has_trained(trained: Ledger, tmp_path: Path) -> None:
    part = simulation.options_for(tmp_path / "part", REPLICAS // 4)
    assert simulation.train(part, SimulatedEngine()).trained == REPLICAS // 4
    whole = simulation.options_for(tmp_path / "whole", REPLICAS)
    for name in (*FOLDERS, "references.json"):
        source, copy = ledger_of(part).directory / name, ledger_of(whole).directory / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    assert simulation.train(whole, SimulatedEngine()).trained == REPLICAS - REPLICAS // 4
    pd.testing.assert_frame_equal(
        ledger_of(whole).results().drop(columns="cohort"), trained.results().drop(columns="cohort")
    )
