"""Training that was cut short goes on to the very bits of training that was not."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from gan.engine import checkpoint
from gan.engine.checkpoint import Checkpoints
from gan.engine.cohort import train
from gan.errors import Stopped
from gan.replica import Cohort, CohortResult, Replica, Scoring
from gan.targets import Gaussian, Images, Target
from gan.variant import Variant

STEPS = 70  # latents come in blocks of 64: cuts fall before, at and after its end
CUT = 40  # where one cut is enough
NEVER = 1e9  # seconds
IMAGE: dict[str, Any] = {"generator_output": "tanh", "batch_size": 32, "generator_hidden": (32,), "passes": "separate"}

COHORTS: dict[str, tuple[dict[str, Any], Target, dict[str, Any]]] = {
    "plain": ({"batch_size": 32}, Gaussian(), {}),
    "BatchNorm": ({"batch_size": 32, "generator_norm": "batch", "discriminator_norm": "batch"}, Gaussian(), {}),
    "critic steps and a schedule": (
        {"batch_size": 32, "critic_steps": 3, "schedule": "linear", "penalty": "wgan_gp", "loss": "wasserstein"},
        Gaussian(),
        {"scoring": Scoring(evaluations=4, split="both")},
    ),
    "a loop": ({"batch_size": 32}, Gaussian(), {"mode": "loop", "width": 1}),
    "images": ({**IMAGE, "discriminator": "conv", "discriminator_channels": (4, 8)}, Images("digits"), {}),
}


def cohort_of(settings: dict[str, Any], target: Target, **changes: Any) -> Cohort:
    replicas = tuple(Replica(f"{seed}", Variant(**settings), seed) for seed in range(2))
    given: dict[str, Any] = dict(steps=STEPS, scoring=Scoring(evaluations=3), mode="vmap", compiled=False, width=3)
    return Cohort(id="test", replicas=replicas, target=target, **(given | changes))


def at(step: int) -> Callable[[], bool]:
    """Say stop at the step with this number, counted over all that a process trains."""
    calls = itertools.count()
    return lambda: next(calls) == step


def cut_short(cohort: Cohort, folder: Path, step: int) -> None:
    with pytest.raises(Stopped):
        train(cohort, Path(), "cpu", checkpoints=Checkpoints(folder, NEVER, at(step)))


def finished(cohort: Cohort, folder: Path) -> tuple[CohortResult, list[str], int]:
    """Train to the end; return also what was noted, and how many replica-steps were behind it when it began."""
    told, notes = list[int](), list[str]()
    result = train(cohort, Path(), "cpu", told.append, Checkpoints(folder, NEVER, note=notes.append))
    assert sum(told) == cohort.steps * len(cohort.replicas)
    return result, notes, told[0]


@cache
def undisturbed(cohort: Cohort) -> CohortResult:
    return train(cohort, Path(), "cpu")


def as_undisturbed(result: CohortResult, cohort: Cohort) -> None:
    """Hold a result against that of the same cohort, trained without a cut."""
    other = undisturbed(cohort)
    assert result.references == other.references
    for a, b in zip(result.replicas, other.replicas, strict=True):
        assert a.row["train_seconds"] > 0
        rows = ({**row, "train_seconds": None} for row in (a.row, b.row))
        assert len({repr(row) for row in rows}) == 1 and repr(a.history) == repr(b.history)  # NaN is itself here
        assert a.samples.keys() == b.samples.keys() and a.weights.keys() == b.weights.keys()
        for left, right in ((a.samples, b.samples), (a.weights, b.weights)):
            for name in left:
                assert left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes()


@pytest.mark.parametrize("name", COHORTS)
def test_what_was_cut_short_ends_with_the_bits_of_what_was_not(name: str, tmp_path: Path) -> None:
    settings, target, changes = COHORTS[name]
    cohort = cohort_of(settings, target, **changes)
    for i, cuts in enumerate([(63,), (0, 40, 22)]):
        folder = tmp_path / str(i)
        for step in cuts:
            cut_short(cohort, folder, step)
        result, notes, behind = finished(cohort, folder)
        as_undisturbed(result, cohort)
        assert behind > 0 and not notes


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_what_was_cut_short_ends_with_the_same_bits_compiled(tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32, "generator_norm": "batch"}, Gaussian(), compiled=True)
    for step in (17, 47):
        cut_short(cohort, tmp_path, step)
    as_undisturbed(finished(cohort, tmp_path)[0], cohort)


def test_a_replica_that_diverged_before_the_cut_stays_so_and_changes_no_neighbour(tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32}, Gaussian())
    broken = Replica("broken", Variant(batch_size=32, lr=1e30), 9)
    cohort = Cohort(**{**vars(cohort), "replicas": (*cohort.replicas, broken)})
    cut_short(cohort, tmp_path, CUT)
    result, _, _ = finished(cohort, tmp_path)
    assert [r.row["status"] for r in result.replicas] == ["ok", "ok", "diverged"]
    as_undisturbed(result, cohort)


def test_a_loop_does_not_train_its_first_replica_twice(tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32}, Gaussian(), mode="loop", width=1)
    cut_short(cohort, tmp_path, STEPS + 20)  # in the middle of the second
    assert finished(cohort, tmp_path)[2] == STEPS


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "truncated":
            del content[len(content) // 2 :]
        case "flipped":
            content[-1000] ^= 1
        case "empty":
            content.clear()
        case "header":
            begin = content.index(b"histories")
            content[begin : begin + 9] = b"HISTORIES"
        case _:
            save_file({"x": np.zeros(3)}, path)
            return
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "header", "foreign"])
def test_a_damaged_checkpoint_is_set_aside_and_the_end_is_the_same(how: str, tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32}, Gaussian())
    cut_short(cohort, tmp_path, CUT)
    path = tmp_path / "0.safetensors"
    damage(path, how)
    content = path.read_bytes()
    result, notes, _ = finished(cohort, tmp_path)
    as_undisturbed(result, cohort)
    assert (tmp_path / "0.safetensors.set-aside-1").read_bytes() == content and not path.exists()
    (note,) = notes
    assert str(path) in note


def other_seed(cohort: Cohort) -> Cohort:
    return Cohort(**{**vars(cohort), "replicas": (cohort.replicas[0], Replica("7", Variant(batch_size=32), 7))})


OTHERS: dict[str, tuple[str, Callable[[Cohort], Cohort]]] = {
    "width": ("width differs", lambda cohort: cohort_of({"batch_size": 32}, Gaussian(), width=2)),
    "seed": ("replicas differs", other_seed),
    "place": ("places differs", lambda cohort: dataclasses.replace(cohort, places=(0, 2))),
    # Which the ids of real replicas tell apart already.
    "networks": (
        "other networks",
        lambda cohort: cohort_of({"batch_size": 32, "generator_hidden": (8,)}, Gaussian()),
    ),
}


@pytest.mark.parametrize("which", OTHERS)
def test_a_checkpoint_of_another_training_is_not_used(which: str, tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32}, Gaussian())
    cut_short(cohort, tmp_path, CUT)
    why, change = OTHERS[which]
    other = change(cohort)
    result, notes, _ = finished(other, tmp_path)
    as_undisturbed(result, other)
    (note,) = notes
    assert why in note


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("torch.__version__", "2.11.0+other", "torch differs"),
        ("torch.backends.cpu.get_cpu_capability", lambda: "OTHER", "vectors differs"),
    ],
)
def test_a_checkpoint_of_another_arithmetic_is_not_used(name: str, value: Any, why: str, tmp_path: Path) -> None:
    cohort = cohort_of({"batch_size": 32}, Gaussian())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name, value)
        cut_short(cohort, tmp_path, CUT)
    _, notes, _ = finished(cohort, tmp_path)
    (note,) = notes
    assert why in note


def test_a_checkpoint_is_tensors_and_json(tmp_path: Path) -> None:
    cut_short(cohort_of({"batch_size": 32}, Gaussian()), tmp_path, CUT)
    content = (tmp_path / "0.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8 : 8 + length])
    header = json.loads(described["__metadata__"]["header"])
    assert header["told"]["done"] == described["metrics"]["shape"][0] > CUT
    assert [path.name for path in tmp_path.iterdir()] == ["0.safetensors"]


def test_a_full_disk_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    cohort = cohort_of({"batch_size": 32}, Gaussian())
    notes: list[str] = []
    result = train(cohort, Path(), "cpu", checkpoints=Checkpoints(tmp_path, 0.0, note=notes.append))
    assert notes and all("No space left" in note for note in notes)
    as_undisturbed(result, cohort)


def test_checkpoints_take_at_most_a_fiftieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def slow(path: Path, content: bytes) -> None:
        nonlocal now
        now += 2.0

    monkeypatch.setattr(checkpoint, "write_atomically", slow)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    checkpoints, written = Checkpoints(tmp_path, 1.0), 0
    while now < 2000:
        if checkpoints.due():
            checkpoints.write(0, {}, {}, {})
            written += 1
        now += 0.5
    assert written == pytest.approx(2000 / 102, abs=1)
