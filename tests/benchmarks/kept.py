"""Small run directories as a run leaves them, and what else may lie in one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan.columns import LOSSES, setting_columns
from gan.replica import digest_of
from gan.variant import Variant
from reports.ledger.ledger import Ledger
from reports.ledger.shared import write_references

LOSS_NAMES = ("non_saturating", "saturating")
SCORING = {"evaluations": 2, "sampling": "eval", "seed": 0, "split": "test"}
KS = {"label": "KS statistic", "direction": "lower", "n": 10000, "floor": 0.0087, "noise": 0.31}
STEPS = 40


def make_run(
    runs_dir: Path, study: str = "made", scale: str = "laptop", *, seeds: int = 3, unfinished: int = 0
) -> Ledger:
    """Write a study of two variants, a cohort each, where one replica diverged; plan more cohorts than were trained."""
    ledger = Ledger(runs_dir / study / scale)
    ledger.open_for_writing()
    variants = {f"loss={loss}": Variant(loss=loss) for loss in LOSS_NAMES}
    rng, replicas, cohorts = np.random.default_rng(3), list[dict[str, Any]](), list[dict[str, Any]]()
    for i in range(2 + unfinished):
        name, variant = list(variants.items())[i % 2]
        first = i // 2 * seeds
        ids = [digest_of([study, scale, name, first + seed]) for seed in range(seeds)]
        cohort = {"id": digest_of(ids), "mode": "vmap", "compiled": False, "width": seeds, "replicas": ids}
        cohorts.append(cohort)
        replicas += [{"id": id, "variant": name, "seed": first + seed} for seed, id in enumerate(ids)]
        if i < 2:
            _write_cohort(ledger, cohort["id"], ids, name, variant, i, rng)
    report = {"score": "ks", "factor": "loss", "reached": {"ks": 0.05}, "notes": ""}
    content = {"name": study, "title": "A study, made up", "question": "Which = loss?", "scale": scale, "stage": ""}
    content |= {"target": {"name": "gaussian", "mean": 3.0, "std": 2.0}, "target_label": "N(3, 2²)", "steps": STEPS}
    content |= {"scoring": SCORING, "factors": {"loss": list(LOSS_NAMES)}, "reference": {"loss": LOSS_NAMES[0]}}
    content |= {"overrides": {}, "report": report, "claims": [], "claim_texts": {}, "checks": [], "published": []}
    plan = {"study": content, "device": "cpu", "command": f"ganbench run {study} --scale {scale}"}
    plan |= {"variants": {name: v.settings() for name, v in variants.items()}, "replicas": replicas}
    plan |= {"levels": {name: {"loss": v.loss} for name, v in variants.items()}, "cohorts": cohorts, "retired": []}
    ledger.write_json("plan.json", plan)
    write_references(ledger, {"ks": KS}, {})
    session = {"started": "2031-05-06T07:08:09+00:00", "commit": "feedbee", "versions": {"torch": "2.14.0"}}
    ledger.write_json("provenance.json", {"sessions": [{**session, "trained": 2 * seeds}], "mlflow": {}})
    return ledger


def _write_cohort(
    ledger: Ledger, cohort: str, ids: list[str], name: str, variant: Variant, number: int, rng: np.random.Generator
) -> None:
    rows, points, samples, weights = [], [], {}, {}
    for seed, id in enumerate(ids):
        diverged = number == 1 and seed == 0
        row: dict[str, Any] = {"replica": id, "study": "made", "scale": "laptop", "target": "gaussian"}
        row |= {"variant": name, "seed": seed, "cohort": cohort, "device": "cpu", "steps": STEPS}
        row |= {loss: rng.random() / 3 for loss in LOSSES} | {"value_discriminator": 0.1 + 0.2}
        row |= {"ks": math.nan if diverged else 0.03 * rng.random(), "repeat/ks": math.nan if diverged else 1 / 3}
        row |= {"status": "diverged" if diverged else "ok", "failed_step": 17 if diverged else None}
        row |= {"reason": 'not finite, "so to say"\nat step 17' if diverged else "", "train_seconds": 0.5}
        rows.append(row | setting_columns(variant.settings()))
        curves = {"loss/generator": rng.random(4), "value/discriminator": rng.random(4), "score/ks": rng.random(4)}
        points += [(id, 10 * (i + 1), metric, v) for metric, y in curves.items() for i, v in enumerate(y)]
        if not diverged:
            samples[f"{id}/final"] = rng.standard_normal((50, 1)).astype(np.float32)
        weights[f"{id}/generator/0.weight"] = rng.standard_normal((4, 3)).astype(np.float32)
    history = pd.DataFrame(points, columns=["replica", "step", "metric", "value"])
    history = history.astype({"replica": "category", "metric": "category"})
    ledger.write_cohort(cohort, pd.DataFrame(rows).astype({"failed_step": "Int64"}), history, samples, weights)


LITTER = ["log.txt", "cohorts/.abc.parquet.123.tmp", ".plan.json.4194303.tmp", "search/.tuning.json.99.tmp"]
LITTER += [f".report.a1b2c3d4.99.tmp/{name}" for name in ("scores.png", "results.csv")]
LITTER += ["report/.untuned.abcd_fgh.98.tmp/report.md", "cohorts/abc.parquet.set-aside-1", "plan.json.set-aside-1"]
LITTER += ["checkpoints/abc/0.safetensors.set-aside-2", "tuned/samples/x.safetensors.set-aside-12"]
LITTER += ["cohorts/abc.failed"]
"""Places of what goes with a whole run only."""
CHECKPOINTS = ["checkpoints/abc/0.safetensors", "search/checkpoints/def/12.safetensors"]
CHECKPOINTS += ["checkpoints/abc/.1.safetensors.123.tmp"]
FOREIGN = ["notes.txt", "cohorts/mine.csv", "weights/best.pt", "my-report/report.md", ".report-mine/scores.png"]
FOREIGN += ["my.set-aside-notes", "report/remarks.md", "data.123.tmp", "search/more/x.parquet"]
"""Places of what no run writes."""


def write(directory: Path, places: list[str]) -> None:
    """Write files of some bytes."""
    for i, place in enumerate(places):
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10 + i))


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file under a folder, by its place."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }
