"""Run directories of tuned studies out of the air: two grids, a search's record, and no training."""

from __future__ import annotations

import hashlib
import itertools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.ledger.ledger import Ledger

from .made import COVERAGE, GAUSSIAN, KS, STEPS, Levels, history_of

FACTORS = {"loss": ["non_saturating", "saturating"], "generator_norm": ["none", "batch"]}
SPACE = [
    {"name": "lr", "kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
    {"name": "beta1", "kind": "float", "low": 0.0, "high": 0.9, "log": False},
    {"name": "batch_size", "kind": "int", "low": 32, "high": 512, "log": True},
    {"name": "penalty", "kind": "categorical", "choices": ["none", "r1"]},
    {"name": "penalty_weight", "kind": "float", "low": 0.1, "high": 10.0, "log": True, "when": {"penalty": ["r1"]}},
    {"name": "generator_hidden", "kind": "categorical", "choices": [[32, 32], [64, 64]]},
]
BASE: dict[str, Any] = {"lr": 7e-4, "beta1": 0.5, "batch_size": 128, "penalty": "none", "penalty_weight": 10.0}
BASE |= {"generator_hidden": [32, 32]}
FIRST = 100_000


def write_tuned(
    directory: Path,
    factors: Mapping[str, Sequence[Any]] = FACTORS,
    *,
    seeds: int = 8,
    trials: int = 24,
    before: Callable[[Levels], float] = lambda levels: 0.06 if levels.get("loss") == "saturating" else 0.03,
    after: Callable[[Levels], float] = lambda levels: 0.015 if levels.get("loss") == "saturating" else 0.02,
    failing: float = 0.05,
    lost: Callable[[str, Levels], float] = lambda stage, levels: 0.0,
    second: str | None = None,
    pruning: str = "none",
    retrained: bool = True,
    sampler: str = "tpe",
    hopeless: Callable[[Levels], bool] = lambda levels: False,
    split: Callable[[str], float] = lambda stage: 1.0,
    target: Mapping[str, Any] = GAUSSIAN,
) -> Ledger:
    """Write a tuned study with the typical KS of each variant `before` and `after`.

    Replicas of the search fail at a rate of about `failing`, those of a grid ("" or "tuned") at the rate `lost`.
    On held-out seeds the winners score 1.25 times what the selection saw. Every trial of a `hopeless` variant is
    pruned, and its tuned replicas have the untuned settings. Test scores are `split` times validation scores, by the
    grid's stage.
    """
    rng = np.random.default_rng(11)
    ledger = Ledger(directory)
    _write_grid(ledger, "", factors, seeds, before, lost, {}, rng, split, target)
    grid = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    replicas = 4
    searches = {}
    for levels in grid:
        tried = [_trial(n, replicas, after(levels), failing, second, pruning, rng) for n in range(trials)]
        if hopeless(levels):
            tried = [{**trial, "state": "PRUNED", "values": []} for trial in tried]
        complete = [t for t in tried if t["state"] == "COMPLETE"]
        best = min(complete, key=lambda t: tuple(reversed(t["values"])), default=None)
        front = [
            t["number"] for t in complete if second and not any(_beats(o["values"], t["values"]) for o in complete)
        ]
        searches[name_of(levels)] = {
            "optuna_study": f"made/{name_of(levels)}",
            "trials": tried,
            "importances": {"lr": 0.6, "beta1": 0.25, "batch_size": 0.1, "generator_hidden": 0.05}
            if len(complete) > 1
            else {},
            "importances_note": "" if len(complete) > 1 else "One trial does not tell which parameter matters.",
            "best": best and best["number"],
            "front": front,
            "settings": best["params"] if best else {},
        }
    tune = {"score": "ks", "label": KS["label"], "direction": "lower", "aggregate": "mean", "failed": 1.0}
    tune |= {"seeds": replicas, "trials": trials, "batch": 8, "sampler": sampler, "second": second, "pruning": pruning}
    record = {"study": "made", "scale": "laptop", "target_label": "N(3, 2²)", "title": "Made", "question": "Which?"}
    record |= {
        "command": "ganbench tune made --scale laptop",
        "complete": True,
        "tune": {**tune, "seed": 0, "space": SPACE},
    }
    record |= {"validation_seeds": [FIRST + i for i in range(replicas)], "storage": "optuna.log", "variants": searches}
    ledger.write_json("tuning.json", record)
    ledger.search().open_for_writing()
    ledger.search().write_json("provenance.json", _provenance(trials * len(grid) * replicas, "search"))
    if retrained:
        winners = {name: search["settings"] for name, search in searches.items()}

        def worth(levels: Levels) -> float:
            return before(levels) / 1.25 if hopeless(levels) else after(levels)

        _write_grid(ledger.tuned(), "tuned", factors, seeds, worth, lost, winners, rng, split, target)
    return ledger


def mirrored(ledger: Ledger, directory: Path) -> Ledger:
    """Copy a tuned study, each KS x turned into a coverage 1 - x: the same study upside down."""
    shutil.copytree(ledger.directory, directory)
    copied = Ledger(directory)
    for grid in (copied, copied.tuned()):
        for path in (grid.directory / "cohorts").iterdir():
            rows = pd.read_parquet(path).rename(columns={"ks": "coverage", "validation/ks": "validation/coverage"})
            rows[["coverage", "validation/coverage"]] = 1 - rows[["coverage", "validation/coverage"]]
            rows.to_parquet(path, index=False)
        for path in (grid.directory / "history").iterdir():
            rows = pd.read_parquet(path)
            scored = rows["metric"].str.endswith("/ks")
            rows.loc[scored, "value"] = 1 - rows.loc[scored, "value"]
            rows["metric"] = rows["metric"].str.replace("/ks", "/coverage")
            rows.to_parquet(path, index=False)
        plan = grid.plan().to_json()
        plan["study"]["report"] |= {"score": "coverage", "reached": {"coverage": 0.95}}
        grid.write_json("plan.json", plan)
        grid.write_json("references.json", {"coverage": COVERAGE})
    record = copied.tuning()
    record["tune"] |= {"score": "coverage", "label": COVERAGE["label"], "direction": "higher", "failed": 0.0}
    for trial in (trial for search in record["variants"].values() for trial in search["trials"]):
        trial["values"] = [1 - value for value in trial["values"][:1]] + trial["values"][1:]
        trial["scores"] = [None if score is None else 1 - score for score in trial["scores"]]
    copied.write_json("tuning.json", record)
    return copied


def name_of(levels: Levels) -> str:
    return " ".join(f"{k}={v}" for k, v in levels.items())


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)


def _trial(number, replicas, best, failing, second, pruning, rng) -> dict[str, Any]:
    params: dict[str, Any] = {"lr": float(10 ** rng.uniform(-4, -2)), "beta1": float(rng.uniform(0, 0.9))}
    params |= {"batch_size": int(rng.choice([32, 64, 128, 256, 512])), "penalty": str(rng.choice(["none", "r1"]))}
    if params["penalty"] == "r1":
        params["penalty_weight"] = float(10 ** rng.uniform(-1, 1))
    params["generator_hidden"] = [[32, 32], [64, 64]][int(rng.integers(2))]
    off = abs(math.log10(params["lr"] / 1e-3)) + 0.5 * params["beta1"]
    # Noise around the settings' own worth: the least of many lies below it.
    lost = rng.random(replicas) < failing * (1 + 4 * off)
    scores = best * 0.9 * np.exp(0.8 * off + 0.2 * rng.standard_normal(replicas))
    kept = [None if gone else float(score) for gone, score in zip(lost, scores, strict=True)]
    values = [float(np.mean([1.0 if score is None else score for score in kept]))]
    values += [float(lost.mean())] if second else []
    pruned = pruning != "none" and bool(rng.random() < 0.3)
    count = 2 if pruned else replicas
    return {
        "number": number,
        "batch": number // 8 * 8,
        "state": "PRUNED" if pruned else "COMPLETE",
        "params": params,
        "values": [] if pruned else values,
        "scores": kept[:count],
        "statuses": ["diverged" if gone else "ok" for gone in lost[:count]],
        "replicas": [f"trial{number}/{i}" for i in range(count)],
        "variant": f"trial {number}",
        "mlflow_run": "",
    }


def _provenance(trained: int, what: str) -> dict[str, Any]:
    session = {"started": "2031-05-06T07:08:09", "finished": "2031-05-06T08:08:09+00:00", "commit": "feedbee"}
    return {"sessions": [{**session, "trained": trained, "cohort_seconds": {what or "untuned": 12.5}}], "mlflow": {}}


def _write_grid(ledger, stage, factors, seeds, typical, lost, winners, rng, split, target) -> None:
    ledger.open_for_writing()
    grid = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    report = {"score": "ks", "factor": next(iter(factors), None), "reached": {"ks": 0.05}, "notes": ""}
    study = {"name": "made", "title": "Does tuning decide which loss is best?", "question": "Which loss, tuned?"}
    study |= {"scale": "laptop", "target": dict(target), "target_label": "N(3, 2²)", "steps": STEPS, "report": report}
    study |= {"factors": {f: list(levels) for f, levels in factors.items()}, "stage": stage, "first_seed": 0}
    study |= {
        "reference": {f: levels[0] for f, levels in factors.items()},
        "overrides": {},
        "checks": [],
        "scoring": {},
    }
    study |= {"claims": [1], "claim_texts": {"1": "Tuning matters more than the loss."}, "published": []}
    common = np.exp(0.1 * rng.standard_normal(seeds))  # what the replicas of one seed share
    replicas, cohorts = [], []
    for levels in grid:
        variant = name_of(levels)
        ids = [hashlib.sha256(f"{stage}{variant}{s}".encode()).hexdigest()[:16] for s in range(seeds)]
        rows, history = [], []
        for seed, replica in enumerate(ids):
            ks = typical(levels) * 1.25 ** (stage == "tuned") * common[seed] * math.exp(0.1 * rng.standard_normal())
            validation = ks * math.exp(0.03 * rng.standard_normal()) / split(stage)
            rows.append(_row(variant, levels, seed, replica, ks, validation, rng))
            if rng.random() < lost(stage, levels):
                rows[-1] |= {"status": "diverged", "failed_step": STEPS // 2, "ks": math.nan, "validation/ks": math.nan}
            curves = _history(replica, ks, validation, rng)
            history.append(curves[curves["step"] < (rows[-1]["failed_step"] or math.inf)])
        cohort = hashlib.sha256(f"{stage}{variant}".encode()).hexdigest()[:12]
        replicas += [{"id": i, "variant": variant, "seed": s} for s, i in enumerate(ids)]
        cohorts.append({"id": cohort, "mode": "vmap", "compiled": True, "width": seeds, "replicas": ids})
        ledger.write_cohort(cohort, pd.DataFrame(rows), pd.concat(history), {}, {})
    plan = {"study": study, "device": "cpu", "command": "ganbench tune made --scale laptop"}
    plan["variants"] = {name_of(g): {**BASE, **g, **winners.get(name_of(g), {})} for g in grid}
    plan |= {"levels": {name_of(g): g for g in grid}, "replicas": replicas, "cohorts": cohorts}
    ledger.write_json("plan.json", plan)
    ledger.write_json("references.json", {"ks": KS})
    ledger.write_json("provenance.json", _provenance(len(replicas), stage))


def _row(variant, levels, seed, replica, ks, validation, rng) -> dict[str, Any]:
    row = {
        "replica": replica,
        "study": "made",
        "scale": "laptop",
        "target": "gaussian",
        "variant": variant,
        "seed": seed,
    }
    row |= {"device": "cpu", "status": "ok", "failed_step": None, "reason": "", "steps": STEPS}
    row |= {f"loss_{p}{span}": 0.7 for p in ("discriminator", "generator") for span in ("", "_last", "_epoch")}
    row |= {"value_discriminator": 0.6 + 0.01 * rng.standard_normal(), "ks": ks, "validation/ks": validation}
    return row | {f"variant/{k}": v for k, v in levels.items()}


def _history(replica, ks, validation, rng) -> pd.DataFrame:
    steps = np.arange(STEPS // 10, STEPS + 1, STEPS // 10)
    wander = np.exp(2 * np.exp(-steps / 200) + 0.15 * rng.standard_normal(10))
    wander[-1] = 1.0
    noise = np.exp(0.03 * rng.standard_normal(10))
    curves = {"score/ks": ks * wander, "validation/ks": np.where(steps == STEPS, validation, ks * wander * noise)}
    curves["value/discriminator"] = 0.6 + 0.05 * rng.standard_normal(10)
    curves["gradient/generator"] = np.exp(0.3 * rng.standard_normal(10))
    return history_of(replica, {metric: (steps, values) for metric, values in curves.items()})
