"""The tables of a benchmark as LaTeX, for papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

from mmfas.benchmark.tables import RecordSelection, Table, build_tables
from mmfas.evaluation.latex import latex_table

#: Which number of a column is the best one of a split.
_BEST: dict[str, Literal['min', 'max']] = {'HTER, ours': 'min', 'AUC, ours': 'max', 'ACER max, ours': 'min'}


def latex_report(chosen: RecordSelection, protocols: Sequence[int]) -> str:
    """Return the tables as LaTeX for the package booktabs: the overviews, then one table per split.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.

    Returns:
        Tables with their captions as comments; in those of one split, the best method of a column is bold.
    """
    return '\n\n'.join(part for table in build_tables(chosen, protocols) for part in _parts(table))


def _parts(table: Table) -> Iterator[str]:
    """Yield a table, or one table per split."""
    if table.header[0] != 'split':
        yield f'% {table.caption}\n{latex_table(table.header, table.rows)}'
        return
    for split, rows in groupby(table.rows, key=lambda row: row[0]):
        shown = latex_table(table.header[1:], [row[1:] for row in rows], best=_BEST)
        yield f'% {table.caption}, {split}\n{shown}'
