"""The local engine's processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import os, time
from benchmarks.engines.local import LocalEngine

if __name__ == "__main__":
    with LocalEngine(1) as engine:
        print(engine._pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_coordinator_leaves_no_worker_behind(tmp_path: Path) -> None:
    script = tmp_path / "coordinator.py"  # a file: workers import the main module again
    script.write_text(SCRIPT, encoding="utf-8")
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env) as coordinator:
        assert coordinator.stdout is not None
        worker = int(coordinator.stdout.readline())
        assert lives(worker)
        coordinator.kill()
    deadline = time.monotonic() + 30
    while lives(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not lives(worker)
