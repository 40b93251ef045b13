"""The mean of the middle half, of runs and of clusters of runs: what `reports.stats.intervals` resamples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def interquartile_mean(*samples: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Mean of the middle half of all samples together, along an axis, with NaN where it holds both infinities."""
    # scipy's trim_mean, but sorted: its partition adds equal samples in different orders, and so to different bits.
    ordered = np.sort(np.moveaxis(np.concatenate(samples, axis=axis), axis, -1))
    cut = ordered.shape[-1] // 4
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def interquartile_mean_of_clusters(clusters: Sequence[NDArray[np.float64]]) -> Callable[..., NDArray[np.float64]]:
    """Return the statistic of drawn clusters, given by their places: the middle mean of all their runs together.

    Args:
        clusters: The runs of each cluster, of any number; infinite where a run failed, never NaN.

    Returns:
        A function of places among the clusters, shape [..., drawn], and the axis they are drawn along.
    """
    table = np.full((len(clusters), max(cluster.size for cluster in clusters)), np.nan)  # NaN: not there
    for row, cluster in zip(table, clusters, strict=True):
        row[: cluster.size] = cluster

    def statistic(places: NDArray, axis: int = -1) -> NDArray[np.float64]:
        drawn = table[np.moveaxis(places, axis, -1).astype(int)]
        drawn = np.sort(drawn.reshape(*drawn.shape[:-2], -1))  # NaN last
        count = (~np.isnan(drawn)).sum(axis=-1, keepdims=True)
        place, cut = np.arange(drawn.shape[-1]), count // 4
        inside = (place >= cut) & (place < count - cut)
        return np.where(inside, drawn, 0.0).sum(axis=-1) / (count - 2 * cut)[..., 0]

    return statistic
