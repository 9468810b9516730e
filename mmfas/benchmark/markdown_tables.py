"""Rows of results on pages written by hand: found by their header, rewritten from records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mmfas.benchmark.differences import BEGINNINGS, differences, sentence
from mmfas.benchmark.plan import SPLITS, Protocol, in_order
from mmfas.benchmark.record import RecordError
from mmfas.benchmark.tables import Column, RecordSelection, columns_of, values
from mmfas.evaluation.tables import NOT_RUN, mean_interval
from mmfas.utils.files import write_atomically


@dataclass(frozen=True)
class PageTable:
    """A kind of table that `refresh_page` fills; its header is how it is found.

    Args:
        measures: Error and AUC, each a measure of `mmfas.benchmark.tables.values`.
        columns: Columns, each with the protocol of its splits.
        corner: Title of the first column, which says what the cells are.
        with_intervals: Whether cells have the half width of the 95 % interval over the seeds.
    """

    measures: tuple[str, str]
    columns: tuple[tuple[Protocol, Column], ...]
    corner: str = 'method'
    with_intervals: bool = False

    @property
    def header(self) -> str:
        """First line of the table."""
        return f'| {self.corner} | {" | ".join(column.title for _, column in self.columns)} | seeds |'

    @property
    def protocols(self) -> list[Protocol]:
        """Protocols of the columns."""
        return in_order(protocol for protocol, _ in self.columns)

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the table on a page; its second group is the rows."""
        return re.compile(re.escape(self.header) + r'\n(\|[ -]+)+\|\n((?:\| `[^\n]*\|\n)+)')

    def cell(self, numbers: Sequence[Sequence[float]]) -> str:
        """Return the text of a cell.

        Args:
            numbers: Errors and AUCs of the seeds, in [0, 1].
        """
        if not all(numbers):
            return NOT_RUN
        return ' / '.join(self._percent(found) for found in numbers)

    def _percent(self, found: Sequence[float]) -> str:
        centre, half = mean_interval(found)
        interval = f' ± {100 * half:.1f}' if self.with_intervals and len(found) > 1 else ''
        return f'{100 * centre:.1f}{interval}'


#: Live videos of the target that set the thresholds of the tables at the site.
SITE_VIDEOS = 5
_AT_DEV = ('hter', 'auc')
_AT_SITE = (f'site_hter_{SITE_VIDEOS}', 'auc')
#: At the dev threshold Protocols 1 and 2 side by side, and the sweep; at that of the site Protocols 1 and 2.
RESULTS = PageTable(
    _AT_DEV, tuple((protocol, column) for protocol in (1, 2) for column in columns_of(protocol))[:-1]
)
SWEEP = PageTable(_AT_DEV, tuple(('2s', column) for column in columns_of('2s')))
SITE_RESULTS, SITE_MISSING = (
    PageTable(
        _AT_SITE,
        tuple((protocol, column) for column in columns_of(protocol)),
        corner=f'HTER %, site ({SITE_VIDEOS} live videos) / AUC %',
        with_intervals=True,
    )
    for protocol in (1, 2)
)
_TABLES = (RESULTS, SWEEP, SITE_RESULTS, SITE_MISSING)
_SENTENCE = re.compile(rf'^(?:{"|".join(map(re.escape, BEGINNINGS))}).*$', re.MULTILINE)


def refresh_page(text: str, chosen: RecordSelection) -> str:
    """Rewrite the rows of every table of results on a page.

    A row is kept for each method in the first column, written as in the report and in backticks; its
    cells are HTER / AUC in percent, means over the seeds that have every split of the protocol. The last cell
    counts these seeds, as `3 / 2` where Protocols 1 and 2 have not as many. A line that begins like `sentence`
    of `mmfas.benchmark.differences` says which differences between the rows of `SITE_RESULTS` are real.

    Args:
        text: Page, Markdown, with at least one table of `RESULTS`, `SWEEP`, `SITE_RESULTS` or `SITE_MISSING`.
        chosen: Records.

    Returns:
        The page.

    Raises:
        RecordError: If the page has no such table, or names a method that has no record.
    """
    if not any(table.pattern().search(text) for table in _TABLES):
        listed = '\n'.join(table.header for table in _TABLES)
        raise RecordError(f'there is no table of results; start one with one of the lines\n{listed}')
    complete = chosen.of_complete_seeds()
    names = {shown: name for name, shown in chosen.row_names.items()}

    def rewrite(found: re.Match[str], table: PageTable) -> str:
        head = found.group(0).removesuffix(found.group(2))
        rows = [_row(complete, names, line.split('`')[1], table) for line in found.group(2).splitlines()]
        return head + ''.join(f'| {" | ".join(row)} |\n' for row in rows)

    for table in _TABLES:
        text = table.pattern().sub(partial(rewrite, table=table), text)
    return _SENTENCE.sub(lambda _: sentence(differences(_shown(text, chosen), 1, SITE_RESULTS.measures[0])), text)


def _shown(text: str, chosen: RecordSelection) -> RecordSelection:
    """Return the records of the methods in the table at the threshold of the site, the only ones compared."""
    found = SITE_RESULTS.pattern().search(text)
    shown = {line.split('`')[1] for line in found[2].splitlines()} if found else set()
    wanted = {name for name, row in chosen.row_names.items() if row in shown}
    records = tuple(record for record in chosen.records if record.method in wanted)
    collections = {name: chosen.collections[name] for name in chosen.collections if name in wanted}
    return replace(chosen, records=records, collections=collections)


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


def _row(chosen: RecordSelection, names: dict[str, str], short: str, table: PageTable) -> list[str]:
    if short not in names:
        raise RecordError(f'no record of `{short}`; there are some of {", ".join(sorted(names))}')
    method = names[short]
    cells = [
        table.cell([values(chosen, method, protocol, column.splits, measure) for measure in table.measures])
        for protocol, column in table.columns
    ]
    seeds = dict.fromkeys(
        str(len(chosen.group(method, protocol, SPLITS[protocol]))) for protocol in table.protocols
    )
    return [f'`{short}`', *cells, ' / '.join(seeds)]
