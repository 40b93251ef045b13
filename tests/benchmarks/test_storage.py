"""Storages that cannot be used are refused in one line, and stay as they were."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from benchmarks.machine.lock import locked
from benchmarks.tuning import journal
from benchmarks.tuning.storage import check, dashboard, exclusive, open_storage
from gan.errors import InputError

from .tuned import FEW, Engine, findings, record_of, search_of, tune, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")


def everything(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"space": "[tune.space]\nlr = { low = 1e-4, high = 0.1, log = true }\nbeta1 = { low = 0.0, high = 0.9 }\n"},
         "tune.space.lr.high is 0.01 there and 0.1 here"),
        ({"seeds": "3"}, "tune.seeds is 2 there and 3 here"),
        ({"sampler": '"random"'}, "tune.sampler is 'tpe' there and 'random' here"),
    ],
)  # fmt: skip
def test_another_search_under_the_same_name_is_refused(
    tmp_path: Path, searched: Path, changed: dict[str, str], key: str
) -> None:
    shutil.copytree(searched / "runs", tmp_path / "runs")
    before = everything(tmp_path / "runs")
    with pytest.raises(InputError, match="holds 'made smoke: loss=non_saturating' with another search") as error:
        tune(write(tmp_path, **(FEW | changed)), tmp_path / "runs")
    assert key in str(error.value) and "\n" not in str(error.value)
    assert everything(tmp_path / "runs") == before


def test_a_study_of_somebody_else_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    optuna.create_study(storage=url, study_name="made smoke: loss=saturating").ask()
    before = list(sqlite3.connect(tmp_path / "theirs.db").iterdump())
    with pytest.raises(InputError, match="was not made by ganbench"):
        tune(write(tmp_path), tmp_path / "runs", storage=url)
    assert list(sqlite3.connect(tmp_path / "theirs.db").iterdump()) == before
    assert not (tmp_path / "runs").exists()


UNUSABLE = ["sqlite:////nowhere/at/all.db", "postgresql://me:secret@127.0.0.1:1/trials", "nonsense://", "mysql:/x"]
UNUSABLE += ["me:secret@db/t", "trials.db", "sqlite://", "sqlite:///:memory:"]


@pytest.mark.parametrize("url", UNUSABLE)
def test_a_storage_that_cannot_be_used_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="expected") as error:
        tune(write(tmp_path), tmp_path / "runs", storage=url)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", ["", "hello\n", '{"a": 1}\n', '{"op_code": 99}\n', '{"op_code": 0}\n', "[]\n{}\n", '{"op_code": 0\n']
)
def test_a_file_that_is_no_journal_is_set_aside(tmp_path: Path, searched: Path, content: str) -> None:
    folder = tmp_path / "runs" / "made" / "smoke"
    folder.mkdir(parents=True)
    if content:
        (folder / journal.JOURNAL).write_text(content)
    else:
        (folder / journal.JOURNAL).mkdir()  # a folder in its place
    search, _ = tune(write(tmp_path, **FEW), tmp_path / "runs")
    assert findings(search) == findings(search_of(searched / "made.toml", searched / "runs"))
    aside = folder / "optuna.log.set-aside-1"
    assert aside.read_text() == content if content else aside.is_dir()


def test_a_database_keeps_trials_as_the_journal_does_and_another_run_directory_goes_on_with_them(
    tmp_path: Path, searched: Path
) -> None:
    path, url, engine = write(tmp_path, **FEW), f"sqlite:///{tmp_path}/trials.db", Engine()
    journaled, (kept, _) = (
        search_of(searched / "made.toml", searched / "runs"),
        tune(path, tmp_path / "one", storage=url),
    )
    assert record_of(kept) == record_of(journaled) | {"storage": url, "command": record_of(kept)["command"]}
    assert not (kept.ledger.directory / journal.JOURNAL).exists()
    assert set(optuna.get_all_study_names(url)) == {"made smoke: loss=non_saturating", "made smoke: loss=saturating"}
    second, _ = tune(path, tmp_path / "two", engine, storage=url)
    assert findings(second) == findings(kept)
    # The trials are held against their replicas, which are trained again for that.
    assert second.ledger.search().finished() == kept.ledger.search().finished() <= set(engine.asked)


def test_a_second_driver_of_a_database_is_refused(tmp_path: Path) -> None:
    path, url, engine = write(tmp_path, **FEW), f"sqlite:///{tmp_path}/trials.db", Engine()
    with exclusive(url, "a search"):
        with pytest.raises(InputError, match="another driver is searching there; expected one at a time") as error:
            tune(path, tmp_path / "runs", engine, storage=url)
        assert "\n" not in str(error.value) and not engine.asked and not (tmp_path / "trials.db").exists()
    tune(path, tmp_path / "runs", engine, storage=url)


@pytest.mark.parametrize("url", ["sqlite:///{}/trials.db", "sqlite+pysqlite:///{}/trials.db"])
def test_a_fresh_database_is_made_when_trials_are_written(tmp_path: Path, url: str) -> None:
    database = tmp_path / "trials.db"
    for place in (url.format(tmp_path), None):
        check(tmp_path / "not" / "there", place, {"a": {}})
    assert list(tmp_path.iterdir()) == []
    database.touch()  # as a server's new database: it is there, and has no tables
    check(tmp_path, url.format(tmp_path), {"a": {}})
    assert database.read_bytes() == b""
    assert open_storage(tmp_path, url.format(tmp_path), print).get_all_studies() == []


def test_the_dashboard_opens_no_journal_that_it_would_spoil(
    tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("optuna_dashboard.run_server", lambda *_, **__: done.append("served"))
    with pytest.raises(InputError, match="no such journal"):
        dashboard(str(tmp_path / "none.log"), "127.0.0.1", 1, lambda: done.append("said"))
    with pytest.raises(InputError, match="no trials there"):
        dashboard(f"sqlite:///{tmp_path}/none.db", "127.0.0.1", 1, lambda: done.append("said"))
    assert everything(tmp_path) == {}
    log = shutil.copy(searched / "runs" / "made" / "smoke" / journal.JOURNAL, tmp_path)
    whole = Path(log).read_bytes()
    Path(log).write_bytes(whole + b'{"op_co')
    dashboard(str(log), "127.0.0.1", 1, lambda: done.append("said"))
    assert done == ["said", "served"] and Path(log).read_bytes() == whole


def test_one_process_writes_at_a_time_and_the_lock_dies_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from benchmarks.machine.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match="another process is running there"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path), locked(tmp_path / ".."):
        pass


LINE = b'{"op_code": 0}\n'


@pytest.mark.parametrize("content", [b"", LINE, LINE * 2])
@pytest.mark.parametrize("torn", [b"", b"tw"])
def test_a_torn_line_is_cut_off_and_a_whole_journal_left_alone(tmp_path: Path, content: bytes, torn: bytes) -> None:
    log = tmp_path / journal.JOURNAL
    log.write_bytes(content + torn)
    assert ("was cut short" in journal.repair(log)) == bool(torn)
    assert everything(tmp_path) == {journal.JOURNAL: content}
