from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.ledger import Ledger
from gan.errors import InputError
from reports import compile_report, load_results
from reports.answer import answer
from reports.evidence import gather, to_csv
from reports.index import compile_index
from reports.tables import at_level, by_seed_rank, ranking, replicas_table, summarise, variants_table

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, gaussian, digits) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    return {n: compile_report(s, folder / n).parent for n, s in (("gaussian", gaussian), ("digits", digits))}


def copy_of(ledger: Ledger, folder: Path) -> Ledger:
    shutil.copytree(ledger.directory, folder / "run")
    return Ledger(folder / "run")


def rewrite_plan(ledger: Ledger, change: Callable[[dict[str, Any]], None]) -> None:
    plan = ledger.plan()
    change(plan)
    ledger.write_json("plan.json", plan)


def test_compiling_twice_gives_the_same_bytes(published, gaussian, tmp_path: Path) -> None:
    first = published["gaussian"]
    second = compile_report(gaussian, tmp_path / "again").parent
    names = sorted(p.name for p in first.iterdir())
    assert names == sorted(p.name for p in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_order_in_which_cohorts_finished_changes_nothing(gaussian, tmp_path: Path) -> None:
    class Shuffled(Ledger):
        def results(self) -> pd.DataFrame:
            return super().results().sample(frac=1, random_state=3)

    shuffled = Shuffled(gaussian.directory)
    assert to_csv(gather(shuffled).results) == to_csv(gather(gaussian).results)
    assert answer(gather(shuffled)) == answer(gather(gaussian))


@pytest.mark.parametrize("study", ["gaussian", "digits"])
def test_every_figure_is_referenced_and_every_reference_exists(published, study: str) -> None:
    folder = published[study]
    referenced = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (folder / "report.md").read_text())
    assert sorted(referenced) == sorted(p.name for p in folder.glob("*.png"))
    assert 4 <= len(referenced) <= 6
    for link in re.findall(r"\]\(([^)]+)\)", (folder / "report.md").read_text()):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("study", ["gaussian", "digits"])
def test_times_run_ids_and_places_stay_in_the_provenance(published, study: str) -> None:
    folder = published[study]
    secrets = [b"2031-05-06", b"123.456", b"feedbee", b"run-id-of-the-tracker", b"9.87"]
    assert all(secret in (folder / "provenance.json").read_bytes() for secret in secrets[:-1])
    for path in folder.iterdir():
        if path.name != "provenance.json":
            assert not any(secret in path.read_bytes() for secret in secrets), path.name
            assert b"Software" not in path.read_bytes()[:300]


def test_results_csv_has_its_columns_and_every_replica(published, digits) -> None:
    table = pd.read_csv(published["digits"] / "results.csv", keep_default_na=False)
    assert list(table) == [
        "study",
        "scale",
        "target",
        "variant",
        "seed",
        "loss",
        "generator_norm",
        "discriminator",
        "status",
        "steps",
        "loss_discriminator",
        "loss_generator",
        "loss_discriminator_last",
        "loss_generator_last",
        "loss_discriminator_epoch",
        "loss_generator_epoch",
        "value_discriminator",
        "fid_500",
        "modes",
        "hq_share",
        "mode_kl",
        "replica",
    ]
    plan = digits.plan()
    assert table["replica"].tolist() == [r["id"] for r in plan["replicas"]]
    diverged = table[table["status"] == "diverged"]
    assert len(diverged) > 0 and (diverged["fid_500"] == "").all()


def test_a_numeric_factor_stays_numeric(gaussian) -> None:
    assert sorted(gather(gaussian).results["lr_ratio"].unique()) == [0.5, 1, 2]


def test_a_notebook_gets_the_same_table(gaussian) -> None:
    pd.testing.assert_frame_equal(load_results(gaussian.directory), gather(gaussian).results)


def test_a_replica_is_called_what_the_plan_calls_it(small, tmp_path: Path) -> None:
    ledger = copy_of(small, tmp_path)

    def widen(plan: dict[str, Any]) -> None:
        plan["study"]["factors"]["lr_ratio"] = [1]

        def name(old: str) -> str:
            return f"{old} lr_ratio=1"

        plan["variants"] = {name(k): {**v, "lr_ratio": 1.0} for k, v in plan["variants"].items()}
        plan["replicas"] = [{**r, "variant": name(r["variant"])} for r in plan["replicas"]]

    rewrite_plan(ledger, widen)
    evidence = gather(ledger)
    assert len(evidence.results) == 6 and evidence.missing.empty
    assert evidence.results["variant"].str.endswith("lr_ratio=1").all()


def test_failures_count_and_rank_last(digits) -> None:
    evidence = gather(digits)
    rows = digits.results()
    for variant in evidence.variants.index:
        mine = rows[rows["variant"] == variant]
        summary = summarise(evidence, evidence.of(variant))
        assert summary["failures"] == (mine["status"] != "ok").sum()
        assert summary["seeds"] == len(mine) == 10
        as_number = np.median(mine["fid_500"].fillna(1e12))
        expected = as_number if as_number < 1e6 else np.inf
        assert summary["fid_500"][1] == pytest.approx(expected)
        assert by_seed_rank(evidence, variant)["status"].ne("ok").is_monotonic_increasing
    collapsed = [v for v in evidence.variants.index if "loss=saturating" in v and "conv" in v]
    assert set(ranking(evidence)[-len(collapsed) :]) == set(collapsed)
    assert "failed" in variants_table(evidence).tail(len(collapsed)).to_markdown()


def test_a_replica_that_failed_with_a_score_still_counts_as_failed(gaussian) -> None:
    class Broken(Ledger):
        def results(self) -> pd.DataFrame:
            rows = super().results()
            first = self.plan()["replicas"][0]["variant"]
            return rows.assign(status=rows["status"].mask(rows["variant"] == first, "diverged"))

    evidence = gather(Broken(gaussian.directory))
    summary = summarise(evidence, evidence.of(evidence.results["variant"].iloc[0]))
    assert summary["reached"] == 0 and np.isinf(summary["ks"][1])


def test_the_answer_follows_the_data(gaussian) -> None:
    class Swapped(Ledger):
        def results(self) -> pd.DataFrame:
            rows = super().results()
            plan = self.plan()
            place = {(r["variant"], r["seed"]): r["id"] for r in plan["replicas"]}
            other = {"non_saturating": "saturating", "saturating": "non_saturating"}
            rows["variant"] = [
                v.replace(f"loss={loss}", f"loss={other[loss]}")
                for v, loss in zip(rows["variant"], rows["variant/loss"], strict=True)
            ]
            rows["variant/loss"] = rows["variant/loss"].map(other)
            rows["replica"] = [place[v, s] for v, s in zip(rows["variant"], rows["seed"], strict=True)]
            return rows

    plain, swapped = answer(gather(gaussian)), answer(gather(Swapped(gaussian.directory)))
    assert "non_saturating scores better than saturating" in plain
    assert "saturating scores better than non_saturating" in swapped
    assert plain.count(".\n") == 0 and plain.endswith(".")


def test_the_answer_says_when_levels_do_not_differ_and_when_none_reach(gaussian) -> None:
    class Flat(Ledger):
        def results(self) -> pd.DataFrame:
            rows = super().results()
            return rows.assign(ks=0.2 + 0.001 * rows["seed"])

    text = answer(gather(Flat(gaussian.directory)))
    assert "do not differ" in text and "no replica reaches `ks` ≤ 0.05" in text


def test_the_numbers_of_the_answer_are_the_data(gaussian) -> None:
    evidence = gather(gaussian)
    text = answer(evidence)
    for level in ("non_saturating", "saturating"):
        replicas = at_level(evidence, "loss", level)
        assert f"{np.median(replicas['ks']):#.3g}" in text
        assert f"{(replicas['ks'] <= 0.05).sum()} of {len(replicas)}" in text


def test_a_missing_cohort_is_named(small, tmp_path: Path) -> None:
    ledger = copy_of(small, tmp_path)
    cohort = ledger.plan()["cohorts"][1]
    (ledger.directory / "cohorts" / f"{cohort['id']}.parquet").unlink()
    text = compile_report(ledger, tmp_path / "report").read_text()
    variant = next(r["variant"] for r in ledger.plan()["replicas"] if r["id"] in cohort["replicas"])
    assert "**Incomplete.** 3 of 6 planned replicas" in text
    assert f"3 of {variant}" in text
    assert "So far, with 3 of 6 replicas" in text


def test_a_complete_study_is_not_called_incomplete(published) -> None:
    assert "ncomplete" not in (published["gaussian"] / "report.md").read_text()


def test_nothing_finished_is_the_users_error(small, tmp_path: Path) -> None:
    ledger = copy_of(small, tmp_path)
    for path in (ledger.directory / "cohorts").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no replica has finished"):
        compile_report(ledger, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_an_unknown_score_names_the_nearest(small, tmp_path: Path) -> None:
    ledger = copy_of(small, tmp_path)
    rewrite_plan(ledger, lambda plan: plan["study"]["report"].update(reached={"coverages": 1}))
    with pytest.raises(InputError, match="did you mean 'coverage'"):
        compile_report(ledger, tmp_path / "report")


def test_a_failed_compilation_leaves_the_former_report(small, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "report"
    compile_report(small, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setattr("reports.compile.render_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compile_report(small, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_stale_figures_go_and_other_files_stay(small, tmp_path: Path) -> None:
    out = tmp_path / "report"
    compile_report(small, out)
    (out / "notes.txt").write_text("mine")
    (out / "old.png").write_bytes(b"")
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | {"figures": [*summary["figures"], "old.png"]}))
    compile_report(small, out)
    assert (out / "notes.txt").exists() and not (out / "old.png").exists()


def test_the_index_lists_each_report_with_its_answer(published, tmp_path: Path) -> None:
    folder = published["gaussian"].parent
    text = compile_index(folder).read_text()
    for name, path in published.items():
        summary = json.loads((path / "summary.json").read_text())
        assert f"({name}/report.md)" in text and summary["answer"] in text
    assert compile_index(folder).read_text() == text
    assert "No report" in compile_index(tmp_path).read_text()


def test_the_report_names_every_replica_and_the_command(published, digits) -> None:
    text = (published["digits"] / "report.md").read_text()
    assert digits.plan()["command"] in text and "A shortened run." in text
    assert all(r["id"] in text for r in digits.plan()["replicas"])
    assert len(replicas_table(gather(digits))) == 8


LOSSES = ["non_saturating", "saturating"]
SHAPES = {
    "one variant, one seed": ({}, 1),
    "one factor, two seeds": ({"loss": LOSSES}, 2),
    "a single level": ({"loss": ["saturating"], "lr_ratio": [1]}, 3),
    "four factors": ({"loss": LOSSES, "lr_ratio": [0.5, 1], "batch_size": [32, 64], "beta1": [0, 0.5]}, 2),
    "lists as levels": ({"loss": ["non_saturating"], "generator_hidden": [[32, 32], [64]]}, 3),
}


@pytest.mark.parametrize(("shape", "failing"), [*((s, 0.0) for s in SHAPES), ("one factor, two seeds", 1.0)])
def test_a_study_of_any_shape_compiles(make_ledger: Make, tmp_path: Path, shape: str, failing: float) -> None:
    factors, seeds = SHAPES[shape]
    ledger = make_ledger(tmp_path / "run", factors=factors, seeds=seeds, failing=failing)
    text = compile_report(ledger, tmp_path / "report").read_text()
    claims = ("scores better", "do not differ", "tends to")
    assert not any(claim in text for claim in claims) or seeds * len(factors) > 4
    assert ("one seed a variant" in text) == (seeds == 1)
    assert ("failed" in answer(gather(ledger))) == (failing == 1)
    assert "nan" not in text.replace("provenance", "") and "inf" not in text.replace("information", "")


def test_the_answer_names_another_factor_that_stands_out(gaussian) -> None:
    class Shifted(Ledger):
        """BatchNorm made ten times worse, whatever else."""

        def results(self) -> pd.DataFrame:
            rows = super().results()
            rows.loc[rows["variant/generator_norm"] == "batch", "ks"] *= 10
            return rows

    shifted = answer(gather(Shifted(gaussian.directory)))
    assert "`generator_norm` stands out: none" in shifted and "against batch" in shifted
    assert "`generator_norm` stands out: batch" not in answer(gather(gaussian))
