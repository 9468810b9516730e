"""Read and write score files (CSV, or CSV.gz), with errors that name file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

from mmfas.evaluation.functional.checks import read_number
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.files import write_atomically
from mmfas.utils.names import plain_name
from mmfas.utils.unpacking import LimitedStream

TEXT_COLUMNS = ('sample_id', 'domain', 'subject', 'video', 'pai')
#: Control characters but tab and line breaks.
HIDDEN = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
COLUMNS = (*TEXT_COLUMNS, 'label', 'score')
#: Further column that says why there is no score; read only where the score is empty.
REASON = 'reason'


def read_score_rows(path: str | PathLike[str], *, allow_duplicates: bool = False) -> list[dict[str, Any]]:
    """Read the rows of a score file and check every value.

    Args:
        path: CSV file with the columns of `COLUMNS` in any order; further columns with a name are read as text;
            `.gz` is unpacked.
        allow_duplicates: Accept repeated sample ids.

    Returns:
        One dict per row, `label` as int and `score` as float; `score` is None where the cell is empty and the
        column `reason` says why.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, lacks a column or holds a wrong value.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'score file {path} does not exist; a test run writes one')
    try:
        records = _read_rows(path, allow_duplicates=allow_duplicates)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f'{path} is not a complete gzip file ({error}); copy it again or write it again'
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f'{path} is not a CSV file in UTF-8 ({error}); give a score file of a test run'
        ) from error
    if not records:
        raise InputError(f'{path} has a header but no samples')
    return records


def read_failures(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Read a score file that holds only presentations without a score.

    Args:
        path: Score file; every score is empty, and the column `reason` says why.

    Returns:
        One dict per row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a score file, or a row has a score.
    """
    if not Path(path).is_file():
        raise MissingFileError(
            f'{path} does not exist; write a file of failures with the columns of a score file, no scores, and a '
            f'column {REASON}'
        )
    rows = read_score_rows(path)
    scored = [row['sample_id'] for row in rows if row['score'] is not None]
    if scored:
        raise InputError(f"{path}: sample '{scored[0]}' has a score; a file of failures has none, but reasons")
    return rows


def _read_rows(path: str | PathLike[str], *, allow_duplicates: bool) -> list[dict[str, Any]]:
    """Return the typed rows of a CSV file."""
    # utf-8-sig: spreadsheet programs put a byte order mark in front, which would become part of the first name.
    with open_text(path) as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f'{path}, line 1: column {missing[0]} is missing; expected {",".join(COLUMNS)}, '
                f'got {",".join(reader.fieldnames or ()) or "an empty file"}'
            )
        named = [name for name in reader.fieldnames or () if name]
        repeated = [name for name in named if named.count(name) > 1]
        if repeated:
            raise InputError(
                f'{path}, line 1: column {repeated[0]} is there more than once; keep the intended one'
            )
        records: list[dict[str, Any]] = []
        first_line: dict[tuple[str, str], int] = {}
        for row in reader:
            where = f'{path}, line {reader.line_num}'
            records.append(_parse(row, where))
            key = (records[-1]['domain'], records[-1]['sample_id'])
            if not allow_duplicates and key in first_line:
                raise InputError(
                    f"{where}, column sample_id: '{key[1]}' occurs before, in line {first_line[key]}; make the "
                    'ids unique within a domain or pass allow_duplicates=True'
                )
            first_line[key] = reader.line_num
    return records


def open_text(path: str | PathLike[str]) -> TextIO:
    """Open a score file for reading, unpacked.

    Args:
        path: CSV file; `.gz` is unpacked.
    """
    if Path(path).suffix == '.gz':
        unpacked = LimitedStream(gzip.open(path), path)  # noqa: SIM115  # returned
        return io.TextIOWrapper(io.BufferedReader(unpacked), encoding='utf-8-sig', newline='')
    return open(path, encoding='utf-8-sig', newline='')


def check_text(text: str, where: str) -> None:
    """Raise if text has invisible characters, which other programs drop.

    Args:
        text: Cell of a score file.
        where: File, line and column, for the message.

    Raises:
        ValueError: If there is a control character other than tab and line break.
    """
    hidden = HIDDEN.search(text)
    if hidden:
        raise InputError(f'{where}: {text!r} holds the control character {hidden[0]!r}; leave it out')


def _parse(row: Mapping[str | None, Any], where: str) -> dict[str, Any]:
    """Return the typed record of one CSV row."""
    record: dict[str, Any] = {name: row[name] for name in COLUMNS}
    short = [name for name, value in record.items() if value is None]
    if short:
        raise InputError(f'{where}, column {short[0]}: the row ends before it')
    extra = {name: text or '' for name, text in row.items() if name and name not in COLUMNS}
    if row.get(None):
        raise InputError(f'{where}: more cells than the header has columns; quote cells that contain commas')
    if not record['sample_id']:
        raise InputError(f'{where}, column sample_id: expected a name, got an empty cell')
    if record['label'] not in ('0', '1'):
        raise InputError(f"{where}, column label: expected 0 (spoof) or 1 (live), got '{record['label']}'")
    for name, text in {**{name: record[name] for name in TEXT_COLUMNS}, **extra}.items():
        check_text(text, f'{where}, column {name}')
    record.update({name: plain_name(record[name]) for name in TEXT_COLUMNS})
    record.update(extra, label=int(record['label']))
    if not record['score'] and extra.get(REASON):
        return {**record, 'score': None}
    score = read_number(record['score'])
    if not isfinite(score):
        remedy = '' if record['score'] else '; a presentation without a score needs a reason in the column reason'
        raise InputError(f"{where}, column score: expected a finite number, got '{record['score']}'{remedy}")
    record.pop(REASON, None)
    return {**record, 'score': score}


def write_score_rows(path: str | PathLike[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write a score file; an older file of this name is replaced only once the new one is complete.

    Args:
        path: Where to write; missing folders are made. A name that ends in `.gz` is packed, the same scores always
            to the same bytes.
        records: One mapping per sample with the keys of `COLUMNS`, and further ones, which become columns of
            text; `score` may be None where `reason` says why.
    """
    rows = list(records)
    further = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline='')
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow([*COLUMNS, *further])
    for record in rows:
        # repr of a float is the shortest text that reads back as the same float.
        score = '' if record['score'] is None else repr(float(record['score']))
        cells = (record.get(name, '') for name in further)
        writer.writerow([*(record[name] for name in COLUMNS[:-1]), score, *cells])
    content = text.getvalue().encode()
    # No time stamp inside, so that a run made again leaves no changed file behind.
    write_atomically(target, gzip.compress(content, mtime=0) if target.suffix == '.gz' else content)
