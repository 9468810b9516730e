"""Tables of the benchmark, made from records alone; cells of a row without a record say 'not run'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from typing import Any

from mmfas.benchmark.methods import Method, config_hash, row_names, short_name
from mmfas.benchmark.plan import MISSING, SPLITS, SWEPT, Protocol, in_order, is_shown, missing_title, title_of
from mmfas.benchmark.record import Record, RecordError
from mmfas.benchmark.site import site_hter
from mmfas.evaluation.functional import SiteCriterion
from mmfas.evaluation.published import Published, read_published
from mmfas.evaluation.tables import NOT_RUN, Row, markdown_table, percent_cell, text_table

_SITE_HTER = 'site_hter_'
_MOST_NAMED = 3

TITLES: dict[Protocol, str] = {
    1: 'Protocol 1: three domains to the fourth',
    2: 'Protocol 2: the models of Protocol 1, modalities missing in the whole dev and test sets',
    '2s': 'Protocol 2s: the models of Protocol 1, every subset of the modalities in the whole dev and test sets',
    3: 'Protocol 3: two domains to the other two',
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        caption: What it shows.
        header: Column names.
        rows: Cells, one tuple per row.
        note: Text below it.
    """

    caption: str
    header: Row
    rows: tuple[Row, ...]
    note: str = ''

    def text(self) -> str:
        """Return the table for a terminal."""
        return '\n'.join(filter(None, (self.caption, text_table(self.header, self.rows), self.note)))

    def markdown(self) -> str:
        """Return the table as a Markdown section."""
        note = f'\n{self.note}\n' if self.note else ''
        return f'## {self.caption}\n\n{markdown_table(self.header, self.rows)}\n{note}'


@dataclass(frozen=True)
class RecordSelection:
    """Records that belong in one table: of one data set and one way to choose the epoch, one config per method.

    Args:
        records: The records.
        collections: Collection of every method by its name, in the order of the rows; some may have no record.
        left_out: Which records were not taken: of another config, other data or choice of epoch. One sentence per
            method and reason, of other data one per data set.
        last_epochs: Over how many last epochs `mmfas.benchmark.last_epochs` makes a table, at least 2; None: none.
    """

    records: tuple[Record, ...]
    collections: Mapping[str, str]
    left_out: tuple[str, ...]
    last_epochs: int | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.collections)

    @property
    def row_names(self) -> dict[str, str]:
        """The unique name of every method in tables."""
        return row_names(self.methods)

    def group(self, method: str, protocol: Protocol, splits: Sequence[str]) -> dict[int, list[Record]]:
        """Return the records of some splits by seed, of the seeds that have all of them.

        Args:
            method: Name of the method.
            protocol: 1, 2, '2s' or 3.
            splits: Names of splits.
        """
        by_seed: dict[int, list[Record]] = {}
        for record in self.records:
            is_wanted = record.split in splits and is_shown(record.cell, (protocol,))
            if record.method == method and is_wanted:
                by_seed.setdefault(record.seed, []).append(record)
        return {seed: found for seed, found in sorted(by_seed.items()) if len(found) == len(splits)}

    def of_complete_seeds(self) -> RecordSelection:
        """Return only the records whose method and seed have every split of their protocol."""
        seeds = {(name, p): self.group(name, p, splits) for name in self.methods for p, splits in SPLITS.items()}
        records = tuple(r for r in self.records if r.seed in seeds[r.method, r.protocol])
        return replace(self, records=records)


def choose(
    records: Sequence[Record],
    *,
    methods: Sequence[Method] = (),
    data: Mapping[str, Any] | None = None,
    select: str = 'last',
) -> RecordSelection:
    """Choose the records of one table, all of the same data, config and choice of epoch.

    Args:
        records: All records there are.
        methods: Methods to show; their configs as they are now decide which records are theirs. Empty shows every
            method there are records of.
        data: Identity of the data, or a part of it; None takes that of the records if they agree.
        select: `'last'` or `'dev'`.

    Returns:
        The choice.

    Raises:
        RecordError: If records of several data sets or of several configs of one method remain; it names them.
    """
    wanted = {method.name: config_hash(method.load()) for method in methods}
    rest: list[Record] = []
    left_out: dict[tuple[str, str], list[str]] = {}
    of_other_data: dict[str, list[Record]] = {}

    def leave_out(record: Record, reason: str) -> None:
        left_out.setdefault((record.method, reason), []).append(record.cell.name)

    for record in records:
        if wanted and record.method not in wanted:
            continue
        if record.select != select:
            leave_out(record, f'of another choice of epoch, --select {record.select}')
        elif any(record.data.get(key) != value for key, value in (data or {}).items()):
            of_other_data.setdefault(data_text(record.data), []).append(record)
        elif wanted and record.config_hash != wanted[record.method]:
            now = wanted[record.method]
            leave_out(record, f'of another config, {record.config_hash}, which now says {now}')
        else:
            rest.append(record)
    found = {data_text(record.data): record for record in rest}
    if len(found) > 1:
        raise RecordError(
            f'the records are of {len(found)} data sets, which no table may mix: {"; ".join(sorted(found))}. '
            'Choose one with --data-root, or with --renderer where only the version of SynthFAS differs'
        )
    _require_one_config_each(rest)
    given = {method.name: method.collection for method in methods}
    found_here = dict(sorted((record.method, record.collection) for record in rest))
    sentences = [f'{method} {_few(cells)}: {reason}' for (method, reason), cells in left_out.items()]
    for text, others in sorted(of_other_data.items()):
        num_methods = len({record.method for record in others})
        sentences.append(f'{len(others)} cell(s) of {num_methods} method(s): of other data, {text}')
    return RecordSelection(tuple(rest), given or found_here, tuple(sentences))


def _require_one_config_each(records: Sequence[Record]) -> None:
    """Raise RecordError if records of a method are of several configs; it names them."""
    for name in sorted({record.method for record in records}):
        hashes = sorted({record.config_hash for record in records if record.method == name})
        if len(hashes) > 1:
            files = [next(r for r in records if r.method == name and r.config_hash == h).cell.name for h in hashes]
            listed = ', '.join(f'{h} (such as {file})' for h, file in zip(hashes, files, strict=True))
            raise RecordError(
                f'{name} has records of {len(hashes)} configs, which no table may mix: {listed}. Name the method '
                'on the command line: its config as it is now decides; or delete the records of the other config'
            )


def _few(cells: Sequence[str]) -> str:
    """Name cells, if there are many only the first."""
    more = f' and {len(cells) - _MOST_NAMED} more' if len(cells) > _MOST_NAMED else ''
    return f'{", ".join(cells[:_MOST_NAMED])}{more}'


def data_text(data: Mapping[str, Any]) -> str:
    """Return an identity of data in a few words."""
    return ' '.join(f'{key}={value}' for key, value in data.items() if value not in (None, {}, ''))


def build_tables(chosen: RecordSelection, protocols: Sequence[Protocol]) -> list[Table]:
    """Make all tables of a report.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.

    Returns:
        Two tables per protocol: one row per method, and one row per split and method, where there are numbers.
    """
    return [build(chosen, protocol) for protocol in in_order(protocols) for build in (_overview, _details)]


@dataclass(frozen=True)
class Column:
    """Splits whose mean is one number of a table.

    Args:
        title: How it is written.
        splits: Names of the splits.
        published: Name of the column of `published.yml`; `'mean'` for its mean, None where nobody publishes it.
    """

    title: str
    splits: tuple[str, ...]
    published: str | None


def columns_of(protocol: Protocol) -> list[Column]:
    """Return the columns of a protocol's overview; the last is the mean of all splits.

    Args:
        protocol: 1, 2, '2s' or 3.

    >>> [column.title for column in columns_of(3)]
    ['CW→PS', 'PS→CW', 'mean']
    """
    if protocol == 2:
        groups = [Column(missing_title(missing), _splits_of(2, missing), missing) for missing in MISSING]
    elif protocol == '2s':
        groups = [Column(left, _splits_of('2s', missing), None) for missing, left in SWEPT.items()]
    else:
        groups = [Column(title_of(split), (split,), split) for split in SPLITS[protocol]]
    return [*groups, Column('mean', SPLITS[protocol], 'mean')]


def _splits_of(protocol: Protocol, missing: str) -> tuple[str, ...]:
    """Return the splits of a protocol in which exactly this is missing."""
    return tuple(split for split in SPLITS[protocol] if split.partition('_')[2] == missing)


def published_cell(chosen: RecordSelection, method: str, protocol: Protocol, column: Column) -> str:
    """Return what the paper of a method prints, `HTER / AUC` of real sets; `'-'` where it prints nothing.

    Args:
        chosen: Methods with their collections.
        method: Name of the method. A variant of it, such as an ablation, has no published numbers.
        protocol: 1, 2, '2s' or 3.
        column: The column.
    """
    row = None if isinstance(protocol, str) else _published().row_of(chosen.collections[method], protocol)
    if row is None or column.published is None or not _is_as_published(method):
        return '-'
    return str(row.exact_mean if column.published == 'mean' else row.cells[column.published])


def values(
    chosen: RecordSelection, method: str, protocol: Protocol, splits: Sequence[str], measure: str
) -> list[float]:
    """Return one number per seed: the mean over splits.

    Args:
        chosen: Records.
        method: Name of the method.
        protocol: 1, 2, '2s' or 3.
        splits: Splits that a seed must have all of.
        measure: `'hter'`, `'auc'` or `'acer_max'` at the dev threshold; `'site_hter_5'` at that of five live
            videos of the target; `'paper_hter'` or `'paper_auc'`.

    Returns:
        Numbers in [0, 1], in the order of the seeds; a seed without the number is left out.
    """
    found = []
    for group in chosen.group(method, protocol, splits).values():
        numbers = [number for record in group if (number := _number(record, measure)) is not None]
        if len(numbers) == len(group):
            found.append(mean(numbers))
    return found


def _number(record: Record, measure: str) -> float | None:
    if measure.startswith('paper_'):
        return None if record.paper is None else record.paper[measure.removeprefix('paper_')]
    if measure.startswith(_SITE_HTER):
        return site_hter(record.site, int(measure.removeprefix(_SITE_HTER)))
    value = record.report[measure]
    return value['value'] if isinstance(value, dict) else value


def site_choices(chosen: RecordSelection, protocol: Protocol) -> list[int]:
    """Return the numbers of live videos that set a threshold in some record of a protocol, sorted.

    Args:
        chosen: Records.
        protocol: 1, 2 or 3.
    """
    sites = [record.site for record in chosen.records if is_shown(record.cell, (protocol,)) and record.site]
    return sorted({entry['num_videos'] for site in sites for entry in site['numbers']})


@cache
def _published() -> Published:
    """Return the published numbers, read once."""
    return read_published()


def _is_as_published(name: str) -> bool:
    """Tell by the name of a model whether it is the method as published, in any regime, not an ablation.

    >>> ends = ('', '_released', '_pretrained-frozen', '_no-ssp')
    >>> [_is_as_published(f'mmdg_mini-vit_1xb32-12e_synthfas-cps2w{end}') for end in ends]
    [True, True, True, False]
    """
    variant = short_name(name).split('_')[2:]
    return all(word == 'released' or word.startswith('pretrained-') for word in variant)


#: Notes of the overview.
_PARTIAL = '0 seeds: none has every split yet; the cells take whatever seeds their splits have.'
_LEFT_OUT = 'Methods with records of other protocols only, and without published numbers, are left out.'


def _overview(chosen: RecordSelection, protocol: Protocol) -> Table:
    """One row per method with numbers: HTER / AUC of every split, the paper's scoring in a column of its own."""
    columns, complete, choices = columns_of(protocol), chosen.of_complete_seeds(), site_choices(chosen, protocol)
    begun = {record.method for record in chosen.records if is_shown(record.cell, (protocol,))}
    elsewhere = {record.method for record in chosen.records} - begun
    rows, notes = [], set()
    for method, name in chosen.row_names.items():
        printed = published_cell(chosen, method, protocol, columns[-1])
        if method in elsewhere and printed == '-':
            notes.add(_LEFT_OUT)
            continue
        seeds = complete.group(method, protocol, columns[-1].splits)
        # All cells of a row are of the same seeds; a row with none yet shows what there is.
        shown = complete if seeds else chosen
        if not seeds and method in begun:
            notes.add(_PARTIAL)
        cells = [_pair(shown, method, protocol, column.splits) for column in columns]
        measures = [f'{_SITE_HTER}{number}' for number in choices]
        at_site = [percent_cell(values(shown, method, protocol, columns[-1].splits, name)) for name in measures]
        paper = _pair(shown, method, protocol, columns[-1].splits, 'paper_')
        rows.append((name, *cells, *at_site, paper, printed, str(len(seeds))))
    titles = [f'{column.title}, ours' for column in columns]
    sites = [f'mean HTER, {SiteCriterion(num_videos=number).origin}' for number in choices]
    header = ('method', *titles, *sites, 'mean, paper (oracle)', 'mean, published', 'seeds')
    more = ' Cells are means over four splits.' if protocol in (2, '2s') else ''
    return Table(f'{TITLES[protocol]}: HTER % / AUC %.{more}', header, tuple(rows), ' '.join(sorted(notes)))


def _pair(
    chosen: RecordSelection, method: str, protocol: Protocol, splits: Sequence[str], scoring: str = ''
) -> str:
    """Return `HTER / AUC` of a group of splits."""
    pair = [values(chosen, method, protocol, splits, f'{scoring}{name}') for name in ('hter', 'auc')]
    return ' / '.join(map(percent_cell, pair)) if pair[0] else NOT_RUN


def _details(chosen: RecordSelection, protocol: Protocol) -> Table:
    """One row per split and method that has numbers there, each in a column of its own."""
    choices = site_choices(chosen, protocol)
    at_site = [f'{_SITE_HTER}{number}' for number in choices]
    measures = ('hter', 'auc', 'acer_max', *at_site, 'paper_hter', 'paper_auc')
    columns = columns_of(protocol)
    if protocol in (2, '2s'):
        columns = [*(Column(title_of(split), (split,), None) for split in SPLITS[protocol]), *columns]
    rows, is_whole = [], True
    for column in columns:
        for method, name in chosen.row_names.items():
            seeds = ' '.join(map(str, chosen.group(method, protocol, column.splits)))
            printed = published_cell(chosen, method, protocol, column)
            if not seeds and printed == '-':
                is_whole = False
                continue
            found = [values(chosen, method, protocol, column.splits, measure) for measure in measures]
            rows.append((column.title, name, *map(percent_cell, found), printed, seeds or NOT_RUN))
    sites = [f'HTER, {SiteCriterion(num_videos=number).origin}' for number in choices]
    header = ('split', 'method', 'HTER, ours', 'AUC, ours', 'ACER max, ours', *sites)
    return Table(
        f'{TITLES[protocol]}: every split, %',
        (*header, 'HTER, paper (oracle)', 'AUC, paper (oracle)', 'HTER / AUC, published', 'seeds'),
        tuple(rows),
        note=''
        if is_whole
        else 'Rows with neither records of all their splits nor published numbers are left out.',
    )
