from __future__ import annotations

from pathlib import Path

from benchmarks.tracking.reported import mirror_report

from .mirroring import client_of, make_plan, mirror, runs_of

FILES = {"report.html": b"<p>It does not.</p>", "untuned/results.csv": b"seed\n0\n"}


def test_the_report_is_a_run_of_its_own_and_there_once(runs_dir: Path) -> None:
    plan = make_plan()
    mirror(runs_dir, plan)
    before = {run.info.run_id for part in runs_of(runs_dir) for run in part}

    def put(files: dict[str, bytes]) -> tuple[str, set[str]]:
        assert mirror_report(files, plan["study"], "It does not.", runs_dir, None) == ""
        parents, children = runs_of(runs_dir)
        (run,) = [run for run in parents if run.data.tags.get("stage") == "report"]
        assert {run.info.run_id for run in [*parents, *children]} == before | {run.info.run_id}
        assert run.data.tags["mlflow.note.content"] == "It does not." and run.info.status == "FINISHED"
        return run.info.run_id, {file.path for file in client_of(runs_dir).list_artifacts(run.info.run_id)}

    first, files = put(FILES)
    assert files == {"report.html", "untuned"}
    assert put(FILES) == (first, files)  # nothing is written that is there
    other, files = put({"report.html": b"<p>It does.</p>"})
    assert other != first and files == {"report.html"}  # in place of the former one
    assert mirror(runs_dir, plan).runs_created == 0  # which the mirror takes no notice of


def test_a_store_that_is_away_is_said_in_one_line_without_its_password(tmp_path: Path) -> None:
    uri = "http://ann:hush@127.0.0.1:9"
    said = mirror_report(FILES, make_plan()["study"], "", tmp_path, uri)
    assert said.startswith("MLflow: the report is not there yet") and "ganbench sync" in said
    assert "\n" not in said and "hush" not in said
