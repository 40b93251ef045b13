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

from gan.targets import Images

from ..faults import commands
from ..faults.contents import contents_of, differences, left_behind
from ..faults.kills import Study, undisturbed
from ..faults.test_interrupts import ended, press, stopped_well
from ..faults.test_two_at_once import copied, starts_training, wait_until
from .cluster import DOINGS, Nodes

pytestmark = [
    pytest.mark.integration,
    # Ray's own: it leaves the logs open that it starts a node's processes with.
    pytest.mark.filterwarnings("ignore:Exception ignored in.*/logs/ray_:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file.*/logs/ray_:ResourceWarning"),
]
PATIENCE = 480.0  # seconds, where a command takes half a minute on a quiet machine
STUDY = commands.STUDY.replace('latent = ["uniform", "normal"]', 'discriminator_norm = ["none", "batch"]')
"""Four cohorts of 4 replicas."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that the local engine ran. A report follows from the tables."""
    return undisturbed(tmp_path_factory.mktemp("alone"), "--no-report", study=STUDY, workers=1, steps="120")


def typed(study: Study, address: str) -> list[str]:
    return [*study.typed, "--engine", "ray", "--address", address]


def same(study: Study, folder: Path) -> None:
    """Hold that a run ended as the local engine's, and left nothing else."""
    directory = commands.run_directory(folder)
    assert differences(study.truth, contents_of(directory)) == [] and left_behind(directory) == []


@pytest.fixture(scope="module")
def other_code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Copy this code, and change it."""
    folder = tmp_path_factory.mktemp("other")
    for room in ("gan", "benchmarks", "studies", "reports"):
        shutil.copytree(commands.ROOT / room, folder / room, ignore=shutil.ignore_patterns("published", "__pycache__"))
    with (folder / "gan/model/step.py").open("a", encoding="utf-8") as file:
        file.write("# another\n")
    return str(folder)


def test_two_nodes_give_the_results_of_one_machine_and_one_with_other_code_trains_nothing(
    alone: Study, nodes: Nodes, other_code: str, tmp_path: Path
) -> None:
    folder, third = copied(alone, tmp_path / "here"), nodes.add(PYTHONPATH=other_code)
    done = commands.ganbench(folder, *typed(alone, nodes.address))
    nodes.kill(third)
    same(alone, folder)
    session = json.loads((commands.run_directory(folder) / "provenance.json").read_text())["sessions"][-1]
    assert session["engine"] == "ray" and session["workers"] == 3
    assert sum(machine["cohorts"] for machine in session["machines"]) == 4
    assert "raylet" not in done.stderr + done.stdout
    (refused,) = [line for line in done.stderr.splitlines() if line.startswith("refused: ")]
    assert "the sha256 of the code in gan/ is" in refused and refused.count(" there, and ") == 1


def test_where_no_node_can_train_the_command_ends(alone: Study, nodes: Nodes, other_code: str, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path / "here")
    done = commands.ganbench(folder, *typed(alone, nodes.address), check=2, PYTHONPATH=other_code)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no machine of the Ray cluster can train" in line and "sha256" in line


def test_the_cohorts_of_a_lost_node_are_trained_elsewhere(alone: Study, nodes: Nodes, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path / "here")
    directory, said = commands.run_directory(folder), folder / "said.txt"
    with said.open("wb") as err, commands.start(folder, *typed(alone, nodes.address), err=err) as driver:
        wait_until(lambda: len(list(directory.glob("checkpoints/*/*.safetensors"))) == 2, driver)
        nodes.kill(nodes.second)
        nodes.second = nodes.add()
        assert driver.wait(PATIENCE) == 0, said.read_text()
    same(alone, folder)
    lines = said.read_text()
    assert "was lost" in lines and "tried again" not in lines and "halves" not in lines and "Traceback" not in lines


def test_ctrl_c_keeps_what_is_in_training_for_whichever_engine(alone: Study, nodes: Nodes, tmp_path: Path) -> None:
    folder = copied(alone, tmp_path / "here")
    directory, said = commands.run_directory(folder), folder / "said.txt"
    with said.open("wb") as err, commands.start(folder, *typed(alone, nodes.address), err=err) as driver:
        starts_training(directory, driver)
        press(driver)
        stopped_well(ended(driver, said, 0.0))
    assert any(directory.glob("checkpoints/*/*.safetensors")) and len(list(directory.glob("cohorts/*"))) < 4
    commands.ganbench(folder, *alone.typed)
    same(alone, folder)


DRIVER = """
import json
import sys
from pathlib import Path
import worker_doings
from benchmarks.engines import ray, ray_cluster
from gan.targets import make_target

address, train, target, data, *cohorts = sys.argv[1:]
ray_cluster.connect(address, 1)
more = {"target": make_target(target)}
made = [worker_doings.cohort_of([int(seed) for seed in seeds.split(",")], seeds, **more) for seeds in cohorts]
with ray.RayEngine(train=getattr(worker_doings, train)) as engine:
    found = {"trained": [], "failed": [], "spans": []}
    for outcome in engine.run(made, Path(data), "cpu", lambda steps: None):
        seeds = [replica.seed for replica in outcome.cohort.replicas]
        found["failed" if outcome.result is None else "trained"] += seeds
        found["spans"] += [] if outcome.result is None else [list(outcome.result.real.get("span", ()))]
    found["sent"] = len(engine._sent)
print(json.dumps(found))
"""


def driven(
    address: str, folder: Path, train: str, *cohorts: str, target: str = "gaussian", data: str = ""
) -> dict[str, Any]:
    """Hand cohorts, of which their seeds are given, to the engine; return what it did with them.

    Args:
        address: Of the cluster.
        folder: The driver's.
        train: What tasks do, a function of `worker_doings`.
        *cohorts: The seeds of each, with commas.
        target: Of all.
        data: A torchvision root.
    """
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, address, train, target, data, *cohorts],
        cwd=folder,
        env={**commands.environment(), "PYTHONPATH": os.pathsep.join(map(str, [commands.ROOT, DOINGS]))},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_machine_from_outside_can_ask_though_the_first_server_for_it_dies(nodes: Nodes, tmp_path: Path) -> None:
    assert driven(nodes.from_outside, tmp_path, "honest", "0,1", "2")["trained"] == [0, 1, 2]
    assert nodes.mark.exists()


def test_the_replica_that_kills_its_worker_is_the_one_that_failed(nodes: Nodes, tmp_path: Path) -> None:
    found = driven(nodes.address, tmp_path, "kill_at_seed_3", "0,1,2,3", "4,5")
    assert (sorted(found["trained"]), found["failed"]) == ([0, 1, 2, 4, 5], [3])


def test_data_are_sent_once_and_kept(nodes: Nodes, tmp_path: Path) -> None:
    data, target = Path(os.environ.get("GAN_DATA_DIR", "none")), Images("mnist")
    if not target.available(data):
        pytest.skip("needs MNIST in GAN_DATA_DIR")
    (tmp_path / "data").symlink_to(data.resolve())
    # The driver's own folder, which no other process sees under this name.
    found = driven(nodes.address, tmp_path, "honest", *"01234567", target="mnist", data="/proc/self/cwd/data")
    assert (sorted(found["trained"]), found["sent"]) == ([*range(8)], 1)
    kept = nodes.folder / "cache" / "sent" / target.digest[:16]
    assert sorted(path.read_bytes() for path in target.files(kept)) == sorted(
        path.read_bytes() for path in target.files(data)
    )


def test_no_more_cohorts_train_at_once_than_there_are_cores(nodes: Nodes, tmp_path: Path) -> None:
    spans = driven(nodes.address, tmp_path, "tell_for_three_seconds", *"0123")["spans"]
    assert max(sum(first <= at < last for first, last in spans) for at, _ in spans) == 2


FAKES = {
    "scontrol": 'printf "localhost\\n"',
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "ganbench": f'exec {sys.executable} -m benchmarks.cli "$@"',
}
"""Slurm's commands, on an allocation of this machine alone; and ours."""


def test_the_slurm_script_runs_a_study(alone: Study, tmp_path: Path) -> None:
    folder, programs = copied(alone, tmp_path / "here"), tmp_path / "programs"
    programs.mkdir()
    for name, body in FAKES.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    allocation = {"SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "2", "PATH": path}
    done = subprocess.run(
        ["bash", commands.ROOT / "docs" / "slurm" / "study.sbatch", *alone.typed[1:]],
        cwd=folder,
        env={**commands.environment(), **allocation},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    same(alone, folder)
