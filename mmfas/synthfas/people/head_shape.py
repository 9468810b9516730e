"""Geometry of a head: a height field made of analytic parts.

The origin lies on the midline at the height of the nose bridge; the eyes are at y = -6 mm, the chin at
`chin_mm`, the crown at `-crown_mm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.records import Expression, Subject
from mmfas.synthfas.shapes import bump_sum, ellipse_mask, smooth_interp, soft_step, unit_clip

__all__ = [
    'EYE_Y_MM',
    'HeadGrid',
    'ear_mask',
    'face_radius',
    'from_nearer_eye',
    'head_grid',
    'head_height',
    'mouth_y_mm',
]

EYE_Y_MM = -6.0


@dataclass(frozen=True)
class HeadGrid:
    """Sampling of the head frame: `x_mm` (W,), `y_mm` (H,) and the spacing."""

    x_mm: np.ndarray
    y_mm: np.ndarray
    step_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y_mm), len(self.x_mm)

    def window(self, reach_mm: float, top_mm: float, bottom_mm: float) -> tuple[tuple[slice, slice], HeadGrid]:
        """Cut out a window around the midline, for what is too small to be worth the whole head.

        Args:
            reach_mm: Half width.
            top_mm: First row.
            bottom_mm: Last row.

        Returns:
            Rows and columns of the window, and its grid.
        """
        left, right = np.searchsorted(self.x_mm, (-reach_mm, reach_mm)).tolist()
        first, last = np.searchsorted(self.y_mm, (top_mm, bottom_mm)).tolist()
        rows, columns = slice(first, last + 1), slice(left, right + 1)
        return (rows, columns), HeadGrid(self.x_mm[columns], self.y_mm[rows], self.step_mm)


def head_grid(step_mm: float, subject: Subject | None = None) -> HeadGrid:
    """Cover a head with ears, hair and what may be worn on it.

    Args:
        step_mm: Spacing.
        subject: Whose head, covered with little around it; None means any head.

    Returns:
        The grid, symmetric about the midline.
    """
    half_x, top, bottom = 112.0, -150.0, 150.0
    if subject is not None:
        half_x = subject.half_width_mm + max(subject.hair_mm, 12.0) + 6.0
        top = -subject.crown_mm - subject.hair_mm - 6.0
        # Long hair hangs below the chin.
        bottom = bottom if subject.hair_style == 'long' else subject.chin_mm + 12.0
    return HeadGrid(
        np.arange(-half_x, half_x + step_mm, step_mm, dtype=np.float32),
        np.arange(top, bottom + step_mm, step_mm, dtype=np.float32),
        step_mm,
    )


def from_nearer_eye(subject: Subject, x_mm: np.ndarray) -> np.ndarray:
    """Measure columns (W,) from the eye on their side, so that both eyes are drawn at once."""
    return x_mm - np.copysign(np.float32(subject.eye_dx_mm), x_mm)


def mouth_y_mm(subject: Subject) -> float:
    """Height of the mouth line: between the base of the nose and the chin."""
    base = subject.nose_length_mm - 2.0
    return base + 0.36 * (subject.chin_mm - base)


def half_width(subject: Subject, y_mm: np.ndarray, grow_mm: float = 0.0) -> np.ndarray:
    """Half width (H,) of the skull outline at each row, grown by `grow_mm` on all sides; 0 outside."""
    up = np.clip(-y_mm / (subject.crown_mm + grow_mm), 0.0, 1.0)
    down = np.clip(y_mm / (subject.chin_mm + grow_mm), 0.0, 1.0)
    upper = (1.0 - up**2.6) ** 0.46
    lower = (1.0 - down**subject.jaw_power) ** 0.56
    return ((subject.half_width_mm + grow_mm) * upper * lower).astype(np.float32)


def face_radius(subject: Subject, grid: HeadGrid, grow_mm: float = 0.0) -> np.ndarray:
    """Relative radius (H, W): 0 on the midline, 1 on the skull outline, > 1 outside."""
    width = half_width(subject, grid.y_mm, grow_mm)
    radius = np.abs(grid.x_mm)[None, :] * (1.0 / np.maximum(width, 0.5))[:, None]
    radius[width < 1.0] += 2.0
    return radius


def _skull(subject: Subject, grid: HeadGrid, radius: np.ndarray) -> np.ndarray:
    """Height (H, W) of the bare skull with cheeks and chin, before the features, from its `face_radius`."""
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
    return profile[:, None] * cv2.sqrt(1.0 - cv2.pow(unit_clip(radius), 2.7))


def _eyes(subject: Subject, expression: Expression) -> list[tuple[float, ...]]:
    """Brow ridge, sockets and eyeballs as bumps."""
    bumps: list[tuple[float, ...]] = [(subject.brow_mm, 0.0, EYE_Y_MM - 19.0, 44.0, 6.5)]
    for side in (-1.0, 1.0):
        centre = side * subject.eye_dx_mm
        bumps.append((-8.5, centre - 3.0 * side, EYE_Y_MM - 1.0, 13.0, 9.0))
        bumps.append((6.0 + expression.blink, centre, EYE_Y_MM, 9.0, 6.5))
        bumps.append((-1.6, centre, EYE_Y_MM - 8.5, 12.0, 1.8))
        bumps.append((-1.0, centre, EYE_Y_MM + 11.0, 11.0, 2.5))
    return bumps


def _nose(subject: Subject) -> list[tuple[float, ...]]:
    """Tip and wings of the nose as bumps."""
    bumps: list[tuple[float, ...]] = [(0.22 * subject.nose_height_mm, 0.0, subject.nose_length_mm - 7.0, 6.5, 5.5)]
    for side in (-1.0, 1.0):
        bumps.append((8.0, side * 0.92 * subject.nose_width_mm, subject.nose_length_mm - 4.0, 4.6, 4.8))
    return bumps


def _mouth(subject: Subject, expression: Expression) -> list[tuple[float, ...]]:
    """Lips, philtrum, chin, its groove and the cheeks as bumps."""
    line, half = mouth_y_mm(subject), subject.mouth_width_mm
    drop = 7.0 * expression.mouth_open
    lip = subject.lip_mm
    bumps: list[tuple[float, ...]] = [
        (4.2, 0.0, line - 0.8 * lip, 0.62 * half, 0.75 * lip),
        (4.6, 0.0, line + lip + drop, 0.55 * half, 0.85 * lip),
        (-4.2, 0.0, line + 0.5 * drop, 0.75 * half, 1.3 + 0.6 * drop),
        (-1.3, 0.0, line - 2.2 * lip, 2.6, 5.0),
        (-3.2, 0.0, line + 2.7 * lip + drop, 17.0, 4.0),
        (5.0, 0.0, subject.chin_mm - 15.0, 15.0, 9.0),
    ]
    bumps += [(subject.cheek_mm, side * 40.0, 14.0 - 3.0 * expression.smile, 14.0, 13.0) for side in (-1.0, 1.0)]
    return bumps


def _add_ridge(height: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Add the ridge of the nose to a height map (H, W) in place; it widens downwards."""
    top, tip = EYE_Y_MM - 10.0, subject.nose_length_mm - 7.0
    # Beyond the window nothing is left of it: 4.5 standard deviations, and 9 scales of the drop.
    part, grid = grid.window(4.5 * (4.0 + 0.45 * subject.nose_width_mm), top - 36.0, tip + 38.0)
    x, y = grid.x_mm, grid.y_mm
    along = np.clip((y - top) / (tip - top), 0.0, 1.0)
    drop = 1.0 / (1.0 + np.exp((y - tip - 5.0) / 3.6))
    width = 5.0 + (0.45 * subject.nose_width_mm - 1.0) * along
    crest = 0.92 * subject.nose_height_mm * along**1.25 * drop + 3.0 * np.exp(-0.5 * ((y - top) / 9) ** 2)
    height[part] += crest[:, None] * np.exp(-0.5 * (x[None, :] / width[:, None]) ** 2)


def _add_folds(height: np.ndarray, subject: Subject, grid: HeadGrid, expression: Expression) -> None:
    """Press the folds from the wings of the nose to the corners of the mouth into a height map in place."""
    middle = subject.nose_length_mm + 8.0
    part, grid = grid.window(60.0, middle - 40.0, middle + 40.0)
    y = grid.y_mm
    axis = subject.nose_width_mm + 5.0 + 0.40 * (y - subject.nose_length_mm + 6.0)
    depth = (0.8 + 1.6 * subject.age) * (1.0 + 0.6 * max(expression.smile, 0.0))
    along = depth * np.exp(-0.5 * ((y - middle) / 11.0) ** 2)
    height[part] -= along[:, None] * np.exp(-0.5 * ((np.abs(grid.x_mm)[None, :] - axis[:, None]) / 2.4) ** 2)


def ear_mask(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Coverage (H, W) of the two ears, which stand out behind the cheeks."""
    # The ears mirror each other: one ellipse over the distance from the midline draws both.
    centre = (subject.half_width_mm + 2.0, 8.0)
    return ellipse_mask(np.abs(grid.x_mm), grid.y_mm, centre, (9.5, 29.0), 1.5 * grid.step_mm)


def head_height(subject: Subject, grid: HeadGrid, expression: Expression) -> tuple[np.ndarray, np.ndarray]:
    """Build the height field of the bare head.

    Args:
        subject: Lengths of the head.
        grid: Sampling points, H rows and W columns.
        expression: Eyelids, mouth and smile.

    Returns:
        Height z (H, W) in mm above the ear plane, and coverage (H, W) in 0..1.
    """
    radius = face_radius(subject, grid)
    inside = soft_step((1.0 - radius) * 40.0, 1.5 * grid.step_mm)
    fade = soft_step(0.895 - radius, 0.25)
    bumps = _eyes(subject, expression) + _nose(subject) + _mouth(subject, expression)
    height = bump_sum(grid.x_mm, grid.y_mm, bumps)
    _add_ridge(height, subject, grid)
    _add_folds(height, subject, grid, expression)
    height *= fade
    height += _skull(subject, grid, radius)
    ears = ear_mask(subject, grid)
    rim = np.where(np.abs(grid.x_mm) > subject.half_width_mm + 5.0, np.float32(20.0), np.float32(12.0))
    height = np.maximum(height, ears * rim[None, :])
    return cv2.GaussianBlur(height, (0, 0), 0.8), np.maximum(inside, ears)
