"""Figures of experts: how evenly they are used, how that changes in training, and which expert is taken where.

Legend: M modalities, N blocks, E experts, S checkpoints, h x w patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH, FIGURE_SIZE_INCH, dress, new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_expert_usage(counts: np.ndarray) -> Figure:
    """Draw how large a part of the choices falls on each expert, the most used first, one line per block.

    Args:
        counts: How often each expert was taken (N, E); every block took some.

    Returns:
        The figure; a dotted line shows even use.
    """
    fractions = np.sort(counts / counts.sum(1, keepdims=True), axis=1)[:, ::-1]
    figure, axes = new_figure('Use of the experts', 'expert, by rank', 'fraction of choices (%)')
    ranks = np.arange(1, fractions.shape[1] + 1)
    for block, row in enumerate(fractions):
        used = int((row > 0).sum())
        label = f'block {block}: {used} of {len(row)} used'
        axes.step(ranks, 100 * row, where='mid', label=label, **series_style(block))
    axes.axhline(100 / fractions.shape[1], color='#999999', linestyle=':', linewidth=1, label='even use')
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
        axes.plot(range(len(names)), values, marker='o', label=f'block {block}', **series_style(block))
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right', fontsize=8)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_routing(pictures: np.ndarray, modalities: Sequence[str], routing: np.ndarray) -> Figure:
    """Draw which expert is taken where: the experts of one sample over its pictures.

    All modalities of a position are answered by the same experts, so a row shows one map over each picture.

    Args:
        pictures: Images (M, H, W, 3), uint8.
        modalities: Their names, M of them.
        routing: Number of the expert of each patch in each block (N, h, w).

    Returns:
        The figure, a row for each block and a column for each modality; one colour is one expert of that block.
        The pictures are pale and grey, so that a colour looks alike over each.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num, (height, width) = len(routing), pictures.shape[1:3]
    figure = Figure(figsize=(2 * len(pictures), 2 * num), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(num, len(pictures), squeeze=False)
    for block, row in enumerate(grid):
        # neighbouring numbers would get neighbouring colours: number them by appearance instead
        experts, colours = np.unique(routing[block], return_inverse=True)
        num_colours = 10 if len(experts) <= 10 else 20
        colours = colours.reshape(routing[block].shape) % num_colours
        style: dict[str, Any] = dict(cmap=f'tab{num_colours}', vmin=0, vmax=num_colours - 1, alpha=0.5)
        for axes, name, picture in zip(row, modalities, pictures, strict=True):
            extent = (0, width, height, 0)
            axes.imshow(picture.mean(-1), extent=extent, cmap='gray', vmin=-200, vmax=255)
            axes.imshow(colours, extent=extent, **style)
            axes.set_title(f'{name}, block {block}', fontsize=8)
            axes.set_axis_off()
    return figure


def plot_expert_cost(
    numbers: Sequence[int],
    passes_ms: Mapping[str, Sequence[float]],
    updates_ms: Mapping[str, Sequence[float]],
    *,
    fits: Mapping[str, Callable[[float], float]],
) -> Figure:
    """Draw what a layer of experts costs by their number, and beside it what optimizers add.

    Args:
        numbers: Numbers of experts, ascending.
        passes_ms: Kind of gradients -> cost of a forward and a backward pass at each number, in milliseconds.
        updates_ms: Optimizer -> cost of an update of all weights at each number, in milliseconds.
        fits: Kind of gradients -> fitted cost, drawn as a thin line and written into the legend.

    Returns:
        The figure, two panels with one vertical axis; a dotted line in the first grows with the square root.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = FIGURE_SIZE_INCH
    figure = Figure(figsize=(1.6 * width, height), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    dress(left, 'Forward and backward pass', 'number of experts', 'milliseconds')
    dress(right, 'Update of the weights', 'number of experts', '')
    finer = np.geomspace(numbers[0], numbers[-1], 100)
    for index, (kind, values) in enumerate(passes_ms.items()):
        style = series_style(index)
        label = f'{kind} gradients: {fits[kind]}'
        left.plot(numbers, values, marker='o', linestyle='', color=style['color'], label=label)
        left.plot(finer, [fits[kind](x) for x in finer], color=style['color'], linewidth=1)
    top = max(values[-1] for values in passes_ms.values())
    root = top * np.sqrt(np.array(numbers) / numbers[-1])
    left.plot(numbers, root, color='#999999', linestyle=':', linewidth=1, label='slope of the square root')
    for index, (name, values) in enumerate(updates_ms.items()):
        right.plot(numbers, values, marker='o', label=name, **series_style(index + len(passes_ms)))
    for axes in (left, right):
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.set_xticks(numbers, [f'{number:,}' for number in numbers], fontsize=8, rotation=30)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter('{x:g}')
        axes.legend(frameon=False, fontsize=8)
    return figure
