from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.stats import coverage
from reports.stats.intervals import iqm
from reports.stats.rates import wilson


def test_the_truth_of_each_population_is_that_of_a_large_sample() -> None:
    for population in coverage.populations().values():
        sample = population.draw(np.random.default_rng(0), (400_000,))
        assert iqm(sample) == pytest.approx(population.truth, abs=0.005)


def test_coverage_of_wilson_approaches_the_exact_one() -> None:
    runs, rate = 10, 0.2
    inside = [low <= rate <= high for low, high in (wilson(count, runs) for count in range(runs + 1))]
    exact = stats.binom.pmf(np.arange(runs + 1), runs, rate) @ np.array(inside)
    assert coverage.coverage_of_wilson(rate, runs, 20_000, 0) == pytest.approx(exact, abs=0.01)


def test_an_effect_is_found_where_there_is_one() -> None:
    def effect(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(size=shape) + 5 * np.arange(shape[1])[:, None, None]

    single, family = coverage.false_positives(effect, 10, 20, 0)
    assert family == 1 and 1 / 9 <= single < 3 / 9  # one contrast of nine


def test_a_wrong_truth_is_not_covered() -> None:
    normal = coverage.populations()["normal"]
    assert coverage.coverage_of_iqm(normal, 10, 30, 0) > 0.7
    assert coverage.coverage_of_iqm(coverage.Population(normal.draw, 3.0), 10, 30, 0) == 0


def test_the_table_repeats_and_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    table = coverage.table(studies=3, seed=1)
    assert table.equals(coverage.table(studies=3, seed=1))
    assert list(table.columns) == ["share of studies", "nominal, %", "10 seeds, %", "24 seeds, %"]
    assert len(table) == 14
    coverage.main(["--studies", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16 and lines[0].startswith("| share of studies")


@pytest.mark.slow
@pytest.mark.parametrize("runs", coverage.SEEDS)
def test_intervals_cover_and_contrasts_keep_their_level(runs: int) -> None:
    studies = 400  # standard error 1.1 points; the bounds leave three of them
    for population in coverage.populations().values():
        assert 0.90 <= coverage.coverage_of_iqm(population, runs, studies, 7) <= 0.985
    for rate in coverage.RATES:
        assert coverage.coverage_of_wilson(rate, runs, 10 * studies, 7) >= 0.87
    for draw in coverage.null_grids().values():
        single, family = coverage.false_positives(draw, runs, studies, 7)
        assert single <= 0.065 and family <= 0.083
