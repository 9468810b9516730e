"""Attacks worn on or instead of a head: paper, rigid and silicone masks, glasses, patches, mannequins.

Each function takes the maps of a real head and returns changed maps, so depth, RGB and NIR change together.
"""

from __future__ import annotations

import cv2
import numpy as np

from mmfas.synthfas.attacks.media import Sheet, _place, ink_reflectance
from mmfas.synthfas.attacks.photo import PHOTO_MM
from mmfas.synthfas.materials import material, skin_colour
from mmfas.synthfas.people.head import HeadMaps, build_head, wear_hair
from mmfas.synthfas.people.head_paint import paint, primed
from mmfas.synthfas.people.head_shape import EYE_Y_MM, HeadGrid, face_radius, head_height, mouth_y_mm
from mmfas.synthfas.records import Expression, Subject
from mmfas.synthfas.shapes import bump, ellipse_mask, noise_field, soft_step

__all__ = [
    'build_mannequin',
    'wear_funny_glasses',
    'wear_paper_mask',
    'wear_patch',
    'wear_prosthetics',
    'wear_rigid_mask',
    'wear_silicone_mask',
]

_NEUTRAL = Expression()


def _blur(image: np.ndarray, sigma_mm: float, grid: HeadGrid) -> np.ndarray:
    """Gaussian blur of an (H, W) map or of the planes of an (H, W, 6) canvas, with a width in mm."""
    sigma = max(sigma_mm / grid.step_mm, 0.3)
    if image.ndim == 2:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    blurred = np.empty_like(image)
    for k in range(image.shape[2]):
        blurred[..., k] = cv2.GaussianBlur(np.ascontiguousarray(image[..., k]), (0, 0), sigma)
    return blurred


def _eye_holes(subject: Subject, grid: HeadGrid, radii: tuple[float, float]) -> np.ndarray:
    """Coverage (H, W) of two elliptic holes in front of the wearer's eyes."""
    masks = [
        ellipse_mask(grid.x_mm, grid.y_mm, (side * subject.eye_dx_mm, EYE_Y_MM), radii, 1.3 * grid.step_mm)
        for side in (-1.0, 1.0)
    ]
    return np.maximum(*masks)


def _oval(subject: Subject, grid: HeadGrid, top_mm: float, side: float) -> np.ndarray:
    """Coverage (H, W) of a face oval from `top_mm` to the chin, `side` times the face wide."""
    radius = face_radius(subject, grid, 3.0)
    inside = np.minimum((side - radius) * subject.half_width_mm, (grid.y_mm - top_mm)[:, None])
    return soft_step(inside, 1.3 * grid.step_mm)


def _lay(maps: HeadMaps, cover: np.ndarray, height: np.ndarray, canvas: np.ndarray) -> None:
    """Lay a shell over the head in place: materials (6,) or (H, W, 6) by coverage, height where it covers."""
    paint(maps.canvas, cover, canvas)
    maps.height = np.where(cover > 0.5, height, maps.height).astype(np.float32)
    maps.cover = np.maximum(maps.cover, cover)


def wear_paper_mask(
    maps: HeadMaps, wearer: Subject, photo: np.ndarray, sheet: Sheet, rng: np.random.Generator
) -> None:
    """Wrap a cut-out photo around the face, in place: paper bends, but cannot follow the nose.

    Args:
        maps: Head of the wearer.
        wearer: Places the eye holes.
        photo: (S, S, 3) linear picture of the victim.
        sheet: Ink, paper and holes ('m' also opens the mouth).
        rng: Creases and outline.
    """
    grid = maps.grid
    canvas = primed(material(sheet.paper), grid.shape)
    canvas[..., :4] = _place(ink_reflectance(photo, sheet), grid, PHOTO_MM * sheet.scale, 1.0)
    cover = _oval(wearer, grid, float(rng.uniform(-95, -62)), float(rng.uniform(0.92, 1.04)))
    if 'e' in sheet.holes:
        cover = cover * (1.0 - _eye_holes(wearer, grid, (16.0, 8.5)))
    if 'm' in sheet.holes:
        mouth = ellipse_mask(grid.x_mm, grid.y_mm, (0.0, mouth_y_mm(wearer)), (27.0, 10.0), 1.3 * grid.step_mm)
        cover = cover * (1.0 - mouth)
    # The sheet is a cylinder about the vertical axis through the cheeks, pushed out a little by the nose.
    drum = 30.0 + 84.0 * np.sqrt(np.clip(1.0 - (grid.x_mm / (wearer.half_width_mm + 8.0)) ** 2, 0.0, 1.0))
    height = drum[None, :] - 0.0016 * (grid.y_mm - 10.0)[:, None] ** 2
    height = 0.75 * height + 0.25 * _blur(maps.height, 14.0, grid) + 4.0
    height = height + 1.6 * noise_field(rng, grid.shape, (6, 5))
    _lay(maps, cover, height.astype(np.float32), canvas)


def wear_rigid_mask(
    maps: HeadMaps, wearer: Subject, model: Subject, rng: np.random.Generator, *, nir: float
) -> None:
    """Put a painted resin mask of `model` on the head, in place; the wearer's eyes show through the holes.

    `nir` is the NIR reflectance of the resin, 0..1.
    """
    grid = maps.grid
    face = build_head(model, grid, _NEUTRAL, hair=False, glasses=False)
    canvas = _blur(face.canvas, 1.2, grid)
    resin = material('resin')
    # Paint covers the resin in the visible; in NIR mostly the bulk is seen.
    canvas[..., :3] = 0.42 * canvas[..., :3] + 0.58 * resin[:3] * rng.uniform(0.8, 1.15)
    canvas[..., 3] = 0.08 * canvas[..., 3] + 0.92 * nir
    canvas[..., 4], canvas[..., 5] = resin[4] * rng.uniform(0.6, 1.5), resin[5]
    cover = _oval(wearer, grid, float(rng.uniform(-92, -66)), float(rng.uniform(0.93, 1.03)))
    cover = cover * (1.0 - _eye_holes(wearer, grid, (15.0, float(rng.uniform(7.0, 10.0)))))
    height = _blur(face.height, 2.5, grid) + float(rng.uniform(9.0, 16.0))
    _lay(maps, cover, height, canvas)


def wear_silicone_mask(
    maps: HeadMaps, wearer: Subject, model: Subject, rng: np.random.Generator, *, skin_like: float, nir: float
) -> None:
    """Pull a flexible mask of `model` over the head, in place.

    Args:
        maps: Head of the wearer.
        wearer: Places eyes and mouth.
        model: Whose looks the mask has.
        rng: Pigment and thickness.
        skin_like: 0..1, how closely the pigmented silicone matches skin in NIR.
        nir: NIR reflectance of the silicone where it is not skin-like, 0..1.
    """
    grid = maps.grid
    face = build_head(model, grid, _NEUTRAL, hair=False, glasses=False)
    canvas = _blur(face.canvas, 0.8, grid)
    bulk = material('silicone')
    tint = skin_colour(model.melanin, 0.4)
    canvas[..., :3] = 0.36 * canvas[..., :3] + 0.64 * (0.3 * tint[:3] + 0.7 * bulk[:3])
    canvas[..., 3] = skin_like * canvas[..., 3] + (1.0 - skin_like) * (0.08 * canvas[..., 3] + 0.92 * nir)
    canvas[..., 4] = bulk[4] * rng.uniform(0.7, 1.8)
    cover = _oval(wearer, grid, -140.0, 1.08)
    cover = cover * (1.0 - _eye_holes(wearer, grid, (12.5, 5.2)))
    inner = ellipse_mask(grid.x_mm, grid.y_mm, (0.0, mouth_y_mm(wearer)), (20.0, 2.4), grid.step_mm)
    cover = cover * (1.0 - 0.8 * inner)
    height = 0.8 * _blur(face.height, 3.5, grid) + 0.2 * maps.height + float(rng.uniform(4.0, 9.0))
    _lay(maps, cover, height.astype(np.float32), canvas)
    if rng.random() < 0.5:
        wear_hair(maps, model)


def wear_funny_glasses(maps: HeadMaps, wearer: Subject, rng: np.random.Generator) -> None:
    """Put on novelty glasses, in place: paper eyes, thick coloured frames or a nose-and-moustache set."""
    grid = maps.grid
    kind = int(rng.integers(3))
    x, y = grid.x_mm, grid.y_mm
    frame = material('cardboard')
    frame[:3] = rng.permutation((rng.uniform(0.5, 0.85), rng.uniform(0.02, 0.15), rng.uniform(0.02, 0.85)))
    cover = np.zeros(grid.shape, np.float32)
    for side in (-1.0, 1.0):
        centre = (side * (wearer.eye_dx_mm + 1.0), EYE_Y_MM)
        outer_rim = ellipse_mask(x, y, centre, (34.0, 30.0), grid.step_mm)
        inner_rim = ellipse_mask(x, y, centre, (18.0, 12.5), grid.step_mm)
        cover = np.maximum(cover, outer_rim if kind == 0 else outer_rim - 0.96 * inner_rim)
    bridge = soft_step(5.0 - np.abs(y - EYE_Y_MM), grid.step_mm)[:, None] * (np.abs(x) < 16.0)
    cover = np.maximum(cover, bridge.astype(np.float32))
    plane = wearer.depth_mm + 12.0 - 0.0035 * x[None, :] ** 2
    _lay(maps, cover, np.maximum(plane, maps.height + 2.0), frame)
    if kind == 0:
        for side in (-1.0, 1.0):
            centre = (side * (wearer.eye_dx_mm + 1.0), EYE_Y_MM)
            paint(maps.canvas, ellipse_mask(x, y, centre, (27.0, 23.0), grid.step_mm), material('paper'))
            pupil = (centre[0] + float(rng.uniform(-5, 5)), centre[1] + float(rng.uniform(-4, 4)))
            paint(maps.canvas, ellipse_mask(x, y, pupil, (8.0, 8.0), grid.step_mm), material('frame_black'))
    if kind == 2:
        nose = ellipse_mask(x, y, (0.0, wearer.nose_length_mm - 16.0), (17.0, 25.0), 2.0)
        shell = _blur(maps.height, 5.0, grid) + 14.0 * bump(
            x, y, (0.0, wearer.nose_length_mm - 14.0), (14.0, 18.0)
        )
        _lay(maps, nose, shell, material('plastic'))


def wear_patch(maps: HeadMaps, wearer: Subject, photo: np.ndarray, sheet: Sheet, rng: np.random.Generator) -> None:
    """Hold a part of a printed face (S, S, 3) before the wearer, in place: eye strip, lower or one half."""
    grid = maps.grid
    canvas = primed(material(sheet.paper), grid.shape)
    canvas[..., :4] = _place(ink_reflectance(photo, sheet), grid, PHOTO_MM * sheet.scale, 1.0)
    kind = int(rng.integers(3))
    x, y = grid.x_mm, grid.y_mm
    zero = np.zeros(grid.shape, np.float32)
    if kind == 0:
        distance = np.minimum(32.0 - np.abs(y - EYE_Y_MM - 4)[:, None], 72.0 - np.abs(x)[None, :]) + zero
    elif kind == 1:
        distance = np.minimum((y - 8.0)[:, None], 66.0 - np.abs(x)[None, :]) + zero
    else:
        side = float(rng.choice((-1.0, 1.0)))
        distance = np.minimum((side * x - 4.0)[None, :], (60.0 - np.abs(y - 18.0) + 25.0)[:, None]) + zero
    # The strip is cut with a white margin.
    paint(canvas, soft_step(7.0 - distance, grid.step_mm), material(sheet.paper))
    cover = soft_step(distance, 1.3 * grid.step_mm) * soft_step(
        (1.02 - face_radius(wearer, grid)) * 70.0, 1.3 * grid.step_mm
    )
    plane = wearer.depth_mm + 14.0 - 0.004 * x[None, :] ** 2 + float(rng.normal(0, 0.05)) * y[:, None]
    height = 0.6 * plane + 0.4 * _blur(maps.height, 12.0, grid) + 4.0
    _lay(maps, cover, height.astype(np.float32), canvas)


def wear_prosthetics(maps: HeadMaps, wearer: Subject, model: Subject, rng: np.random.Generator) -> None:
    """Glue thin silicone pieces of `model` on nose, chin and brow, in place (the attack of `unseen_pai`)."""
    grid = maps.grid
    face = build_head(model, grid, _NEUTRAL, hair=False, glasses=False)
    spots = (
        ((0.0, wearer.nose_length_mm - 16.0), (20.0, 27.0)),
        ((0.0, wearer.chin_mm - 16.0), (26.0, 20.0)),
        ((0.0, EYE_Y_MM - 32.0), (46.0, 15.0)),
    )
    cover = np.zeros(grid.shape, np.float32)
    for centre, radii in spots:
        cover = np.maximum(cover, 0.9 * ellipse_mask(grid.x_mm, grid.y_mm, centre, radii, 5.0))
    canvas = _blur(face.canvas, 1.0, grid)
    skin = skin_colour(wearer.melanin, wearer.redness)
    canvas[..., :3] = 0.4 * canvas[..., :3] + 0.6 * skin[:3]
    canvas[..., 3] = 0.6 * canvas[..., 3] + 0.4 * material('silicone')[3] * float(rng.uniform(0.8, 1.1))
    height = maps.height + cover * np.clip(_blur(face.height, 2.0, grid) - maps.height + 2.5, 0.0, 7.0)
    paint(maps.canvas, cover, canvas)
    maps.height = height.astype(np.float32)


def build_mannequin(model: Subject, grid: HeadGrid, rng: np.random.Generator, *, nir: float) -> HeadMaps:
    """Build a fake head: smoothed geometry, painted eyes, plastic of NIR reflectance `nir`, maybe a wig."""
    maps = build_head(model, grid, _NEUTRAL, hair=False, glasses=False)
    height, cover = head_height(model, grid, _NEUTRAL)
    maps.height, maps.cover = _blur(height, 3.5, grid), cover
    plastic = material('plastic')
    painted = _blur(maps.canvas, 1.5, grid)
    paint_weight = float(rng.uniform(0.05, 0.25))
    bulk = plastic.copy()
    kind = rng.random()
    if kind < 0.6:  # white, as most display heads
        bulk[:3] = 0.78 * rng.uniform(0.85, 1.1)
    elif kind < 0.8:  # grey
        bulk[:3] = rng.uniform(0.2, 0.45)
    else:  # skin-coloured
        bulk[:3] = 0.7 * plastic[:3] + 0.3 * skin_colour(model.melanin * 0.6, 0.3)[:3]
    maps.canvas = paint_weight * painted + (1.0 - paint_weight) * bulk
    maps.canvas[..., 3] = 0.03 * painted[..., 3] + 0.97 * nir
    maps.canvas[..., 4] = plastic[4] * float(rng.uniform(0.9, 1.6))
    maps.canvas[..., 5] = 0.02
    if rng.random() < 0.25:
        wear_hair(maps, model)
    return maps
