"""What is tracked of one replica, for whichever tracker: its params, its metrics and a few files to look at.

Numbers come from the ledger's rows and history as they are. A metric named as a column of `results.csv` is
that column; `score/<name>` is the score through training, ended by the final score, and `validation/<name>` the same
against validation data, of a tuned study.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan.variant import Variant
from gan.verdict import Curves
from reports.ledger.records import PlannedStudy
from reports.ledger.verdicts import with_final

POINTS = 10  # of a metric, at most, as many as there are evaluations: the whole history is in `curves.csv`

# Columns that say which replica a result is of, and numbers that are no scores; the other columns are scores.
IDENTITY = (
    *("replica", "study", "scale", "target", "variant", "seed", "cohort"),
    *("device", "status", "reason", "steps"),
)
SUMMARY = (
    *(f"loss_{who}{suffix}" for who in ("discriminator", "generator") for suffix in ("", "_last", "_epoch")),
    *("value_discriminator", "train_seconds", "failed_step"),
)
_FIELD = "variant/"  # prefix of the columns that hold the variant's fields
VALIDATION = "validation/"  # prefix of the columns, and of the curves, of scores against validation data


def is_finite(value: Any) -> bool:
    """Say whether this is a number that can be logged: finite, not None, not pandas' NA."""
    with contextlib.suppress(TypeError):
        return not isinstance(value, str | bool) and math.isfinite(value)
    return False


def text(value: Any) -> str:
    """Write a value as a tag or a param; what is missing becomes empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(str(entry) for entry in value)
    return str(value)


def scores(row: Mapping[str, Any]) -> list[str]:
    """Name the final scores in a result."""
    known = {*IDENTITY, *SUMMARY}
    return [name for name, value in row.items() if name not in known and "/" not in name and not isinstance(value, str)]


def validated(row: Mapping[str, Any]) -> list[str]:
    """Name the final scores against validation data in a result."""
    return [name for name in row if name.startswith(VALIDATION)]


def outcome(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a result what its variant is summed up by: a study's stay in memory until its last cohort is in."""
    kept = ("replica", "target", "status", "steps", *scores(row), *validated(row))
    return {name: row[name] for name in kept if name in row}


def params(row: Mapping[str, Any], also: Iterable[str]) -> dict[str, str]:
    """Return the variant's fields and both learning rates, flat."""
    values = {name.removeprefix(_FIELD): value for name, value in row.items() if name.startswith(_FIELD)}
    if {"lr", "lr_ratio"} <= values.keys():
        rates = Variant(lr=float(values["lr"]), lr_ratio=float(values["lr_ratio"]))
        values |= {"lr_discriminator": rates.lr_discriminator, "lr_generator": rates.lr_generator}
    values |= {name: row[name] for name in also if name in row}
    return {name: text(value) for name, value in values.items()}


def planned(study: PlannedStudy, variant: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a variant's results will say of it, before there is one.

    Args:
        study: The plan's study.
        variant: Its name.
        settings: Its fields, as `plan.json` has them.
    """
    flat = {name: "-".join(map(str, value)) if isinstance(value, list) else value for name, value in settings.items()}
    known = {"variant": variant, "target": study.target.get("name"), "steps": study.steps}
    return known | {f"{_FIELD}{name}": value for name, value in flat.items()}


def metrics(row: Mapping[str, Any], curves: Curves) -> Curves:
    """Thin each curve, keeping its last point, and add the numbers of the result at the last step."""
    last = int(row["steps"])
    finals = {f"score/{name}": row[name] for name in scores(row)} | {name: row[name] for name in validated(row)}
    series = with_final(curves, last, finals).items()
    finite = {name: [point for point in points if math.isfinite(point[1])] for name, points in series}
    finite |= {name: [(last, float(row[name]))] for name in SUMMARY if name in row and is_finite(row[name])}
    return {name: _thin(points) for name, points in finite.items() if points}


def aggregates(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what a variant's replicas come to: how many there are, how many failed, and the median of each score."""
    values: dict[str, float] = {}
    for score in [*scores(rows[0]), *validated(rows[0])]:
        finite = [float(row[score]) for row in rows if is_finite(row[score])]
        if finite:
            values[f"median/{score}"] = float(np.median(finite))
    # Behind the scores: MLflow's comparison of runs draws the metric that was written first.
    values |= {"replicas": len(rows), "failures": sum(row["status"] != "ok" for row in rows)}
    return values


def _thin(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    if len(points) <= POINTS:
        return points
    return [points[round(k * (len(points) - 1) / (POINTS - 1))] for k in range(POINTS)]


# Artifacts.


def files(curves: Curves, samples: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return what a reader of one run wants to see: unthinned curves, and sample grids or quantiles."""
    made: dict[str, bytes] = {}
    if curves:
        by_step: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name, points in curves.items():
            for step, value in points:
                by_step[step][name] = value
        rows = ([step, *(by_step[step].get(name, "") for name in curves)] for step in sorted(by_step))
        made["curves.csv"] = _csv(["step", *curves], rows)
    final, progress = samples.get("final"), samples.get("progress")
    steps = samples.get("steps", np.arange(0 if progress is None else len(progress)))
    image = next((array.dtype == np.uint8 for array in (final, progress) if array is not None), False)
    if image and final is not None:
        made["samples/final.png"] = _grid(final, columns=10)
    if image and progress is not None:  # a row an evaluation, the same latents down each column
        made["samples/progress.png"] = _grid(progress.reshape(-1, progress.shape[-1]), columns=progress.shape[1])
    if not image and progress is not None and progress.shape[-1] == 1:  # of a game of two numbers the curves say all
        levels = np.linspace(0.05, 0.95, 19)
        finite = [(int(step), values[np.isfinite(values)]) for step, values in zip(steps, progress, strict=True)]
        rows = ([step, *np.quantile(values, levels).tolist()] for step, values in finite if values.size)
        made["samples/quantiles.csv"] = _csv(["step", *(f"{level:.2f}" for level in levels)], rows)
    return made


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


def _grid(images: np.ndarray, columns: int) -> bytes:
    """Draw square uint8 images [n, side * side] in rows of `columns`, as PNG."""
    from PIL import Image

    side = math.isqrt(images.shape[-1])
    zoom, rows, gap = max(1, 32 // side), math.ceil(len(images) / columns), 1
    sheet = np.full((rows * columns, side + gap, side + gap), 255, np.uint8)
    sheet[: len(images), :side, :side] = images.reshape(-1, side, side)
    pixels = sheet.reshape(rows, columns, side + gap, side + gap).swapaxes(1, 2).reshape(rows * (side + gap), -1)
    file = io.BytesIO()
    Image.fromarray(pixels.repeat(zoom, 0).repeat(zoom, 1)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def write_files(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write files under a directory, making folders as needed."""
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
