"""Packs: all records of a method in one file of lines, and their scores in one file of arrays.

`METHOD.jsonl` has one record per line, sorted. `METHOD.scores.npz` has, as `lists/<hash>`, every list of samples
that was scored, once, as CSV without the scores; and as `scores/<cell>.<dev|test>` the scores of each cell in the
order of its list. In a line, `list` and `values` of `scores.dev` and `scores.test` name and hash them, beside the
name and hash of the score file that they were packed from; where these were not kept, `kept` is false.

Scores are float32: half the size, and what a model computes in. It rounds what the softmax in double precision
gave, which moves a threshold in its eighth digit and can make one score of two. Where that changes any other
number, such as an AUC, which counts ties half, the scores of the cell are kept in float64.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfas.benchmark.record import Record, RecordError, parse_record, record_content, refusing_full_disk
from mmfas.evaluation import ScoreTable
from mmfas.utils.errors import InputError
from mmfas.utils.files import read_text, write_atomically

_COLUMNS = ('sample_id', 'domain', 'subject', 'video', 'pai', 'label')
_REMEDY = 'restore it from version control, or pack the records again'
#: Largest unpacked array in bytes that one of our packs can hold: a list of a million samples has fewer.
_MAX_ARRAY_BYTES = 512 << 20
#: The earliest time a zip file can name: the same content always gives the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class PackedScores:
    """The scores of one set of samples, as a pack keeps them.

    Args:
        samples: What is known of the samples, as CSV without the scores.
        values: Scores, shape (N,), float32 or float64.
    """

    samples: bytes
    values: NDArray[Any]

    @classmethod
    def of_table(cls, table: ScoreTable, dtype: type = np.float32) -> PackedScores:
        """Pack a table.

        Args:
            table: The scores.
            dtype: `np.float32` or `np.float64`.
        """
        text = io.StringIO(newline='')
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow(_COLUMNS)
        writer.writerows([row[name] for name in _COLUMNS] for row in table.to_records())
        return cls(text.getvalue().encode(), table.score.astype(dtype))

    def table(self) -> ScoreTable:
        """Return the scores as a table.

        Raises:
            ValueError: If there are not as many scores as samples, or a value breaks a rule of score tables.
        """
        rows = list(csv.DictReader(io.StringIO(self.samples.decode(), newline='')))
        if len(rows) != self.values.size:
            raise InputError(f'{self.values.size} scores of {len(rows)} samples')
        scored = ({**row, 'score': score} for row, score in zip(rows, self.values.tolist(), strict=True))
        return ScoreTable.from_records(scored, allow_duplicates=True)

    @property
    def list_hash(self) -> str:
        """Hash of the samples."""
        return hashlib.sha256(self.samples).hexdigest()[:16]

    @property
    def values_hash(self) -> str:
        """Hash of the scores and their precision."""
        little_endian = self.values.astype(self.values.dtype.newbyteorder('<'))
        return hashlib.sha256(little_endian.dtype.str.encode() + little_endian.tobytes()).hexdigest()[:16]


def pack_path(folder: str | Path, method: str) -> Path:
    """Return where the records of a method are packed.

    Args:
        folder: Folder of packs.
        method: Name of the method.
    """
    return Path(folder, f'{method}.jsonl')


def scores_path(folder: str | Path, method: str) -> Path:
    """Return where the scores of a method are packed.

    Args:
        folder: Folder of packs.
        method: Name of the method.
    """
    return Path(folder, f'{method}.scores.npz')


def pack_paths(folder: str | Path) -> list[Path]:
    """Find the packs of a folder, hidden files left out.

    Args:
        folder: Folder of packs.

    Returns:
        Their files of lines, sorted.
    """
    return [path for path in sorted(Path(folder).glob('*.jsonl')) if not path.name.startswith('.')]


def read_pack(path: str | Path) -> tuple[Record, ...]:
    """Read the records of a pack.

    Args:
        path: Its file of lines.

    Returns:
        The records, in the order of the file.

    Raises:
        RecordError: If a line is not a record, is of another method, or of a cell that a line before it is of.
    """
    stat = Path(path).stat()
    return _read_pack(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _read_pack(path: str, changed_ns: int, size: int) -> tuple[Record, ...]:
    """Read a pack; the same file is read once."""
    try:
        lines = read_text(path).removesuffix('\n').split('\n')
    except UnicodeDecodeError as error:
        raise RecordError(f"'{path}' is not a pack of records (not UTF-8: {error}); {_REMEDY}") from error
    records: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        where = f"'{path}', line {number},"
        record = parse_record(line, where)
        if pack_path('', record.method).name != Path(path).name:
            raise RecordError(f'{where} is a record of {record.method}, which has a pack of its own; {_REMEDY}')
        if record.file_name in records:
            raise RecordError(f'{where} is of a cell that a line before it is of, {record.cell.name}; keep one')
        records[record.file_name] = record
    return tuple(records.values())


def read_packed_scores(folder: str | Path, record: Record, name: str) -> PackedScores:
    """Read the scores of a record that was read from a pack and kept them.

    Args:
        folder: Folder of the pack.
        record: The record.
        name: `'test'` or `'dev'`.

    Returns:
        The scores.

    Raises:
        RecordError: If they are missing, damaged or not those that were packed.
    """
    path, entry = scores_path(folder, record.method), record.scores[name]
    try:
        with zipfile.ZipFile(path) as file:
            samples = _read_array(file, f'lists/{entry["list"]}').tobytes()
            packed = PackedScores(samples, _read_array(file, _array_name(record, name)))
    except FileNotFoundError as error:
        raise RecordError(f"'{path}' is missing: the scores of {record.method} are in it; {_REMEDY}") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise RecordError(f"'{path}', {record.cell.name}: damaged ({error}); {_REMEDY}") from error
    if (packed.list_hash, packed.values_hash) != (entry['list'], entry['values']):
        raise RecordError(
            f"'{path}', {record.cell.name}: the {name} scores are not those that were packed; {_REMEDY}"
        )
    return packed


def holds_scores(folder: str | Path, record: Record, name: str) -> bool:
    """Tell whether the pack of a folder has the scores of a record; those of another folder may have them.

    Args:
        folder: Folder of packs.
        record: The record, read from a pack.
        name: `'test'` or `'dev'`.
    """
    try:
        with zipfile.ZipFile(scores_path(folder, record.method)) as file:
            return f'{_array_name(record, name)}.npy' in file.namelist()
    except (FileNotFoundError, zipfile.BadZipFile):
        return False


def _array_name(record: Record, name: str) -> str:
    return f'scores/{Path(record.file_name).stem}.{name}'


def _read_array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array, of a size that can be one of ours."""
    info = file.getinfo(f'{name}.npy')
    if info.file_size > _MAX_ARRAY_BYTES:
        raise InputError(f'{name} would take {info.file_size >> 20} MiB, more than {_MAX_ARRAY_BYTES >> 20}')
    return np.lib.format.read_array(io.BytesIO(file.read(info)), allow_pickle=False)


def write_pack(
    folder: str | Path, method: str, cells: Iterable[tuple[Record, Mapping[str, PackedScores]]]
) -> bool:
    """Write the pack of a method; what has not changed is left as it is.

    Args:
        folder: Folder of packs.
        method: The method.
        cells: Its records, each with its scores, `dev` and `test`; without them for one whose scores are not kept.

    Returns:
        Whether a file changed.

    Raises:
        RecordError: If the disk is full.
    """
    lines, arrays = [], {}
    for record, scores in sorted(cells, key=lambda cell: cell[0].file_name):
        entries = {name: _entry(entry, scores.get(name)) for name, entry in record.scores.items()}
        content = record_content(replace(record, scores=entries))
        lines.append(json.dumps(content, separators=(',', ':'), allow_nan=False) + '\n')
        for name, packed in scores.items():
            arrays[f'lists/{packed.list_hash}'] = np.frombuffer(packed.samples, np.uint8)
            arrays[_array_name(record, name)] = packed.values
    path = pack_path(folder, method)
    # Scores first: lines of an earlier pack still find theirs if this is stopped between the two.
    changed = _write_scores(scores_path(folder, method), arrays)
    text = ''.join(lines).encode()
    if path.is_file() and path.read_bytes() == text:
        return changed
    with refusing_full_disk(path):
        write_atomically(path, text)
    return True


def _entry(entry: Mapping[str, Any], packed: PackedScores | None) -> dict[str, Any]:
    """Return the entry about scores in a line of the pack."""
    found = {name: entry[name] for name in ('file', 'sha256')}
    if packed is None:
        return {**found, 'kept': False}
    return {**found, 'list': packed.list_hash, 'values': packed.values_hash}


def _write_scores(path: Path, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Write arrays unless the file has exactly these; without arrays, remove it. Return whether it changed."""
    if not arrays:
        existed = path.is_file()
        path.unlink(missing_ok=True)
        return existed
    # By content, not bytes: another zlib packs the same arrays otherwise.
    if path.is_file() and _is_of(path, arrays):
        return False
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        for name in sorted(arrays):
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f'{name}.npy', _NO_TIME)
            file.writestr(info, array.getvalue(), zipfile.ZIP_DEFLATED, 9)
    with refusing_full_disk(path):
        write_atomically(path, content.getvalue())
    return True


def _is_of(path: Path, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether a file holds these arrays and no others."""
    try:
        with zipfile.ZipFile(path) as file:
            if sorted(file.namelist()) != sorted(f'{name}.npy' for name in arrays):
                return False
            found = {name: _read_array(file, name) for name in arrays}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return False
    return all(_is_same(found[name], array) for name, array in arrays.items())


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)


def strip_scores(record: Record) -> Record:
    """Return a record without what a pack adds to it, so that packed and loose ones can be compared.

    Args:
        record: The record.
    """
    return replace(
        record, scores={name: {k: e[k] for k in ('file', 'sha256')} for name, e in record.scores.items()}
    )


def is_packed(record: Record, names: Sequence[str] = ('dev', 'test')) -> bool:
    """Tell whether the scores of a record are in a pack.

    Args:
        record: The record.
        names: Which of its scores.
    """
    return all('list' in record.scores[name] for name in names)
