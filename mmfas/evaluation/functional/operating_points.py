"""Operating points chosen on the given scores: EER, TPR@FPR, BPCER@APCER, APCER@BPCER.

On a dev split they give a threshold to apply elsewhere; on a test split they are oracle values, since the
threshold was chosen on the data it is judged on. All searches compare integer counts; 'at most' is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.evaluation.functional.checks import (
    FloatArray,
    check_fraction,
    check_pai,
    check_scores,
    require_classes,
)
from mmfas.evaluation.functional.curves import RocCurve, middle_of_gap, roc_curve
from mmfas.evaluation.functional.pad_rates import ApcerResult, Rate, apcer, bpcer


@dataclass(frozen=True)
class EerPoint:
    """The point of the ROC curve where both errors are as equal as the samples allow.

    Args:
        value: (FAR + FRR) / 2 there.
        far: Accepted attacks.
        frr: Rejected live samples.
        threshold: Middle of the gap of scores that gives these rates.
    """

    value: float
    far: Rate
    frr: Rate
    threshold: float


@dataclass(frozen=True)
class TprPoint:
    """The highest fraction of live samples accepted while at most `target` of the attacks are.

    Args:
        target: Allowed FPR.
        tpr: Accepted live samples.
        fpr: Attacks accepted at that point.
        threshold: Middle of the gap of scores that gives these rates.
    """

    target: float
    tpr: Rate
    fpr: Rate
    threshold: float

    @property
    def is_resolved(self) -> bool:
        """Whether there are enough attacks for one false acceptance to be allowed: target * attacks >= 1.

        If not, the value only says how many live samples score above the best attack.
        """
        return 1 / self.fpr.total <= self.target or self.target == 0


@dataclass(frozen=True)
class PadPoint:
    """APCER per instrument and BPCER at a threshold chosen for one of them.

    Args:
        target: Bound on the rate that was fixed, at most.
        apcer: Rates per instrument.
        bpcer: Rejected live samples.
        threshold: Middle of the gap of scores that gives these rates.
    """

    target: float
    apcer: ApcerResult
    bpcer: Rate
    threshold: float


def _point(curve: RocCurve, index: int) -> tuple[Rate, Rate, float]:
    """Return FAR, FRR and the threshold of one candidate."""
    false_accepts = Rate(int(curve.accepted_spoof[index]), curve.num_spoof)
    false_rejects = Rate(curve.num_live - int(curve.accepted_live[index]), curve.num_live)
    return false_accepts, false_rejects, curve.threshold_at(index)


def _first_best(*keys: NDArray[Any]) -> int:
    """Return the first index that minimises the first key, then the second, and so on."""
    return int(np.lexsort(keys[::-1])[0])


def eer(scores: ArrayLike, is_live: ArrayLike) -> EerPoint:
    """Return the equal error rate.

    The candidate (see `RocCurve`) with the smallest |FAR - FRR|; of two such, the one with the smaller sum, then
    the stricter one. The value is the mean of both rates, nothing is interpolated.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).

    Returns:
        The point.

    Raises:
        ValueError: If a class is absent.

    Example:
        >>> point = eer([0.1, 0.6, 0.4, 0.9], [0, 0, 1, 1])
        >>> point.value, point.threshold
        (0.5, 0.5)
    """
    curve = roc_curve(scores, is_live)
    # Cross-multiplied counts: |FAR - FRR| and FAR + FRR without any rounding.
    far_scaled = curve.accepted_spoof * curve.num_live
    frr_scaled = (curve.num_live - curve.accepted_live) * curve.num_spoof
    index = _first_best(np.abs(far_scaled - frr_scaled), far_scaled + frr_scaled)
    false_accepts, false_rejects, threshold = _point(curve, index)
    return EerPoint((false_accepts.value + false_rejects.value) / 2, false_accepts, false_rejects, threshold)


def min_hter(scores: ArrayLike, is_live: ArrayLike) -> EerPoint:
    """Return the candidate with the smallest (FAR + FRR) / 2.

    Among equals the one with the smaller |FAR - FRR| is taken, then the stricter one.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).

    Returns:
        The point; `value` is the HTER there.

    Raises:
        ValueError: If a class is absent.
    """
    curve = roc_curve(scores, is_live)
    far_scaled = curve.accepted_spoof * curve.num_live
    frr_scaled = (curve.num_live - curve.accepted_live) * curve.num_spoof
    index = _first_best(far_scaled + frr_scaled, np.abs(far_scaled - frr_scaled))
    false_accepts, false_rejects, threshold = _point(curve, index)
    return EerPoint((false_accepts.value + false_rejects.value) / 2, false_accepts, false_rejects, threshold)


def tpr_at_fpr(scores: ArrayLike, is_live: ArrayLike, *, target: float) -> TprPoint:
    """Return the largest TPR whose FPR is at most `target`, as the CASIA-SURF challenge ranks.

    Positive = live. Papers on UniAttackData and SSAN take positive = spoof: their TPR@FPR is another number.
    Nothing is interpolated: with fewer than 1/target attacks no attack at all may be accepted.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        target: Allowed fraction of accepted attacks (all PAIs pooled), in [0, 1].

    Returns:
        The point, at the smallest FPR that reaches this TPR.

    Raises:
        ValueError: If a class is absent or the target is not a rate.

    Example:
        >>> point = tpr_at_fpr([0.9, 0.7, 0.3, 0.5, 0.1], [1, 1, 1, 0, 0], target=0.01)
        >>> str(point.tpr), point.is_resolved
        ('2/3', False)
    """
    target = check_fraction(target, 'the target FPR')
    curve = roc_curve(scores, is_live)
    last_allowed = int(np.searchsorted(curve.far, target, side='right')) - 1
    index = int(np.searchsorted(curve.accepted_live, curve.accepted_live[last_allowed], side='left'))
    fpr, _, threshold = _point(curve, index)
    return TprPoint(target, Rate(int(curve.accepted_live[index]), curve.num_live), fpr, threshold)


def bpcer_at_apcer(scores: ArrayLike, is_live: ArrayLike, pai: ArrayLike, *, target: float) -> PadPoint:
    """Return BPCER at the most lenient threshold where every instrument has APCER at most `target`.

    BPCER10, BPCER20 and BPCER100 of the literature are the targets 0.1, 0.05 and 0.01. The threshold is the
    strictest over the instruments, since APCER of ISO/IEC 30107-3 is that of the worst instrument.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        pai: Instrument of each sample, shape (N,).
        target: Allowed APCER, in [0, 1].

    Returns:
        The point.

    Raises:
        ValueError: If a class is absent or the target is not a rate.

    Example:
        >>> names = ['live', 'live', 'print', 'print', 'mask3d']
        >>> point = bpcer_at_apcer([0.9, 0.4, 0.7, 0.1, 0.5], [1, 1, 0, 0, 0], names, target=0.5)
        >>> str(point.bpcer), str(point.apcer.max)
        ('1/2', '1/2')
    """
    target = check_fraction(target, 'the target APCER')
    values, labels = check_scores(scores, is_live)
    names = check_pai(pai, labels)
    require_classes(labels)
    reject_upto = max(_highest_rejected(values[~labels & (names == name)], target) for name in set(names[~labels]))
    threshold = _middle_above(values, reject_upto)
    return _pad_point(values, labels, names, target=target, threshold=threshold)


def apcer_at_bpcer(scores: ArrayLike, is_live: ArrayLike, pai: ArrayLike, *, target: float) -> PadPoint:
    """Return APCER per instrument at the strictest threshold where BPCER is at most `target`.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        pai: Instrument of each sample, shape (N,).
        target: Allowed BPCER, in [0, 1].

    Returns:
        The point.

    Raises:
        ValueError: If a class is absent or the target is not a rate.
    """
    target = check_fraction(target, 'the target BPCER')
    values, labels = check_scores(scores, is_live)
    names = check_pai(pai, labels)
    require_classes(labels)
    # Mirrored: rejecting at most a fraction of the live is accepting at most that fraction of the negated scores.
    accept_from = -_highest_rejected(-values[labels], target)
    below = values[values < accept_from]
    threshold = middle_of_gap(float(below.max()) if below.size else None, accept_from)
    return _pad_point(values, labels, names, target=target, threshold=threshold)


def _highest_rejected(scores: FloatArray, target: float) -> float:
    """Return the highest score that must be rejected so that at most `target` of `scores` pass; -inf: none."""
    falling = np.sort(scores)[::-1]
    num_allowed = int(np.sum(np.arange(1, falling.size + 1) / falling.size <= target))
    return float(falling[num_allowed]) if num_allowed < falling.size else -inf


def _middle_above(scores: FloatArray, reject_upto: float) -> float:
    """Return the lowest gap of `scores` above `reject_upto`, by its middle."""
    above = scores[scores > reject_upto]
    upper = float(above.min()) if above.size else inf
    return middle_of_gap(None if reject_upto == -inf else reject_upto, upper)


def _pad_point(
    scores: FloatArray, is_live: ArrayLike, pai: ArrayLike, *, target: float, threshold: float
) -> PadPoint:
    return PadPoint(
        target=target,
        apcer=apcer(scores, is_live, pai, threshold=threshold),
        bpcer=bpcer(scores, is_live, threshold=threshold),
        threshold=threshold,
    )
