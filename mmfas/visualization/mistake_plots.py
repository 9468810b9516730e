"""A sheet of the worst mistakes, all pictures of a sample beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmfas.visualization.style import DOTS_PER_INCH, LIVE_COLOUR, SPOOF_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_TILE_INCH = 1.25
_CAPTION_INCH = 0.2
_TITLE_INCH = 0.5
_GAP_INCH = 0.25
_MOST_LETTERS = 64

#: Caption and pictures of a sample; None for an absent picture.
Row = tuple[str, Sequence['np.ndarray | None']]


def draw_mistakes(
    accepted: Sequence[Row], rejected: Sequence[Row], modalities: Sequence[str], *, titles: tuple[str, str]
) -> Figure:
    """Draw accepted attacks on the left and rejected live faces on the right, the worst on top.

    Args:
        accepted: Attacks.
        rejected: Live faces.
        modalities: Names of the pictures of each.
        titles: What stands over the two halves.

    Returns:
        The figure; a half without samples has its title only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(len(accepted), len(rejected), 1)
    width = len(modalities) * _TILE_INCH + _GAP_INCH
    figure = Figure(figsize=(2 * width, rows * (_TILE_INCH + _CAPTION_INCH) + _TITLE_INCH), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    halves = figure.subfigures(1, 2, squeeze=False)[0]
    colours = (SPOOF_COLOUR, LIVE_COLOUR)
    for half, samples, title, colour in zip(halves, (accepted, rejected), titles, colours, strict=True):
        top = 1 - 0.3 / figure.get_figheight()
        half.text(0.5, top, title, ha='center', va='center', fontsize=10, fontweight='bold', color=colour)
        _draw_half(half, samples, modalities, num_rows=rows, colour=colour)
    return figure


def _draw_half(
    half: SubFigure, samples: Sequence[Row], modalities: Sequence[str], *, num_rows: int, colour: str
) -> None:
    """Place every picture where its row and modality are."""
    height = num_rows * (_TILE_INCH + _CAPTION_INCH) + _TITLE_INCH
    width = len(modalities) * _TILE_INCH + _GAP_INCH
    for row, (caption, pictures) in enumerate(samples):
        bottom = height - _TITLE_INCH - (row + 1) * (_TILE_INCH + _CAPTION_INCH)
        text_at = (_GAP_INCH / 2 / width, (bottom + _TILE_INCH + 0.05) / height)
        half.text(*text_at, _shortened(caption), fontsize=7, color=colour)
        for column, (name, picture) in enumerate(zip(modalities, pictures, strict=True)):
            left = _GAP_INCH / 2 + column * _TILE_INCH
            box = (left / width, bottom / height, 0.96 * _TILE_INCH / width, _TILE_INCH / height)
            _draw_picture(half.add_axes(box), picture, name)


def _shortened(caption: str) -> str:
    """Shorten a long caption in its middle: score and instrument are in front, the frame is at its end."""
    if len(caption) <= _MOST_LETTERS:
        return caption
    return f'{caption[: _MOST_LETTERS // 2 - 3]}...{caption[-_MOST_LETTERS // 2 :]}'


def _draw_picture(axes: Axes, picture: np.ndarray | None, name: str) -> None:
    """Draw one picture, or say that it is absent."""
    axes.set_axis_off()
    if picture is None:
        axes.text(0.5, 0.5, f'no {name}', ha='center', va='center', fontsize=8, color='#666666')
        return
    axes.imshow(picture)
    style = dict(boxstyle='square,pad=0.15', facecolor='white', edgecolor='none', alpha=0.75)
    axes.text(0.03, 0.03, name, transform=axes.transAxes, fontsize=6, ha='left', va='bottom', bbox=style)
