"""The scores of packs: every list of samples once for all methods, the scores of each cell in its order.

`lists.npz` has, as `lists/<hash>`, every list of samples that was scored, as CSV without the scores; and
`METHOD.scores.npz`, as `scores/<cell>.<dev|test>`, the scores of each cell of a method in the order of its list.

Scores are float32: half the size, and what a model computes in. Rounding what the softmax in double precision
gave moves a threshold in its eighth digit. Scores that it would make equal stay apart by one step of float32, so
that no rank changes. Where a number changes all the same, the cell is kept in float64.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfas.benchmark.record import Record, RecordError, refusing_full_disk
from mmfas.evaluation import ScoreTable
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

LISTS = 'lists.npz'
REMEDY = 'restore it from version control, or pack the records again'
_COLUMNS = ('sample_id', 'domain', 'subject', 'video', 'pai', 'label')
#: Largest unpacked array in bytes that one of our packs can hold: a list of a million samples has fewer.
_MAX_ARRAY_BYTES = 512 << 20
#: The earliest time a zip file can name: the same content always gives the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_BROKEN = (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


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


def round_in_order(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round scores to float32 so that unequal ones stay unequal and in order.

    Args:
        scores: Scores in [0, 1], shape (N,).

    Returns:
        The nearest float32, or one a few steps beside it where two scores would become one. Where even that is not
        possible, close to 0 and 1, they become one.
    """
    values, places = np.unique(scores, return_inverse=True)
    rounded = values.astype(np.float32)
    for number in range(1, len(rounded)):
        rounded[number] = max(rounded[number], np.nextafter(rounded[number - 1], np.float32(2)))
    if len(rounded):
        rounded[-1] = min(rounded[-1], np.float32(1))
    for number in range(len(rounded) - 1, 0, -1):  # back from 1, where the steps above have left [0, 1]
        rounded[number - 1] = min(rounded[number - 1], np.nextafter(rounded[number], np.float32(-1)))
    return np.asarray(rounded.clip(0, 1)[places], np.float32)


def scores_path(folder: str | Path, method: str) -> Path:
    """Return where the scores of a method are packed.

    Args:
        folder: Folder of packs.
        method: Name of the method.
    """
    return Path(folder, f'{method}.scores.npz')


def array_name(record: Record, name: str) -> str:
    """Return the name under which scores of a cell are packed.

    Args:
        record: Record of the cell.
        name: Which scores, such as `'test'`.
    """
    return f'scores/{Path(record.file_name).stem}.{name}'


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
    values = _read_for(path, array_name(record, name), record)
    samples = _read_for(Path(folder, LISTS), f'lists/{entry["list"]}', record)
    packed = PackedScores(samples.tobytes(), values)
    if packed.values_hash != entry['values']:
        raise RecordError(
            f"'{path}', {record.cell.name}: the {name} scores are not those that were packed; {REMEDY}"
        )
    if packed.list_hash != entry['list']:
        raise RecordError(f"'{Path(folder, LISTS)}': a list is not the one that was packed; {REMEDY}")
    return packed


def _read_for(path: Path, name: str, record: Record) -> NDArray[Any]:
    """Read an array of a record; the error names file and cell."""
    try:
        with zipfile.ZipFile(path) as file:
            return _read_array(file, name)
    except FileNotFoundError as error:
        raise RecordError(f"'{path}' is missing: scores of {record.method} need it; {REMEDY}") from error
    except _BROKEN as error:
        raise RecordError(f"'{path}', {record.cell.name}: damaged ({error}); {REMEDY}") from error


def holds_scores(folder: str | Path, record: Record, name: str) -> bool:
    """Tell whether the pack of a folder has the scores of a record; those of another folder may have them.

    Args:
        folder: Folder of packs.
        record: The record, read from a pack.
        name: `'test'` or `'dev'`.
    """
    return f'{array_name(record, name)}.npy' in _names(scores_path(folder, record.method))


def _names(path: Path) -> list[str]:
    """Return what is in a file of arrays; nothing if there is none or it is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.namelist()
    except (FileNotFoundError, zipfile.BadZipFile):
        return []


def _read_array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array, of a size that can be one of ours."""
    info = file.getinfo(f'{name}.npy')
    if info.file_size > _MAX_ARRAY_BYTES:
        raise InputError(f'{name} would take {info.file_size >> 20} MiB, more than {_MAX_ARRAY_BYTES >> 20}')
    return np.lib.format.read_array(io.BytesIO(file.read(info)), allow_pickle=False)


def _read_arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Read some arrays of a file, which is not opened if there are none."""
    if not names:
        return {}
    with zipfile.ZipFile(path) as file:
        return {name: _read_array(file, name) for name in names}


def write_lists(folder: str | Path, lists: Mapping[str, bytes], kept: Collection[str]) -> None:
    """Write lists of samples into the file of all methods.

    Args:
        folder: Folder of packs.
        lists: Lists by hash, as `PackedScores.samples`.
        kept: Hashes of lists that stay if they are there; all others go.

    Raises:
        RecordError: If the file that is there is damaged, or the disk is full.
    """
    path = Path(folder, LISTS)
    arrays = {f'lists/{name}': np.frombuffer(text, np.uint8) for name, text in lists.items()}
    there = {name.removesuffix('.npy') for name in _names(path)}
    staying = sorted(there & {f'lists/{name}' for name in kept} - arrays.keys())
    try:
        kept_arrays = _read_arrays(path, staying)
    except _BROKEN as error:
        raise RecordError(f"'{path}': damaged ({error}); {REMEDY}") from error
    write_arrays(path, {**kept_arrays, **arrays})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Write arrays unless the file has exactly these; without arrays, remove it.

    Args:
        path: The file.
        arrays: Arrays by name.

    Returns:
        Whether it changed.

    Raises:
        RecordError: If the disk is full.
    """
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
    except _BROKEN:
        return False
    return all(_is_same(found[name], array) for name, array in arrays.items())


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)
