"""Assemble a head: shape, paint, hair and glasses; and turn maps into a `Surface`."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.materials import material
from mmfas.synthfas.people.head_paint import hair_row, paint, paint_face, primed
from mmfas.synthfas.people.head_shape import EYE_Y_MM, HeadGrid, face_radius, head_height
from mmfas.synthfas.people.head_texture import hair_texture
from mmfas.synthfas.records import Expression, Subject, Surface
from mmfas.synthfas.shapes import positive, soft_step, unit_clip

__all__ = ['HeadMaps', 'build_head', 'to_surface', 'wear_glasses', 'wear_hair']

_SLOPE = np.array([[-0.5, 0.0, 0.5]], np.float32)
_STEEPEST = np.float32(3.7)


@dataclass
class HeadMaps:
    """A head before it becomes a surface; attacks change these maps.

    Args:
        grid: Sampling points (H x W).
        height: (H, W) z in mm.
        cover: (H, W) coverage 0..1.
        canvas: (H, W, 6) materials.
    """

    grid: HeadGrid
    height: np.ndarray
    cover: np.ndarray
    canvas: np.ndarray


def _hair_regions(subject: Subject, grid: HeadGrid) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (H, W) of hair and its outer envelope (relative radius of the grown outline)."""
    x, y = grid.x_mm, grid.y_mm
    grow = {'buzz': 3.0, 'bald': 0.0}.get(subject.hair_style, subject.hair_mm)
    outer = face_radius(subject, grid, grow)
    # Rows above the crown have no outline: close the cap with a circle around the skull.
    upper = y < 0
    wide, high = x / (subject.half_width_mm + grow), y[upper] / (subject.crown_mm + grow)
    outer[upper] = np.sqrt((wide**2)[None, :] + (high**2)[:, None])
    ax = np.abs(x)
    line = subject.hairline_mm + 0.004 * ax**2 * (1.0 + 0.3 * subject.age)
    side_x = subject.half_width_mm - 7.0
    if subject.hair_style == 'fringe':
        line = np.minimum(line + 34.0, -27.0 + 0.002 * ax**2)
    if subject.hair_style == 'side':
        line = line + 16.0 * np.clip(x / 45.0, -0.3, 1.0)
    above = line[None, :] - y[:, None]
    sideburn = np.minimum((ax - side_x)[None, :] + 0.1 * y[:, None], 6.0 - y[:, None])
    region = np.maximum(above, sideburn)
    if subject.hair_style == 'long':
        curtain = np.minimum((ax - subject.half_width_mm + 13.0)[None, :], 148.0 - y[:, None])
        drop = (subject.half_width_mm + subject.hair_mm - ax)[None, :] + np.minimum(0.0, 40.0 - 0.2 * y)[:, None]
        region = np.maximum(region, curtain)
        lower = y > 0
        outer[lower] = 1.0 - drop[lower] / 60.0
    inside = soft_step((1.0 - outer) * 60.0, 2.0 * grid.step_mm)
    return soft_step(region, 5.0 + grid.step_mm) * inside, outer


def wear_hair(maps: HeadMaps, subject: Subject) -> None:
    """Put the subject's hair on the maps, in place."""
    if subject.hair_style == 'bald':
        return
    grid = maps.grid
    cover, outer = _hair_regions(subject, grid)
    streaks = hair_texture(subject, grid)
    fray = unit_clip(1.5 * cover - 0.25 + 1.2 * streaks * cover * (1.0 - cover))
    thick = subject.hair_mm * (0.3 if subject.hair_style == 'buzz' else 0.75)
    envelope = (subject.depth_mm + thick) * cv2.sqrt(positive(1.0 - outer**2)) + 4.0
    if subject.hair_style == 'long':
        # Curtains fall beside the face, not in front of it.
        envelope[grid.y_mm > 0] *= 0.62
    height = np.maximum(maps.height + 0.4 * thick * fray, envelope * fray)
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 3.0 / grid.step_mm) + 0.7 * streaks * fray
    maps.height = np.where(fray > 0.05, height, maps.height).astype(np.float32)
    locks = primed(hair_row(subject), grid.shape)
    locks[..., :4] *= np.minimum(np.maximum(1.0 + 0.30 * streaks, 0.35), 2.0)[..., None]
    thin = 0.72 if subject.hair_style == 'buzz' else 1.0
    paint(maps.canvas, thin * fray, locks)
    maps.cover = np.maximum(maps.cover, fray)


def _lens_distance(subject: Subject, grid: HeadGrid) -> np.ndarray:
    """Signed distance (H, W) to the rim of the nearer lens, positive inside."""
    x = np.abs(grid.x_mm) - (subject.eye_dx_mm + 1.0)
    y = grid.y_mm - (EYE_Y_MM + 1.0)
    if subject.glasses == 'square':
        box = np.maximum(np.abs(x)[None, :] - 17.0, np.abs(y)[:, None] - 11.0)
        return 7.0 - np.maximum(box, 0.0) - np.where(box > 0, 0.0, box)
    return 21.5 - np.sqrt((x**2)[None, :] + ((1.12 * y) ** 2)[:, None])


def wear_glasses(maps: HeadMaps, subject: Subject) -> None:
    """Put the subject's glasses on the maps, in place; does nothing for `glasses='none'`."""
    if subject.glasses == 'none':
        return
    box, grid = maps.grid.window(200.0, EYE_Y_MM - 26.0, EYE_Y_MM + 28.0)
    x, y = grid.x_mm, grid.y_mm
    distance = _lens_distance(subject, grid)
    lens = soft_step(distance, grid.step_mm)
    rim = soft_step(1.7 - np.abs(distance), 0.8 * grid.step_mm)
    bridge = soft_step(1.5 - np.abs(y - EYE_Y_MM + 3.0), grid.step_mm)[:, None] * (np.abs(x) < 12.0)
    arms = soft_step(1.7 - np.abs(y - EYE_Y_MM + 4.0), grid.step_mm)[:, None] * (
        np.abs(x) > subject.eye_dx_mm + 20
    )
    rim = np.maximum(rim, np.maximum(bridge, arms * (face_radius(subject, grid) < 1.03)))
    frame = material('frame_black' if subject.texture_seed % 3 else 'frame_metal')
    canvas = maps.canvas[box]
    canvas[..., 4] += 0.25 * lens
    canvas[..., 5] += 0.35 * lens
    canvas[..., :3] *= (1.0 - 0.10 * lens)[..., None]
    paint(canvas, 0.95 * rim, frame)
    maps.height[box] += rim * 7.0


def build_head(
    subject: Subject, grid: HeadGrid, expression: Expression, *, hair: bool = True, glasses: bool = True
) -> HeadMaps:
    """Build one head in its own frame.

    Args:
        subject: Shape and looks.
        grid: H x W sampling points.
        expression: Of this video.
        hair: Whether to wear the hair.
        glasses: Whether to wear the subject's glasses, if any.

    Returns:
        The maps; arrays are fresh and may be changed.
    """
    height, cover = head_height(subject, grid, expression)
    maps = HeadMaps(grid, height, cover, paint_face(subject, grid, expression))
    if hair:
        wear_hair(maps, subject)
    if glasses:
        wear_glasses(maps, subject)
    return maps


def _covered(cover: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that a coverage needs, with a margin; what is cut off is never seen."""
    left, top, width, height = cv2.boundingRect((cover > 0).view(np.uint8))
    if width == 0:
        return slice(None), slice(None)
    return slice(max(top - 3, 0), top + height + 3), slice(max(left - 3, 0), left + width + 3)


def to_surface(
    grid: HeadGrid,
    height: np.ndarray,
    cover: np.ndarray,
    canvas: np.ndarray,
    *,
    emission: np.ndarray | None = None,
    relief_mm: float = 80.0,
) -> Surface:
    """Pack maps into a `Surface` with slopes.

    Args:
        grid: H x W sampling points.
        height: (H, W) z in mm.
        cover: (H, W) coverage.
        canvas: (H, W, 6) materials.
        emission: (H, W) emission 0..1 (1 = a screen), or None for none.
        relief_mm: Depth range of the ray search; 0 for a plane.

    Returns:
        A surface whose slopes are limited to 75 degrees, as a real outline is.
    """
    box = _covered(cover)
    grid = HeadGrid(grid.x_mm[box[1]], grid.y_mm[box[0]], grid.step_mm)
    height = np.ascontiguousarray(height[box], np.float32)
    slopes = []
    for kernel in (_SLOPE, _SLOPE.T):
        slope = cv2.filter2D(height, -1, kernel / np.float32(grid.step_mm), borderType=cv2.BORDER_REPLICATE)
        slopes.append(np.minimum(np.maximum(slope, -_STEEPEST), _STEEPEST))
    planes = [np.ascontiguousarray(canvas[box][..., k]) for k in range(6)]
    shape = cv2.merge([height, np.ascontiguousarray(cover[box], np.float32), *slopes])
    optics = cv2.merge(
        [*planes[4:], np.zeros_like(height) if emission is None else np.ascontiguousarray(emission[box])]
    )
    colour = cv2.merge(planes[:4])
    np.minimum(np.maximum(colour, 0.004, out=colour), 0.97, out=colour)
    return Surface(float(grid.x_mm[0]), float(grid.y_mm[0]), grid.step_mm, shape, colour, optics, relief_mm)
