"""Figures that set methods side by side on one test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmfas.evaluation.functional import Rate, Threshold, apcer, bpcer
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError
from mmfas.visualization.style import THRESHOLD_COLOUR, new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Height of a figure per bar, and what title and axis take.
_BAR_INCH, _FRAME_INCH = 0.16, 1.2
_GAP = 0.8
_LIVE = 'live'


def plot_pai_comparison(tables: Mapping[str, ScoreTable], *, thresholds: Mapping[str, Threshold]) -> Figure:
    """Draw BPCER and APCER of every instrument for several methods, with Wilson intervals.

    Args:
        tables: Scores of one test set by method, at least one.
        thresholds: Threshold of every method: accept if score >= threshold.

    Returns:
        The figure; one group of bars per error rate, one colour per method.

    Raises:
        ValueError: If there are no scores.
        KeyError: If a method has no threshold.
    """
    if not tables:
        raise InputError('plot_pai_comparison needs at least one score table, got none')
    rates = {name: _rates(table, thresholds[name]) for name, table in tables.items()}
    groups = sorted({group for own in rates.values() for group in own}, key=lambda name: (name != _LIVE, name))
    origins = ', '.join(sorted({thresholds[name].origin for name in tables}))
    figure, axes = new_figure(
        f'Errors at threshold: {origins}', 'error rate (%), whiskers: 95 % Wilson interval', ''
    )
    figure.set_figheight(_FRAME_INCH + _BAR_INCH * (len(rates) + _GAP) * len(groups) + _BAR_INCH * len(rates))
    for index, (name, own) in enumerate(rates.items()):
        rows = [groups.index(group) * (len(rates) + _GAP) + index for group in own]
        values = [100 * rate.value for rate in own.values()]
        ends = [rate.interval() for rate in own.values()]
        whiskers = (
            [value - 100 * end.low for value, end in zip(values, ends, strict=True)],
            [100 * end.high - value for value, end in zip(values, ends, strict=True)],
        )
        axes.barh(rows, values, height=0.9, color=series_style(index)['color'], alpha=0.75, label=name)
        axes.errorbar(values, rows, xerr=whiskers, fmt='none', color=THRESHOLD_COLOUR, linewidth=0.9, capsize=2)
    middles = [number * (len(rates) + _GAP) + (len(rates) - 1) / 2 for number in range(len(groups))]
    axes.set_yticks(
        middles, [_label(group, [own[group].total for own in rates.values() if group in own]) for group in groups]
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis='y', visible=False)
    figure.legend(loc='outside lower center', ncols=2, fontsize=8)
    return figure


def _rates(table: ScoreTable, threshold: Threshold) -> dict[str, Rate]:
    """Return the error rates of one method by instrument, that of live samples by `'live'`."""
    rates = {}
    if table.num_live:
        rates[_LIVE] = bpcer(table.score, table.is_live, threshold=threshold)
    if table.num_spoof:
        attacks = apcer(table.score, table.is_live, table.pai, threshold=threshold)
        rates.update(attacks.per_pai)
    return rates


def _label(group: str, totals: list[int]) -> str:
    """Return the label of the bars of one rate; methods that lost samples have fewer than others."""
    low, high = min(totals), max(totals)
    count = f'{low}' if low == high else f'{low} to {high}'
    return f'BPCER (live, {count})' if group == _LIVE else f'APCER {group} ({count})'
