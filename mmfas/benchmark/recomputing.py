"""The numbers of a record, computed again from its scores, and whether they contradict each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any

from mmfas.benchmark.record import Record
from mmfas.benchmark.site import site_numbers
from mmfas.evaluation import ScoreRules, ScoreTable, auc, eer, evaluate_scores

#: Replicates of the bootstrap intervals in a record.
NUM_BOOTSTRAP = 200
#: Relative difference that another version of numpy may make in a mean or a quantile.
_ROUNDING = 1e-9
#: Largest rounding error of a score in [0, 1] as float32, with room for the middle between two of them.
FLOAT32_STEP = 2.0**-23
#: Means of BPCER and another rate, and that rate.
_MEANS = (('hter', 'apcer_pooled'), ('acer_max', 'apcer_max'), ('acer_pooled', 'apcer_pooled'))
#: Keys of a report that hold text or settings, not numbers.
_NO_NUMBERS = ('name', 'notes', 'interval_unit', 'how')


def recompute(record: Record, dev: ScoreTable, test: ScoreTable) -> dict[str, Any]:
    """Compute the report of a record from its scores.

    Args:
        record: The record: how its threshold was chosen, its level, whether it has intervals.
        dev: Scores that fix the threshold.
        test: Scores that are judged.

    Returns:
        The report as plain values.

    Raises:
        ValueError: If the scores allow no such report.
    """
    report = record.report
    origin = report['threshold']['origin']
    criterion = f'fixed={report["threshold"]["value"]!r}' if origin == 'fixed' else origin.removeprefix('dev-')
    has_intervals = any(report[name].get('low') is not None for name in ('hter', 'auc'))
    found = evaluate_scores(
        test,
        dev=dev,
        criterion=criterion,
        level=report.get('level', 'frame'),
        how=report.get('how') or 'mean',
        num_bootstrap=NUM_BOOTSTRAP if has_intervals else 0,
    )
    return dict(json.loads(json.dumps(found.to_dict())))


def recompute_site(record: Record, sites: Mapping[str, ScoreTable], test: ScoreTable) -> dict[str, Any]:
    """Compute the numbers at thresholds of the site from scores.

    Args:
        record: The record: its seed, level, whether it has intervals.
        sites: Scores that set the thresholds, by name.
        test: Scores that are judged.

    Returns:
        The numbers as plain values.
    """
    report = record.report
    rules = ScoreRules(
        level=report.get('level', 'frame'),
        frame_reduction=report.get('how') or 'mean',
        num_bootstrap=NUM_BOOTSTRAP if report['hter'].get('low') is not None else 0,
        seed=record.seed,
    )
    return dict(json.loads(json.dumps(site_numbers(sites, test, rules))))


def differences(recorded: Any, found: Any, *, score_step: float = 0.0, key: str = 'report') -> Iterator[str]:
    """Compare a recorded report with one computed again, number by number.

    Args:
        recorded: The report of a record; only what it has is compared.
        found: The same computed again.
        score_step: How far a threshold, which is a score, may be off because the scores were rounded.
        key: Where in the record this is.

    Yields:
        One sentence per difference.
    """
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        for name, value in recorded.items():
            if name not in _NO_NUMBERS:
                yield from differences(value, found.get(name), score_step=score_step, key=f'{key}.{name}')
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for number, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(one, other, score_step=score_step, key=f'{key}[{number}]')
    else:
        is_threshold = key.endswith(('threshold', 'threshold.value'))
        if not _is_equal(recorded, found, score_step if is_threshold else 0.0):
            yield f'{key}: recorded {json.dumps(recorded)}, computed {json.dumps(found)}'


def _is_equal(one: Any, other: Any, step: float) -> bool:
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other)]
    if all(numbers) and (isinstance(one, float) or isinstance(other, float)):
        return isclose(one, other, rel_tol=max(_ROUNDING, step), abs_tol=step)
    return type(one) is type(other) and bool(one == other)


def paper_differences(record: Record, test: ScoreTable | None = None) -> Iterator[str]:
    """Check the scoring of the papers, of which the scores of one epoch are kept.

    Args:
        record: The record.
        test: Its test scores, if they were kept: the numbers of the epoch that was scored follow from them.

    Yields:
        One sentence per difference.
    """
    every = (record.paper or {}).get('every_epoch') or []
    if record.paper is None or not every:
        return
    best = min(range(len(every)), key=lambda index: every[index]['hter'])
    yield from differences(record.paper, {**record.paper, **every[best], 'epoch': best + 1}, key='paper')
    if test is not None and record.epoch <= len(every):
        found = {'hter': eer(test.score, test.is_live).value, 'auc': auc(test.score, test.is_live)}
        yield from differences(every[record.epoch - 1], found, key=f'paper.every_epoch[{record.epoch - 1}]')


def contradictions(record: Record) -> Iterator[str]:
    """Find numbers of a report that contradict each other; this needs no scores.

    Args:
        record: The record.

    Yields:
        One sentence per contradiction.
    """
    report, bpcer = record.report, record.report.get('bpcer')
    yield from _rates(report, 'report')
    yield from _totals(report)
    if not bpcer:
        return
    for mean, part in _MEANS:
        whole = report.get(mean)
        whole = whole['value'] if isinstance(whole, Mapping) else whole
        if whole is not None and report.get(part):
            expected = (bpcer['value'] + report[part]['value']) / 2
            if not _is_equal(float(whole), expected, 0.0):
                yield f'report.{mean}: recorded {whole}, but its bpcer and {part} make {expected}'


def _totals(report: Mapping[str, Any]) -> Iterator[str]:
    """Compare counts with what they are sums of, and the worst instrument with all of them."""
    kinds, pooled, worst = (report.get(name) or {} for name in ('apcer', 'apcer_pooled', 'apcer_max'))
    for name in ('errors', 'total') if kinds and pooled else ():
        expected = sum(kind.get(name, 0) for kind in kinds.values())
        if pooled.get(name, expected) != expected:
            yield f'report.apcer_pooled.{name}: recorded {pooled[name]}, but its instruments make {expected}'
    for key, rate in (('num_live', report.get('bpcer') or {}), ('num_spoof', pooled)):
        if key in report and rate.get('total', report[key]) != report[key]:
            yield f'report.{key}: recorded {report[key]}, but {rate["total"]} were judged'
    if kinds and worst:
        expected = max(kind['value'] for kind in kinds.values())
        named = kinds.get(worst.get('pai'), worst)
        if not _is_equal(float(worst['value']), expected, 0.0) or not _is_equal(
            float(named['value']), expected, 0.0
        ):
            yield f'report.apcer_max: recorded {worst["value"]} of {worst.get("pai")}, but the worst is {expected}'


def _rates(value: Any, key: str) -> Iterator[str]:
    """Compare every rate with its counts and its interval."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _rates(item, f'{key}[{number}]')
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _rates(item, f'{key}.{name}')
        limits: Any = [value.get(name) for name in ('low', 'value', 'high')]
        if None not in limits and not limits[0] - _ROUNDING <= limits[1] <= limits[2] + _ROUNDING:
            yield f'{key}.value: recorded {limits[1]}, outside of its interval from {limits[0]} to {limits[2]}'
        count = value.get('errors', value.get('accepted'))
        if count is not None and 'total' in value:
            expected = count / value['total']
            if not _is_equal(float(value['value']), expected, 0.0):
                yield f'{key}.value: recorded {value["value"]}, but {count} of {value["total"]} are {expected}'
