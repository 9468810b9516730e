"""Curves of training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmfas.utils.errors import InputError
from mmfas.visualization.style import new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draw scalars over epochs, such as losses and dev error rates.

    Args:
        curves: Epochs and values of each curve, by its name.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no curve.
    """
    if not curves:
        raise InputError('plot_curves needs at least one curve, got none')
    figure, axes = new_figure('Training', 'epoch', 'value')
    for index, (name, (epochs, values)) in enumerate(curves.items()):
        # A run with one validation is a dot, which a line would not show.
        axes.plot(epochs, values, label=name, marker='.' if len(epochs) < 40 else None, **series_style(index))
    axes.legend(frameon=False, fontsize=8)
    return figure
