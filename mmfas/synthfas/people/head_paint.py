"""Materials of a head: skin, eyes, brows, lips, hair, beard and glasses painted into one (H, W, 6) map.

Channels: linear R, G, B, NIR reflectance, gloss, depth failure affinity.
"""

from __future__ import annotations

import cv2
import numpy as np

from mmfas.synthfas.materials import material, skin_colour
from mmfas.synthfas.people.head_shape import EYE_Y_MM, HeadGrid, ear_mask, face_radius, from_nearer_eye, mouth_y_mm
from mmfas.synthfas.people.head_texture import skin_texture, stubble_texture
from mmfas.synthfas.records import Expression, Subject
from mmfas.synthfas.shapes import bump, bump_sum, ellipse_mask, soft_step, unit_clip

__all__ = ['eye_opening', 'hair_row', 'paint', 'paint_eyes', 'paint_face', 'primed']


def primed(row: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an (H, W, 6) canvas of one material (6,).

    In memory it is six planes: nearly all work is on one plane at a time, and a trailing axis of six would make
    every operation several times slower.
    """
    planes = np.empty((len(row), *shape), np.float32)
    planes[...] = row[:, None, None]
    return np.moveaxis(planes, 0, -1)


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
    for k in range(canvas.shape[2]):
        change = (row[k] if row.ndim == 1 else row[box][..., k]) - part[..., k]
        change *= cover
        part[..., k] += change


def _window(coverage: np.ndarray) -> tuple[slice, slice] | None:
    """Return the smallest window (rows, columns) that holds all of a coverage, None if there is none."""
    left, top, width, height = cv2.boundingRect((coverage > 0).view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def scale_rgb(canvas: np.ndarray, factor: np.ndarray, nir_weight: float) -> None:
    """Multiply colours in place by `factor` (H, W); NIR changes by the fraction `nir_weight` of it."""
    for k in range(3):
        canvas[..., k] *= factor
    canvas[..., 3] *= 1.0 + nir_weight * (factor - 1.0)


def hair_row(subject: Subject) -> np.ndarray:
    """Material (6,) of the subject's hair: eumelanin is dark in the visible, far less in NIR."""
    rgb = np.array(subject.hair_rgb, np.float32)
    nir = 0.16 + 0.9 * float(rgb.mean()) ** 0.6
    return np.array([*rgb, min(nir, 0.55), 0.22, 0.30], np.float32)


def eye_opening(subject: Subject, grid: HeadGrid, expression: Expression) -> np.ndarray:
    """Coverage (H, W) of the almonds between the lids of both eyes; x is `from_nearer_eye`, outwards."""
    u = grid.x_mm / subject.eye_width_mm
    lid = np.maximum(1.0 - u**2, 0.0)
    open_mm = subject.eye_open_mm * (1.0 - expression.blink)
    # The outer corner is a little higher.
    y = (grid.y_mm - EYE_Y_MM)[:, None] + (0.72 * u)[None, :]
    inside = np.minimum(y + (open_mm * lid**0.75)[None, :], (0.75 * open_mm * lid)[None, :] - y)
    return soft_step(inside, 1.0 * grid.step_mm) * (lid > 0)


def paint_eyes(canvas: np.ndarray, subject: Subject, grid: HeadGrid, expression: Expression) -> None:
    """Paint sclera, iris, pupil, lashes and lid crease of both eyes into the canvas (H, W, 6) in place."""
    x, y, edge = from_nearer_eye(subject, grid.x_mm), grid.y_mm, grid.step_mm
    outwards = HeadGrid(x * np.sign(grid.x_mm), y, edge)
    iris = np.array([*subject.iris_rgb, 0.30 + 0.3 * subject.iris_rgb[2], 0.7, 0.05], np.float32)
    opening = eye_opening(subject, outwards, expression)
    centre = (expression.gaze[0], EYE_Y_MM + expression.gaze[1] - 0.6)
    closed = eye_opening(subject, outwards, Expression(blink=-0.42))
    lashes = unit_clip(closed - opening) * (y < EYE_Y_MM + 1.0)[:, None]
    paint(canvas, 0.72 * lashes, canvas * np.array([0.22, 0.2, 0.2, 0.55, 0.5, 1.0], np.float32))
    crease = bump(x, y, (0.0, EYE_Y_MM - 10.5), (12.0, 1.3))
    scale_rgb(canvas, 1.0 - 0.30 * crease, 0.4)
    paint(canvas, opening, material('sclera') * np.array([1, 0.97, 0.95, 1, 1, 1], np.float32))
    paint(canvas, opening * ellipse_mask(x, y, centre, (5.9, 5.9), edge), iris)
    paint(canvas, opening * ellipse_mask(x, y, centre, (2.5, 2.5), edge), material('pupil'))
    # The upper lid shades the ball; without it eyes look painted on.
    shade = bump(x, y, (0.0, EYE_Y_MM - 5.0), (14.0, 2.4))
    scale_rgb(canvas, 1.0 - 0.45 * shade * opening, 0.5)


def _paint_brows(canvas: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Paint the eyebrows as two arcs of hair."""
    hair = hair_row(subject)
    hair[:3] = np.minimum(hair[:3], 0.10) * (0.5 + 0.5 * (1.0 - subject.melanin))
    u = (np.abs(grid.x_mm) - subject.eye_dx_mm - 1.0) / 19.0
    axis = EYE_Y_MM - 17.5 - subject.brow_mm * 0.4 + 5.0 * (u - 0.25) ** 2
    thick = (3.9 - 1.9 * np.clip(u, -1, 1)) * np.clip(1.12 - u**2, 0.0, 1.0)
    inside = thick[None, :] - np.abs(grid.y_mm[:, None] - axis[None, :])
    cover = soft_step(inside, 2.0 + grid.step_mm) * (np.abs(u) < 1.06)
    texture = unit_clip(0.85 + 0.2 * stubble_texture(subject, grid))
    paint(canvas, subject.brow_density * cover * texture, hair)


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


def _paint_skin(canvas: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Paint mottling, blood, folds, under-eye shade and ears."""
    x, y = grid.x_mm, grid.y_mm
    bumps = [(1.0, side * 40.0, 26.0, 17.0, 14.0) for side in (-1.0, 1.0)]
    bumps.append((1.0, 0.0, subject.nose_length_mm - 8.0, 11.0, 9.0))
    blood = np.minimum(bump_sum(x, y, bumps) + 0.6 * ear_mask(subject, grid), 1.0)
    canvas[..., 1] *= 1.0 - (0.20 * subject.redness) * blood
    canvas[..., 2] *= 1.0 - (0.22 * subject.redness) * blood
    bumps = []
    for side in (-1.0, 1.0):
        dx = side * subject.eye_dx_mm
        bumps.append((0.13 + 0.22 * subject.age, dx - 2 * side, EYE_Y_MM + 10.0, 11.0, 3.2))
        bumps.append((0.20, dx - 4.0 * side, EYE_Y_MM - 6.0, 13.0, 7.0))
        bumps.append((0.30, side * (subject.half_width_mm + 1.0), 8.0, 4.0, 15.0))
    shade = bump_sum(x, y, bumps)
    if subject.age > 0.35:
        _add_wrinkles(shade, subject, grid)
    scale_rgb(canvas, skin_texture(subject, grid) * (1.0 - np.minimum(shade, 0.7)), 0.35)


def _add_wrinkles(shade: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Draw three lines across the forehead into a map of shade (H, W), in place."""
    part, grid = grid.window(100.0, -70.0, -35.0)
    wave = 1.5 * np.sin(grid.x_mm / 17.0)
    lines = sum(np.exp(-0.5 * ((grid.y_mm[:, None] - row - wave) / 1.5) ** 2) for row in (-62.0, -52.0, -43.0))
    shade[part] += lines * (0.38 * (subject.age - 0.35) * np.exp(-0.5 * (grid.x_mm / 30.0) ** 2))


def _paint_nostrils(canvas: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Paint both nostrils."""
    centre = (0.50 * subject.nose_width_mm, subject.nose_length_mm - 0.5)
    paint(canvas, 0.8 * bump(np.abs(grid.x_mm), grid.y_mm, centre, (3.0, 1.7)), material('nostril'))


def _paint_beard(canvas: np.ndarray, subject: Subject, grid: HeadGrid) -> None:
    """Paint stubble or beard on jaw, chin and upper lip."""
    x, y = grid.x_mm, grid.y_mm
    line = mouth_y_mm(subject)
    inner = ellipse_mask(x, y, (0.0, line - 24.0), (50.0, 38.0), 14.0)
    jaw = soft_step(y - 12.0, 34.0)[:, None] * (1.0 - inner)
    lips = ellipse_mask(x, y, (0.0, line + 1.0), (subject.mouth_width_mm, 2.0 * subject.lip_mm), 3.0)
    lip_hair = bump(x, y, (0.0, line - 2.1 * subject.lip_mm), (17.0, 3.6))
    cover = np.maximum(subject.beard * jaw, subject.moustache * np.minimum(1.6 * lip_hair, 1.0)) * (1.0 - lips)
    cover *= unit_clip(0.85 + 0.25 * stubble_texture(subject, grid))
    cover[face_radius(subject, grid) >= 1.05] = 0.0
    paint(canvas, 0.92 * cover, hair_row(subject))


def paint_face(subject: Subject, grid: HeadGrid, expression: Expression) -> np.ndarray:
    """Paint the whole face without hair and glasses.

    Args:
        subject: Whose face.
        grid: H x W sampling points.
        expression: Eyelids, mouth and gaze.

    Returns:
        (H, W, 6) material map; skin also covers what lies outside the outline, so that edges do not fray.
    """
    canvas = primed(skin_colour(subject.melanin, subject.redness), grid.shape)
    _paint_skin(canvas, subject, grid)
    # Features are painted in the window they need, which is several times faster.
    box, part = grid.window(35.0, subject.nose_length_mm - 9.0, subject.nose_length_mm + 8.0)
    _paint_nostrils(canvas[box], subject, part)
    box, part = grid.window(200.0, -5.0, subject.chin_mm + 12.0)
    _paint_beard(canvas[box], subject, part)
    line = mouth_y_mm(subject)
    box, part = grid.window(1.2 * subject.mouth_width_mm, line - 16.0, line + 30.0)
    _paint_mouth(canvas[box], subject, part, expression)
    reach = subject.eye_dx_mm + 24.0
    box, part = grid.window(reach, EYE_Y_MM - 36.0, EYE_Y_MM)
    _paint_brows(canvas[box], subject, part)
    box, part = grid.window(reach + 16.0, EYE_Y_MM - 20.0, EYE_Y_MM + 14.0)
    paint_eyes(canvas[box], subject, part, expression)
    return canvas
