"""Flat and bent attack media: printed sheets (also with holes) and screens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.attacks.photo import PHOTO_MM
from mmfas.synthfas.materials import material, skin_colour
from mmfas.synthfas.people.head import to_surface
from mmfas.synthfas.people.head_paint import paint, primed
from mmfas.synthfas.people.head_shape import EYE_Y_MM, HeadGrid
from mmfas.synthfas.records import Subject, Surface
from mmfas.synthfas.shapes import ellipse_mask, noise_field, soft_step, unit_clip

__all__ = ['INKS', 'Sheet', 'build_screen', 'build_sheet', 'ink_reflectance']

#: Inks by how much of their darkness is visible in NIR: of dye hardly any, of carbon the black part, of pigment
#: all.
INKS: tuple[str, ...] = ('dye', 'carbon', 'pigment')


@dataclass(frozen=True)
class Sheet:
    """A printed sheet.

    Args:
        ink: One of `INKS`.
        paper: A paper of `materials.MATERIALS`.
        scale: Size of the printed face over life size.
        border_mm: White margin; 0 means the print is cut to the photo.
        curvature_per_m: Inverse bending radius; 0 means flat, larger means more bent.
        upright_axis: True bends about the vertical, False about the horizontal axis.
        holes: '' or letters of 'e' (eyes), 'n' (nose), 'm' (mouth), cut out.
        crumple_mm: Height of creases.
        crop: Fraction of the photo that is printed, 0..1; smaller means that the face fills the sheet.
    """

    ink: str
    paper: str
    scale: float
    border_mm: float
    curvature_per_m: float
    upright_axis: bool
    holes: str
    crumple_mm: float
    crop: float


def ink_reflectance(photo: np.ndarray, sheet: Sheet) -> np.ndarray:
    """Turn a photo into the reflectance of its print.

    Args:
        photo: (H, W, 3) linear R, G, B in 0..1.
        sheet: Ink and paper.

    Returns:
        (H, W, 4) reflectance R, G, B, NIR. The visible gamut is compressed (black ink reflects about 4 %); in NIR
        dye is nearly transparent, carbon black shows only its key component, pigment follows the luminance.
    """
    paper = material(sheet.paper)
    out = np.empty((*photo.shape[:2], 4), np.float32)
    out[..., :3] = paper[:3] * (0.03 + 0.97 * photo)
    red, green, blue = cv2.split(photo)
    darkness = 1.0 - np.sqrt((red + green + blue) / np.float32(3.0))
    if sheet.ink == 'dye':
        seen = 0.10 * darkness
    elif sheet.ink == 'carbon':
        bright = np.maximum(np.maximum(red, green), blue)
        seen = 0.80 * cv2.pow(unit_clip(1.0 - np.sqrt(bright)), 1.2)
    else:
        seen = 0.72 * darkness
    out[..., 3] = paper[3] * (1.0 - seen)
    return out


def _plane_grid(half_x: float, half_y: float, step_mm: float) -> HeadGrid:
    """Cover +-half_x, +-half_y with a margin of two steps."""
    margin = 2.0 * step_mm
    return HeadGrid(
        np.arange(-half_x - margin, half_x + 2 * margin, step_mm, dtype=np.float32),
        np.arange(-half_y - margin, half_y + 2 * margin, step_mm, dtype=np.float32),
        step_mm,
    )


def _place(photo: np.ndarray, grid: HeadGrid, width_mm: float, crop: float, turn: int = 0) -> np.ndarray:
    """Resample a photo (S, S, C) so that its central `crop` spans `width_mm` on the grid."""
    size = photo.shape[0]
    px_per_mm = size * crop / width_mm
    matrix = np.array(
        [
            [grid.step_mm * px_per_mm, 0, grid.x_mm[0] * px_per_mm + size / 2 - 0.5],
            [0, grid.step_mm * px_per_mm, grid.y_mm[0] * px_per_mm + size / 2 - 0.5],
        ],
        np.float32,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        np.rot90(photo, turn).copy(), matrix, grid.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def _holes(subject: Subject, grid: HeadGrid, sheet: Sheet) -> np.ndarray:
    """Coverage (H, W) of the cut-out eyes, nose and mouth."""
    scale = sheet.scale
    out = np.zeros(grid.shape, np.float32)
    spots = []
    if 'e' in sheet.holes:
        spots += [((side * subject.eye_dx_mm, EYE_Y_MM), (19.0, 11.0)) for side in (-1.0, 1.0)]
    if 'n' in sheet.holes:
        spots.append(((0.0, subject.nose_length_mm - 14.0), (17.0, 20.0)))
    if 'm' in sheet.holes:
        spots.append(((0.0, 0.6 * subject.nose_length_mm + 0.4 * subject.chin_mm), (31.0, 14.0)))
    for (cx, cy), (rx, ry) in spots:
        mask = ellipse_mask(
            grid.x_mm, grid.y_mm, (cx * scale, cy * scale), (rx * scale, ry * scale), 1.5 * grid.step_mm
        )
        out = np.maximum(out, mask)
    return out


def _add_thumbs(
    canvas: np.ndarray, height: np.ndarray, cover: np.ndarray, grid: HeadGrid, half_x: float, holder: Subject
) -> np.ndarray:
    """Lay the holder's thumbs over the left and right edge; canvas and height change in place.

    Returns:
        The coverage (H, W) with thumbs.
    """
    row = skin_colour(holder.melanin, holder.redness)
    for side in (-1.0, 1.0):
        centre = (side * (half_x - 4.0), 42.0)
        thumb = ellipse_mask(grid.x_mm, grid.y_mm, centre, (24.0, 9.0), 1.5 * grid.step_mm)
        paint(canvas, thumb, row)
        height += 9.0 * np.sqrt(thumb)
        cover = np.maximum(cover, thumb)
    return cover


def build_sheet(
    photo: np.ndarray,
    sheet: Sheet,
    rng: np.random.Generator,
    step_mm: float,
    *,
    victim: Subject,
    holder: Subject | None,
) -> Surface:
    """Print a photo and hold it up.

    Args:
        photo: (S, S, 3) linear picture from `shoot_photo`.
        sheet: Ink, paper, bend and holes.
        rng: Creases, banding and halftone phase.
        step_mm: Grid spacing.
        victim: Who is on the photo (for the place of the holes).
        holder: Whose thumbs are seen; None means a sheet on a stand.

    Returns:
        The surface in the frame of the sheet.
    """
    width = PHOTO_MM * sheet.crop * sheet.scale
    half = width / 2 + sheet.border_mm
    grid = _plane_grid(half, half * 1.06, step_mm)
    x, y = grid.x_mm, grid.y_mm
    ink = ink_reflectance(photo, sheet)
    canvas = primed(material(sheet.paper), grid.shape)
    canvas[..., :4] = _place(ink, grid, width, sheet.crop)
    phase = rng.uniform(0, 6.28, 2).astype(np.float32)
    dots = np.sin(x * 2.4 + phase[0])[None, :] * np.sin(y * 2.4 + phase[1])[:, None]
    bands = np.sin(y * rng.uniform(0.15, 0.5))[:, None] * rng.uniform(0.0, 0.035)
    canvas[..., :3] *= (1.0 + 0.05 * dots + bands)[..., None]
    outside = np.maximum(np.abs(x)[None, :] - width / 2, np.abs(y)[:, None] - width / 2)
    paint(canvas, soft_step(outside, step_mm), material(sheet.paper))
    cover = soft_step(half - np.abs(x), step_mm)[None, :] * soft_step(half * 1.06 - np.abs(y), step_mm)[:, None]
    if sheet.holes:
        cover = cover * (1.0 - _holes(victim, grid, sheet))
    axis = x[None, :] if sheet.upright_axis else y[:, None]
    height = -0.5e-3 * sheet.curvature_per_m * axis**2 + sheet.crumple_mm * noise_field(rng, grid.shape, (5, 4))
    height = height.astype(np.float32)
    if holder is not None:
        cover = _add_thumbs(canvas, height, cover, grid, half, holder)
    return to_surface(grid, height, cover.astype(np.float32), canvas, relief_mm=1.0)


def build_screen(
    photo: np.ndarray,
    rng: np.random.Generator,
    step_mm: float,
    *,
    scale: float,
    crop: float,
    bezel_mm: float,
    moire: float,
    holder: Subject | None,
) -> Surface:
    """Show a photo on a phone, tablet or monitor.

    Args:
        photo: (S, S, 3) linear picture.
        rng: Moire frequency and phase, backlight.
        step_mm: Grid spacing.
        scale: Size of the shown face over life size.
        crop: Fraction of the photo that is shown.
        bezel_mm: Width of the dark frame.
        moire: 0..1 contrast of the beat between pixel raster and camera.
        holder: Whose thumbs are seen, or None.

    Returns:
        The surface: emits light in the visible; dark glass with reflections in NIR.
    """
    width = PHOTO_MM * crop * scale
    half_x, half_y = width / 2 + bezel_mm, width / 2 * 1.08 + 1.4 * bezel_mm
    grid = _plane_grid(half_x, half_y, step_mm)
    x, y = grid.x_mm, grid.y_mm
    canvas = primed(material('screen_glass'), grid.shape)
    backlight = np.array([0.94, 1.0, 1.10], np.float32) * rng.uniform(0.85, 1.15)
    shown = _place(photo, grid, width, crop)
    canvas[..., :3] = 0.02 + backlight * cv2.pow(shown, 0.95)
    angle, freq = rng.uniform(0, 3.14), rng.uniform(0.35, 1.1)
    wave = (np.float32(np.cos(angle) * freq) * x)[None, :] + (np.float32(np.sin(angle) * freq) * y)[:, None]
    for k in range(3):
        canvas[..., k] *= 1.0 + 0.22 * moire * np.sin(wave + 2.1 * k)
    active = np.maximum(np.abs(x)[None, :] - width / 2, np.abs(y)[:, None] - width / 2 * 1.08)
    lit = soft_step(-active, step_mm)
    paint(canvas, 1.0 - lit, material('bezel'))
    cover = soft_step(half_x - np.abs(x), step_mm)[None, :] * soft_step(half_y - np.abs(y), step_mm)[:, None]
    height = np.zeros(grid.shape, np.float32)
    emission = lit.copy()
    if holder is not None:
        cover = _add_thumbs(canvas, height, cover, grid, half_x, holder)
        emission = np.where(height > 1.0, 0.0, emission).astype(np.float32)
    return to_surface(grid, height, cover.astype(np.float32), canvas, emission=emission, relief_mm=0.5)
