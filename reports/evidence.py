"""What a report knows: a ledger read once, its replicas lined up with the plan that asked for them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks.ledger import LOSSES, Ledger
from gan.errors import InputError, nearest

EQUILIBRIUM = math.log(2)  # the discriminator's value when it cannot tell real from generated


def level_label(value: Any) -> str:
    """Return a factor's level as a person reads it: 0.5, batch, true, (32, 64, 32)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(level_label(v) for v in value)})"
    return str(value)


@dataclass(frozen=True)
class Evidence:
    """One study's plan and finished replicas, in a fixed order: variants as planned, then seeds."""

    plan: dict[str, Any]
    references: dict[str, dict[str, Any]]
    results: pd.DataFrame
    """One row a finished replica, with the columns of `results.csv`."""
    variants: pd.DataFrame
    """Labels of each variant's levels: index variant, one column a factor."""

    @property
    def study(self) -> dict[str, Any]:
        """The plan's study."""
        return self.plan["study"]

    @property
    def factors(self) -> dict[str, list[str]]:
        """Level labels of each factor, in the grid's order."""
        return {name: [level_label(v) for v in levels] for name, levels in self.study["factors"].items()}

    @property
    def factor(self) -> str | None:
        """The factor that the question is about; None in a study without a grid."""
        named = self.study["report"].get("factor")
        return named if named in self.factors else next(iter(self.factors), None)

    @property
    def scores(self) -> list[str]:
        """Final scores, the report's own first."""
        primary = self.study["report"].get("score")
        present = [name for name in self.references if name in self.results]
        return sorted(present, key=lambda name: name != primary)

    @property
    def primary(self) -> str:
        """The score that ranks the variants."""
        return self.scores[0]

    @property
    def reached(self) -> dict[str, float]:
        """Thresholds that a replica must meet, all of them, to count as having reached the goal."""
        return self.study["report"].get("reached") or {}

    @property
    def planned(self) -> list[dict[str, Any]]:
        """The replicas the plan asks for."""
        return self.plan["replicas"]

    @property
    def missing(self) -> pd.DataFrame:
        """Planned replicas that have not finished: columns id, variant, seed."""
        planned = pd.DataFrame(self.planned, columns=["id", "variant", "seed"])
        return planned[~planned["id"].isin(self.results["replica"])]

    def direction(self, score: str) -> str:
        """Which end of a score is good: "lower" or "higher"."""
        return self.references[score]["direction"]

    def label(self, score: str) -> str:
        """The score's name for people."""
        return self.references[score]["label"]

    def floor(self, score: str) -> float | None:
        """What real data scores at the same N; None where that says nothing."""
        return self.references[score].get("floor")

    def of(self, variant: str) -> pd.DataFrame:
        """Finished replicas of one variant, by seed."""
        return self.results[self.results["variant"] == variant]


def gather(ledger: Ledger) -> Evidence:
    """Read the plan, the references and every finished replica of a ledger.

    Raises:
        InputError: No cohort has finished yet, or the report asks for a score that the study has not.
    """
    plan, references = ledger.plan(), ledger.references()
    rows = ledger.results()
    if rows.empty:
        raise InputError(f"{ledger.directory}: no replica has finished, so there is nothing to report on yet.")
    evidence = Evidence(plan, references, _tidy(rows, plan, references), _variants(plan))
    if evidence.results.empty:
        raise InputError(f"{ledger.directory}: none of its finished replicas is in its plan.")
    wanted = [evidence.study["report"].get("score"), *evidence.reached]
    for name in filter(None, wanted):
        if name not in evidence.scores:
            raise InputError(
                f"{ledger.directory}: the report asks for the score '{name}', which the study has not; "
                f"{nearest(name, evidence.scores)}"
            )
    return evidence


def _tidy(rows: pd.DataFrame, plan: dict[str, Any], references: Iterable[str]) -> pd.DataFrame:
    """Return the finished replicas of the plan with the columns of `results.csv`, in the plan's order."""
    planned = {replica["id"]: replica for replica in plan["replicas"]}
    variant_order = {name: i for i, name in enumerate(plan["variants"])}
    rows = rows[rows["replica"].isin(list(planned))].copy()
    # A replica keeps its id when the grid around it changes; what it is called here is the plan's to say.
    rows["study"], rows["scale"] = plan["study"]["name"], plan["study"]["scale"]
    rows["variant"] = rows["replica"].map({id: replica["variant"] for id, replica in planned.items()})
    rows["seed"] = rows["replica"].map({id: replica["seed"] for id, replica in planned.items()})
    for factor, levels in plan["study"]["factors"].items():
        # From the plan, not the parquet: a list-valued level has no plain column type.
        written = {level_label(v): v for v in levels if not isinstance(v, list | tuple)}
        labels = rows["variant"].map({name: level_label(v[factor]) for name, v in plan["variants"].items()})
        rows[factor] = labels.map(lambda label, written=written: written.get(label, label))
    scores = [name for name in references if name in rows]
    columns = ["study", "scale", "target", "variant", "seed", *plan["study"]["factors"], "status", "steps"]
    columns += [*LOSSES, "value_discriminator", *scores, "replica"]
    position = rows["variant"].map(variant_order)
    ordered = rows.assign(_position=position).sort_values(["_position", "seed"], kind="stable")
    return ordered[columns].reset_index(drop=True)


def _variants(plan: dict[str, Any]) -> pd.DataFrame:
    factors = list(plan["study"]["factors"])
    labels = {name: [level_label(fields[f]) for f in factors] for name, fields in plan["variants"].items()}
    return pd.DataFrame.from_dict(labels, orient="index", columns=pd.Index(factors)).rename_axis("variant")


def to_csv(results: pd.DataFrame) -> str:
    """Return the text of `results.csv`: seven digits, all that a float32 holds; a missing value is empty."""
    return results.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def to_json(content: Any) -> str:
    """Return content as indented JSON that ends in a newline."""
    return json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
