"""What a study file may say. This border, and no other, checks what a person wrote."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gan.errors import InputError, nearest
from gan.replica import Scoring
from gan.scores import sample_sizes, scores_of
from gan.targets import Images, Target, make_target
from gan.variant import FIELDS, Variant

STUDIES_DIR = Path(__file__).parent
SCALES = ("smoke", "laptop", "full")
ScaleName = Literal["smoke", "laptop", "full"]

_Text = Annotated[str, MinLen(1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TargetSection(_Section):
    """`[target]`: a registered name and that target's own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    name: _Text


class ReportSection(_Section):
    """`[report]`: what the answer is about."""

    score: _Text
    """The primary score."""
    factor: _Text
    """The grid factor the question asks about."""
    reached: dict[str, float] = Field(min_length=1)
    """Scores a replica must reach to count as a success."""


class ScaleSection(_Section):
    """`[scales.NAME]`: how much is trained, and what differs from the base at this scale."""

    seeds: Annotated[int, Gt(0), Lt(100_000)]
    steps: Annotated[int, Gt(0), Lt(1_000_000_000)]
    notes: str = ""
    """Markdown for the report: what was shortened or narrowed, and what that means."""
    base: dict[str, Any] = {}
    """Overrides of `[base]`."""


class ScoringSection(_Section):
    """`[scoring]`: as gan.replica.Scoring."""

    evaluations: Annotated[int, Gt(0)] = 10
    sampling: Literal["eval", "train"] = "eval"
    seed: Annotated[int, Ge(0)] = 0


class Study(_Section):
    """A question, the grid that answers it, and how much of it to train at each scale."""

    name: str
    title: _Text
    question: _Text
    default: bool = False
    """Run by `ganbench run` without names."""
    target: TargetSection
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    scoring: ScoringSection = ScoringSection()
    report: ReportSection
    scales: dict[ScaleName, ScaleSection]


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A study at one scale: everything named, everything checked."""

    name: str
    title: str
    question: str
    scale: str
    target: Target
    target_settings: dict[str, Any]
    factors: dict[str, list[Any]]
    """Grid factors and their levels, in the file's order."""
    variants: dict[str, Variant]
    """By name, in the grid's order."""
    seeds: int
    steps: int
    scoring: Scoring
    report: dict[str, Any]


def available() -> dict[str, Path]:
    """Return the studies of this repository by name."""
    return {p.stem: p for p in sorted(STUDIES_DIR.glob("*.toml")) if p.stem != "published"}


def load(name_or_path: str) -> Study:
    """Read a study by its name or from a file.

    Raises:
        InputError: No such study, or a file that says something a study cannot; the message names file and key.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in available():
            raise InputError(f"{name_or_path}: no such study; {nearest(name_or_path, available())}")
        path = available()[name_or_path]
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a study file, as `ganbench new NAME` writes") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None
    if "name" in content:
        raise InputError(f"{path}: name: a study is named by its file; expected no such key")
    try:
        study = Study.model_validate({**content, "name": path.stem})
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error, Study)}") from None
    for scale in study.scales:
        resolve(study, scale, source=path)
    return study


def resolve(study: Study, scale: str, seeds: int | None = None, source: Path | None = None) -> Resolved:
    """Spell a study out at one scale.

    Args:
        study: As loaded.
        scale: ``smoke``, ``laptop`` or ``full``.
        seeds: Instead of the scale's number of seeds.
        source: The file to name in a message.

    Raises:
        InputError: The scale is not there, or a target, factor, level or score is not what it should be.
    """
    place = source or available().get(study.name, Path(f"{study.name}.toml"))
    if scale not in study.scales:
        raise InputError(f"{place}: scales: no scale '{scale}'; {nearest(scale, study.scales)}")
    chosen = study.scales[scale]
    try:
        target = make_target(study.target.name, **(study.target.model_extra or {}))
    except InputError as error:
        raise InputError(f"{place}: target: {error}") from None
    _check_grid(study, place)
    base = {f"base.{k}": v for k, v in study.base.items()}
    base |= {f"scales.{scale}.base.{k}": v for k, v in chosen.base.items()}
    scoring = Scoring(**study.scoring.model_dump())
    variants: dict[str, Variant] = {}
    for levels in itertools.product(*study.grid.values()):
        grid = {f"grid.{factor}": level for factor, level in zip(study.grid, levels, strict=True)}
        variant = _variant({**base, **grid}, place)
        _check_fit(variant, scoring, target, place)
        variants[variant_name(dict(zip(study.grid, levels, strict=True)))] = variant
    _check_report(study, target, place)
    return Resolved(
        name=study.name,
        title=study.title,
        question=study.question,
        scale=scale,
        target=target,
        target_settings={"name": study.target.name, **(study.target.model_extra or {})},
        factors=dict(study.grid),
        variants=variants,
        seeds=seeds or chosen.seeds,
        steps=chosen.steps,
        scoring=scoring,
        report={**study.report.model_dump(), "notes": chosen.notes},
    )


def variant_name(levels: dict[str, Any]) -> str:
    """Return a variant's name in its study: its levels, such as ``loss=saturating lr_ratio=2``."""
    return " ".join(f"{factor}={_level(level)}" for factor, level in levels.items()) or "base"


def _level(level: Any) -> str:
    if isinstance(level, list):
        return "-".join(map(str, level))
    if isinstance(level, float):
        short = f"{level:g}"
        return short if float(short) == level else repr(level)
    return str(level)


def _check_grid(study: Study, place: Path) -> None:
    for factor, levels in study.grid.items():
        if factor not in FIELDS:
            raise InputError(f"{place}: grid.{factor}: no such factor; {nearest(factor, FIELDS)}")
        if not levels:
            raise InputError(f"{place}: grid.{factor}: empty; expected at least one level")
        seen: list[Any] = []
        for level in levels:
            if level in seen:
                raise InputError(f"{place}: grid.{factor}: {level!r} stands there twice; expected distinct levels")
            seen.append(level)


def _variant(placed: dict[str, Any], place: Path) -> Variant:
    """Build a variant from settings under the keys they stand at in the file; later ones win."""
    keys: dict[str, str] = {}
    for key in placed:
        name = key.rpartition(".")[2]
        if name not in FIELDS:
            raise InputError(f"{place}: {key}: no such setting of a variant; {nearest(name, FIELDS)}")
        keys[name] = key
    # Through JSON, because only there are types strict and lists still welcome as tuples.
    content = json.dumps({name: placed[key] for name, key in keys.items()}, default=str)
    try:
        return TypeAdapter(Variant).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InputError(f"{place}: {keys[name]}: {_expectation(first)}") from None


def _check_fit(variant: Variant, scoring: Scoring, target: Target, place: Path) -> None:
    image = isinstance(target, Images)
    outputs = ("tanh", "sigmoid") if image else ("linear",)
    if variant.generator_output not in outputs:
        raise InputError(
            f"{place}: generator_output: the target {target.name} needs {' or '.join(outputs)}, "
            f"got {variant.generator_output!r}"
        )
    if isinstance(target, Images):
        _check_batches(variant, scoring, target, place)
    if variant.discriminator == "conv":
        if not isinstance(target, Images):
            raise InputError(f"{place}: discriminator: conv needs an image target, got {target.name}; expected mlp")
        if target.side >> len(variant.discriminator_channels) < 1:
            raise InputError(
                f"{place}: discriminator_channels: {len(variant.discriminator_channels)} layers halve a side of "
                f"{target.side} to nothing; expected at most {target.side.bit_length() - 1}"
            )


def _check_batches(variant: Variant, scoring: Scoring, target: Images, place: Path) -> None:
    """Refuse batches that a data set cannot fill, or that leave one sample to BatchNorm."""
    batch, images = variant.batch_size, target.train_size
    if batch > images:
        raise InputError(f"{place}: batch_size: {batch} is more than the {images:,} images of {target.name}")
    norms = "batch" in (variant.generator_norm, variant.discriminator_norm)
    if norms and variant.last_batch == "keep" and images % batch == 1:
        raise InputError(
            f"{place}: batch_size: {batch} leaves a last batch of one of {images:,} images, and BatchNorm needs two; "
            'expected another size, or last_batch = "drop"'
        )
    if scoring.sampling == "train" and norms and any(size % batch == 1 for size in sample_sizes(target)):
        raise InputError(
            f"{place}: batch_size: {batch} leaves one of the scored samples to a batch of its own, and BatchNorm needs "
            'two; expected another size, or scoring.sampling = "eval"'
        )


def _check_report(study: Study, target: Target, place: Path) -> None:
    finals = [s.name for s in scores_of(target) if s.final]
    for key, name in [("score", study.report.score), *((f"reached.{n}", n) for n in study.report.reached)]:
        if name not in finals:
            raise InputError(
                f"{place}: report.{key}: {name!r} is no final score of {target.name}; {nearest(name, finals)}"
            )
    if study.grid and study.report.factor not in study.grid:
        raise InputError(
            f"{place}: report.factor: {study.report.factor!r} is not in the grid; "
            f"{nearest(study.report.factor, study.grid)}"
        )


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        *parents, name = first["loc"]
        return f"{key}: no such key; {nearest(str(name), _keys_at(model, parents))}"
    return f"{key}: {_expectation(first)}"


def _keys_at(model: type[BaseModel], parents: list[int | str]) -> list[str]:
    """Return the keys a section may have."""
    sections = {"report": ReportSection, "scoring": ScoringSection, "scales": ScaleSection}
    section = sections.get(str(parents[0]), model) if parents else model
    return [k for k in section.model_fields if k != "name" or section is TargetSection]


def _expectation(error: Any) -> str:
    """Turn one of pydantic's errors into: what was expected, what was got, the nearest valid value."""
    got = error["input"]
    if error["type"] == "missing":
        return "missing; expected this key"
    if error["type"] == "literal_error":
        valid = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        close = difflib.get_close_matches(str(got), valid, n=1, cutoff=0.4)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"expected one of {', '.join(valid)}, got {got!r}{hint}"
    if isinstance(got, float) and not math.isfinite(got):
        return f"expected a finite number, got {got!r}"
    message = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"expected {message}, got {got!r}"
