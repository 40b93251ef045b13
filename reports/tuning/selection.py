"""Selection and report apart: what the search saw, what held-out seeds and data give, and which checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan.targets import make_target
from gan.targets.images import DIGITS_SPLIT, MNIST_VALIDATION
from reports.stats.contrasts import Contrast, contrasts
from reports.stats.intervals import Interval, iqm_interval
from reports.stats.resampling import seed_interval
from reports.study.evidence import Evidence
from reports.tuning.evidence import Tuning

POOLED = "all variants"
SAMPLE_SIZE = re.compile(r"_\d+k?$")
"""Of a score's name, such as "_10k"."""


class Held(NamedTuple):
    """A winner's objective in three places, and what it loses between them."""

    variant: str
    """`POOLED` for all of them together, of which only the effects are given."""
    selected: float
    """On the validation seeds and the validation split, where it was chosen."""
    validation: Interval
    """On held-out seeds, with the validation split."""
    test: Interval
    """On held-out seeds, with the test split."""
    optimism: Interval
    """Held-out seeds against the selection, like with like: a ratio or a difference of the objective."""
    splits: Interval
    """Test against validation, on the same replicas."""
    untuned: Interval
    """The same of the untuned settings, which nobody selected: what the two splits differ by themselves."""
    learned: Interval
    """`splits` against `untuned`, paired by seed: a ratio of ratios or a difference of differences."""


class Splits(NamedTuple):
    """What validation and test are of, on a kind of target."""

    other: str
    """What the two do not share: "images" or "latents"."""
    told: str
    """The same as a sentence."""


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


def splits_of(tuning: Tuning) -> Splits:
    """Say what a validation score is of, and so what a test score may differ from it by."""
    settings = dict(tuning.untuned.study.target)
    target = make_target(settings.pop("name"), **settings)
    if "held_out" not in target.provides:
        return Splits(
            "latents",
            "This target's distribution is known exactly: there are no data to hold out, and a validation score is of "
            "other latents than a test score, so that nothing here speaks of data.",
        )
    if target.name == "digits":
        _, validation, test = DIGITS_SPLIT
        return Splits(
            "images",
            f"Of digits the {validation} validation images are a set of their own, and so are the {test} of the test: "
            "training uses neither. The latents differ too.",
        )
    return Splits(
        "images",
        f"The validation images are the last {MNIST_VALIDATION:,} of train, so that every GAN was trained on them, and "
        "on none of the test. The latents differ too.",
    )


def held_out(tuning: Tuning) -> list[Held]:
    """Set each winner's objective where it was chosen beside that on held-out seeds, and on the test split.

    The winner is the best of many trials on few seeds, so its objective there flatters it: the expected best of
    noisy estimates lies beyond the best expectation (the winner's curse; Cawley and Talbot 2010). The same settings on
    other seeds and the same split are free of that. Test and validation differ by themselves, in their images, how
    many there are and what real data score: so what the choice learned of the validation split is not the winners'
    test against validation, but that against the same of the untuned settings, which nobody chose. Intervals are over
    held-out seeds: the objective of the selection is one number, and taken as it is.

    Returns:
        One a variant with a winner, and one of all together if there are several: the mean of their effects, seeds
        drawn for all at once. Empty where nothing was retrained, or not scored on the validation split.
    """
    if tuning.tuned is None or f"validation/{tuning.score}" not in tuning.tuned.results:
        return []
    seeds = sorted({int(seed) for seed in tuning.tuned.results["seed"]})
    # [seeds, variants, (tuned, untuned), (validation, test)]
    scores = np.stack([_both_splits(tuning, grid, seeds) for grid in (tuning.tuned, tuning.untuned)], axis=2)
    found, places, chosen = [], [], []
    for place, variant in enumerate(tuning.variants):
        winner, own = tuning.searches[variant].winner, scores[:, place, 0]
        own = own[~np.isnan(own).any(axis=-1)]
        if winner is None or not winner.values or not math.isfinite(winner.values[0]) or not len(own):
            continue
        validation, test = (seed_interval(column, lambda s: tuning.aggregated(s, axis=1)) for column in own.T)
        effects = _effects(tuning, scores[:, [place]], [winner.values[0]])
        found.append(Held(variant, winner.values[0], validation, test, *effects))
        places.append(place)
        chosen.append(winner.values[0])
    if len(found) > 1:
        nothing = Interval(math.nan, math.nan, math.nan, "none")
        found.append(Held(POOLED, math.nan, nothing, nothing, *_effects(tuning, scores[:, places], chosen)))
    return found


def _both_splits(tuning: Tuning, grid: Evidence, seeds: list[int]) -> NDArray[np.float64]:
    """The score on validation and on test, shape [seeds, variants, 2]; NaN where a grid was not scored so."""
    names = [f"validation/{tuning.score}", tuning.score]
    nothing = np.full((len(seeds), len(tuning.variants)), np.nan)
    return np.stack([tuning.seed_table(grid, n, seeds) if n in grid.results else nothing for n in names], axis=-1)


def _effects(tuning: Tuning, scores: NDArray[np.float64], chosen: list[float]) -> list[Interval]:
    """The four effects of `Held`, each the mean over variants, on the seeds that have all that it needs.

    Args:
        tuning: The study's.
        scores: Shape [seeds, variants, (tuned, untuned), (validation, test)].
        chosen: The objective of each variant's winner in the selection.
    """

    def scale(objectives: Any) -> NDArray[np.float64]:
        return np.log(objectives) if tuning.log else np.asarray(objectives, dtype=np.float64)

    def interval(grids: list[int], effect: Callable[[NDArray[np.float64]], NDArray]) -> Interval:
        whole = scores[~np.isnan(scores[:, :, grids]).any(axis=(1, 2, 3))]
        of = seed_interval(whole, lambda drawn: effect(scale(tuning.aggregated(drawn, axis=1))).mean(axis=-1))
        if not tuning.log:
            return of
        estimate, low, high = np.exp(of[:3]).tolist()
        return Interval(estimate, low, high, of.method)

    # Of objectives of shape [draws, variants, (tuned, untuned), (validation, test)].
    return [
        interval([0], lambda o: o[..., 0, 0] - scale(chosen)),
        interval([0], lambda o: o[..., 0, 1] - o[..., 0, 0]),
        interval([1], lambda o: o[..., 1, 1] - o[..., 1, 0]),
        interval([0, 1], lambda o: o[..., 0, 1] - o[..., 0, 0] - o[..., 1, 1] + o[..., 1, 0]),
    ]


def curve_of_objective(score: str, metrics: set[str]) -> str | None:
    """The score recorded through training that stands for a final one: itself, or its kin at another sample size.

    Args:
        score: Such as "fid_10k". Kin is "fid_2k": the same name, another sample size at its end. "mode_kl" has none.
        metrics: Names of what was recorded: "score/fid_2k" and "validation/fid_2k" both, for "fid_2k".

    Returns:
        None where no kin was recorded on validation and on test data.
    """
    stem, sized = SAMPLE_SIZE.subn("", score)
    curves = sorted(m.removeprefix("score/") for m in metrics if m.startswith("score/"))
    curves = [name for name in curves if f"validation/{name}" in metrics]
    kin = [name for name in curves if sized and SAMPLE_SIZE.subn("", name) == (stem, 1)]
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
        evidence: One of its grids; of the tuned one variants without a winner are left out.
        curve: Name of the score, see `curve_of_objective`.
    """
    table = checkpoint_table(evidence, curve, tuning.direction)
    found = []
    for variant in tuning.variants:
        own = table[table["variant"] == variant]
        if own.empty or (evidence is tuning.tuned and variant in tuning.unwon):
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
        metrics = evidence.records.survey.metrics
        shared = metrics if shared is None else shared & metrics
    return curve_of_objective(tuning.score, shared or set())
