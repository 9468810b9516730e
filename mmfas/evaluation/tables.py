"""Cells and tables of text: percentages, intervals, a terminal table and a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from mmfas.evaluation.functional import Interval

Row = tuple[str, ...]


def percent(value: float | None, absent: str = '') -> str:
    """Return a rate in percent with two digits.

    Args:
        value: Rate in [0, 1], or None.
        absent: Why there is none.

    Returns:
        Text without the percent sign.

    Example:
        >>> percent(0.2067), percent(None, 'no live samples')
        ('20.67', 'n/a (no live samples)')
    """
    if value is None:
        return f'n/a ({absent})' if absent else 'n/a'
    return f'{100 * value:.2f}'


def percent_interval(interval: Interval | None) -> str:
    """Return an interval in percent.

    Args:
        interval: Interval of a rate, or None.

    Returns:
        Text such as `'[1.20, 3.40]'`; empty for None.
    """
    return '' if interval is None else f'[{100 * interval.low:.2f}, {100 * interval.high:.2f}]'


def text_table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table for a terminal.

    Args:
        header: Column names.
        rows: Cells, one tuple per row.

    Returns:
        The table, first column left, the others right.
    """
    from prettytable import PrettyTable

    table = PrettyTable(list(header))
    table.align = 'r'
    table.align[header[0]] = 'l'
    table.add_rows([list(row) for row in rows])
    return str(table.get_string())


def markdown_table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a Markdown table.

    Args:
        header: Column names.
        rows: Cells, one tuple per row.

    Returns:
        The table, first column left, the others right.

    Example:
        >>> print(markdown_table(('a', 'b'), [('x', '1')]))
        | a | b |
        | :--- | ---: |
        | x | 1 |
    """
    lines = [tuple(header), (':---', *('---:' for _ in header[1:])), *rows]
    return '\n'.join(f'| {" | ".join(cell.replace("|", "/") for cell in line)} |' for line in lines)
