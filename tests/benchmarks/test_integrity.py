"""A run directory is mended before it is trained on: what is damaged is set aside, and what is sound stays."""

from __future__ import annotations

import errno
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.upkeep import integrity
from benchmarks.upkeep.integrity import repair
from gan.errors import InputError
from gan.replica import digest_of
from reports.ledger.ledger import HISTORY, Ledger
from reports.ledger.records import PlannedCohort, decided_by
from reports.ledger.shared import write_references

IDS = [f"{i:016x}" for i in range(4)]
STUDY = {"name": "made", "scale": "smoke", "steps": 1, "factors": {}, "report": {}}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "made" / "smoke")
    made.open_for_writing()
    cohort: dict[str, Any] = {"id": digest_of(IDS), "mode": "vmap", "compiled": False, "width": 4, "replicas": IDS}
    plan: dict[str, Any] = {"study": STUDY, "variants": {"base": {}}, "cohorts": [cohort], "retired": []}
    plan["replicas"] = [{"id": id, "variant": "base", "seed": i} for i, id in enumerate(IDS)]
    made.write_json("plan.json", plan | {"decided": decided_by([PlannedCohort(**cohort)], [])})
    rows = pd.DataFrame({"replica": IDS, "status": "ok", "ks": np.linspace(0, 1, 4)})
    history = pd.DataFrame([(id, 1, "score/ks", 0.5) for id in IDS], columns=pd.Index(HISTORY))
    arrays = {f"{id}/final": np.ones((3, 1), np.float32) for id in IDS}
    made.write_cohort(cohort["id"], rows, history, arrays, arrays)
    write_references(made, {"ks": {"label": "KS", "direction": "lower"}}, {"images": np.ones((2, 4), np.uint8)})
    made.write_json("provenance.json", {"sessions": [], "mlflow": {}})
    return made


def files(ledger: Ledger) -> dict[str, bytes]:
    found = (path for path in ledger.directory.rglob("*") if path.is_file())
    return {path.relative_to(ledger.directory).as_posix(): path.read_bytes() for path in found}


def test_a_sound_run_is_left_alone(ledger: Ledger) -> None:
    before = files(ledger)
    assert repair(ledger) == [] and files(ledger) == before


@pytest.mark.parametrize("part", ["cohorts", "history", "samples", "weights", "digests"])
def test_no_bit_of_a_cohort_is_trusted_or_lost(ledger: Ledger, part: str) -> None:
    """Of flips anywhere, whatever a decoder makes of them."""
    path, rng = ledger.file(part, digest_of(IDS)), random.Random(part)
    sound, before = path.read_bytes(), files(ledger)
    for _ in range(25):
        for name, content in before.items():
            (ledger.directory / name).write_bytes(content)
        damaged = bytearray(sound)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert isinstance(ledger.begun(), tuple) and isinstance(ledger.inspect(), dict)  # what is planned before
        said = repair(ledger)
        assert any(str(path) in line for line in said) or path.read_bytes() == bytes(damaged)
        kept = [p.read_bytes() for p in path.parent.iterdir() if p.name.startswith(path.name)]
        assert bytes(damaged) in kept  # set aside or, of digests that say nothing else, as it was
        if part != "digests":
            assert ledger.finished() == set() and said
        elif ledger.finished():
            assert ledger.finished() == set(IDS)
        for aside in ledger.directory.rglob("*.set-aside-*"):
            aside.unlink()


def test_how_a_cohort_was_to_be_trained_is_not_trusted_either(ledger: Ledger) -> None:
    path = ledger.directory / "plan.json"
    sound = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [{"width": 5}, {"width": "4"}, {"width": 2}, {"mode": "loop"}, {"mode": "vmaq"}]
    for change in [*changes, {"compiled": True}, {"compiled": "no"}, {"id": "0" * 16}, {"replicas": IDS[:3]}]:
        plan = {**sound, "cohorts": [{**sound["cohorts"][0], **change}]}
        path.write_text(json.dumps(plan))
        assert ledger.begun() == (None, set())
        (line,) = repair(ledger)
        assert "plan.json" in line and "planned again" in line and not path.exists()


def test_a_passing_trouble_with_reading_changes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(path: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    before = files(ledger)
    monkeypatch.setattr(integrity, "digest", trouble)
    with pytest.raises(InputError, match="cannot be read \\(Too many open files\\)"):
        repair(ledger)
    assert files(ledger) == before


def test_cleaned_weights_cost_no_training(ledger: Ledger) -> None:
    ledger.file("weights", digest_of(IDS)).unlink()
    assert repair(ledger) == [] and ledger.finished() == set(IDS)


def test_digests_of_before_there_were_any_are_made(ledger: Ledger) -> None:
    path = ledger.file("digests", digest_of(IDS))
    before = json.loads(path.read_text())
    path.unlink()
    assert repair(ledger) == [] and json.loads(path.read_text()) == before


def test_checkpoints_go_but_not_what_was_set_aside_nor_what_is_kept_for_later(ledger: Ledger) -> None:
    folder = ledger.directory / "checkpoints"
    names = ["a/0.safetensors", "a/.0.safetensors.99.tmp", "b/0.safetensors", "b/0.safetensors.set-aside-1"]
    for name in [*names, "later/0.safetensors"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    ledger.drop_checkpoints(but=["later"])
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == ["b/0.safetensors.set-aside-1", "later/0.safetensors"] and not (folder / "a").exists()
