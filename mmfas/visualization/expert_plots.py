"""Figures of experts: how evenly they are used, how that changes in training, and who answers where.

Legend: M modalities, N blocks, E experts, S checkpoints, h x w patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH, new_figure, series_look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_expert_usage(counts: np.ndarray) -> Figure:
    """Draw the share of each expert, the most used first, one line for each block.

    Args:
        counts: How often each expert was taken (N, E); every block took some.

    Returns:
        The figure; a broken line shows even use.
    """
    shares = np.sort(counts / counts.sum(1, keepdims=True), axis=1)[:, ::-1]
    figure, axes = new_figure('Use of the experts', 'expert, by rank', 'share of choices (%)')
    ranks = np.arange(1, shares.shape[1] + 1)
    for block, row in enumerate(shares):
        used = int((row > 0).sum())
        label = f'block {block}: {used} of {len(row)} used'
        axes.step(ranks, 100 * row, where='mid', label=label, **series_look(block))
    axes.axhline(100 / shares.shape[1], color='#999999', linestyle=':', linewidth=1)
    axes.set_xscale('log')
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_usage_entropy(names: Sequence[str], entropy: np.ndarray) -> Figure:
    """Draw the entropy of the use over checkpoints, one line for each block.

    Args:
        names: Names of the checkpoints, S of them, in the order of training.
        entropy: Entropies (S, N), in [0, 1].

    Returns:
        The figure.
    """
    figure, axes = new_figure('Evenness of the use', 'checkpoint', 'entropy / log(number of experts)')
    for block, values in enumerate(entropy.T):
        axes.plot(range(len(names)), values, marker='o', label=f'block {block}', **series_look(block))
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right', fontsize=8)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_routing(pictures: np.ndarray, modalities: Sequence[str], routing: np.ndarray) -> Figure:
    """Draw who answers where: the experts of one sample over its pictures.

    All modalities of a position are answered by the same experts, so a row shows one map over each picture.

    Args:
        pictures: Images (M, H, W, 3), uint8.
        modalities: Their names, M of them.
        routing: Number of the expert of each patch in each block (N, h, w).

    Returns:
        The figure, a row for each block and a column for each modality; one colour is one expert of that block.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num, (height, width) = len(routing), pictures.shape[1:3]
    figure = Figure(figsize=(2 * len(pictures), 2 * num), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(num, len(pictures), squeeze=False)
    for block, row in enumerate(grid):
        # neighbouring numbers would get neighbouring colours: number them by appearance instead
        _, colours = np.unique(routing[block], return_inverse=True)
        colours = colours.reshape(routing[block].shape) % 20
        for axes, name, picture in zip(row, modalities, pictures, strict=True):
            extent = (0, width, height, 0)
            axes.imshow(picture, extent=extent)
            axes.imshow(colours, extent=extent, cmap='tab20', vmin=0, vmax=19, alpha=0.45)
            axes.set_title(f'{name}, block {block}', fontsize=8)
            axes.set_axis_off()
    return figure
