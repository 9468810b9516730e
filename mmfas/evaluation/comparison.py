"""Two systems on the same samples, each at a threshold of its own: paired differences and tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmfas.evaluation.evaluate import resolve_threshold
from mmfas.evaluation.functional import Interval, McNemar, PairedSamples, Threshold, mcnemar
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.tables import Row, markdown_table, p_value, percent, percent_interval, text_table
from mmfas.utils.errors import InputError

__all__ = ['Comparison', 'Difference', 'System', 'compare_systems', 'shared_samples']

_LABELS = {
    'hter': 'HTER',
    'bpcer': 'BPCER',
    'apcer_max': 'APCER max',
    'apcer_pooled': 'APCER pooled (FAR)',
    'acer_max': 'ACER max',
    'auc': 'AUC',
}
_FRAMES_NOTE = (
    'McNemar takes every sample as independent; frames of one video are not, so read it with --level video, or '
    'read the intervals.'
)


@dataclass(frozen=True)
class System:
    """One system under test.

    Args:
        name: What it is called in tables.
        test: Its scores for the test set.
        dev: Its scores for dev samples, which fix its threshold.
        threshold: A threshold fixed beforehand, instead of `dev`.
    """

    name: str
    test: ScoreTable
    dev: ScoreTable | None = None
    threshold: Threshold | float | None = None


@dataclass(frozen=True)
class Difference:
    """One number of both systems.

    Args:
        name: Such as `'hter'`, `'apcer_print'`.
        first: Value of the first system, in [0, 1].
        second: Value of the second one.
        interval: Interval of second minus first; None if it was not requested.
        p_value: Of the permutation test; None if it was not requested, or for AUC.
    """

    name: str
    first: float
    second: float
    interval: Interval | None = None
    p_value: float | None = None

    @property
    def value(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def label(self) -> str:
        """Name for tables."""
        return _LABELS.get(self.name, f'APCER {self.name.removeprefix("apcer_")}')


@dataclass(frozen=True)
class Comparison:
    """What tells two systems apart on the samples that both have scored.

    Args:
        names: Of the first and the second system.
        thresholds: Of both.
        num_live: Live samples of both.
        num_spoof: Attacks of both.
        differences: Every number, second minus first.
        tests: McNemar's test of the errors on live samples, on attacks, and on each instrument.
        unit: What the bootstrap draws and the permutation exchanges: `'sample'`, `'video'` or `'subject'`.
        level: What one score stands for.
        notes: Sentences that a reader needs.
    """

    names: tuple[str, str]
    thresholds: tuple[Threshold, Threshold]
    num_live: int
    num_spoof: int
    differences: tuple[Difference, ...]
    tests: Mapping[str, McNemar]
    unit: str
    level: str
    notes: tuple[str, ...] = ()

    def title(self) -> str:
        """Return one line: names, counts and thresholds."""
        first, second = (f'{name} at {threshold}' for name, threshold in zip(self.names, self.thresholds))
        return f'{second} minus {first}: {self.num_live} live, {self.num_spoof} attacks, {self.level} level'

    @property
    def header(self) -> Row:
        """Column names of the table."""
        tested = any(difference.p_value is not None for difference in self.differences)
        further = (f'p (permutation of {self.unit}s)',) if tested else ()
        return ('in %', *self.names, 'difference', f'95 % interval, by {self.unit}s', *further, 'McNemar', 'p')

    def rows(self) -> list[Row]:
        """Return the rows of the table; McNemar's counts are errors of the first system only / the second only."""
        tested = len(self.header) == 8
        return [tuple(self._row(difference, tested)) for difference in self.differences]

    def _row(self, difference: Difference, tested: bool) -> Iterator[str]:
        yield difference.label
        yield percent(difference.first)
        yield percent(difference.second)
        yield f'{100 * difference.value:+.2f}'
        yield percent_interval(difference.interval)
        if tested:
            yield '' if difference.p_value is None else p_value(difference.p_value)
        test = self.tests.get(difference.name)
        yield f'{test.only_first} / {test.only_second}' if test else ''
        yield p_value(test.p_value) if test else ''

    def table(self) -> str:
        """Return the comparison as text for a terminal."""
        lines = [self.title(), text_table(self.header, self.rows())]
        return '\n'.join([*lines, *(f'* {note}' for note in self.notes)])

    def markdown(self) -> str:
        """Return the comparison as a Markdown section."""
        lines = [f'**{self.title()}**', '', markdown_table(self.header, self.rows()), '']
        return '\n'.join([*lines, *(f'* {note}' for note in self.notes)]).rstrip() + '\n'

    def to_dict(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        rows = {
            d.name: {
                'first': d.first,
                'second': d.second,
                'difference': d.value,
                'low': d.interval and d.interval.low,
                'high': d.interval and d.interval.high,
                'p_permutation': d.p_value,
                'mcnemar': vars(self.tests[d.name]) if d.name in self.tests else None,
            }
            for d in self.differences
        }
        return {
            'first': self.names[0],
            'second': self.names[1],
            'thresholds': [{'value': t.value, 'origin': t.origin} for t in self.thresholds],
            'num_live': self.num_live,
            'num_spoof': self.num_spoof,
            'level': self.level,
            'interval_unit': self.unit,
            'differences': rows,
            'notes': list(self.notes),
        }


def shared_samples(first: ScoreTable, second: ScoreTable) -> int:
    """Count the samples that two tables have in common, by domain and id.

    Args:
        first: Scores.
        second: Scores.
    """
    if np.array_equal(first.sample_id, second.sample_id) and np.array_equal(first.domain, second.domain):
        return len(set(first.keys()))
    return len(set(first.keys()) & set(second.keys()))


def compare_systems(
    first: System, second: System, rules: ScoreRules | None = None, *, num_permutations: int = 0
) -> Comparison:
    """Compare two systems on the samples that both have scored.

    Args:
        first: The system compared with, such as the old one.
        second: The other one; differences are its values minus those of the first.
        rules: How scores become numbers; the defaults of `ScoreRules` if None.
        num_permutations: Exchanges of the permutation test; 0 for none.

    Returns:
        The comparison.

    Raises:
        ValueError: If they have no sample in common, disagree on what a sample is, lack a threshold, or repeat
            ids.
    """
    rules = rules or ScoreRules()
    if first.name == second.name:
        raise InputError(f"both systems are called '{first.name}'; give them two names")
    thresholds, notes = [], []
    for system in (first, second):
        found, _ = resolve_threshold(system.test, dev=system.dev, threshold=system.threshold, rules=rules)
        if found is None:
            raise InputError(
                f"'{system.name}' has no threshold, so its errors cannot be compared: give it a dev file of its "
                'own, TEST.csv:DEV.csv, or --criterion fixed=VALUE'
            )
        thresholds.append(found)
    tables = rules.reduce(first.test), rules.reduce(second.test)
    one, two, left_out = _paired(tables, (first.name, second.name))
    if not (one.num_live and one.num_spoof):
        absent = 'live sample' if not one.num_live else 'attack'
        raise InputError(
            f"'{first.name}' and '{second.name}' have {len(one)} samples in common, but no {absent}: differences "
            'need both classes; judge these files one by one'
        )
    cluster, unit = rules.clusters(one)
    samples = PairedSamples(
        scores=(one.score, two.score),
        thresholds=(thresholds[0].value, thresholds[1].value),
        is_live=one.is_live,
        pai=one.pai,
        cluster=np.char.add(np.char.add(one.domain, '/'), one.sample_id) if cluster is None else cluster,
    )
    notes += left_out
    notes += _single_clusters(samples, unit)
    notes += _decided_alike(samples) if rules.num_bootstrap else []
    notes += [_FRAMES_NOTE] if unit != 'sample' and rules.level == 'frame' else []
    return Comparison(
        names=(first.name, second.name),
        thresholds=(thresholds[0], thresholds[1]),
        num_live=one.num_live,
        num_spoof=one.num_spoof,
        differences=tuple(_differences(samples, rules, num_permutations)),
        tests=_tests(samples),
        unit=unit,
        level=rules.level,
        notes=tuple(notes),
    )


def _paired(
    tables: tuple[ScoreTable, ScoreTable], names: tuple[str, str]
) -> tuple[ScoreTable, ScoreTable, list[str]]:
    """Return the samples that both tables have, in one order, and a note of what is left out."""
    if (alike := _same_samples(tables)) is not None:
        _check_agreement(*alike, names)
        return *alike, []
    rows = [dict(zip(table.keys(), range(len(table)))) for table in tables]
    for name, table, own in zip(names, tables, rows):
        if len(own) < len(table):
            raise InputError(f"'{name}' has sample ids more than once: which of them belong together is unknown")
    common = sorted(rows[0].keys() & rows[1].keys())
    if not common:
        raise InputError(
            f"'{names[0]}' and '{names[1]}' have no sample in common (by domain and sample_id): nothing is paired"
        )
    one, two = (table.take([own[key] for key in common]) for table, own in zip(tables, rows))
    _check_agreement(one, two, names)
    left_out = [f'{len(own) - len(common)} of {name}' for own, name in zip(rows, names) if len(own) > len(common)]
    if not left_out:
        return one, two, []
    note = f'Scored by one system only and left out here: {" and ".join(left_out)}; {len(common)} are compared.'
    return one, two, [note, *_failed_at(tables, rows, names)]


def _same_samples(tables: tuple[ScoreTable, ScoreTable]) -> tuple[ScoreTable, ScoreTable] | None:
    """Return two tables in the order of their ids if each has the samples of the other and each id once."""
    if len(tables[0]) != len(tables[1]):
        return None
    orders = [np.lexsort((table.sample_id, table.domain)) for table in tables]
    keys = [[column[order] for column in (t.domain, t.sample_id)] for t, order in zip(tables, orders)]
    is_repeated = (keys[0][0][1:] == keys[0][0][:-1]) & (keys[0][1][1:] == keys[0][1][:-1])
    if is_repeated.any() or any(not np.array_equal(one, two) for one, two in zip(*keys)):
        return None
    return tables[0].take(orders[0]), tables[1].take(orders[1])


def _check_agreement(one: ScoreTable, two: ScoreTable, names: tuple[str, str]) -> None:
    """Raise if two tables of the same samples say different things of them."""
    for column in ('label', 'pai'):
        differs = np.flatnonzero(getattr(one, column) != getattr(two, column))
        if differs.size:
            row = int(differs[0])
            raise InputError(
                f"sample '{one.sample_id[row]}' has {column} {getattr(one, column)[row]} in '{names[0]}' and "
                f"{getattr(two, column)[row]} in '{names[1]}' ({differs.size} of {len(one)} differ)"
            )


def _failed_at(
    tables: tuple[ScoreTable, ScoreTable], rows: list[dict[tuple[str, str], int]], names: tuple[str, str]
) -> list[str]:
    """Note how many samples a system failed to acquire that the other one has scored."""
    counts = [
        sum((failure.domain, failure.sample_id) in other for failure in table.failures)
        for table, other in zip(tables, rows[::-1])
    ]
    listed = [f'{name} failed to acquire {count}' for name, count in zip(names, counts) if count]
    text = 'of these; a system that refuses hard samples looks better here, so read the rows "FTA as rejection"'
    return [f'{" and ".join(listed)} {text}.'] if listed else []


def _single_clusters(samples: PairedSamples, unit: str) -> list[str]:
    """Note strata that are one cluster, which a bootstrap draws again and again."""
    single = [name for name, index in samples.strata.items() if np.unique(samples.cluster[index]).size < 2]
    return [f'One {unit} only, so no interval says how sure its rate is: {", ".join(single)}.'] if single else []


def _decided_alike(samples: PairedSamples) -> list[str]:
    """Note errors that the systems share sample by sample: their difference is 0 in every replicate."""
    differ = samples.wrong(0) != samples.wrong(1)
    alike = [f'{name} ({index.size})' for name, index in samples.strata.items() if not differ[index].any()]
    text = 'Decided alike by both, so the interval of the difference is empty, which is not certainty'
    return [f'{text}: {", ".join(alike)}.'] if alike else []


def _differences(samples: PairedSamples, rules: ScoreRules, num_permutations: int) -> Iterator[Difference]:
    """Yield every number of both systems."""
    first, second = samples.observed(0), samples.observed(1)
    drawn, tested = {}, {}
    if rules.num_bootstrap:
        drawn = samples.replicates(np.random.default_rng([rules.seed, 3]), rules.num_bootstrap)
    if num_permutations:
        tested = samples.permutation_p_values(np.random.default_rng([rules.seed, 4]), num_permutations)
    order = [*_LABELS, *(name for name in first if name not in _LABELS)]
    for name in order:
        interval = None
        if name in drawn:
            low, high = np.quantile(drawn[name], [0.025, 0.975])
            interval = Interval(float(low), float(high))
        yield Difference(name, first[name], second[name], interval, tested.get(name))


def _tests(samples: PairedSamples) -> dict[str, McNemar]:
    """Return McNemar's test of every error that is one count."""
    wrong = samples.wrong(0), samples.wrong(1)
    groups = {'bpcer': samples.is_live, 'apcer_pooled': ~samples.is_live}
    groups |= {f'apcer_{pai}': samples.pai == pai for pai in samples.strata if pai != 'live'}
    return {name: mcnemar(wrong[0][mask], wrong[1][mask]) for name, mask in groups.items()}
