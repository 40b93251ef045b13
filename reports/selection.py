"""Selection and report apart: what the search saw, what held-out seeds and data give, and which checkpoint."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.contrasts import Contrast, contrasts
from reports.evidence import Evidence
from reports.resampling import seed_interval
from reports.statistics import Interval, iqm_interval
from reports.tuning import Tuning

POOLED = "all variants"


class Held(NamedTuple):
    """A winner's objective in three places, and what it loses from one to the next."""

    variant: str
    """`POOLED` for all of them together, of which only the two effects are given."""
    selected: float
    """On the validation seeds and validation data, where it was chosen."""
    seeds: int
    """Of the held-out replicas."""
    validation: Interval
    """On held-out seeds, with validation data."""
    test: Interval
    """On held-out seeds, with test data."""
    optimism: Interval
    """Held-out seeds against the selection, like with like: a ratio or a difference of the objective."""
    data: Interval
    """Test data against validation data, on the same replicas."""


class Checkpoints(NamedTuple):
    """The scores of one variant at the end and at the best checkpoint, at the curve's sample size."""

    variant: str
    last: Interval
    best: Interval
    gain: Contrast
    """Best against last, paired by seed, over the replicas that have both."""
    step: float
    """Median step of the best checkpoint."""
    failures: int
    """Replicas that failed and yet left a checkpoint: they have a best one and no last one."""


def held_out(tuning: Tuning) -> list[Held]:
    """Set each winner's objective where it was chosen beside that on held-out seeds, and on test data.

    The winner is the best of many trials on few seeds, so its objective there flatters it: the expected best of
    noisy estimates lies beyond the best expectation (the winner's curse; Cawley and Talbot 2010). The
    same settings on other seeds and the same data are free of that, and only the third number is free of what the
    choice learned of the validation data. Intervals are over held-out seeds: the objective of the selection is one
    number, and taken as it is.

    Returns:
        One a variant with a winner, and one of all together if there are several: the mean of their effects, seeds
        drawn for all at once. Empty where nothing was retrained, or not scored on validation data.
    """
    column = f"validation/{tuning.score}"
    if tuning.tuned is None or column not in tuning.tuned.results:
        return []
    found, effects = [], []
    seeds = sorted({int(seed) for seed in tuning.tuned.results["seed"]})
    tables = [tuning.seed_table(tuning.tuned, name, seeds) for name in (column, tuning.score)]
    both = np.stack(tables, axis=-1)  # [seeds, variants, 2]
    for place, variant in enumerate(tuning.variants):
        winner = tuning.searches[variant].winner
        own = both[:, place][~np.isnan(both[:, place]).any(axis=-1)]
        if winner is None or not winner.values or not math.isfinite(winner.values[0]) or not len(own):
            continue
        selected = winner.values[0]

        def optimism(replicas: NDArray[np.float64], selected: float = selected) -> float:
            return _against(float(tuning.aggregated(replicas[:, 0])), selected, tuning.log)

        def data(replicas: NDArray[np.float64]) -> float:
            return _against(*(float(tuning.aggregated(replicas[:, k])) for k in (1, 0)), log=tuning.log)

        found.append(
            Held(
                variant=variant,
                selected=selected,
                seeds=len(own),
                validation=seed_interval(own[:, 0], lambda scores: float(tuning.aggregated(scores))),
                test=seed_interval(own[:, 1], lambda scores: float(tuning.aggregated(scores))),
                optimism=_effect(seed_interval(own, optimism), tuning.log),
                data=_effect(seed_interval(own, data), tuning.log),
            )
        )
        effects.append((place, optimism, data))
    whole = both[:, [place for place, *_ in effects]]
    whole = whole[~np.isnan(whole).any(axis=(1, 2))]
    if len(effects) > 1 and len(whole):
        pooled = [
            seed_interval(
                whole, lambda t, which=which: float(np.mean([own[which](t[:, k]) for k, own in enumerate(effects)]))
            )
            for which in (1, 2)
        ]
        nothing = Interval(math.nan, math.nan, math.nan, "none")
        either = [_effect(interval, tuning.log) for interval in pooled]
        found.append(Held(POOLED, math.nan, len(whole), nothing, nothing, either[0], either[1]))
    return found


def _against(one: float, other: float, log: bool) -> float:
    """A difference, of logarithms where scores are compared by ratios."""
    return math.log(one / other) if log else one - other


def _effect(interval: Interval, log: bool) -> Interval:
    """A difference of logarithms as a ratio."""
    if not log:
        return interval
    estimate, low, high = np.exp(interval[:3]).tolist()
    return Interval(estimate, low, high, interval.method)


def curve_of_objective(score: str, metrics: set[str]) -> str | None:
    """The score recorded through training that stands for a final one: itself, or its kin at another sample size.

    Args:
        score: Such as "fid_10k".
        metrics: Names of what was recorded: "score/fid_2k" and "validation/fid_2k" both, for "fid_2k".

    Returns:
        None where no kin was recorded on validation and on test data.
    """
    stem = score.rsplit("_", 1)[0]
    curves = sorted(m.removeprefix("score/") for m in metrics if m.startswith("score/"))
    curves = [name for name in curves if f"validation/{name}" in metrics]
    kin = [name for name in curves if name.rsplit("_", 1)[0] == stem]
    return next(iter([name for name in curves if name == score] + kin), None)


def checkpoint_table(evidence: Evidence, curve: str, direction: str) -> pd.DataFrame:
    """One row a replica: its score at the end, and at the checkpoint that was best on validation data.

    Args:
        evidence: A grid, with the history of a score on validation and on test data.
        curve: The score's name.
        direction: Which end of it is good.

    Returns:
        Columns variant, seed, last (NaN for a replica that failed), best (on test data; NaN where there was no
        finite checkpoint) and step. A replica whose history is lost has no row.
    """
    history = evidence.ledger.history([f"score/{curve}", f"validation/{curve}"])
    points = history.pivot_table(index=["replica", "step"], columns="metric", values="value", aggfunc="last")
    points = points.reindex(columns=[f"validation/{curve}", f"score/{curve}"])
    points = points[np.isfinite(points).all(axis=1)]
    curves = dict(iter(points.groupby(level="replica")))
    rows = []
    for replica, variant, seed, status in evidence.results[["replica", "variant", "seed", "status"]].itertuples(False):
        if (own := curves.get(replica)) is None:
            if status == "ok":
                continue
            rows.append((variant, seed, math.nan, math.nan, math.nan))
            continue
        steps = own.index.get_level_values("step").to_numpy(float)
        validation, test = own.to_numpy(float).T
        chosen = int(np.argmin(validation) if direction == "lower" else np.argmax(validation))
        rows.append((variant, seed, test[-1] if status == "ok" else math.nan, test[chosen], steps[chosen]))
    return pd.DataFrame(rows, columns=pd.Index(["variant", "seed", "last", "best", "step"]))


def checkpoints(tuning: Tuning, evidence: Evidence, curve: str) -> list[Checkpoints]:
    """Compare the best checkpoint of every replica with its last one, variant by variant.

    The best is chosen on the validation curve and read off the test curve, so that the choice does not flatter it.

    Args:
        tuning: The study's.
        evidence: One of its grids.
        curve: Name of the score, see `curve_of_objective`.
    """
    table = checkpoint_table(evidence, curve, tuning.direction)
    found = []
    for variant in tuning.variants:
        own = table[table["variant"] == variant]
        if own.empty:
            continue
        values = own[["last", "best"]].to_numpy(float)
        both = values[np.isfinite(values).all(axis=1)]
        both = both if len(both) else np.full((1, 2), np.nan)  # a seed that is not there
        log = tuning.log and not (both <= 0).any()
        levels = {"checkpoint": ["last", "best"]}
        gain = contrasts(both, levels, {"checkpoint": "last"}, log=log, direction=tuning.direction)[0]
        last, best = (iqm_interval([column], tuning.direction) for column in values.T)
        rescued = int((np.isnan(values[:, 0]) & np.isfinite(values[:, 1])).sum())
        found.append(Checkpoints(variant, last, best, gain, float(own["step"].median()), rescued))
    return found


def tuning_curve(tuning: Tuning) -> str | None:
    """The score whose curve stands for the objective's, recorded on validation and test data in every grid."""
    shared: set[str] | None = None
    for evidence in tuning.grids:
        metrics = {str(name) for name in evidence.ledger.history()["metric"].unique()}
        shared = metrics if shared is None else shared & metrics
    return curve_of_objective(tuning.score, shared or set())
