"""Cells and tables of text: percentages, intervals, a terminal table and a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from mmfas.evaluation.functional import Interval, Rate

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


def p_value(value: float) -> str:
    """Return a p value with four digits; never as zero, which none is.

    >>> p_value(0.0312), p_value(1e-9)
    ('0.0312', '<0.0001')
    """
    return '<0.0001' if value < 0.00005 else f'{value:.4f}'


def percent_interval(interval: Interval | None) -> str:
    """Return an interval in percent.

    Args:
        interval: Interval of a rate, or None.

    Returns:
        Text such as `'[1.20, 3.40]'`; empty for None.
    """
    return '' if interval is None else f'[{100 * interval.low:.2f}, {100 * interval.high:.2f}]'


def rate_dict(rate: Rate) -> dict[str, Any]:
    """Return a rate as plain values.

    Args:
        rate: Errors over total.

    Returns:
        `value`, `errors`, `total` and the Wilson ends `low` and `high`.
    """
    interval = rate.interval()
    return {
        'value': rate.value,
        'errors': rate.errors,
        'total': rate.total,
        'low': interval.low,
        'high': interval.high,
    }


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


NOT_RUN = 'not run'


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and half width of its 95 % interval (Student's t over the seeds; 0 for one value).

    >>> mean_interval([0.5, 0.5, 0.5])
    (0.5, 0.0)
    """
    from scipy.stats import t

    if len(values) < 2:
        return mean(values), 0.0
    return mean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5


def percent_cell(values: Sequence[float]) -> str:
    """Return a cell such as `93.10 ± 0.52` (percent), or 'not run'."""
    if not values:
        return NOT_RUN
    centre, half = mean_interval(values)
    return f'{100 * centre:.2f} ± {100 * half:.2f}' if len(values) > 1 else f'{100 * centre:.2f}'
