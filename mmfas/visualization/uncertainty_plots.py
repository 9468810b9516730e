"""Heat maps of uncertainty over the pictures of a sample.

Legend: M modalities, N blocks, h x w patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR_MAP = 'inferno'


def draw_uncertainty(
    pictures: np.ndarray,
    modalities: Sequence[str],
    confidence: np.ndarray,
    *,
    present: Sequence[bool],
    blocks: Sequence[int],
    title: str,
) -> Figure:
    """Draw the pictures of one sample and, below, how unsure the model is where, block by block.

    All maps have one scale, from the least to the most uncertain patch drawn, so that modalities and blocks can
    be compared. The map of an absent picture is left out: it shows nothing but the fill.

    Args:
        pictures: Images (M, H, W, 3), uint8.
        modalities: Their names, M of them.
        confidence: Confidence U in every patch, in each block (N, M, h, w), in (0, 1]; 1 - U is drawn.
        present: Which pictures the sample has, M of them.
        blocks: Numbers of the blocks to draw, from 0.
        title: Title of the figure.

    Returns:
        The figure: a row of pictures, and a row for each block.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num, (height, width) = len(pictures), pictures.shape[1:3]
    figure = Figure(figsize=(2 * num + 1, 2 * len(blocks) + 2.4), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, fontweight='bold')
    grid = figure.subplots(1 + len(blocks), num, squeeze=False)
    extent = (0, width, height, 0)
    shown = 1 - confidence[np.asarray(blocks)][:, np.asarray(present, bool)]
    scale = dict(vmin=shown.min(), vmax=shown.max()) if shown.size else dict(vmin=0, vmax=1)
    for axes, name, picture, is_there in zip(grid[0], modalities, pictures, present, strict=True):
        axes.imshow(picture, extent=extent)
        axes.set_title(name if is_there else f'{name}: absent', fontsize=8)
    for row, block in zip(grid[1:], blocks, strict=True):
        for m, axes in enumerate(row):
            if present[m]:
                axes.imshow(pictures[m], extent=extent)
                heat = axes.imshow(1 - confidence[block, m], extent=extent, cmap=COLOUR_MAP, alpha=0.6, **scale)
                axes.set_title(f'block {block}: mean {1 - confidence[block, m].mean():.3f}', fontsize=8)
    for axes in grid.flat:
        axes.set_axis_off()
    if any(present):
        figure.colorbar(heat, ax=grid[1:], label='uncertainty 1 - U', fraction=0.05)
    return figure
