"""Error rates group by group, of people, devices or kinds of attack, and the largest gap between two groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfas.evaluation.functional import (
    ApcerResult,
    Interval,
    Rate,
    Threshold,
    apcer,
    bootstrap_rate_difference,
    bpcer,
    difference_interval,
)
from mmfas.evaluation.functional.checks import BoolArray
from mmfas.evaluation.pai_groups import PAI_GROUP, Pairs, group_of_pais
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import MIXED, ScoreTable
from mmfas.evaluation.tables import Row, markdown_table, percent, percent_interval, rate_dict, text_table
from mmfas.utils.errors import InputError

__all__ = ['GroupRates', 'RateGap', 'SubgroupReport', 'judge_subgroups', 'subgroups_by', 'with_pai_groups']

#: A group with fewer samples of a class takes no part in the largest gap if two others have as many.
SMALL_GROUP = 30
#: Groups that a note lists by name.
_MOST_LISTED = 8
#: Their values tell single samples or the classes apart, not groups of them.
_NO_GROUPS = ('sample_id', 'label', 'score')
#: Replicates of an interval that is widened for many pairs.
_MOST_REPLICATES = 50_000
NOT_STATED = '(not stated)'
SUBGROUP_COLUMNS = ('group', 'live', 'attacks', 'BPCER %', '95 % interval', 'APCER max % (PAI)', 'APCER pooled %')


@dataclass(frozen=True)
class GroupRates:
    """Errors of one group; None where the group lacks the class.

    Args:
        name: Value of the column.
        bpcer: Rejected live samples.
        apcer: Accepted attacks per instrument.
        num_failures: Presentations of the group without a score.
    """

    name: str
    bpcer: Rate | None
    apcer: ApcerResult | None
    num_failures: int = 0

    @property
    def apcer_pooled(self) -> Rate | None:
        """Accepted attacks of the group, all instruments together."""
        return self.apcer.pooled if self.apcer else None

    def row(self) -> Row:
        """Return the row of a table, columns as in `SUBGROUP_COLUMNS` and the one for pooled intervals."""
        live, attacks = self.bpcer, self.apcer
        return (
            self.name,
            str(live.total) if live else '0',
            str(attacks.pooled.total) if attacks else '0',
            f'{percent(live.value)} ({live})' if live else '-',
            percent_interval(live.interval()) if live else '',
            f'{percent(attacks.max.value)} ({attacks.worst_pai})' if attacks else '-',
            f'{percent(attacks.pooled.value)} ({attacks.pooled})' if attacks else '-',
            percent_interval(attacks.pooled.interval()) if attacks else '',
        )


@dataclass(frozen=True)
class RateGap:
    """The largest difference of a rate between two groups.

    Args:
        rate: `'BPCER'` or `'APCER pooled'`.
        worst: Group with the highest rate.
        best: Group with the lowest one.
        value: Difference of their rates, >= 0.
        interval: Its interval, widened for the number of pairs it was picked from (Bonferroni).
        num_groups: Groups that were compared.
        unit: What the interval takes as independent: `'sample'`, `'video'` or `'subject'`.
    """

    rate: str
    worst: str
    best: str
    value: float
    interval: Interval
    num_groups: int
    unit: str

    def sentence(self) -> str:
        """Return the gap in words."""
        verdict = 'excludes' if self.interval.low > 0 else 'includes'
        return (
            f'{self.rate}: largest gap {percent(self.value)} points {percent_interval(self.interval)}, '
            f'{self.worst} above {self.best}; the interval, by {self.unit}s and for all pairs of '
            f'{self.num_groups} groups at once, {verdict} 0.'
        )


@dataclass(frozen=True)
class SubgroupReport:
    """Errors of every group of one column.

    Args:
        column: Name of the column.
        groups: One record per value, sorted by name.
        gaps: Largest gap of BPCER and of APCER pooled, where two groups are large enough.
        notes: Sentences that a reader needs.
    """

    column: str
    groups: tuple[GroupRates, ...]
    gaps: tuple[RateGap, ...]
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> Row:
        """Column names of the table."""
        return (self.column, *SUBGROUP_COLUMNS[1:], '95 % interval of it')

    def rows(self) -> list[Row]:
        """Return the rows of the table."""
        return [group.row() for group in self.groups]

    def sentences(self) -> list[str]:
        """Return the gaps and the notes."""
        return [*(gap.sentence() for gap in self.gaps), *self.notes]

    def text(self) -> str:
        """Return the groups as text for a terminal."""
        return '\n'.join([text_table(self.header, self.rows()), *(f'* {text}' for text in self.sentences())])

    def markdown(self) -> str:
        """Return the groups as a Markdown table with notes."""
        return '\n'.join(
            [markdown_table(self.header, self.rows()), '', *(f'* {text}' for text in self.sentences()), '']
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        groups = {}
        for group in self.groups:
            attacks = group.apcer
            groups[group.name] = {
                'bpcer': group.bpcer and rate_dict(group.bpcer),
                'apcer_max': attacks and {**rate_dict(attacks.max), 'pai': attacks.worst_pai},
                'apcer_pooled': attacks and rate_dict(attacks.pooled),
                'num_failures': group.num_failures,
            }
        gaps = [
            {**vars(gap), 'interval': {'low': gap.interval.low, 'high': gap.interval.high}} for gap in self.gaps
        ]
        return {'column': self.column, 'groups': groups, 'gaps': gaps, 'notes': list(self.notes)}


def with_pai_groups(table: ScoreTable, pairs: Pairs) -> ScoreTable:
    """Add the column `pai_group`.

    Args:
        table: Scores.
        pairs: Expressions and names, see `group_of_pais`.

    Raises:
        ValueError: As `group_of_pais`, or if the table has no attack.
    """
    names = sorted({*table.pai_names, *(lost.pai for lost in table.failures)} - {'live'})
    if not names:
        raise InputError('there are no attacks whose instruments could be judged together')
    groups = {'live': 'live', **group_of_pais(names, pairs)}
    column = np.array([groups[name] for name in table.pai.tolist()])
    failures = [replace(lost, extra={**lost.extra, PAI_GROUP: groups[lost.pai]}) for lost in table.failures]
    return replace(table.with_columns({PAI_GROUP: column}), failures=tuple(failures))


def check_columns(rules: ScoreRules, table: ScoreTable) -> tuple[str, ...]:
    """Return the columns whose groups are judged.

    Args:
        rules: With the columns and the groups of instruments.
        table: Scores.

    Raises:
        KeyError: If there is no such column.
        ValueError: If a column cannot be judged by its values.
    """
    columns = tuple(dict.fromkeys((*rules.by, *((PAI_GROUP,) if rules.pai_groups else ()))))
    for column in columns:
        if column in _NO_GROUPS:
            raise InputError(f"the values of '{column}' are no groups of samples; judge by another column")
        if column != PAI_GROUP or not rules.pai_groups:
            table.column(column)
    return columns


def subgroups_by(rules: ScoreRules, table: ScoreTable, threshold: Threshold | None) -> tuple[SubgroupReport, ...]:
    """Judge the groups of every column that the rules name; without a threshold there are no errors to judge.

    Args:
        rules: With the columns, the groups of instruments, and what a bootstrap draws.
        table: Scores, reduced to the level of the rules.
        threshold: Accept if score >= threshold.

    Raises:
        KeyError: If there is no such column.
        ValueError: As `check_columns` and `judge_subgroups`.
    """
    columns = check_columns(rules, table)
    if threshold is None:
        return ()
    cluster, unit = rules.clusters(table)
    bootstrap = dict(num_bootstrap=rules.num_bootstrap, seed=rules.seed)
    return tuple(
        judge_subgroups(table, name, threshold, cluster=cluster, unit=unit, **bootstrap) for name in columns
    )


def judge_subgroups(
    table: ScoreTable,
    column: str,
    threshold: Threshold,
    *,
    cluster: NDArray[Any] | None = None,
    unit: str = 'sample',
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> SubgroupReport:
    """Judge every group of a column at one threshold.

    Args:
        table: Scores, at the level that is judged.
        column: Name of the column.
        threshold: Accept if score >= threshold.
        cluster: What errs together, shape (N,); None takes samples as independent.
        unit: What a cluster is.
        num_bootstrap: Replicates of the intervals of gaps where clusters are known.
        seed: Seed of the bootstrap.

    Returns:
        The report.

    Raises:
        KeyError: If there is no such column.
        ValueError: If frames of one video or subject differ in the column.
    """
    values = table.column(column).astype(np.str_)
    if np.any(values == MIXED):
        first = table.sample_id[values == MIXED][0]
        raise InputError(f"'{first}' has frames that differ in '{column}': it belongs to no group of it")
    names = np.where(values == '', NOT_STATED, values)
    lost = [failure.extra.get(column, getattr(failure, column, '')) or NOT_STATED for failure in table.failures]
    members = {str(name): names == name for name in np.unique(np.concatenate([names, np.array(lost, dtype=str)]))}
    if column == PAI_GROUP:
        members.pop('live', None)
    groups = tuple(
        _rates(table, name, mask, threshold, num_failures=lost.count(name)) for name, mask in members.items()
    )
    clusters = None if num_bootstrap < 1 else cluster
    wrong = np.where(table.is_live, table.score < float(threshold), table.score >= float(threshold))

    def by_counts(masks: Sequence[BoolArray], confidence: float) -> Interval:
        one, two = ((int(wrong[mask].sum()), int(mask.sum())) for mask in masks)
        return difference_interval(one, two, confidence=confidence)

    def interval(classes: BoolArray, pair: tuple[str, str], confidence: float) -> Interval:
        masks = [members[name] & classes for name in pair]
        if clusters is None or min(np.unique(clusters[mask]).size for mask in masks) < 2:
            return by_counts(masks, confidence)
        one, two = ((wrong[mask], clusters[mask]) for mask in masks)
        rng = np.random.default_rng([seed, 2])
        # as many replicates beyond either end as an interval of 95 % would have
        num = min(round(num_bootstrap * 0.05 / (1 - confidence)), max(num_bootstrap, _MOST_REPLICATES))
        found = bootstrap_rate_difference(one, two, rng=rng, num_replicates=num, confidence=confidence)
        # Groups without any error, or with nothing else, do not vary: a bootstrap would claim certainty.
        return found if found.low < found.high else by_counts(masks, confidence)

    shown = 'sample' if clusters is None and cluster is not None else unit
    gaps = [
        _gap('BPCER', {g.name: g.bpcer for g in groups if g.bpcer}, table.is_live, interval, shown),
        _gap('APCER pooled', {g.name: g.apcer.pooled for g in groups if g.apcer}, ~table.is_live, interval, shown),
    ]
    found = tuple(gap for gap in gaps if gap is not None)
    return SubgroupReport(column, groups, found, (*_no_gap(column, gaps), *_notes(groups)))


def _rates(
    table: ScoreTable, name: str, mask: BoolArray, threshold: Threshold, *, num_failures: int
) -> GroupRates:
    """Return the errors of one group."""
    live, score = table.is_live[mask], table.score[mask]
    rejected = bpcer(score, live, threshold=threshold) if live.any() else None
    attacks = apcer(score, live, table.pai[mask], threshold=threshold) if (~live).any() else None
    return GroupRates(name, rejected, attacks, num_failures)


def _gap(
    rate: str,
    rates: dict[str, Rate],
    classes: BoolArray,
    interval: Callable[[BoolArray, tuple[str, str], float], Interval],
    unit: str,
) -> RateGap | None:
    """Return the largest gap between groups that are stated, and large enough where two are."""
    stated = {name: found for name, found in rates.items() if name != NOT_STATED}
    large = {name: found for name, found in stated.items() if found.total >= SMALL_GROUP}
    large = large if len(large) > 1 else stated
    if len(large) < 2:
        return None
    worst = max(large, key=lambda name: (large[name].value, -large[name].total))
    best = min((name for name in large if name != worst), key=lambda name: large[name].value)
    num_pairs = len(list(combinations(large, 2)))
    found = interval(classes, (worst, best), 1 - 0.05 / num_pairs)
    return RateGap(rate, worst, best, large[worst].value - large[best].value, found, len(large), unit)


def _no_gap(column: str, gaps: Sequence[RateGap | None]) -> list[str]:
    """Say which rate has no gap, and why."""
    classes = [('BPCER', 'live samples'), ('APCER pooled', 'attacks')]
    if column == PAI_GROUP:  # live samples are of no group of instruments
        gaps, classes = gaps[1:], classes[1:]
    lacking = [pair for gap, pair in zip(gaps, classes, strict=True) if gap is None]
    return [f'No gap of {rate}: fewer than two stated groups have {what}.' for rate, what in lacking]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ', '.join(names[:_MOST_LISTED]) + (f' and {more} more' if more > 0 else '')


def _notes(groups: Sequence[GroupRates]) -> list[str]:
    """Note groups that are too small, and presentations without a score."""
    notes = []
    counts = [(group.name, group.bpcer, 'live') for group in groups]
    counts += [(group.name, group.apcer_pooled, 'attacks') for group in groups]
    small = [f'{name} ({rate.total} {what})' for name, rate, what in counts if rate and rate.total < SMALL_GROUP]
    if small:
        notes.append(f'Fewer than {SMALL_GROUP} samples, read the interval: {_listed(small)}.')
    failed = [f'{group.name} ({group.num_failures})' for group in groups if group.num_failures]
    if failed:
        notes.append(f'Presentations without a score: {_listed(failed)}.')
    return notes
