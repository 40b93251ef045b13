"""Scores by neighbours and kernels against plain implementations of their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from gan.scores.fid import Moments, fid, fid_at_infinity, kid, statistics
from gan.scores.neighbours import Copies, manifold, own_distances
from gan.scores.quality import nearest_distances, nearest_two


def drawn(n: int, d: int = 6, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double() + shift


def distances(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    return np.array([[float(((x - y) ** 2).sum()) ** 0.5 for y in b] for x in a])


def test_manifolds_are_their_definitions() -> None:
    x, y = drawn(60, seed=1, shift=0.5), drawn(50, seed=2)
    real_real, real_fake, fake_fake = distances(y, y), distances(y, x), distances(x, x)
    real_radii, fake_radii = (np.sort(own, axis=1)[:, 5] for own in (real_real, fake_fake))
    within_real = real_fake <= real_radii[:, None]
    found = manifold(x, y)
    assert found.precision == pytest.approx(within_real.any(axis=0).mean())
    assert found.recall == pytest.approx((real_fake <= fake_radii[None, :]).any(axis=1).mean())
    assert found.density == pytest.approx(within_real.sum(axis=0).mean() / 5)
    assert found.manifold_coverage == pytest.approx(within_real.any(axis=1).mean())


def test_density_of_real_data_is_one_on_average() -> None:
    found = [manifold(drawn(500, seed=2 * k), drawn(500, seed=2 * k + 1)).density for k in range(20)]
    assert abs(np.mean(found) - 1) <= 4 * np.std(found, ddof=1) / 20**0.5


def test_a_manifold_needs_six_images() -> None:
    with pytest.raises(ValueError, match="generated features: 5 rows; expected at least 6"):
        manifold(drawn(5), drawn(50))
    with pytest.raises(ValueError, match="real features: 0 rows; expected at least 6"):
        manifold(drawn(50), drawn(0))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_kernel_distance_is_torch_fidelity_s_of_all_samples(shift: float) -> None:
    x, y = drawn(80, seed=1, shift=shift), drawn(80, seed=2)
    expected = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=80, verbose=False)[KEY_METRIC_KID_MEAN]
    assert kid(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_kernel_distance_has_no_bias() -> None:
    found = [kid(Moments.of(drawn(50, seed=2 * k)), Moments.of(drawn(50, seed=2 * k + 1))) for k in range(200)]
    assert abs(np.mean(found)) <= 4 * np.std(found, ddof=1) / 200**0.5
    assert min(found) < 0 < max(found)


def test_fid_is_extrapolated_to_its_value_without_bias() -> None:
    real = statistics(drawn(200_000, seed=99))
    plain = [fid(statistics(drawn(400, seed=k)), real) for k in range(20)]
    found = [fid_at_infinity(drawn(400, seed=k), real) for k in range(20)]
    error = np.std(found, ddof=1) / 20**0.5
    assert abs(np.mean(found)) <= 4 * error + 1e-3 < np.mean(plain)
    shuffled = drawn(400)[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    assert fid_at_infinity(shuffled, real) == pytest.approx(fid_at_infinity(drawn(400), real), rel=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_a_covariance_needs_two_rows(n: int) -> None:
    for measure in (statistics, Moments.of):
        with pytest.raises(ValueError, match=f"features: {n} rows; expected at least 2"):
            measure(drawn(n))


def test_features_that_are_not_finite_are_counted() -> None:
    features = drawn(10)
    features[3, 1], features[7, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match="features: 2 of 10 rows are not finite, the first is row 3"):
        statistics(features)


def test_neighbours_are_the_nearest_others() -> None:
    images = torch.randint(256, (40, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    all_distances = distances(images.double() / 255, images.double() / 255)
    np.fill_diagonal(all_distances, np.inf)
    assert own_distances(images) == pytest.approx(all_distances.min(axis=1), rel=1e-4)
    second = np.sort(distances(drawn(7), drawn(30, seed=5)), axis=1)[:, 1]
    assert nearest_two(drawn(7), drawn(30, seed=5))[:, 1] == pytest.approx(second, rel=1e-4)
    assert np.array_equal(
        nearest_two(drawn(7), drawn(30, seed=5))[:, 0], nearest_distances(drawn(7), drawn(30, seed=5))
    )
    with pytest.raises(ValueError, match="generated samples: 1; expected at least 2"):
        own_distances(images[:1])


def test_a_copy_is_far_nearer_to_one_image_than_to_all_others() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (600, 64), generator=generator, dtype=torch.uint8)
    copies = Copies.of(images[:300], images[300:], 8)
    assert copies.share(images[:300]) == 1.0
    assert copies.share(images[300:]) == pytest.approx(0.01, abs=0.005)
    blob = images[:300].float().mean(dim=0).round().to(torch.uint8).repeat(50, 1)
    assert copies.share(blob) == 0.0
