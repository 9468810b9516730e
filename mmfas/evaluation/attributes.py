"""Facts of people and devices from a table beside the score file: joined as further columns."""

from __future__ import annotations

import csv
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfas.evaluation.score_files import COLUMNS, check_text
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.names import plain_name

__all__ = ['join_attributes']

#: What a row may be about; the first that the file has counts.
_KEYS = ('sample_id', 'video', 'subject')
Key = tuple[str, ...]


def join_attributes(table: ScoreTable, path: str | PathLike[str]) -> ScoreTable:
    """Add the columns of a CSV file to a score table.

    Args:
        table: Scores.
        path: CSV file with a row per sample, video or subject: a column `sample_id`, `video` or `subject`, perhaps
            `domain` (where ids are not unique over data sets), and the columns to add.

    Returns:
        The table with further columns; a sample that the file does not know has empty ones.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no such column, adds nothing, states something twice, contradicts a column of the
            scores, or fits no sample.
    """
    keys, added, rows = _read(path)

    def values_of(item: dict[str, str]) -> tuple[str, ...]:
        return rows.get(tuple(item[key] for key in keys), ('',) * len(added))

    identities = [dict(zip(keys, names)) for names in zip(*(getattr(table, key).tolist() for key in keys))]
    if not any(tuple(item.values()) in rows for item in identities):
        first = ', '.join(f"{key} '{name}'" for key, name in identities[0].items())
        raise InputError(f'{path}: no row fits a sample of the scores, whose first has {first}; check the ids')
    columns = zip(*map(values_of, identities))
    extra = {name: np.array(column, dtype=np.str_) for name, column in zip(added, columns)}
    extra = {name: _filled(table, name, column, path) for name, column in extra.items()}
    failures = tuple(
        replace(lost, extra={**lost.extra, **dict(zip(added, values_of(vars(lost))))}) for lost in table.failures
    )
    return replace(table.with_columns(extra), failures=failures)


def _filled(table: ScoreTable, name: str, added: NDArray[np.str_], path: str | PathLike[str]) -> NDArray[np.str_]:
    """Return a column with what is added where the scores say nothing."""
    before = table.extra.get(name)
    if before is None:
        return added
    unlike = np.flatnonzero((before != added) & (before != '') & (added != ''))
    if unlike.size:
        row = int(unlike[0])
        raise InputError(
            f"{path}: column {name} says '{added[row]}' of sample '{table.sample_id[row]}', but the scores have a "
            f"column of this name that says '{before[row]}'; rename one of them"
        )
    return np.where(before == '', added, before)


def _read(path: str | PathLike[str]) -> tuple[Key, tuple[str, ...], dict[Key, tuple[str, ...]]]:
    """Return the key columns, the columns to add, and their values by key."""
    if not Path(path).is_file():
        raise MissingFileError(f'table of attributes {path} does not exist')
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f'{path} is not a CSV file in UTF-8 ({error})') from error
    key = next((name for name in _KEYS if name in header), None)
    if key is None:
        raise InputError(
            f'{path}, line 1: expected a column {" or ".join(_KEYS)}, got {",".join(header) or "none"}'
        )
    keys = (*(('domain',) if 'domain' in header else ()), key)
    added = tuple(name for name in header if name and name not in COLUMNS)
    if not added or len(set(added)) < len(added):
        raise InputError(f'{path}, line 1: expected columns to add, each once, got {",".join(header)}')
    rows: dict[Key, tuple[str, ...]] = {}
    for number, row in lines:
        if None in row or None in row.values():
            raise InputError(
                f'{path}, line {number}: expected {len(header)} cells, as the header has, got '
                f'{"fewer" if None in row.values() else "more"}; quote cells that contain commas'
            )
        values = tuple(plain_name(row[name] or '') for name in added)
        for name, text in zip(added, values):
            check_text(text, f'{path}, line {number}, column {name}')
        identity = tuple(plain_name(row[name] or '') for name in keys)
        if rows.setdefault(identity, values) != values:
            raise InputError(f"{path}, line {number}: {key} '{row[key]}' is there before, with other values")
    return keys, added, rows
