"""The report as one HTML page that needs nothing else: tables, curves and bars, figures inside as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mmfas.benchmark.last_epochs import all_tables
from mmfas.benchmark.plan import SPLITS, Protocol, in_order, is_shown, title_of
from mmfas.benchmark.record import Record
from mmfas.benchmark.records import Folders, load_scores
from mmfas.benchmark.tables import TITLES, RecordSelection, Table
from mmfas.evaluation import ScoreTable, Threshold
from mmfas.visualization.html import figure_html, page_html, sentences_html, table_html
from mmfas.visualization.method_plots import plot_pai_comparison
from mmfas.visualization.score_plots import plot_det, plot_roc

#: Columns of names; the others hold numbers.
_TEXT_COLUMNS = ('split', 'method')


def html_report(
    chosen: RecordSelection,
    protocols: Sequence[Protocol],
    records: Folders,
    *,
    facts: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return the report as HTML.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.
        records: Folders of the records, for their scores.
        facts: Where the numbers come from, one sentence each.
        notes: How to read them, one sentence each.

    Returns:
        The page; it loads nothing from elsewhere.

    Raises:
        RecordError: If scores are missing or have changed.
    """
    parts = [sentences_html(facts), sentences_html([*notes, *_without_scores(chosen, protocols)])]
    for protocol in in_order(protocols):
        overview, details, *more = all_tables(chosen, [protocol])
        parts += [f'<h2>{escape(TITLES[protocol])}</h2>', _table(overview), *map(_table, more)]
        parts += [f'<details><summary>Every split</summary>{_table(details)}</details>']
        parts += _figures(chosen, protocol, records)
    if chosen.left_out:
        parts += ['<h2>Records that were left out</h2>', sentences_html(chosen.left_out)]
    return page_html('mmfas benchmark', 'Benchmark', '\n'.join(parts))


def _table(table: Table) -> str:
    """Return a table of the benchmark."""
    return table_html(table.header, table.rows, caption=table.caption, note=table.note, text_columns=_TEXT_COLUMNS)


def _without_scores(chosen: RecordSelection, protocols: Sequence[Protocol]) -> list[str]:
    """State the number of cells that cannot have curves."""
    lost = [record for record in chosen.records if is_shown(record.cell, protocols) and not record.has_scores]
    if not lost:
        return []
    return [f'The scores of {len(lost)} cells were not kept when they were packed; they have no curves here.']


def _figures(chosen: RecordSelection, protocol: Protocol, records: Folders) -> Iterator[str]:
    """Yield ROC, DET and error bars of every split that has scores, of each method's first seed."""
    for split in SPLITS[protocol]:
        first = _first_seeds(chosen, protocol, split)
        shown = {name: record for name, record in first.items() if record.has_scores}
        if not shown:
            continue
        tables: dict[str, ScoreTable] = {name: load_scores(records, record) for name, record in shown.items()}
        thresholds = {name: _threshold(record) for name, record in shown.items()}
        title = title_of(split)
        seeds = ', '.join(sorted({str(record.seed) for record in shown.values()}))
        is_open = '' if protocol in (2, '2s') else ' open'
        yield f'<details{is_open}><summary>{escape(title)}: curves and errors</summary>'
        yield '<div class="figures">'
        yield figure_html(plot_roc(tables, thresholds=thresholds), f'ROC, {title}, seed {seeds}')
        yield figure_html(plot_det(tables, thresholds=thresholds), f'DET, {title}, seed {seeds}')
        yield figure_html(
            plot_pai_comparison(tables, thresholds=thresholds), f'Attack kinds, {title}, seed {seeds}'
        )
        yield '</div></details>'


def _first_seeds(chosen: RecordSelection, protocol: Protocol, split: str) -> dict[str, Record]:
    """Return each method's record of its lowest seed, by the name for tables."""
    groups = ((name, chosen.group(method, protocol, (split,))) for method, name in chosen.row_names.items())
    return {name: next(iter(group.values()))[0] for name, group in groups if group}


def _threshold(record: Record) -> Threshold:
    return Threshold(record.report['threshold']['value'], record.report['threshold']['origin'])
