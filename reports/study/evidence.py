"""What a report knows: a ledger read once, its replicas lined up with the plan that asked for them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan.columns import JUDGED, level_label, number_label, results_columns
from gan.errors import InputError, nearest
from gan.scores import spans_decades
from reports.ledger.histories import Records
from reports.ledger.ledger import Ledger
from reports.ledger.records import PlannedReplica, PlannedStudy, PlanRecord, Record, References
from reports.ledger.tables import planned_table
from reports.ledger.verdicts import judgements
from reports.stats.contrasts import Contrast, contrasts
from reports.stats.intervals import worst_of

FLOAT32 = np.finfo(np.float32)
LOG2 = math.log(2)  # the discriminator's value when it cannot tell real from generated


@dataclass(frozen=True, eq=False)
class Evidence:
    """One study's plan and finished replicas, in a fixed order: variants as planned, then seeds."""

    plan: PlanRecord
    references: References
    results: pd.DataFrame
    """One row a finished replica, with the columns of `results.csv`."""
    variants: pd.DataFrame
    """Labels of each variant's levels: index variant, one column a factor."""
    ledger: Ledger
    """Where the samples are; a tolerant one."""
    records: Records
    """The histories of these replicas."""
    complaints: list[str] = field(default_factory=list)
    """What is missing or cannot be read, one sentence each; empty where the study is whole."""

    @property
    def study(self) -> PlannedStudy:
        """The plan's study."""
        return self.plan.study

    @property
    def factors(self) -> dict[str, list[str]]:
        """Level labels of each factor, in the grid's order."""
        return {name: [level_label(v) for v in levels] for name, levels in self.study.factors.items()}

    @property
    def factor(self) -> str | None:
        """The factor that the question is about; None in a study without a grid."""
        named = self.study.report.factor
        return named if named in self.factors else next(iter(self.factors), None)

    @property
    def reference(self) -> dict[str, str]:
        """The level of each factor that its others are held against: the study's own, else the first."""
        chosen = self.study.reference
        labels = {name: level_label(chosen[name]) if name in chosen else "" for name in self.factors}
        return {name: labels[name] if labels[name] in levels else levels[0] for name, levels in self.factors.items()}

    @property
    def scores(self) -> list[str]:
        """Final scores that may rank, the report's own first, and after it those of the goal."""
        first = [self.study.report.score, *self.reached]
        taken = [n for n in self.references if n in self.results and (n in first or self.results[n].notna().any())]
        present = [name for name in taken if self.references[name].direction is not None]
        return sorted(present, key=lambda name: first.index(name) if name in first else len(first))

    @property
    def descriptive(self) -> list[str]:
        """Final scores that describe samples, and rank nothing."""
        return [n for n, score in self.references.items() if n in self.results and score.direction is None]

    @property
    def primary(self) -> str:
        """The score that ranks the variants."""
        return self.scores[0]

    @property
    def reached(self) -> dict[str, float]:
        """Thresholds that a replica must meet, all of them, to count as having reached the goal."""
        return self.study.report.reached

    @property
    def planned(self) -> list[PlannedReplica]:
        """The replicas the plan asks for."""
        return self.plan.replicas

    @property
    def seeds(self) -> list[int]:
        """The seeds the plan asks for, ascending."""
        return sorted({replica.seed for replica in self.planned})

    @property
    def missing(self) -> pd.DataFrame:
        """Planned replicas that have not finished: columns id, variant, seed."""
        planned = planned_table(self.planned)
        return planned[~planned["id"].isin(self.results["replica"])]

    def direction(self, score: str) -> str:
        """Which end of a score is good: "lower" or "higher"; only of one that may rank."""
        direction = self.references[score].direction
        assert direction is not None, f"{score} ranks nothing"
        return direction

    def label(self, score: str) -> str:
        """The score's name for people, as it stands within a sentence: "KS statistic", "share of 100 bins covered"."""
        label = self.references[score].label
        return label[:1].lower() + label[1:] if label[1:2].islower() else label

    def floor(self, score: str) -> float | None:
        """What real data scores at the same N; None where that says nothing."""
        return self.references[score].floor

    def of(self, variant: str) -> pd.DataFrame:
        """Finished replicas of one variant, by seed."""
        return self._by_variant.get(variant, self.results.iloc[:0])

    @cached_property
    def _by_variant(self) -> dict[str, pd.DataFrame]:
        return {str(variant): own for variant, own in self.results.groupby("variant", sort=False)}

    def grid(self, score: str) -> NDArray[np.float64]:
        """A score over the whole grid.

        Args:
            score: A final score, in its own units.

        Returns:
            Shape [seeds, *levels], the factors and their levels in the grid's order; the worst infinity for a
            replica that failed, NaN for one that has not finished.
        """
        values = self.results[score].where(self.results["status"] == "ok")
        return self.placed(values.fillna(worst_of(self.direction(score))))

    def placed(self, values: pd.Series) -> NDArray[np.float64]:
        """Return numbers, one a row of the results, over the whole grid: [seeds, *levels], NaN where there is none."""
        levels = self.factors
        grid = np.full((len(self.seeds), *map(len, levels.values())), np.nan)
        place = {
            variant: tuple(levels[name].index(label) for name, label in zip(levels, row, strict=True))
            for variant, *row in self.variants.itertuples()
        }
        seed_place = {seed: i for i, seed in enumerate(self.seeds)}
        for variant, seed, value in zip(self.results["variant"], self.results["seed"], values, strict=True):
            grid[(seed_place[seed], *place[variant])] = value
        return grid

    def spans_decades(self, score: str) -> bool:
        """Whether a score's values span decades: distances do, shares and counts do not.

        They are drawn on a logarithmic axis, averaged by their logarithms and compared by ratios: unless one of them is
        0, which has no logarithm. Then the whole family of effects is of differences, and the report says so; see `log`
        and `without_ratio`.
        """
        reference = self.references.get(score)
        return spans_decades(score, reference is not None and reference.log)

    def log(self, score: str) -> bool:
        """Whether a score is compared by ratios here: its values span decades, and none is zero."""
        values = self.results.loc[self.results["status"] == "ok", score]
        return self.spans_decades(score) and bool((values.dropna() > 0).all())

    def without_ratio(self, score: str) -> str:
        """Why a score that spans decades is compared by differences after all; empty where it is not."""
        values = self.results.loc[self.results["status"] == "ok", score].dropna()
        if not self.spans_decades(score) or self.log(score):
            return ""
        least = "exactly" if values.min() == 0 else "below"
        return f"Effects are differences and not ratios, because a score is {least} 0."

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Main effects and two-way interactions of the primary score; see `reports.stats.contrasts.contrasts`.

        A seed that lacks a replica is left out of the contrasts that need it. Empty without a grid.
        """
        varied = [len(levels) for levels in self.factors.values()]
        if not varied or max(varied) < 2:
            return []
        score = self.primary
        return contrasts(
            self.grid(score), self.factors, self.reference, log=self.log(score), direction=self.direction(score)
        )

    def whole_grid(self) -> NDArray[np.float64]:
        """The primary score's grid, shape [seeds, *levels], of the seeds that every cell has."""
        grid = self.grid(self.primary)
        return grid[~np.isnan(grid).any(axis=tuple(range(1, grid.ndim)))] if grid.ndim > 1 else grid[~np.isnan(grid)]


once = functools.lru_cache(maxsize=4)
"""Work out a function of the evidence alone once, however many parts of a report ask; of a few studies at a time."""


def gather(ledger: Ledger) -> Evidence:
    """Read the plan, the references and every finished replica of a ledger, and judge each replica.

    Files of finished cohorts that are gone, damaged or foreign are left out and named in the evidence's complaints.

    Raises:
        InputError: No cohort has finished yet, or the report asks for a score that the study has not.
    """
    plan, references = ledger.plan(), ledger.references()
    ledger = ledger if ledger.unreadable is not None else ledger.tolerant()
    rows = ledger.results()
    problems = ledger.inspect()
    if rows.empty:
        named = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise InputError(
            f"{ledger.directory}: no replica has finished, so there is nothing to report on yet."
            + (f" ({named})" if named else "")
        )
    results = _tidy(rows, plan, references)
    if results.empty:
        raise InputError(f"{ledger.directory}: none of its finished replicas is in its plan.")
    records = Records.of_ledger(ledger, results["replica"])
    results[list(JUDGED)] = judgements(results, records.cohorts(), plan, references)
    variants = _variants(plan)
    evidence = Evidence(plan, references, results, variants, ledger, records, _complaints(plan, rows, problems))
    for name in filter(None, [plan.study.report.score, *evidence.reached]):
        if name not in evidence.scores:
            raise InputError(
                f"{ledger.directory}: the report asks for the score '{name}', which the study has not; "
                f"{nearest(name, evidence.scores)}"
            )
    return evidence


def _tidy(rows: pd.DataFrame, plan: PlanRecord, references: Iterable[str]) -> pd.DataFrame:
    """Return the finished replicas of the plan with the columns of `results.csv`, in the plan's order."""
    planned = {replica.id: replica for replica in plan.replicas}
    variant_order = {name: i for i, name in enumerate(plan.variants)}
    rows = rows[rows["replica"].isin(list(planned))].copy()
    # A replica keeps its id when the grid around it changes; what it is called here is the plan's to say.
    rows["study"], rows["scale"] = plan.study.name, plan.study.scale
    rows["variant"] = rows["replica"].map({id: replica.variant for id, replica in planned.items()})
    rows["seed"] = rows["replica"].map({id: replica.seed for id, replica in planned.items()})
    for factor, levels in plan.study.factors.items():
        # From the plan, not the parquet: a list-valued level has no plain column type.
        written = {level_label(v): v for v in levels if not isinstance(v, list | tuple)}
        labels = rows["variant"].map({name: level_label(own[factor]) for name, own in plan.levels.items()})
        rows[factor] = labels.map(lambda label, written=written: written.get(label, label))
    for name in JUDGED:
        rows[name] = None
    scores = [name for name in references if name in rows]
    repeats = [f"repeat/{name}" for name in scores if f"repeat/{name}" in rows]
    held_out = [f"validation/{name}" for name in scores if f"validation/{name}" in rows]
    measured = [*scores, *repeats, *held_out]
    # What float32 cannot hold was computed of samples that it cannot hold: no score, or 0.
    sizes = rows[measured].abs()
    rows[measured] = rows[measured].where(sizes <= FLOAT32.max).mask(sizes < FLOAT32.tiny, 0.0)
    columns = results_columns(list(plan.study.factors), measured)
    position = rows["variant"].map(variant_order)
    ordered = rows.assign(_position=position).sort_values(["_position", "seed"], kind="stable")
    return ordered[columns].reset_index(drop=True)


def _variants(plan: PlanRecord) -> pd.DataFrame:
    factors = list(plan.study.factors)
    labels = {name: [level_label(levels[f]) for f in factors] for name, levels in plan.levels.items()}
    return pd.DataFrame.from_dict(labels, orient="index", columns=pd.Index(factors)).rename_axis("variant")


def _complaints(plan: PlanRecord, rows: pd.DataFrame, problems: dict[str, str]) -> list[str]:
    """Return a sentence for every file that is missing or cannot be read, with the replicas it leaves out."""
    done = set(rows["replica"])
    planned = {replica.id: replica for replica in plan.replicas}
    said, cohorts = [], {cohort.id: cohort.replicas for _, cohort in plan.every_cohort()}
    for cohort, ids in cohorts.items():
        lacking = [planned[id] for id in ids if id in planned and id not in done]
        name = f"cohorts/{cohort}.parquet"
        if lacking:
            problem = problems.get(name, "not there: not trained yet, or lost")
            said.append(f"`{name}`: {problem}. Left out: {_replicas(lacking)}.")
    for name, problem in problems.items():
        part, cohort = name.split("/")[0], name.split("/")[-1].split(".")[0]
        held = cohorts.get(cohort)
        if part == "cohorts" and held is None:
            said.append(f"`{name}`: {problem}. The plan has no such cohort.")
        elif part != "cohorts" and (held is None or any(id in planned for id in held)):
            what = {"history": "Without curves and verdicts", "samples": "Without samples"}.get(part, "Left out")
            whose = _replicas([planned[id] for id in held if id in planned]) if held else "its replicas"
            said.append(f"`{name}`: {problem}. {what}: {whose}.")
    return said


def _replicas(replicas: list[PlannedReplica]) -> str:
    """Return replicas as a person reads them: "3 replicas (loss=saturating, seeds 0 to 2)"."""
    seeds: dict[str, list[int]] = {}
    for replica in replicas:
        seeds.setdefault(replica.variant, []).append(replica.seed)
    parts = []
    for variant, own in seeds.items():
        whole = own == list(range(own[0], own[0] + len(own))) and len(own) > 2
        spelled = f"{own[0]} to {own[-1]}" if whole else ", ".join(map(str, own))
        parts.append(f"{variant or 'the one variant'}, seed{'s' if len(own) > 1 else ''} {spelled}")
    return f"{len(replicas)} replica{'s' if len(replicas) > 1 else ''} ({'; '.join(parts)})"


def to_csv(results: pd.DataFrame) -> str:
    """Return the text of `results.csv`: a missing value is empty.

    Measured numbers have seven digits, all that a float32 holds; levels of factors, between the seed and the status,
    are exact.
    """
    names = list(results)
    levels = names[names.index("seed") + 1 : names.index("status")]
    written = results.copy()
    for name in levels:
        written[name] = written[name].map(lambda v: number_label(v) if isinstance(v, float) else v)
    return written.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def plain(content: Any) -> Any:
    """Return content as strict JSON can hold it: NaN is None, an infinity "inf" or "-inf"."""
    if isinstance(content, Record):
        content = content.to_json()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None if math.isnan(content) else str(float(content))
    return content


def to_json(content: Any) -> str:
    """Return content as indented strict JSON that ends in a newline."""
    return json.dumps(plain(content), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"
