"""Figures of MMDA: attention that is denoised, the weight of the noise over training, cosines to prompts.

Legend: M modalities, T checkpoints, S states of the U, K anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH, LIVE_COLOUR, SPOOF_COLOUR, new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_attention(
    names: Sequence[str], modalities: Sequence[str], attention: np.ndarray, noise_weights: Sequence[float]
) -> Figure:
    """Draw both attention maps and what is left of them, a column for each checkpoint.

    Args:
        names: Names of the checkpoints, T of them, in the order of training.
        modalities: Names of the modalities, M of them.
        attention: Attention in the sample and in its reference (T, 2, M, M).
        noise_weights: The lambda of each checkpoint.

    Returns:
        The figure: sample, reference, and sample minus lambda times reference.
    """
    figure = _empty_figure(2.1 * len(names) + 1, 6.3)
    grid = figure.subplots(3, len(names), squeeze=False)
    for column, (name, maps, weight) in enumerate(zip(names, attention, noise_weights, strict=True)):
        rows = {
            'sample': maps[0],
            'reference': maps[1],
            f'sample - {weight:.2f} reference': maps[0] - weight * maps[1],
        }
        for axes, (title, values) in zip(grid[:, column], rows.items(), strict=True):
            axes.imshow(values, cmap='RdBu_r', vmin=-1, vmax=1)
            for (row, key), value in np.ndenumerate(values):
                axes.text(key, row, f'{np.round(value, 2) + 0.0:.2f}', ha='center', va='center', fontsize=7)
            axes.set_title(f'{name}\n{title}' if title == 'sample' else title, fontsize=8)
            axes.set_xticks(range(len(modalities)), modalities, fontsize=7)
            axes.set_yticks(range(len(modalities)), modalities, fontsize=7)
    figure.supxlabel('is attended to', fontsize=8)
    figure.supylabel('attends', fontsize=8)
    return figure


def plot_noise_weight(names: Sequence[str], noise_weights: Sequence[float]) -> Figure:
    """Draw lambda over checkpoints.

    Args:
        names: Names of the checkpoints, T of them, in the order of training.
        noise_weights: The lambda of each.

    Returns:
        The figure.
    """
    figure, axes = new_figure('Weight of the noise', 'checkpoint', 'lambda')
    axes.plot(range(len(names)), noise_weights, marker='o', **series_style(0))
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right', fontsize=8)
    return figure


def draw_anchor_cosines(
    pictures: np.ndarray,
    modalities: Sequence[str],
    cosines: np.ndarray,
    labels: Sequence[str],
    num_spoof: int,
    *,
    are_random: bool = False,
) -> Figure:
    """Draw one face and its cosine to every anchor at the last state, and the closest ones of all states.

    Args:
        pictures: Images of the face (M, H, W, 3), uint8.
        modalities: Their names, M of them.
        cosines: Cosines (S, K), spoof anchors first.
        labels: What each anchor is called, K of them.
        num_spoof: How many of them are spoof.
        are_random: Whether the anchors are random directions, of which the figure then warns.

    Returns:
        The figure: the face, a bar for each anchor with the closest of either class in full colour, and the
        largest cosine of either class at every state.
    """
    num_anchors = cosines.shape[1]
    figure = _empty_figure(9.6, 3.2 + 0.17 * num_anchors)
    top, bars = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.4, 0.8 + 0.17 * num_anchors))[:, 0]
    *faces, course = top.subplots(1, len(pictures) + 1, width_ratios=(*[1] * len(pictures), 2.2))
    for axes, name, picture in zip(faces, modalities, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(name, fontsize=8)
        axes.set_axis_off()
    axes = bars.subplots()
    slices = {'spoof': (slice(0, num_spoof), SPOOF_COLOUR), 'live': (slice(num_spoof, None), LIVE_COLOUR)}
    for name, (part, colour) in slices.items():
        values, places = cosines[-1, part], np.arange(num_anchors)[part]
        alphas = np.where(values == values.max(), 1.0, 0.4)
        for place, value, alpha in zip(places, values, alphas, strict=True):
            axes.barh(place, value, color=colour, alpha=alpha)
        course.plot(cosines[:, part].max(1), color=colour, marker='.', label=name)
    axes.set_yticks(range(num_anchors), labels, fontsize=7)
    axes.set_ylim(num_anchors - 0.4, -0.6)  # the first anchor on top
    note = '; the anchors are random directions, what they are called says nothing' if are_random else ''
    axes.set_xlabel(f'cosine at the last state{note}', fontsize=8)
    for part_axes in (axes, course):
        part_axes.tick_params(axis='x', labelsize=7)
        part_axes.spines[['top', 'right']].set_visible(False)
    course.tick_params(axis='y', labelsize=7)
    depth = len(cosines) // 2
    names = [f'$v_{level}$' for level in range(depth + 1)] + [f"$v'_{level}$" for level in reversed(range(depth))]
    course.set_xticks(range(len(cosines)), names)
    course.set_title('largest cosine at every state', fontsize=8)
    course.legend(frameon=False, fontsize=8)
    return figure


def _empty_figure(width: float, height: float) -> Figure:
    """Return a figure without axes, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout='constrained')
    FigureCanvasAgg(figure)
    return figure
