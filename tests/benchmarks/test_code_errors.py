"""An error in a person's code ends the run with its place; numbers that are not finite are a result."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gan.engine.evaluation import Evaluation
from reports.ledger.ledger import Ledger

from ..small import small_study
from ..typed import Ganbench, Said
from .here import train_here

PLUGIN = """
from gan.plugins import Loss, NetworkKind, Score
import torch
import torch.nn.functional as F

taken = 0


def discriminator(real, fake):
    return F.softplus(-real), F.softplus(fake)


def generator(fake, real):
    return F.softplus(-fake)


def wrong(real, fake):
    return F.softplus(-real), F.softplus(fake) + SETTINGS["weight"]


def late(samples, reference):
    global taken
    taken += 1
    return {}["late"] if taken > 44 else 1.0


def strict(samples, reference):
    if not torch.isfinite(samples.tensor).all():
        raise ValueError("samples are not finite")
    return 0.5


def refused(real, fake):
    return F.binary_cross_entropy(torch.sigmoid(real), torch.ones_like(real), reduction="none"), F.softplus(fake)


SETTINGS = {}
COMPONENTS = [
    Loss("refused", refused, generator),
    Loss("wrong", wrong, generator),
    Loss("wrong_beside_others", wrong, generator, compiles=True),
    Loss("right", lambda real, fake: (F.softplus(-real), F.softplus(fake)), generator, compiles=True),
    NetworkKind("module", "generator", lambda variant, shape: [torch.nn.Linear(variant.latent_dim, *shape)]),
    NetworkKind("unbuilt", "generator", lambda variant, shape: [SETTINGS["depth"]]),
    Score("late", "late", "lower", late, needs=frozenset({"line"})),
    Score("missing", "missing", "lower", lambda samples, reference: SETTINGS["key"], needs=frozenset({"line"})),
    Score("strict", "strict", "lower", strict, needs=frozenset({"line"})),
]
"""


@pytest.fixture
def run(
    ganbench: Ganbench, no_compiler: None, no_plugins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ganbench:
    """Run a study with these lines of its grid, and these scores, in this process."""
    train_here(monkeypatch)
    (tmp_path / "mine.py").write_text(PLUGIN)

    def run(grid: str, *scores: str) -> Said:
        more = f"scores = {json.dumps(list(scores))}"
        text = small_study(grid, factor="lr", base='updates = "simultaneous"', scores=more)
        Path("study.toml").write_text(text)
        words = ("run", "study.toml", "--scale", "smoke", "--tracking-uri", "off", "--no-report", "--plugin", "mine")
        return ganbench(*words)

    return run


LEDGER = Path("runs/study/smoke")


def ended_well(said: Said, place: str, what: str) -> None:
    """Hold that a run ended with one message that has a place, and that the log has the whole traceback."""
    lines = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert said.code == 2 and len(lines) == 1, said.err
    assert all(part in lines[0] for part in ("mine.py", place, what, str(LEDGER / "log.txt"))), lines
    assert "Traceback" not in said.err
    log = (LEDGER / "log.txt").read_text()
    assert "Traceback" in log and what in log


@pytest.mark.parametrize(
    ("grid", "scores", "line", "what"),
    [
        ("lr = [1e-3, 2e-3]", ["missing"], 'SETTINGS["key"]', "KeyError: 'key'"),
        ('loss = ["non_saturating", "wrong"]\nlr = [1e-3, 2e-3]', [], 'SETTINGS["weight"]', "KeyError: 'weight'"),
        (
            'loss = ["non_saturating", "wrong_beside_others"]\nlr = [1e-3, 2e-3]',
            [],
            'SETTINGS["weight"]',
            "KeyError: 'weight'",
        ),
    ],
)
def test_an_error_in_code_ends_the_run_before_anything_is_trained(
    grid: str, scores: list[str], line: str, what: str, run: Ganbench
) -> None:
    at = next(i for i, text in enumerate(PLUGIN.splitlines(), start=1) if line in text)
    ended_well(run(grid, *scores), f"line {at}", what)
    assert Ledger(LEDGER).finished_cohorts() == []


def test_a_loss_that_compiles_trains_beside_built_in_ones_and_trains_again(run: Ganbench, ganbench: Ganbench) -> None:
    said = run('loss = ["non_saturating", "right"]\nlr = [1e-3, 2e-3]')
    assert said.code == 0, said.err
    rows, (cohort,) = Ledger(LEDGER).results(), Ledger(LEDGER).plan().cohorts
    assert cohort.losses == ["non_saturating", "right"] and set(rows["status"]) == {"ok"} and len(rows) == 8
    # It is the same loss by another name, and each replica has a stream of its seed.
    scores = rows.pivot_table(index=["variant/lr", "seed"], columns="variant/loss", values="ks")
    assert scores["right"].to_list() == pytest.approx(scores["non_saturating"].to_list(), rel=1e-4)
    again = next(iter(rows["replica"]))  # one of the built-in loss, whose step has the plugin's in it
    said = ganbench("show", again, "--rerun")
    assert said.code == 0, said.err


def test_an_error_that_comes_late_records_nothing_of_its_cohort_and_what_finished_stays(run: Ganbench) -> None:
    # Measured 3 times in each of two rehearsals, 20 times for the floor, 4 times for each of 4 replicas of a cohort.
    ended_well(run('generator_norm = ["none", "batch"]\nlr = [1e-3, 2e-3]', "late"), "line", "KeyError: 'late'")
    first, second = (cohort.id for cohort in Ledger(LEDGER).plan().cohorts)
    assert Ledger(LEDGER).finished_cohorts() == [first] != [second]
    assert set(Ledger(LEDGER).results()["status"]) == {"ok"} and len(Ledger(LEDGER).results()) == 4


def test_a_module_is_no_layer(run: Ganbench) -> None:
    said = run('generator = ["mlp", "module"]\nlr = [1e-3, 2e-3]')
    assert said.code == 2 and "build: layer 0" in said.err and "torch.nn.modules.linear.Linear" in said.err
    assert Ledger(LEDGER).finished_cohorts() == []


def test_a_network_that_cannot_be_built_is_refused_at_its_line(run: Ganbench) -> None:
    said = run('generator = ["mlp", "unbuilt"]\nlr = [1e-3, 2e-3]')
    at = next(i for i, text in enumerate(PLUGIN.splitlines(), start=1) if "depth" in text)
    assert said.code == 2 and f"mine.py: line {at}: KeyError: 'depth'" in said.err and "Traceback" not in said.err
    assert not LEDGER.exists()


def test_an_exception_of_a_step_over_numbers_that_are_not_finite_is_a_result(run: Ganbench) -> None:
    # PyTorch refuses a probability that is not a number: for the whole stack, so that it is cut down to the one.
    said = run('loss = ["refused"]\nlr = [1e-3, 1e30]')
    assert said.code == 0, said.err
    rows = Ledger(LEDGER).results()
    assert rows.groupby("variant/lr")["status"].unique().map(list).to_dict() == {1e-3: ["ok"], 1e30: ["diverged"]}
    assert (rows.loc[rows["status"] == "diverged", "failed_step"] > 0).all()


def test_a_score_that_fails_over_samples_that_are_not_finite_is_a_result(
    run: Ganbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Evaluation._generate

    def overflowing(self: Evaluation, *given: Any) -> Any:
        return generate(self, *given) * (math.inf if self.variant.lr == 2e-3 else 1.0)

    monkeypatch.setattr(Evaluation, "_generate", overflowing)
    said = run("lr = [1e-3, 2e-3]", "strict")
    assert said.code == 0, said.err
    rows = Ledger(LEDGER).results()
    assert rows.groupby("variant/lr")["status"].unique().map(list).to_dict() == {1e-3: ["ok"], 2e-3: ["diverged"]}
    assert set(rows.loc[rows["status"] == "diverged", "failed_step"]) == {6}
