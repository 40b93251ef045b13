"""A run against a real tracking server that is killed and started again: in the end each replica has one run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import SCALE, STUDY, environment, ganbench, run_directory, start, write_study
from .servers import TrackingServer

pytestmark = pytest.mark.faults


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    server = TrackingServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_a_study_of_200_replicas_survives_a_server_killed_three_times(server: TrackingServer, tmp_path: Path) -> None:
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
    print(json.dumps({"syncs": len(doings) - 1, "before": before, "synced": synced, "after": figures}))
    assert (synced[0]["there"], synced[0]["missing"]) == (200, 0)
    assert (synced[1]["created"], synced[1]["removed"]) == (0, 0)
    assert figures["replicas"] == figures["distinct"] == figures["finished"] == 200
    assert (figures["unfinished"], figures["metrics_twice"], figures["orphans"]) == (0, 0, 0)
    kept = [path.read_bytes() for path in run_directory(folder, name).rglob("*.json")]
    assert not any(b"p%40ss" in content or b"p@ss" in content for content in [*kept, (tmp_path / "said").read_bytes()])
    assert "GAN_DATA_DIR" not in environment()
