"""Rows of results on pages written by hand: found by their header, rewritten from records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from mmfas.benchmark.plan import SPLITS, Protocol
from mmfas.benchmark.record import RecordError
from mmfas.benchmark.tables import Column, RecordSelection, columns_of, values
from mmfas.evaluation.tables import NOT_RUN
from mmfas.utils.files import write_atomically

#: Columns of the two kinds of tables that `refresh_page` fills: Protocols 1 and 2 side by side, and the sweep.
_RESULTS = tuple((protocol, column) for protocol in (1, 2) for column in columns_of(protocol))[:-1]
_SWEEP = tuple(('2s', column) for column in columns_of('2s'))
_Columns = tuple[tuple[Protocol, Column], ...]


def _header(columns: _Columns) -> str:
    return f'| method | {" | ".join(column.title for _, column in columns)} | seeds |'


#: First line of a table of results, and of one of the sweep over all subsets of the modalities.
HEADER, SWEEP_HEADER = _header(_RESULTS), _header(_SWEEP)
_TABLES = {
    columns: re.compile(re.escape(_header(columns)) + r'\n(\|[ -]+)+\|\n((?:\| `[^\n]*\|\n)+)')
    for columns in (_RESULTS, _SWEEP)
}


def refresh_page(text: str, chosen: RecordSelection) -> str:
    """Rewrite the rows of every table of results on a page.

    A row is kept for each method in the first column, written as in the report and in backticks; its
    cells are HTER / AUC in percent, means over the seeds that have every split of the protocol. The last cell
    counts these seeds, as `3 / 2` where Protocols 1 and 2 have not as many.

    Args:
        text: Page, Markdown, with at least one table below `HEADER` or `SWEEP_HEADER`.
        chosen: Records.

    Returns:
        The page.

    Raises:
        RecordError: If the page has no such table, or names a method that has no record.
    """
    if not any(table.search(text) for table in _TABLES.values()):
        raise RecordError(
            f'there is no table of results; start one with the line {HEADER}, or {SWEEP_HEADER} for the sweep'
        )
    complete = chosen.of_complete_seeds()
    names = {shown: name for name, shown in chosen.row_names.items()}

    def rewrite(table: re.Match[str], columns: _Columns) -> str:
        head = table.group(0).removesuffix(table.group(2))
        rows = [_row(complete, names, line.split('`')[1], columns) for line in table.group(2).splitlines()]
        return head + ''.join(f'| {" | ".join(row)} |\n' for row in rows)

    for columns, table in _TABLES.items():
        text = table.sub(partial(rewrite, columns=columns), text)
    return text


def refresh_pages(paths: Sequence[str | Path], chosen: RecordSelection) -> None:
    """Rewrite the results in files; see `refresh_page`.

    Args:
        paths: Markdown files.
        chosen: Records.

    Raises:
        RecordError: If a page has no table of results, or names a method that has no record.
        FileNotFoundError: If there is no such file.
    """
    for path in map(Path, paths):
        text = path.read_text(encoding='utf-8')
        try:
            fresh = refresh_page(text, chosen)
        except RecordError as error:
            raise RecordError(f"'{path}': {error}") from error
        write_atomically(path, fresh)


def _row(chosen: RecordSelection, names: dict[str, str], short: str, columns: _Columns) -> list[str]:
    if short not in names:
        raise RecordError(f'no record of `{short}`; there are some of {", ".join(sorted(names))}')
    method = names[short]
    cells = []
    for protocol, column in columns:
        pair = [values(chosen, method, protocol, column.splits, name) for name in ('hter', 'auc')]
        cells.append(' / '.join(f'{100 * mean(found):.1f}' for found in pair) if all(pair) else NOT_RUN)
    seeds = dict.fromkeys(
        str(len(chosen.group(method, protocol, SPLITS[protocol]))) for protocol in {p: None for p, _ in columns}
    )
    return [f'`{short}`', *cells, ' / '.join(seeds)]
