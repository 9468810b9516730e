"""Readers of protocol lists and of the CSV / JSON format for your own data: file -> list of plain records.

A record is a dictionary with `sample_id`, `img_paths` (modality or `'npz'` -> path as written), `label` (as
written, 0 or 1), `source_line` (`'list.txt:17'`) and whatever of `domain`, `pai`, `subject` and `video` is known.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmfas.datasets.protocols import parse_provenance
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.names import plain_name

__all__ = [
    'META_COLUMNS',
    'OWN_DATA_COLUMNS',
    'PROVENANCE_KEYS',
    'read_annotations',
    'read_meta',
    'read_unlabelled',
]

PROVENANCE_KEYS = ('domain', 'subject', 'video', 'pai')
#: Columns of the format for your own data; `label` and one image are required, the rest may be absent or empty.
OWN_DATA_COLUMNS = ('sample_id', *MODALITIES, 'npz', 'label', *PROVENANCE_KEYS)
#: Columns of a side-car file; `sample_id` is needed.
META_COLUMNS = ('sample_id', 'split', 'label', *PROVENANCE_KEYS)

#: Columns of a list without labels: nothing that tells what a sample is.
UNLABELLED_COLUMNS = ('sample_id', *MODALITIES, 'domain')

_MAX_ERRORS = 20
_LIST_FORMAT = "'rgb depth ir label' separated by blanks, or 'name.npz<TAB>label'"


def _parse_label(text: Any, place: str) -> int:
    """Return the label 0 or 1 written at `place`."""
    value = str(text).strip()
    if value not in ('0', '1'):
        raise InputError(f'{place}: the label must be 0 or 1, but is {value!r}')
    return int(value)


def _parse_list_line(line: str, place: str) -> dict[str, Any]:
    """Turn one line of a published list into a record."""
    words = line.split()
    if len(words) == 4:
        paths = dict(zip(MODALITIES, words[:3]))
    elif len(words) == 2 and words[0].endswith('.npz'):
        paths = {'npz': words[0]}
    else:
        raise InputError(f'{place}: expected {_LIST_FORMAT}, but got {len(words)} words: {line.strip()[:200]!r}')
    sample_id = plain_name(words[0])
    known = vars(parse_provenance(sample_id))  # `asdict` would copy every string of every line deeply
    return {'sample_id': sample_id, 'img_paths': paths, 'label': _parse_label(words[-1], place), **known}


def _collect(rows: Iterable[tuple[Any, str]], parse: Callable[[Any, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Parse every row, and report all malformed ones at once; a place is the file's path and the line."""
    records, errors = [], []
    for row, place in rows:
        try:
            records.append({**parse(row, place), 'source_line': os.path.basename(place)})
        except ValueError as error:
            errors.append(str(error))
    if errors:
        hidden = f'\n... and {len(errors) - _MAX_ERRORS} more' if len(errors) > _MAX_ERRORS else ''
        raise InputError('\n'.join(errors[:_MAX_ERRORS]) + hidden)
    return records


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the file name and a remedy to decoding and CSV errors."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: is not UTF-8 text ({error.reason}); save it as UTF-8') from error
    except csv.Error as error:
        raise InputError(f'{path}: cannot be read as CSV: {error}') from error


def _list_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every line that is not empty with its place; LF or CRLF, the last one with or without a newline."""
    with path.open(encoding='utf-8-sig') as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield line, f'{path}:{number}'


def _read_list(path: Path) -> list[dict[str, Any]]:
    """Read a published list."""
    return _collect(_list_lines(path), _parse_list_line)


def _check_columns(names: Iterable[Any], allowed: tuple[str, ...], needed: tuple[str, ...], place: str) -> None:
    """Raise on unknown columns (naming near matches), repeated ones, and missing required ones."""
    present = [str(name) for name in names]
    for name in present:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(allowed)}'
            if ';' in name or '\t' in name:
                hint = 'commas separate the columns'
            raise InputError(f'{place}: unknown column {name!r}; {hint}')
        if present.count(name) > 1:
            raise InputError(f'{place}: column {name!r} is there {present.count(name)} times; keep one')
    missing = [name for name in needed if name not in present]
    if missing:
        raise InputError(f'{place}: column {missing[0]!r} is missing; got {", ".join(present) or "none"}')


def _own_record(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Turn one row of a CSV or JSON file into a record."""
    text = {key: str(value).strip() for key, value in row.items() if value is not None}
    paths = {key: text[key] for key in (*MODALITIES, 'npz') if text.get(key)}
    if not paths:
        raise InputError(f'{place}: no image; at least one of {", ".join(MODALITIES)} or npz must be given')
    if 'npz' in paths and len(paths) > 1:
        raise InputError(f'{place}: give either npz or image files, but got both: {sorted(paths)}')
    record = {
        'sample_id': plain_name(text.get('sample_id') or next(iter(paths.values()))),
        'img_paths': paths,
        'label': _parse_label(text.get('label', ''), place),
    }
    known = {key: plain_name(text.get(key, '')) for key in PROVENANCE_KEYS}
    record.update({key: name for key, name in known.items() if name})
    return record


def _csv_rows(path: Path, allowed: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[tuple[dict, str]]:
    """Yield every row of a CSV file with its place."""
    with path.open(encoding='utf-8-sig', newline='') as file:
        reader = csv.DictReader(file)
        _check_columns(reader.fieldnames or (), allowed, needed, f'{path}:1')
        for row in reader:
            place = f'{path}:{reader.line_num}'
            if None in row:
                raise InputError(f'{place}: more fields than the {len(reader.fieldnames or ())} columns of line 1')
            yield row, place


def _read_csv(path: Path) -> list[dict[str, Any]]:
    """Read your own data from a CSV file with a header."""
    return _collect(_csv_rows(path, OWN_DATA_COLUMNS, ('label',)), _own_record)


def _json_record(row: Any, place: str) -> dict[str, Any]:
    """Turn one object of a JSON file into a record."""
    if not isinstance(row, dict):
        raise InputError(f'{place}: expected an object, but got {type(row).__name__}')
    _check_columns(row, OWN_DATA_COLUMNS, ('label',), place)
    return _own_record(row, place)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, and refuse a key that is there twice, of which the last would win."""
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise InputError(f'the key {key[:80]!r} is there {count} times in one object; keep one')
    return dict(pairs)


def _read_json(path: Path) -> list[dict[str, Any]]:
    """Read your own data from a JSON list of objects, or from mmengine's `{'metainfo':, 'data_list':}`."""
    text = path.read_text(encoding='utf-8-sig')
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise InputError(f'{path}:{error.lineno}: not valid JSON: {error.msg}') from error
    except RecursionError as error:
        raise InputError(f'{path}: is nested too deeply for a list of samples') from error
    except ValueError as error:  # a key twice, or a number of thousands of digits
        raise InputError(f'{path}: {str(error).partition(";")[0]}') from error
    rows = content.get('data_list') if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of objects, or an object with 'data_list'")
    return _collect(((row, f'{path}:[{number}]') for number, row in enumerate(rows)), _json_record)


_READERS = {'.txt': _read_list, '.csv': _read_csv, '.json': _read_json}


def read_annotations(path: str | Path) -> list[dict[str, Any]]:
    """Read an annotation file.

    Args:
        path: `.txt` for the published list formats, `.csv` or `.json` for your own data.

    Returns:
        One record per line, as described at the top of this module.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the suffix is unknown, the file is not UTF-8 text, lines are malformed (the message names
            file, line and the expected format of each), or the file holds no sample.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise InputError(f'{path}: an annotation file ends in {", ".join(_READERS)}, not in {path.suffix!r}')
    if not path.is_file():
        raise MissingFileError(f'annotation file {path} does not exist; check data_root and ann_file')
    with _named(path):
        records = _READERS[path.suffix](path)
    if not records:
        raise InputError(f'{path}: holds no samples')
    return records


def read_meta(path: str | Path) -> dict[str, dict[str, str]]:
    """Read a side-car CSV `sample_id,domain,split,subject,video,pai,label`.

    Args:
        path: The file; every column but `sample_id` may be missing or empty.

    Returns:
        Sample id -> its non-empty values, without `split`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not UTF-8 text, a column is unknown or repeated, or two rows of one sample
            contradict each other.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'side-car file {path} does not exist; check data_root and meta_file')
    meta: dict[str, dict[str, str]] = {}
    with _named(path):
        rows = list(_csv_rows(path, META_COLUMNS, ('sample_id',)))
    for row, place in rows:
        values = {key: plain_name(row.get(key) or '') for key in ('label', *PROVENANCE_KEYS)}
        values = {key: name for key, name in values.items() if name}
        sample_id = plain_name(row['sample_id'])
        if meta.setdefault(sample_id, values) != values:
            raise InputError(f'{place}: contradicts an earlier row of sample {sample_id!r}')
    return meta


def read_unlabelled(path: str | Path) -> list[dict[str, Any]]:
    """Read a list without labels: a CSV file with the columns `UNLABELLED_COLUMNS`.

    Args:
        path: The file.

    Returns:
        One record per line: `sample_id`, `img_paths`, `domain` where it has one, and `source_line`; never a label.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it has any other column (such as `label`), lines are malformed, or it holds no sample.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'list {path} does not exist; check data_root and ann_file')
    with _named(path):
        records = _collect(_csv_rows(path, UNLABELLED_COLUMNS, ()), _unlabelled_record)
    if not records:
        raise InputError(f'{path}: holds no samples')
    return records


def _unlabelled_record(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Turn one row of a list without labels into a record."""
    text = {key: str(value).strip() for key, value in row.items() if value is not None}
    paths = {key: text[key] for key in MODALITIES if text.get(key)}
    if not paths:
        raise InputError(f'{place}: no image; at least one of {", ".join(MODALITIES)} must be given')
    sample_id = plain_name(text.get('sample_id') or next(iter(paths.values())))
    domain = plain_name(text.get('domain', ''))
    return {'sample_id': sample_id, 'img_paths': paths, **({'domain': domain} if domain else {})}
