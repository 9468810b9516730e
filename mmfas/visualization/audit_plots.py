"""Figures for an audit: expected performance curves, reliability, and error rates of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmfas.evaluation.functional import Rate, Reliability, epc, reliability
from mmfas.evaluation.functional.calibration import ScoreCalibration
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.subgroups import SubgroupReport
from mmfas.utils.errors import InputError
from mmfas.visualization.style import (
    LIVE_COLOUR,
    SPOOF_COLOUR,
    THRESHOLD_COLOUR,
    add_legend,
    new_figure,
    series_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR_INCH, _FRAME_INCH = 0.3, 1.2
_GAP = 0.6


def plot_epc(tables: Mapping[str, ScoreTable], devs: Mapping[str, ScoreTable]) -> Figure:
    """Draw the expected performance curve of every test set: HTER at the threshold that dev chooses.

    Args:
        tables: Test scores with both classes, by name.
        devs: Dev scores with both classes, by the same names.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no scores, or a class is absent.
        KeyError: If a test set has no dev scores.
    """
    if not tables:
        raise InputError('plot_epc needs at least one score table, got none')
    figure, axes = new_figure(
        'EPC: errors on test at the threshold of dev',
        'price of an accepted attack against a rejected live sample, alpha',
        'HTER on test (%)',
    )
    for index, (name, table) in enumerate(tables.items()):
        dev = devs[name]
        curve = epc((dev.score, dev.is_live), (table.score, table.is_live))
        middle = 100 * float(curve.hter[curve.alphas.size // 2])
        label = f'{name}: {middle:.2f} % at 0.5 (dev {dev.num_live} live, {dev.num_spoof} attacks)'
        axes.plot(curve.alphas, 100 * curve.hter, linewidth=1.8, label=label, **series_style(index))
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def plot_reliability(
    table: ScoreTable, *, name: str = 'test', calibration: ScoreCalibration | None = None
) -> Figure:
    """Draw how often samples of a score are live, and with a calibration those of a probability.

    Args:
        table: Scores in [0, 1].
        name: Name of the test set.
        calibration: Map from scores to probabilities, fitted on dev.

    Returns:
        The figure; the area of a dot is in proportion to its samples.

    Raises:
        ValueError: If a score lies outside [0, 1].
    """
    figure, axes = new_figure(f'Reliability of {name}', 'mean score of the bin', 'live samples of the bin (%)')
    axes.plot([0, 1], [0, 100], color='#999999', linewidth=0.8, linestyle=(0, (4, 4)), label='a probability')
    _dots(axes, reliability(table.score, table.is_live), 'scores', 0)
    if calibration is not None:
        bins = reliability(calibration(table.score), table.is_live)
        _dots(axes, bins, f'{calibration.method}, fitted on dev', 1)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-3, 103)
    add_legend(figure, axes)
    return figure


def _dots(axes: Axes, bins: Reliability, label: str, index: int) -> None:
    """Draw the bins that hold samples."""
    filled = bins.counts > 0
    style = series_style(index)
    x, y = bins.mean_score[filled], 100 * bins.fraction_live[filled]
    axes.plot(x, y, linewidth=1.2, label=f'{label}: ECE {100 * bins.ece:.2f} %', **style)
    sizes = 8 + 160 * bins.counts[filled] / bins.counts.sum()
    axes.scatter(x, y, s=sizes, color=style['color'], alpha=0.7, edgecolors='white', zorder=3)


def plot_subgroups(part: SubgroupReport, *, name: str = 'test') -> Figure:
    """Draw BPCER and pooled APCER of every group, with counts and Wilson intervals.

    Args:
        part: The groups of one column.
        name: Name of the test set.

    Returns:
        The figure.
    """
    figure, axes = new_figure(
        f'Errors of {name} by {part.column}', 'error rate (%), whiskers: 95 % Wilson interval', ''
    )
    kinds: list[tuple[str, str, list[Rate | None]]] = [
        ('BPCER (live)', LIVE_COLOUR, [group.bpcer for group in part.groups]),
        ('APCER pooled (attacks)', SPOOF_COLOUR, [group.apcer_pooled for group in part.groups]),
    ]
    kinds = [kind for kind in kinds if any(kind[2])]
    step = len(kinds) + _GAP
    figure.set_figheight(_FRAME_INCH + _BAR_INCH * step * max(len(part.groups), 2))
    rows = np.arange(len(part.groups)) * step
    for offset, (label, colour, rates) in enumerate(kinds):
        axes.plot([], [], 's', color=colour, alpha=0.75, markersize=8, label=label)
        for row, rate in zip(rows + offset, rates):
            if rate is None:
                continue
            value, ends = 100 * rate.value, rate.interval()
            axes.barh(row, value, height=0.9, color=colour, alpha=0.75)
            whisker = [[value - 100 * ends.low], [100 * ends.high - value]]
            axes.errorbar(value, row, xerr=whisker, color=THRESHOLD_COLOUR, linewidth=1.2, capsize=3)
            place = (100 * ends.high, row)
            axes.annotate(f' {rate}', place, xytext=(4, 0), textcoords='offset points', va='center', fontsize=8)
    axes.set_yticks(rows + (len(kinds) - 1) / 2, [group.name for group in part.groups])
    axes.invert_yaxis()
    axes.set_xlim(0, 114)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis='y', visible=False)
    add_legend(figure, axes, num_columns=2)
    return figure
