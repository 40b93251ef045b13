"""What a storage says of trials is not taken at its word: bits flip, and a search ends as if they had not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from benchmarks import tuning
from benchmarks.tuning.journal import JOURNAL
from benchmarks.tuning.storage import StorageLost, translate_storage_errors
from benchmarks.upkeep.integrity import repair_findings
from gan.errors import InputError
from gan.replica import Cohort

from .tuned import FEW, Engine, findings, record_of, search_of, tune, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")

Log = dict[str, Any]


Which = Callable[[Log], bool]
Change = Callable[[Log], object]


def trial(log: Log) -> bool:
    return "distributions" in log


def identity(log: Log) -> bool:
    return "gan_stability" in log.get("user_attr", {})


def other_settings(log: Log) -> None:
    log["params"]["beta1"] /= 2


FLIPPED: dict[str, tuple[Which, Change]] = {
    "worse": (trial, lambda log: log.update(value=log["value"] + 1.0)),
    "stopped": (trial, lambda log: log.update(state=2)),
    "failed": (trial, lambda log: log.update(state=3)),
    "waits": (trial, lambda log: log.update(state=0, value=None)),  # as searches of before left trials in training
    "other scores": (trial, lambda log: log["user_attrs"]["scores"].insert(0, 0.1)),
    "ends otherwise": (trial, lambda log: log["user_attrs"].update(statuses=["oj", "ok"])),
    "other replicas": (trial, lambda log: log["user_attrs"]["replicas"].__setitem__(0, "0" * 16)),
    "other name": (trial, lambda log: log["user_attrs"].update(name="trial=7 loss=saturating")),
    "looks worse": (trial, lambda log: log["intermediate_values"].update({"0": 1.5})),
    "drawn later": (trial, lambda log: log["user_attrs"].update(batch=log["user_attrs"]["batch"] + 1)),
    "larger space": (trial, lambda log: log["distributions"].update(beta1=log["distributions"]["lr"])),
    "other settings": (trial, other_settings),
    "other target": (identity, lambda log: log["user_attr"]["gan_stability"]["target"].update(mean=3.5)),
    "other key": (identity, lambda log: log["user_attr"].update(gan_stabilitx=log["user_attr"].pop("gan_stability"))),
}
"""Which operation of a journal is changed, the first that is such, and how."""


def flip(journal: Path, which: Which, change: Change) -> bytes:
    """Change the first operation of a kind; return the journal as it is then."""
    logs = [json.loads(line) for line in journal.read_bytes().splitlines()]
    change(next(log for log in logs if which(log)))
    journal.write_text("".join(json.dumps(log) + "\n" for log in logs))
    return journal.read_bytes()


def copied(searched: Path, folder: Path) -> tuple[Path, tuning.Search]:
    """Copy the study that was tuned; return its file and its search."""
    shutil.copytree(searched, folder, dirs_exist_ok=True)
    return folder / "made.toml", search_of(folder / "made.toml", folder / "runs")


@pytest.mark.parametrize(("which", "change"), FLIPPED.values(), ids=FLIPPED)
def test_a_flipped_bit_of_a_journal_changes_no_finding(
    tmp_path: Path, searched: Path, which: Which, change: Change
) -> None:
    path, search = copied(searched, tmp_path)
    found, journal, engine = findings(search), search.ledger.directory / JOURNAL, Engine()
    spoiled = flip(journal, which, change)
    again, summary = tune(path, tmp_path / "runs", engine)
    assert findings(again) == found and engine.asked == [] and summary.trained == 0
    assert journal.with_name(f"{JOURNAL}.set-aside-1").read_bytes().startswith(spoiled)
    assert not journal.with_name(f"{JOURNAL}.set-aside-2").exists()
    tune(path, tmp_path / "runs")
    assert not journal.with_name(f"{JOURNAL}.set-aside-2").exists()


def test_a_batch_that_was_cut_short_is_not_gone_on_with_by_other_settings(tmp_path: Path, searched: Path) -> None:
    path, search = copied(searched, tmp_path)
    found, journal = findings(search), search.ledger.directory / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if trial(json.loads(line)))
    journal.write_text("".join(lines[: first + 1]))
    spoiled = flip(journal, trial, other_settings)
    again, summary = tune(path, tmp_path / "runs")
    assert findings(again) == found and summary.trained == 0
    assert journal.with_name(f"{JOURNAL}.set-aside-1").read_bytes().startswith(spoiled)


def test_a_database_that_says_something_else_of_a_trial_is_refused(tmp_path: Path) -> None:
    path, url = write(tmp_path, **FEW), f"sqlite:///{tmp_path}/trials.db"
    tune(path, tmp_path / "runs", storage=url)
    with sqlite3.connect(tmp_path / "trials.db") as database:
        database.execute("UPDATE trial_values SET value = value + 1 WHERE trial_id = 1")
    with pytest.raises(InputError, match=r"loss=non_saturating: trial 0 has values .* expected the trials as") as error:
        tune(path, tmp_path / "runs", storage=url)
    assert "\n" not in str(error.value)


@pytest.mark.faults
def test_a_database_that_is_lost_during_a_search_is_said_in_one_line(tmp_path: Path) -> None:
    path, file = write(tmp_path, **FEW), tmp_path / "trials.db"

    class Losing(Engine):
        def run(self, cohorts: list[Cohort], *others: Any) -> Any:
            yield from super().run(cohorts, *others)
            if any(r.seed >= 100_000 for c in cohorts for r in c.replicas):
                with sqlite3.connect(file) as database:
                    database.execute("DROP TABLE trial_user_attributes")

    url, engine = f"sqlite:///{file}", Losing()
    with pytest.raises(StorageLost, match=r"the trials cannot be kept there .*no such table") as error:
        tune(path, tmp_path / "runs", engine, storage=url)
    assert "\n" not in str(error.value)
    # What was trained is recorded.
    trained, engine = set(engine.asked), Engine()
    tune(path, tmp_path / "runs", engine)
    assert len(trained) > 4 and not trained & set(engine.asked)


def test_what_a_lost_database_says_is_told_without_credentials() -> None:
    with (
        pytest.raises(StorageLost, match="refused") as error,
        translate_storage_errors("postgresql://me:hidden@host/trials"),
    ):
        raise StorageInternalError("Optuna's own words") from OperationalError(
            "SELECT 1", None, Exception("refused: postgresql://me:hidden@host\nand more")
        )
    assert "hidden" not in str(error.value) and "\n" not in str(error.value)


def spoil(content: Any, place: str, value: Any) -> None:
    """Put a value at a dotted place."""
    *way, last = (int(key) if key.isdecimal() else key for key in place.split("."))
    for key in way:
        content = content[key]
    content[last] = value


SEARCH, TRIAL = "variants.loss=saturating", "variants.loss=saturating.trials.0"
OF_A_TRIAL = ["number", "batch", "state", "params", "values", "scores", "statuses", "replicas", "variant", "mlflow_run"]
ANYWHERE = [f"{SEARCH}.front", f"{SEARCH}.best", TRIAL, *(f"{TRIAL}.{key}" for key in OF_A_TRIAL)]
SPOILED: dict[str, Any] = {
    **{place: [["x"]] for place in [*ANYWHERE, "tune.trials", "tune.failed", "tune.score", "complete"]},
    "tune.direction": "down",
    "tune.space.0.low": "0",
    f"{SEARCH}.settings": {"lr": 5.0},
}


@pytest.mark.parametrize("place", SPOILED)
def test_findings_that_were_spoiled_are_refused_with_their_place_and_set_aside(
    searched: Path, tmp_path: Path, place: str
) -> None:
    path, search = copied(searched, tmp_path)
    content, ledger = record_of(search), search.ledger
    spoil(content, place, SPOILED[place])
    ledger.write_json("tuning.json", content)
    with pytest.raises(InputError, match="expected") as error:
        ledger.tuning()
    # A check of several keys names the table that holds them.
    shown = next(p for p in (place, place.rpartition(".")[0]) if f"({p}" in str(error.value))
    assert shown and "\n" not in str(error.value)
    # Until it is set aside it says nothing of what is left to train.
    assert [row["to_train"] for row in tuning.plan_summary(search_of(path, tmp_path / "runs"))] == [0, 0, 4]
    (said,) = repair_findings(ledger)
    assert "set aside" in said and ledger.tuning() is None
