"""What tuning changed: gains, effects before and after, the budget's yield, and winners at a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports.ledger.tuning_record import SearchRecord
from reports.stats.contrasts import Contrast, contrasts
from reports.stats.intervals import Interval, better
from reports.stats.paired import holm
from reports.stats.ranking import Ranking, compare_rankings
from reports.study.evidence import Evidence
from reports.tuning.budget import best_so_far, expected_best_limits
from reports.tuning.evidence import LEVELS, TunedStudy
from reports.tuning.selection import CheckpointGain, Held, checkpoints, held_out, tuning_curve
from studies.tune import Parameter

BOUND = 0.05
"""A winner within this share of its range from an end is said to be at the bound."""


@dataclass(frozen=True)
class Findings:
    """All that a report on tuning says in numbers, computed once."""

    tuning: TunedStudy

    @cached_property
    def ranking(self) -> Ranking:
        """The ranking before and after."""
        before, after = self.tuning.paired()
        own = self.tuning
        return compare_rankings(before, after, own.variants, direction=own.direction, log=own.log)

    @cached_property
    def gains(self) -> dict[str, Contrast]:
        """Tuned against untuned of each variant, paired by seed, Holm's correction over the variants.

        Without pairs for a variant that has no winner, or nothing trained with its settings.
        """
        both = self.tuning.paired()
        both[..., [name not in self.tuning.compared for name in self.tuning.variants]] = np.nan
        found = [self._gain(both[..., [place]]) for place in range(both.shape[-1])]
        adjusted = holm([contrast.p for contrast in found]).tolist()
        return {v: replace(c, p_holm=p) for v, c, p in zip(self.tuning.variants, found, adjusted, strict=True)}

    def both_fail(self, place: int) -> bool:
        """Whether failed replicas reach a variant's mean before and after, so that there is nothing to compare."""
        return all(math.isinf(means[place]) for means in self.ranking.means)

    @cached_property
    def gain(self) -> Contrast:
        """Tuned against untuned over the variants compared, each seed averaged over them: one test, uncorrected."""
        both = self.tuning.paired()
        places = [self.tuning.variants.index(name) for name in self.tuning.compared]
        pooled = self._gain(both[..., places] if places else np.full_like(both[..., :1], np.nan))
        return replace(pooled, p_holm=pooled.p)

    def _gain(self, both: NDArray[np.float64]) -> Contrast:
        """The effect of tuning in scores of shape [2, seeds, variants]."""
        own = self.tuning
        factors = {"variant": [str(place) for place in range(both.shape[-1])], "tuning": list(LEVELS)}
        reference = {"tuning": LEVELS[0], "variant": "0"}
        family = contrasts(np.moveaxis(both, 0, -1), factors, reference, log=own.log, direction=own.direction)
        return next(contrast for contrast in family if contrast.factors == ("tuning",))

    @cached_property
    def effects(self) -> list[tuple[Contrast, Contrast | None]]:
        """Each main effect of the grid, before and after; both ratios or both differences."""
        after = {c.name: c for c in self._family(self.tuning.tuned)} if self.tuning.tuned else {}
        return [(c, after.get(c.name)) for c in self._family(self.tuning.untuned) if c.kind == "main"]

    def _family(self, evidence: Evidence) -> list[Contrast]:
        own, score = self.tuning, self.tuning.score
        if evidence.log(score) == own.log or not evidence.contrasts:
            return evidence.contrasts
        return contrasts(
            evidence.grid(score), evidence.factors, evidence.reference, log=own.log, direction=own.direction
        )

    @cached_property
    def held_out(self) -> list[Held]:
        """Selection and report apart."""
        return held_out(self.tuning)

    @cached_property
    def curve(self) -> str | None:
        """The score of which checkpoints are compared."""
        return tuning_curve(self.tuning)

    @cached_property
    def checkpoints(self) -> dict[str, list[CheckpointGain]]:
        """Best and last checkpoints of each variant, "untuned" and "tuned"."""
        if self.curve is None:
            return {}
        return {name: checkpoints(self.tuning, own, self.curve) for name, own in self.tuning.grids.items()}

    @cached_property
    def budget(self) -> dict[str, list[Interval]]:
        """Expected best objective of each variant after 1, 2, ... of its trials; of a search that has begun."""
        own = self.tuning
        values = {name: own.objectives(search) for name, search in own.searches.items()}
        return {name: expected_best_limits(v, own.direction) for name, v in values.items() if len(v)}

    @cached_property
    def untuned_objectives(self) -> dict[str, float]:
        """The objective of each variant's untuned settings on validation data; empty where they were not scored."""
        own, column = self.tuning, f"validation/{self.tuning.score}"
        if column not in own.untuned.results:
            return {}
        table = own.seed_table(own.untuned, column, own.seeds)
        columns = {name: table[:, i][~np.isnan(table[:, i])] for i, name in enumerate(own.variants)}
        return {name: float(own.aggregated(scores)) for name, scores in columns.items() if len(scores)}

    @property
    def untuned_seeds(self) -> int:
        """Of how many seeds the untuned settings' objective is, at the most."""
        return max(len(self.tuning.untuned.of(name)) for name in self.tuning.variants)

    @cached_property
    def bounds(self) -> list[tuple[str, str, Literal["low", "high"]]]:
        """Variant, parameter and end of every winner that lies at a bound of its range."""
        found = []
        for variant, search in self.tuning.searches.items():
            winner = search.winner
            for name, value in search.settings.items() if winner and winner.scored else ():
                parameter = self.tuning.parameters.get(name)
                if parameter and (end := at_bound(parameter, value)):
                    found.append((variant, name, end))
        return found

    @cached_property
    def progress(self) -> dict[str, list[float]]:
        """The best objective after 1, 2, ... trials by which the budget is judged, of each search that has begun.

        Of a sampler that learns it is the best so far, as the trials were drawn: the average over all orders would
        have later trials, drawn by what earlier ones scored, come first. Else it is the expected best.
        """
        own = self.tuning
        if own.learns:
            return {n: best_so_far(own.objectives(own.searches[n]), own.direction).tolist() for n in self.budget}
        return {name: [interval.estimate for interval in curve] for name, curve in self.budget.items()}

    def trials_to_beat(self, variant: str) -> int | None:
        """The least number of trials whose best, by `progress`, beats the untuned settings; None if none does."""
        reference = self.untuned_objectives.get(variant, math.nan)
        curve = enumerate(self.progress.get(variant, []), start=1)
        return next((k for k, best in curve if better(best, reference, self.tuning.direction)), None)


def at_bound(parameter: Parameter, value: Any) -> Literal["low", "high"] | None:
    """Say at which end of its range a winner's value lies, within `BOUND` of it; None inside, or for a choice."""
    low, high = parameter.low, parameter.high
    if low is None or high is None or high <= low:
        return None
    share = (value - low) / (high - low)
    if parameter.log and value > 0:
        share = math.log(value / low) / math.log(high / low)
    return "low" if share <= BOUND else "high" if share >= 1 - BOUND else None


def second_values(search: SearchRecord) -> dict[int, tuple[float, float]]:
    """Both objectives of each trial that has two, by its number."""
    return {t.number: (t.values[0], t.values[1]) for t in search.trials if t.state == "COMPLETE" and len(t.values) > 1}
