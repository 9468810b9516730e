"""Numbers that papers print for the CPSW benchmark: one data file, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmfas.utils.errors import InputError

__all__ = [
    'PUBLISHED',
    'Published',
    'PublishedAblation',
    'PublishedMethod',
    'PublishedPair',
    'PublishedRow',
    'PublishedSource',
    'read_published',
]

#: The file of published numbers that comes with mmfas.
PUBLISHED = Path(__file__).with_name('published.yml')
#: Half of the last printed digit, with a margin for the rounding of floats.
_ROUNDING = 0.005 + 1e-9


@dataclass(frozen=True)
class PublishedPair:
    """One printed pair.

    Args:
        hter: HTER in percent, in [0, 100].
        auc: Area under the ROC curve in percent, in [0, 100].
    """

    hter: float
    auc: float

    def __str__(self) -> str:
        return f'{self.hter:.2f} / {self.auc:.2f}'

    def agrees_with(self, exact: PublishedPair) -> bool:
        """Return whether this is another pair rounded to two digits."""
        return abs(self.hter - exact.hter) <= _ROUNDING and abs(self.auc - exact.auc) <= _ROUNDING


@dataclass(frozen=True)
class PublishedSource:
    """Where numbers were printed.

    Args:
        title: Table and publication.
        url: Address; empty if there is none.
    """

    title: str
    url: str = ''


@dataclass(frozen=True)
class PublishedRow:
    """What is printed for one method in one protocol.

    Args:
        source: Key in `Published.sources`.
        cells: Column -> its pair; every column of the protocol.
        mean: Mean over the cells, recomputed and rounded to two digits; None in protocol 2, whose cells are means.
        printed_means: Source -> the mean that it prints.
    """

    source: str
    cells: Mapping[str, PublishedPair]
    mean: PublishedPair | None = None
    printed_means: Mapping[str, PublishedPair] = field(default_factory=dict)

    @property
    def exact_mean(self) -> PublishedPair:
        """Mean over the cells, not rounded."""
        pairs = list(self.cells.values())
        return PublishedPair(
            math.fsum(pair.hter for pair in pairs) / len(pairs), math.fsum(pair.auc for pair in pairs) / len(pairs)
        )

    @property
    def misprints(self) -> dict[str, PublishedPair]:
        """Source -> mean that it prints although its cells have another one."""
        return {key: pair for key, pair in self.printed_means.items() if not pair.agrees_with(self.exact_mean)}


@dataclass(frozen=True)
class PublishedMethod:
    """One method and its rows.

    Args:
        name: Name in the tables.
        venue: Where it was published; empty if unknown.
        paper: Address of its paper; empty if mmfas does not have the method.
        collection: Name of its collection in our metafiles; None if mmfas does not have it.
        comparable: Whether it was measured on the published lists.
        note: What a reader must know of its numbers.
        rows: Protocol -> row; a protocol without public numbers is absent.
    """

    name: str
    venue: str = ''
    paper: str = ''
    collection: str | None = None
    comparable: bool = True
    note: str = ''
    rows: Mapping[int, PublishedRow] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedAblation:
    """Mean over protocol 1 of a model with parts left out.

    Args:
        name: What is left.
        source: Key in `Published.sources`.
        mean: The mean as printed.
    """

    name: str
    source: str
    mean: PublishedPair


@dataclass(frozen=True)
class Published:
    """The whole file.

    Args:
        scoring: How thresholds and epochs were chosen, in words.
        columns: Protocol -> column -> its title.
        sources: Key -> source.
        methods: Methods in the order of the file.
        ablations: Means of ablations.
        not_found: Methods whose numbers were looked for in vain.
    """

    scoring: str
    columns: Mapping[int, Mapping[str, str]]
    sources: Mapping[str, PublishedSource]
    methods: tuple[PublishedMethod, ...]
    ablations: tuple[PublishedAblation, ...]
    not_found: tuple[str, ...]

    def row_of(self, collection: str, protocol: int) -> PublishedRow | None:
        """Return the published row of a method that mmfas has.

        Args:
            collection: Name of its collection in the metafiles, such as `'MMDG'`.
            protocol: 1, 2 or 3.

        Returns:
            The row, or None if no number is public.

        >>> row = read_published().row_of('MMDG', 1)
        >>> str(row.cells['cps2w']), str(row.mean), read_published().row_of('BIG-MoE', 1)
        ('12.79 / 93.83', '19.25 / 87.96', None)
        """
        rows = [method.rows.get(protocol) for method in self.methods if method.collection == collection]
        return next((row for row in rows if row is not None), None)


def read_published(file: str | Path = PUBLISHED) -> Published:
    """Read and check a file of published numbers.

    Args:
        file: YAML file; its comment says what it holds.

    Returns:
        Its content.

    Raises:
        ValueError: If a key is unknown or missing, a source or column does not exist, a number is not a
            percentage, or a mean is not that of its cells; the message names file, method and protocol.
    """
    content = yaml.safe_load(Path(file).read_text(encoding='utf-8'))
    try:
        _check_keys(content, {'scoring', 'columns', 'sources', 'methods', 'ablations', 'not_found'}, 'the file')
        sources = {key: PublishedSource(**entry) for key, entry in content['sources'].items()}
        columns = content['columns']
        return Published(
            scoring=content['scoring'].strip(),
            columns=columns,
            sources=sources,
            methods=tuple(_method(entry, columns, sources) for entry in content['methods']),
            ablations=tuple(
                PublishedAblation(entry['name'], _source(entry, sources), _pair(entry['mean']))
                for entry in content['ablations']
            ),
            not_found=tuple(content['not_found']),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f'key {error} is missing' if isinstance(error, KeyError) else str(error)
        raise InputError(f"'{file}': {reason}") from error


def _method(entry: dict[str, Any], columns: Mapping[int, Any], sources: Mapping[str, Any]) -> PublishedMethod:
    """Turn one entry of `methods` into a method."""
    plain = {'name', 'venue', 'paper', 'collection', 'comparable', 'note'}
    rows_of = {f'protocol_{protocol}': protocol for protocol in columns}
    _check_keys(entry, plain | set(rows_of), str(entry.get('name', 'a method without name')), {'name'})
    rows = {}
    for key, protocol in rows_of.items():
        if key in entry:
            try:
                rows[protocol] = _row(entry[key], columns[protocol], sources, needs_mean=protocol != 2)
            except ValueError as error:
                raise InputError(f'{entry["name"]}, {key}: {error}') from error
    return PublishedMethod(**{key: value for key, value in entry.items() if key in plain}, rows=rows)


def _row(
    entry: dict[str, Any], columns: Mapping[str, str], sources: Mapping[str, Any], *, needs_mean: bool
) -> PublishedRow:
    """Turn one protocol of a method into a row and check its mean."""
    needed = {'source', 'cells', 'mean'} if needs_mean else {'source', 'cells'}
    _check_keys(entry, needed | ({'printed_means'} if needs_mean else set()), 'the row', needed)
    if list(entry['cells']) != list(columns):
        raise InputError(f'the columns are {list(columns)}, but the cells are {list(entry["cells"])}')
    row = PublishedRow(
        source=_source(entry, sources),
        cells={column: _pair(cell) for column, cell in entry['cells'].items()},
        mean=_pair(entry['mean']) if needs_mean else None,
        printed_means={
            _source({'source': key}, sources): _pair(pair) for key, pair in entry.get('printed_means', {}).items()
        },
    )
    if row.mean is not None and not row.mean.agrees_with(row.exact_mean):
        raise InputError(f'the mean is written as {row.mean}, but the cells give {row.exact_mean}')
    return row


def _check_keys(entry: Any, known: set[str], what: str, needed: set[str] | None = None) -> None:
    """Raise if an entry is not a table or has unknown or missing keys."""
    if not isinstance(entry, Mapping):
        raise InputError(f'{what} must be a table with the keys {sorted(known)}, but is {entry!r}')
    wrong = sorted(set(entry) - known), sorted((known if needed is None else needed) - set(entry))
    if any(wrong):
        raise InputError(f'{what} has unknown keys {wrong[0]} and lacks {wrong[1]}; known are {sorted(known)}')


def _source(entry: Mapping[str, Any], sources: Mapping[str, Any]) -> str:
    """Return the source of an entry."""
    if entry['source'] not in sources:
        raise InputError(f"there is no source '{entry['source']}'; add it to `sources`")
    return str(entry['source'])


def _pair(value: Any) -> PublishedPair:
    """Turn `[hter, auc]` into a pair."""
    is_pair = isinstance(value, list) and len(value) == 2
    if not is_pair or not all(isinstance(v, int | float) and 0 <= v <= 100 for v in value):
        raise InputError(f'expected [HTER, AUC] in percent, but got {value!r}')
    return PublishedPair(*map(float, value))
