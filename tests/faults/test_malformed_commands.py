"""Words on the command line, and an environment, that cannot be meant: one message each, and nothing is written."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli

from ..typed import Ganbench
from .commands import HANGS
from .refusals import everything, problem

ROOT = Path(__file__).parents[2]
SMOKE = ("--scale", "smoke", "--dry-run")

REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "no such command": (["rnu"], ["ganbench rnu: no such command", "did you mean 'run'"]),
    "a command of control characters": (["\x1b[2J"], ["no such command", "Valid: .*run"]),
    "no such option": (["run", "--sede", "3"], ["--sede: no such option", "did you mean '--seeds'"]),
    "no such option at all": (["run", "-x"], ["-x: no such option", "Valid: .*--seeds"]),
    "an option of no command": (["--jsno"], ["--jsno: no such option", "--help"]),
    "an option without its value": (["run", "--seeds"], ["--seeds", "--help"]),
    "a value for a flag": (["studies", "--json=3"], ["--json", "--help"]),
    "a word too many": (["studies", "more"], ["ganbench studies", "more"]),
    "a word too few": (["show"], ["ganbench show", "replica"]),
    "no seeds": (["run", "gaussian", "--seeds", "0"], ["--seeds", "greater than or equal to 1|x>=1"]),
    "fewer seeds than none": (["run", "gaussian", "--seeds", "-1"], ["--seeds", "greater than or equal to 1|x>=1"]),
    "seeds that are no number": (["run", "gaussian", "--seeds", "many"], ["--seeds", "integer"]),
    "half a seed": (["run", "gaussian", "--seeds", "1.5"], ["--seeds", "integer"]),
    "more seeds than there are": (
        ["run", "gaussian", *SMOKE, "--seeds", str(10**30)],
        ["--seeds", "at most 50,000 seeds"],
    ),
    "seeds of thousands of digits": (["run", "gaussian", "--seeds", "9" * 5000], ["--seeds"]),
    "no workers": (["run", "gaussian", "--workers", "0"], ["--workers"]),
    "more workers than any machine has": (["run", "gaussian", "--workers", str(10**9)], ["--workers", "1024"]),
    "another device": (["run", "gaussian", "--device", "tpu"], ["--device tpu", "did you mean 'cpu'"]),
    "another mode": (["run", "gaussian", "--mode", "lop"], ["--mode lop", "did you mean 'loop'"]),
    "another scale": (["run", "gaussian", "--scale", "laptpo"], ["--scale laptpo", "did you mean 'laptop'"]),
    "another scale to read": (["status", "gaussian", "--scale", "laptpo"], ["--scale laptpo", "did you mean 'laptop'"]),
    "a scale of control characters": (["run", "--scale", "\x1b[2J"], ["--scale", "Valid: "]),
    "no trials": (["tune", "tuned-gaussian", "--trials", "0"], ["--trials"]),
    "more trials than can be planned": (["tune", "tuned-gaussian", *SMOKE, "--trials", str(10**9)], ["--trials"]),
    "port 0": (["ui", "--port", "0"], ["--port", "greater than or equal to 1|x>=1"]),
    "a port beyond the last": (["dashboard", "--port", "99999"], ["--port", "65535"]),
    "a port that is no number": (["ui", "--port", "http"], ["--port", "integer"]),
    "no time to measure": (["speed", "--seconds", "0"], ["--seconds"]),
    "less time than none": (["speed", "--seconds", "-5"], ["--seconds"]),
    "time that is no number": (["speed", "--seconds", "nan"], ["--seconds"]),
    "the speed of no system": (["speed", "--system", "b"], ["--system"]),
    "runs in a file": (["run", "gaussian", *SMOKE, "--runs-dir", "afile"], ["afile: no folder"]),
    "runs below a file": (["run", "gaussian", "--scale", "smoke", "--runs-dir", "afile/runs"], ["afile/runs"]),
    "runs behind a link to nothing": (["run", "gaussian", *SMOKE, "--runs-dir", "dangling"], ["dangling: no folder"]),
    "status in a file": (["status", "all", "--runs-dir", "afile"], ["afile: no folder"]),
    "status of nothing": (["status", "all", "--runs-dir", "nowhere"], ["nowhere: no study was run"]),
    "a replica in a file": (["show", "abc", "--runs-dir", "afile"], ["afile: no folder"]),
    "a replica that is none": (["show", "abc"], ["abc: no finished replica"]),
    "a replica without a name": (["show", ""], ["'': no finished replica"]),
    "a report in a file": (["report", "all", "--runs-dir", "afile"], ["afile: no folder"]),
    "health of a file": (["doctor", "--runs-dir", "afile"], ["afile: no folder"]),
    "pages of a file": (["ui", "--runs-dir", "afile"], ["afile: no folder"]),
    "data in a file": (["run", "mnist", *SMOKE, "--data-dir", "afile"], ["afile: no folder"]),
    "data behind a link to nothing": (["run", "mnist", *SMOKE, "--data-dir", "dangling"], ["dangling: no folder"]),
    "two files to compare": (["compare", "afile", "afile"], ["afile: no plan.json"]),
    "a file and nothing to compare": (["compare", "nowhere", "afile"], ["nowhere: no plan.json"]),
    "a new study outside": (["new", "../x"], ["../x: expected a name"]),
    "a new study without a name": (["new", ""], ["expected a name"]),
    "a new study over another": (["new", "mine"], ["mine.toml: there is a file"]),
    "a new study of ganbench's words": (["new", "all"], ["all: a word of ganbench's own"]),
    "pages of nothing": (["ui"], ["runs: no mlflow.db"]),
    "a store that is no address": (["run", "gaussian", *SMOKE, "--tracking-uri", "htp://x"], ["--tracking-uri"]),
    "trials at no address": (["dashboard", "--storage", "htp://x"], ["htp://x"]),
    "trials nowhere": (["dashboard", "--storage", "sqlite:////nowhere/at/all.db"], ["/nowhere/at/all.db"]),
    "trials in a file of others": (["dashboard", "--storage", "afile"], ["afile"]),
    "trials in no file": (["dashboard", "--storage", "nothing"], ["nothing"]),
    "a plugin that is none": (["run", "gaussian", *SMOKE, "--plugin", "nowhere"], ["--plugin nowhere"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(case: str, ganbench: Ganbench, tmp_path: Path) -> None:
    words, places = REFUSED[case]
    (tmp_path / "afile").write_text("hello\n")
    (tmp_path / "mine.toml").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    before = everything(tmp_path)
    assert not problem(ganbench(*words), *places)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "command", sorted(c.name or c.callback.__name__ for c in cli.app.registered_commands if c.callback)
)
def test_every_command_names_the_nearest_of_its_options(command: str, ganbench: Ganbench) -> None:
    assert not problem(
        ganbench(command, "--hlep"), f"ganbench {command} --hlep: no such option", "did you mean '--help'"
    )


def test_without_words_there_is_the_help(ganbench: Ganbench) -> None:
    said = ganbench()
    assert "Commands" in said.out and said.err == ""


def test_a_port_that_is_taken_is_told(ganbench: Ganbench, tmp_path: Path) -> None:
    (tmp_path / "optuna.log").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ganbench("dashboard", "--storage", "optuna.log", "--port", str(port))
    assert said.code == 2 and f"--port {port}: cannot be listened on" in said.err and "expected a free port" in said.err


IN_A_FILE = {"GAN_DATA_DIR": [["run", "mnist", *SMOKE]]}
IN_A_FILE["GAN_RUNS_DIR"] = [["run", "gaussian", *SMOKE], ["status", "gaussian"], ["show", "abc"], ["ui"]]


@pytest.mark.parametrize("name", IN_A_FILE)
def test_a_file_for_a_folder_is_refused_from_the_environment_too(
    name: str, ganbench: Ganbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "afile").touch()
    monkeypatch.setenv(name, "afile")
    for words in IN_A_FILE[name]:
        assert not problem(ganbench(*words), "afile(: no| is no) folder")


def test_data_that_are_nowhere_are_left_out_by_name(
    ganbench: Ganbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_DATA_DIR", "nowhere")
    said = ganbench("run", *SMOKE)
    assert said.code == 0 and "mnist: left out, its files are not in nowhere" in said.err
    assert list(tmp_path.iterdir()) == []


def spoken(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, in another environment."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    line = [sys.executable, "-m", "benchmarks.cli", *words]
    return subprocess.run(
        line, cwd=cwd, capture_output=True, env={**known, "PYTHONPATH": str(ROOT), **environment}, timeout=HANGS
    )


PLAIN = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_locale_without_our_letters_gets_the_same_json(tmp_path: Path) -> None:
    plain = spoken("studies", "--json", cwd=tmp_path, **PLAIN)
    assert plain.returncode == 0 and plain.stdout.isascii(), plain.stderr
    assert json.loads(plain.stdout) == json.loads(spoken("studies", "--json", cwd=tmp_path, PYTHONUTF8="1").stdout)


def test_a_locale_without_our_letters_gets_messages(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("title = 'Größe'\nquestion = 'ok'\nlöss = 1\n", encoding="utf-8")
    refused = spoken("run", "mine.toml", "--dry-run", cwd=tmp_path, **PLAIN)
    assert refused.returncode == 2 and b"Traceback" not in refused.stderr
    assert refused.stderr.isascii() and refused.stderr.startswith(b"error: mine.toml: ")


@pytest.mark.faults
def test_threads_that_are_no_number_stop_nothing(tmp_path: Path) -> None:
    # Each worker sets its own number; what the environment says is for others.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "many")
    done = spoken("doctor", "--json", cwd=tmp_path, **threads)
    assert done.returncode in (0, 1) and b"Traceback" not in done.stderr
    assert {check["name"]: check["status"] for check in json.loads(done.stdout)}["torch"] == "ok"
