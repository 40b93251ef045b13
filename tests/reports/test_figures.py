from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from gan.verdict import VERDICTS
from reports.figures import effects, layout, primitives
from reports.figures.intervals import Effect, forest_limits, plot_forest, plot_shares
from reports.stats.contrasts import Contrast
from reports.stats.intervals import Interval
from reports.stats.rates import wilson

from .made import (
    COVERAGE,
    Levels,
    clipped_texts,
    make_evidence,
    render,
)

pytestmark = pytest.mark.usefixtures("style")


# Colours.

# Linear RGB as a reader without one kind of cone sees it (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}


def lab(colour: str, seen: NDArray[np.float64]) -> NDArray[np.float64]:
    c = np.array(to_rgb(colour))
    linear = np.clip(seen @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN)
def test_verdicts_keep_apart_for_every_kind_of_colour_vision(seen: str) -> None:
    assert list(primitives.VERDICT_COLOURS) == list(VERDICTS)
    colours = [lab(c, SEEN[seen]) for c in primitives.VERDICT_COLOURS.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 30


def test_verdicts_can_be_seen_on_white() -> None:
    """A contrast of 3 at least, as WCAG 2.1 asks of graphics (1.4.11)."""
    for colour in primitives.VERDICT_COLOURS.values():
        c = np.array(to_rgb(colour))
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ np.array([0.2126, 0.7152, 0.0722]) + 0.05) >= 3


def test_many_levels_still_get_a_colour_each() -> None:
    for n in (1, 2, 10, 11, 30):
        assert len(set(primitives.palette([str(i) for i in range(n)]).values())) == n


# Axes.


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.3, 4), (0.005, 0.2), (1e-3, 40), (1e-6, 1e24), (1e-38, 1)])
def test_a_logarithmic_axis_always_has_readable_ticks(low: float, high: float) -> None:
    fig = primitives.new_figure(3)
    ax = fig.subplots()
    ax.set(yscale="log", ylim=(low, high))
    primitives.log_ticks(ax.yaxis)
    assert clipped_texts(fig) == []
    shown = [t for t in ax.yaxis.get_majorticklabels() if low <= t.get_position()[1] <= high]
    assert 2 <= len(shown) <= 14 and all(len(t.get_text()) <= 12 for t in shown)


@pytest.mark.parametrize(
    "labels", [[], ["a"] * 3, ["x" * 30] * 7, ["x" * 150], ["short", "x" * 60, "y" * 40, "z" * 8] * 3]
)
def test_a_legend_never_leaves_the_page_unless_one_entry_alone_does(labels: list[str]) -> None:
    fig = primitives.new_figure(3)
    ax = fig.subplots()
    primitives.place_legend(fig, [ax.plot([0], [0], label=text)[0] for text in labels])
    assert clipped_texts(fig) == (["legend"] if labels and len(labels[0]) == 150 else [])
    assert bool(fig.legends) == bool(labels)


def test_a_loss_s_axis_holds_the_equilibrium_and_is_not_flattened_by_few() -> None:
    calm = 0.6 + 0.01 * np.sin(np.arange(1000))
    (low, high), cut, scale = layout.loss_axis(np.r_[calm, 30.0], math.log(2))
    assert cut and low < 0.59 and math.log(2) < high < 1 and scale == {"value": "linear"}
    (low, high), cut, _ = layout.loss_axis(calm, math.log(2))
    assert not cut and high > math.log(2)
    (low, high), cut, scale = layout.loss_axis(np.r_[calm, -1e20 * np.ones(100)], 0.0)
    assert scale["value"] == "symlog" and low < -1e20 and not cut
    for nothing in (np.array([]), np.full(3, np.nan), np.full(3, np.inf)):
        (low, high), _, _ = layout.loss_axis(nothing, 0.0)
        assert low <= 0 <= high and low < high
    (low, high), _, _ = layout.loss_axis(np.zeros(5), 0.0)
    assert low < 0 < high


# Contrasts.


def contrast(
    estimate: float, low: float, high: float, *, p: float = 0.5, ratio: bool = True, kind: str = "main"
) -> Contrast:
    one = kind == "main"
    return Contrast(
        kind=kind,
        factors=("loss",) if one else ("loss", "lr_ratio"),
        levels=(f"saturating{estimate:g}",) if one else (f"s{estimate:g}", "2"),
        against=("non_saturating",) if one else ("non_saturating", "1"),
        interval=Interval(estimate, low, high, "BCa"),
        ratio=ratio,
        pairs=8,
        p=p,
        p_holm=p,
        effect=0.0,
        improvement=None,
    )


def test_a_forest_s_limits_hold_estimates_and_both_sides_of_no_effect() -> None:
    effects = [Effect("a", 2.0, 1.5, 3.0, True), Effect("b", 1.1, 0.9, 1e9, False)]
    low, high = forest_limits(effects, 1.0, log=True)
    assert low < 0.9 and 3.0 < high < 20
    for odd in (
        [],
        [Effect("a", math.nan, math.nan, math.nan, False)],
        [Effect("a", math.inf, math.inf, math.inf, True)],
    ):
        for null, log in ((1.0, True), (0.0, False)):
            low, high = forest_limits(odd, null, log)
            assert low < null < high and math.isfinite(high - low)
    low, high = forest_limits([Effect("a", 0.0, 0.0, 0.5, True)], 1.0, log=True)
    assert low > 0


def offsets_of(ax: Axes) -> list[tuple[float, float, str, bool]]:
    """Single marks: x, row, marker, filled."""
    marks = []
    for line in ax.lines:
        x, y = np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata())
        if len(x) == 1 and line.get_marker() not in ("None", ""):
            marks.append((float(x[0]), float(y[0]), str(line.get_marker()), line.get_markerfacecolor() != "white"))
    return marks


def test_infinite_and_missing_effects_are_drawn_at_the_edge_or_said() -> None:
    effects = [
        Effect("finite", 0.5, 0.4, 0.6, True),
        Effect("failed", math.inf, 0.8, math.inf, False),
        Effect("one seed", 0.7, math.nan, math.nan, False),
        Effect("both failed", math.nan, math.nan, math.nan, False),
        Effect("reference failed", 0.0, 0.0, 0.0, False),
    ]
    fig = primitives.new_figure(3)
    ax = fig.subplots()
    ax.set_xscale("log")
    limits = forest_limits(effects, 1.0, log=True)
    plot_forest(ax, {"main effects": effects, "interactions": []}, 1.0, limits, color="blue")
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["main effects", *(e.label for e in effects)]
    marks = {row: (x, marker, filled) for x, row, marker, filled in offsets_of(ax)}
    assert marks[1] == (0.5, "o", True)
    assert marks[2] == (limits[1], ">", False) and marks[5] == (limits[0], "<", False)
    assert marks[3] == (0.7, "o", False) and 4 not in marks
    assert [t.get_text() for t in ax.texts] == ["no estimate"]
    render(fig)


def test_contrasts_are_sorted_the_best_first_whatever_the_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [contrast(e, e / 2, e * 2) for e in (1.5, math.nan, 0.5, math.inf, 1.0)]
    for direction, expected in (("lower", [0.5, 1.0, 1.5, math.inf]), ("higher", [math.inf, 1.5, 1.0, 0.5])):
        ordered = [c.interval.estimate for c in effects._by_effect(found, direction, 10)]
        assert ordered[:-1] == expected and math.isnan(ordered[-1])
    many = [contrast(1 + i / 10, 1, 2, p=i / 100) for i in range(60)]
    assert {c.p for c in effects._by_effect(many, "lower", 7)} == {i / 100 for i in range(7)}


@pytest.mark.parametrize("seeds", [1, 2, 6])
def test_the_forest_says_what_it_shows(seeds: int) -> None:
    factors = {"loss": ["a", "b"], "lr_ratio": ["1", "2"]}
    evidence = make_evidence(factors, seeds, lambda v, s: (0.02 if v["loss"] == "a" else 0.04) * 1.05**s)
    picture = effects.contrast_forest(evidence, evidence.contrasts)
    assert "ratio" in picture.caption and "`loss` a" in picture.caption
    assert ("one seed gives no interval" in picture.caption) == (seeds == 1)
    labels = [t.get_text() for t in picture.figure.axes[0].get_yticklabels()]
    assert labels[0] == "main effects" and "loss b against a" in labels and "loss b × lr_ratio 2" in labels
    sides = {t.get_text(): t.xy[0] for t in picture.figure.axes[0].texts if "→" in t.get_text() or "←" in t.get_text()}  # pyright: ignore[reportAttributeAccessIssue]
    assert set(sides) == {"← better", "worse →"}
    assert clipped_texts(picture.figure) == []


# Profile.


def test_the_profile_counts_failed_replicas_and_never_as_reached() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b"]},
        4,
        lambda v, s: 0.01 * (s + 1),
        lambda v, s: "diverged" if v["loss"] == "b" and s == 0 else "converged",
    )
    picture = effects.profile(evidence)
    lines = {
        line.get_label(): line for line in picture.figure.axes[0].lines if not str(line.get_label()).startswith("_")
    }
    a, b = (np.asarray(lines[k].get_ydata(), float) for k in ("a", "b"))
    assert a[-1] == 1.0 and b[-1] == 0.75 and (np.diff(a) >= 0).all()
    x = np.asarray(lines["a"].get_xdata(), float)
    assert a[np.flatnonzero(x >= 0.02)[0]] == 0.5  # at the threshold counts as reached
    assert "1 of 8" in picture.caption
    assert render(picture.figure)


def test_a_higher_is_better_profile_falls_and_a_study_without_one_success_is_drawn() -> None:
    evidence = make_evidence({"loss": ["a", "b"]}, 4, lambda v, s: 0.2 * s, references={"coverage": COVERAGE})
    picture = effects.profile(evidence)
    y = np.asarray(picture.figure.axes[0].lines[0].get_ydata(), float)
    assert y[0] == 1.0 and (np.diff(y) <= 0).all() and "upper right" in picture.caption
    lost = make_evidence({"loss": ["a", "b"]}, 3, verdict=lambda v, s: "diverged")
    assert render(effects.profile(lost).figure)


def test_the_profile_has_a_line_a_variant_while_they_are_few() -> None:
    few = make_evidence({"loss": ["a", "b"], "lr_ratio": ["1", "2", "4"]}, 2)
    many = make_evidence({"loss": ["a", "b"], "lr_ratio": ["1", "2", "4", "8"]}, 2)
    assert "a variant" in effects.profile(few).caption
    assert "a level of `loss`" in effects.profile(many).caption
    assert "one line" in effects.profile(make_evidence({}, 3)).caption


# Verdicts.


def test_shares_fill_the_row_and_carry_their_counts() -> None:
    counts = pd.DataFrame({"converged": [3, 0], "diverged": [1, 5]}, index=pd.Index(["one", "two"]))
    ax = primitives.new_figure(2).subplots()
    plot_shares(ax, counts, primitives.VERDICT_COLOURS)
    widths = np.array([patch.get_width() for patch in ax.patches]).reshape(2, 2)  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(widths.sum(axis=0), 1.0)
    assert sorted(t.get_text() for t in ax.texts) == ["1", "3", "5"]


def test_verdicts_count_what_could_not_be_trained_as_failed_and_leave_out_what_is_unknown() -> None:
    def verdict(levels: Levels, seed: int) -> str:
        return (
            {0: "", 1: "diverged", 2: "collapsed", 3: "starved"}.get(seed, "converged")
            if levels["loss"] == "b"
            else "converged"
        )

    evidence = make_evidence({"loss": ["a", "b"]}, 10, verdict=verdict)
    evidence.results.loc[evidence.results.index[0], "verdict"] = None  # trained, but its history is lost
    picture = effects.verdicts(evidence)
    left, right = picture.figure.axes[:2]
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    points = [(x, round(y)) for x, y, _, _ in offsets_of(right)]
    assert points == [(0.0, 0), (0.2, 1), (0.0, 0), (0.4, 1)]
    spans = [np.asarray(line.get_xdata(), float) for line in right.lines if len(np.atleast_1d(line.get_xdata())) == 2]
    np.testing.assert_allclose(spans[1], wilson(2, 10))
    assert "1 of 20" in picture.caption
    assert "could not be trained" in picture.caption
