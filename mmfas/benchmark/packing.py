"""Pack the records of any number of machines into few files, and write their scores back as score files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmfas.benchmark.packed_scores import PackedScores, read_packed_scores, round_in_order, write_lists
from mmfas.benchmark.packs import is_packed, lists_named_in, write_pack
from mmfas.benchmark.recomputing import FLOAT32_STEP, differences, recompute, recompute_site
from mmfas.benchmark.record import Record, refusing_full_disk
from mmfas.benchmark.records import (
    Folders,
    find_records,
    folder_list,
    folder_of_scores,
    load_scores,
    merge_records,
    read_records,
)
from mmfas.benchmark.site import LISTS
from mmfas.evaluation import ScoreTable
from mmfas.synthfas import RENDERER_VERSION
from mmfas.utils.errors import InputError
from mmfas.utils.locks import lock_folder


@dataclass(frozen=True)
class PackedMethod:
    """What the pack of a method holds.

    Args:
        method: The method.
        num_cells: Its cells.
        num_scored: Cells whose scores are kept.
        changed: Whether a file changed.
    """

    method: str
    num_cells: int
    num_scored: int
    changed: bool


#: Which scores packs keep: all, or those of Protocol 1 with the lowest seed of each method, or none.
KEEP_SCORES = ('all', 'first-seed', 'none')


def pack_records(
    folders: Folders, out_dir: str | Path, methods: Collection[str] = (), *, keep_scores: str = 'all'
) -> tuple[list[PackedMethod], list[str]]:
    """Merge records, and the packs that are there already, into one pack per method.

    Nothing is written where two records of a cell differ. Scores of a superseded version of SynthFAS are not kept,
    only their hashes, since new methods are not compared with them.

    Args:
        folders: Folders of records.
        out_dir: Folder of the packs.
        methods: Methods to pack; all if empty.
        keep_scores: One of `KEEP_SCORES`.

    Returns:
        What was packed, by method; and one sentence per cell with records that differ.

    Raises:
        BusyError: If another process packs into the same folder, so that what one merges would be lost.
        RecordError: If a record is broken, its scores are missing, or the disk is full.
        ValueError: If `keep_scores` is none of its choices.
    """
    if keep_scores not in KEEP_SCORES:
        raise InputError(f'keep_scores must be one of {KEEP_SCORES}, got {keep_scores!r}')
    is_new = not Path(out_dir).exists()
    try:
        with lock_folder(out_dir, 'give another --out', name='.pack.lock'):
            return _merge(folders, out_dir, methods, keep_scores)
    finally:
        if is_new:
            with suppress(OSError):  # there is something in it
                Path(out_dir).rmdir()


def _merge(
    folders: Folders, out_dir: str | Path, methods: Collection[str], keep_scores: str
) -> tuple[list[PackedMethod], list[str]]:
    """Do what `pack_records` says."""
    places = [Path(out_dir), *folder_list(folders)]
    found = (item for item in find_records(places) if not methods or item.record.method in methods)
    records, conflicts = merge_records(found)
    if conflicts:
        return [], conflicts
    packed, lists = [], set(lists_named_in(out_dir))
    for method in sorted({record.method for record in records}):
        own = [record for record in records if record.method == method]
        cells = [(record, _scores(places, record) if _is_kept(record, own, keep_scores) else {}) for record in own]
        samples = {scores.list_hash: scores.samples for _, by_name in cells for scores in by_name.values()}
        write_lists(out_dir, samples, lists)
        lists |= samples.keys()
        changed = write_pack(out_dir, method, cells)
        packed.append(PackedMethod(method, len(own), sum(bool(scores) for _, scores in cells), changed))
    write_lists(out_dir, {}, lists_named_in(out_dir))  # without those that only cells named which are gone
    return packed, []


def _is_kept(record: Record, own: Sequence[Record], keep_scores: str) -> bool:
    """Tell whether the scores of one record of a method are kept."""
    if keep_scores != 'first-seed':
        return keep_scores == 'all'
    return record.protocol == 1 and record.seed == min(other.seed for other in own if other.protocol == 1)


def is_superseded(record: Record) -> bool:
    """Tell whether a record is of a version of SynthFAS that is not the default any more.

    Args:
        record: The record.
    """
    return record.data['name'] == 'synthfas' and record.data.get('renderer_version') != RENDERER_VERSION


def _scores(places: Sequence[Path], record: Record) -> dict[str, PackedScores]:
    """Return the scores of a record as they are packed; none if they are not kept."""
    if is_superseded(record) or not record.has_scores:
        return {}
    if is_packed(record):
        return {
            name: read_packed_scores(folder_of_scores(places, record, name), record, name)
            for name in record.scores
        }
    tables = {name: load_scores(places, record, name) for name in record.scores}
    rounded = {
        name: replace(table, score=round_in_order(table.score).astype(table.score.dtype))
        for name, table in tables.items()
    }
    is_enough = _give_the_same_numbers(record, tables, rounded)
    kept, dtype = (rounded, np.float32) if is_enough else (tables, np.float64)
    return {name: PackedScores.of_table(table, dtype) for name, table in kept.items()}


def _give_the_same_numbers(
    record: Record, tables: Mapping[str, ScoreTable], rounded: Mapping[str, ScoreTable]
) -> bool:
    """Tell whether rounded scores give the same numbers, thresholds aside, which are scores themselves."""
    try:
        whole, half = (_all_numbers(record, of) for of in (tables, rounded))
    except ValueError:  # `verify` reports what is wrong with them
        return False
    return not any(differences(whole, half, score_step=FLOAT32_STEP))


def _all_numbers(record: Record, tables: Mapping[str, ScoreTable]) -> dict[str, Any]:
    """Compute every number of a record that follows from its scores."""
    sites = {name: table for name, table in tables.items() if name in LISTS}
    found = {'report': recompute(record, tables['dev'], tables['test'])}
    return {**found, 'site': recompute_site(record, sites, tables['test'])} if sites else found


def unpack_scores(folders: Folders, out_dir: str | Path, methods: Collection[str] = ()) -> list[Path]:
    """Write the scores of records as score files, which `mmfas scores eval` reads.

    Args:
        folders: Folders of records.
        out_dir: Folder for the files, in one folder per method.
        methods: Methods to unpack; all if empty.

    Returns:
        The files.

    Raises:
        RecordError: If a record is broken, its scores are missing, or the disk is full.
    """
    written = []
    for record in read_records(folders):
        if record.has_scores and (not methods or record.method in methods):
            for name in record.scores:
                path = Path(out_dir, record.method, record.scores[name]['file'])
                with refusing_full_disk(path):
                    load_scores(folders, record, name).to_csv(path)
                written.append(path)
    return written
