"""The report of one test set: a frozen record that turns itself into JSON, a text table and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mmfas.evaluation.calibration import CalibrationReport
from mmfas.evaluation.failure_rates import FailureRates
from mmfas.evaluation.functional import (
    AcerResult,
    ApcerResult,
    EerPoint,
    Interval,
    PadPoint,
    Rate,
    Threshold,
    TprPoint,
    half_sum_interval,
)
from mmfas.evaluation.subgroups import SubgroupReport
from mmfas.evaluation.tables import Row, markdown_table, percent, percent_interval, rate_dict, text_table

REPORT_COLUMNS = ('metric', 'value %', '95 % interval', 'counts')
#: Which value of a column of the summary is the best.
BEST: dict[str, Literal['min', 'max']] = {
    **dict.fromkeys(('HTER', 'BPCER', 'APCER max (PAI)', 'ACER max', 'ACER pooled', 'EER (oracle)'), 'min'),
    'AUC': 'max',
}


@dataclass(frozen=True)
class Estimate:
    """A number that is not one rate, with its bootstrap interval.

    Args:
        value: The number, in [0, 1].
        interval: Its interval; None if it was not requested or is undefined.
    """

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """Errors at a threshold that was fixed without the test scores; None where a class is absent.

    Args:
        threshold: The threshold and its origin.
        hter: Half total error rate.
        bpcer: Rejected bona fide presentations.
        apcer: Accepted attacks per instrument.
        acer: Average of APCER and BPCER, in its two readings.
    """

    threshold: Threshold
    hter: Estimate | None
    bpcer: Rate | None
    apcer: ApcerResult | None
    acer: AcerResult | None

    def acer_interval(self, reading: str) -> Interval | None:
        """Return the interval of ACER from the counts behind it.

        Args:
            reading: `'max'` or `'pooled'`.

        Returns:
            The interval; None where a class is absent.
        """
        if self.apcer is None or self.bpcer is None:
            return None
        attacks = self.apcer.max if reading == 'max' else self.apcer.pooled
        return half_sum_interval((attacks.errors, attacks.total), (self.bpcer.errors, self.bpcer.total))


@dataclass(frozen=True)
class OraclePoints:
    """Operating points chosen on the test scores themselves: no system could have known their thresholds.

    Args:
        eer: Equal error rate of the test scores.
        tpr_at_fpr: Strict TPR at each target FPR.
        bpcer_at_apcer: BPCER at each bound on the worst instrument's APCER.
    """

    eer: EerPoint
    tpr_at_fpr: tuple[TprPoint, ...]
    bpcer_at_apcer: tuple[PadPoint, ...]


@dataclass(frozen=True)
class ClassCounts:
    """How many scores of each class there are.

    Args:
        num_live: Number of live scores.
        num_spoof: Number of attack scores.
    """

    num_live: int
    num_spoof: int


@dataclass(frozen=True)
class FASReport:
    """All numbers of one test set.

    Args:
        name: What the test set is called in tables.
        level: `'frame'`, `'video'` or `'subject'`: what one score stands for.
        frame_reduction: How frame scores were reduced, if they were: `'mean'`, `'median'` or `'max'`.
        num_live: Number of live scores.
        num_spoof: Number of attack scores.
        interval_unit: What the bootstrap draws: `'sample'`, `'video'` or `'subject'`.
        operating: Errors at the dev (or fixed) threshold; None without one.
        auc: Area under the ROC curve; None where a class is absent.
        oracle: Points chosen on the test scores; None where a class is absent.
        notes: Sentences a reader needs beside the numbers.
        dev: Counts of the dev scores; None without dev scores.
        subgroups: Errors group by group, one record per column that was asked for.
        failures: Rates of presentations without a score; None where there is none.
        calibration: Scores as probabilities; None unless it was asked for.
        at_dev: Errors at the dev threshold, where another one was set at the site; None otherwise.
    """

    name: str
    level: str
    frame_reduction: str
    num_live: int
    num_spoof: int
    interval_unit: str
    operating: OperatingPoint | None
    auc: Estimate | None
    oracle: OraclePoints | None
    notes: tuple[str, ...] = ()
    dev: ClassCounts | None = None
    subgroups: tuple[SubgroupReport, ...] = ()
    failures: FailureRates | None = None
    calibration: CalibrationReport | None = None
    at_dev: OperatingPoint | None = None

    @property
    def absent(self) -> str:
        """Why two-class numbers are missing: 'no live samples', 'no attack samples', or nothing."""
        if not self.num_live:
            return 'no live samples'
        return '' if self.num_spoof else 'no attack samples'

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values ready for JSON: finite numbers, text, or None where undefined."""
        operating, apcer = self.operating, self.operating and self.operating.apcer
        # Only what was asked for or occurred: records of earlier versions have no such keys.
        further: dict[str, Any] = {}
        if self.subgroups:
            further['subgroups'] = [part.to_dict() for part in self.subgroups]
        if self.failures is not None:
            further['failures'] = self.failures.to_dict()
        if self.calibration is not None:
            further['calibration'] = self.calibration.to_dict()
        return {
            'name': self.name,
            'level': self.level,
            'how': None if self.level == 'frame' else self.frame_reduction,
            'num_live': self.num_live,
            'num_spoof': self.num_spoof,
            'dev': self.dev and asdict(self.dev),
            'interval_unit': self.interval_unit,
            'threshold': operating and {'value': operating.threshold.value, 'origin': operating.threshold.origin},
            'hter': operating and _estimate_dict(operating.hter),
            'bpcer': operating and operating.bpcer and rate_dict(operating.bpcer),
            'apcer': apcer and {name: rate_dict(rate) for name, rate in apcer.per_pai.items()},
            'apcer_max': apcer and {**rate_dict(apcer.max), 'pai': apcer.worst_pai},
            'apcer_pooled': apcer and rate_dict(apcer.pooled),
            'acer_max': operating and operating.acer and operating.acer.max,
            'acer_max_interval': operating and _interval_dict(operating.acer_interval('max')),
            'acer_pooled': operating and operating.acer and operating.acer.pooled,
            'acer_pooled_interval': operating and _interval_dict(operating.acer_interval('pooled')),
            'auc': _estimate_dict(self.auc),
            'oracle': self.oracle and _oracle_dict(self.oracle),
            **further,
            'notes': list(self.notes),
            **({} if self.at_dev is None else {'at_dev': _beside_dict(self.at_dev)}),
        }

    def rows(self) -> list[Row]:
        """Return the rows of the report's table, columns as in `REPORT_COLUMNS`."""
        operating = self._operating_rows()
        if self.operating is not None and self.operating.threshold.is_oracle:
            operating = [(f'{label} (oracle)', *cells) for label, *cells in operating]
        failures = [] if self.failures is None else self.failures.rows()
        calibration = [] if self.calibration is None else self.calibration.rows()
        return [*operating, *failures, *self._curve_rows(), *calibration]

    def _operating_rows(self) -> list[Row]:
        if self.operating is None:
            return []
        point = self.operating
        rows: list[Row] = [('HTER', *_estimate_cells(point.hter, self.absent), '')]
        rows.append(_rate_row('BPCER', point.bpcer, self.absent))
        if point.apcer is None:
            rows.append(('APCER', f'n/a ({self.absent})', '', ''))
        else:
            rows += [_rate_row(f'APCER {name}', rate) for name, rate in point.apcer.per_pai.items()]
            rows.append(_rate_row(f'APCER max (ISO; {point.apcer.worst_pai})', point.apcer.max))
            rows.append(_rate_row('APCER pooled (FAR)', point.apcer.pooled))
        acer = point.acer
        for reading, value in (('max', acer.max if acer else None), ('pooled', acer.pooled if acer else None)):
            interval = percent_interval(point.acer_interval(reading))
            rows.append((f'ACER {reading}', percent(value, self.absent), interval, ''))
        return rows

    def _curve_rows(self) -> list[Row]:
        rows: list[Row] = []
        if self.at_dev is not None:
            label = f'HTER at {self.at_dev.threshold.origin}, {self.at_dev.threshold.value:.4f}'
            rows.append((label, *_estimate_cells(self.at_dev.hter, self.absent), ''))
        rows.append(('AUC', *_estimate_cells(self.auc, self.absent), ''))
        if self.oracle is None:
            return rows
        eer = self.oracle.eer
        rows.append(('EER (oracle)', percent(eer.value), '', f'FAR {eer.far}, FRR {eer.frr}'))
        for tpr in self.oracle.tpr_at_fpr:
            remark = '' if tpr.is_resolved else ', too few attacks'
            label = f'TPR@FPR={tpr.target:g} (oracle)'
            rows.append(
                (label, percent(tpr.tpr.value), percent_interval(tpr.tpr.interval()), f'{tpr.tpr}{remark}')
            )
        rows += [
            _rate_row(f'BPCER@APCER={point.target:g} (oracle)', point.bpcer)
            for point in self.oracle.bpcer_at_apcer
        ]
        return rows

    def title(self) -> str:
        """Return one line: name, level, counts and threshold."""
        level = self.level if self.level == 'frame' else f'{self.level} level, {self.frame_reduction} of frames'
        threshold = self.operating.threshold if self.operating else 'none'
        return f'{self.name} ({level}): {self.num_live} live, {self.num_spoof} attacks; threshold {threshold}'

    def table(self) -> str:
        """Return the report as text for a terminal."""
        lines = [self.title(), text_table(REPORT_COLUMNS, self.rows())]
        lines += [part.text() for part in self.subgroups]
        return '\n'.join([*lines, *(f'* {note}' for note in self.notes)])

    def markdown(self) -> str:
        """Return the report as a Markdown section."""
        lines = [f'**{self.title()}**', '', markdown_table(REPORT_COLUMNS, self.rows())]
        for part in self.subgroups:
            lines += ['', part.markdown().rstrip()]
        return '\n'.join([*lines, '', *(f'* {note}' for note in self.notes)]).rstrip() + '\n'


def _estimate_dict(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    interval = estimate.interval
    return {'value': estimate.value, 'low': interval and interval.low, 'high': interval and interval.high}


def _interval_dict(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {'low': interval.low, 'high': interval.high}


def _oracle_dict(oracle: OraclePoints) -> dict[str, Any]:
    eer = oracle.eer
    return {
        'eer': {'value': eer.value, 'far': str(eer.far), 'frr': str(eer.frr), 'threshold': eer.threshold},
        'tpr_at_fpr': [
            {
                'target': point.target,
                **{k if k != 'errors' else 'accepted': v for k, v in rate_dict(point.tpr).items()},
                'fpr': point.fpr.value,
                'threshold': point.threshold,
                'is_resolved': point.is_resolved,
            }
            for point in oracle.tpr_at_fpr
        ],
        'bpcer_at_apcer': [
            {'target': point.target, **rate_dict(point.bpcer), 'threshold': point.threshold}
            for point in oracle.bpcer_at_apcer
        ],
    }


def _beside_dict(point: OperatingPoint) -> dict[str, Any]:
    threshold = {'value': point.threshold.value, 'origin': point.threshold.origin}
    return {'threshold': threshold, 'hter': _estimate_dict(point.hter)}


def _rate_row(label: str, rate: Rate | None, absent: str = '') -> Row:
    if rate is None:
        return (label, percent(None, absent), '', '')
    return (label, percent(rate.value), percent_interval(rate.interval()), str(rate))


def _estimate_cells(estimate: Estimate | None, absent: str = '') -> tuple[str, str]:
    if estimate is None:
        return percent(None, absent), ''
    return percent(estimate.value), percent_interval(estimate.interval)


def summary_rows(reports: Sequence[FASReport], *, mean: bool = True) -> tuple[Row, list[Row]]:
    """Return header and rows of a summary: one row per report, and their mean where there are several test sets.

    Args:
        reports: Reports, at least one.
        mean: Whether they are test sets of one system; rows of several systems have no mean.

    Returns:
        The header and the rows, all text; rates in percent.
    """
    header = (
        'test set' if mean else 'system',
        'threshold',
        'HTER',
        'BPCER',
        'APCER max (PAI)',
        'ACER max',
        'ACER pooled',
        'AUC',
        'EER (oracle)',
    )
    rows = [(report.name, *_summary_cells(report)) for report in reports]
    if mean and len(reports) > 1:
        rows.append(('mean', '', *_mean_cells(reports)))
    return _with_dev_column(header, rows, reports)


def _with_dev_column(header: Row, rows: list[Row], reports: Sequence[FASReport]) -> tuple[Row, list[Row]]:
    """Put the HTER at the dev threshold behind that at a threshold of the site, where there is one."""
    points = [report.at_dev for report in reports]
    if all(point is None for point in points):
        return header, rows
    found = [point.hter.value if point and point.hter else None for point in points]
    known = [value for value in found if value is not None]
    average = sum(known) / len(known) if len(known) == len(found) else None
    cells = [*map(percent, found), *([percent(average)] if len(rows) > len(found) else [])]
    place = header.index('HTER') + 1
    wider = [(*row[:place], cell, *row[place:]) for row, cell in zip(rows, cells, strict=True)]
    return (*header[:place], 'HTER at dev', *header[place:]), wider


def _summary_cells(report: FASReport) -> Row:
    point = report.operating
    apcer, acer = point and point.apcer, point and point.acer
    return (
        str(point.threshold) if point else 'none',
        ' '.join(_estimate_cells(point.hter if point else None)).strip(),
        percent(point.bpcer.value if point and point.bpcer else None),
        f'{percent(apcer.max.value)} ({apcer.worst_pai})' if apcer else percent(None),
        percent(acer.max if acer else None),
        percent(acer.pooled if acer else None),
        ' '.join(_estimate_cells(report.auc)).strip(),
        percent(report.oracle.eer.value if report.oracle else None),
    )


def _mean_cells(reports: Sequence[FASReport]) -> Row:
    """Return the mean of each column over the test sets that all have it."""
    columns = []
    for name in ('hter', 'bpcer', 'apcer_max', 'acer_max', 'acer_pooled', 'auc'):
        columns.append([report.to_dict()[name] for report in reports])
    columns.append([report.oracle and report.oracle.eer.value for report in reports])
    cells = []
    for column in columns:
        values = [value['value'] if isinstance(value, dict) else value for value in column]
        known = [value for value in values if value is not None]
        cells.append(percent(sum(known) / len(known)) if len(known) == len(values) else 'n/a')
    return tuple(cells)
