"""Runs against a real tracking server that is killed and started again: in the end each replica has one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.tracking import Mirror
from reports.ledger.records import MirrorRecord, PlanRecord

from .commands import SCALE, STUDY, environment, ganbench, run_directory, start, write_study
from .servers import TrackingServer

pytestmark = pytest.mark.faults

SEEDS, WIDTH = 100, 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    server = TrackingServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def made_up() -> tuple[PlanRecord, pd.DataFrame]:
    """Make a plan of 200 replicas and their results; nothing is trained."""
    variants = ("saturating", "non_saturating")
    replicas = [
        {"id": f"{variant}-{seed}", "variant": f"loss={variant}", "seed": seed}
        for seed in range(SEEDS)
        for variant in variants
    ]
    study = {"name": "made-up", "question": "Is it there?", "scale": SCALE, "steps": 100, "factors": {}, "report": {}}
    rows = [
        {
            "replica": r["id"],
            "study": "made-up",
            "scale": SCALE,
            "target": "gaussian",
            "variant": r["variant"],
            "seed": r["seed"],
        }
        | {"status": "ok", "steps": 100, "train_seconds": 1.0, "ks": 0.1, "variant/loss": r["variant"]}
        for r in replicas
    ]
    settings = {f"loss={variant}": {} for variant in variants}
    plan = {"study": study, "variants": settings, "replicas": replicas, "cohorts": []}
    return PlanRecord.model_validate_json(json.dumps(plan)), pd.DataFrame(rows)


def pushed(uri: str, runs_dir: Path, meanwhile: Callable[[], None] = lambda: None) -> MirrorRecord:
    plan, results = made_up()
    mirror = Mirror(runs_dir, plan, tracking_uri=uri)
    for first in range(0, len(results), WIDTH):
        rows = results.iloc[first : first + WIDTH]
        points = [(id, step, "loss/generator", step / 7) for id in rows["replica"] for step in range(10, 101, 10)]
        history = pd.DataFrame(points, columns=pd.Index(["replica", "step", "metric", "value"]))
        mirror.push(rows, lambda history=history: history)
    meanwhile()
    return mirror.close(timeout=None)


def say(capsys: pytest.CaptureFixture[str], figures: dict[str, Any]) -> None:
    with capsys.disabled():
        print("\n" + json.dumps(figures))


def test_a_server_killed_three_times_has_every_replica_once(
    server: TrackingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def storm() -> None:
        for replicas in (30, 80, 140):
            server.wait_for(replicas)
            server.kill()
            server.start()

    stats = pushed(server.uri, tmp_path, storm)
    figures = server.figures()
    say(capsys, figures | {"created": stats.runs_created, "removed_by_us": stats.removed, "warning": stats.warning})
    for _ in range(2):
        again = pushed(server.uri, tmp_path)
        assert (again.warning, again.missing) == ("", 0)
    figures = server.figures()
    assert figures["replicas"] == figures["distinct"] == figures["finished"] == 2 * SEEDS
    assert (figures["unfinished"], figures["metrics_twice"], figures["orphans"]) == (0, 0, 0)
    # 10 losses, the last score and the seconds it took of each; medians and counts of each variant.
    assert figures["metric_points"] == 2 * SEEDS * 12 + 2 * 3


def test_a_study_of_200_replicas_survives_a_server_killed_three_times(
    server: TrackingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    name = write_study(folder, STUDY, seeds="25", steps="150")
    uri = server.uri.replace("http://", "http://me:p%40ss@")
    where = ["--scale", SCALE, "--tracking-uri", uri]
    with (tmp_path / "said").open("wb") as said:
        study = start(folder, "run", f"{name}.toml", *where, "--workers", "2", "--no-report", err=said, out=said)
        doings = [study]
        for replicas in (20, 70, 120):
            while server.finished() < replicas:
                if doings[-1].poll() is not None:  # it did not wait for the server to come back
                    doings.append(start(folder, "sync", name, *where, err=said, out=said))
                time.sleep(0.05)
            server.kill()
            server.start()
        assert study.wait(300) == 0 and doings[-1].wait(300) in (0, 1, 2)
    before = server.figures()
    synced = [json.loads(ganbench(folder, "sync", name, *where, "--json").stdout)[0] for _ in range(2)]
    figures = server.figures()
    say(capsys, {"syncs": len(doings) - 1, "before": before, "synced": synced, "after": figures})
    assert (synced[0]["there"], synced[0]["missing"]) == (200, 0)
    assert (synced[1]["created"], synced[1]["removed"]) == (0, 0)
    assert figures["replicas"] == figures["distinct"] == figures["finished"] == 200
    assert (figures["unfinished"], figures["metrics_twice"], figures["orphans"]) == (0, 0, 0)
    kept = [path.read_bytes() for path in run_directory(folder, name).rglob("*.json")]
    assert not any(b"p%40ss" in content or b"p@ss" in content for content in [*kept, (tmp_path / "said").read_bytes()])
    assert "GAN_DATA_DIR" not in environment()
