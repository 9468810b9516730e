"""The expected performance curve: what a threshold of dev costs on test, for every price of the two errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import FloatArray
from mmfas.evaluation.functional.curves import roc_curve
from mmfas.utils.errors import InputError

__all__ = ['EpcCurve', 'epc']


@dataclass(frozen=True, eq=False)
class EpcCurve:
    """Errors on test at thresholds chosen on dev.

    Args:
        alphas: Weight of accepted attacks, from 0 (only rejected live samples count) to 1, shape (K,).
        thresholds: Threshold that dev chooses for each weight, shape (K,).
        far: Attacks accepted on test at each, pooled over instruments, shape (K,).
        frr: Live samples rejected on test at each, shape (K,).
    """

    alphas: FloatArray
    thresholds: FloatArray
    far: FloatArray
    frr: FloatArray

    @property
    def hter(self) -> FloatArray:
        """(FAR + FRR) / 2 on test, shape (K,)."""
        return (self.far + self.frr) / 2

    @property
    def weighted(self) -> FloatArray:
        """The error that dev minimised, on test: alpha FAR + (1 - alpha) FRR, shape (K,)."""
        return self.alphas * self.far + (1 - self.alphas) * self.frr


def epc(dev: tuple[ArrayLike, ArrayLike], test: tuple[ArrayLike, ArrayLike], *, num_points: int = 101) -> EpcCurve:
    """Return the expected performance curve of a system.

    S. Bengio, J. Mariethoz, M. Keller, "The expected performance curve", ICML 2005 workshop on ROC analysis: for
    each weight alpha, the threshold that minimises alpha FAR + (1 - alpha) FRR on dev is applied to test. Unlike
    ROC and DET curves, no point of it needs the test scores to be chosen. Of equally good thresholds, the one with
    the smaller |FAR - FRR| on dev is taken, then the stricter one.

    Args:
        dev: Scores, shape (N,), and labels, shape (N,), of the dev split.
        test: The same of the test split, shapes (L,).
        num_points: Number K of weights, evenly spaced from 0 to 1; at least 2.

    Returns:
        The curve.

    Raises:
        ValueError: If a class is absent from a split.

    Example:
        >>> curve = epc(([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1]), ([0.1, 0.9], [0, 1]), num_points=3)
        >>> curve.hter.tolist(), [round(value, 1) for value in curve.thresholds]
        ([0.0, 0.0, 0.0], [0.3, 0.7, 0.7])
    """
    if num_points < 2:
        raise InputError(f'num_points must be at least 2, got {num_points}')
    chosen, applied = roc_curve(*dev), roc_curve(*test)
    alphas = np.linspace(0, 1, num_points)
    gap = np.abs(chosen.far - chosen.frr)
    # Rounded, so that sums that are equal on paper are equal here and the second rule decides.
    errors = np.round(np.outer(alphas, chosen.far) + np.outer(1 - alphas, chosen.frr), 12)
    index = [int(np.lexsort((gap, row))[0]) for row in errors]
    thresholds = np.array([chosen.threshold_at(i) for i in index])
    # The candidates of the test curve fall: the last one that is not below the threshold has its rates.
    last = np.searchsorted(-applied.thresholds, -thresholds, side='right') - 1
    return EpcCurve(alphas, thresholds, applied.far[last], applied.frr[last])
