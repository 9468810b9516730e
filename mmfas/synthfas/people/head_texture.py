"""Textures of heads: mottled skin, freckles and hair, cut for each subject out of tiles common to all heads."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from mmfas.synthfas.people.head_shape import HeadGrid
from mmfas.synthfas.records import Subject
from mmfas.synthfas.shapes import noise_field, streak_field

__all__ = ['hair_texture', 'skin_texture', 'stubble_texture']

#: Rows and columns of a tile, one per mm: about twice a head, so that few heads wear the same piece.
_TILE = (640, 480)
#: More than a head spans to either side of its origin: rows and columns in mm.
_MARGIN = (160, 124)


@lru_cache(maxsize=1)
def _tiles() -> dict[str, np.ndarray]:
    """Draw the tiles; the same in every process."""
    rng = np.random.default_rng(21)
    mottle = 0.035 * noise_field(rng, _TILE, (30, 24)) + 0.03 * noise_field(rng, _TILE, (128, 96))
    freckles = np.maximum(noise_field(rng, _TILE, (202, 150)) - 2.1, 0.0)
    return {
        'skin': np.clip(1.0 + mottle - 0.22 * freckles, 0.4, 1.4),
        'stubble': streak_field(rng, _TILE, (149, 193)),
        'hair': streak_field(rng, _TILE, (47, 203)),
    }


def _cut(name: str, subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Cut the subject's piece (H, W) out of a tile; it stays in place on the head whatever the grid."""
    tile = _tiles()[name]
    # The origin of the head keeps off the rim of the tile by the size of the largest head.
    across, down = _TILE[1] - 2 * _MARGIN[1], _TILE[0] - 2 * _MARGIN[0]
    row, column = subject.texture_seed // across % down, subject.texture_seed % across
    top, left = row + _MARGIN[0], column + _MARGIN[1]
    rows = slice(top + round(float(grid.y_mm[0])), top + round(float(grid.y_mm[-1])) + 1)
    columns = slice(left + round(float(grid.x_mm[0])), left + round(float(grid.x_mm[-1])) + 1)
    return cv2.resize(tile[rows, columns], grid.shape[::-1], interpolation=cv2.INTER_LINEAR)


def skin_texture(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Factor (H, W) on the colour of the skin, about 1: mottling and freckles."""
    return _cut('skin', subject, grid)


def stubble_texture(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Streaks (H, W) of brows and beard, about zero mean."""
    return _cut('stubble', subject, grid)


def hair_texture(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Streaks (H, W) of the hair, about zero mean."""
    return _cut('hair', subject, grid)
