"""The columns of a result, one row a replica: the ledger, MLflow, reports, exports and checks of names read this table.

To add a column is to add a line here, and to measure it. What a study adds stands beside them: its factors, its scores
(also as ``repeat/<score>`` and ``validation/<score>``), and the settings of each variant as ``variant/<setting>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gan.verdict import UNUSABLE, VERDICTS

STEPS, NATS, NONE = "steps", "nats", ""
"""Units; a number without one is a share, a count or a name."""


@dataclass(frozen=True)
class Column:
    """A column of the table of results."""

    name: str
    meaning: str
    unit: str = NONE
    dtype: Literal["str", "int64", "Int64", "float64"] = "str"
    """As pandas has it; Int64 may be missing."""
    kind: Literal["identity", "ending", "judged", "number"] = "number"
    """Which replica it is; how it ended, in words; what `gan.verdict.Judgement` measures; another number."""
    direction: Literal["lower", "higher"] | None = None
    """Which end is good; None where that says nothing."""
    reported: bool = True
    """Whether `results.csv` of a report has it; the ledger has all but what is judged."""


def _losses() -> list[Column]:
    spans = {"": "as trained, mean of the last 100 steps", "_last": "at the last step"}
    spans["_epoch"] = "mean of the last epoch of an image data set"
    return [
        Column(f"loss_{player}{span}", f"loss of the {player}, {meaning}", NATS, "float64")
        for span, meaning in spans.items()
        for player in ("discriminator", "generator")
    ]


_SEED = "training seed: variants of one seed share initial values, data order and latents, so they pair"
_GOAL = "first evaluated step at which every score of the goal was met; empty: never, or no goal"
_DRIFT = "how much worse the leading goal score ended than its best since the goal was met"
_SWING = "half the 5 to 95 % range of value/discriminator over the last quarter, less its line"
_COLLAPSE = "evaluated step from which on coverage or diversity was lost for good; empty: never"
_UNUSABLE = f"step from which on it was of no use, by the verdict {' or '.join(UNUSABLE)}; empty: of use"

COLUMNS: Final = (
    Column("study", "name of the study", kind="identity"),
    Column("scale", "its scale: how many seeds and steps", kind="identity"),
    Column("target", "the data that are learned", kind="identity"),
    Column("variant", "the configuration, by its level of each factor", kind="identity"),
    Column("seed", _SEED, dtype="int64", kind="identity"),
    Column("status", "ok; diverged: turned non-finite; failed: could not be run", kind="ending"),
    Column("verdict", f"what became of it: {', '.join([*VERDICTS][:-1])} or {[*VERDICTS][-1]}", kind="judged"),
    Column("time_to_goal", _GOAL, STEPS, "float64", "judged", "lower"),
    Column("drift", _DRIFT, "as the score", "float64", "judged", "lower"),
    Column("oscillation", _SWING, NATS, "float64", "judged", "lower"),
    Column("time_to_collapse", _COLLAPSE, STEPS, "float64", "judged", "higher"),
    Column("time_to_unusable", _UNUSABLE, STEPS, "float64", "judged", "higher"),
    Column("steps", "steps it was to be trained for", STEPS, "int64", "identity"),
    *_losses(),
    Column("value_discriminator", "mean of value/discriminator over the last 100 steps", NATS, "float64"),
    Column("replica", "its id: a hash of everything that decides its result", kind="identity"),
    Column("failed_step", "first step at which it was not finite", STEPS, "Int64", reported=False),
    Column("reason", "why it ended early", kind="ending", reported=False),
    Column("device", "kind of device: cpu and cuda draw other random numbers", kind="identity", reported=False),
    Column("cohort", "id of the replicas it was trained side by side with", kind="identity", reported=False),
    Column("scored_by", "digest of the definitions of its final scores", kind="identity", reported=False),
    Column("train_seconds", "time of training, shared by its cohort", "seconds", "float64", reported=False),
)
"""In the order of `results.csv`, which has a study's factors after the seed, and its scores before the replica."""

NAMES: Final = frozenset(column.name for column in COLUMNS)
LOSSES: Final = tuple(column.name for column in _losses())
"""Means of the last 100 steps, the last step, the mean of the last epoch."""
JUDGED: Final = tuple(column.name for column in COLUMNS if column.kind == "judged")
NUMBERS: Final = tuple(column.name for column in COLUMNS if column.kind == "number" and column.reported)
"""The losses and the value: what every replica has, whatever its target scores."""


def number_label(value: float) -> str:
    """Return a setting's number as a person writes it, to six digits where these are all, else exactly.

    Levels that agree to six digits are two levels: a label tells them apart.
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def level_label(value: Any) -> str:
    """Return a factor's level as a person reads it: 0.5, batch, true, (32, 64, 32)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number_label(value)
    if isinstance(value, list | tuple):
        return f"({', '.join(level_label(v) for v in value)})"
    return str(value)


def setting_columns(settings: Mapping[str, object]) -> dict[str, object]:
    """Return a variant's settings as columns ``variant/<setting>``, a list of numbers as text such as ``32-32``."""
    return {
        f"variant/{name}": "-".join(map(str, value)) if isinstance(value, list) else value
        for name, value in settings.items()
    }


def results_columns(factors: list[str], scores: list[str]) -> list[str]:
    """Return the columns of `results.csv` in their order.

    Args:
        factors: Of the grid.
        scores: Their columns, the repeated and the held-out ones too.
    """
    names = [column.name for column in COLUMNS if column.reported]
    after_seed, replica = names.index("seed") + 1, names.index("replica")
    return [*names[:after_seed], *factors, *names[after_seed:replica], *scores, *names[replica:]]
