"""The ledger is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gan.errors import InputError
from reports.ledger.ledger import HISTORY, Ledger, find_runs
from reports.ledger.shared import has_references, write_references


def write_cohort(ledger: Ledger, cohort: str, replicas: list[str]) -> None:
    rows = pd.DataFrame({"replica": replicas, "status": "ok", "seed": range(len(replicas))})
    rows["failed_step"] = pd.Series([None] * len(rows), dtype="Int64")
    points = [(r, step, metric, float(step)) for r in replicas for metric in ("a", "b") for step in (1, 2)]
    history = pd.DataFrame(points, columns=pd.Index(HISTORY))
    arrays = {f"{r}/final": np.full((2, 1), i, dtype=np.float32) for i, r in enumerate(replicas)}
    ledger.write_cohort(cohort, rows, history, arrays, arrays)


STUDY = {"name": "made", "scale": "smoke", "target": {"name": "gaussian"}, "steps": 1, "scoring": {}}
PLAN = {"study": {**STUDY, "factors": {}, "report": {}}, "variants": {}, "replicas": [], "cohorts": []}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "study" / "smoke")
    made.open_for_writing()
    return made


def test_what_is_written_is_read(ledger: Ledger) -> None:
    assert ledger.finished() == set() and len(ledger.results()) == 0 and ledger.find_plan() is None
    write_cohort(ledger, "two", ["d", "c"])
    write_cohort(ledger, "one", ["b", "a"])
    assert ledger.finished() == {"a", "b", "c", "d"}
    assert ledger.results()["replica"].tolist() == ["a", "b", "c", "d"]
    assert len(ledger.history()) == 16
    assert set(ledger.history(["b"])["metric"]) == {"b"}
    assert np.array_equal(ledger.samples("c")["final"], np.ones((2, 1), dtype=np.float32))
    assert ledger.samples("nobody") == {}
    ledger.write_json("plan.json", PLAN)
    assert ledger.plan().to_json() == PLAN
    assert [r.directory for r in find_runs(ledger.directory.parent.parent)] == [ledger.directory]


def test_a_cohort_is_finished_only_by_its_last_file(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="no space"):
        write_cohort(ledger, "one", ["a"])
    monkeypatch.undo()
    assert ledger.finished() == set()
    assert not [p for p in ledger.directory.rglob("*") if p.is_file()]  # nothing half-written
    write_cohort(ledger, "one", ["a"])
    assert ledger.finished() == {"a"}


def test_a_file_in_the_way_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InputError, match="runs directory cannot be written to"):
        Ledger(tmp_path / "runs" / "study" / "smoke").open_for_writing()


@pytest.mark.parametrize("part", ["cohorts", "history"])
def test_a_damaged_table_is_refused_by_name(ledger: Ledger, part: str) -> None:
    write_cohort(ledger, "one", ["a"])
    path = ledger.directory / part / "one.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"{part}.*one\.parquet"):
        ledger.results() if part == "cohorts" else ledger.history()


def test_a_foreign_json_is_refused_by_name(ledger: Ledger) -> None:
    (ledger.directory / "plan.json").write_text("not JSON")
    with pytest.raises(InputError, match=r"plan\.json"):
        ledger.plan()


def test_real_images_are_kept_and_read(ledger: Ledger) -> None:
    assert ledger.real_images() is None and not has_references(ledger)
    images = np.arange(128, dtype=np.uint8).reshape(2, 64)
    for floor in (10.0, 9.0):  # of which the first stays
        stated = {"label": "Modes", "direction": "higher", "floor": floor}
        write_references(ledger, {"modes": stated}, {"images": images})
    kept = ledger.real_images()
    assert kept is not None and np.array_equal(kept, images)
    assert has_references(ledger) and ledger.references()["modes"].floor == 10.0


FILES = {"cohorts": "cohorts/one.parquet", "history": "history/one.parquet", "samples": "samples/one.safetensors"}
DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_text("no Parquet"),
    "gone": lambda path: path.unlink(),
    "another table": lambda path: pd.DataFrame({"x": [1]}).to_parquet(path),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("part", FILES)
def test_a_tolerant_ledger_names_what_it_cannot_read(ledger: Ledger, part: str, damage: str) -> None:
    write_cohort(ledger, "one", ["a", "b"])
    write_cohort(ledger, "two", ["c"])
    DAMAGE[damage](ledger.directory / FILES[part])
    reader = ledger.tolerant()
    lost, gone = part == "cohorts", (part, damage) == ("cohorts", "gone")
    assert reader.results()["replica"].tolist() == (["c"] if lost else ["a", "b", "c"])
    # A cohort is finished by its row file: without it nothing else of it is read.
    assert set(reader.history()["replica"]) == ({"c"} if part == "history" or gone else {"a", "b", "c"})
    assert (reader.samples("a", "one") == {}) == (part == "samples")
    assert list(reader.samples("c", "two")) == ["final"]
    assert list(reader.unreadable or {}) == ([] if gone else [FILES[part]])
    assert list(ledger.inspect()) == list(reader.unreadable or {})


@pytest.mark.parametrize("part", FILES)
def test_a_run_still_refuses_what_it_cannot_read(ledger: Ledger, part: str) -> None:
    write_cohort(ledger, "one", ["a"])
    (ledger.directory / FILES[part]).write_bytes(b"no Parquet")
    ledger.tolerant().results()
    ledger.inspect()
    with pytest.raises(InputError, match=FILES[part]):
        {"cohorts": ledger.finished, "history": ledger.history, "samples": lambda: ledger.samples("a", "one")}[part]()


def test_a_whole_ledger_has_nothing_to_name(ledger: Ledger) -> None:
    assert ledger.inspect() == {} and ledger.tolerant().results().empty
    write_cohort(ledger, "one", ["a"])
    assert ledger.inspect() == {} and ledger.unreadable is None


def test_a_tolerant_ledger_goes_without_images_and_provenance(ledger: Ledger) -> None:
    for name in ("real.safetensors", "provenance.json"):
        (ledger.directory / name).write_text("no Parquet")
    reader = ledger.tolerant()
    assert reader.real_images() is None and reader.provenance().sessions == []
    assert sorted(reader.unreadable or {}) == ["provenance.json", "real.safetensors"]
    with pytest.raises(InputError, match=r"provenance\.json"):
        ledger.provenance()
    with pytest.raises(InputError, match=r"real\.safetensors"):
        ledger.real_images()
