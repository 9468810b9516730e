"""Parts of an HTML page that needs nothing else: tables, sentences, figures and pictures inside as data."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mmfas.evaluation.tables import NOT_RUN, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ['figure_html', 'page_html', 'picture_html', 'sentences_html', 'table_html']

_DOTS_PER_INCH = 95
_NUM_COLOURS = 64
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


def page_html(title: str, heading: str, body: str, *, style: str = '') -> str:
    """Return a page; it loads nothing from elsewhere and runs nothing.

    Args:
        title: Title of the window.
        heading: First line.
        body: HTML of the rest.
        style: Rules added to those of every page.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{style}</style></head>\n'
        f'<body><h1>{escape(heading)}</h1>\n{body}\n</body></html>\n'
    )


def sentences_html(items: Sequence[str]) -> str:
    """Return sentences as a list; text between backticks becomes code.

    Args:
        items: The sentences.
    """
    texts = (re.sub('`([^`]*)`', r'<code>\1</code>', escape(item)) for item in items)
    return f'<ul>{"".join(f"<li>{text}</li>" for text in texts)}</ul>'


def table_html(
    header: Sequence[str], rows: Sequence[Row], *, caption: str, note: str = '', text_columns: Collection[str] = ()
) -> str:
    """Return a table; names are aligned left, numbers right, and cells that were not run are grey.

    Args:
        header: Column names.
        rows: Cells, one tuple per row.
        caption: Line above.
        note: Paragraph below.
        text_columns: Columns of names.
    """
    head = ''.join(f'<th{_class(name, text_columns)}>{escape(name)}</th>' for name in header)
    lines = [''.join(_cell(name, text, text_columns) for name, text in zip(header, row)) for row in rows]
    body = '\n'.join(f'<tr>{line}</tr>' for line in lines)
    below = f'<p>{escape(note)}</p>' if note else ''
    shown = (
        f'<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    )
    return f'<div class="wide">{shown}{below}</div>'


def _class(column: str, text_columns: Collection[str]) -> str:
    return ' class="text"' if column in text_columns else ''


def _cell(column: str, text: str, text_columns: Collection[str]) -> str:
    """Return one cell; of two numbers with intervals, the second goes on a new line."""
    if text == NOT_RUN:
        return f'<td class="none">{text}</td>'
    shown = escape(text)
    return f'<td{_class(column, text_columns)}>{shown.replace(" / ", " /<br>") if "±" in text else shown}</td>'


def figure_html(figure: Figure, caption: str) -> str:
    """Return a figure with its picture inside, in few colours: a third of the size.

    Args:
        figure: The figure.
        caption: Line below, also for those who cannot see it.
    """
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format='png', dpi=_DOTS_PER_INCH)
    return _as_figure(Image.open(drawn).convert('RGB').quantize(_NUM_COLOURS), caption, 'png')


def picture_html(picture: np.ndarray, caption: str) -> str:
    """Return a photograph with its picture inside, as JPEG.

    Args:
        picture: (H, W, 3), uint8, RGB.
        caption: Line below.
    """
    from PIL import Image

    return _as_figure(Image.fromarray(picture), caption, 'jpeg')


def _as_figure(picture: Image, caption: str, kind: str) -> str:
    packed = io.BytesIO()
    picture.save(packed, format=kind, optimize=True)
    data = base64.b64encode(packed.getvalue()).decode()
    return (
        f'<figure><img alt="{escape(caption, quote=True)}" src="data:image/{kind};base64,{data}">'
        f'<figcaption>{escape(caption)}</figcaption></figure>'
    )
