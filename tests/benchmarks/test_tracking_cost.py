"""What the mirror costs: calls a replica, commits that wait for the disk, and what stays in memory."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import sqlalchemy

from benchmarks.tracking import Mirror, tracked
from benchmarks.tracking.holdings import ASKED
from benchmarks.tracking.mirrored import default_tracking_uri
from benchmarks.tracking.store import Store

from .flaky import FlakyStore, Server
from .mirroring import make_history, make_plan, make_results, make_samples, mirror


def calls(seeds: int) -> int:
    plan, store = make_plan(seeds), FlakyStore(Server())
    writer = Mirror(Path("runs"), plan, store=lambda _: store)
    writer.push(make_results(plan), lambda: make_history(plan, points=3), make_samples)
    assert writer.close().warning == ""
    return store.calls


def test_a_replica_costs_four_calls() -> None:
    """It is made, written to in one go, given its files, and ended."""
    assert (calls(seeds=7) - calls(seeds=2)) / (2 * 5) == 4


def test_a_replica_has_at_most_ten_points_a_curve() -> None:
    plan = make_plan(1)
    row = {str(name): value for name, value in make_results(plan).iloc[0].items()}
    curves = tracked.split_curves(make_history(plan, points=60))[row["replica"]]
    points = tracked.metrics(row, curves)
    assert {name: len(points[name]) for name in curves} == dict.fromkeys(curves, 10)
    assert all(points[name][0] == curves[name][0] for name in curves)


def synchronous(uri: str) -> int:
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    engine.dispose()
    return found


def test_only_our_own_database_is_written_behind(runs_dir: Path) -> None:
    """A person's own holds more than a copy of ledgers."""
    mirror(runs_dir, make_plan(1))
    theirs = f"sqlite:///{(runs_dir / 'theirs.db').as_posix()}"
    (runs_dir / "theirs.db").write_bytes((runs_dir / "mlflow.db").read_bytes())
    Store(theirs).client.search_experiments()
    assert [synchronous(uri) for uri in (default_tracking_uri(runs_dir), theirs)] == [0, 2]


class Frame:
    """Something as large as a history, whose end can be watched."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.table = make_history(plan, points=3)


def test_of_a_written_cohort_only_ids_and_scores_stay() -> None:
    plan, store = make_plan(2), FlakyStore(Server())
    writer = Mirror(Path("runs"), plan, store=lambda _: store)
    results, frames = make_results(plan), []
    watched = weakref.ref(results)

    def read() -> Any:
        frames.append(weakref.ref(frame := Frame(plan)))
        return frame.table

    writer.push(results, read, make_samples)
    del results
    stats = writer.close()
    gc.collect()
    assert stats.missing == 0 and watched() is None and [frame() for frame in frames] == [None]
    kept = {"replica", "target", "status", "steps", "ks", "coverage"}
    assert all(set(row) == kept for row in writer._rows.values()) and len(writer._rows) == 4


def test_of_the_runs_of_replicas_only_what_is_asked_again_is_read(runs_dir: Path) -> None:
    mirror(runs_dir, make_plan(1))
    store = Store(default_tracking_uri(runs_dir))
    experiment = store.client.get_experiment_by_name("gaussian")
    assert experiment is not None
    runs = store.runs(experiment.experiment_id, "")
    replicas = [run for run in runs if "replica" in run.tags]
    assert len(replicas) == 2 and all(run.tags.keys() <= set(ASKED) and not run.metrics for run in replicas)
    assert all(run.metrics and run.params for run in runs if "replica" not in run.tags)
