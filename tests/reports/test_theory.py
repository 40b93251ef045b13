from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gan.columns import LOSSES
from gan.variant import Variant
from reports.ledger.ledger import HISTORY, Ledger
from reports.stats.intervals import Interval
from reports.study.evidence import gather
from reports.study.tables import spread
from reports.theory import statements
from reports.theory.optimum import gaussian_divergence
from reports.theory.section import Measured

STEPS = 1000
LOG2 = math.log(2)
SCORES = {
    "ks": {"label": "KS statistic", "direction": "lower", "n": 10_000, "floor": 0.0087, "noise": None},
    "jsd_100k": {"label": "JS divergence", "direction": "lower", "n": 100_000, "floor": 0.0005, "noise": None},
    "jsd_10k": {"label": "JS divergence at 10k", "direction": "lower", "n": 10_000, "floor": 0.005, "noise": None},
    "d_gap": {"label": "D's distance", "direction": "lower", "n": 10_000, "floor": None, "noise": None},
    "d_excess": {"label": "D's excess", "direction": None, "n": 10_000, "floor": 0.0, "noise": None},
}
Curves = dict[str, list[tuple[int, float]]]
Measure = Callable[[Variant, int], tuple[dict[str, Any], Curves]]
WINDOWS = range(100, STEPS + 1, 100)


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Measured]:
    def of(name: str, factors: dict[str, list[Any]], measure: Measure, seeds: int = 4, **base: Any) -> Measured:
        return run_check(tmp_path / "runs", name, factors, measure, seeds, base)

    return of


def run_check(
    directory: Path, name: str, factors: dict[str, list[Any]], measure: Measure, seeds: int, base: dict[str, Any]
) -> Measured:
    """Write a study of these factors, crossed, its replicas as `measure` says, and make one check."""
    grid: list[dict[str, Any]] = [{}]
    for factor, levels in factors.items():
        grid = [{**one, factor: level} for one in grid for level in levels]
    names = {" ".join(f"{k}={v}" for k, v in levels.items()): levels for levels in grid}
    variants = {label: Variant(**base, **levels) for label, levels in names.items()}
    ledger, rows, history, replicas = Ledger(directory), [], [], []
    ledger.open_for_writing()
    for label, variant in variants.items():
        for seed in range(seeds):
            own, curves = measure(variant, seed)
            replica = f"r{len(rows)}"
            row = {"replica": replica, "study": "s", "scale": "laptop", "target": "gaussian", "variant": label}
            row |= {"seed": seed, "cohort": "c", "device": "cpu", "status": "ok", "failed_step": None, "reason": ""}
            row |= {"steps": STEPS, "train_seconds": 1.0, "value_discriminator": 0.69, "ks": 0.1}
            rows.append(row | dict.fromkeys(LOSSES, 0.7) | own)
            replicas.append({"id": replica, "variant": label, "seed": seed})
            history += [(replica, step, metric, v) for metric, points in curves.items() for step, v in points]
    table = pd.DataFrame(history, columns=pd.Index(HISTORY)).astype({"replica": str, "metric": str, "value": float})
    ledger.write_cohort("c", pd.DataFrame(rows), table, {}, {})
    study = {"name": "s", "title": "T", "question": "Q", "target": {"name": "gaussian", "mean": 3.0, "std": 2.0}}
    study |= {"target_label": "N(3, 2²)", "steps": STEPS, "scale": "laptop", "factors": factors, "checks": [name]}
    study |= {"report": {"score": "ks", "factor": next(iter(factors), None), "reached": {"ks": 0.2}, "notes": ""}}
    study |= {"reference": {f: levels[0] for f, levels in factors.items()}, "overrides": {}, "published": []}
    plan = {"study": study, "device": "cpu", "command": "", "replicas": replicas, "levels": names}
    plan |= {
        "cohorts": [{"id": "c", "mode": "loop", "compiled": False, "width": 1, "replicas": [r["id"] for r in replicas]}]
    }
    plan["variants"] = {label: variant.settings() for label, variant in variants.items()}
    ledger.write_json("plan.json", plan)
    ledger.write_json("references.json", {s: SCORES[s] for s in SCORES if s in rows[0] or s == "jsd_10k"})
    ledger.write_json("provenance.json", {"sessions": []})
    (statement,) = statements.checks(gather(ledger))
    measured = statement.measured
    assert statement.name == name and statement.title and statement.text.endswith(measured.note)
    # It stands under the report's first sentence.
    assert len(measured.conclusion.split()) <= 55 and measured.conclusion.endswith(".")
    assert all(isinstance(cell, str) for cell in measured.table.to_numpy().ravel())
    return measured


def column(section: Measured, start: str) -> list[str]:
    (name,) = [c for c in section.table.columns if c.startswith(start)]
    return section.table[name].tolist()


LOSSES_OF_G = {"loss": ["non_saturating", "saturating"]}


def logits(variant: Variant, seed: int, wrong: float = 1.0) -> tuple[dict[str, Any], Curves]:
    """D(G(z)) falls from 0.9 to 0.001; autograd rounds to float32; `wrong` scales the saturating gradient."""
    output = np.geomspace(0.9, 0.001, len(WINDOWS)).astype(np.float32)
    gradient = output * np.float32(wrong) if variant.loss == "saturating" else np.float32(1) - output
    own = {"ks": 0.1 if variant.loss == "non_saturating" else 0.3}
    curves = {"output/generator": output, "gradient/logits": gradient}
    return own, {m: list(zip(WINDOWS, map(float, v), strict=True)) for m, v in curves.items()}


def test_exact_logit_gradients_agree_with_theory_and_show_the_starvation(check):
    section = check("logit_gradient", LOSSES_OF_G, logits)
    assert "agrees with theory to rounding" in section.conclusion
    assert "80 windows" in section.conclusion
    assert "where D(G(z)) is below 0.01 its median is 0.99" in section.conclusion
    small = column(section, "gradient, D(G(z)) < 0.01")
    # By hand: outputs below 0.01 are 0.9 (0.001 / 0.9)^(k/9), k = 6..9 -> 0.0096, 0.0045, 0.0021, 0.001.
    k = np.array([6, 7, 8, 9])
    low = 0.9 * (0.001 / 0.9) ** (k / 9)
    assert float(small[1].split(",")[0]) == pytest.approx(np.median(low[low < 0.01]), rel=5e-3)
    assert small[0].startswith("0.99") and small[0].endswith(", 4 replicas")
    assert [cell.split()[0] for cell in column(section, "at the goal")] == ["4/4", "0/4"]


def test_the_lowest_outputs_that_all_losses_have_are_compared(check):
    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = logits(variant, seed)
        return own, {m: points[: 4 if variant.loss == "saturating" else 10] for m, points in curves.items()}

    assert "D(G(z)) is 0.01 to 0.1 its median is 0.9" in check("logit_gradient", LOSSES_OF_G, measure).conclusion


def test_a_planted_violation_is_found(check):
    section = check("logit_gradient", LOSSES_OF_G, lambda v, s: logits(v, s, wrong=1.001 if s == 3 else 1.0))
    assert "does not agree with theory" in section.conclusion
    exact, planted = (float(cell.split()[0]) for cell in column(section, "largest relative difference"))
    assert exact < 1e-6 and planted == pytest.approx(0.001, rel=0.05)


def test_other_losses_are_left_out_and_said(check):
    section = check("logit_gradient", {"loss": ["non_saturating", "wasserstein"]}, logits)
    assert len(section.table) == 1 and "Not checked: 4 replicas" in section.note
    section = check("logit_gradient", {"reduction": ["sum"]}, logits)
    assert section.conclusion.startswith("Not checked") and section.table.empty


def test_diverged_replicas_are_counted_and_their_windows_checked(check):
    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = logits(variant, seed)
        if seed:
            return own, curves
        return {"status": "diverged", "ks": math.nan}, {
            m: [*points[:3], (400, math.nan)] for m, points in curves.items()
        }

    section = check("logit_gradient", LOSSES_OF_G, measure)
    assert column(section, "non-finite") == ["1", "1"] and column(section, "replicas") == ["4", "4"]
    assert "(33 windows)" in column(section, "largest")[0] and "3/4" in column(section, "at the goal")[0]


def test_a_replica_whose_history_is_lost_is_not_one_that_did_not_starve(check):
    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = logits(variant, seed)
        lost = seed == 0 or (variant.loss == "saturating" and seed != 3)
        return own, {} if lost else curves

    section = check("logit_gradient", LOSSES_OF_G, measure)
    assert [cell.split()[0] for cell in column(section, "starved")] == ["0/3", "0/1"]
    assert "starved: 0/3 (0–56 %) `non_saturating`, 0/1 `saturating`" in section.conclusion


def test_starved_rates_are_by_loss_and_optimiser_where_both_vary(check):
    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = logits(variant, seed)
        gone = variant.loss == "saturating" and variant.optimiser == "sgd"
        curves["gradient/logits"] = curves["gradient/logits"] if gone else [(s, 0.5) for s in WINDOWS]
        curves["gradient/generator"] = [(s, 1e-9 if gone and s > 200 else 1.0) for s in WINDOWS]
        return own | {"ks": 0.9 if gone else 0.1}, curves | {"output/fake": [(s, 0.01) for s in WINDOWS]}

    section = check("logit_gradient", {**LOSSES_OF_G, "optimiser": ["adam", "sgd"]}, measure)
    rates = column(section, "starved")
    assert [rate.split()[0] for rate in rates] == ["0/4", "0/4", "0/4", "4/4"]
    assert f"{rates[0]} `non_saturating` `adam`" in section.conclusion
    assert f"{rates[3]} `saturating` `sgd`" in section.conclusion


@pytest.mark.parametrize("name", sorted(statements.CHECKS))
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_study_without_the_measurements_says_what_is_missing(check, name, seeds):
    section = check(name, {"lr_ratio": [1.0, 2.0]}, lambda v, s: ({}, {}), seeds)
    assert section.conclusion.startswith("Not checked:") and section.table.empty
    assert "`" in section.conclusion


def test_the_divergence_of_gaussians_against_known_values():
    assert gaussian_divergence(3, 2, 3, 2) == pytest.approx(0, abs=1e-12)
    assert gaussian_divergence(0, 0.001, 1000, 0.001) == pytest.approx(LOG2, abs=1e-9)
    assert gaussian_divergence(3, 2, 0, 1) == pytest.approx(gaussian_divergence(0, 1, 3, 2), abs=1e-10)
    # A far wider and a narrow one, which a careless quadrature misses: q = N(0, 1e-4) adds its own half.
    assert gaussian_divergence(0, 100, 5, 1e-4) == pytest.approx(LOG2, abs=1e-3)


def test_the_divergence_of_gaussians_against_simulation():
    p, q = cast("Any", stats.norm(3, 2)), cast("Any", stats.norm(0, 1))
    rng = np.random.default_rng(0)
    x, y = p.rvs(200_000, random_state=rng), q.rvs(200_000, random_state=rng)
    terms = [(a.logpdf(z) - np.logaddexp(p.logpdf(z), q.logpdf(z)) + LOG2) / 2 for a, z in ((p, x), (q, y))]
    error = math.hypot(*(t.std() / math.sqrt(len(t)) for t in terms))
    assert gaussian_divergence(3, 2, 0, 1) == pytest.approx(sum(t.mean() for t in terms), abs=5 * error)


def divergence(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
    """The JSD halves by each evaluation but in seed 3, where it grows; the value shows all but a tenth of it."""
    factor = 1.1 if seed == 3 else 0.5
    jsd = [0.2 * (1 + seed) * factor**i for i in range(len(WINDOWS))]
    value = [LOG2 - 0.9 * j for j in jsd]
    own = {"jsd_100k": jsd[-1], "value_discriminator": value[-1], "d_gap": 0.02}
    curves = {"score/jsd_10k": jsd, "value/discriminator": value}
    return own, {m: list(zip(WINDOWS, v, strict=True)) for m, v in curves.items()}


def test_a_falling_divergence_is_counted_and_its_gap_to_the_value_measured(check):
    section = check("jensen_shannon", LOSSES_OF_G, divergence)
    assert [cell.split()[0] for cell in column(section, "JSD fell")] == ["3/4", "3/4"]
    jsd = [0.2 * (1 + s) * (1.1 if s == 3 else 0.5) ** 9 for s in range(4)]
    gap = np.sort(jsd)[1:3].mean() / 10  # the interquartile mean of four is of the middle two
    assert float(column(section, "gap")[0].split()[0]) == pytest.approx(gap, rel=5e-3)
    assert column(section, "correlation over replicas")[0] == "+1.00 (n = 4)"
    assert column(section, "JSD against step")[0] == "-1.00 (n = 4)"
    assert column(section, "JSD against log 2")[0] == "+1.00 (n = 4)"
    assert "falls in 3/4 (30–95 %) with `non_saturating`, to" in section.conclusion
    assert f"exceeds log 2 − value by {column(section, 'gap')[0]} with `non_saturating`" in section.conclusion
    assert f"to {column(section, 'JSD at the end')[0]}" in section.conclusion and "(" in column(section, "gap")[0]


def diverged(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
    own, curves = divergence(variant, seed)
    gone = {"status": "diverged", "jsd_100k": math.nan, "value_discriminator": math.nan, "d_gap": math.nan}
    return (gone, {m: p[:4] for m, p in curves.items()}) if seed == 0 else (own, curves)


def recorded_twice(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
    own, curves = divergence(variant, seed)
    return own, curves | {"score/jsd_100k": [(STEPS, own["jsd_100k"])]}


SATURATING = {"loss": ["saturating"]}


@pytest.mark.parametrize(
    ("factors", "measure", "seeds", "cells", "says"),
    [
        # A critic's value is no divergence.
        ({"loss": ["wasserstein"]}, divergence, 4, {"gap": "n/a", "log 2": "n/a", "JSD fell": "3/4"}, "the JSD falls"),
        # A replica that diverged did not end with a lower one, wherever it stood before.
        (SATURATING, diverged, 4, {"JSD fell": "2/4", "non-finite": "1"}, "falls in 2/4"),
        # The score of the end may be recorded too: the curve is the one of many points.
        (SATURATING, recorded_twice, 4, {"JSD fell": "3/4"}, "falls in 3/4"),
        # Without a curve there is still the end.
        (SATURATING, lambda v, s: (divergence(v, s)[0], {"a": [(1, 1.0)]}), 4, {"JSD fell": "–"}, "the JSD ends at"),
        # One seed has an estimate and no interval.
        (
            SATURATING,
            divergence,
            1,
            {"JSD at the end": f"{0.2 * 0.5**9:#.3g}", "correlation over replicas": "– (n = 1)", "JSD fell": "1/1"},
            "falls in 1/1 with",
        ),
    ],
)
def test_what_is_known_of_the_divergence(check, factors, measure, seeds, cells, says):
    section = check("jensen_shannon", factors, measure, seeds=seeds)
    for start, cell in cells.items():
        assert column(section, start)[0].startswith(cell), start
    assert says in section.conclusion.replace("The", "the")
    assert (" to " in column(section, "JSD at the end")[0]) == (seeds > 1)


def test_a_generator_that_is_not_trained_minimises_nothing(check):
    section = check("jensen_shannon", {"generator": ["mlp", "fixed_gaussian"]}, divergence)
    assert column(section, "replicas") == ["4"]
    alone = check("jensen_shannon", {"generator": ["fixed_gaussian"]}, divergence)
    assert alone.conclusion.startswith("Not checked")


def optimum(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
    value = LOG2 - gaussian_divergence(3, 2, variant.fixed_mean, variant.fixed_std)
    curves: Curves = {"output/real": [(s, 0.9 if s < 950 else 0.6) for s in WINDOWS]}
    curves["output/fake"] = [(s, 0.1 if s < 950 else 0.4) for s in WINDOWS]
    known = {"d_gap": 0.01 * (1 + seed)} if variant.generator == "fixed_gaussian" else {"d_gap": math.nan}
    return {**known, "d_excess": 0.01 * (1 + seed), "value_discriminator": value + 0.01}, curves


def test_a_fixed_generators_value_is_held_against_the_exact_one(check):
    section = check(
        "optimal_discriminator", {"fixed_mean": [0.0, 3.0]}, optimum, generator="fixed_gaussian", fixed_std=2.0
    )
    exact = [LOG2 - gaussian_divergence(3, 2, m, 2) for m in (0, 3)]
    assert column(section, "exact") == [f"{e:.4f}" for e in exact] and exact[1] == pytest.approx(LOG2)
    assert column(section, "value − exact") == ["+0.0100", "+0.0100"]
    assert column(section, "mean of abs")[0].startswith("0.025")
    # The last tenth of the run only: steps above 900.
    assert column(section, "`output/real`")[0] == "0.600 (0.600 to 0.600), n = 4"
    assert f"ends {column(section, 'mean of abs')[0]} from the optimum" in section.conclusion
    assert f"its value 0.0100 off theory's {exact[0]:.4f}" in section.conclusion
    widths = {"discriminator_hidden": [(8,), (16,)]}
    pooled = check("optimal_discriminator", widths, optimum, generator="fixed_gaussian")
    assert "over 2 variants (8 replicas)" in pooled.conclusion.lower()
    many = check("optimal_discriminator", {"fixed_mean": [0.0, 1.0, 2.0]}, optimum, generator="fixed_gaussian")
    assert "against 3 fixed Gaussians" in many.conclusion and "0.0100 off theory's" in many.conclusion


def test_trained_generators_are_held_against_one_half(check):
    section = check("optimal_discriminator", LOSSES_OF_G, optimum)
    assert "(8 replicas) D(x) ends at 0.600" in section.conclusion
    # The excesses are 0.01 to 0.04 in both variants: their mean has an interval over seeds.
    expected = r"D's cross entropy 0\.0250 \(0\.01\d+ to 0\.0[34]\d+\) nats above that of the best D"
    assert re.search(expected, section.conclusion)
    assert not any(c.startswith("mean of abs") for c in section.table.columns)
    assert not any(c.startswith("exact") for c in section.table.columns)
    critic = check("optimal_discriminator", {"loss": ["wasserstein"]}, optimum)
    assert column(critic, "value at the end") == ["n/a"] and critic.conclusion.startswith("Not checked")


GAME: dict[str, Any] = {"loss": "wasserstein", "reduction": "sum_of_means", "optimiser": "sgd"}
GAME |= {"generator": "point", "discriminator": "slope"}
UPDATES = {"updates": ["simultaneous", "alternating"], "lr": [0.01, 0.1]}


def play(variant: Variant, seed: int, wrong: float = 1.0) -> tuple[dict[str, Any], Curves]:
    """Play the game xy itself: y is D's, x is G's, and D moves first."""
    half = 0.5 if variant.reduction == "mean" else 1.0
    wrong *= variant.batch_size if variant.reduction == "sum" else 1
    h_d, h_g = variant.lr_discriminator * half * wrong, variant.lr_generator * wrong
    x, y = np.random.default_rng(seed).standard_normal(2)
    radii = []
    for step in range(1, STEPS + 1):
        new_y = y - h_d * x
        x, y = x + h_g * (new_y if variant.updates == "alternating" else y), new_y
        if step % 10 == 0:
            radii.append((step, math.hypot(x, y)))
    return {"ks": 0.1}, {"score/radius": radii}


@pytest.mark.parametrize("ratio", [1.0, 4.0])
@pytest.mark.parametrize("reduction", ["mean", "sum_of_means"])
def test_the_game_follows_theory_at_every_step_size(check, ratio, reduction):
    section = check("bilinear", UPDATES, play, **{**GAME, "reduction": reduction}, lr_ratio=ratio)
    assert "stay within the bound" in section.conclusion
    equal = ratio == 1 and reduction == "sum_of_means"  # only then does the radius grow alike at every step
    assert column(section, "exact")[0].endswith("in the long run") != equal
    if equal:
        assert "spiral out at theory's rate" in section.conclusion
        deviations = [float(cell) for cell in column(section, "largest relative")]
        assert max(deviations) < 1e-6 and column(section, "exact")[0] == "growth 1.000050"
    assert column(section, "evaluations") == ["100"] * 4


def leaves(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
    own, curves = play(variant, seed)
    return own, {"score/radius": [*curves["score/radius"][:-1], (STEPS, 50.0)]}


@pytest.mark.parametrize(
    ("updates", "measure", "base", "says"),
    [
        ("simultaneous", lambda v, s: play(v, s, wrong=1.05), {}, "do not grow at theory's rate"),
        ("alternating", leaves, {}, "leave the bound"),
        # Another game is shown, and held against nothing.
        ("alternating", play, {"loss": "non_saturating"}, "Not checked"),
    ],
)
def test_a_game_that_theory_does_not_describe_is_found(check, updates, measure, base, says):
    section = check("bilinear", {"updates": [updates]}, measure, **{**GAME, "lr": 0.1, **base})
    assert says in section.conclusion and (column(section, "exact") == ["–"]) == (says == "Not checked")


@pytest.mark.parametrize(("h_first", "h_second"), [(0.1, 0.1), (0.9, 0.9), (0.2, 0.05), (1.9, 1.9)])
def test_the_bound_of_the_orbit_is_reached_and_never_passed(h_first, h_second):
    x, y, radii = 1.0, 0.3, []
    for _ in range(50_000):
        x -= h_first * y
        y += h_second * x
        radii.append(math.hypot(x, y))
    bound = statements.radius_ratio_bound(h_first, h_second)
    assert max(radii) / min(radii) <= bound * (1 + 1e-9)
    assert max(radii) / min(radii) == pytest.approx(bound, rel=0.02)
    if h_first == h_second:
        assert bound == pytest.approx(math.sqrt((1 + h_first / 2) / (1 - h_first / 2)))


def test_large_alternating_steps_have_no_bound():
    assert statements.radius_ratio_bound(2.0, 2.0) == statements.radius_ratio_bound(3.0, 1.5) == math.inf
    assert statements.growth_per_step(0.2) == pytest.approx(abs(1 + 0.2j))


RATIOS = {"lr_ratio": [0.5, 1.0, 2.0, 4.0]}


def layers(first: float, last: float) -> Measure:
    """Norms of three layers, the first and the last powers of the ratio; the first half of training is louder."""

    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        noise = 1 + 0.02 * seed
        norms = (variant.lr_ratio**first * noise, 1.0, variant.lr_ratio**last)
        return {}, {
            f"gradient/generator/{i + 1}": [(s, n * (99 if s <= 500 else 1)) for s in WINDOWS]
            for i, n in enumerate(norms)
        }

    return measure


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        (-2, -1, "the first layers starve first"),
        (-1, -2, "falls, but the last layer's more"),
        (-1, -1, "falls, though no fall of its share of the last layer's is resolved"),
        (1, 2, "rises"),
        (0, 0, "no fall is resolved"),
    ],
)
def test_which_layers_starve_first(check, first, last, says):
    section = check("layer_gradients", RATIOS, layers(first, last), seeds=7)
    assert section.conclusion.endswith(f": {says}.")
    # A doubling multiplies the first layer by 2^first, exactly and in every seed.
    assert f"by {spread(Interval(2.0**first, 0, 0, ''))} and its share" in section.conclusion
    assert f"layer's by {spread(Interval(2.0 ** (first - last), 0, 0, ''))}: " in section.conclusion
    p = 2 * 2 * 0.5**7  # all seven signs agree, in two trends
    assert (f"p = {p:.2g}" in column(section, "layer 1")[4]) == (first != 0)
    # By hand, of seven seeds the median noise is 1.06, and only the last half counts.
    assert column(section, "layer 1")[3] == f"{4**first * 1.06:#.3g} (n = 7)"
    share = [float(cell) for cell in column(section, "against the weakest D")[:4]]
    assert share == pytest.approx([(r / 0.5) ** (first - last) for r in (0.5, 1, 2, 4)], rel=6e-3)


def test_replicas_without_a_gradient_are_counted(check):
    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = layers(-2, -1)(variant, seed)
        if seed == 0:
            return {"status": "diverged", "ks": math.nan}, {m: p[:4] for m, p in curves.items()}
        return own, curves

    section = check("layer_gradients", RATIOS, measure, seeds=8)
    assert "first layers starve first; 4 replicas without a gradient" in section.conclusion
    assert column(section, "non-finite") == ["1", "1", "1", "1", "4"]
    assert column(section, "layer 1")[4].endswith("n = 7")


@pytest.mark.parametrize("seeds", [1, 5])
def test_few_seeds_have_no_trend_however_many_levels_and_variants(check, seeds):
    """Levels in perfect order are no evidence of more than one seed each: scipy's p of |rho| = 1 is 0 for any n."""
    section = check("layer_gradients", {**RATIOS, "lr": [1e-4, 1e-3]}, layers(-2, -1), seeds=seeds)
    assert section.conclusion == f"Too few seeds for a trend over `lr_ratio` ({seeds} of 6)."
    assert column(section, "layer 1")[4] == f"× 0.250, n = {seeds}"


def test_replicas_of_one_seed_are_not_independent(check):
    """A trend that a seed decides: 5 of 8 seeds fall and 3 rise, alike in each of four variants."""

    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        return layers(-1 if seed < 5 else 1, 0)(variant, seed)

    section = check("layer_gradients", {**RATIOS, "lr": [1e-4, 2e-4, 5e-4, 1e-3]}, measure, seeds=8)
    assert section.conclusion.endswith("no fall is resolved.") and re.search(
        r"by [\d.]+ \([\d.]+ to [\d.]+\)", section.conclusion
    )
    assert column(section, "layer 1")[4].endswith("n = 8")


def test_a_trend_is_over_variants_alike_in_everything_else(check):
    """`lr` changes the norm tenfold; losing the replicas of one corner must not make that a trend."""

    def measure(variant: Variant, seed: int) -> tuple[dict[str, Any], Curves]:
        own, curves = layers(0, 0)(variant, seed)
        if variant.lr == 1e-3 and variant.lr_ratio == 4:
            return {"status": "diverged", "ks": math.nan}, {}
        return own, {m: [(s, v * variant.lr * 1e4) for s, v in points] for m, points in curves.items()}

    section = check("layer_gradients", {"lr_ratio": [1.0, 4.0], "lr": [1e-4, 1e-3]}, measure, seeds=8)
    assert "gradient by 1 and its share of the last layer's by 1: no fall is resolved" in section.conclusion
