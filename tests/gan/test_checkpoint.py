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
import torch
from safetensors.numpy import save_file

from gan.engine import checkpoint
from gan.engine.checkpoint import Checkpoints
from gan.engine.cohort import train
from gan.errors import Stopped
from gan.replica import Cohort, CohortResult, Replica, Scoring
from gan.variant import Variant

from .games import GAMES, SMALL, Settings, cohort_of, run_of

STEPS = 70  # latents come in blocks of 64: cuts fall before, at and after its end
CUT = 40  # where one cut is enough
NEVER = 1e9  # seconds

COHORTS: dict[str, tuple[str, Settings]] = {
    "mapped": ("BatchNorm", {"width": 3}),
    "critic steps and a schedule": ("wgan_gp as published", {"scoring": Scoring(evaluations=4, split="both")}),
    "a loop": ("sum", {"mode": "loop", "width": 1}),
    "images": ("images with BatchNorm", {}),
}


def kept_cohort(name: str = "mapped", **changes: Any) -> Cohort:
    game, given = COHORTS[name]
    settings, target = GAMES[game]
    replicas = [Replica(f"{seed}", Variant(**SMALL | settings), seed) for seed in range(2)]
    return cohort_of(replicas, target, **({"steps": STEPS, "scoring": Scoring(evaluations=3)} | given | changes))


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
    cohort = kept_cohort(name)
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
    cohort = kept_cohort(compiled=True)
    for step in (17, 47):
        cut_short(cohort, tmp_path, step)
    as_undisturbed(finished(cohort, tmp_path)[0], cohort)


def test_a_replica_that_diverged_before_the_cut_stays_so_and_changes_no_neighbour(tmp_path: Path) -> None:
    sound = kept_cohort()
    broken = Replica("broken", dataclasses.replace(sound.replicas[0].variant, lr=1e30), 9)
    cohort = dataclasses.replace(sound, replicas=(*sound.replicas, broken))
    cut_short(cohort, tmp_path, CUT)
    result, _, _ = finished(cohort, tmp_path)
    assert [r.row["status"] for r in result.replicas] == ["ok", "ok", "diverged"]
    as_undisturbed(dataclasses.replace(result, replicas=result.replicas[:2]), sound)


def test_a_loop_does_not_train_its_first_replica_twice(tmp_path: Path) -> None:
    cohort = kept_cohort("a loop")
    cut_short(cohort, tmp_path, STEPS + 20)  # in the middle of the second
    assert finished(cohort, tmp_path)[2] == STEPS


# What cannot be gone on from


def other_networks(cohort: Cohort) -> Cohort:
    """Return the same but for its networks, which the ids of real replicas tell apart already."""
    narrower = [
        dataclasses.replace(r, variant=dataclasses.replace(r.variant, generator_hidden=(8,))) for r in cohort.replicas
    ]
    return dataclasses.replace(cohort, replicas=tuple(narrower))


def test_a_checkpoint_of_other_networks_is_set_aside_and_training_begins_anew(tmp_path: Path) -> None:
    cohort = kept_cohort(steps=5, scoring=Scoring(evaluations=1))
    cut_short(other_networks(cohort), tmp_path, 3)
    path = tmp_path / "0.safetensors"
    content = path.read_bytes()
    result, (note,), behind = finished(cohort, tmp_path)
    as_undisturbed(result, cohort)
    assert behind == 0 and str(path) in note and "other networks" in note
    assert (tmp_path / "0.safetensors.set-aside-1").read_bytes() == content and not path.exists()


CHANGES: dict[str, Callable[[Cohort], Cohort]] = {
    "width": lambda cohort: dataclasses.replace(cohort, width=2),
    "replicas": lambda cohort: dataclasses.replace(
        cohort, replicas=(cohort.replicas[0], dataclasses.replace(cohort.replicas[1], id="7"))
    ),
    "places": lambda cohort: dataclasses.replace(cohort, places=(0, 2)),
    "compiled": lambda cohort: dataclasses.replace(cohort, compiled=True),
    "torch": lambda cohort: cohort,
    "vectors": lambda cohort: cohort,
}
ELSEWHERE: dict[str, tuple[str, Any]] = {
    "torch": ("torch.__version__", "2.11.0+other"),
    "vectors": ("torch.backends.cpu.get_cpu_capability", lambda: "OTHER"),
}


@pytest.mark.parametrize("which", CHANGES)
def test_a_checkpoint_of_another_training_or_arithmetic_is_not_used(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, notes = kept_cohort(), list[str]()
    kept = Checkpoints(tmp_path, NEVER, note=notes.append)
    kept.write(0, run_of(cohort)._identity(), {}, {})
    assert kept.read(0, run_of(cohort)._identity()) == ({}, {}) and not notes
    if which in ELSEWHERE:
        monkeypatch.setattr(*ELSEWHERE[which])
    assert kept.read(0, run_of(CHANGES[which](cohort))._identity()) is None
    (note,) = notes
    assert f"{which} differs" in note


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "truncated":
            del content[len(content) // 2 :]
        case "flipped":
            content[-10] ^= 1
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
def test_a_damaged_checkpoint_is_set_aside(how: str, tmp_path: Path) -> None:
    notes: list[str] = []
    kept, path = Checkpoints(tmp_path, NEVER, note=notes.append), tmp_path / "0.safetensors"
    kept.write(0, {"width": 2}, {"histories": [[1, "ks", 0.5]]}, {"state": torch.rand(100)})
    damage(path, how)
    content = path.read_bytes()
    assert kept.read(0, {"width": 2}) is None
    assert (tmp_path / "0.safetensors.set-aside-1").read_bytes() == content and not path.exists()
    (note,) = notes
    assert str(path) in note


def test_a_checkpoint_is_tensors_and_json(tmp_path: Path) -> None:
    cut_short(kept_cohort(steps=5, scoring=Scoring(evaluations=1)), tmp_path, 3)
    content = (tmp_path / "0.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8 : 8 + length])
    header = json.loads(described["__metadata__"]["header"])
    assert header["metadata"]["done"] == described["metrics"]["shape"][0] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["0.safetensors"]


def test_a_full_disk_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    notes: list[str] = []
    cohort = kept_cohort(steps=5)
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
