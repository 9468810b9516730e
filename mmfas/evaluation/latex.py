"""Tables for papers: LaTeX with booktabs, the best value of a column in bold, intervals small."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from mmfas.evaluation.tables import Row

__all__ = ['escape_latex', 'latex_comment', 'latex_table']

_SYMBOLS = {
    '±': 'pm',
    '→': 'to',
    '≤': 'le',
    '≥': 'ge',
    '≠': 'ne',
    '≈': 'approx',
    '∞': 'infty',
    '×': 'times',
    'α': 'alpha',
    'β': 'beta',
    'γ': 'gamma',
    'Δ': 'Delta',
    'μ': 'mu',
    'σ': 'sigma',
}
_SPECIAL = {
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '−': '$-$',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    **{char: f'\\{char}' for char in '&%$#_{}'},
    **{char: f'$\\{name}$' for char, name in _SYMBOLS.items()},
}
#: What pdfLaTeX prints as it stands, in its default encoding: letters of western and central Europe, and signs.
_PRINTABLE = re.compile(
    '[\\s\x21-\x7e\xa0-\xff\u0100-\u0103\u0106-\u010f\u0112-\u0117\u011a-\u0125\u0128-\u012d\u0130-\u0137\u0139-\u013e'
    '\u0141-\u0148\u014c-\u0165\u0168-\u0171\u0174-\u017e–—‘’“”…•†‡™←→€]'
)
_NOT_PRINTABLE = frozenset('«»ÐÞðþ')
#: A number at the start of a cell; what follows is its interval or another remark.
_NUMBER = re.compile(r'([+-]?\d+(?:\.\d+)?)(?!\s*[\d/.])(.*)', re.DOTALL)
#: A name that stands where numbers stand, as the mean over the others.
_NOT_RANKED = ('mean',)


def escape_latex(text: str) -> str:
    r"""Return text as LaTeX prints it.

    Args:
        text: Any text.

    >>> escape_latex('APCER_max 5 %')
    'APCER\\_max 5 \\%'
    """
    # an empty line would end the paragraph, which a cell cannot; two hyphens would print as one dash
    plain = ''.join(_SPECIAL.get(char, char) for char in re.sub(r'\s+', ' ', text))
    return re.sub('-(?=-)', '-{}', plain)


def latex_comment(text: str) -> str:
    r"""Return text as a comment, on one line whatever a name holds.

    Args:
        text: Any text.

    >>> latex_comment('a\nb')
    '% a b'
    """
    return f'% {" ".join(text.split())}'


def _foreign(cells: Iterable[str]) -> str:
    """Return a comment on characters that pdfLaTeX cannot print; empty if there are none."""
    chars = {char for text in cells for char in text if char not in _SPECIAL}
    foreign = sorted(char for char in chars if char in _NOT_PRINTABLE or not _PRINTABLE.match(char))
    if not foreign:
        return ''
    return f'% pdfLaTeX does not print {" ".join(foreign)}: use XeLaTeX or LuaLaTeX with a font that has them.\n'


def latex_table(
    header: Sequence[str], rows: Sequence[Row], *, best: Mapping[str, Literal['min', 'max']] | None = None
) -> str:
    r"""Return a `tabular` for `\usepackage{booktabs}`.

    Args:
        header: Column names.
        rows: Cells, one tuple per row. A number comes first in its cell; what follows it is printed small.
        best: Column -> whether its lowest or its highest number is the best and printed bold; ties all are.

    Returns:
        The table, first column left, the others right; before it, a comment on characters that pdfLaTeX lacks.

    Example:
        >>> rows = [('A', '3.10 [2.00, 4.00]'), ('B', '5.00')]
        >>> print(latex_table(('system', 'HTER'), rows, best={'HTER': 'min'}))
        \begin{tabular}{lr}
        \toprule
        system & HTER \\
        \midrule
        A & \textbf{3.10} {\scriptsize [2.00, 4.00]} \\
        B & 5.00 \\
        \bottomrule
        \end{tabular}
    """
    winners = {name: _winner(header, rows, name, rule) for name, rule in (best or {}).items() if name in header}
    lines = [' & '.join([_first(header[0]), *map(escape_latex, header[1:])]), r'\midrule']
    for row in rows:
        is_ranked = row[0] not in _NOT_RANKED
        cells = [_cell(text, winners.get(name) if is_ranked else None) for name, text in zip(header, row)]
        lines.append(' & '.join([_first(row[0]), *cells[1:]]))
        if not is_ranked:
            lines.insert(-1, r'\midrule')
    body = '\n'.join(line if line.startswith('\\midrule') else f'{line} \\\\' for line in lines)
    columns = 'l' + 'r' * (len(header) - 1)
    remark = _foreign(text for row in (header, *rows) for text in row)
    return f'{remark}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}'


def _first(text: str) -> str:
    """Return the first cell of a row, shielded from the rule before it, which would take `[...]` for itself."""
    return f'{{}}{escape_latex(text)}' if text.startswith(('[', '*')) else escape_latex(text)


def _signed(text: str) -> str:
    """Return text with minus signs instead of hyphens before numbers."""
    return re.sub(r'(?<![\w.])-(?=\d)', '$-$', escape_latex(text))


def _winner(header: Sequence[str], rows: Sequence[Row], name: str, rule: str) -> str | None:
    """Return the best number of a column as it is written."""
    place = list(header).index(name)
    matches = (_NUMBER.match(row[place]) for row in rows if row[0] not in _NOT_RANKED)
    found = [match[1] for match in matches if match]
    if len(found) < 2:
        return None
    return (min if rule == 'min' else max)(found, key=float)


def _cell(text: str, winner: str | None) -> str:
    """Return one cell, its number bold if it is the best one and what follows it small."""
    match = _NUMBER.match(text)
    if match is None:
        return _signed(text)
    number, rest = match[1], match[2].strip()
    shown = _signed(number)
    if winner is not None and float(number) == float(winner):
        shown = f'\\textbf{{{shown}}}'
    if rest.startswith('±'):
        return f'{shown} {escape_latex(rest)}'
    return shown + (f' {{\\scriptsize {_signed(rest)}}}' if rest else '')
