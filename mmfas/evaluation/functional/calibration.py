"""Scores as probabilities: reliability, expected calibration error, temperature and Platt scaling.

A calibration is increasing, so it changes no ranking and no AUC and, with the threshold transformed alike, no
decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import FloatArray, IntArray, check_scores, require_classes
from mmfas.evaluation.functional.curves import auc
from mmfas.utils.errors import InputError

__all__ = ['CALIBRATIONS', 'Reliability', 'ScoreCalibration', 'fit_calibration', 'reliability']

CALIBRATIONS = ('temperature', 'platt')
#: Scores of 0 and 1 would have infinite logits.
_CLOSEST = 1e-12
#: Newton's method needs about ten steps; what is left to gain when it stops, and the last halving of a step.
_MOST_STEPS, _CLOSE_ENOUGH, _SHORTEST_STEP = 200, 1e-18, 1e-8


@dataclass(frozen=True)
class ScoreCalibration:
    """An increasing map from scores to probabilities: `sigmoid(slope * logit(score) + intercept)`.

    Args:
        method: `'temperature'` (no intercept) or `'platt'`.
        slope: Factor of the logit, > 0; 1 / temperature.
        intercept: What is added to it.

    Raises:
        ValueError: If the slope is not positive, a number is not finite, or the method is unknown.

    Example:
        >>> ScoreCalibration('platt', slope=1.0, intercept=0.0)([0.25, 0.5]).round(6).tolist()
        [0.25, 0.5]
    """

    method: str
    slope: float
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in CALIBRATIONS:
            raise InputError(f"a calibration is one of {', '.join(CALIBRATIONS)}, got '{self.method}'")
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise InputError(f'a calibration needs a finite slope > 0 and intercept, got {self}')

    def __call__(self, scores: ArrayLike) -> FloatArray:
        """Return the calibrated probability of live.

        Args:
            scores: Liveness, any shape, in [0, 1].

        Returns:
            Probabilities, same shape.

        Raises:
            ValueError: If a score lies outside [0, 1].
        """
        from scipy.special import expit

        return expit(self.slope * _logit(scores) + self.intercept)

    def threshold(self, value: float) -> float:
        """Return the threshold of the probabilities that decides as one of the scores does.

        Args:
            value: Accept if score >= value; above 1 nothing is accepted, and so it stays.
        """
        inside = float(self(min(max(value, 0.0), 1.0)))
        return float(np.nextafter(inside, np.inf)) if value > 1 else inside


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores in bins of equal width, as a reliability diagram shows them.

    Args:
        counts: Samples per bin, shape (M,).
        mean_score: Their mean score, NaN for an empty bin, shape (M,).
        fraction_live: Fraction of them that are live, NaN for an empty bin, shape (M,).
    """

    counts: IntArray
    mean_score: FloatArray
    fraction_live: FloatArray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |fraction live - mean score| over samples, in [0, 1]."""
        gaps = np.abs(self.fraction_live - self.mean_score)
        filled = self.counts > 0
        return float(np.sum(self.counts[filled] * gaps[filled]) / self.counts.sum())


def reliability(scores: ArrayLike, is_live: ArrayLike, *, num_bins: int = 15) -> Reliability:
    """Sort scores into bins of equal width over [0, 1].

    M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI 2015; C. Guo et al., ICML 2017, for the probability of live
    instead of the confidence of the predicted class.

    Args:
        scores: Liveness, shape (N,), in [0, 1].
        is_live: Labels, shape (N,).
        num_bins: Number M of bins, at least 1.

    Returns:
        The bins; the last one includes 1.

    Raises:
        ValueError: If there is no score, or one lies outside [0, 1].

    Example:
        >>> reliability([0.1, 0.3, 0.9, 0.7], [0, 0, 1, 1], num_bins=2).ece
        0.2
    """
    values, labels = check_scores(scores, is_live)
    if num_bins < 1 or not values.size:
        raise InputError(f'reliability needs at least one bin and one score, got {num_bins} and {values.size}')
    _check_probabilities(values)
    place = np.minimum((values * num_bins).astype(np.int64), num_bins - 1)
    counts = np.bincount(place, minlength=num_bins)
    with np.errstate(invalid='ignore'):
        mean_score = np.bincount(place, weights=values, minlength=num_bins) / counts
        fraction_live = np.bincount(place, weights=labels, minlength=num_bins) / counts
    return Reliability(counts, mean_score, fraction_live)


def fit_calibration(scores: ArrayLike, is_live: ArrayLike, *, method: str = 'platt') -> ScoreCalibration:
    """Fit a calibration to scores of the dev split.

    `'temperature'` (C. Guo et al., "On calibration of modern neural networks", ICML 2017) divides the logit by one
    number; `'platt'` (J. Platt, "Probabilistic outputs for support vector machines", 1999) has an intercept, too,
    and so takes up another ratio of live samples to attacks. Both minimise the log loss with Platt's targets,
    (N+ + 1) / (N+ + 2) and 1 / (N- + 2), so that dev scores without any error give a finite slope, too.

    Args:
        scores: Liveness, shape (N,), in [0, 1].
        is_live: Labels, shape (N,).
        method: `'temperature'` or `'platt'`.

    Returns:
        The calibration.

    Raises:
        ValueError: If a class is absent, a score lies outside [0, 1], the scores rank live below attacks, or the
            best slope is not positive (of a temperature: all scores lie on one side of 0.5).
    """
    if method not in CALIBRATIONS:
        raise InputError(f"a calibration is one of {', '.join(CALIBRATIONS)}, got '{method}'")
    values, labels = check_scores(scores, is_live)
    require_classes(labels)
    if auc(values, labels) <= 0.5:
        raise InputError('the dev scores do not rank live above attacks: no increasing map can calibrate them')
    logits = _logit(values)
    num_live = int(labels.sum())
    targets = np.where(labels, (num_live + 1) / (num_live + 2), 1 / (labels.size - num_live + 2))
    if method == 'temperature':
        slope, intercept = _best_line(logits[:, None], targets)[0], 0.0
    else:
        # brought to one scale first: scores that all lie near 1 have logits that hardly differ
        centre, spread = float(logits.mean()), float(logits.std())
        lines = np.stack([(logits - centre) / spread, np.ones_like(logits)], axis=1)
        factor, offset = _best_line(lines, targets)
        slope, intercept = factor / spread, offset - factor * centre / spread
    if slope <= 0:
        other = 'take platt' if method == 'temperature' else 'they rank live above attacks too weakly'
        raise InputError(f'the best {method} of the dev scores has no positive slope ({slope:.3g}); {other}')
    return ScoreCalibration(method, float(slope), float(intercept))


def _best_line(inputs: FloatArray, targets: FloatArray) -> FloatArray:
    """Return the weights (K,) of inputs (N, K) with the smallest log loss: Newton's method, halved where too long.

    The loss is convex and, as every target lies inside (0, 1), has one minimum.
    """
    from scipy.special import expit

    def loss(weights: FloatArray) -> float:
        lines = inputs @ weights
        return float(np.mean(np.logaddexp(0, lines) - targets * lines))

    weights = np.zeros(inputs.shape[1])
    for _ in range(_MOST_STEPS):
        chances = expit(inputs @ weights)
        slope = inputs.T @ (chances - targets) / targets.size
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs / targets.size
        step = np.linalg.lstsq(curvature, slope, rcond=None)[0]
        before, size = loss(weights), 1.0
        while loss(weights - size * step) > before and size > _SHORTEST_STEP:
            size /= 2
        weights = weights - size * step
        if float(np.abs(slope @ step)) < _CLOSE_ENOUGH:
            break
    return weights


def _logit(scores: ArrayLike) -> FloatArray:
    """Return the logits of scores, those of 0 and 1 finite."""
    from scipy.special import logit

    values = np.asarray(scores, dtype=np.float64)
    _check_probabilities(values)
    return logit(np.clip(values, _CLOSEST, 1 - _CLOSEST))


def _check_probabilities(values: FloatArray) -> None:
    """Raise if a score is not in [0, 1]."""
    outside = values[~((values >= 0) & (values <= 1))]
    if outside.size:
        raise InputError(
            f'calibration takes scores in [0, 1], got {outside.flat[0]:g} ({outside.size} of {values.size} lie '
            'outside)'
        )
