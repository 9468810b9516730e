"""From score tables to a report: threshold from dev scores, errors on test scores, oracle values labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmfas.evaluation.calibration import calibration_by
from mmfas.evaluation.disjoint import check_disjoint
from mmfas.evaluation.failure_rates import failure_rates
from mmfas.evaluation.fas_report import (
    BEST,
    ClassCounts,
    Estimate,
    FASReport,
    OperatingPoint,
    OraclePoints,
    summary_rows,
)
from mmfas.evaluation.functional import (
    Interval,
    Threshold,
    acer,
    apcer,
    auc,
    bootstrap_auc,
    bootstrap_hter,
    bootstrap_site_hter,
    bpcer,
    bpcer_at_apcer,
    eer,
    hter,
    select_threshold,
    tpr_at_fpr,
)
from mmfas.evaluation.latex import latex_table
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.site import drawn_thresholds, set_at_site
from mmfas.evaluation.subgroups import check_columns, subgroups_by, with_pai_groups
from mmfas.evaluation.tables import markdown_table, text_table
from mmfas.evaluation.warning_signs import FEW_REPLICATES, are_alike, ranking_notes, threshold_notes
from mmfas.utils.errors import InputError

__all__ = [
    'FASReport',
    'ScoreRules',
    'choose_threshold',
    'dev_threshold',
    'evaluate_scores',
    'resolve_threshold',
    'summarise',
]

FPR_TARGETS = (1e-2, 1e-3, 1e-4)
APCER_TARGETS = (0.1, 0.05, 0.01)
#: Below this many samples a rate of one instrument says little, and the report says so.
SMALL_PAI = 30

_NO_THRESHOLD = (
    'No dev scores, so no threshold: HTER, BPCER, APCER and ACER need one that was fixed without the test scores. '
    'Values marked (oracle) choose it on the test scores and flatter the system.'
)


_DRAWN = 'The interval of HTER also draws the live videos of the site anew in every replicate.'


def evaluate_scores(
    test: ScoreTable,
    *,
    dev: ScoreTable | None = None,
    threshold: Threshold | float | None = None,
    site: ScoreTable | None = None,
    rules: ScoreRules | None = None,
    name: str = 'test',
    **changes: Any,
) -> FASReport:
    """Judge the scores of one test set.

    Args:
        test: Scores to report.
        dev: Scores that fix the threshold, of other samples than `test`. Without them (and without `threshold`)
            only numbers that need no threshold and oracle values are reported.
        threshold: A threshold fixed beforehand, instead of `dev`.
        site: Scores of live videos of the target, of other samples than `test`; read by the criterion `'site'`.
            Dev scores then only give the HTER at their own threshold, shown beside.
        rules: How scores become numbers; the defaults of `ScoreRules` if None.
        name: Name of the test set in tables.
        **changes: Fields of the rules that differ, such as `criterion='min-hter'` or `level='video'`.

    Returns:
        The report.

    Raises:
        ValueError: If dev or site and test share samples, options contradict each other, dev lacks a class, or
            site has too few live videos.
    """
    rules = (rules or ScoreRules()).changed(**changes)
    fixed, notes = resolve_threshold(test, dev=dev, threshold=threshold, site=site, rules=rules)
    check_columns(rules, test)
    table = rules.reduce(with_pai_groups(test, rules.pai_groups) if rules.pai_groups else test)
    groups, unit = rules.clusters(table)
    failures = failure_rates(table, fixed)
    point = None if fixed is None else _operating_point(table, fixed)
    area = auc(table.score, table.is_live) if _has_both(table) else None
    drawn = None if threshold is not None else drawn_thresholds(site, rules)
    intervals = _bootstrap(table, fixed, groups, rules.num_bootstrap, rules.seed, drawn)
    if point is not None and point.hter is not None:
        point = replace(point, hter=Estimate(point.hter.value, intervals[0]))
    oracle = _oracle_points(table) if _has_both(table) else None
    notes += [*ranking_notes(table, 'test'), *_one_sided(table, fixed)]
    notes += [failures.note()] if failures else []
    notes += _lost_frames(test, table, rules)
    calibration = calibration_by(rules, dev, table, fixed)
    notes += [calibration.note()] if calibration else []
    notes += [] if drawn is None or intervals[0] is None else [_DRAWN]
    return FASReport(
        name=name,
        level=rules.level,
        frame_reduction=rules.frame_reduction,
        num_live=table.num_live,
        num_spoof=table.num_spoof,
        interval_unit=unit,
        operating=point,
        auc=None if area is None else Estimate(area, intervals[1]),
        oracle=oracle,
        notes=(*notes, *_notes(table, oracle, unit, rules.num_bootstrap, intervals)),
        dev=None if dev is None else _count(rules.reduce(dev)),
        subgroups=subgroups_by(rules, table, fixed),
        failures=failures,
        calibration=calibration,
        at_dev=None if dev is None or fixed is None else _beside(table, dev, rules),
    )


def dev_threshold(dev: ScoreTable, rules: ScoreRules | None = None) -> Threshold:
    """Choose the threshold on dev scores, reduced as the test scores will be.

    Args:
        dev: Dev scores with both classes.
        rules: How; the defaults of `ScoreRules` if None.

    Returns:
        The threshold, with an origin such as `'dev-eer'`.

    Raises:
        ValueError: If the dev scores lack a class.
    """
    return choose_threshold(dev, rules or ScoreRules())[0]


def choose_threshold(dev: ScoreTable, rules: ScoreRules) -> tuple[Threshold, list[str]]:
    """Choose the threshold on dev scores, and note what a reader must know about the choice.

    Args:
        dev: Dev scores with both classes.
        rules: How.

    Returns:
        The threshold, and notes on counts and on dev scores that cannot support it.

    Raises:
        ValueError: If the dev scores lack a class.
    """
    table = rules.reduce(dev)
    lost = len(table.failures)
    left_out = [f'{lost} dev samples without a score took no part in the choice of the threshold.'] if lost else []
    try:
        found = select_threshold(table.score, table.is_live, table.pai, criterion=rules.criterion)
    except ValueError as error:
        raise InputError(f'no threshold can be chosen on the dev scores: {error}') from error
    if rules.parsed.kind == 'fixed':
        return found, ranking_notes(table, 'dev')
    if are_alike(table):
        found = Threshold(found.value, f'{found.origin}, all alike')
    return found, [*threshold_notes(table, found, rules), *left_out, *ranking_notes(table, 'dev')]


def resolve_threshold(
    test: ScoreTable,
    *,
    dev: ScoreTable | None = None,
    threshold: Threshold | float | None = None,
    site: ScoreTable | None = None,
    rules: ScoreRules | None = None,
) -> tuple[Threshold | None, list[str]]:
    """Return the threshold that may be applied to test scores.

    Args:
        test: Scores it will be applied to, not reduced yet.
        dev: Scores of other samples that fix it.
        threshold: A threshold fixed beforehand.
        site: Scores of other samples of the target, whose live videos set it where the criterion is `'site'`.
        rules: How `dev` fixes it; the defaults of `ScoreRules` if None.

    Returns:
        The threshold, None if nothing fixes one, and notes for the reader.

    Raises:
        ValueError: If dev or site and test share samples, options contradict each other, dev lacks a class, or
            site has too few live videos.
    """
    rules = rules or ScoreRules()
    if threshold is not None:
        if dev is not None:
            raise InputError('give either dev scores or a threshold, not both: one of them would be ignored')
        if site is not None:
            raise InputError('give either site scores or a threshold, not both: one of them would be ignored')
        return (threshold if isinstance(threshold, Threshold) else Threshold(float(threshold), 'fixed')), []
    rule = rules.parsed
    notes = [] if dev is None else check_disjoint(test, dev)
    if rule.kind == 'site':
        more = [] if site is None else check_disjoint(test, site, 'site')
        choice = set_at_site(test, site, rules)
        return choice.threshold, [*notes, *more, *choice.notes]
    if site is not None:
        notes.append(f'The site scores are not used: the criterion is {rules.criterion}.')
    if rule.kind == 'fixed':
        assert rule.value is not None
        if dev is not None:
            notes += ['The dev scores do not fix the threshold: it was given.']
            notes += ranking_notes(rules.reduce(dev), 'dev')
        return Threshold(rule.value, 'fixed'), notes
    if dev is None:
        return None, [_NO_THRESHOLD]
    chosen, more = choose_threshold(dev, rules)
    return chosen, [*notes, *more]


def summarise(
    reports: Sequence[FASReport],
    *,
    markdown: bool = False,
    mean: bool = True,
    latex: bool = False,
    best: bool = True,
) -> str:
    """Return one table with a row per report and, for several test sets of one system, their mean.

    Args:
        reports: Reports, at least one.
        markdown: Markdown instead of a terminal table.
        mean: The reports are of several test sets of one system. False: they are of several systems, whose mean
            means nothing.
        latex: LaTeX instead of a terminal table, for the package booktabs; the best system of a column is bold.
        best: Whether it is; not where systems were judged on different samples.

    Returns:
        The table; rates in percent.

    Raises:
        ValueError: If there are no reports.
    """
    if not reports:
        raise InputError('summarise needs at least one report, got none')
    header, rows = summary_rows(reports, mean=mean)
    if latex:
        return latex_table(header, rows, best=BEST if best and not mean else {})
    return markdown_table(header, rows) if markdown else text_table(header, rows)


def _has_both(table: ScoreTable) -> bool:
    return bool(table.num_live and table.num_spoof)


def _count(table: ScoreTable) -> ClassCounts:
    return ClassCounts(table.num_live, table.num_spoof)


def _operating_point(table: ScoreTable, threshold: Threshold) -> OperatingPoint:
    """Return the errors at the threshold, None where the class they divide by is absent."""
    score, is_live, pai = table.score, table.is_live, table.pai
    both = _has_both(table)
    return OperatingPoint(
        threshold=threshold,
        hter=Estimate(hter(score, is_live, threshold=threshold)) if both else None,
        bpcer=bpcer(score, is_live, threshold=threshold) if table.num_live else None,
        apcer=apcer(score, is_live, pai, threshold=threshold) if table.num_spoof else None,
        acer=acer(score, is_live, pai, threshold=threshold) if both else None,
    )


def _oracle_points(table: ScoreTable) -> OraclePoints:
    score, is_live, pai = table.score, table.is_live, table.pai
    return OraclePoints(
        eer=eer(score, is_live),
        tpr_at_fpr=tuple(tpr_at_fpr(score, is_live, target=target) for target in FPR_TARGETS),
        bpcer_at_apcer=tuple(bpcer_at_apcer(score, is_live, pai, target=target) for target in APCER_TARGETS),
    )


def _bootstrap(
    table: ScoreTable,
    threshold: Threshold | None,
    groups: np.ndarray | None,
    num_bootstrap: int,
    seed: int,
    thresholds: np.ndarray | None = None,
) -> tuple[Interval | None, Interval | None]:
    """Return the intervals of HTER and AUC, None if not requested or undefined; thresholds may be drawn, too."""
    units = np.arange(len(table)) if groups is None else groups
    smallest = min(np.unique(units[mask]).size for mask in (table.is_live, ~table.is_live))
    if num_bootstrap < 1 or smallest < 2:
        return None, None
    score, is_live = table.score, table.is_live
    # One generator each: the interval of AUC is the same with and without a threshold.
    rngs = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    half = None
    if thresholds is not None:
        half = bootstrap_site_hter(score, is_live, thresholds=thresholds, rng=rngs[0], cluster=groups)
    elif threshold is not None:
        half = bootstrap_hter(
            score, is_live, threshold=threshold.value, rng=rngs[0], cluster=groups, num_replicates=num_bootstrap
        )
    return half, bootstrap_auc(score, is_live, rng=rngs[1], cluster=groups, num_replicates=num_bootstrap)


def _beside(table: ScoreTable, dev: ScoreTable, rules: ScoreRules) -> OperatingPoint | None:
    """Return the errors at the dev threshold, to be shown beside those at a threshold that was set at the site."""
    if rules.parsed.kind != 'site':
        return None
    return _operating_point(table, choose_threshold(dev, rules.of_dev)[0])


def _lost_frames(frames: ScoreTable, table: ScoreTable, rules: ScoreRules) -> list[str]:
    """Return a note on frames without a score where videos or subjects are judged, some by their other frames."""
    if rules.level == 'frame' or not frames.failures:
        return []
    return [
        f'{len(frames.failures)} frames have no score. {len(table.failures)} {rules.level}s have none at all; the '
        'others are judged by the frames that have one.'
    ]


def _one_sided(table: ScoreTable, threshold: Threshold | None) -> list[str]:
    """Return a note if a threshold separates nothing, for instance one on another scale than the scores."""
    if threshold is None or not _has_both(table):
        return []
    low, high = table.score.min(), table.score.max()
    if low < threshold.value <= high:
        return []
    verdict = 'live' if threshold.value <= low else 'attack'
    origin = 'fixed threshold' if threshold.origin == 'fixed' else f'threshold {threshold.origin}'
    return [
        f'The {origin} {threshold.value:g} separates nothing: all scores, {low:g} to {high:g}, count as {verdict}.'
    ]


def _notes(
    table: ScoreTable,
    oracle: OraclePoints | None,
    unit: str,
    num_bootstrap: int,
    intervals: tuple[Interval | None, Interval | None],
) -> list[str]:
    """Return what a reader must know about these numbers."""
    notes = []
    if not _has_both(table):
        absent = 'live' if not table.num_live else 'attack'
        notes.append(f'No {absent} samples: every number that compares both classes is n/a.')
    elif intervals[1] is not None:
        notes.append(f'Intervals of HTER and AUC: bootstrap over {unit}s within each class; others: from counts.')
        if num_bootstrap < FEW_REPLICATES:
            notes.append(f'{num_bootstrap} replicates reach no quantile of 2.5 %: take {FEW_REPLICATES} or more.')
    elif num_bootstrap > 0:
        notes.append(f'Too few {unit}s of one class for a bootstrap interval of HTER and AUC.')
    if intervals[0] is not None and intervals[0].low == intervals[0].high:
        notes.append('HTER is the same in every replicate: the interval of ACER pooled, from counts, says more.')
    counts = list(zip(*np.unique(table.pai[~table.is_live], return_counts=True)))
    unknown = sum(int(count) for name, count in counts if name == 'unknown')
    if unknown:
        notes.append(f'{unknown} attacks of unknown instrument count as one: APCER max may hide a worse one.')
    small = [f'{name} ({count})' for name, count in counts if count < SMALL_PAI]
    if small:
        notes.append(f'APCER from fewer than {SMALL_PAI} scores, read the interval: {", ".join(small)}.')
    strict = [f'{point.target:g}' for point in (oracle.tpr_at_fpr if oracle else ()) if not point.is_resolved]
    if strict:
        notes.append(
            f'TPR@FPR={", ".join(strict)}: no attack may be accepted, as one of {table.num_spoof} is already more.'
        )
    return notes
