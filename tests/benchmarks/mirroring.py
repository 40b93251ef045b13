"""Plans and cohorts made up for the mirror, and what a store has of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tracking import Mirror, MirrorStats
from benchmarks.tracking.mirrored import default_tracking_uri
from benchmarks.tracking.store import Store
from gan.variant import Variant
from reports.ledger.records import PlanRecord

from .flaky import FlakyStore, Server

VARIANTS = ("loss=saturating", "loss=non_saturating")
STEPS = 1000


def make_plan(seeds: int = 3, stage: str = "") -> dict[str, Any]:
    """Make a plan; that of a stage of a tuned study has the same variants as the others, and replicas of its own."""
    replicas = [
        {"id": f"{stage}{index:08x}{seed:08x}", "variant": variant, "seed": seed}
        for index, variant in enumerate(VARIANTS)
        for seed in range(seeds)
    ]
    study = {"name": "gaussian", "title": "A Gaussian", "question": "Does it fail?", "scale": "smoke"}
    study |= {"stage": stage, "target": {"name": "gaussian"}, "steps": STEPS, "factors": {}, "report": {}}
    variants = {name: Variant().settings() | {"loss": name.removeprefix("loss=")} for name in VARIANTS}
    plan = {"study": study, "command": "ganbench run gaussian", "variants": variants, "replicas": replicas}
    return plan | {"cohorts": []}


def record_of(plan: dict[str, Any]) -> PlanRecord:
    return PlanRecord.model_validate_json(json.dumps(plan))


def make_results(plan: dict[str, Any], diverged: str = "") -> pd.DataFrame:
    rows = []
    for k, replica in enumerate(plan["replicas"]):
        failed = replica["id"] == diverged
        row = {
            "replica": replica["id"],
            "study": "gaussian",
            "scale": "smoke",
            "target": "gaussian",
            "variant": replica["variant"],
            "seed": replica["seed"],
            "cohort": "c0",
            "device": "cpu",
            "status": "diverged" if failed else "ok",
            "failed_step": 17 if failed else pd.NA,
            "reason": "loss is not finite" if failed else "",
            "steps": STEPS,
            "loss_discriminator": 0.69 + k / 100,
            "value_discriminator": math.inf if failed else 0.6931 + k / 100,
            "ks": math.nan if failed else 0.01 * (k + 1),
            "coverage": math.nan if failed else 0.9,
            "train_seconds": 1.5,
            "variant/loss": replica["variant"].removeprefix("loss="),
            "variant/lr": 4e-4,
            "variant/lr_ratio": 4.0,
            "variant/generator_hidden": [32, 32],
        }
        rows.append(row)
    return pd.DataFrame(rows).astype({"failed_step": "Int64"})


def make_history(
    plan: dict[str, Any],
    points: int = 60,
    diverged: str = "",
    metrics: tuple[str, ...] = ("loss/discriminator", "score/ks"),
) -> pd.DataFrame:
    rows = [
        (replica["id"], step, metric, math.nan if replica["id"] == diverged and step > STEPS // 2 else step / 7)
        for replica in plan["replicas"]
        for metric in metrics
        for step in np.linspace(STEPS / points, STEPS, points).astype(int).tolist()
    ]
    return pd.DataFrame(rows, columns=["replica", "step", "metric", "value"])


def make_samples(replica: str) -> dict[str, np.ndarray]:
    return {"final": np.zeros((100, 1)), "progress": np.ones((2, 50, 1)), "steps": np.array([500, 1000])}


def mirror(
    runs_dir: Path,
    plan: dict[str, Any],
    results: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    **options: Any,
) -> MirrorStats:
    """Mirror a cohort of a plan's replicas to MLflow."""
    writer = Mirror(runs_dir, record_of(plan), git_commit="abc123", **options)
    results = make_results(plan) if results is None else results
    writer.push(results, lambda: make_history(plan) if history is None else history, make_samples)
    return writer.close()


def remember(server: Server, plan: dict[str, Any], *given: pd.DataFrame, **options: Any) -> MirrorStats:
    """Mirror a cohort of a plan's replicas to a server in memory."""
    return mirror(Path("runs"), plan, *given, store=lambda _: FlakyStore(server), **options)


def client_of(runs_dir: Path, tracking_uri: str | None = None) -> Any:
    return Store(tracking_uri or default_tracking_uri(runs_dir)).client


def runs_of(runs_dir: Path, tracking_uri: str | None = None) -> tuple[list[Any], list[Any]]:
    """Return the parents and the children that MLflow has."""
    client = client_of(runs_dir, tracking_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "gaussian"]
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags], children
