"""Saliency over the pictures of a sample.

Legend: M modalities, h x w positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH
from mmfas.visualization.uncertainty_plots import COLOUR_MAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_saliency(
    pictures: np.ndarray,
    modalities: Sequence[str],
    maps: np.ndarray,
    *,
    present: Sequence[bool],
    title: str,
    is_comparable: bool = True,
) -> Figure:
    """Draw the pictures of one sample and, below, where the model looks.

    All maps have one scale, from 0 to the largest value of any of them, so that modalities can be compared. The
    map of an absent picture is left out.

    Args:
        pictures: Images (M, H, W, 3), uint8.
        modalities: Their names, M of them.
        maps: Saliency (M, h, w), 0 or more.
        present: Which pictures the sample has, M of them.
        title: Title of the figure.
        is_comparable: Write over each map how much of all saliency it has.

    Returns:
        The figure: a row of pictures and a row of maps over the grey pictures.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num, (height, width) = len(pictures), pictures.shape[1:3]
    figure = Figure(figsize=(2 * num + 1.2, 4.6), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9, fontweight='bold')
    top, below = figure.subplots(2, num, squeeze=False)
    extent = (0, width, height, 0)
    highest = float(maps.max()) or 1.0
    heat = None
    for m, name in enumerate(modalities):
        top[m].imshow(pictures[m], extent=extent)
        top[m].set_title(name if present[m] else f'{name}: absent', fontsize=8)
        if present[m]:
            below[m].imshow(pictures[m].mean(-1), extent=extent, cmap='gray', vmin=0, vmax=255)
            heat = below[m].imshow(
                maps[m] / highest,
                extent=extent,
                cmap=COLOUR_MAP,
                alpha=0.65,
                vmin=0,
                vmax=1,
                interpolation='bilinear',
            )
            part = float(maps[m].sum() / (maps.sum() or 1))
            if is_comparable:
                below[m].set_title(f'{part:.0%} of the saliency', fontsize=8)
        for axes in (top[m], below[m]):
            axes.set_axis_off()
    if heat is not None:
        figure.colorbar(heat, ax=[*top, *below], label='saliency, largest = 1', fraction=0.05)
    return figure
