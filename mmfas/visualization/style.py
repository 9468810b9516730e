"""One look for every figure: size, palette, drawing and saving through matplotlib's object interface."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.utils.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_SIZE_INCH = (6.4, 4.8)
DOTS_PER_INCH = 150

#: Okabe and Ito's palette, which every kind of colour vision can distinguish. Live is always blue, attacks
#: vermilion.
LIVE_COLOUR = '#0072B2'
SPOOF_COLOUR = '#D55E00'
THRESHOLD_COLOUR = '#333333'
SERIES_COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
SERIES_STYLES = ('-', '--', '-.', ':')

#: Between axes and legend, for ticks and the label of the axis.
_LEGEND_GAP_INCH = 0.5
_LEGEND_ROW_INCH = 0.18


def new_figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes in the house style.

    Nothing global is touched: no pyplot, no current figure, no change of rcParams.

    Args:
        title: Title over the axes.
        xlabel: Label of the horizontal axis, with unit.
        ylabel: Label of the vertical axis, with unit.

    Returns:
        The figure and its axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=FIGURE_SIZE_INCH, dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    dress(axes, title, xlabel, ylabel)
    return figure, axes


def dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Give axes the house style.

    Args:
        axes: The axes, changed in place.
        title: Title over them.
        xlabel: Label of the horizontal axis, with unit.
        ylabel: Label of the vertical axis, with unit.
    """
    axes.set_title(title, loc='left', fontsize=11, fontweight='bold')
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)


def series_style(index: int) -> dict[str, Any]:
    """Return colour and line style of the series with this number; both repeat, their pairs much later.

    Args:
        index: Number of the series, from 0.

    Returns:
        Keywords for `Axes.plot`.
    """
    return {
        'color': SERIES_COLOURS[index % len(SERIES_COLOURS)],
        'linestyle': SERIES_STYLES[index % len(SERIES_STYLES)],
    }


def add_legend(figure: Figure, axes: Axes, *, num_columns: int = 1) -> None:
    """Add a legend below the axes, where it hides no curve; the axes keep their size.

    Args:
        figure: The figure, with a constrained layout.
        axes: Its only axes, with labelled series.
        num_columns: Columns of the legend.
    """
    below = _LEGEND_GAP_INCH / axes.get_position().height / figure.get_figheight()
    legend = axes.legend(
        loc='upper center', bbox_to_anchor=(0.5, -below), ncols=num_columns, fontsize=8, frameon=False
    )
    num_rows = -(-len(legend.get_texts()) // num_columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW_INCH * num_rows)


def save_figure(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write a figure as PNG.

    Args:
        figure: The figure.
        path: File to write; missing folders are made.

    Returns:
        The path.
    """
    with atomic_file(path) as stream:
        figure.savefig(stream, format='png')
    return Path(path)
