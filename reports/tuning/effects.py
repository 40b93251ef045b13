"""What tuning changed: gains, effects before and after, the budget's yield, and winners at a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from reports.stats.contrasts import Contrast, contrasts
from reports.stats.intervals import Interval, better
from reports.stats.paired import holm
from reports.stats.ranking import Ranking, compare_rankings
from reports.study.evidence import Evidence
from reports.tuning.budget import best_so_far, expected_best_limits
from reports.tuning.evidence import Search, Tuning
from reports.tuning.selection import Checkpoints, Held, checkpoints, held_out, tuning_curve

BOUND = 0.05
"""A winner within this share of its range from an end is said to be at the bound."""
LEVELS = ["untuned", "tuned"]


@dataclass(frozen=True)
class Findings:
    """All that a report on tuning says in numbers, computed once."""

    tuning: Tuning

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
        before, after = self.tuning.paired()
        found = {}
        for place, name in enumerate(self.tuning.variants):
            both = np.stack([before[:, place], after[:, place]], axis=1)
            found[name] = self._gain(both if name in self.tuning.compared else np.full_like(both, np.nan))
        adjusted = holm([contrast.p for contrast in found.values()]).tolist()
        return {name: replace(c, p_holm=p) for (name, c), p in zip(found.items(), adjusted, strict=True)}

    def both_fail(self, place: int) -> bool:
        """Whether failed replicas reach a variant's mean before and after, so that there is nothing to compare."""
        return all(math.isinf(means[place]) for means in self.ranking.means)

    @cached_property
    def gain(self) -> Contrast:
        """Tuned against untuned over the variants compared, each seed averaged over them: one test, uncorrected."""
        places = [self.tuning.variants.index(name) for name in self.tuning.compared]
        both = np.stack(list(self.tuning.paired()[:, :, places or [0]]), axis=2)
        pooled = self._gain(both if places else np.full_like(both, np.nan))
        return replace(pooled, p_holm=pooled.p)

    def _gain(self, grid: np.ndarray) -> Contrast:
        """The effect of tuning in scores of shape [seeds, 2] or [seeds, variants, 2]."""
        own = self.tuning
        factors = {"tuning": LEVELS}
        if grid.ndim == 3:
            factors = {"variant": [str(place) for place in range(grid.shape[1])], **factors}
        reference = {"tuning": "untuned", "variant": "0"}
        family = contrasts(grid, factors, reference, log=own.log, direction=own.direction)
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
    def checkpoints(self) -> dict[str, list[Checkpoints]]:
        """Best and last checkpoints of each variant, "untuned" and "tuned"."""
        if self.curve is None:
            return {}
        grids = zip(LEVELS, self.tuning.grids, strict=False)
        return {name: checkpoints(self.tuning, evidence, self.curve) for name, evidence in grids}

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
        seeds = sorted({int(seed) for seed in own.untuned.results["seed"]})
        table = own.seed_table(own.untuned, column, seeds)
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
                if end := at_bound(self.tuning.parameters.get(name, {}), value):
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


def at_bound(parameter: dict[str, Any], value: Any) -> Literal["low", "high"] | None:
    """Say at which end of its range a number lies, within `BOUND` of it; None inside, or for what is no number.

    Args:
        parameter: Its settings in `tuning.json`: low, high and log.
        value: Of the winner.
    """
    low, high = parameter.get("low"), parameter.get("high")
    if low is None or high is None or isinstance(value, bool) or not isinstance(value, int | float) or high <= low:
        return None
    share = (value - low) / (high - low)
    if parameter.get("log") and value > 0:
        share = math.log(value / low) / math.log(high / low)
    return "low" if share <= BOUND else "high" if share >= 1 - BOUND else None


def second_values(search: Search) -> dict[int, tuple[float, float]]:
    """Both objectives of each trial that has two, by its number."""
    return {t.number: (t.values[0], t.values[1]) for t in search.trials if t.state == "COMPLETE" and len(t.values) > 1}
