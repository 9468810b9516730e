"""Clean variants of lists, made while reading: repeated lines and samples that other lists hold are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ['clean_records', 'files_of']


def files_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes two records the same sample: their files.

    Args:
        record: Record of a reader, or sample of a data set.

    Returns:
        The paths, by modality.
    """
    return tuple(path for _, path in sorted(record['img_paths'].items()))


def clean_records(
    records: Sequence[dict[str, Any]], others: Iterable[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Leave out repeats and what stands elsewhere.

    Args:
        records: Records of `read_annotations`.
        others: Records of other lists, such as the test list.

    Returns:
        The first record of every sample that `others` do not hold, in order.

    Raises:
        ValueError: If a sample stands there twice with two labels, or nothing is left.

    >>> files = enumerate('xyx', 1)
    >>> lines = [dict(img_paths=dict(rgb=file), label=1, source_line=f'a.txt:{line}') for line, file in files]
    >>> [record['source_line'] for record in clean_records(lines)]
    ['a.txt:1', 'a.txt:2']
    >>> [record['source_line'] for record in clean_records(lines, lines[:1])]
    ['a.txt:2']
    """
    elsewhere = {files_of(record) for record in others}
    first: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in records:
        earlier = first.setdefault(files_of(record), record)
        if earlier['label'] != record['label']:
            raise ValueError(
                f'{record["source_line"]}: label {record["label"]}, but {earlier["source_line"]} says '
                f'{earlier["label"]} of the same files; correct one of them'
            )
    kept = [record for key, record in first.items() if key not in elsewhere]
    if records and not kept:
        raise ValueError(
            f'{records[0]["source_line"]} and all that follow stand in the lists of `clean` too; nothing is left'
        )
    return kept
