"""Features of samples in a plane, coloured by what is known of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH, SERIES_COLOURS, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Shapes of points, which tell groups apart where colours repeat or cannot be seen.
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*')
_PANEL_INCH = 3.6
_LEGEND_ROW_INCH = 0.2
_LEGEND_COLUMNS = 2


def draw_features(
    points: Mapping[str, np.ndarray], groups: Mapping[str, Mapping[str, Sequence[str]]], *, title: str, axis: str
) -> Figure:
    """Draw features in a plane: a row of panels for each feature, a column for each way to colour it.

    Args:
        points: Name of a feature -> points (K, 2).
        groups: What the colour means, such as `'domain'` -> name of a feature -> group of each of its K points.
        title: Title of the figure.
        axis: What the axes are, such as `'t-SNE'`; their units mean nothing.

    Returns:
        The figure. A group has one colour and one shape in the whole column, and the legend stands below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = {kind: sorted({name for own in of.values() for name in own}) for kind, of in groups.items()}
    rows = max(-(-len(own) // _LEGEND_COLUMNS) for own in names.values())
    size = (_PANEL_INCH * len(groups) + 0.3, _PANEL_INCH * len(points) + 0.5 + _LEGEND_ROW_INCH * (rows + 1))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, fontweight='bold')
    heights = [*[_PANEL_INCH] * len(points), _LEGEND_ROW_INCH * rows]
    grid = figure.subplots(len(points) + 1, len(groups), squeeze=False, height_ratios=heights)
    for (*panels, below), (kind, of) in zip(grid.T, groups.items(), strict=True):
        for axes, (feature, places) in zip(panels, points.items(), strict=True):
            dress(axes, f'{feature}, by {kind}', f'{axis} 1', f'{axis} 2')
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_aspect('equal', adjustable='datalim')  # distances mean the same in all directions
            _scatter(axes, places, np.asarray(of[feature]), names[kind])
        # points of every group, also of those that a panel lacks
        handles = [
            panels[0].scatter([], [], s=22, label=name, **point_style(i)) for i, name in enumerate(names[kind])
        ]
        below.set_axis_off()
        below.legend(handles=handles, loc='upper center', ncols=_LEGEND_COLUMNS, fontsize=8, frameon=False)
    return figure


def point_style(index: int) -> dict[str, Any]:
    """Return colour and shape of a group; colours repeat after 7, shapes after 10.

    Args:
        index: Number of the group, from 0.

    >>> point_style(0), point_style(7)['color'] == point_style(0)['color'], point_style(7)['marker']
    ({'color': '#0072B2', 'marker': 'o'}, True, '<')
    """
    return {'color': SERIES_COLOURS[index % len(SERIES_COLOURS)], 'marker': MARKERS[index % len(MARKERS)]}


def _scatter(axes: Axes, places: np.ndarray, of: np.ndarray, names: Sequence[str]) -> None:
    """Draw the groups of one panel, the largest first, so that it hides no other."""
    sizes = {name: int((of == name).sum()) for name in names}
    for name in sorted(names, key=lambda name: -sizes[name]):
        chosen = places[of == name]
        if len(chosen):
            style: dict[str, Any] = point_style(names.index(name))
            axes.scatter(chosen[:, 0], chosen[:, 1], s=14, alpha=0.7, linewidths=0, **style)
