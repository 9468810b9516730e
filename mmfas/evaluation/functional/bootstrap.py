"""Bootstrap intervals of HTER and AUC, stratified by class and, where asked, drawn by video or subject.

Legend: N samples, C clusters of one class, R replicates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import (
    BoolArray,
    FloatArray,
    check_scores,
    check_threshold,
    require_classes,
)
from mmfas.evaluation.functional.intervals import Interval, check_confidence
from mmfas.evaluation.functional.resampling import Areas, Clusters, chunk_sizes
from mmfas.utils.errors import InputError


def _clusters_of(values: FloatArray, mask: BoolArray, cluster: ArrayLike | None) -> Clusters:
    """Return the clusters of the samples in `mask`; each sample its own where `cluster` is None."""
    if cluster is None:
        # Numbered by rank, so that the draws, and with them the interval, do not depend on the order of samples.
        rank = np.argsort(np.argsort(values[mask], kind='stable'), kind='stable')
        return Clusters(rank, rank.size)
    names = np.asarray(cluster)
    if names.shape != mask.shape:
        raise InputError(f'expected one cluster name per sample, shape {mask.shape}, got {names.shape}')
    unique, index = np.unique(names[mask], return_inverse=True)
    return Clusters(index.reshape(-1), len(unique))


def _live_and_spoof(
    values: FloatArray, labels: BoolArray, cluster: ArrayLike | None, num_replicates: int
) -> tuple[Clusters, Clusters]:
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
        hter_R += clusters.rates_R(errors_N, num_replicates, rng) / 2
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
        clusters = Clusters(index.reshape(-1), int(index.max()) + 1 if index.size else 0)
        if clusters.num < 2:
            raise InputError(f'a bootstrap needs at least 2 clusters of each rate, got {clusters.num}')
        rates_R.append(clusters.rates_R(wrong_N, num_replicates, rng))
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
    areas = Areas(values[labels], values[~labels], live_cluster=live.index_N, spoof_cluster=spoof.index_N)
    drawn = [areas.of(live.draw_R(size, rng), spoof.draw_R(size, rng)) for size in chunk_sizes(num_replicates)]
    return _percentiles(np.concatenate(drawn), confidence)
