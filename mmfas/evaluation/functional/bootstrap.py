"""Bootstrap intervals of HTER and AUC, stratified by class and, where asked, drawn by video or subject.

Legend: N samples, C clusters of one class, R replicates, K distinct scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.evaluation.functional.checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_scores,
    check_threshold,
    require_classes,
)
from mmfas.evaluation.functional.intervals import Interval, check_confidence
from mmfas.utils.errors import InputError

# Replicates handled at once: bounds the memory of the (R, N) weights to 0.5 MB per thousand samples.
_CHUNK = 64


@dataclass(frozen=True)
class _ClassClusters:
    """The clusters of one class: `index_N` maps its samples to 0..num-1."""

    index_N: NDArray[np.intp]
    num: int

    def draw_R(self, num_replicates: int, rng: np.random.Generator) -> IntArray:
        """Return how often each cluster is drawn, shape (R, C); every row sums to C."""
        draws = rng.integers(self.num, size=(num_replicates, self.num))
        draws += np.arange(num_replicates)[:, None] * self.num
        counts = np.bincount(draws.ravel(), minlength=num_replicates * self.num)
        return counts.reshape(num_replicates, self.num)


def _clusters_of(values: FloatArray, mask: BoolArray, cluster: ArrayLike | None) -> _ClassClusters:
    """Return the clusters of the samples in `mask`; each sample its own where `cluster` is None."""
    if cluster is None:
        # Numbered by rank, so that the draws, and with them the interval, do not depend on the order of samples.
        rank = np.argsort(np.argsort(values[mask], kind='stable'), kind='stable')
        return _ClassClusters(rank, rank.size)
    names = np.asarray(cluster)
    if names.shape != mask.shape:
        raise InputError(f'expected one cluster name per sample, shape {mask.shape}, got {names.shape}')
    unique, index = np.unique(names[mask], return_inverse=True)
    return _ClassClusters(index.reshape(-1), len(unique))


def _live_and_spoof(
    values: FloatArray, labels: BoolArray, cluster: ArrayLike | None, num_replicates: int
) -> tuple[_ClassClusters, _ClassClusters]:
    """Return the clusters of both classes after checking that a bootstrap is defined."""
    require_classes(labels)
    if num_replicates < 1:
        raise InputError(f'num_replicates must be at least 1, got {num_replicates}')
    live, spoof = (_clusters_of(values, mask, cluster) for mask in (labels, ~labels))
    if min(live.num, spoof.num) < 2:
        raise InputError(
            'a bootstrap needs at least 2 samples (or clusters) of each class, '
            f'got {live.num} live and {spoof.num} spoof'
        )
    return live, spoof


def _chunk_sizes(num_replicates: int) -> Iterator[int]:
    for start in range(0, num_replicates, _CHUNK):
        yield min(_CHUNK, num_replicates - start)


def _percentiles(values: FloatArray, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), confidence)


def bootstrap_hter(
    scores: ArrayLike,
    is_live: ArrayLike,
    *,
    threshold: float,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    num_replicates: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Return the bootstrap percentile interval of HTER at a fixed threshold.

    Live and attack samples are drawn separately, so every replicate has both classes. With `cluster`, whole
    clusters of a class are drawn: frames of one video err together, and treating them as independent makes the
    interval too narrow. Scores without any error give [0, 0]: read the Wilson intervals of APCER and BPCER there.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        threshold: Accept if score >= threshold; fixed beforehand, not part of what is resampled.
        rng: Source of the draws.
        cluster: Video or subject of every sample, shape (N,); None treats samples as independent.
        num_replicates: Number R of resamples.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval of HTER.

    Raises:
        ValueError: If a class has fewer than two clusters, or the threshold is NaN.
    """
    values, labels = check_scores(scores, is_live)
    check_confidence(confidence)
    threshold = check_threshold(threshold)
    live, spoof = _live_and_spoof(values, labels, cluster, num_replicates)
    hter_R = np.zeros(num_replicates)
    for clusters, errors_N in ((live, values[labels] < threshold), (spoof, values[~labels] >= threshold)):
        errors_C = np.bincount(clusters.index_N[errors_N], minlength=clusters.num)
        sizes_C = np.bincount(clusters.index_N, minlength=clusters.num)
        weights = (clusters.draw_R(size, rng) for size in _chunk_sizes(num_replicates))
        hter_R += np.concatenate([(w_RC @ errors_C) / (w_RC @ sizes_C) for w_RC in weights]) / 2
    return _percentiles(hter_R, confidence)


def bootstrap_rate_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    rng: np.random.Generator,
    num_replicates: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Return the bootstrap percentile interval of the difference of two rates, first minus second.

    The two sets of samples are drawn independently of each other, each cluster by cluster.

    Args:
        first: Whether each sample is an error, shape (N,), and its cluster, shape (N,).
        second: The same of the other rate, shapes (K,).
        rng: Source of the draws; the first set is drawn first.
        num_replicates: Number R of resamples.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval.

    Raises:
        ValueError: If a set has fewer than two clusters.
    """
    check_confidence(confidence)
    rates_R = []
    for errors, cluster in (first, second):
        wrong_N = np.asarray(errors, dtype=np.bool_)
        _, index = np.unique(np.asarray(cluster), return_inverse=True)
        clusters = _ClassClusters(index.reshape(-1), int(index.max()) + 1 if index.size else 0)
        if clusters.num < 2:
            raise InputError(f'a bootstrap needs at least 2 clusters of each rate, got {clusters.num}')
        errors_C = np.bincount(clusters.index_N[wrong_N], minlength=clusters.num)
        sizes_C = np.bincount(clusters.index_N, minlength=clusters.num)
        weights = (clusters.draw_R(size, rng) for size in _chunk_sizes(num_replicates))
        rates_R.append(np.concatenate([(w_RC @ errors_C) / (w_RC @ sizes_C) for w_RC in weights]))
    return _percentiles(rates_R[0] - rates_R[1], confidence)


def bootstrap_auc(
    scores: ArrayLike,
    is_live: ArrayLike,
    *,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    num_replicates: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Return the bootstrap percentile interval of the area under the ROC curve.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        rng: Source of the draws.
        cluster: Video or subject of every sample, shape (N,); None treats samples as independent.
        num_replicates: Number R of resamples, drawn within each class as in `bootstrap_hter`.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval of AUC.

    Raises:
        ValueError: If a class has fewer than two clusters.
    """
    values, labels = check_scores(scores, is_live)
    check_confidence(confidence)
    live, spoof = _live_and_spoof(values, labels, cluster, num_replicates)
    levels = np.unique(values)
    level_live, level_spoof = (np.searchsorted(levels, values[mask]) for mask in (labels, ~labels))
    areas = []
    for size in _chunk_sizes(num_replicates):
        live_RK = _per_level(live.draw_R(size, rng)[:, live.index_N], level_live, levels.size)
        spoof_RK = _per_level(spoof.draw_R(size, rng)[:, spoof.index_N], level_spoof, levels.size)
        areas.append(_weighted_auc(live_RK, spoof_RK))
    return _percentiles(np.concatenate(areas), confidence)


def _per_level(weights_RN: IntArray, level_N: NDArray[np.intp], num_levels: int) -> IntArray:
    """Sum the weights of the samples of each distinct score, shape (R, K)."""
    order = np.argsort(level_N, kind='stable')
    present, starts = np.unique(level_N[order], return_index=True)
    summed = np.zeros((weights_RN.shape[0], num_levels), dtype=np.int64)
    summed[:, present] = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    return summed


def _weighted_auc(live_RK: IntArray, spoof_RK: IntArray) -> FloatArray:
    """Return the Mann-Whitney AUC of each replicate from its weights per distinct score, shape (R,)."""
    # Twice the wins, so that a tie (half a win) stays an integer and nothing is rounded.
    twice_below_RK = 2 * np.cumsum(spoof_RK, axis=1) - spoof_RK
    wins_R = np.sum(live_RK * twice_below_RK, axis=1)
    return wins_R / (2.0 * live_RK.sum(axis=1) * spoof_RK.sum(axis=1))
