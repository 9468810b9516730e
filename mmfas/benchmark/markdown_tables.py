"""Rows of results on pages written by hand: found by their header, rewritten from records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from mmfas.benchmark.plan import SPLITS
from mmfas.benchmark.record import RecordError
from mmfas.benchmark.tables import RecordSelection, columns_of, values
from mmfas.evaluation.tables import NOT_RUN
from mmfas.utils.files import write_atomically

_COLUMNS = [(protocol, column) for protocol in (1, 2) for column in columns_of(protocol)][:-1]
#: First line of a table that `refresh_page` fills.
HEADER = f'| method | {" | ".join(column.title for _, column in _COLUMNS)} | seeds |'
_TABLE = re.compile(re.escape(HEADER) + r'\n(\|[ -]+)+\|\n((?:\| `[^\n]*\|\n)+)')


def refresh_page(text: str, chosen: RecordSelection) -> str:
    """Rewrite the rows of every table of results on a page.

    A row is kept for each method in the first column, written as in the report and in backticks; its
    cells are HTER / AUC in percent, means over the seeds that have every split of the protocol. The last cell
    counts these seeds, as `3 / 2` where Protocols 1 and 2 have not as many.

    Args:
        text: Page, Markdown, with at least one table below `HEADER`.
        chosen: Records.

    Returns:
        The page.

    Raises:
        RecordError: If the page has no such table, or names a method that has no record.
    """
    if not _TABLE.search(text):
        raise RecordError(f'there is no table of results; start one with the line {HEADER}')
    complete = chosen.of_complete_seeds()
    names = {shown: name for name, shown in chosen.row_names.items()}

    def rewrite(table: re.Match[str]) -> str:
        head = table.group(0).removesuffix(table.group(2))
        rows = [_row(complete, names, line.split('`')[1]) for line in table.group(2).splitlines()]
        return head + ''.join(f'| {" | ".join(row)} |\n' for row in rows)

    return _TABLE.sub(rewrite, text)


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


def _row(chosen: RecordSelection, names: dict[str, str], short: str) -> list[str]:
    if short not in names:
        raise RecordError(f'no record of `{short}`; there are some of {", ".join(sorted(names))}')
    method = names[short]
    cells = []
    for protocol, column in _COLUMNS:
        pair = [values(chosen, method, protocol, column.splits, name) for name in ('hter', 'auc')]
        cells.append(' / '.join(f'{100 * mean(found):.1f}' for found in pair) if all(pair) else NOT_RUN)
    seeds = dict.fromkeys(str(len(chosen.group(method, protocol, SPLITS[protocol]))) for protocol in (1, 2))
    return [f'`{short}`', *cells, ' / '.join(seeds)]
