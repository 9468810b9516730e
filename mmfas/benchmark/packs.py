"""Packs: all records of a method in one file of lines.

`METHOD.jsonl.xz` has one record per line, sorted; read it with `xz -dc`. In a line, `list` and `values` of
`scores.dev` and `scores.test` name and hash the list of samples and the scores (`mmfas.benchmark.packed_scores`),
beside the name and hash of the score file that they were packed from; where these were not kept, `kept` is false.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmfas.benchmark.packed_scores import REMEDY, PackedScores, array_name, scores_path, write_arrays
from mmfas.benchmark.record import Record, RecordError, parse_record, record_content, refusing_full_disk
from mmfas.utils.errors import InputError
from mmfas.utils.unpacking import read_packed_lines, write_packed_lines

_SUFFIX = '.jsonl.xz'


def pack_path(folder: str | Path, method: str) -> Path:
    """Return where the records of a method are packed.

    Args:
        folder: Folder of packs.
        method: Name of the method.
    """
    return Path(folder, f'{method}{_SUFFIX}')


def pack_paths(folder: str | Path) -> list[Path]:
    """Find the packs of a folder, hidden files left out.

    Args:
        folder: Folder of packs.

    Returns:
        Their files of lines, sorted.
    """
    return [path for path in sorted(Path(folder).glob(f'*{_SUFFIX}')) if not path.name.startswith('.')]


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
        lines = read_packed_lines(path, REMEDY)
    except InputError as error:
        raise RecordError(str(error)) from error
    records: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        where = f"'{path}', line {number},"
        record = parse_record(line, where)
        if pack_path('', record.method).name != Path(path).name:
            raise RecordError(f'{where} is a record of {record.method}, which has a pack of its own; {REMEDY}')
        if record.file_name in records:
            raise RecordError(f'{where} is of a cell that a line before it is of, {record.cell.name}; keep one')
        records[record.file_name] = record
    return tuple(records.values())


def lists_named_in(folder: str | Path) -> set[str]:
    """Return the hashes of the lists of samples that the packs of a folder need.

    Args:
        folder: Folder of packs.
    """
    records = (record for path in pack_paths(folder) for record in read_pack(path))
    return {entry['list'] for record in records for entry in record.scores.values() if 'list' in entry}


def write_pack(
    folder: str | Path, method: str, cells: Iterable[tuple[Record, Mapping[str, PackedScores]]]
) -> bool:
    """Write the pack of a method, whose lists are there already; what has not changed is left as it is.

    Args:
        folder: Folder of packs.
        method: The method.
        cells: Its records, each with its scores, `dev` and `test`; without them for one whose scores are not kept.

    Returns:
        Whether a file changed.

    Raises:
        RecordError: If the disk is full.
    """
    lines: list[str] = []
    arrays = {}
    for record, scores in sorted(cells, key=lambda cell: cell[0].file_name):
        entries = {name: _entry(entry, scores.get(name)) for name, entry in record.scores.items()}
        content = record_content(replace(record, scores=entries))
        lines.append(json.dumps(content, separators=(',', ':'), allow_nan=False))
        for name, packed in scores.items():
            arrays[array_name(record, name)] = packed.values
    path = pack_path(folder, method)
    # Scores first: lines of an earlier pack still find theirs if this is stopped between the two.
    changed = write_arrays(scores_path(folder, method), arrays)
    if path.is_file() and _holds(path, lines):
        return changed
    with refusing_full_disk(path):
        write_packed_lines(path, lines)
    return True


def _holds(path: Path, lines: list[str]) -> bool:
    """Tell whether a pack has these lines. By content, not bytes: another xz packs the same lines otherwise."""
    try:
        return read_packed_lines(path, REMEDY) == lines
    except InputError:
        return False


def _entry(entry: Mapping[str, Any], packed: PackedScores | None) -> dict[str, Any]:
    """Return the entry about scores in a line of the pack."""
    found = {name: entry[name] for name in ('file', 'sha256')}
    if packed is None:
        return {**found, 'kept': False}
    return {**found, 'list': packed.list_hash, 'values': packed.values_hash}


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
