"""Studies on a Ray cluster of two nodes: the results are those of one machine, whatever ends on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..faults import commands
from ..faults.contents import contents_of, differences, left_behind
from ..faults.kills import Study, undisturbed
from ..faults.test_interrupts import ended, press, stopped_well
from ..faults.test_two_at_once import copied, wait_until
from .cluster import DOINGS, Start

pytestmark = [
    pytest.mark.integration,
    # Ray's own: it leaves the logs open that it starts a node's processes with.
    pytest.mark.filterwarnings("ignore:Exception ignored in.*/logs/ray_:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file.*/logs/ray_:ResourceWarning"),
]
ADDRESS = "--address"
PATIENCE = 480.0  # seconds, where a command takes one minute on a quiet machine


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of four cohorts, run by the local engine."""
    return undisturbed(tmp_path_factory.mktemp("alone"), seeds="16")


def typed(study: Study, address: str) -> list[str]:
    return [*study.typed, "--engine", "ray", ADDRESS, address]


def same(study: Study, folder: Path) -> None:
    """Hold that a run ended as the local engine's, file by file, and left nothing else."""
    directory = commands.run_directory(folder)
    assert differences(study.truth, contents_of(directory)) == [] and left_behind(directory) == []
    for file in ("plan.json", "references.json", "report/report.md", "report/results.csv"):
        assert (directory / file).read_bytes() == (commands.run_directory(study.folder) / file).read_bytes()


def session_of(folder: Path) -> dict[str, Any]:
    return json.loads((commands.run_directory(folder) / "provenance.json").read_text())["sessions"][-1]


def test_two_nodes_give_the_results_of_one_machine(alone: Study, start_cluster: Start, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path / "here")
    done = commands.ganbench(folder, *typed(alone, start_cluster().address))
    same(alone, folder)
    session = session_of(folder)
    assert session["engine"] == "ray" and session["workers"] == 2
    assert sum(machine["cohorts"] for machine in session["machines"]) == 4
    assert "raylet" not in done.stderr + done.stdout
    again = commands.ganbench(folder, *alone.typed)  # with the local engine: it is the same run
    assert "nothing to train" in again.stderr


DIES_ONCE = """
import os
import sys

if "--mode=specific-server" in sys.orig_argv:
    try:
        os.mkdir({mark!r})
    except FileExistsError:
        pass
    else:
        os._exit(1)
"""


def test_a_machine_from_outside_can_ask_though_the_first_server_for_it_dies(
    alone: Study, start_cluster: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, starts, mark = copied(alone, tmp_path / "here"), tmp_path / "starts", tmp_path / "died"
    starts.mkdir()
    (starts / "sitecustomize.py").write_text(DIES_ONCE.format(mark=str(mark)), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(starts))
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "10")  # it would be half a minute
        cluster = start_cluster(head={"ray_client_server_port": 23789})
    commands.ganbench(folder, *typed(alone, f"ray://{cluster.address.split(':')[0]}:23789"))
    assert mark.exists()
    same(alone, folder)


def test_the_cohorts_of_a_lost_node_are_trained_elsewhere(alone: Study, start_cluster: Start, tmp_path: Path) -> None:
    folder, cluster = copied(alone, tmp_path / "here"), start_cluster()
    directory, said = commands.run_directory(folder), folder / "said.txt"
    with said.open("wb") as err, commands.start(folder, *typed(alone, cluster.address), err=err) as driver:
        wait_until(lambda: len(list(directory.glob("checkpoints/*/*.safetensors"))) == 2, driver)
        cluster.kill_second()
        assert driver.wait(PATIENCE) == 0, said.read_text()
    same(alone, folder)
    lines = said.read_text()
    assert "was lost" in lines and "tried again" not in lines and "halves" not in lines and "Traceback" not in lines


def test_ctrl_c_keeps_what_is_in_training(alone: Study, start_cluster: Start, tmp_path: Path) -> None:
    folder, cluster = copied(alone, tmp_path / "here"), start_cluster()
    directory, said = commands.run_directory(folder), folder / "said.txt"
    with said.open("wb") as err, commands.start(folder, *typed(alone, cluster.address), err=err) as driver:
        wait_until(lambda: any(directory.glob("checkpoints/*/*.safetensors")), driver)
        press(driver)
        stopped_well(ended(driver, said, 0.0))
    assert any(directory.glob("checkpoints/*/*.safetensors")) and len(list(directory.glob("cohorts/*"))) < 4
    commands.ganbench(folder, *typed(alone, cluster.address))
    same(alone, folder)


POISON = """
import os
import signal
from gan.engine import cohort as real


def train(cohort, data_dir, device, progress, checkpoints):
    if any(replica.id == {poison!r} for replica in cohort.replicas):
        os.kill(os.getpid(), signal.SIGKILL)
    return real.train(cohort, data_dir, device, progress, checkpoints)
"""

COMMAND = """
import functools
import poison
from benchmarks import cli
from benchmarks.engines import ray

ray.RayEngine = functools.partial(ray.RayEngine, train=poison.train)
cli.main()
"""


def run_script(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may import what lies in its folder, and what workers do in tests of the engines."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    path = os.pathsep.join(map(str, [commands.ROOT, DOINGS, folder]))
    return subprocess.run(
        [sys.executable, "script.py", *words],
        cwd=folder,
        env={**commands.environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_the_replica_that_kills_its_worker_is_the_one_that_failed(
    alone: Study, start_cluster: Start, tmp_path: Path
) -> None:
    folder = copied(alone, tmp_path / "here")
    poison = alone.truth.rows[""]["replica"].iloc[5]
    (folder / "poison.py").write_text(POISON.format(poison=poison), encoding="utf-8")
    path = os.pathsep.join(map(str, [commands.ROOT, folder]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        cluster = start_cluster(head={"env_vars": {"PYTHONPATH": path}}, PYTHONPATH=path)
    done = run_script(folder, COMMAND, *typed(alone, cluster.address))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    found = contents_of(commands.run_directory(folder))
    rows = found.rows[""]
    assert rows.loc[rows["status"] == "failed", "replica"].tolist() == [poison]
    others = {f"/{id}" for id in rows["replica"]} - {f"/{poison}"}
    assert differences(alone.truth.of(others), found.of(others)) == []


def other_code(folder: Path) -> str:
    """Return where a copy of this code lies that is not quite the same."""
    for room in ("gan", "benchmarks", "studies", "reports"):
        shutil.copytree(commands.ROOT / room, folder / room)
    with (folder / "gan/model/step.py").open("a", encoding="utf-8") as file:
        file.write("# another\n")
    return str(folder)


def test_a_node_with_other_code_trains_nothing(alone: Study, start_cluster: Start, tmp_path: Path) -> None:
    folder, cluster = copied(alone, tmp_path / "here"), start_cluster(PYTHONPATH=other_code(tmp_path / "other"))
    done = commands.ganbench(folder, *typed(alone, cluster.address))
    (refused,) = [line for line in done.stderr.splitlines() if line.startswith("refused: ")]
    assert "the sha256 of the code in gan/ is" in refused and refused.count(" there, and ") == 1
    same(alone, folder)


def test_where_no_node_can_train_the_command_ends(alone: Study, start_cluster: Start, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path / "here")
    cluster = start_cluster(head={"num_cpus": 0}, PYTHONPATH=other_code(tmp_path / "other"))
    done = commands.ganbench(folder, *typed(alone, cluster.address), check=2)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no machine of the Ray cluster can train" in line and "sha256" in line


SENDING = """
import json
import sys
from pathlib import Path
from benchmarks.engines import ray, ray_cluster
from gan.targets import Images
from worker_doings import cohort_of, honest

ray_cluster.connect(sys.argv[1], 1)
cohorts = [cohort_of([seed], str(seed), target=Images("mnist")) for seed in range(8)]
with ray.RayEngine(train=honest) as engine:
    data = Path("/proc/self/cwd/data")  # the driver's own, which no other process sees under this name
    outcomes = list(engine.run(cohorts, data, "cpu", lambda steps: None))
    found = {"trained": sum(o.result is not None for o in outcomes), "sent": len(engine._sent)}
print(json.dumps(found))
"""


def test_data_are_sent_once_and_kept(start_cluster: Start, tmp_path: Path) -> None:
    from gan.targets import Images

    data, target = Path(os.environ.get("GAN_DATA_DIR", "none")), Images("mnist")
    if not target.available(data):
        pytest.skip("needs MNIST in GAN_DATA_DIR")
    (tmp_path / "data").symlink_to(data.resolve())
    done = run_script(tmp_path, SENDING, start_cluster().address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"trained": 8, "sent": 1}
    kept = tmp_path / "nodes" / "cache" / "sent" / target.digest[:16]
    assert sorted(path.read_bytes() for path in target.files(kept)) == sorted(
        path.read_bytes() for path in target.files(data)
    )


AT_ONCE = """
import sys
from pathlib import Path
from benchmarks.engines import ray, ray_cluster
from worker_doings import cohort_of, tell_for_three_seconds

ray_cluster.connect(sys.argv[1], 1)
with ray.RayEngine(train=tell_for_three_seconds) as engine:
    outcomes = list(engine.run([cohort_of([i], str(i)) for i in range(6)], Path(), "cpu", lambda steps: None))
    spans = [o.result.real["span"] for o in outcomes]
print(max(sum(bool(first <= at < last) for first, last in spans) for at, _ in spans))
"""


def test_no_more_cohorts_train_at_once_than_there_are_cores(start_cluster: Start, tmp_path: Path) -> None:
    done = run_script(tmp_path, AT_ONCE, start_cluster().address)
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


FAKES = {
    "scontrol": 'printf "localhost\\n"',
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
}
"""Slurm's commands, on an allocation of this machine alone."""


def test_the_slurm_script_runs_a_study(alone: Study, tmp_path: Path) -> None:
    folder, programs = copied(alone, tmp_path / "here"), tmp_path / "programs"
    programs.mkdir()
    for name, body in FAKES.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
    (programs / "ganbench").write_text(f'#!/usr/bin/env bash\nexec {sys.executable} -m benchmarks.cli "$@"\n')
    for path in programs.iterdir():
        path.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    allocation = {"SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "2", "PATH": path}
    script = commands.ROOT / "docs" / "slurm" / "study.sbatch"
    done = subprocess.run(
        ["bash", script, *alone.typed[1:]],
        cwd=folder,
        env={**commands.environment(), **allocation},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    same(alone, folder)
