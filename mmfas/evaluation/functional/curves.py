"""ROC and DET curves with exact tie handling, and the area under the ROC curve.

Polarity of the whole toolkit: a sample is accepted as live if `score >= threshold`. Rates are kept as counts and
divided last, so that equal scores, however many, form one step of the curve and no rate carries rounding of a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import FloatArray, IntArray, check_scores, require_classes


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Counts of accepted samples at every threshold that can matter.

    The candidates are `inf` (everything rejected) and each distinct score, strictest first: K = distinct + 1.

    Args:
        thresholds: Candidates, shape (K,), falling, the first is `inf`.
        accepted_live: Live samples with score >= threshold, shape (K,).
        accepted_spoof: Attack samples with score >= threshold, shape (K,).
    """

    thresholds: FloatArray
    accepted_live: IntArray
    accepted_spoof: IntArray

    @property
    def num_live(self) -> int:
        """Number of live samples."""
        return int(self.accepted_live[-1])

    @property
    def num_spoof(self) -> int:
        """Number of attack samples."""
        return int(self.accepted_spoof[-1])

    @property
    def tpr(self) -> FloatArray:
        """Fraction of live samples accepted, 1 - FRR, shape (K,)."""
        return self.accepted_live / self.num_live

    @property
    def far(self) -> FloatArray:
        """Fraction of attacks accepted (pooled over PAIs; the FPR of the ROC), shape (K,)."""
        return self.accepted_spoof / self.num_spoof

    @property
    def frr(self) -> FloatArray:
        """Fraction of live samples rejected (BPCER), shape (K,)."""
        return (self.num_live - self.accepted_live) / self.num_live

    def threshold_at(self, index: int) -> float:
        """Return a finite threshold with the rates of candidate `index`.

        Every value above the next lower score and up to the candidate gives the same decisions on these samples;
        the middle of that gap is returned, since on other samples either end would favour one kind of error.

        Args:
            index: Position of the candidate, 0 <= index < K.

        Returns:
            The middle of the gap; just above the highest score for `inf`; the lowest score for the last candidate.
        """
        lower = float(self.thresholds[index + 1]) if index + 1 < self.thresholds.size else None
        return middle_of_gap(lower, float(self.thresholds[index]))


def middle_of_gap(lower: float | None, upper: float) -> float:
    """Return a threshold in `(lower, upper]` as far from both ends as floats allow.

    Args:
        lower: Highest score that must be rejected; None if there is none.
        upper: Lowest score that must be accepted; `inf` if everything is to be rejected.

    Returns:
        A finite threshold.

    Example:
        >>> middle_of_gap(0.25, 0.75), middle_of_gap(None, 0.75)
        (0.5, 0.75)
    """
    if lower is None:
        return upper
    if np.isinf(upper):
        return float(np.nextafter(lower, np.inf))
    middle = lower + (upper - lower) / 2
    return middle if lower < middle <= upper else upper


def roc_curve(scores: ArrayLike, is_live: ArrayLike) -> RocCurve:
    """Count accepted samples of both classes at every candidate threshold.

    Equals `sklearn.metrics.roc_curve(..., drop_intermediate=False)`, with counts instead of rates.

    Args:
        scores: Liveness, shape (N,), finite, higher = live.
        is_live: Labels, shape (N,).

    Returns:
        The curve, strictest threshold first.

    Raises:
        ValueError: If a class is absent or a score is not finite.

    Example:
        >>> curve = roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
        >>> curve.far.tolist(), curve.tpr.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    values, labels = check_scores(scores, is_live)
    require_classes(labels)
    levels, index = np.unique(values, return_inverse=True)
    live = np.bincount(index[labels], minlength=levels.size)
    spoof = np.bincount(index[~labels], minlength=levels.size)
    return RocCurve(
        thresholds=np.concatenate([[np.inf], levels[::-1]]),
        accepted_live=np.concatenate([[0], np.cumsum(live[::-1])]),
        accepted_spoof=np.concatenate([[0], np.cumsum(spoof[::-1])]),
    )


def auc(scores: ArrayLike, is_live: ArrayLike) -> float:
    """Return the probability that a live sample scores above an attack, ties counted half (Mann-Whitney).

    Args:
        scores: Liveness, shape (N,), finite, higher = live.
        is_live: Labels, shape (N,).

    Returns:
        The area under the ROC curve, in [0, 1]; one division of exact integers.

    Raises:
        ValueError: If a class is absent or a score is not finite.

    Example:
        >>> auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
        0.875
    """
    curve = roc_curve(scores, is_live)
    widths = np.diff(curve.accepted_spoof)
    twice_heights = curve.accepted_live[1:] + curve.accepted_live[:-1]
    return int(widths @ twice_heights) / (2 * curve.num_live * curve.num_spoof)


def det_curve(scores: ArrayLike, is_live: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the points of the detection error trade-off curve on normal-deviate axes.

    A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).

    Returns:
        Probit of FAR and probit of FRR, each (K,), strictest threshold first; 0 and 1 become -inf and inf.

    Raises:
        ValueError: If a class is absent or a score is not finite.
    """
    curve = roc_curve(scores, is_live)
    return probit(curve.far), probit(curve.frr)


def probit(rates: ArrayLike) -> FloatArray:
    """Return the standard normal quantile of each rate.

    Args:
        rates: Rates in [0, 1], shape (K,).

    Returns:
        Quantiles, shape (K,); -inf for 0 and inf for 1.

    Example:
        >>> probit([0.0, 0.5, 1.0]).tolist()
        [-inf, 0.0, inf]
    """
    values = np.asarray(rates, dtype=np.float64)
    inverse = NormalDist().inv_cdf
    # Even a long curve has few distinct rates: every one of them is computed once.
    unique, index = np.unique(values, return_inverse=True)
    quantiles = np.array([inverse(p) if 0 < p < 1 else (np.inf if p >= 1 else -np.inf) for p in unique])
    return quantiles[index.reshape(-1)]
