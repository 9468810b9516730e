"""What a calibration fitted on dev does to scores and threshold, on dev and on test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmfas.evaluation.functional import ScoreCalibration, Threshold, fit_calibration, reliability
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.tables import Row, percent
from mmfas.utils.errors import InputError

__all__ = ['CalibrationReport', 'calibrate', 'calibration_by']


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration fitted on dev, and how far scores are from probabilities with and without it.

    Args:
        fitted: The calibration.
        threshold: The threshold, transformed like the scores, so that it decides as before.
        ece_dev: Expected calibration error of the dev scores, as they are and calibrated.
        ece_test: The same of the test scores.
        live_fraction: Live samples over all samples, of dev and of test.
        num_changed: Test samples that threshold and probability decide differently: none, unless probabilities
            near 0 or 1 become one number.
    """

    fitted: ScoreCalibration
    threshold: Threshold
    ece_dev: tuple[float, float]
    ece_test: tuple[float, float]
    live_fraction: tuple[float, float]
    num_changed: int = 0

    def rows(self) -> Iterator[Row]:
        """Yield rows of a report: label, value, interval, counts."""
        yield 'ECE', percent(self.ece_test[0]), '', f'dev {percent(self.ece_dev[0])}'
        name = f'ECE, {self.fitted.method} of dev'
        yield name, percent(self.ece_test[1]), '', f'dev {percent(self.ece_dev[1])}'

    def note(self) -> str:
        """Return what a reader must know."""
        dev, test = (f'{value:.0%}' for value in self.live_fraction)
        decisions = 'no decision changes'
        if self.num_changed:
            decisions = f'{self.num_changed} decisions differ, as probabilities run together: take the score'
        return (
            f'Calibrated on dev: sigmoid({self.fitted.slope:.4g} logit(score) {self.fitted.intercept:+.4g}), '
            f'threshold {self.threshold.value:.4g} there; {decisions}. Probabilities hold where as many '
            f'samples are live as on dev ({dev}; test: {test}).'
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        return {
            **vars(self.fitted),
            'threshold': self.threshold.value,
            'ece_dev': dict(zip(('scores', 'calibrated'), self.ece_dev)),
            'ece_test': dict(zip(('scores', 'calibrated'), self.ece_test)),
            'live_fraction': dict(zip(('dev', 'test'), self.live_fraction)),
        }


def calibrate(dev: ScoreTable, test: ScoreTable, threshold: Threshold, method: str) -> CalibrationReport:
    """Fit a calibration on dev and judge it on dev and test.

    Args:
        dev: Dev scores, at the level that is judged.
        test: Test scores, at the same level.
        threshold: The threshold of the scores as they are.
        method: `'temperature'` or `'platt'`.

    Raises:
        ValueError: As `fit_calibration`, or if a test score lies outside [0, 1].
    """
    fitted = fit_calibration(dev.score, dev.is_live, method=method)
    errors = [
        (reliability(table.score, table.is_live).ece, reliability(fitted(table.score), table.is_live).ece)
        for table in (dev, test)
    ]
    moved = Threshold(fitted.threshold(threshold.value), f'{threshold.origin}, {method}')
    changed = (test.score >= threshold.value) != (fitted(test.score) >= moved.value)
    return CalibrationReport(
        fitted,
        moved,
        ece_dev=errors[0],
        ece_test=errors[1],
        live_fraction=(dev.num_live / len(dev), test.num_live / len(test)),
        num_changed=int(changed.sum()),
    )


def calibration_by(
    rules: ScoreRules, dev: ScoreTable | None, table: ScoreTable, threshold: Threshold | None
) -> CalibrationReport | None:
    """Fit and judge the calibration that the rules name.

    Args:
        rules: With the method, or `'none'`.
        dev: Dev scores, not reduced yet.
        table: Test scores, reduced to the level of the rules.
        threshold: The threshold of the scores as they are.

    Returns:
        The report; None if no method is named.

    Raises:
        ValueError: If there are no dev scores, or as `calibrate`.
    """
    if rules.calibration == 'none':
        return None
    if dev is None or threshold is None:
        raise InputError(f"calibration '{rules.calibration}' is fitted on dev scores; give some, or leave it out")
    return calibrate(rules.reduce(dev), table, threshold, rules.calibration)
