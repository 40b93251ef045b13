from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from ..faults.commands import ROOT
from .browser import Shoot, served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

TRAINING = "?workflowType=machine_learning"  # the half of MLflow's UI that shows runs first
FACTORS = ("loss", "generator_norm", "lr_ratio")


@pytest.fixture(scope="module")
def runs() -> Iterator[Path]:
    """Two studies: a grid on images, and a tuned one."""
    with tempfile.TemporaryDirectory(prefix="ganbench-") as folder:
        place = Path(folder) / "runs"
        for words in (["run", "--tune", "--no-report"], ["report", "--html"], ["sync"]):
            command = [*words, "digits", "tuned-gaussian", "--scale", "smoke", "--runs-dir", str(place)]
            subprocess.run([sys.executable, "-m", "benchmarks.cli", *command], cwd=ROOT, check=True)
        yield place


@pytest.fixture(scope="module")
def mlflow(runs: Path) -> Iterator[str]:
    with served("ui", "--runs-dir", str(runs), path="/health") as address:
        yield address


@pytest.fixture(scope="module")
def dashboard(runs: Path) -> Iterator[str]:
    with served("dashboard", "tuned-gaussian", "--scale", "smoke", "--runs-dir", str(runs)) as address:
        yield address


def asked(mlflow: str, what: str, **content: Any) -> Any:
    request = urllib.request.Request(
        f"{mlflow}/api/2.0/mlflow/{what}", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def runs_of(mlflow: str, study: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a study's experiment and runs, each with its id, name and tags."""
    found = {e["name"]: e["experiment_id"] for e in asked(mlflow, "experiments/search", max_results=9)["experiments"]}
    listed = asked(mlflow, "runs/search", experiment_ids=[found[study]], max_results=500)["runs"]
    plain = [(run["info"], {tag["key"]: tag["value"] for tag in run["data"]["tags"]}) for run in listed]
    return found[study], [{"id": info["run_id"], "name": info["run_name"], "tags": tags} for info, tags in plain]


def test_the_list_of_runs_names_variants_and_seeds(mlflow: str, page: Page, shoot: Shoot) -> None:
    experiment, runs = runs_of(mlflow, "digits")
    page.goto(f"{mlflow}/#/experiments/{experiment}/runs{TRAINING}")
    page.get_by_text("Loss, BatchNorm and learning-rate ratio").first.wait_for()
    assert {"saturating batch 4", "non_saturating none 0.25"} <= {run["name"] for run in runs}
    first = page.get_by_role("row").filter(has_text="saturating batch 4").first
    first.wait_for()
    shoot(page, "mlflow-runs")
    first.get_by_role("button").first.click()
    page.get_by_role("row").filter(has_text="seed=0 saturating").first.wait_for()


def test_a_variant_says_what_it_is_and_its_medians(mlflow: str, page: Page, shoot: Shoot) -> None:
    experiment, runs = runs_of(mlflow, "digits")
    (variant,) = [run for run in runs if run["name"] == "saturating batch 4"]
    page.goto(f"{mlflow}/#/experiments/{experiment}/runs/{variant['id']}{TRAINING}")
    for text in ("Variant: loss=saturating generator_norm=batch lr_ratio=4.", "median/fid_500", "seed=1 saturating"):
        page.get_by_text(text).first.wait_for()  # the last is one of the child runs
    shoot(page, "mlflow-variant")


def test_the_comparison_shows_scores_and_factors(mlflow: str, page: Page, shoot: Shoot) -> None:
    experiment, runs = runs_of(mlflow, "digits")
    chosen = [run["id"] for run in runs if "variant" in run["tags"] and "replica" not in run["tags"]][:4]
    page.goto(f"{mlflow}/#/compare-runs?runs={quote(json.dumps(chosen))}&experiments={quote(json.dumps([experiment]))}")
    page.get_by_text("Comparing 4 Runs from 1 Experiment").wait_for()
    for factor in FACTORS:
        page.get_by_text(factor, exact=True).first.wait_for()
    for score in ("median/fid_500", "median/modes"):
        page.get_by_text(score, exact=True).first.wait_for()
    shoot(page, "mlflow-compare")


def test_sample_grids_open_in_the_browser(mlflow: str, page: Page, shoot: Shoot) -> None:
    experiment, runs = runs_of(mlflow, "digits")
    seed = next(run["id"] for run in runs if "replica" in run["tags"])
    page.goto(f"{mlflow}/#/experiments/{experiment}/runs/{seed}/artifacts/samples/final.png{TRAINING}")
    page.get_by_text("samples/final.png").first.wait_for()
    page.wait_for_function("[...document.images].some((i) => i.naturalWidth >= 300)")
    shoot(page, "mlflow-samples")


@pytest.mark.parametrize("study", ["digits", "tuned-gaussian"])
def test_the_report_opens_as_an_artifact(mlflow: str, page: Page, study: str, shoot: Shoot) -> None:
    experiment, runs = runs_of(mlflow, study)
    (report,) = [run for run in runs if run["tags"].get("stage") == "report"]
    assert report["name"] == "report of scale smoke"
    page.goto(f"{mlflow}/#/experiments/{experiment}/runs/{report['id']}/artifacts/report.html{TRAINING}")
    frame = page.frame_locator("iframe").first
    frame.get_by_role("heading", level=1).wait_for()
    assert frame.locator("img").first.evaluate("(image) => image.naturalWidth") > 0
    if study == "digits":
        shoot(page, "mlflow-report")


def test_the_dashboard_shows_objective_importances_and_note(dashboard: str, page: Page, shoot: Shoot) -> None:
    page.goto(f"{dashboard}/dashboard")
    page.get_by_text("tuned-gaussian smoke: loss=non_saturating generator_norm=none").first.click()
    page.get_by_text("ks, mean of 2 validation seeds (lower is better)").first.wait_for()
    page.get_by_text("Hyperparameter Importance").first.wait_for()
    page.locator("svg").get_by_text("lr_ratio").first.wait_for()
    shoot(page, "optuna-objective")
    page.goto(f"{dashboard}/dashboard/studies/0/note")
    for text in ("Does the ranking of the losses", "Objective: ks, the mean over 2 validation seeds"):
        page.get_by_text(text).first.wait_for()
    shoot(page, "optuna-note")


def test_the_page_sorts_filters_and_asks_nobody(runs: Path, page: Page, shoot: Shoot) -> None:
    said, urls = list[str](), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: urls.append(request.url))
    page.goto((runs / "digits/smoke/report/report.html").as_uri())
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.images.length") >= 5
    shoot(page, "report-page")

    column = page.locator("#results thead button").all_inner_texts().index("fid_500")
    cells = page.locator(f"#results tbody tr:not([hidden]) td:nth-child({column + 1})")
    header = page.locator("#results th").nth(column)
    button = page.get_by_role("button", name="fid_500", exact=True)
    before = [float(text) for text in cells.all_inner_texts()]
    button.click()
    assert [float(text) for text in cells.all_inner_texts()] == sorted(before) != before
    assert header.get_attribute("aria-sort") == "ascending"
    button.focus()
    page.keyboard.press("Enter")  # without a mouse
    assert [float(text) for text in cells.all_inner_texts()] == sorted(before, reverse=True)
    assert header.get_attribute("aria-sort") == "descending"
    page.get_by_label("Rows that contain").fill("=batch lr_ratio=4")
    assert page.get_by_text(f"4 of {len(before)} rows").is_visible()
    assert cells.count() == 4
    page.locator("#table-of-results").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#table-of-results').scrollIntoView()")
    shoot(page, "report-table")
    assert not said
    assert not [url for url in urls if not url.startswith(("file:", "data:"))]


def test_the_page_fits_a_telephone(runs: Path, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((runs / "digits/smoke/report/report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_fits_paper_without_the_table_of_replicas(runs: Path, page: Page) -> None:
    page.set_viewport_size({"width": 718, "height": 1047})  # A4 within its margins
    page.goto((runs / "digits/smoke/report/report.html").as_uri())
    said = page.get_by_text("It is not printed")
    assert page.locator("#results").is_visible() and not said.is_visible()
    page.emulate_media(media="print")
    assert not page.locator("#results").is_visible() and said.is_visible()
    wide = "[...document.querySelectorAll('.wide')].filter((e) => e.scrollWidth > 718).length"
    assert page.evaluate("document.querySelectorAll('.wide').length") > 3 and not page.evaluate(wide)
