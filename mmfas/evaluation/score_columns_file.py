"""Read a score file column by column, where there is nothing to complain about: a million rows in seconds.

A file with anything unusual is left to the reader that goes row by row and says what is wrong, and where.
"""

from __future__ import annotations

import csv
import re
import zlib
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfas.evaluation.score_files import COLUMNS, HIDDEN, REASON, open_text
from mmfas.utils.names import plain_name

__all__ = ['read_columns']

# Rows of text that are held at once.
_ROWS = 2**15
_NUMBER = re.compile(r'[-+.0-9eE\n]*')


def read_columns(path: str | PathLike[str]) -> dict[str, Any] | None:
    """Read a score file that is in order and has a score in every row.

    Args:
        path: CSV file; `.gz` is unpacked.

    Returns:
        Arguments of a `ScoreTable`, `extra` among them; None where the file is not as stated, or cannot be read.
    """
    try:
        with open_text(path) as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if len(set(header)) < len(header) or '' in header or not set(COLUMNS) <= set(header):
                return None
            parts: list[dict[str, NDArray[Any]]] = []
            while rows := list(islice(reader, _ROWS)):
                if any(len(row) != len(header) for row in rows):
                    return None
                part = _typed(dict(zip(header, zip(*rows))))
                if part is None:
                    return None
                parts.append(part)
    except (ValueError, csv.Error, EOFError, OSError, zlib.error):
        return None
    if not parts:
        return None
    columns = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    known = {name: columns.pop(name) for name in COLUMNS}
    return {**known, 'extra': columns}


def _typed(cells: dict[str, tuple[str, ...]]) -> dict[str, NDArray[Any]] | None:
    """Return some rows as columns of the right type; None if a cell is not as every row should be."""
    labels, scores = cells.pop('label'), cells.pop('score')
    cells.pop(REASON, None)
    if not set(labels) <= {'0', '1'} or not _NUMBER.fullmatch('\n'.join(scores)):
        return None
    if any(plain_name(text) != text for texts in cells.values() for text in set(texts)):
        return None
    if not all(cells['sample_id']) or any(HIDDEN.search('\n'.join(texts)) for texts in cells.values()):
        return None
    if {'', 'unknown'} & set(cells['pai']):
        named = zip(cells['pai'], labels)
        cells['pai'] = tuple(
            pai if pai not in ('', 'unknown') else 'live' if label == '1' else 'unknown' for pai, label in named
        )
    columns: dict[str, NDArray[Any]] = {name: np.array(texts) for name, texts in cells.items()}
    columns['label'] = np.array(labels) == '1'
    columns['score'] = np.array([float(score) for score in scores])
    return columns if np.isfinite(columns['score']).all() else None
