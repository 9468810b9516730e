"""A threshold from live scores alone: where a system will work there are live people to record, but no attacks.

Legend: V recordings of the site, R replicates, N test samples, C clusters of one class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.bootstrap import _live_and_spoof, _percentiles
from mmfas.evaluation.functional.checks import FloatArray, check_fraction, check_scores
from mmfas.evaluation.functional.curves import middle_of_gap
from mmfas.evaluation.functional.intervals import Interval, check_confidence
from mmfas.evaluation.functional.resampling import row_blocks
from mmfas.utils.errors import InputError


def site_threshold(scores: ArrayLike, *, target: float) -> float:
    """Return the strictest threshold that rejects at most a fraction of live scores.

    Between the highest score that is rejected and the lowest that is accepted it takes the middle, as everywhere.
    Where none may be rejected it is the lowest score itself: there is nothing below that says how far to go down.

    Args:
        scores: Liveness of live samples, shape (N,), finite, at least one.
        target: Fraction of them that may be rejected, in [0, 1).

    Returns:
        The threshold.

    Raises:
        ValueError: If there are no scores, one is not finite, or the target is not a rate.

    Example:
        >>> site_threshold([0.9, 0.5, 0.7, 0.25], target=0.25), site_threshold([0.9, 0.5], target=0.25)
        (0.375, 0.5)
    """
    target = check_fraction(target, 'the target BPCER')
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if not values.size:
        raise InputError('a threshold of a site needs live scores, got none')
    check_scores(values, np.ones(values.size, dtype=np.bool_))
    num_rejected = int(np.sum(np.arange(1, values.size + 1) / values.size <= target))
    lowest_accepted = float(values[min(num_rejected, values.size - 1)])
    below = values[values < lowest_accepted]
    return middle_of_gap(float(below[-1]) if below.size else None, lowest_accepted)


def site_thresholds(
    videos: Sequence[FloatArray], num_videos: int, *, target: float, rng: np.random.Generator, num_replicates: int
) -> FloatArray:
    """Return the thresholds of other choices of recordings: a bootstrap of the choice.

    Every replicate draws recordings with replacement, so that the spread is that of recordings one might have
    made, not only of those there are.

    Args:
        videos: Scores of each recording, V arrays of any lengths.
        num_videos: Recordings of a choice.
        target: See `site_threshold`.
        rng: Source of the draws.
        num_replicates: Number R of choices.

    Returns:
        Thresholds, shape (R,).
    """
    draws = rng.integers(len(videos), size=(num_replicates, num_videos))
    return np.array([site_threshold(np.concatenate([videos[i] for i in row]), target=target) for row in draws])


def bootstrap_site_hter(
    scores: ArrayLike,
    is_live: ArrayLike,
    *,
    thresholds: ArrayLike,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Return the bootstrap percentile interval of HTER where the threshold was drawn, too.

    Test samples are drawn as in `bootstrap_hter`, with the same generator the very same ones.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        thresholds: Threshold of every replicate, shape (R,), see `site_thresholds`.
        rng: Source of the draws.
        cluster: Video or subject of every sample, shape (N,); None treats samples as independent.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval of HTER.

    Raises:
        ValueError: If a class has fewer than two clusters.
    """
    values, labels = check_scores(scores, is_live)
    check_confidence(confidence)
    thresholds_R = np.asarray(thresholds, dtype=np.float64)
    live, spoof = _live_and_spoof(values, labels, cluster, thresholds_R.size)
    hter_R = np.zeros(thresholds_R.size)
    for clusters, mask, is_live_part in ((live, labels, True), (spoof, ~labels, False)):
        order = np.argsort(clusters.index_N, kind='stable')
        sorted_N = values[mask][order]
        sizes_C = clusters.sizes_C
        first_C = np.cumsum(sizes_C) - sizes_C
        for part in row_blocks(thresholds_R.size, sorted_N.size):
            w_RC = clusters.draw_R(part.stop - part.start, rng)
            wrong_RN = (sorted_N < thresholds_R[part, None]) == is_live_part
            errors_RC = np.add.reduceat(wrong_RN.astype(np.int64), first_C, axis=1)
            hter_R[part] += (w_RC * errors_RC).sum(axis=1) / (w_RC @ sizes_C) / 2
    return _percentiles(hter_R, confidence)
