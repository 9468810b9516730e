"""Materials of a head: skin, eyes, brows, lips, hair, beard and glasses painted into one (H, W, 6) map.

Channels: linear R, G, B, NIR reflectance, gloss, depth failure affinity.
"""

from __future__ import annotations

import cv2
import numpy as np

from .head_shape import EYE_Y_MM, HeadGrid, ear_mask, face_radius, mouth_y_mm
from .materials import material, skin_colour
from .records import Expression, Subject
from .shapes import bump, bump_sum, ellipse_mask, noise_field, soft_step, streak_field, unit_clip

__all__ = ['eye_opening', 'hair_row', 'paint', 'paint_eyes', 'paint_face']


def paint(canvas: np.ndarray, coverage: np.ndarray, row: np.ndarray) -> None:
    """Blend a material over a canvas in place.

    Args:
        canvas: (H, W, 6) map, changed.
        coverage: (H, W) in 0..1.
        row: (6,) material, or (H, W, 6).
    """
    box = _window(coverage)
    if box is None:
        return
    part, cover = canvas[box], coverage[box]
    # Plane by plane: a trailing axis of six would be the inner loop of every operation.
    for k in range(canvas.shape[2]):
        value = row[k] if row.ndim == 1 else row[box][..., k]
        part[..., k] += cover * (value - part[..., k])


def _window(coverage: np.ndarray) -> tuple[slice, slice] | None:
    """Return the smallest window (rows, columns) that holds all of a coverage, None if there is none."""
    left, top, width, height = cv2.boundingRect((coverage > 0).view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def scale_rgb(canvas: np.ndarray, factor: np.ndarray, nir_share: float) -> None:
    """Multiply colours in place by ``factor`` (H, W); NIR feels ``nir_share`` of the change."""
    for k in range(3):
        canvas[..., k] *= factor
    canvas[..., 3] *= 1.0 + nir_share * (factor - 1.0)


def hair_row(subject: Subject) -> np.ndarray:
    """Material (6,) of the subject's hair: eumelanin is dark in the visible, far less in NIR."""
    rgb = np.array(subject.hair_rgb, np.float32)
    nir = 0.16 + 0.9 * float(rgb.mean()) ** 0.6
    return np.array([*rgb, min(nir, 0.55), 0.22, 0.30], np.float32)


def eye_opening(subject: Subject, grid: HeadGrid, expression: Expression, side: float) -> np.ndarray:
    """Coverage (H, W) of the almond between the lids of one eye (``side`` -1 or 1)."""
    u = (grid.x_mm - side * subject.eye_dx_mm) / subject.eye_width_mm
    lid = np.clip(1.0 - u**2, 0.0, 1.0)
    open_mm = subject.eye_open_mm * (1.0 - expression.blink)
    y = (grid.y_mm - EYE_Y_MM)[:, None] - (0.9 * side * u * 0.8)[None, :] * -1.0
    inside = np.minimum(y + open_mm * lid[None, :] ** 0.75, 0.75 * open_mm * lid[None, :] - y)
    return soft_step(inside, 1.0 * grid.step_mm) * (lid > 0)


def paint_eyes(canvas: np.ndarray, subject: Subject, grid: HeadGrid, expression: Expression) -> None:
    """Paint sclera, iris, pupil, lashes and lid crease into the canvas in place."""
    x, y, edge = grid.x_mm, grid.y_mm, grid.step_mm
    iris = np.array([*subject.iris_rgb, 0.30 + 0.3 * subject.iris_rgb[2], 0.7, 0.05], np.float32)
    for side in (-1.0, 1.0):
        opening = eye_opening(subject, grid, expression, side)
        centre = (side * subject.eye_dx_mm + expression.gaze[0], EYE_Y_MM + expression.gaze[1] - 0.6)
        closed = eye_opening(subject, grid, Expression(blink=-0.42), side)
        lashes = unit_clip(closed - opening) * (y < EYE_Y_MM + 1.0)[:, None]
        paint(canvas, 0.72 * lashes, canvas * np.array([0.22, 0.2, 0.2, 0.55, 0.5, 1.0], np.float32))
        crease = bump(x, y, (side * subject.eye_dx_mm, EYE_Y_MM - 10.5), (12.0, 1.3))
        scale_rgb(canvas, 1.0 - 0.30 * crease, 0.4)
        paint(canvas, opening, material('sclera') * np.array([1, 0.97, 0.95, 1, 1, 1], np.float32))
        paint(canvas, opening * ellipse_mask(x, y, centre, (5.9, 5.9), edge), iris)
        paint(canvas, opening * ellipse_mask(x, y, centre, (2.5, 2.5), edge), material('pupil'))
        # The upper lid shades the ball; without it eyes look painted on.
        shade = bump(x, y, (side * subject.eye_dx_mm, EYE_Y_MM - 5.0), (14.0, 2.4))
        scale_rgb(canvas, 1.0 - 0.45 * shade * opening, 0.5)


def _paint_brows(canvas: np.ndarray, subject: Subject, grid: HeadGrid, streaks: np.ndarray) -> None:
    """Paint the eyebrows as two arcs of hair."""
    hair = hair_row(subject)
    hair[:3] = np.minimum(hair[:3], 0.10) * (0.5 + 0.5 * (1.0 - subject.melanin))
    for side in (-1.0, 1.0):
        u = (grid.x_mm * side - subject.eye_dx_mm - 1.0) / 19.0
        axis = EYE_Y_MM - 17.5 - subject.brow_mm * 0.4 + 5.0 * (u - 0.25) ** 2
        thick = (3.9 - 1.9 * np.clip(u, -1, 1)) * np.clip(1.12 - u**2, 0.0, 1.0)
        inside = thick[None, :] - np.abs(grid.y_mm[:, None] - axis[None, :])
        cover = soft_step(inside, 2.0 + grid.step_mm) * (np.abs(u) < 1.06)
        paint(canvas, subject.brow_density * cover * unit_clip(0.85 + 0.2 * streaks), hair)


def _paint_mouth(canvas: np.ndarray, subject: Subject, grid: HeadGrid, expression: Expression) -> None:
    """Paint lips, teeth and the mouth line."""
    half = subject.mouth_width_mm * (1.0 + 0.12 * expression.smile)
    u = np.clip(grid.x_mm / half, -1.05, 1.05)
    lid = np.clip(1.0 - u**2, 0.0, 1.0)
    line = mouth_y_mm(subject) - 4.0 * expression.smile * (np.abs(u) ** 2 - 0.25)
    gap = 8.0 * expression.mouth_open * lid
    y = grid.y_mm[:, None]
    bow = 1.0 - 0.22 * np.exp(-((u / 0.16) ** 2))
    upper = line - 1.55 * subject.lip_mm * lid**0.8 * bow
    lower = line + gap + 1.75 * subject.lip_mm * lid**0.65
    lips = soft_step(np.minimum(y - upper, lower - y), 1.6 + grid.step_mm) * (np.abs(u) < 1.0)
    skin = skin_colour(subject.melanin, subject.redness)
    red = np.array(
        [0.84 + 0.1 * subject.makeup, 0.52 - 0.2 * subject.makeup, 0.58 - 0.15 * subject.makeup], np.float32
    )
    colour = skin * np.array([*red, 0.93, 1.0, 1.0], np.float32)
    colour[4] = 0.28
    paint(canvas, 0.9 * lips, colour)
    inner = soft_step(np.minimum(y - line, line + gap - y), grid.step_mm) * (np.abs(u) < 0.92) * (gap > 0.8)
    paint(canvas, inner, material('mouth'))
    teeth = soft_step(np.minimum(y - line, line + 0.5 * gap - y), grid.step_mm) * (np.abs(u) < 0.7) * (gap > 1.5)
    paint(canvas, 0.85 * teeth, material('tooth'))
    dark = (
        np.exp(-0.5 * ((y - line) / (0.9 + 0.35 * grid.step_mm)) ** 2) * (lid[None, :] > 0) * np.sqrt(lid)[None, :]
    )
    scale_rgb(canvas, 1.0 - 0.62 * dark, 0.6)


def _paint_skin(canvas: np.ndarray, subject: Subject, grid: HeadGrid, rng: np.random.Generator) -> None:
    """Paint mottling, blood, folds, under-eye shade, nostrils and ears."""
    x, y = grid.x_mm, grid.y_mm
    mottle = 0.035 * noise_field(rng, grid.shape, (14, 11)) + 0.03 * noise_field(rng, grid.shape, (60, 45))
    freckles = np.maximum(noise_field(rng, grid.shape, (95, 70)) - 2.1, 0.0)
    scale_rgb(canvas, np.clip(1.0 + mottle - 0.22 * freckles, 0.4, 1.4), 0.35)
    bumps = [(1.0, side * 40.0, 26.0, 17.0, 14.0) for side in (-1.0, 1.0)]
    bumps.append((1.0, 0.0, subject.nose_length_mm - 8.0, 11.0, 9.0))
    blood = np.minimum(bump_sum(x, y, bumps) + 0.6 * ear_mask(subject, grid), 1.0)
    canvas[..., 1] *= 1.0 - 0.20 * subject.redness * blood
    canvas[..., 2] *= 1.0 - 0.22 * subject.redness * blood
    bumps = []
    for side in (-1.0, 1.0):
        dx = side * subject.eye_dx_mm
        bumps.append((0.13 + 0.22 * subject.age, dx - 2 * side, EYE_Y_MM + 10.0, 11.0, 3.2))
        bumps.append((0.20, dx - 4.0 * side, EYE_Y_MM - 6.0, 13.0, 7.0))
        bumps.append((0.30, side * (subject.half_width_mm + 1.0), 8.0, 4.0, 15.0))
        nostril = (side * 0.50 * subject.nose_width_mm, subject.nose_length_mm - 0.5)
        hole = bump(x, y, nostril, (3.0, 1.7))
        paint(canvas, 0.8 * hole, material('nostril'))
    shade = bump_sum(x, y, bumps)
    for row in (-62.0, -52.0, -43.0) if subject.age > 0.35 else ():
        wave = row + 1.5 * np.sin(x / 17.0)
        line = np.exp(-0.5 * ((y[:, None] - wave[None, :]) / 1.5) ** 2) * np.exp(-0.5 * (x / 30.0) ** 2)[None, :]
        shade += 0.38 * (subject.age - 0.35) * line
    scale_rgb(canvas, 1.0 - np.minimum(shade, 0.7), 0.35)


def _paint_beard(canvas: np.ndarray, subject: Subject, grid: HeadGrid, streaks: np.ndarray) -> None:
    """Paint stubble or beard on jaw, chin and upper lip."""
    x, y = grid.x_mm, grid.y_mm
    line = mouth_y_mm(subject)
    inner = ellipse_mask(x, y, (0.0, line - 24.0), (50.0, 38.0), 14.0)
    jaw = soft_step(y - 12.0, 34.0)[:, None] * (1.0 - inner)
    lips = ellipse_mask(x, y, (0.0, line + 1.0), (subject.mouth_width_mm, 2.0 * subject.lip_mm), 3.0)
    lip_hair = bump(x, y, (0.0, line - 2.1 * subject.lip_mm), (17.0, 3.6))
    cover = np.maximum(subject.beard * jaw, subject.moustache * np.minimum(1.6 * lip_hair, 1.0)) * (1.0 - lips)
    cover = cover * unit_clip(0.85 + 0.25 * streaks) * (face_radius(subject, grid) < 1.05)
    paint(canvas, 0.92 * cover.astype(np.float32), hair_row(subject))


def paint_face(subject: Subject, grid: HeadGrid, expression: Expression) -> np.ndarray:
    """Paint the whole face without hair and glasses.

    Args:
        subject: whose face.
        grid: H x W sampling points.
        expression: eyelids, mouth and gaze.

    Returns:
        (H, W, 6) material map; skin also covers what lies outside the outline, so that edges do not fray.
    """
    rng = np.random.default_rng(subject.texture_seed)
    skin = skin_colour(subject.melanin, subject.redness)
    canvas = np.broadcast_to(skin, (*grid.shape, 6)).astype(np.float32)
    _paint_skin(canvas, subject, grid, rng)
    streaks = streak_field(rng, grid.shape, (70, 90))
    _paint_beard(canvas, subject, grid, streaks)
    # Features are painted on the few rows they need, which is several times faster.
    line = mouth_y_mm(subject)
    rows, part = _rows(grid, line - 16.0, line + 30.0)
    _paint_mouth(canvas[rows], subject, part, expression)
    rows, part = _rows(grid, EYE_Y_MM - 36.0, EYE_Y_MM)
    _paint_brows(canvas[rows], subject, part, streaks[rows])
    rows, part = _rows(grid, EYE_Y_MM - 20.0, EYE_Y_MM + 14.0)
    paint_eyes(canvas[rows], subject, part, expression)
    return canvas


def _rows(grid: HeadGrid, top_mm: float, bottom_mm: float) -> tuple[slice, HeadGrid]:
    """Return the rows between two heights and the grid of just these rows."""
    first, last = np.searchsorted(grid.y_mm, (top_mm, bottom_mm))
    rows = slice(int(first), int(last) + 1)
    return rows, HeadGrid(grid.x_mm, grid.y_mm[rows], grid.step_mm)
