"""Error rates of presentation attack detection at a given threshold (ISO/IEC 30107-3).

A presentation is accepted as bona fide if `score >= threshold`. The threshold is always an argument: nothing here
chooses one. Rates keep their counts, so that a report can print '62/300' beside 20.7 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import (
    check_pai,
    check_scores,
    check_threshold,
    require_classes,
)
from mmfas.evaluation.functional.intervals import Interval, wilson_interval
from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class Rate:
    """An error rate with the counts behind it.

    Args:
        errors: Number of wrong decisions.
        total: Number of decisions, at least 1.

    Example:
        >>> rate = Rate(62, 300)
        >>> str(rate), round(rate.value, 4)
        ('62/300', 0.2067)
    """

    errors: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1 or not 0 <= self.errors <= self.total:
            raise InputError(f'expected 0 <= errors <= total and total >= 1, got {self}')

    def __str__(self) -> str:
        return f'{self.errors}/{self.total}'

    @property
    def value(self) -> float:
        """The rate, in [0, 1]."""
        return self.errors / self.total

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the Wilson score interval of the rate.

        Args:
            confidence: Nominal coverage, in (0, 1).

        Returns:
            The interval.
        """
        return wilson_interval(self.errors, self.total, confidence=confidence)


@dataclass(frozen=True)
class ApcerResult:
    """APCER of every attack instrument at one threshold.

    Args:
        per_pai: Rate per presentation attack instrument, sorted by name; at least one.
    """

    per_pai: Mapping[str, Rate]

    @property
    def worst_pai(self) -> str:
        """The instrument with the highest APCER; among equals the one with most samples, then by name."""
        return min(self.per_pai, key=lambda name: (-self.per_pai[name].value, -self.per_pai[name].total, name))

    @property
    def max(self) -> Rate:
        """APCER as ISO/IEC 30107-3 reports it: the rate of the worst instrument."""
        return self.per_pai[self.worst_pai]

    @property
    def pooled(self) -> Rate:
        """Accepted attacks over all attacks, instruments mixed: FAR. Not an ISO metric, and never above `max`."""
        rates = self.per_pai.values()
        return Rate(sum(rate.errors for rate in rates), sum(rate.total for rate in rates))


@dataclass(frozen=True)
class AcerResult:
    """Average classification error rate in its two readings, which must not be confused.

    Args:
        max: (APCER of the worst PAI + BPCER) / 2, the OULU-NPU reading.
        pooled: (APCER pooled over PAIs + BPCER) / 2; equals HTER at the same threshold.
    """

    max: float
    pooled: float


def apcer(scores: ArrayLike, is_live: ArrayLike, pai: ArrayLike, *, threshold: SupportsFloat) -> ApcerResult:
    """Return the attack presentation classification error rate of every instrument.

    ISO/IEC 30107-3: APCER_i = attacks of instrument i accepted as bona fide / attacks of instrument i. An
    instrument counts however few samples it has; look at its interval.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,); live samples are not read.
        pai: Instrument of each sample, shape (N,).
        threshold: Accept if score >= threshold.

    Returns:
        Rates per instrument, their maximum and the pooled rate.

    Raises:
        ValueError: If there is no attack, or the threshold is NaN.

    Example:
        >>> result = apcer([0.9, 0.2, 0.6, 0.1], [1, 0, 0, 0], ['live', 'print', 'mask3d', 'print'], threshold=0.5)
        >>> result.worst_pai, str(result.max), str(result.pooled)
        ('mask3d', '1/1', '1/3')
    """
    values, labels = check_scores(scores, is_live)
    names = check_pai(pai, labels)
    require_classes(labels, live=False)
    unique, index = np.unique(names[~labels], return_inverse=True)
    totals = np.bincount(index.reshape(-1), minlength=unique.size)
    accepted = values[~labels] >= check_threshold(threshold)
    errors = np.bincount(index.reshape(-1)[accepted], minlength=unique.size)
    return ApcerResult({str(name): Rate(int(e), int(n)) for name, e, n in zip(unique, errors, totals)})


def bpcer(scores: ArrayLike, is_live: ArrayLike, *, threshold: SupportsFloat) -> Rate:
    """Return the bona fide presentation classification error rate, ISO/IEC 30107-3 (FRR).

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,); attack samples are not read.
        threshold: Accept if score >= threshold.

    Returns:
        Rejected bona fide presentations over all of them.

    Raises:
        ValueError: If there is no live sample, or the threshold is NaN.

    Example:
        >>> str(bpcer([0.9, 0.3, 0.6], [1, 1, 0], threshold=0.5))
        '1/2'
    """
    values, labels = check_scores(scores, is_live)
    require_classes(labels, spoof=False)
    return Rate(int(np.sum(values[labels] < check_threshold(threshold))), int(labels.sum()))


def far(scores: ArrayLike, is_live: ArrayLike, *, threshold: SupportsFloat) -> Rate:
    """Return the false acceptance rate: APCER pooled over all instruments.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        threshold: Accept if score >= threshold.

    Returns:
        Accepted attacks over all attacks.

    Raises:
        ValueError: If there is no attack, or the threshold is NaN.
    """
    values, labels = check_scores(scores, is_live)
    require_classes(labels, live=False)
    return Rate(int(np.sum(values[~labels] >= check_threshold(threshold))), int(np.sum(~labels)))


def hter(scores: ArrayLike, is_live: ArrayLike, *, threshold: SupportsFloat) -> float:
    """Return the half total error rate (FAR + FRR) / 2 at a threshold fixed beforehand.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        threshold: Accept if score >= threshold; from the dev split, else HTER is the EER under another name.

    Returns:
        HTER, in [0, 1].

    Raises:
        ValueError: If a class is absent.

    Example:
        >>> hter([0.9, 0.3, 0.6, 0.2], [1, 1, 0, 0], threshold=0.5)
        0.5
    """
    false_accepts = far(scores, is_live, threshold=threshold)
    return (false_accepts.value + bpcer(scores, is_live, threshold=threshold).value) / 2


def acer(scores: ArrayLike, is_live: ArrayLike, pai: ArrayLike, *, threshold: SupportsFloat) -> AcerResult:
    """Return the average classification error rate with APCER of the worst PAI and with APCER pooled.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        pai: Instrument of each sample, shape (N,).
        threshold: Accept if score >= threshold.

    Returns:
        Both readings; papers rarely say which one they print.

    Raises:
        ValueError: If a class is absent.
    """
    attacks = apcer(scores, is_live, pai, threshold=threshold)
    bona_fide = bpcer(scores, is_live, threshold=threshold).value
    return AcerResult(max=(attacks.max.value + bona_fide) / 2, pooled=(attacks.pooled.value + bona_fide) / 2)
