from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.ledger import Ledger
from gan.variant import Variant
from gan.verdict import VERDICTS
from reports import figures, gallery, gallery_evidence, gallery_samples, gallery_training, layout
from reports.contrasts import Contrast
from reports.evidence import Evidence
from reports.figures_evidence import Effect, forest_limits, plot_forest, plot_paths, plot_shares, plot_steps
from reports.layout import Picture
from reports.statistics import Interval, wilson

KS = {"label": "KS statistic", "direction": "lower", "n": 10000, "floor": 0.009, "noise": None}
COVERAGE = {"label": "Share of 100 bins covered", "direction": "higher", "n": 10000, "floor": 1.0, "noise": None}
RADIUS = {"label": "Distance from the equilibrium", "direction": "lower", "n": 1, "floor": 0.0, "noise": None}
STEPS = 1000
GAUSSIAN = {"name": "gaussian", "mean": 3.0, "std": 2.0}
Levels = dict[str, Any]


@pytest.fixture(autouse=True)
def style() -> Any:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.use("Agg")
        matplotlib.rcParams.update(figures.STYLE)
        yield


def make_evidence(
    factors: Mapping[str, Sequence[str]],
    seeds: int,
    value: Callable[[Levels, int], float] = lambda levels, seed: 0.02 + 0.001 * seed,
    verdict: Callable[[Levels, int], str] = lambda levels, seed: "converged",
    *,
    settings: Callable[[Levels], dict[str, Any]] = lambda levels: {},
    checks: Sequence[str] = (),
    target: Mapping[str, Any] = GAUSSIAN,
    references: Mapping[str, dict[str, Any]] | None = None,
    collapse: Callable[[Levels, int], float] = lambda levels, seed: math.nan,
    ledger: Ledger | None = None,
) -> Evidence:
    """A study's evidence out of the air; the verdicts "diverged" and "" (not trained) set the status."""
    references = dict(references or {"ks": KS})
    primary = next(iter(references))
    grid = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    names = [" ".join(f"{k}={v}" for k, v in levels.items()) for levels in grid]
    rows = []
    for name, levels in zip(names, grid, strict=True):
        for seed in range(seeds):
            judged = verdict(levels, seed)
            status = {"diverged": "diverged", "": "failed"}.get(judged, "ok")
            row = {"variant": name, "seed": seed, **levels, "status": status, "verdict": judged or None}
            row |= {"time_to_collapse": collapse(levels, seed), "steps": STEPS}
            row |= {s: value(levels, seed) if status == "ok" else math.nan for s in references}
            rows.append(row | {"value_discriminator": 0.6, "replica": f"{name}/{seed}".replace(" ", "_")})
    results = pd.DataFrame(rows)
    report = {"score": primary, "factor": next(iter(factors), None), "reached": {primary: 0.05}, "notes": ""}
    study = {"name": "made", "title": "Made", "question": "?", "target": dict(target), "target_label": "N(3, 2²)"}
    study |= {"steps": STEPS, "factors": {k: list(v) for k, v in factors.items()}, "report": report}
    study |= {"checks": list(checks), "reference": {k: v[0] for k, v in factors.items()}}
    plan = {"study": study, "variants": {n: settings(v) for n, v in zip(names, grid, strict=True)}}
    plan["replicas"] = [{"id": r["replica"], "variant": r["variant"], "seed": r["seed"]} for r in rows]
    variants = pd.DataFrame(grid, index=pd.Index(names, name="variant"), columns=pd.Index(list(factors)))
    return Evidence(plan, references, results, variants, ledger or Ledger(Path("nowhere")))


def make_history(evidence: Evidence, layers: int = 3) -> pd.DataFrame:
    """Curves of every replica that was trained; a diverged one's end halfway."""
    rng = np.random.default_rng(3)
    steps, evaluations = np.arange(20, STEPS + 1, 20), np.arange(100, STEPS + 1, 100)
    tables = []
    trained = evidence.results[evidence.results["status"] != "failed"]
    for replica, verdict in zip(trained["replica"], trained["verdict"], strict=True):
        curves = {"value/discriminator": (steps, 0.6 + 0.05 * rng.standard_normal(len(steps)))}
        curves["gradient/generator"] = steps, np.exp(0.3 * rng.standard_normal(len(steps)))
        for layer in range(1, layers + 1):
            curves[f"gradient/generator/{layer}"] = (
                steps,
                10.0 ** (layer - 4) * np.exp(0.2 * rng.standard_normal(len(steps))),
            )
        for score in evidence.references:
            curves[f"score/{score}"] = evaluations, np.exp(-evaluations / 400 + 0.2 * rng.standard_normal(10))
        for metric, (x, y) in curves.items():
            keep = x <= STEPS // 2 if verdict == "diverged" else x > 0
            tables.append(pd.DataFrame({"replica": replica, "step": x[keep], "metric": metric, "value": y[keep]}))
    return pd.concat(tables, ignore_index=True)


def render(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60, metadata={"Software": None})
    return buffer.getvalue()


def by_name(pictures: Any) -> dict[str, Picture]:
    return {picture.name: picture for picture in pictures}


def clipped_texts(figure: Figure) -> list[str]:
    """Texts that leave the page, and tick labels of one vertical axis that overlap."""
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    wrong = []
    for ax in figure.get_axes():
        low, high = sorted(ax.get_ylim())
        ticks = [t for t in ax.get_yticklabels() if t.get_text() and low <= t.get_position()[1] <= high]
        boxes = [t.get_window_extent() for t in [*ticks, *ax.texts, ax.title] if t.get_text()]
        wrong += [t.get_text() for t in ticks if t.get_window_extent().x0 < -1]
        wrong += ["text" for box in boxes if box.x1 > page.x1 + 1 or box.x0 < -1]
        heights = sorted((t.get_window_extent().y0, t.get_window_extent().y1) for t in ticks)
        wrong += ["overlap" for one, two in itertools.pairwise(heights) if two[0] < one[1] - 3]
    for legend in figure.legends:
        box = legend.get_window_extent()
        wrong += ["legend"] if box.x0 < -1 or box.x1 > page.x1 + 1 else []
    return wrong


LARGE = {
    "loss": ["non_saturating", "saturating"],
    "generator_norm": ["none", "batch"],
    "lr_ratio": ["0.1", "0.5", "1", "2", "10"],
    "discriminator_hidden": ["(32, 64, 32)", "(256, 128)"],
}


def mixed(levels: Levels, seed: int) -> str:
    place = sum(map(len, levels.values())) + seed
    return [*VERDICTS, ""][place % 7] if levels["lr_ratio"] in ("0.1", "10") else "converged"


def spread_out(levels: Levels, seed: int) -> float:
    return 0.01 * float(levels["lr_ratio"]) ** 0.7 * (2 if levels["loss"] == "saturating" else 1) * 1.1**seed


@pytest.fixture(scope="module")
def large() -> Evidence:
    return make_evidence(LARGE, 7, spread_out, mixed, checks=["layer_gradients"])


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
    assert tuple(figures.VERDICT_COLOURS) == VERDICTS
    colours = [lab(c, SEEN[seen]) for c in figures.VERDICT_COLOURS.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 30


def test_many_levels_still_get_a_colour_each() -> None:
    for n in (1, 2, 10, 11, 30):
        assert len(set(figures.palette([str(i) for i in range(n)]).values())) == n


# Axes.


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.3, 4), (0.005, 0.2), (1e-3, 40), (1e-6, 1e24), (1e-38, 1)])
def test_a_logarithmic_axis_always_has_readable_ticks(low: float, high: float) -> None:
    fig = figures.new_figure(3)
    ax = fig.subplots()
    ax.set(yscale="log", ylim=(low, high))
    figures.log_ticks(ax.yaxis)
    FigureCanvasAgg(fig).draw()
    shown = [t for t in ax.yaxis.get_majorticklabels() if low <= t.get_position()[1] <= high]
    assert 2 <= len(shown) <= 14 and all(len(t.get_text()) <= 12 for t in shown)
    assert clipped_texts(fig) == []


@pytest.mark.parametrize("labels", [["a"] * 3, ["x" * 30] * 7, ["x" * 150], ["short", "x" * 60, "y" * 40, "z" * 8] * 3])
def test_a_legend_never_leaves_the_page_unless_one_entry_alone_does(labels: list[str]) -> None:
    fig = figures.new_figure(3)
    ax = fig.subplots()
    figures.place_legend(fig, [ax.plot([0], [0], label=text)[0] for text in labels])
    assert clipped_texts(fig) == (["legend"] if len(labels[0]) == 150 else [])


def test_no_handles_no_legend() -> None:
    fig = figures.new_figure(2)
    figures.place_legend(fig, [])
    assert fig.legends == []


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
    fig = figures.new_figure(3)
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
        ordered = [c.interval.estimate for c in gallery_evidence._by_effect(found, direction, 10)]
        assert ordered[:-1] == expected and math.isnan(ordered[-1])
    many = [contrast(1 + i / 10, 1, 2, p=i / 100) for i in range(60)]
    assert {c.p for c in gallery_evidence._by_effect(many, "lower", 7)} == {i / 100 for i in range(7)}


@pytest.mark.parametrize("seeds", [1, 2, 6])
def test_the_forest_says_what_it_shows(seeds: int) -> None:
    factors = {"loss": ["a", "b"], "lr_ratio": ["1", "2"]}
    evidence = make_evidence(factors, seeds, lambda v, s: (0.02 if v["loss"] == "a" else 0.04) * 1.05**s)
    picture = gallery_evidence.contrast_forest(evidence, evidence.contrasts())
    assert "ratio" in picture.caption and "`loss` a" in picture.caption
    assert ("one seed gives no interval" in picture.caption) == (seeds == 1)
    labels = [t.get_text() for t in picture.figure.axes[0].get_yticklabels()]
    assert labels[0] == "main effects" and "loss b against a" in labels and "loss b × lr_ratio 2" in labels
    sides = {t.get_text(): t.xy[0] for t in picture.figure.axes[0].texts if "→" in t.get_text() or "←" in t.get_text()}  # pyright: ignore[reportAttributeAccessIssue]
    assert set(sides) == {"← better", "worse →"}
    assert clipped_texts(picture.figure) == []


def test_failed_replicas_reach_the_forest_as_infinite() -> None:
    factors = {"loss": ["a", "b"], "lr_ratio": ["1", "2"]}
    evidence = make_evidence(factors, 6, verdict=lambda v, s: "diverged" if v["loss"] == "b" else "converged")
    picture = gallery_evidence.contrast_forest(evidence, evidence.contrasts())
    assert "infinitely far" in picture.caption
    marks = {marker for _, _, marker, _ in offsets_of(picture.figure.axes[0])}
    assert ">" in marks
    render(picture.figure)


# Profile.


def test_the_profile_counts_failed_replicas_and_never_as_reached() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b"]},
        4,
        lambda v, s: 0.01 * (s + 1),
        lambda v, s: "diverged" if v["loss"] == "b" and s == 0 else "converged",
    )
    picture = gallery_evidence.profile(evidence)
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
    picture = gallery_evidence.profile(evidence)
    y = np.asarray(picture.figure.axes[0].lines[0].get_ydata(), float)
    assert y[0] == 1.0 and (np.diff(y) <= 0).all() and "upper right" in picture.caption
    lost = make_evidence({"loss": ["a", "b"]}, 3, verdict=lambda v, s: "diverged")
    assert render(gallery_evidence.profile(lost).figure)


def test_the_profile_has_a_line_a_variant_while_they_are_few() -> None:
    few = make_evidence({"loss": ["a", "b"], "lr_ratio": ["1", "2", "4"]}, 2)
    many = make_evidence({"loss": ["a", "b"], "lr_ratio": ["1", "2", "4", "8"]}, 2)
    assert "a variant" in gallery_evidence.profile(few).caption
    assert "a level of `loss`" in gallery_evidence.profile(many).caption
    assert "one line" in gallery_evidence.profile(make_evidence({}, 3)).caption


def test_a_step_is_drawn_at_its_threshold() -> None:
    ax = figures.new_figure(2).subplots()
    plot_steps(ax, np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([[0.0, 0.5], [0.5, 1.0]]), "post", "red", "x")
    assert ax.lines[0].get_drawstyle() == "steps-post"


# Verdicts.


def test_shares_fill_the_row_and_carry_their_counts() -> None:
    counts = pd.DataFrame({"converged": [3, 0], "diverged": [1, 5]}, index=pd.Index(["one", "two"]))
    ax = figures.new_figure(2).subplots()
    plot_shares(ax, counts, figures.VERDICT_COLOURS)
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
    picture = gallery_evidence.verdicts(evidence)
    left, right = picture.figure.axes[:2]
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    points = [(x, round(y)) for x, y, _, _ in offsets_of(right)]
    assert points == [(0.0, 0), (0.2, 1), (0.0, 0), (0.4, 1)]
    spans = [np.asarray(line.get_xdata(), float) for line in right.lines if len(np.atleast_1d(line.get_xdata())) == 2]
    np.testing.assert_allclose(spans[1], wilson(2, 10))
    assert "1 of 20" in picture.caption
    assert "could not be trained" in picture.caption


# Trajectories.


def test_at_most_sixty_paths_from_the_best_to_the_worst() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b"]}, 100, lambda v, s: 0.001 * (s + 1), lambda v, s: "diverged" if s > 97 else "converged"
    )
    shown = gallery_training.evenly_by_rank(evidence, 60)
    assert len(shown) == 60 == shown["replica"].nunique()
    assert shown["ks"].iloc[0] == 0.001 and shown["verdict"].iloc[-1] == "diverged"
    assert shown["ks"].dropna().is_monotonic_increasing
    ranks = (
        evidence.results.sort_values("ks", kind="stable").reset_index().reset_index().set_index("replica")["level_0"]
    )
    assert np.diff(ranks[shown["replica"]]).max() <= math.ceil(199 / 59)
    few = make_evidence({"loss": ["a"]}, 3, verdict=lambda v, s: "" if s == 1 else "converged")
    assert gallery_training.evenly_by_rank(few, 60)["seed"].tolist() == [0, 2]


def test_the_legend_counts_every_replica_and_the_caption_says_how_many_are_drawn(large: Evidence) -> None:
    picture = gallery_training.trajectories(large, make_history(large), "ks")
    counts = large.results["verdict"].value_counts()
    texts = [t.get_text() for t in picture.figure.legends[0].get_texts()]
    assert [f"{v} {counts[v]}" for v in VERDICTS if v in counts] == texts[: counts.size]
    assert f"60 of the {counts.sum()} are drawn" in picture.caption and "diverged" in picture.caption
    assert len(picture.figure.axes) == 3 and clipped_texts(picture.figure) == []


def test_a_path_skips_what_has_no_place_on_its_axis() -> None:
    ax = figures.new_figure(2).subplots()
    ax.set_yscale("log")
    nothing, steps = np.array([np.nan, np.inf, 0.0, -1.0]), np.arange(4)
    plot_paths(ax, [((steps, nothing), "diverged"), ((steps, np.array([1.0, 0.0, 2.0, 3.0])), "converged")])
    assert len(ax.lines) == 2  # no cross for a path without a point
    assert np.isnan(np.asarray(ax.lines[1].get_ydata(), float)).tolist() == [False, True, False, False]


def test_critics_are_left_out_of_a_mixed_study_s_discriminator_s_value() -> None:
    evidence = make_evidence({"loss": ["non_saturating", "wasserstein"]}, 3, settings=lambda v: dict(v))
    history = make_history(evidence)
    table = history[history["metric"] == "value/discriminator"]
    kept, _, said = layout.comparable_values(evidence, table)
    assert kept["replica"].str.contains("non_saturating").all() and 0 < len(kept) < len(table) and "left out" in said
    assert layout.equilibrium(evidence) == ("equilibrium log 2", math.log(2))
    critics = make_evidence({"lr_ratio": ["1", "2"]}, 3, settings=lambda v: {"loss": "wasserstein"})
    assert layout.equilibrium(critics)[1] == 0.0 and layout.comparable_values(critics, table)[0] is table


# Survival.


def test_who_was_lost_and_when() -> None:
    verdicts = ["converged", "collapsed", "collapsed", "diverged", "starved", ""]
    times = [300.0, 400.0, math.nan, math.nan, math.nan, math.nan]
    evidence = make_evidence({"loss": ["a"]}, 6, verdict=lambda v, s: verdicts[s], collapse=lambda v, s: times[s])
    losses = gallery_evidence.lost(evidence, make_history(evidence))
    assert losses["step"].tolist() == [300.0, 400.0, 100.0, 500.0, 1000.0]
    assert losses["lost"].tolist() == [True, True, True, True, False]
    assert losses["replica"].tolist() == evidence.results["replica"].tolist()[:5]


def test_a_survival_curve_starts_at_one_and_ends_at_the_share_that_is_left() -> None:
    evidence = make_evidence(
        {"loss": ["a", "b", "c"]},
        5,
        verdict=lambda v, s: "collapsed" if (v["loss"] == "a" and s < 2) or v["loss"] == "c" else "converged",
        collapse=lambda v, s: 200.0 * (s + 1) if v["loss"] == "c" or (v["loss"] == "a" and s < 2) else math.nan,
    )
    losses = gallery_evidence.lost(evidence, make_history(evidence))
    picture = gallery_evidence.survival_curves(evidence, losses)
    ends = [np.asarray(line.get_ydata(), float)[[0, -1]].tolist() for line in picture.figure.axes[0].lines]
    np.testing.assert_allclose(ends, [[1.0, 0.6], [1.0, 1.0], [1.0, 0.0]])
    assert picture.figure.legends[0].get_texts()[0].get_text() == "loss a: 2 of 5"
    assert render(picture.figure)


def test_no_survival_where_nobody_is_lost(large: Evidence) -> None:
    calm = make_evidence({"loss": ["a", "b"]}, 3)
    assert "survival.png" not in by_name(gallery_evidence.evidence_pictures(calm, make_history(calm)))
    assert "survival.png" in by_name(gallery_evidence.evidence_pictures(large, make_history(large)))


# Layers.


def test_layers_only_where_asked_and_over_the_second_half() -> None:
    factors = {"lr_ratio": ["1", "4"], "critic_steps": ["1", "5"]}
    asked = make_evidence(factors, 3, checks=["layer_gradients"])
    history = make_history(asked)
    early = history["step"] <= STEPS / 2
    history.loc[early & history["metric"].str.startswith("gradient/generator/"), "value"] = 1e9
    pictures = by_name(gallery_training.training_pictures(asked, history))
    axes = pictures["layers.png"].figure.axes
    assert len(axes) == 2 and axes[0].get_yscale() == "log"
    drawn = np.asarray(axes[0].lines[0].get_ydata(), float)
    assert (np.diff(np.log10(drawn)) > 0.5).all() and drawn.max() < 10
    assert axes[0].get_xticks().tolist() == [1, 2, 3]
    unasked = make_evidence(factors, 3)
    assert "layers.png" not in by_name(gallery_training.training_pictures(unasked, make_history(unasked)))


def test_layers_that_get_nothing_or_that_some_variants_lack_are_drawn() -> None:
    asked = make_evidence({"lr_ratio": ["1", "4"]}, 3, checks=["layer_gradients"])
    history = make_history(asked)
    mine = history["replica"].str.startswith("lr_ratio=4")
    history = history[~(mine & (history["metric"] == "gradient/generator/3"))]
    history.loc[history["metric"] == "gradient/generator/1", "value"] = 0.0
    picture = by_name(gallery_training.training_pictures(asked, history))["layers.png"]
    assert "zero" in picture.caption and render(picture.figure)


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
    (picture,) = gallery_samples.sample_pictures(evidence, evidence.ledger)
    assert picture.name == "orbit.png" and "h = 0.05, 0.4" in picture.caption
    lines = [np.asarray(line.get_ydata(), float) for line in picture.figure.axes[-1].lines]
    dashed = [i for i, line in enumerate(picture.figure.axes[-1].lines) if line.is_dashed()]
    assert len(dashed) == 2
    for i in dashed:
        np.testing.assert_allclose(lines[i], lines[i - 1], rtol=1e-4)
    assert "not joined" in picture.caption  # h = 0.4 turns by four radians between two records
    assert clipped_texts(picture.figure) == []


def test_every_figure_of_the_game_is_drawn_and_none_of_its_samples(tmp_path: Path) -> None:
    evidence = game(tmp_path)
    pictures = by_name(gallery.pictures(evidence, evidence.ledger))
    assert "samples.png" not in pictures and "orbit.png" in pictures
    for picture in pictures.values():
        assert render(picture.figure) and clipped_texts(picture.figure) == [], picture.name


@pytest.mark.parametrize(
    ("change", "h"),
    [
        ({}, 0.1),
        ({"updates": "alternating"}, None),
        ({"reduction": "mean"}, None),  # halves the discriminator's step
        ({"reduction": "mean", "lr_ratio": 2.0}, 0.1 / math.sqrt(2)),  # and this doubles it again
        ({"lr_ratio": 2.0}, None),
        ({"loss": "non_saturating"}, None),
        ({"optimiser": "adam"}, None),
        ({"penalty": "r1"}, None),
        ({"schedule": "linear"}, None),
    ],
)
def test_the_exact_growth_is_claimed_only_where_it_is_exact(change: dict[str, Any], h: float | None) -> None:
    plain: dict[str, Any] = {"loss": "wasserstein", "reduction": "sum_of_means", "optimiser": "sgd", "lr": 0.1}
    variant = Variant.from_settings({**plain, "updates": "simultaneous", **change})
    found = gallery_samples.spiral_step(variant)
    assert found is None if h is None else found == pytest.approx(h)


# All of them.


def test_forty_variants_fit_the_page(large: Evidence) -> None:
    history = make_history(large)
    pictures = [gallery.final_scores(large), gallery.heat_map(large)]
    pictures += [
        *gallery_evidence.evidence_pictures(large, history),
        *gallery_training.training_pictures(large, history),
    ]
    for picture in pictures:
        assert clipped_texts(picture.figure) == [], picture.name
        assert picture.figure.get_size_inches()[1] < 11, picture.name


def test_the_same_evidence_gives_the_same_bytes() -> None:
    factors = {"loss": ["a", "b"], "lr_ratio": ["0.1", "10"]}
    evidence = make_evidence(factors, 4, spread_out, mixed, checks=["layer_gradients"])
    history = make_history(evidence)

    def drawn(history: pd.DataFrame) -> dict[str, bytes]:
        pictures = [*gallery_evidence.evidence_pictures(evidence, history)]
        pictures += gallery_training.training_pictures(evidence, history)
        return {p.name: render(p.figure) for p in pictures}

    first = drawn(history)
    assert set(first) >= {"contrasts.png", "profile.png", "verdicts.png", "survival.png", "trajectories.png"}
    assert first == drawn(history.sort_values(["metric", "replica", "step"]))  # cohorts finish in any order


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_study_of_one_variant_or_one_seed_is_drawn(seeds: int) -> None:
    for factors in ({}, {"loss": ["only"]}) if seeds == 2 else ({"loss": ["a", "b"]},):
        evidence = make_evidence(factors, seeds)
        history = make_history(evidence)
        pictures = [gallery.final_scores(evidence), *gallery_evidence.evidence_pictures(evidence, history)]
        for picture in [*pictures, *gallery_training.training_pictures(evidence, history)]:
            assert render(picture.figure), picture.name


def test_a_study_in_which_everything_failed_is_drawn() -> None:
    for verdict in ("diverged", ""):
        evidence = make_evidence({"loss": ["a", "b"], "lr_ratio": ["1", "2"]}, 3, verdict=lambda v, s, own=verdict: own)
        history = make_history(evidence) if verdict else pd.DataFrame(columns=["replica", "step", "metric", "value"])
        pictures = [gallery.final_scores(evidence), *gallery_evidence.evidence_pictures(evidence, history)]
        for picture in [*pictures, *gallery_training.training_pictures(evidence, history)]:
            assert render(picture.figure), picture.name
