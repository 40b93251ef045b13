"""Ledgers made up for the reports: the files of a run directory, without a run."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.figures import primitives
from reports.figures.layout import Picture
from reports.ledger.ledger import Ledger
from reports.study.evidence import Evidence, gather

from .made import history_of

GAUSSIAN = {
    "name": "gaussian",
    "title": "Does the generator's loss decide whether a GAN learns a Gaussian?",
    "question": "Does the saturating loss fail more often, and does BatchNorm or the ratio change that?",
    "target": {"name": "gaussian", "mean": 3.0, "std": 2.0},
    "target_label": "N(3, 2²)",
    "steps": 1500,
    "factors": {
        "loss": ["non_saturating", "saturating"],
        "generator_norm": ["none", "batch"],
        "lr_ratio": [0.5, 1, 2],
    },
    "report": {"score": "ks", "factor": "loss", "reached": {"ks": 0.05}, "notes": ""},
    "claims": [1, 8],
    "claim_texts": {"1": "The saturating loss starves the generator.", "8": "Balance matters more than the loss."},
    "checks": ["logit_gradient"],
}
GAUSSIAN_SCORES = {
    "ks": {"label": "KS statistic", "direction": "lower", "n": 10000, "floor": 0.0087, "noise": 0.31},
    "coverage": {
        "label": "Share of 100 bins covered",
        "direction": "higher",
        "n": 10000,
        "floor": 1.0,
        "noise": None,
    },
}
DIGITS = {
    "name": "digits",
    "title": "Loss, BatchNorm and discriminator on digits",
    "question": "Which of loss, generator BatchNorm and a conv discriminator matter on small digits?",
    "target": {"name": "digits"},
    "target_label": "digits 8 × 8",
    "steps": 3000,
    "factors": {
        "loss": ["non_saturating", "saturating"],
        "generator_norm": ["none", "batch"],
        "discriminator": ["mlp", "conv"],
    },
    "report": {
        "score": "fid_500",
        "factor": "loss",
        "reached": {"fid_500": 30, "modes": 10},
        "notes": "A shortened run.",
    },
    "overrides": {"batch_size": 32, "generator_hidden": [32, 32]},
    "claims": [1],
    "claim_texts": {"1": "The saturating loss starves the generator."},
}
DIGITS_SCORES = {
    "fid_500": {"label": "FID at 500 samples", "direction": "lower", "n": 500, "floor": 2.1, "noise": 410.0},
    "modes": {"label": "Classes covered of 10", "direction": "higher", "n": 500, "floor": 10, "noise": 0},
    "hq_share": {"label": "High-quality share", "direction": "higher", "n": 500, "floor": 0.95, "noise": 0.0},
    "mode_kl": {
        "label": "KL to the real class shares",
        "direction": "lower",
        "n": 500,
        "floor": 0.009,
        "noise": 2.4,
    },
}


def level_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def write_ledger(
    directory: Path,
    study: dict[str, Any],
    references: dict[str, Any],
    seeds: int,
    difficulty: Callable[[dict[str, Any]], float],
    failing: Callable[[dict[str, Any]], float],
) -> Ledger:
    """Write a finished study: scores grow with `difficulty`, replicas fail at the rate `failing`."""
    rng = np.random.default_rng(7)
    named = {f: levels for f, levels in study["factors"].items() if isinstance(levels, dict)}
    factors = {f: list(levels) for f, levels in study["factors"].items()}
    defaults = {"scoring": {}, "overrides": {}, "claims": [], "claim_texts": {}, "checks": [], "published": []}
    reference = {f: levels[0] for f, levels in factors.items()}
    study = {**defaults, "reference": reference, **study, "scale": "laptop", "factors": factors}
    grid = [
        dict(zip(study["factors"], levels, strict=True)) for levels in itertools.product(*study["factors"].values())
    ]

    def name(levels: dict[str, Any]) -> str:
        return " ".join(f"{k}={level_text(v)}" for k, v in levels.items())

    def settings(levels: dict[str, Any]) -> dict[str, Any]:
        bundles = {k: v for f in named for k, v in named[f][levels[f]].items()}
        plain = {f: level for f, level in levels.items() if f not in named}
        return {
            "loss": "non_saturating",
            "lr": 7e-4,
            "generator_hidden": [32, 32],
            "penalty": "none",
            **plain,
            **bundles,
        }

    variants = {name(levels): settings(levels) for levels in grid}
    replicas, cohorts = [], []
    ledger = Ledger(directory)
    ledger.open_for_writing()
    for levels in grid:
        variant = name(levels)
        ids = [hashlib.sha256(f"{study['name']}{variant}{s}".encode()).hexdigest()[:16] for s in range(seeds)]
        cohort = hashlib.sha256(variant.encode()).hexdigest()[:12]
        replicas += [{"id": i, "variant": variant, "seed": s} for s, i in enumerate(ids)]
        cohorts.append({"id": cohort, "mode": "vmap", "compiled": True, "width": seeds, "replicas": ids})
        rows, history, samples = [], [], {}
        for seed, replica in enumerate(ids):
            quality = difficulty(levels) * math.exp(0.35 * rng.standard_normal())
            diverged = bool(rng.random() < failing(levels))
            rows.append(_row(study, references, variant, levels, cohort, seed, replica, quality, diverged, rng))
            history.append(_history(study, references, levels, replica, quality, diverged, rng))
            if not diverged:
                samples[f"{replica}/final"] = _samples(study, quality, rng)
        ledger.write_cohort(cohort, pd.DataFrame(rows), pd.concat(history), samples, {})
    plan = {"study": study, "device": "cpu", "command": f"ganbench run {study['name']} --scale laptop"}
    plan |= {"levels": {name(levels): levels for levels in grid}}
    plan |= {"variants": variants, "replicas": replicas, "cohorts": cohorts}
    session = {"started": "2031-05-06T07:08:09", "finished": "2031-05-06T08:08:09+00:00", "wall_seconds": 123.456}
    provenance: dict[str, Any] = {"sessions": [{**session, "commit": "feedbee", "trained": len(replicas)}]}
    provenance["mlflow"] = {"runs": ["run-id-of-the-tracker"]}
    for stem, content in {"plan": plan, "references": references, "provenance": provenance}.items():
        ledger.write_json(f"{stem}.json", content)
    return ledger


def _row(study, references, variant, levels, cohort, seed, replica, quality, diverged, rng) -> dict[str, Any]:
    row = {"replica": replica, "study": study["name"], "scale": "laptop", "target": study["target"]["name"]}
    row |= {"variant": variant, "seed": seed, "cohort": cohort, "device": "cpu"}
    row |= {"status": "diverged" if diverged else "ok", "failed_step": 700 if diverged else None}
    row |= {"reason": "the generator's loss is not finite" if diverged else "", "steps": study["steps"]}
    value = np.nan if diverged else math.log(2) - min(0.6, quality * 0.8)
    for span in ("", "_last", "_epoch"):
        row[f"loss_discriminator{span}"] = value + 0.01 * rng.standard_normal()
        row[f"loss_generator{span}"] = 0.75 + quality + 0.02 * rng.standard_normal()
    row["value_discriminator"] = value
    scores = {s: np.nan if diverged else _score(s, quality) for s in references}
    row |= scores
    # Taken again on other latents, a score moves by a hundredth; what is counted stays.
    row |= {f"repeat/{s}": v if s == "modes" else v * (1 + 0.01 * rng.standard_normal()) for s, v in scores.items()}
    row["train_seconds"] = 9.87
    return row | {f"variant/{k}": v for k, v in levels.items()}


def _score(score: str, quality: float) -> float:
    if score == "ks":
        return 0.008 + 0.5 * quality
    if score == "coverage":
        return max(0.0, 1 - quality)
    if score.startswith("fid"):
        return 4 + 120 * quality
    if score == "modes":
        return float(max(1, 10 - round(8 * quality)))
    return max(0.0, 0.95 - quality) if score == "hq_share" else 0.01 + quality


def _history(study, references, levels, replica, quality, diverged, rng) -> pd.DataFrame:
    steps = np.linspace(study["steps"] / 60, study["steps"], 60).astype(int)
    evaluations = np.linspace(0, study["steps"], 11).astype(int)[1:]
    progress = steps / study["steps"]
    value = math.log(2) - min(0.6, quality * 0.8) * progress - 0.3 * np.exp(-progress * 15)
    saturating = levels.get("loss") == "saturating"
    generator = (-1 if saturating else 1) * (0.69 + quality * progress * 2 + 0.8 * np.exp(-progress * 15))
    fake = np.clip(0.5 - 0.4 * quality * progress, 0.01, 0.5)
    norm = 0.3 + np.exp(-progress * 10)
    curves = {"value/discriminator": (steps, value), "loss/discriminator": (steps, 2 * value)}
    curves |= {"loss/generator": (steps, generator)}
    curves |= {"output/real": (steps, 1 - fake), "output/fake": (steps, fake), "output/generator": (steps, fake)}
    curves |= {"gradient/discriminator": (steps, norm), "gradient/generator": (steps, norm)}
    curves |= {"gradient/logits": (steps, fake if saturating else 1 - fake)}
    curves |= {f"gradient/generator/{layer}": (steps, norm / 2**layer) for layer in (1, 2, 3)}
    at = evaluations / study["steps"]
    for score, reference in references.items():
        final = _score(score, quality)
        gone = 6 * np.exp(-6 * at)
        curves[f"score/{score}"] = (
            evaluations,
            final * (1 + gone if reference["direction"] == "lower" else 1 - gone / 6),
        )
    if study["target"]["name"] != "gaussian":
        epochs = steps[4::5]
        curves |= {
            "epoch/loss/discriminator": (epochs, 2 * value[4::5]),
            "epoch/loss/generator": (epochs, generator[4::5]),
        }
    noisy = {}
    for metric, (x, y) in curves.items():
        exact = metric.startswith(("output/generator", "gradient/logits", "score/modes", "score/coverage"))
        noisy[metric] = x, y if exact else y * (1 + 0.03 * rng.standard_normal(len(y)))
    rows = history_of(replica, noisy)
    return rows[rows["step"] < 700] if diverged else rows


def _samples(study, quality, rng) -> np.ndarray:
    if study["target"]["name"] == "gaussian":
        spread = 2 * (1 - min(quality, 0.9))
        return (3 + quality + spread * rng.standard_normal((10000, 1))).astype(np.float32)
    images = _digits()[rng.integers(0, 1797, 100)] * 255 / 16
    return np.clip(images + 200 * quality * rng.standard_normal(images.shape), 0, 255).astype(np.uint8)


@functools.cache
def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.asarray(load_digits(return_X_y=True)[0])


def gaussian_difficulty(levels: dict[str, Any]) -> float:
    return (
        0.03
        * (3 if levels["loss"] == "saturating" else 1)
        * (1.6 if levels["generator_norm"] == "none" else 1)
        * (1 + 0.4 * abs(math.log2(levels["lr_ratio"])))
    )


@pytest.fixture
def style() -> Iterator[None]:
    """The reports' own look, whatever the machine's matplotlibrc."""
    import matplotlib

    from reports.figures.primitives import STYLE

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.use("Agg")
        matplotlib.rcParams.update(STYLE)
        yield


@pytest.fixture(scope="session")
def gaussian(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return write_ledger(
        tmp_path_factory.mktemp("gaussian") / "runs",
        GAUSSIAN,
        GAUSSIAN_SCORES,
        10,  # seeds: enough for the nine contrasts of this grid
        gaussian_difficulty,
        lambda levels: 0.0,
    )


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Some replicas diverge, and in one variant most of them."""
    return write_ledger(
        tmp_path_factory.mktemp("digits") / "runs",
        DIGITS,
        DIGITS_SCORES,
        10,
        lambda levels: (
            0.1 * (2.5 if levels["loss"] == "saturating" else 1) * (2 if levels["discriminator"] == "conv" else 1)
        ),
        lambda levels: 0.8 if (levels["loss"], levels["discriminator"]) == ("saturating", "conv") else 0.1,
    )


def _with_factors(directory: Path, factors: dict[str, list[Any]], seeds: int, failing: float) -> Ledger:
    report = {**GAUSSIAN["report"], "factor": next(iter(factors), None)}
    study = {**GAUSSIAN, "factors": factors, "report": report}
    return write_ledger(directory, study, GAUSSIAN_SCORES, seeds, lambda levels: 0.05, lambda levels: failing)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """One factor of two levels, three seeds: quick to compile."""
    return _with_factors(tmp_path_factory.mktemp("small") / "runs", {"loss": ["non_saturating", "saturating"]}, 3, 0.0)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """One factor whose levels are named bundles of settings, of which the second is the reference."""
    recipes = {"plain": {}, "r1": {"penalty": "r1", "lr": 1e-3}}
    study = {
        **GAUSSIAN,
        "factors": {"recipe": recipes, "beta1": [0.0, 0.5]},
        "reference": {"recipe": "r1", "beta1": 0.0},
    }
    study = {**study, "report": {**GAUSSIAN["report"], "factor": "recipe"}, "checks": []}
    directory = tmp_path_factory.mktemp("bundles") / "runs"
    return write_ledger(
        directory, study, GAUSSIAN_SCORES, 8, lambda levels: 0.03 if levels["recipe"] == "r1" else 0.09, lambda _: 0.0
    )


@pytest.fixture(scope="session")
def gathered() -> Callable[[Ledger], Evidence]:
    """Evidence of a ledger that no test changes, gathered once for all of them."""
    return functools.cache(gather)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty figure in place of all: for tests that are about something else."""

    def pictures(*_: object) -> Iterator[Picture]:
        yield Picture("scores.png", "Final scores", "Nothing.", Figure(figsize=(1, 1)))

    monkeypatch.setattr("reports.figures.overview.pictures", pictures)
    monkeypatch.setattr("reports.tuning.figures.tuning_pictures", pictures)


@pytest.fixture
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure is made, and a blank page printed in its place: for tests that look at captions, not at figures."""
    print_blank_pages(monkeypatch)


def print_blank_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    print_png = FigureCanvasAgg.print_png

    def blank(_: FigureCanvasAgg, path: Path, **more: Any) -> None:
        print_png(FigureCanvasAgg(Figure(figsize=(1, 1))), path, **more)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", blank)


@pytest.fixture
def unlaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn small and without a layout, which takes long: for tests of what is drawn, not of where."""
    lay_nothing_out(monkeypatch)


def lay_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def new_figure(height: float) -> Figure:
        return Figure(figsize=(primitives.WIDTH, height), dpi=50)

    monkeypatch.setattr(primitives, "new_figure", new_figure)


@pytest.fixture(scope="session")
def make_ledger() -> Callable[..., Ledger]:
    return _with_factors


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[..., Ledger]:
    """Copy a run directory, so that a test may damage it; `change` edits its plan."""

    def copy(ledger: Ledger, change: Callable[[dict[str, Any]], object] = lambda plan: None) -> Ledger:
        shutil.copytree(ledger.directory, tmp_path / "run")
        copied = Ledger(tmp_path / "run")
        plan = copied.plan().to_json()
        change(plan)
        copied.write_json("plan.json", plan)
        return copied

    return copy


@pytest.fixture
def altered() -> Callable[..., Ledger]:
    """A ledger whose rows were other ones."""

    def alter(ledger: Ledger, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Ledger:
        class Altered(Ledger):
            def results(self) -> pd.DataFrame:
                return change(super().results())

        return Altered(ledger.directory)

    return alter
