"""Geometry of a head: a height field made of analytic parts.

The origin lies on the midline at the height of the nose bridge; the eyes are at y = -6 mm, the chin at
``chin_mm``, the crown at ``-crown_mm``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .records import Expression, Subject
from .shapes import bump_sum, ellipse_mask, outer, smooth_interp, soft_step

__all__ = ['EYE_Y_MM', 'HeadGrid', 'face_radius', 'head_grid', 'head_height', 'mouth_y_mm']

EYE_Y_MM = -6.0


@dataclass(frozen=True)
class HeadGrid:
    """Sampling of the head frame: ``x_mm`` (W,), ``y_mm`` (H,) and the spacing."""

    x_mm: np.ndarray
    y_mm: np.ndarray
    step_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y_mm), len(self.x_mm)


def head_grid(step_mm: float) -> HeadGrid:
    """Cover a head with hair: x in +-112 mm, y from -150 to 150 mm."""
    x_mm = np.arange(-112.0, 112.0 + step_mm, step_mm, dtype=np.float32)
    y_mm = np.arange(-150.0, 150.0 + step_mm, step_mm, dtype=np.float32)
    return HeadGrid(x_mm, y_mm, step_mm)


def mouth_y_mm(subject: Subject) -> float:
    """Height of the mouth line: between the base of the nose and the chin."""
    base = subject.nose_length_mm - 2.0
    return base + 0.36 * (subject.chin_mm - base)


def half_width(subject: Subject, y_mm: np.ndarray, grow_mm: float = 0.0) -> np.ndarray:
    """Half width (H,) of the skull outline at each row, grown by ``grow_mm`` on all sides; 0 outside."""
    up = np.clip(-y_mm / (subject.crown_mm + grow_mm), 0.0, 1.0)
    down = np.clip(y_mm / (subject.chin_mm + grow_mm), 0.0, 1.0)
    upper = (1.0 - up**2.6) ** 0.46
    lower = (1.0 - down**subject.jaw_power) ** 0.56
    return ((subject.half_width_mm + grow_mm) * upper * lower).astype(np.float32)


def face_radius(subject: Subject, grid: HeadGrid, grow_mm: float = 0.0) -> np.ndarray:
    """Relative radius (H, W): 0 on the midline, 1 on the skull outline, > 1 outside."""
    width = half_width(subject, grid.y_mm, grow_mm)
    radius = np.abs(grid.x_mm)[None, :] / np.maximum(width, 0.5)[:, None]
    return radius + 2.0 * (width < 1.0)[:, None]


def _skull(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Height (H, W) of the bare skull with cheeks and chin, before the features."""
    depth, crown, chin = subject.depth_mm, subject.crown_mm, subject.chin_mm
    knots = (
        (-crown - 3, 0.0),
        (-crown + 4, 0.30 * depth),
        (-crown + 22, 0.66 * depth),
        (-66, 0.88 * depth),
        (-34, 0.985 * depth),
        (0, depth),
        (0.55 * chin, 1.02 * depth),
        (chin - 14, 1.0 * depth),
        (chin - 4, 0.90 * depth),
        (chin + 2, 0.60 * depth),
        (chin + 12, 0.30 * depth),
    )
    profile = smooth_interp(grid.y_mm, knots, 4.0 / grid.step_mm)
    radius = np.minimum(face_radius(subject, grid), 1.0)
    return profile[:, None] * (1.0 - radius**2.7) ** 0.5


def _eyes(subject: Subject, grid: HeadGrid, expression: Expression) -> np.ndarray:
    """Brow ridge, sockets and eyeballs as offsets (H, W)."""
    x, y = grid.x_mm, grid.y_mm
    bumps = [(subject.brow_mm, 0.0, EYE_Y_MM - 19.0, 44.0, 6.5)]
    for side in (-1.0, 1.0):
        centre = side * subject.eye_dx_mm
        bumps.append((-8.5, centre - 3.0 * side, EYE_Y_MM - 1.0, 13.0, 9.0))
        bumps.append((6.0 + expression.blink, centre, EYE_Y_MM, 9.0, 6.5))
        bumps.append((-1.6, centre, EYE_Y_MM - 8.5, 12.0, 1.8))
        bumps.append((-1.0, centre, EYE_Y_MM + 11.0, 11.0, 2.5))
    return bump_sum(x, y, bumps)


def _nose(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Ridge, tip and wings of the nose as an offset (H, W)."""
    x, y = grid.x_mm, grid.y_mm
    top, tip = EYE_Y_MM - 10.0, subject.nose_length_mm - 7.0
    rise = np.clip((y - top) / (tip - top), 0.0, 1.0) ** 1.25
    drop = 1.0 / (1.0 + np.exp(np.clip((y - tip - 5.0) / 3.6, -30, 30)))
    width = 5.0 + (0.45 * subject.nose_width_mm - 1.0) * np.clip((y - top) / (tip - top), 0.0, 1.0)
    ridge = np.exp(-0.5 * (x[None, :] / width[:, None]) ** 2)
    out = (0.92 * subject.nose_height_mm * rise * drop + 3.0 * np.exp(-0.5 * ((y - top) / 9) ** 2))[
        :, None
    ] * ridge
    bumps = [(0.22 * subject.nose_height_mm, 0.0, tip, 6.5, 5.5)]
    for side in (-1.0, 1.0):
        bumps.append((8.0, side * 0.92 * subject.nose_width_mm, subject.nose_length_mm - 4.0, 4.6, 4.8))
    return out.astype(np.float32) + bump_sum(x, y, bumps)


def _mouth(subject: Subject, grid: HeadGrid, expression: Expression) -> np.ndarray:
    """Lips, philtrum, chin groove and nasolabial folds as an offset (H, W)."""
    x, y = grid.x_mm, grid.y_mm
    line, half = mouth_y_mm(subject), subject.mouth_width_mm
    drop = 7.0 * expression.mouth_open
    lip = subject.lip_mm
    bumps = [
        (4.2, 0.0, line - 0.8 * lip, 0.62 * half, 0.75 * lip),
        (4.6, 0.0, line + lip + drop, 0.55 * half, 0.85 * lip),
        (-4.2, 0.0, line + 0.5 * drop, 0.75 * half, 1.3 + 0.6 * drop),
        (-1.3, 0.0, line - 2.2 * lip, 2.6, 5.0),
        (-3.2, 0.0, line + 2.7 * lip + drop, 17.0, 4.0),
        (5.0, 0.0, subject.chin_mm - 15.0, 15.0, 9.0),
    ]
    bumps += [(subject.cheek_mm, side * 40.0, 14.0 - 3.0 * expression.smile, 14.0, 13.0) for side in (-1.0, 1.0)]
    out = bump_sum(x, y, bumps)
    fold = (0.8 + 1.6 * subject.age) * (1.0 + 0.6 * max(expression.smile, 0.0))
    for side in (-1.0, 1.0):
        # A fold runs from the wing of the nose to the corner of the mouth.
        axis = side * (subject.nose_width_mm + 5.0 + 0.40 * (y - subject.nose_length_mm + 6.0))
        along = np.exp(-0.5 * ((y - subject.nose_length_mm - 8.0) / 11.0) ** 2)
        out -= fold * along[:, None] * np.exp(-0.5 * ((x[None, :] - axis[:, None]) / 2.4) ** 2)
    return out.astype(np.float32)


def ear_mask(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Coverage (H, W) of the two ears, which stand out behind the cheeks."""
    out = np.zeros(grid.shape, np.float32)
    for side in (-1.0, 1.0):
        centre = (side * (subject.half_width_mm + 2.0), 8.0)
        out = np.maximum(out, ellipse_mask(grid.x_mm, grid.y_mm, centre, (9.5, 29.0), 1.5 * grid.step_mm))
    return out


def head_height(subject: Subject, grid: HeadGrid, expression: Expression) -> tuple[np.ndarray, np.ndarray]:
    """Build the height field of the bare head.

    Args:
        subject: lengths of the head.
        grid: sampling points, H rows and W columns.
        expression: eyelids, mouth and smile.

    Returns:
        Height z (H, W) in mm above the ear plane, and coverage (H, W) in 0..1.
    """
    radius = face_radius(subject, grid)
    inside = soft_step((1.0 - radius) * 40.0, 1.5 * grid.step_mm)
    fade = np.clip((1.02 - radius) / 0.25, 0.0, 1.0)
    features = _eyes(subject, grid, expression) + _nose(subject, grid) + _mouth(subject, grid, expression)
    height = _skull(subject, grid) + features * fade
    ears = ear_mask(subject, grid)
    rim = 12.0 + 8.0 * outer(np.ones_like(grid.y_mm), np.abs(grid.x_mm) > subject.half_width_mm + 5.0)
    height = np.maximum(height, ears * rim)
    return cv2.GaussianBlur(height, (0, 0), 0.8), np.maximum(inside, ears)
