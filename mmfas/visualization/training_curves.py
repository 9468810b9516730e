"""Curves of training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.utils.errors import InputError
from mmfas.visualization.style import dress, new_figure, series_style

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


def plot_schedule(time: np.ndarray, rate: np.ndarray, *, momentum: np.ndarray | None, unit: str) -> Figure:
    """Draw the learning rate over a training that has not run, and the momentum below it if that changes.

    Args:
        time: When each iteration starts (T,).
        rate: Learning rate of each (T,).
        momentum: Momentum of each (T,), or None.
        unit: `'epoch'` or `'iteration'`.

    Returns:
        The figure.
    """
    # the value of the last iteration holds until its end
    end = len(time) * float(time[-1] / (len(time) - 1)) if len(time) > 1 else 1.0
    figure, axes = new_figure('Schedule', unit, 'learning rate')
    curves = [(axes, rate, 'learning rate')]
    if momentum is not None and np.ptp(momentum) > 0:
        figure.clear()
        upper, lower = figure.subplots(2, 1, sharex=True)
        dress(upper, 'Schedule', '', 'learning rate')
        dress(lower, '', unit, 'momentum')
        curves = [(upper, rate, 'learning rate'), (lower, momentum, 'momentum')]
    for index, (panel, values, name) in enumerate(curves):
        # a step: the value holds until the next iteration begins
        style = series_style(index)
        panel.step([*time, end], [*values, values[-1]], where='post', linewidth=1.6, label=name, **style)
        panel.set_xlim(0, end)
    curves[0][0].set_ylim(bottom=0)
    return figure
