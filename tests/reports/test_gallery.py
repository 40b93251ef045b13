"""The figures of a study, drawn of evidence that is made up."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan.variant import Variant
from gan.verdict import VERDICTS
from reports.figures import effects, layout, overview, primitives, samples, training
from reports.figures.effects import contrast_forest
from reports.figures.intervals import plot_paths
from reports.ledger.ledger import Ledger
from reports.stats import intervals
from reports.stats.intervals import iqm
from reports.study.evidence import Evidence

from .made import (
    LARGE,
    RADIUS,
    STEPS,
    by_name,
    clipped_texts,
    make_evidence,
    make_history,
    mixed,
    named,
    render,
    spread_out,
    with_history,
)

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture(scope="session")
def large() -> Evidence:
    return with_history(make_evidence(LARGE, 7, spread_out, mixed, checks=["layer_gradients"]))


# Trajectories.


def test_at_most_sixty_paths_from_the_best_to_the_worst() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b"]}, 100, lambda v, s: 0.001 * (s + 1), lambda v, s: "diverged" if s > 97 else "converged"
    )
    shown = training.evenly_by_rank(evidence, 60)
    assert len(shown) == 60 == shown["replica"].nunique()
    assert shown["ks"].iloc[0] == 0.001 and shown["verdict"].iloc[-1] == "diverged"
    assert shown["ks"].dropna().is_monotonic_increasing
    ranks = (
        evidence.results.sort_values("ks", kind="stable").reset_index().reset_index().set_index("replica")["level_0"]
    )
    assert np.diff(ranks[shown["replica"]]).max() <= math.ceil(199 / 59)
    few = make_evidence({"loss": ["a"]}, 3, verdict=lambda v, s: "" if s == 1 else "converged")
    assert training.evenly_by_rank(few, 60)["seed"].tolist() == [0, 2]


def test_the_legend_counts_every_replica_and_the_caption_says_how_many_are_drawn(large: Evidence) -> None:
    picture = named(training.training_pictures(large), "trajectories.png")
    counts = large.results["verdict"].value_counts()
    texts = [t.get_text() for t in picture.figure.legends[0].get_texts()]
    assert [f"{v} {counts[v]}" for v in VERDICTS if v in counts] == texts[: counts.size]
    assert f"60 of the {counts.sum()} are drawn" in picture.caption and "diverged" in picture.caption
    assert len(picture.figure.axes) == 3 and clipped_texts(picture.figure) == []


def test_a_path_skips_what_has_no_place_on_its_axis() -> None:
    ax = primitives.new_figure(2).subplots()
    ax.set_yscale("log")
    nothing, steps = np.array([np.nan, np.inf, 0.0, -1.0]), np.arange(4)
    plot_paths(ax, [((steps, nothing), "diverged"), ((steps, np.array([1.0, 0.0, 2.0, 3.0])), "converged")])
    assert len(ax.lines) == 2  # no cross for a path without a point
    assert np.isnan(np.asarray(ax.lines[1].get_ydata(), float)).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("losses", "drawn", "label", "said", "equilibrium"),
    [
        (["non_saturating", "wasserstein"], "non_saturating", "nats", "Wasserstein critics", "equilibrium log 2"),
        (["hinge", "saturating", "wasserstein"], "saturating", "nats", "hinge, wasserstein", "equilibrium log 2"),
        (["wasserstein"], "", "critic's value", "", "equilibrium 0"),
        # Of a plugin's loss nobody knows the equilibrium.
        (["hinge"], "", "hinge", "", ""),
    ],
)
def test_values_of_one_scale_are_drawn_together(
    losses: list[str], drawn: str, label: str, said: str, equilibrium: str
) -> None:
    evidence = make_evidence({"loss": losses}, 3, settings=lambda v: dict(v))
    history = make_history(evidence)
    table = history[history["metric"] == "value/discriminator"]
    kept, axis, sentence = layout.comparable_values(evidence, table)
    assert kept["replica"].str.contains(drawn).all() and 0 < len(kept) <= len(table)
    assert (len(kept) < len(table)) == (len(losses) > 1) == bool(sentence)
    assert label in axis and said in sentence and layout.equilibrium(evidence)[0] == equilibrium
    assert layout.equilibrium(evidence)[1] == (math.log(2) if "log" in equilibrium else 0)


# Survival.


def test_who_was_lost_and_when() -> None:
    verdicts = ["converged", "collapsed", "never_covered", "diverged", "starved", "never_learned", "oscillating", ""]
    times = [300.0, 400.0, *[math.nan] * 6]  # one that covers again what it lost is of use
    evidence = make_evidence({"loss": ["a"]}, 8, verdict=lambda v, s: verdicts[s], collapse=lambda v, s: times[s])
    losses = effects.lost(evidence)
    assert losses["step"].tolist() == [1000.0, 400.0, 500.0, 500.0, 500.0, 500.0, 1000.0]
    assert losses["lost"].tolist() == [False, True, True, True, True, True, False]
    assert losses["replica"].tolist() == evidence.results["replica"].tolist()[:7]


def test_a_survival_curve_starts_at_one_and_ends_at_the_share_that_is_left() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b", "c"]},
        5,
        verdict=lambda v, s: "collapsed" if (v["loss"] == "a" and s < 2) or v["loss"] == "c" else "converged",
        collapse=lambda v, s: 200.0 * (s + 1) if v["loss"] == "c" or (v["loss"] == "a" and s < 2) else math.nan,
    )
    losses = effects.lost(with_history(evidence))
    picture = effects.survival_curves(evidence, losses)
    ends = [np.asarray(line.get_ydata(), float)[[0, -1]].tolist() for line in picture.figure.axes[0].lines]
    np.testing.assert_allclose(ends, [[1.0, 0.6], [1.0, 1.0], [1.0, 0.0]])
    assert picture.figure.legends[0].get_texts()[0].get_text() == "loss a: 2 of 5"
    assert render(picture.figure)


@pytest.mark.parametrize("lossy", [False, True])
def test_no_survival_where_nobody_is_lost(lossy: bool) -> None:
    evidence = make_evidence(
        {"loss": ["a", "b"]}, 3, verdict=lambda v, s: "diverged" if lossy and not s else "converged"
    )
    assert ("survival.png" in by_name(effects.evidence_pictures(with_history(evidence)))) == lossy


def test_a_value_that_ran_away_counts_as_lost_and_not_as_failed() -> None:
    evidence = make_evidence({"loss": ["a"]}, 2)
    evidence.results.loc[0, "verdict"] = "diverged"  # with finite numbers to the end
    (right,) = [ax for ax in effects.verdicts(evidence).figure.axes if ax.get_xlabel().startswith("rate")]
    rates = [float(np.asarray(line.get_xdata(), float)[0]) for line in right.lines if line.get_linestyle() == "None"]
    assert rates == [0.0, 0.5]  # none failed, for its numbers are finite; one of two diverged


# Layers.


def test_layers_only_where_asked_and_over_the_second_half() -> None:
    factors = {"lr_ratio": ["1", "4"], "critic_steps": ["1", "5"]}
    asked = make_evidence(factors, 3, checks=["layer_gradients"])
    history = make_history(asked)
    early = history["step"] <= STEPS / 2
    history.loc[early & history["metric"].str.startswith("gradient/generator/"), "value"] = 1e9
    pictures = by_name(training.training_pictures(with_history(asked, history)))
    axes = pictures["layers.png"].figure.axes
    assert len(axes) == 2 and axes[0].get_yscale() == "log"
    drawn = np.asarray(axes[0].lines[0].get_ydata(), float)
    assert (np.diff(np.log10(drawn)) > 0.5).all() and drawn.max() < 10
    assert axes[0].get_xticks().tolist() == [1, 2, 3]
    unasked = make_evidence(factors, 3)
    assert "layers.png" not in by_name(training.training_pictures(with_history(unasked)))


def test_layers_that_get_nothing_or_that_some_variants_lack_are_drawn() -> None:
    asked = make_evidence({"lr_ratio": ["1", "4"]}, 3, checks=["layer_gradients"])
    history = make_history(asked)
    mine = history["replica"].str.startswith("lr_ratio=4")
    history = history[~(mine & (history["metric"] == "gradient/generator/3"))]
    history.loc[history["metric"] == "gradient/generator/1", "value"] = 0.0
    picture = named(training.training_pictures(with_history(asked, history)), "layers.png")
    assert "zero" in picture.caption and render(picture.figure)


# A generator that is never trained.


def test_what_never_changes_is_not_drawn(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.open_for_writing()
    evidence = make_evidence({"lr": ["1", "2"]}, 3, settings=lambda v: {"generator": "fixed_gaussian"}, ledger=ledger)
    history = make_history(evidence)
    history.loc[history["metric"] == "score/ks", "value"] = 0.3
    pictures = by_name(training.training_pictures(with_history(evidence, history)))
    assert "score_curves.png" not in pictures and "each evaluation" not in pictures["trajectories.png"].caption
    assert layout.equilibrium(evidence)[0].startswith("log 2")
    assert list(samples.sample_pictures(evidence)) == []


# Contrasts.


@pytest.mark.parametrize(("many", "kind"), [(intervals.MANY, "bootstrap"), (50, "normal")])
def test_intervals_of_thousands_of_seeds_are_not_called_bootstrapped(
    many: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "MANY", many)
    evidence = make_evidence({"loss": ["a", "b"]}, 60, lambda v, s: 0.01 + 0.001 * (s * (2 if "b" in v else 1)))
    assert f"95 % {kind} interval." in contrast_forest(evidence, evidence.contrasts).caption


# Scores.


def test_bars_and_cells_are_interquartile_means() -> None:
    evidence = make_evidence({"loss": ["a", "b"], "lr": ["1", "2"]}, 8, lambda v, s: 0.01 * 2.0**s * float(v["lr"]))
    picture = overview.final_scores(evidence)
    bars = sorted(float(np.asarray(line.get_xdata(), float)[0]) for line in picture.figure.axes[0].lines[:4])
    expected = [iqm([0.01 * 2.0**s * lr for s in range(8)]) for lr in (1, 1, 2, 2)]
    assert bars == pytest.approx(expected) and "interquartile mean" in picture.caption
    heat = overview.heat_map(evidence)
    texts = [t.get_text().split("\n")[0] for t in heat.figure.axes[0].texts]
    assert sorted(float(t) for t in texts) == pytest.approx(expected, rel=5e-3)
    assert "Median" not in heat.caption and clipped_texts(heat.figure) == []


def test_one_factor_needs_no_heat_map(small: Ledger, gathered: Callable[[Ledger], Evidence]) -> None:
    names = [p.name for p in overview.pictures(gathered(small))]
    assert names[0] == "scores.png" and "heat_map.png" not in names


# The game of two numbers.


def game(tmp_path: Path, **more: Any) -> Evidence:
    """Both orders of the game, three seeds, computed by hand."""
    ledger = Ledger(tmp_path)
    ledger.open_for_writing()
    settings: dict[str, Any] = {"loss": "wasserstein", "reduction": "sum_of_means", "generator": "point"}
    settings |= {"discriminator": "slope", "optimiser": "sgd", **more}
    evidence = make_evidence(
        {"updates": ["simultaneous", "alternating"], "lr": ["0.05", "0.4"]},
        3,
        settings=lambda v: {**settings, "updates": v["updates"], "lr": float(v["lr"])},
        target={"name": "point"},
        references={"radius": RADIUS},
        ledger=ledger,
    )
    samples = {}
    for _, row in evidence.results.iterrows():
        h, (x, y), kept = float(row["lr"]), (0.3, 0.4), []
        for _ in range(STEPS):
            new_y = y - h * x
            x, y = x + h * (y if row["updates"] == "simultaneous" else new_y), new_y
            kept.append([[x, y]])
        samples[f"{row['replica']}/progress"] = np.array(kept[9::10], dtype=np.float32)
        samples[f"{row['replica']}/steps"] = np.arange(10, STEPS + 1, 10)
    rows = evidence.results[["replica", "status"]]
    ledger.write_cohort("one", rows, make_history(evidence), samples, {})
    return evidence


def test_the_exact_spiral_lies_on_the_simulated_one(tmp_path: Path) -> None:
    evidence = game(tmp_path)
    (picture,) = samples.sample_pictures(evidence)
    assert picture.name == "orbit.png" and "h = 0.05, 0.4" in picture.caption
    lines = [np.asarray(line.get_ydata(), float) for line in picture.figure.axes[-1].lines]
    dashed = [i for i, line in enumerate(picture.figure.axes[-1].lines) if line.is_dashed()]
    assert len(dashed) == 2
    for i in dashed:
        np.testing.assert_allclose(lines[i], lines[i - 1], rtol=1e-4)
    assert "not joined" in picture.caption  # h = 0.4 turns by four radians between two records
    assert clipped_texts(picture.figure) == []


@pytest.mark.parametrize(
    ("change", "h"),
    [
        ({}, 0.1),
        ({"updates": "alternating"}, None),
        ({"reduction": "mean"}, None),  # halves the discriminator's step
        ({"reduction": "mean", "lr_ratio": 2.0}, 0.1 / math.sqrt(2)),  # and this doubles it again
        ({"reduction": "sum", "batch_size": 4}, 0.4),  # a sum over the batch multiplies both
        ({"generator": "mlp", "discriminator": "mlp"}, None),
        ({"lr_ratio": 2.0}, None),
        ({"loss": "non_saturating"}, None),
        ({"optimiser": "adam"}, None),
        ({"penalty": "r1"}, None),
        ({"schedule": "linear"}, None),
    ],
)
def test_the_exact_growth_is_claimed_only_where_it_is_exact(change: dict[str, Any], h: float | None) -> None:
    plain: dict[str, Any] = {"loss": "wasserstein", "reduction": "sum_of_means", "optimiser": "sgd", "lr": 0.1}
    plain |= {"generator": "point", "discriminator": "slope"}
    variant = Variant.from_settings({**plain, "updates": "simultaneous", **change})
    found = samples.spiral_step(variant)
    assert found is None if h is None else found == pytest.approx(h)


# All of them.


@pytest.mark.slow
def test_forty_variants_fit_the_page(large: Evidence) -> None:
    pictures = [overview.final_scores(large), overview.heat_map(large)]
    for picture in [*pictures, *effects.evidence_pictures(large), *training.training_pictures(large)]:
        assert clipped_texts(picture.figure) == [], picture.name
        assert picture.figure.get_size_inches()[1] < 11, picture.name
