"""The report as one HTML page that needs nothing else: tables, curves and bars, figures inside as data."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from mmfas.benchmark.last_epochs import all_tables
from mmfas.benchmark.plan import SPLITS, title_of
from mmfas.benchmark.record import Record
from mmfas.benchmark.records import Folders, load_scores
from mmfas.benchmark.tables import TITLES, RecordSelection, Table
from mmfas.evaluation import ScoreTable, Threshold
from mmfas.evaluation.tables import NOT_RUN
from mmfas.visualization.method_plots import plot_pai_comparison
from mmfas.visualization.score_plots import plot_det, plot_roc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 95
_NUM_COLOURS = 64
#: Columns of names; the others hold numbers.
_TEXT_COLUMNS = ('split', 'method')
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;margin:.6rem 0 1.4rem}caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right;font-variant-numeric:tabular-nums}
td{white-space:nowrap}.text{text-align:left}thead th{border-bottom:2px solid #555;vertical-align:bottom}
tbody tr:hover{background:#f2f6fa}.none{color:#999}.wide{overflow-x:auto}
.figures{display:grid;gap:.6rem;grid-template-columns:minmax(0,max-content);align-items:start}
@media(min-width:80rem){.figures{grid-template-columns:repeat(2,minmax(0,max-content))}
.figures figure:nth-child(3){grid-column:2;grid-row:1/span 2}}
figure{margin:0}figcaption{font-size:.85rem;color:#555}
code{font-size:.92em;background:#f3f3f3;padding:0 .2em}
img{max-width:100%;height:auto}summary{cursor:pointer;font-weight:600;padding:.3rem 0}
"""


def html_report(
    chosen: RecordSelection,
    protocols: Sequence[int],
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
    parts = [_list(facts), _list([*notes, *_without_scores(chosen, protocols)])]
    for protocol in sorted(set(protocols)):
        overview, details, *more = all_tables(chosen, [protocol])
        parts += [f'<h2>{escape(TITLES[protocol])}</h2>', _table(overview), *map(_table, more)]
        parts += [f'<details><summary>Every split</summary>{_table(details)}</details>']
        parts += _figures(chosen, protocol, records)
    if chosen.left_out:
        parts += ['<h2>Records that were left out</h2>', _list(chosen.left_out)]
    body = '\n'.join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>mmfas benchmark</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f'<body><h1>Benchmark</h1>\n{body}\n</body></html>\n'
    )


def _list(items: Sequence[str]) -> str:
    """Return sentences as a list; text between backticks becomes code."""
    texts = (re.sub('`([^`]*)`', r'<code>\1</code>', escape(item)) for item in items)
    return f'<ul>{"".join(f"<li>{text}</li>" for text in texts)}</ul>'


def _table(table: Table) -> str:
    """Return a table; names are aligned left, numbers right, and cells that were not run are grey."""
    head = ''.join(f'<th{_class(name)}>{escape(name)}</th>' for name in table.header)
    rows = [''.join(map(_cell, table.header, row)) for row in table.rows]
    body = '\n'.join(f'<tr>{row}</tr>' for row in rows)
    caption = f'<caption>{escape(table.caption)}</caption>'
    note = f'<p>{escape(table.note)}</p>' if table.note else ''
    shown = f'<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    return f'<div class="wide">{shown}{note}</div>'


def _class(column: str) -> str:
    return ' class="text"' if column in _TEXT_COLUMNS else ''


def _cell(column: str, text: str) -> str:
    """Return one cell; of two numbers with intervals, the second goes on a new line."""
    if text == NOT_RUN:
        return f'<td class="none">{text}</td>'
    shown = escape(text)
    return f'<td{_class(column)}>{shown.replace(" / ", " /<br>") if "±" in text else shown}</td>'


def _without_scores(chosen: RecordSelection, protocols: Sequence[int]) -> list[str]:
    """State the number of cells that cannot have curves."""
    lost = [record for record in chosen.records if record.protocol in protocols and not record.has_scores]
    if not lost:
        return []
    return [
        f'The scores of {len(lost)} cells were not kept when they were packed: a later version of their data '
        'superseded them; they have no curves here.'
    ]


def _figures(chosen: RecordSelection, protocol: int, records: Folders) -> Iterator[str]:
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
        yield f'<details{" open" if protocol != 2 else ""}><summary>{escape(title)}: curves and errors</summary>'
        yield '<div class="figures">'
        yield _figure(plot_roc(tables, thresholds=thresholds), f'ROC, {title}, seed {seeds}')
        yield _figure(plot_det(tables, thresholds=thresholds), f'DET, {title}, seed {seeds}')
        yield _figure(plot_pai_comparison(tables, thresholds=thresholds), f'Attack kinds, {title}, seed {seeds}')
        yield '</div></details>'


def _first_seeds(chosen: RecordSelection, protocol: int, split: str) -> dict[str, Record]:
    """Return each method's record of its lowest seed, by the name for tables."""
    groups = ((name, chosen.group(method, protocol, (split,))) for method, name in chosen.row_names.items())
    return {name: next(iter(group.values()))[0] for name, group in groups if group}


def _threshold(record: Record) -> Threshold:
    return Threshold(record.report['threshold']['value'], record.report['threshold']['origin'])


def _figure(figure: Figure, caption: str) -> str:
    """Return a figure with its picture inside, in few colours: a third of the size."""
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format='png', dpi=_DOTS_PER_INCH)
    Image.open(drawn).convert('RGB').quantize(_NUM_COLOURS).save(packed, format='png', optimize=True)
    data = base64.b64encode(packed.getvalue()).decode()
    alt = escape(caption, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
        f'<figcaption>{escape(caption)}</figcaption></figure>'
    )
