"""All records below some folders, one file per cell or packed, read as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmfas.benchmark.packed_scores import holds_scores, read_packed_scores, scores_path
from mmfas.benchmark.packs import is_packed, pack_path, pack_paths, read_pack, strip_scores
from mmfas.benchmark.plan import Cell
from mmfas.benchmark.record import Identity, Record, RecordError, read_record, write_record, write_scores
from mmfas.evaluation import ScoreTable
from mmfas.utils.checkpoint import sha256_of
from mmfas.utils.folders import is_hidden

#: Includes the functions for a single record, so that users need one module.
__all__ = [
    'Folders',
    'Found',
    'Identity',
    'Record',
    'RecordError',
    'conflict_message',
    'find_records',
    'finished',
    'folder_list',
    'folder_of_scores',
    'load_scores',
    'merge_records',
    'read_record',
    'read_records',
    'write_record',
    'write_scores',
]

#: One folder of records or several.
Folders = str | Path | Sequence[str | Path]
#: What may differ between a record and the same one made again to add the scoring of the papers.
_OF_A_RUN = ('commit', 'dirty', 'versions', 'device', 'seconds', 'paper')
_MOST_NAMED = 3
_SCORE_REMEDY = 'restore it, or delete the record beside it and run the benchmark again'


@dataclass(frozen=True)
class Found:
    """A record and where it was found.

    Args:
        record: The record.
        path: Its file, or that of its pack.
    """

    record: Record
    path: Path


def folder_list(folders: Folders) -> list[Path]:
    """Return folders as a list.

    Args:
        folders: One or several.
    """
    return [Path(folders)] if isinstance(folders, (str, Path)) else [Path(folder) for folder in folders]


def find_records(folders: Folders) -> Iterator[Found]:
    """Find every record below folders; hidden files and folders are left out.

    Args:
        folders: One folder of records or several. Those that do not exist hold none.

    Yields:
        The records; a cell may be there more than once.

    Raises:
        RecordError: If one of them is broken.
    """
    for folder in folder_list(folders):
        for path in pack_paths(folder):
            yield from (Found(record, path) for record in read_pack(path))
        for path in sorted(folder.glob('*/*.json')):
            if not (is_hidden(path.name) or is_hidden(path.parent.name)):
                yield Found(read_record(path), path)


def merge_records(found: Iterable[Found]) -> tuple[list[Record], list[str]]:
    """Keep one record of every cell.

    A cell may be there several times: packed and as a file of its own, or copied between machines. Equal records
    are one, and of two that differ by the scoring of the papers alone the one that has it is taken.

    Args:
        found: Records.

    Returns:
        One record per cell, sorted by method and file name; and one sentence per cell with records that differ.
    """
    kept: dict[tuple[str, str], Found] = {}
    conflicts = []
    for other in found:
        key = other.record.method, other.record.file_name
        first = kept.setdefault(key, other)
        better = _better(first.record, other.record)
        if better is None:
            cell = f'{key[0]} {first.record.cell.name}'
            conflicts.append(f"{cell}: '{first.path}' and '{other.path}' have different records of it")
        else:
            kept[key] = replace(first, record=better)
    return [kept[key].record for key in sorted(kept)], conflicts


def _better(one: Record, other: Record) -> Record | None:
    """Return the more complete of two records of a cell; None if they contradict each other."""
    bare, other_bare = strip_scores(one), strip_scores(other)
    if bare == other_bare:
        return other if other.has_scores and not one.has_scores else one
    unlike = {name: getattr(other_bare, name) for name in _OF_A_RUN}
    if replace(bare, **unlike) != other_bare or (one.paper is None) == (other.paper is None):
        return None
    more, less = (one, other) if other.paper is None else (other, one)
    return more if more.has_scores else replace(more, scores=less.scores)


def read_records(folders: Folders) -> list[Record]:
    """Read all records below folders.

    Args:
        folders: One folder of records or several.

    Returns:
        One record per cell, sorted by method and file name.

    Raises:
        RecordError: If one of them is broken, or two of one cell differ.
    """
    records, conflicts = merge_records(find_records(folders))
    if conflicts:
        raise RecordError(conflict_message(conflicts))
    return records


def conflict_message(conflicts: Sequence[str]) -> str:
    """Say which records contradict each other, and what to do.

    Args:
        conflicts: See `merge_records`.
    """
    more = f'; and {len(conflicts) - _MOST_NAMED} more' if len(conflicts) > _MOST_NAMED else ''
    return (
        f'{len(conflicts)} cells have two records that differ: {"; ".join(conflicts[:_MOST_NAMED])}{more}. Delete '
        'the one that should not count: its file, or its line in the pack'
    )


def finished(folders: Folders, identity: Identity, cell: Cell, *, with_paper: bool) -> Record | None:
    """Return the record of a cell that needs no more work.

    Args:
        folders: One folder of records or several.
        identity: What is to be run.
        cell: The cell.
        with_paper: Whether the scoring of the papers must be in it.

    Returns:
        The record; None if there is none or it lacks the scoring of the papers that is required.

    Raises:
        RecordError: If there is one, but broken.
    """
    name = identity.path('', cell).name
    for folder in folder_list(folders):
        path, pack = identity.path(folder, cell), pack_path(folder, identity.method)
        found = [read_record(path)] if path.is_file() else []
        if pack.is_file():
            found += [record for record in read_pack(pack) if record.file_name == name]
        for record in found:
            if not with_paper or record.paper is not None:
                return record
    return None


def load_scores(folders: Folders, record: Record, name: str = 'test') -> ScoreTable:
    """Read the scores of a record, from its own file or a pack.

    Args:
        folders: One folder of records or several.
        record: The record.
        name: `'test'` or `'dev'`.

    Returns:
        The scores.

    Raises:
        RecordError: If they were not kept, or are missing or not those that were recorded.
    """
    entry = record.scores[name]
    places = folder_list(folders)
    for path in (Path(folder, record.method, entry['file']) for folder in places):
        if path.is_file():
            if sha256_of(path) != entry['sha256']:
                raise RecordError(f"score file '{path}' is not the file that was recorded; {_SCORE_REMEDY}")
            return ScoreTable.from_csv(path, allow_duplicates=True)
    if is_packed(record, (name,)):
        folder = folder_of_scores(places, record, name)
        try:
            return read_packed_scores(folder, record, name).table()
        except ValueError as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(f"'{scores_path(folder, record.method)}', {record.cell.name}: {error}") from error
    if not record.has_scores:
        raise RecordError(
            f'the {name} scores of {record.method} {record.cell.name} were not kept when it was packed'
        )
    path = Path(places[0], record.method, entry['file'])
    raise RecordError(f"score file '{path}' is missing; {_SCORE_REMEDY}")


def folder_of_scores(folders: Sequence[Path], record: Record, name: str) -> Path:
    """Return the folder whose pack has the scores of a record; the first if none has.

    Args:
        folders: Folders of records.
        record: The record, read from a pack.
        name: `'test'` or `'dev'`.
    """
    return next((folder for folder in folders if holds_scores(folder, record, name)), folders[0])
