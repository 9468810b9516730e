"""Clean variants of lists, made while reading: repeated lines and samples that other lists hold are left out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from mmfas.utils.errors import InputError
from mmfas.utils.file_identity import FileIdentity

__all__ = ['clean_records']

_Files = frozenset[Hashable]


def clean_records(
    records: Sequence[dict[str, Any]],
    others: Iterable[Mapping[str, Any]] = (),
    *,
    files_of: Callable[[Mapping[str, Any]], _Files] | None = None,
) -> list[dict[str, Any]]:
    """Leave out repeats and samples that are in other lists.

    Two records of the same files are one sample, whatever the spelling of the paths. A record also
    counts as in another list if that one names only some of its files, or more than them.

    Args:
        records: Records of `read_annotations`.
        others: Records of other lists, such as the test list.
        files_of: Record -> identities of its files (`FileIdentity.of_sample`); by default those of its paths.

    Returns:
        The first record of every sample that `others` do not hold, in order.

    Raises:
        ValueError: If a sample is there twice with different labels, or nothing is left.

    >>> files = enumerate(('x', 'y', './x'), 1)
    >>> lines = [dict(img_paths=dict(rgb=file), label=1, source_line=f'a.txt:{line}') for line, file in files]
    >>> [record['source_line'] for record in clean_records(lines)]
    ['a.txt:1', 'a.txt:2']
    >>> [record['source_line'] for record in clean_records(lines, lines[:1])]
    ['a.txt:2']
    """
    identity = FileIdentity()
    key_of = files_of or (lambda record: identity.of_sample(record['img_paths']))
    stands_elsewhere = _standing_in(set(map(key_of, others)))
    first: dict[_Files, dict[str, Any]] = {}
    for record in records:
        earlier = first.setdefault(key_of(record), record)
        if earlier['label'] != record['label']:
            raise InputError(
                f'{record["source_line"]}: label {record["label"]}, but {earlier["source_line"]} says '
                f'{earlier["label"]} of the same files; correct one of them'
            )
    kept = [record for key, record in first.items() if not stands_elsewhere(key)]
    if records and not kept:
        raise InputError(
            f'{records[0]["source_line"]} and all that follow are in the lists of `clean` too; nothing is left'
        )
    return kept


def _standing_in(others: set[_Files]) -> Callable[[_Files], bool]:
    """Return a function that tells whether a sample, or a part of it, is among other samples or part of one."""
    parts = {part for files in others for part in _parts(files)}
    return lambda files: files in parts or not others.isdisjoint(_parts(files))


def _parts(files: _Files) -> Iterator[_Files]:
    """Yield all files together and every smaller subset of them."""
    return (frozenset(some) for size in range(1, len(files) + 1) for some in combinations(files, size))
