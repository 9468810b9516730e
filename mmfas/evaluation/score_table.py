"""Score tables and score files: the output of a test run, and all that any error rate needs.

A score file is a CSV with the header `sample_id,domain,subject,video,pai,label,score`. Scores are written with
as many digits as a float64 needs to come back unchanged, so metrics computed from the file equal those of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.evaluation.failures import Failure, reduce_failures
from mmfas.evaluation.functional.aggregation import aggregate_scores
from mmfas.evaluation.functional.checks import BoolArray, FloatArray
from mmfas.evaluation.score_columns import failure_of, texts_of
from mmfas.evaluation.score_columns_file import read_columns
from mmfas.evaluation.score_files import (
    COLUMNS,
    REASON,
    TEXT_COLUMNS,
    read_score_rows,
    write_score_rows,
)
from mmfas.utils.errors import InputError, UnknownKeyError

TextArray = NDArray[np.str_]

_LIVE = 'live'
_UNKNOWN = 'unknown'
#: What a further column says of a video or subject whose frames differ in it.
MIXED = '(mixed)'


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """One score per sample with what is needed to judge it; arrays are read-only, order is kept.

    Args:
        sample_id: Name of each sample, shape (N,), unique within a domain.
        domain: Data set of each sample, shape (N,).
        subject: Person, shape (N,); empty where unknown, which `'unknown'` becomes too.
        video: Presentation a frame belongs to, shape (N,); likewise.
        pai: Attack instrument, shape (N,); `'live'` exactly for live samples.
        label: 1 live, 0 spoof, shape (N,).
        score: Liveness, shape (N,), finite, higher = live.
        allow_duplicates: Accept repeated sample ids (some published lists repeat frames).
        extra: Further columns of text by name, shape (N,), such as `sex` or `device`.
        failures: Presentations without a score, which no rate but those of `failure_rates` counts.

    Raises:
        ValueError: If the table is empty or a column breaks its rule; the message names the sample.
    """

    sample_id: TextArray
    domain: TextArray
    subject: TextArray
    video: TextArray
    pai: TextArray
    label: NDArray[np.int64]
    score: FloatArray
    allow_duplicates: bool = False
    extra: Mapping[str, TextArray] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        for name in COLUMNS:
            dtype = {'label': np.int64, 'score': np.float64}.get(name, np.str_)
            column = np.array(getattr(self, name), dtype=dtype)
            if name in ('subject', 'video'):
                # Unknown persons are not one person: they must not form a group of frames or a cluster.
                column[column == _UNKNOWN] = ''
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        extra = {name: np.array(column, dtype=np.str_) for name, column in self.extra.items()}
        object.__setattr__(self, 'extra', extra)
        for text in extra.values():
            text.flags.writeable = False
        shapes = {name: getattr(self, name).shape for name in COLUMNS}
        shapes.update({name: text.shape for name, text in extra.items()})
        if len(set(shapes.values())) != 1 or len(shapes['score']) != 1:
            raise InputError(f'columns of a score table must all have one shape (N,), got {shapes}')
        if not len(self):
            raise InputError('a score table needs at least one sample, got none')
        self._check_values()

    def _check_values(self) -> None:
        """Raise on values that would silently make a rate wrong."""
        self._refuse(~np.isin(self.label, (0, 1)), 'label must be 0 (spoof) or 1 (live)', self.label)
        self._refuse(~np.isfinite(self.score), 'score must be finite', self.score)
        self._refuse(
            (self.pai == _LIVE) != self.is_live,
            "pai must be 'live' for label 1 and an attack's name for 0",
            self.pai,
        )
        # Ids that all differ need no look at the domains.
        ids = [*self.sample_id.tolist(), *(failure.sample_id for failure in self.failures)]
        if not self.allow_duplicates and len(set(ids)) < len(ids):
            lost = [(failure.domain, failure.sample_id) for failure in self.failures]
            repeated = [key for key, count in Counter([*self.keys(), *lost]).items() if count > 1]
            if repeated:
                domain, name = repeated[0]
                raise InputError(
                    f"{len(repeated)} sample ids occur more than once, first '{name}' of domain '{domain}'; make "
                    'them unique within a domain or pass allow_duplicates=True'
                )

    def keys(self) -> list[tuple[str, str]]:
        """Return what identifies each sample: its domain and its id."""
        return list(zip(self.domain.tolist(), self.sample_id.tolist()))

    def _refuse(self, wrong: BoolArray, rule: str, column: NDArray[Any]) -> None:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"sample '{self.sample_id[row]}': {rule}, got {column[row]} "
                f'({int(wrong.sum())} of {len(self)} samples break this)'
            )

    def __len__(self) -> int:
        return int(self.score.size)

    @property
    def is_live(self) -> BoolArray:
        """Whether each sample is a bona fide presentation, shape (N,)."""
        return self.label == 1

    @property
    def num_live(self) -> int:
        """Number of live samples."""
        return int(self.is_live.sum())

    @property
    def num_spoof(self) -> int:
        """Number of attack samples."""
        return len(self) - self.num_live

    @property
    def pai_names(self) -> tuple[str, ...]:
        """Attack instruments that occur, sorted."""
        return tuple(str(name) for name in np.unique(self.pai[~self.is_live]))

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], *, allow_duplicates: bool = False) -> ScoreTable:
        """Build a table from one mapping per sample.

        Args:
            records: Mappings with `sample_id`, `label` and `score`, and optionally `domain`, `subject`, `video`
                (empty if absent) and `pai` (`'live'` or `'unknown'` if absent, by the label). Any other key is a
                further column. A record whose `score` is None is a failure; its `reason` says why.
            allow_duplicates: Accept repeated sample ids.

        Returns:
            The table, in the order of the records.

        Raises:
            ValueError: If there are no records or a value breaks its rule.
            KeyError: If a record lacks a required key.
        """
        rows = list(records)
        for index, row in enumerate(rows):
            missing = [key for key in ('sample_id', 'label', 'score') if key not in row]
            if missing:
                raise UnknownKeyError(f'score record {index} lacks {missing}; it has {sorted(row)}')
        further = dict.fromkeys(name for row in rows for name in row if name not in (*COLUMNS, REASON))
        texts = [texts_of(row, further) for row in rows]
        failures = tuple(failure_of(row, text) for row, text in zip(rows, texts) if row['score'] is None)
        texts = [text for row, text in zip(rows, texts) if row['score'] is not None]
        rows = [row for row in rows if row['score'] is not None]
        columns: dict[str, Any] = {name: [text[name] for text in texts] for name in TEXT_COLUMNS}
        columns['label'] = [int(row['label']) for row in rows]
        columns['score'] = [float(row['score']) for row in rows]
        extra = {name: np.array([text[name] for text in texts], dtype=np.str_) for name in further}
        return cls(**columns, allow_duplicates=allow_duplicates, extra=extra, failures=failures)

    @classmethod
    def from_csv(cls, path: str | PathLike[str], *, allow_duplicates: bool = False) -> ScoreTable:
        """Read a score file.

        Args:
            path: CSV file with the header `sample_id,domain,subject,video,pai,label,score` in any order; further
                columns are kept as text. An empty score with a text in the column `reason` is a failure.
            allow_duplicates: Accept repeated sample ids.

        Returns:
            The table, in the order of the file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is empty, lacks a column or holds a wrong value; names file, line and column.
        """
        columns = read_columns(path)
        if columns is not None:
            # What breaks a rule is read again row by row, which knows the line.
            with suppress(InputError):
                return cls(**columns, allow_duplicates=allow_duplicates)
        records = read_score_rows(path, allow_duplicates=allow_duplicates)
        try:
            return cls.from_records(records, allow_duplicates=allow_duplicates)
        except ValueError as error:
            raise InputError(f'{path}: {error}') from error

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a score file; it replaces an older one only when complete.

        Args:
            path: Where to write; missing folders are made.
        """
        write_score_rows(path, self.to_records())

    def to_records(self) -> list[dict[str, Any]]:
        """Return one dict of plain Python values per sample, failures last: the inverse of `from_records`."""
        names = (*COLUMNS, *self.extra)
        rows = zip(*(column.tolist() for column in self._columns().values()))
        return [*(dict(zip(names, row)) for row in rows), *(failure.to_record() for failure in self.failures)]

    def _columns(self) -> dict[str, NDArray[Any]]:
        """Return all columns by name, the further ones last."""
        return {**{name: getattr(self, name) for name in COLUMNS}, **self.extra}

    def column(self, name: str) -> NDArray[Any]:
        """Return a column by its name.

        Args:
            name: One of the columns of every score file, or a further one.

        Returns:
            The column, shape (N,).

        Raises:
            KeyError: If there is no such column.
        """
        columns = self._columns()
        if name not in columns:
            raise UnknownKeyError(f"a score table has no column '{name}'; it has {', '.join(columns)}")
        return columns[name]

    def with_columns(self, columns: Mapping[str, ArrayLike]) -> ScoreTable:
        """Return the table with further columns of text; one of the same name is replaced.

        Args:
            columns: Columns by name, shape (N,).

        Raises:
            ValueError: If a shape is another, or the name is that of a column every score file has.
        """
        taken = [name for name in columns if name in COLUMNS]
        if taken:
            raise InputError(f"'{taken[0]}' is a column of every score file; name the further one differently")
        extra = {**self.extra, **{name: np.asarray(column, dtype=np.str_) for name, column in columns.items()}}
        return replace(self, extra=extra)

    def take(self, rows: ArrayLike) -> ScoreTable:
        """Return some of the samples.

        Args:
            rows: Positions, or a mask of shape (N,).

        Returns:
            A table of these rows, in the order given; without the failures, which have no position.

        Raises:
            ValueError: If no row is left.
        """
        index = np.asarray(rows)
        columns = {name: getattr(self, name)[index] for name in COLUMNS}
        extra = {name: column[index] for name, column in self.extra.items()}
        return ScoreTable(**columns, allow_duplicates=self.allow_duplicates, extra=extra)

    def select(self, **wanted: str | int | Sequence[str | int]) -> ScoreTable:
        """Return the samples whose columns have the wanted values.

        Args:
            wanted: One value or several, by column name: `select(domain='C', pai=('live', 'print'))`.

        Returns:
            A table of these samples, in the same order.

        Raises:
            KeyError: If there is no such column.
            ValueError: If no sample fits.
        """
        mask = np.ones(len(self), dtype=np.bool_)
        for name, values in wanted.items():
            options = [values] if isinstance(values, (str, int)) else list(values)
            mask &= np.isin(self.column(name), options)
        if not mask.any():
            raise InputError(f'no sample of the score table has {wanted}')
        return self.take(mask)

    @classmethod
    def concat(cls, tables: Iterable[ScoreTable]) -> ScoreTable:
        """Join tables row by row.

        Args:
            tables: At least one table.

        Returns:
            A table of all rows; duplicates are accepted if any of the tables accepts them. A further column that
            one of them lacks is empty there.

        Raises:
            ValueError: If there is no table, or two tables share a sample id.
        """
        parts = list(tables)
        if not parts:
            raise InputError('concat needs at least one score table, got none')
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        names = dict.fromkeys(name for part in parts for name in part.extra)
        extra = {
            name: np.concatenate([part.extra.get(name, np.full(len(part), '')) for part in parts])
            for name in names
        }
        failures = tuple(failure for part in parts for failure in part.failures)
        accepts = any(part.allow_duplicates for part in parts)
        return cls(**columns, allow_duplicates=accepts, extra=extra, failures=failures)

    def group_ids(self, level: str) -> TextArray:
        """Return the video or the subject of every sample, made unique over domains.

        Args:
            level: `'video'` or `'subject'`.

        Returns:
            Names such as `'C/video_12'`, shape (N,).

        Raises:
            ValueError: If the level is unknown or a sample has no such id.
        """
        if level not in ('video', 'subject'):
            raise InputError(f"expected the level 'video' or 'subject', got '{level}'")
        names = getattr(self, level)
        if np.any(names == ''):
            row = int(np.flatnonzero(names == '')[0])
            raise InputError(
                f"sample '{self.sample_id[row]}' has no {level} id, so its {level} is unknown "
                f'({int(np.sum(names == ""))} of {len(self)} samples)'
            )
        return np.char.add(np.char.add(self.domain, '/'), names)

    def aggregate(self, level: str, *, frame_reduction: str = 'mean') -> ScoreTable:
        """Reduce frames to one score per video, or per subject and attack instrument.

        Args:
            level: `'video'`, or `'subject'`: a person's live samples and every kind of attack on that person.
            frame_reduction: `'mean'`, `'median'` or `'max'`.

        Returns:
            A table with one row per group in order of first appearance, named by the group.

        Raises:
            ValueError: If ids are missing, or a video mixes labels, instruments or subjects.
        """
        groups = self.group_ids(level)
        if level == 'subject':
            groups = np.char.add(np.char.add(groups, '/'), self.pai)
        score, first = aggregate_scores(self.score, groups, frame_reduction=frame_reduction)
        group_first = {str(groups[row]): row for row in first.tolist()}
        origin = np.array([group_first[str(name)] for name in groups])
        for name in ('label', 'pai', 'subject'):
            column = getattr(self, name)
            mixed = np.flatnonzero(column != column[origin])
            if mixed.size:
                row = int(mixed[0])
                raise InputError(
                    f"{level} '{groups[row]}' mixes the {name}s {column[origin[row]]} and {column[row]} "
                    f"(sample '{self.sample_id[row]}'); one {level} must be one presentation"
                )
        columns = {name: getattr(self, name)[first] for name in COLUMNS}
        if level == 'subject':
            columns['video'] = np.full(first.size, '')
        extra = {}
        for name, column in self.extra.items():
            mixed_groups = np.unique(groups[column != column[origin]])
            extra[name] = np.where(np.isin(groups[first], mixed_groups), MIXED, column[first])
        failures = reduce_failures(self.failures, level, groups[first])
        columns.update(sample_id=groups[first], score=score)
        return ScoreTable(**columns, extra=extra, failures=failures)
