"""A person's own components through the command line: written, checked, trained, reported, trained again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import templates
from benchmarks.planning.plan import make_plan
from benchmarks.running import reporting
from benchmarks.tuning import search
from gan.plugins import loader, registry
from gan.plugins.registry import NEEDS_PLUGIN, Plugin
from reports.ledger.ledger import Ledger
from studies import schema

from ..typed import Ganbench

Load = Callable[[str], Plugin]

TINY = {
    "batch_size = 128": "batch_size = 16",
    "lr_ratio = [0.5, 1.0, 2.0]\n": "",
    "evaluations = 10 ": "evaluations = 2 ",
    "reached = { modes = 8 }": "reached = { transport = 9.0 }",
    "seeds = 2\nsteps = 200": "seeds = 2\nsteps = 6",
}
RUN = ("run", "mine.toml", "--scale", "smoke", "--workers", "1", "--tracking-uri", "off")
WITH = ("--plugin", "mine_plugin")


def write(ganbench: Ganbench) -> None:
    """Write the template's study and plugin, and make the study tiny."""
    said = ganbench("new", "mine", "--plugin")
    assert said.code == 0 and "`ganbench run mine.toml --scale smoke --plugin mine_plugin`" in said.out
    text = Path("mine.toml").read_text()
    for ours, tiny in TINY.items():
        assert text.count(ours) == 1, ours
        text = text.replace(ours, tiny)
    Path("mine.toml").write_text(text)


def test_a_study_that_uses_all_three_is_trained_reported_and_trained_again(
    ganbench: Ganbench, no_compiler: None, no_plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ganbench)
    done = ganbench(*RUN, *WITH, "--no-report")
    assert done.code == 0, done.err
    ledger = Ledger(Path("runs/mine/smoke"))
    plan, rows = ledger.plan(), ledger.results()
    digest = loader.load(["mine_plugin"])[0].sha256
    assert plan.plugins == {"mine_plugin": digest} and plan.command.endswith("--plugin mine_plugin")
    assert set(rows["variant/loss"]) == {"non_saturating", "hinge"} and (rows["status"] == "ok").all()
    assert rows["transport"].notna().all() and rows["repeat/transport"].notna().all()
    assert (ledger.references()["transport"].floor or 0) > 0

    # A finished study trains nothing, and one replica alone gives the same numbers.
    (again,) = json.loads(ganbench(*RUN, *WITH, "--no-report", "--json").out)
    assert (again["trained"], again["failed"]) == (0, 0)
    (id, *_) = rows.loc[rows["variant/loss"] == "hinge", "replica"]
    shown = json.loads(ganbench("show", id, "--json").out)
    assert shown["replica_again"].endswith("--rerun --runs-dir runs --plugin mine_plugin")
    same = json.loads(ganbench("show", id, "--rerun", *WITH, "--json").out)
    assert same["equal"] and "transport" in same["compared"]

    # The report is made without the plugin: its labels and directions are in the ledger.
    monkeypatch.setattr(registry, "loaded", {})
    monkeypatch.setattr("reports.figures.overview.pictures", lambda *_: iter(()))  # which no text depends on
    assert ganbench("status", "mine", "--scale", "smoke").code == 0
    report = reporting.compile_study(ledger, Path("out")).read_text()
    assert "mean distance to real samples" in report and "hinge against non_saturating" in report
    refused = ganbench("show", id, "--rerun")
    assert refused.code == 2 and NEEDS_PLUGIN in refused.err


def test_without_the_plugin_a_study_is_refused_with_one_message(ganbench: Ganbench, no_plugins: None) -> None:
    write(ganbench)
    refused = ganbench(*RUN)
    assert refused.code == 2 and refused.err.count("\n") == 1 and refused.out == ""
    assert "base.generator: " in refused.err and NEEDS_PLUGIN in refused.err and not Path("runs").exists()
    for words in (("run", "mine.toml"), ("tune", "mine.toml"), ("show", "0"), ("conform",)):
        missing = ganbench(*words, "--plugin", "mine_plugn")
        assert missing.code == 2 and "--plugin mine_plugn: " in missing.err and missing.err.count("\n") == 1


def test_another_source_makes_other_replicas(ganbench: Ganbench, no_plugins: None, tmp_path: Path) -> None:
    write(ganbench)
    (tmp_path / "other_plugin.py").write_text(templates.PLUGIN.read_text() + "\n# another\n")
    cohorts: list[set[str]] = []
    for module in ("mine_plugin", "other_plugin"):
        registry.loaded.clear()
        (planned,) = json.loads(ganbench(*RUN, "--plugin", module, "--dry-run", "--json").out)
        cohorts.append({cohort["id"] for cohort in planned["cohorts"]})
    assert not cohorts[0] & cohorts[1]


def test_a_plugin_that_is_not_used_changes_nothing(load: Load) -> None:
    study = schema.resolve(schema.load("gaussian"), "smoke")
    before = make_plan(study, "cpu", "", compiler=True).record()
    load(templates.PLUGIN.read_text())
    after = make_plan(study, "cpu", "", compiler=True).record()
    assert before == after and after.plugins == {}


def test_trials_are_comparable_under_one_source_alone(load: Load, tmp_path: Path) -> None:
    tune = (
        "[tune]\nfailed = 9.0\ntrials = 2\nbatch = 2\nseeds = 1\nspace.generator = { choices = ['mlp', 'residual'] }\n"
    )
    text = templates.STUDY.read_text().replace("[scales.smoke]", f"{tune}\n[scales.smoke]")
    (tmp_path / "mine.toml").write_text(text)
    identities: list[dict[str, object]] = []
    for source in ("", "", "\n# another\n"):
        registry.loaded.clear()
        load(templates.PLUGIN.read_text() + source)
        study = schema.resolve(schema.load(str(tmp_path / "mine.toml")), "smoke")
        plan = make_plan(study, "cpu", "", compiler=False)
        assert study.tune is not None
        found = search.Search(
            schema.load(str(tmp_path / "mine.toml")), Ledger(tmp_path), plan, study.tune, "", None, None
        )
        identities.append(found.identity("loss=saturating lr_ratio=1"))
    assert identities[0] == identities[1] != identities[2]


def test_conform_prints_a_line_a_check(ganbench: Ganbench, no_plugins: None) -> None:
    source = templates.PLUGIN.read_text()
    loss = source[: source.index("# A kind of network")] + 'COMPONENTS = [Loss("hinge", {}, hinge_generator)]\n'
    Path("good.py").write_text(loss.format("hinge"))
    Path("bad.py").write_text(loss.format("lambda real, fake: hinge(-real, -fake)").replace('"hinge"', '"bad"'))
    good = ganbench("conform", "--plugin", "good.py")
    assert good.code == 0 and good.out.endswith(" checks, 0 broken.\n")
    lines = good.out.splitlines()[:-1]
    assert len(lines) == 8 and all(line.startswith("loss hinge  ") and line.endswith(": ok") for line in lines)
    both = ganbench("conform", "--plugin", "good", "--plugin", "bad", "--json")
    found = json.loads(both.out)
    assert both.code == 1 and {f["name"] for f in found if f["broken"]} == {"bad"} and len(found) == 16
    said = ganbench("conform", "--plugin", "bad").out
    assert "telling real from fake: broken: real at 1 and fake at -1 cost 4" in said and "8 checks, 1 broken." in said


def test_what_new_writes_replaces_each_line_once_and_overwrites_nothing(ganbench: Ganbench, no_plugins: None) -> None:
    template = templates.STUDY.read_text()
    assert all(template.count(ours) == 1 for ours in templates.WITH_PLUGIN)
    assert ganbench("new", "my-own").code == 0 and not Path("my_own_plugin.py").exists()
    assert ganbench("new", "my-own", "--plugin").code == 2
    Path("my-own.toml").unlink()
    Path("my_own_plugin.py").write_text("mine\n")
    refused = ganbench("new", "my-own", "--plugin")
    assert refused.code == 2 and "my_own_plugin.py" in refused.err and not Path("my-own.toml").exists()
    assert ganbench("new", "my-own", "--plugin", "--force").code == 0
    loader.load(["my_own_plugin"])
    assert len(schema.resolve(schema.load("my-own.toml"), "laptop").variants) == 6
