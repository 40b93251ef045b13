"""What a storage says of trials is not taken at its word: bits flip, and a search ends as if they had not."""

from __future__ import annotations

import json
import re
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
from benchmarks.tuning.storage import StorageLost, lasting
from benchmarks.upkeep.integrity import repair_findings
from gan.errors import InputError
from gan.replica import Cohort
from reports.ledger.ledger import Ledger
from reports.ledger.schema import problem_with_tuning

from .tuned import FEW, Engine, findings, search_of, tune, write

pytestmark = pytest.mark.usefixtures("no_compiler", "few_trees")

Log = dict[str, Any]


def of_a_told_trial(key: str) -> Callable[[Log], bool]:
    return lambda log: key in log.get("user_attr", {}) and "trial_id" in log


def scores_more(log: Log) -> None:
    log["user_attr"]["scores"][0] += 0.1


def is_worse(log: Log) -> None:
    log["values"][0] += 1.0


def was_stopped(log: Log) -> None:
    log["state"] = 2


def failed(log: Log) -> None:
    log["state"] = 3


def ends_otherwise(log: Log) -> None:
    log["user_attr"]["statuses"][0] = "oj"


def is_another(log: Log) -> None:
    log["user_attr"]["replicas"][0] = "0" * 16


def is_called_otherwise(log: Log) -> None:
    log["user_attr"]["name"] = "trial=7 loss=saturating"


def looks_worse(log: Log) -> None:
    log["intermediate_value"] += 1.0


def was_drawn_later(log: Log) -> None:
    log["user_attrs"]["batch"] += 1


def has_a_larger_space(log: Log) -> None:
    log["distributions"]["beta1"] = log["distributions"]["beta1"].replace("0.9", "0.8")


def has_other_settings(log: Log) -> None:
    log["params"]["beta1"] /= 2


def searches_another_target(log: Log) -> None:
    log["user_attr"]["gan_stability"]["target"]["mean"] = 3.5


def is_kept_under_another_name(log: Log) -> None:
    log["user_attr"] = {"gan_stabilitx": log["user_attr"]["gan_stability"]}


def of_an_identity(log: Log) -> bool:
    return "gan_stability" in log.get("user_attr", {})


def told(log: Log) -> bool:
    return bool(log.get("values"))


def drawn(log: Log) -> bool:
    return "distributions" in log


FLIPPED: list[tuple[Callable[[Log], bool], Callable[[Log], None]]] = [
    (told, is_worse),
    (told, was_stopped),
    (told, failed),
    (of_a_told_trial("scores"), scores_more),
    (of_a_told_trial("statuses"), ends_otherwise),
    (of_a_told_trial("replicas"), is_another),
    (of_a_told_trial("name"), is_called_otherwise),
    (lambda log: "intermediate_value" in log, looks_worse),
    (drawn, was_drawn_later),
    (drawn, has_a_larger_space),
    (drawn, has_other_settings),
    (of_an_identity, searches_another_target),
    (of_an_identity, is_kept_under_another_name),
]


def flip(journal: Path, which: Callable[[Log], bool], change: Callable[[Log], None], last: bool = False) -> bytes:
    """Change the first operation of a kind, or the last; return the journal as it is then."""
    logs = [json.loads(line) for line in journal.read_bytes().splitlines()]
    found = [log for log in logs if which(log)]
    change(found[-1 if last else 0])
    journal.write_text("".join(json.dumps(log) + "\n" for log in logs))
    return journal.read_bytes()


def copied(searched: Path, folder: Path) -> tuple[Path, tuning.Search]:
    """Copy the study that was tuned; return its file and its search."""
    shutil.copytree(searched, folder, dirs_exist_ok=True)
    return folder / "made.toml", search_of(folder / "made.toml", folder / "runs")


@pytest.mark.parametrize(("which", "change"), FLIPPED, ids=[change.__name__ for _, change in FLIPPED])
def test_a_flipped_bit_of_a_journal_changes_no_finding(
    tmp_path: Path, searched: Path, which: Callable[[Log], bool], change: Callable[[Log], None]
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


def test_a_trial_that_waits_has_the_settings_that_are_drawn_for_it(tmp_path: Path, searched: Path) -> None:
    class Interrupted(Engine):
        def run(self, cohorts: Any, *others: Any) -> Any:
            if any(r.seed >= 100_000 for c in cohorts for r in c.replicas):
                raise KeyboardInterrupt
            return super().run(cohorts, *others)

    path, undisturbed = write(tmp_path, **FEW), search_of(searched / "made.toml", searched / "runs")
    with pytest.raises(KeyboardInterrupt):
        tune(path, tmp_path / "runs", Interrupted())
    journal = tmp_path / "runs" / "made" / "smoke" / JOURNAL
    spoiled = flip(journal, drawn, has_other_settings)
    search, _ = tune(path, tmp_path / "runs")
    assert findings(search) == findings(undisturbed)
    assert journal.with_name(f"{JOURNAL}.set-aside-1").read_bytes().startswith(spoiled)


def test_a_database_that_says_something_else_of_a_trial_is_refused(tmp_path: Path) -> None:
    path, url = write(tmp_path, **FEW), f"sqlite:///{tmp_path}/trials.db"
    tune(path, tmp_path / "runs", storage=url)
    with sqlite3.connect(tmp_path / "trials.db") as database:
        database.execute("UPDATE trial_values SET value = value + 1 WHERE trial_id = 1")
    with pytest.raises(InputError, match=r"loss=non_saturating: trial 0 has values .* expected the trials as") as error:
        tune(path, tmp_path / "runs", storage=url)
    assert "\n" not in str(error.value)


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
    with pytest.raises(StorageLost, match="refused") as error, lasting("postgresql://me:hidden@host/trials"):
        raise StorageInternalError("Optuna's own words") from OperationalError(
            "SELECT 1", None, Exception("refused: postgresql://me:hidden@host\nand more")
        )
    assert "hidden" not in str(error.value) and "\n" not in str(error.value)


SETTINGS = [{"lr": "fast"}, {"lr": True}, {"lr": 5.0}, {"nonsense": 1}, {"loss": "saturating"}, {"beta1": [0.5]}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_search_is_not_over_by_settings_that_were_never_searched(
    tmp_path: Path, searched: Path, settings: dict[str, Any]
) -> None:
    path, search = copied(searched, tmp_path)
    content = search.ledger.tuning()
    content["variants"]["loss=saturating"]["settings"] = settings
    search.ledger.write_json("tuning.json", content)
    planned = tuning.plan_summary(search_of(path, tmp_path / "runs"))
    assert [row["to_train"] for row in planned] == [0, 0, 4]
    again, summary = tune(path, tmp_path / "runs")
    assert summary.trained == 0 and again.ledger.tuning()["variants"]["loss=saturating"]["settings"] != settings


OF_A_TRIAL = ["number", "batch", "state", "params", "values", "scores", "statuses", "replicas", "variant", "mlflow_run"]
PLACES = ["trials.0", "tune.trials", "front", "best", *(f"trials.0.{key}" for key in OF_A_TRIAL)]


@pytest.mark.parametrize("spoiled", PLACES)
def test_findings_that_were_spoiled_are_set_aside(searched: Path, tmp_path: Path, spoiled: str) -> None:
    content = json.loads((searched / "runs" / "made" / "smoke" / "tuning.json").read_text())
    assert problem_with_tuning(content) == ""
    place: Any = content if spoiled.startswith("tune.") else content["variants"]["loss=saturating"]
    *way, last = (int(key) if key.isdecimal() else key for key in spoiled.split("."))
    for key in way:
        place = place[key]
    place[last] = [["spoiled"]]
    ledger = Ledger(tmp_path)
    ledger.write_json("tuning.json", content)
    (said,) = repair_findings(ledger)
    assert re.search(r"tuning\.json: .*expected", said) and ledger.tuning() == {}
