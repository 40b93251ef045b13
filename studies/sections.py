"""The sections of a study file as pydantic models, and the message about a section that is wrong."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan.errors import LONGEST, nearest, shown
from gan.variant import Finite
from studies.scales import ScaleName
from studies.tune import FIRST_VALIDATION_SEED, Aggregate, Pruning, Sampler, Second

CheckName = Literal["logit_gradient", "jensen_shannon", "optimal_discriminator", "bilinear", "layer_gradients"]
CHECKS = get_args(CheckName)
"""What a report may hold against theory."""

NOT_WRITTEN = ("name", "path", "place")
"""Fields of a study that its file does not hold."""

CLAIMS = 8  # in the documents, numbered from 1; `claims.toml` words them

_Text = Annotated[str, MinLen(1)]


class Section(BaseModel):
    """What all sections share: no key that is not expected, no type that is not meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TargetSection(Section):
    """`[target]`: a registered name and that target's own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    name: _Text


class OutcomeSection(Section):
    """`[report.outcome]`: what the question asks of the levels of `report.factor`."""

    kind: Literal["rate", "score"]
    """How often something comes of a replica, or how `report.score` differs."""
    event: str | None = None
    """Of a rate: a verdict, `unusable` (any verdict of a generator that is of no use), or `reached` (the goal)."""
    margin: Annotated[Finite, Gt(0)] | None = None
    """Difference within which levels count as equivalent: of rates, of a score, or of a ratio the factor above 1."""
    hypotheses: list[_Text] = []
    """Such as `saturating > non_saturating`: the event is more frequent, or the score larger, with the first level. In
    this order; without any, each level is compared with the reference level."""


class ReportSection(Section):
    """`[report]`: what the answer is about."""

    score: _Text
    """The primary score."""
    factor: str | None = None
    """The grid factor the question asks about; a study without a grid has none."""
    reached: dict[str, Finite] = Field(min_length=1)
    """Scores a replica must reach to count as a success."""
    outcome: OutcomeSection | None = None
    """What decides the answer; without it, the effect on the score is described."""
    claims: list[Annotated[int, Ge(1), Le(CLAIMS)]] = []
    """Claims of the documents that this study confirms or refutes."""
    checks: list[CheckName] = []
    """Statements of theory that its report holds the measurements against."""


class BudgetSection(Section):
    """`tune` of a scale: the numbers of `[tune]` that it changes."""

    seeds: Annotated[int, Gt(0), Lt(FIRST_VALIDATION_SEED)] | None = None
    """Replicas of a trial."""
    trials: Annotated[int, Gt(0), Lt(1_000_000)] | None = None
    """Of each variant of the grid."""
    batch: Annotated[int, Gt(0)] | None = None
    """Trials of each variant that are drawn at once."""


class ParameterSection(Section):
    """`[tune.space]`: what is searched of one setting; `studies/space.py` checks the values."""

    low: Any = None
    high: Any = None
    log: bool = False
    step: Annotated[int, Gt(0)] | None = None
    points: Annotated[int, Ge(2), Le(10_000)] | None = None
    choices: list[Any] | None = None
    when: dict[str, Annotated[list[Any], MinLen(1)]] = {}


class TuneSection(BudgetSection):
    """`[tune]`: every variant of the grid is tuned, with the same budget."""

    score: _Text | None = None
    """`report.score` where there is none."""
    failed: Finite
    aggregate: Aggregate = "mean"
    sampler: Sampler = "tpe"
    second: Second | None = None
    pruning: Pruning = "none"
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    space: dict[str, ParameterSection]


class ScaleSection(Section):
    """`[scales.NAME]`: how much is trained, and what differs from the base at this scale."""

    seeds: Annotated[int, Gt(0), Lt(FIRST_VALIDATION_SEED)]
    steps: Annotated[int, Gt(0), Lt(1_000_000_000)]
    notes: str = ""
    """Markdown for the report: what was shortened or narrowed, and what that means."""
    base: dict[str, Any] = {}
    """Overrides of `[base]`."""
    tune: BudgetSection = BudgetSection()
    """Overrides of `[tune]`."""


class ScoringSection(Section):
    """`[scoring]`: as gan.replica.Scoring."""

    evaluations: Annotated[int, Gt(0), Le(1_000)] = 10
    sampling: Literal["eval", "train"] = "eval"
    seed: Annotated[int, Ge(0)] = 0
    scores: list[_Text] = []
    """Scores of plugins that are taken beside the target's own."""


class Study(Section):
    """A question, the grid that answers it, and how much of it to train at each scale."""

    name: str
    path: Path
    """The file; neither this nor the name or the place stands in it."""
    place: str
    """The file, and the part of it where it holds several studies: how messages begin."""
    title: _Text
    question: _Text
    default: bool = False
    """Run by `ganbench run` without names."""
    target: TargetSection
    base: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    """A list of levels of one setting, or a table of named bundles of settings; `studies/grid.py` checks it."""
    scoring: ScoringSection = ScoringSection()
    report: ReportSection
    tune: TuneSection | None = None
    scales: dict[ScaleName, ScaleSection]


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first of pydantic's errors in a study file as one line: the key, what was expected, what was got."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        *parents, name = first["loc"]
        return f"{key}: no such key; {nearest(str(name), _keys_at(model, parents))}"
    return f"{key}: {expectation(first)}"


def _keys_at(model: type[BaseModel], parents: list[int | str]) -> list[str]:
    """Return the keys a section may have."""
    section = model
    for parent in parents:
        if str(parent) in section.model_fields:  # and not a name that a person gave, as of a scale
            section = _section_of(section.model_fields[str(parent)].annotation) or section
    return [key for key in section.model_fields if section is not Study or key not in NOT_WRITTEN]


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds: itself, or below names that a person gives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := _section_of(part))), None)


def expectation(error: Any) -> str:
    """Turn one of pydantic's errors into: what was expected, what was got, the nearest valid value."""
    got = error["input"]
    if error["type"] == "missing":
        return "missing; expected this key"
    if error["type"] == "literal_error":
        valid = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return one_of(valid, got)
    if error["type"] in ("model_type", "dict_type"):
        return f"expected a table, got {shown(got)}"
    if error["type"] == "list_type":
        return f"expected a list, got {shown(got)}"
    if error["type"] == "too_short":
        return f"expected at least {error['ctx']['min_length']} of them, got {shown(got)}"
    if isinstance(got, float) and not math.isfinite(got):
        return f"expected a finite number, got {shown(got)}"
    message = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"expected {message}, got {shown(got)}"


def one_of(valid: Sequence[str], got: object) -> str:
    """Say which names were expected, what was got, and the nearest of them."""
    close = difflib.get_close_matches(str(got)[:LONGEST], valid, n=1, cutoff=0.4)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"expected one of {', '.join(valid)}, got {shown(got)}{hint}"
