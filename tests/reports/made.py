"""A study's evidence out of the air, for the figures, and what is asked of every figure."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan.verdict import UNUSABLE, VERDICTS
from reports.figures.layout import Picture
from reports.ledger.histories import Records
from reports.ledger.ledger import HISTORY, Ledger
from reports.ledger.records import REFERENCES, PlanRecord
from reports.study.evidence import Evidence

KS = {"label": "KS statistic", "direction": "lower", "n": 10000, "floor": 0.009, "noise": None}
COVERAGE = {"label": "Share of 100 bins covered", "direction": "higher", "n": 10000, "floor": 1.0, "noise": None}
RADIUS = {"label": "distance from the equilibrium", "direction": "lower", "n": 1, "floor": None, "noise": None}
STEPS = 1000
GAUSSIAN = {"name": "gaussian", "mean": 3.0, "std": 2.0}
Levels = dict[str, Any]


def make_evidence(
    factors: Mapping[str, Sequence[str]],
    seeds: int,
    value: Callable[[Levels, int], float] = lambda levels, seed: 0.02 + 0.001 * seed,
    verdict: Callable[[Levels, int], str] = lambda levels, seed: "converged",
    *,
    settings: Callable[[Levels], dict[str, Any]] = lambda levels: {},
    checks: Sequence[str] = (),
    target: Mapping[str, Any] = GAUSSIAN,
    references: Mapping[str, dict[str, Any]] | None = None,
    collapse: Callable[[Levels, int], float] = lambda levels, seed: math.nan,
    ledger: Ledger | None = None,
) -> Evidence:
    """A study's evidence out of the air; the verdicts "diverged" and "" (not trained) set the status."""
    references = dict(references or {"ks": KS})
    primary = next(iter(references))
    grid = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    names = [" ".join(f"{k}={v}" for k, v in levels.items()) for levels in grid]
    rows = []
    for name, levels in zip(names, grid, strict=True):
        for seed in range(seeds):
            judged = verdict(levels, seed)
            status = {"diverged": "diverged", "": "failed"}.get(judged, "ok")
            row = {"variant": name, "seed": seed, **levels, "status": status, "verdict": judged or None}
            row |= {"time_to_collapse": collapse(levels, seed), "steps": STEPS}
            lost_at = STEPS / 2 if judged in UNUSABLE else math.nan
            row["time_to_unusable"] = lost_at if math.isnan(row["time_to_collapse"]) else row["time_to_collapse"]
            row |= {s: value(levels, seed) if status == "ok" else math.nan for s in references}
            rows.append(row | {"value_discriminator": 0.6, "replica": f"{name}/{seed}".replace(" ", "_")})
    results = pd.DataFrame(rows)
    report = {"score": primary, "factor": next(iter(factors), None), "reached": {primary: 0.05}, "notes": ""}
    study = {
        "name": "made",
        "scale": "laptop",
        "title": "Made",
        "question": "?",
        "target": dict(target),
        "target_label": "N(3, 2²)",
    }
    study |= {"steps": STEPS, "factors": {k: list(v) for k, v in factors.items()}, "report": report}
    study |= {"checks": list(checks), "reference": {k: v[0] for k, v in factors.items()}}
    plan = {"study": study, "variants": {n: settings(v) for n, v in zip(names, grid, strict=True)}}
    plan |= {"levels": dict(zip(names, grid, strict=True)), "cohorts": []}
    plan["replicas"] = [{"id": r["replica"], "variant": r["variant"], "seed": r["seed"]} for r in rows]
    variants = pd.DataFrame(grid, index=pd.Index(names, name="variant"), columns=pd.Index(list(factors)))
    return Evidence(
        PlanRecord.model_validate_json(json.dumps(plan)),
        REFERENCES.validate_python(references),
        results,
        variants,
        ledger or Ledger(Path("nowhere")),
        Records.of_table(pd.DataFrame(columns=pd.Index(HISTORY))),
    )


def with_history(evidence: Evidence, history: pd.DataFrame | None = None) -> Evidence:
    """The same evidence with these records, or with those of `make_history`."""
    return replace(evidence, records=Records.of_table(make_history(evidence) if history is None else history))


def make_history(evidence: Evidence, layers: int = 3) -> pd.DataFrame:
    """Curves of every replica that was trained; a diverged one's end halfway."""
    rng = np.random.default_rng(3)
    steps, evaluations = np.arange(20, STEPS + 1, 20), np.arange(100, STEPS + 1, 100)
    tables = []
    trained = evidence.results[evidence.results["status"] != "failed"]
    for replica, verdict in zip(trained["replica"], trained["verdict"], strict=True):
        curves = {"value/discriminator": (steps, 0.6 + 0.05 * rng.standard_normal(len(steps)))}
        curves["gradient/generator"] = steps, np.exp(0.3 * rng.standard_normal(len(steps)))
        for layer in range(1, layers + 1):
            curves[f"gradient/generator/{layer}"] = (
                steps,
                10.0 ** (layer - 4) * np.exp(0.2 * rng.standard_normal(len(steps))),
            )
        for score in evidence.references:
            curves[f"score/{score}"] = evaluations, np.exp(-evaluations / 400 + 0.2 * rng.standard_normal(10))
        rows = history_of(replica, curves)
        tables.append(rows[rows["step"] <= STEPS // 2] if verdict == "diverged" else rows)
    return pd.concat(tables, ignore_index=True)


def history_of(replica: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """The rows of one replica's curves, each of steps and values, in one table: a table a curve takes much longer."""
    metrics = np.repeat(list(curves), [len(x) for x, _ in curves.values()])
    steps, values = (np.concatenate(parts) for parts in zip(*curves.values(), strict=True))
    return pd.DataFrame({"replica": replica, "step": steps, "metric": metrics, "value": values})


def render(figure: Figure) -> bytes:
    """The figure as a report prints it: drawn once, where `savefig` draws twice."""
    buffer = io.BytesIO()
    figure.set_dpi(60)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def by_name(pictures: Iterable[Picture]) -> dict[str, Picture]:
    return {picture.name: picture for picture in pictures}


def named(pictures: Iterable[Picture], name: str) -> Picture:
    """One picture, without making those that come after it."""
    return next(picture for picture in pictures if picture.name == name)


def clipped_texts(figure: Figure) -> list[str]:
    """Draw a figure; return texts that leave the page, and tick labels of one vertical axis that overlap."""
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    wrong = []
    for ax in figure.get_axes():
        low, high = sorted(ax.get_ylim())
        ticks = [t for t in ax.get_yticklabels() if t.get_text() and low <= t.get_position()[1] <= high]
        boxes = [t.get_window_extent() for t in [*ticks, *ax.texts, ax.title] if t.get_text()]
        wrong += [t.get_text() for t in ticks if t.get_window_extent().x0 < -1]
        wrong += ["text" for box in boxes if box.x1 > page.x1 + 1 or box.x0 < -1]
        heights = sorted((t.get_window_extent().y0, t.get_window_extent().y1) for t in ticks)
        wrong += ["overlap" for one, two in itertools.pairwise(heights) if two[0] < one[1] - 3]
    for legend in figure.legends:
        box = legend.get_window_extent()
        wrong += ["legend"] if box.x0 < -1 or box.x1 > page.x1 + 1 else []
    return wrong


LARGE = {
    "loss": ["non_saturating", "saturating"],
    "generator_norm": ["none", "batch"],
    "lr_ratio": ["0.1", "0.5", "1", "2", "10"],
    "discriminator_hidden": ["(32, 64, 32)", "(256, 128)"],
}


def mixed(levels: Levels, seed: int) -> str:
    place = sum(map(len, levels.values())) + seed
    return [*VERDICTS, ""][place % (len(VERDICTS) + 1)] if levels["lr_ratio"] in ("0.1", "10") else "converged"


def spread_out(levels: Levels, seed: int) -> float:
    return 0.01 * float(levels["lr_ratio"]) ** 0.7 * (2 if levels["loss"] == "saturating" else 1) * 1.1**seed
