"""From a study file to a ledger, a mirror and a report, through the command line.

One run, with its workers, and one refusal are processes, as a person starts them; the other commands run and train in
this process, which has imported what they need.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import cli
from reports.ledger.ledger import Ledger
from studies import schema

from ..small import small_study
from ..typed import Said
from .here import train_here

LOSSES = 'loss = ["non_saturating", "saturating"]'
NORMS = 'generator_norm = ["none", "batch"]'
STUDY = small_study(LOSSES, NORMS, "lr = [1e-3, 1e30]", factor="loss")


Typed = Callable[..., Said]
"""Runs the command line with these words in the folder `cwd`; it must end with the status `check`."""


def process(*words: str, cwd: Path, check: int = 0, **env: str) -> Said:
    """Run the command line as a process."""
    clean = {k: v for k, v in os.environ.items() if k != "GAN_DATA_DIR"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", *words],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == check, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run the command line in this process, without data."""
    monkeypatch.delenv("GAN_DATA_DIR", raising=False)
    train_here(monkeypatch)

    def run(*words: str, cwd: Path, check: int = 0) -> Said:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["ganbench", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        printed = capsys.readouterr()
        said = Said(int(done.value.code or 0), printed.out, printed.err)
        assert said.code == check, said.err + said.out
        return said

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a small study was run, half of whose replicas diverge."""
    here = tmp_path_factory.mktemp("here")
    (here / "small.toml").write_text(STUDY)
    process("run", "small.toml", "--scale", "smoke", "--workers", "1", cwd=here)
    return here


def ledger_of(here: Path) -> Ledger:
    return Ledger(here / "runs" / "small" / "smoke")


def test_everything_is_recorded(finished: Path) -> None:
    ledger = ledger_of(finished)
    rows = ledger.results()
    assert len(rows) == 16
    assert rows.groupby("variant/lr")["status"].unique().map(list).to_dict() == {1e-3: ["ok"], 1e30: ["diverged"]}
    assert rows.loc[rows["status"] == "ok", "ks"].between(0, 1).all()
    assert rows.loc[rows["status"] == "diverged", "ks"].isna().all()
    assert (rows.loc[rows["status"] == "diverged", "failed_step"] >= 1).all()
    assert set(ledger.history()["replica"]) <= set(rows["replica"])
    assert ledger.references()["ks"].floor == pytest.approx(0.0087, abs=1e-4)
    session = ledger.provenance().sessions[0]
    assert session.trained == 16 and session.versions["torch"] and session.hardware["processor"]


def test_the_mirror_holds_a_parent_a_variant_and_a_child_a_replica(finished: Path) -> None:
    with sqlite3.connect(finished / "runs" / "mlflow.db") as database:
        tags = pd.read_sql("select key, value, run_uuid from tags", database)
    replicas = tags[tags["key"] == "replica"]
    parents = tags[tags["key"] == "mlflow.parentRunId"]
    assert sorted(replicas["value"]) == sorted(ledger_of(finished).results()["replica"])
    assert len(parents) == 16 and parents["value"].nunique() == 8
    assert len(ledger_of(finished).provenance().mlflow.replicas) == 16
    with sqlite3.connect(finished / "runs" / "mlflow.db") as database:
        note = pd.read_sql("select value from experiment_tags where key = 'mlflow.note.content'", database)["value"][0]
        rate = pd.read_sql("select value from params where key = 'lr_discriminator'", database)["value"]
    assert "Which is better?" in note and "reach" in note and "report.md" in note
    assert set(rate.astype(float)) == {1e-3, 1e30}


def test_a_second_run_trains_nothing_and_says_so(finished: Path, typed: Typed) -> None:
    before = {p: p.read_bytes() for p in (finished / "runs" / "small" / "smoke" / "cohorts").iterdir()}
    again = typed("run", "small.toml", "--scale", "smoke", "--no-report", cwd=finished)
    assert "nothing to train" in again.out + again.err
    assert {p: p.read_bytes() for p in (finished / "runs" / "small" / "smoke" / "cohorts").iterdir()} == before


def test_resumed_equals_uninterrupted(finished: Path, tmp_path: Path, typed: Typed) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    resumed, whole = ledger_of(tmp_path / "copy"), ledger_of(finished)
    cohorts = resumed.finished_cohorts()
    assert len(cohorts) > 1
    (resumed.directory / "cohorts" / f"{cohorts[0]}.parquet").unlink()  # as if the run had been killed before it
    words = ("run", "small.toml", "--scale", "smoke", "--tracking-uri", "off", "--workers", "1", "--json")
    (summary,) = json.loads(typed(*words, cwd=tmp_path / "copy").out)
    assert 0 < summary["trained"] < summary["replicas"]
    for name in ("report/report.md", "report/results.csv", "report/scores.png", "report/samples.png"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes(), name


def test_more_seeds_train_only_what_is_new(finished: Path, tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "small.toml").write_text(STUDY)
    run = ("run", "small.toml", "--scale", "smoke", "--tracking-uri", "off")
    words = (*run, "--workers", "1", "--no-report", "--json")
    first = json.loads(typed(*words, "--seeds", "1", cwd=tmp_path).out)
    assert first[0]["trained"] == 8
    second = json.loads(typed(*words, cwd=tmp_path).out)
    assert (second[0]["trained"], second[0]["replicas"]) == (8, 16)
    columns = ["replica", "status", "ks", "loss_discriminator"]
    pd.testing.assert_frame_equal(ledger_of(tmp_path).results()[columns], ledger_of(finished).results()[columns])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, on which no text depends."""
    monkeypatch.setattr("reports.figures.overview.pictures", lambda *_: iter(()))


def test_a_study_in_which_all_diverge_is_a_result(tmp_path: Path, typed: Typed, undrawn: None) -> None:
    (tmp_path / "wild.toml").write_text(STUDY.replace("[1e-3, 1e30]", "[1e30]").replace('"none", "batch"', '"none"'))
    words = ("run", "wild.toml", "--scale", "smoke", "--tracking-uri", "off", "--workers", "1", "--json")
    (summary,) = json.loads(typed(*words, cwd=tmp_path).out)
    assert (summary["diverged"], summary["failed"]) == (4, 0)
    report = Path(tmp_path, summary["report"]).read_text()
    assert "4 turned non-finite" in report and "failed" in report


def test_what_could_not_be_run_is_recorded_and_retried_when_asked(finished: Path, tmp_path: Path, typed: Typed) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    here = tmp_path / "copy"
    ledger = ledger_of(here)
    cohort = ledger.finished_cohorts()[0]
    path = ledger.directory / "cohorts" / f"{cohort}.parquet"
    rows = pd.read_parquet(path)
    rows.assign(status="failed", reason="MemoryError").to_parquet(path, index=False)
    ledger.file("digests", cohort).unlink()  # as if it had been written so
    assert ledger.finished() - ledger.finished(but_failed=True) == set(rows["replica"])
    run = ("run", "small.toml", "--scale", "smoke", "--tracking-uri", "off")
    words = (*run, "--workers", "1", "--no-report", "--json")
    (left,) = json.loads(typed(*words, cwd=here, check=1).out)
    assert (left["trained"], left["failed"]) == (0, len(rows))
    (again,) = json.loads(typed(*words, "--retry-failed", cwd=here).out)
    assert (again["trained"], again["failed"]) == (len(rows), 0)
    columns = ["replica", "status", "ks", "loss_discriminator"]
    pd.testing.assert_frame_equal(ledger.results()[columns], ledger_of(finished).results()[columns])


def test_one_replica_runs_again_exactly(finished: Path, typed: Typed) -> None:
    rows = ledger_of(finished).results()
    id = rows.loc[rows["status"] == "ok", "replica"].iloc[0]
    shown = typed("show", id[:12], cwd=finished)
    assert json.loads(typed("show", id, "--json", cwd=finished).out)["results"]["failed_step"] is None
    assert id in shown.out and "generator_hidden" in shown.out and "--rerun" in shown.out
    same = json.loads(typed("show", id, "--rerun", "--json", cwd=finished).out)
    assert same["equal"] and same["compared"]["ks"]["now"] == rows.set_index("replica").loc[id, "ks"]


def test_status_and_report(finished: Path, typed: Typed) -> None:
    status = json.loads(typed("status", "small", "--scale", "smoke", "--json", cwd=finished).out)
    assert status[0]["total"] == {"ok": 8, "diverged": 8, "failed": 0, "missing": 0}
    compiled = typed("report", "small", "--scale", "smoke", "--out", "elsewhere", cwd=finished)
    assert compiled.err == ""  # nothing is missing
    ours = (finished / "elsewhere" / "report.md").read_bytes()
    assert ours == (finished / "runs/small/smoke/report/report.md").read_bytes()


def test_an_incomplete_report_exits_1_and_says_what_is_missing(
    finished: Path, tmp_path: Path, typed: Typed, undrawn: None
) -> None:
    here = tmp_path / "copy"
    shutil.copytree(finished, here)
    words = ("report", "small", "--scale", "smoke")
    ledger = ledger_of(here)
    cohort = ledger.finished_cohorts()[0]
    path = ledger.directory / "cohorts" / f"{cohort}.parquet"
    left = 16 - len(pd.read_parquet(path))
    path.write_bytes(b"not a table")
    damaged = typed(*words, cwd=here, check=1)
    path.unlink()
    for said in (damaged, typed(*words, cwd=here, check=1)):
        assert f"small: incomplete: {left} of 16 replicas are in the report" in said.err
        assert f"{cohort}.parquet" in said.err
        assert said.out.strip().endswith("report.md")  # what there is, is reported


def test_two_runs_are_set_side_by_side(finished: Path, typed: Typed) -> None:
    run = "runs/small/smoke"
    assert "small" in typed("compare", run, run, cwd=finished).out
    compared = json.loads(typed("compare", run, run, "--json", cwd=finished).out)
    assert isinstance(compared, dict) and compared


def test_all_runs_every_study_that_has_its_data(tmp_path: Path, typed: Typed) -> None:
    done = typed("run", "all", "--scale", "smoke", "--dry-run", "--json", cwd=tmp_path)
    planned = [plan["study"] for plan in json.loads(done.out)]
    ours = {name: schema.load(name) for name in schema.available()}
    needing = {name for name, study in ours.items() if study.target.name == "mnist"}
    assert set(planned) == set(ours) - needing and "system-e" in planned
    default = [ours[name].default for name in planned]
    assert default == sorted(default, reverse=True)  # the default ones first
    for name in needing:
        assert f"{name}: left out" in done.err
    without_names = json.loads(typed("run", "--scale", "smoke", "--dry-run", "--json", cwd=tmp_path).out)
    assert [plan["study"] for plan in without_names] == [name for name in planned if ours[name].default]


def test_new_writes_a_study_that_runs_dry(tmp_path: Path, typed: Typed) -> None:
    typed("new", "mine", cwd=tmp_path)
    plan = json.loads(typed("run", "mine.toml", "--dry-run", "--json", cwd=tmp_path).out)
    assert plan[0]["replicas"] == 6 * 16
    assert not (tmp_path / "runs").exists()
    assert "mine.toml" in typed("new", "mine", cwd=tmp_path, check=2).err


def test_the_doctor_tells_what_works_and_what_to_do(tmp_path: Path, typed: Typed) -> None:
    found = json.loads(typed("doctor", "--json", cwd=tmp_path).out)
    status = {check["name"]: check["status"] for check in found}
    assert status["torch"] == status["data: digits"] == status["classifier: mnist"] == "ok"
    assert status["data: mnist"] == "missing"  # GAN_DATA_DIR is not set here
    assert all(check["remedy"] for check in found if check["status"] != "ok")
    assert list(tmp_path.iterdir()) == []  # a doctor changes nothing


BAD: dict[str, tuple[list[str], list[str]]] = {
    "unknown study": (["run", "gausian"], ["gausian", "did you mean 'gaussian'"]),
    "unknown scale": (["run", "gaussian", "--scale", "smok"], ["--scale smok", "did you mean 'smoke'"]),
    "no CUDA": (["run", "gaussian", "--device", "cuda"], ["--device cuda", "cpu"]),
    "unknown device": (["run", "gaussian", "--device", "gpu"], ["--device gpu", "cuda"]),
    "unknown mode": (["run", "gaussian", "--mode", "vmp"], ["--mode", "vmap"]),
    "zero seeds": (["run", "gaussian", "--seeds", "0"], ["--seeds", "greater"]),
    "unknown option": (["run", "--scal", "smoke"], ["--scal", "--scale"]),
    "missing data set": (["run", "mnist", "--scale", "smoke"], ["mnist", "--data-dir", "digits", "download"]),
    "runs directory is a file": (
        ["run", "gaussian", "--scale", "smoke", "--runs-dir", "afile"],
        ["afile", "no folder"],
    ),
    "status of nothing": (["status", "gaussian"], ["gaussian", "not run yet"]),
    "report of nothing": (["report", "all"], ["runs", "no study"]),
    "unknown replica": (["show", "abc"], ["abc", "no finished replica"]),
    "ui of nothing": (["ui"], ["mlflow.db"]),
    "all and more": (["run", "all", "gaussian"], ["all", "alone"]),
    "a study named all": (["new", "all"], ["all", "another name"]),
    "a study named claims": (["new", "claims"], ["claims", "another name"]),
    "a study of no study": (["run", "published"], ["published", "no such study"]),
    "comparing nothing": (["compare", "here", "there"], ["here", "no plan.json", "run directory"]),
    "comparing one run": (["compare", "here"], ["Missing argument"]),
    "publishing a smoke run": (["report", "all", "--scale", "smoke", "--publish"], ["smoke"]),
    "unknown engine": (["run", "gaussian", "--engine", "rya"], ["did you mean 'ray'? Valid: local, ray."]),
    "an address without Ray": (["tune", "tuned-gaussian", "--address", "auto"], ["--address", "expected --engine ray"]),
    "a share without Ray": (["run", "gaussian", "--gpus-per-cohort", "0.5"], ["--gpus-per-", "expected --engine ray"]),
    "nodes without a dry run": (["run", "gaussian", "--nodes", "4"], ["--nodes 4", "expected --dry-run"]),
    "no address": (["run", "gaussian", "--engine", "ray", "--address", "nowhere"], ["no address; expected auto"]),
    **{
        f"nobody at {scheme}": (
            ["run", "gaussian", "--engine", "ray", "--address", f"{scheme}127.0.0.1:9"],
            ["nobody answers there"],
        )
        for scheme in ("", "ray://")
    },
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_exits_2_with_one_message(
    case: str, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, expected = BAD[case]
    (tmp_path / "afile").write_text("")
    if "--address" in words and "ray" in words:
        pytest.importorskip("ray")
    if case == "no CUDA":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is CUDA here")
    before = sorted(tmp_path.rglob("*"))
    for proxy in ("http_proxy", "https_proxy"):  # no way out of the machine: a download fails at once
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    refused = typed(*words, cwd=tmp_path, check=2)
    for word in expected:
        assert word in refused.err, refused.err
    assert sorted(tmp_path.rglob("*")) == before  # nothing half-written


def test_without_ray_it_is_said_what_to_install(tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = typed("run", "gaussian", "--engine", "ray", cwd=tmp_path, check=2)
    assert 'pip install "gan-stability[ray]"' in refused.err and list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_what_many_machines_take(tmp_path: Path, typed: Typed) -> None:
    words = ("run", "gaussian", "--dry-run", "--nodes", "3", "--workers", "2", "--engine", "ray")
    told = typed(*words, cwd=tmp_path)
    assert "On 3 nodes of 2 workers: 320 replicas in 10 cohorts" in told.out and list(tmp_path.iterdir()) == []


def test_a_read_only_runs_directory_is_refused(tmp_path: Path, typed: Typed) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "writable" in typed("run", "gaussian", "--runs-dir", str(locked), cwd=tmp_path, check=2).err


def test_a_process_refuses_bad_input_too(tmp_path: Path) -> None:
    words, expected = BAD["unknown study"]
    refused = process(*words, cwd=tmp_path, check=2)
    assert len(refused.err.splitlines()) == 1 and all(word in refused.err for word in expected)


def test_corrupt_image_files_are_refused(tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{part}-ubyte.gz").write_bytes(b"not a gzip file")
    monkeypatch.setenv("GAN_CACHE_DIR", str(tmp_path / "cache"))
    refused = typed("run", "mnist", "--scale", "smoke", cwd=tmp_path, check=2)
    assert "ubyte" in refused.err and "MNIST" in refused.err
    assert not (tmp_path / "runs" / "mnist" / "smoke" / "plan.json").exists()
