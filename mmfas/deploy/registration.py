"""Depth and infrared seen from the colour camera: the registration that a triple needs before anything else.

Depth and infrared of most cameras come from one sensor (the left imager of active stereo, the only one of time of
flight), colour from another beside it. The cameras' own software moves depth to colour, but not infrared
(librealsense issues 1556 and 11784, pyorbbecsdk issue 82). Here both take the same way: every pixel with a reading
is a point in space, which the colour camera sees somewhere. Where several points fall on one pixel, the nearest is
seen; where none does, there is no reading (0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.utils.errors import InputError

__all__ = ['Pinhole', 'register_to_colour']

#: A pixel of depth covers at most this many pixels of colour to each side.
_LARGEST_FOOTPRINT = 8


@dataclass(frozen=True)
class Pinhole:
    """Calibration of one camera, as its software states it.

    Args:
        width: In pixels.
        height: In pixels.
        fx: Focal length in pixels, horizontal.
        fy: Focal length in pixels, vertical.
        cx: Column of the principal point; the centre of the first pixel is 0.
        cy: Row of the principal point.
        distortion: Brown-Conrady coefficients in OpenCV's order (k1, k2, p1, p2, k3, k4, k5, k6); the first four,
            five or eight, or none.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.distortion) not in (0, 4, 5, 8):
            raise InputError(f'distortion must have 0, 4, 5 or 8 coefficients, got {len(self.distortion)}')
        if min(self.width, self.height, self.fx, self.fy) <= 0:
            raise InputError(f'width, height and focal lengths must be above 0, got {self}')

    @property
    def matrix(self) -> np.ndarray:
        """Camera matrix (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)


def register_to_colour(
    depth: np.ndarray,
    ir: np.ndarray | None,
    *,
    depth_camera: Pinhole,
    colour_camera: Pinhole,
    rotation: Sequence[Sequence[float]] | np.ndarray,
    translation_mm: Sequence[float] | np.ndarray,
    mm_per_unit: float = 1.0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Move depth, and infrared with it, into the picture of the colour camera.

    Args:
        depth: (H, W) uint16 as the camera gives it, 0 where it has no reading.
        ir: (H, W) uint8 or uint16 of the same sensor, pixel by pixel; or None.
        depth_camera: Calibration of depth.
        colour_camera: Calibration of colour; sets the size of the result.
        rotation: (3, 3), from depth to colour: what is at p for the depth camera is at `rotation @ p +
            translation_mm` for the colour camera.
        translation_mm: (3,), from depth to colour, in mm.
        mm_per_unit: Millimetres of one raw value, such as 0.1 or `1000 * get_depth_scale()`.

    Returns:
        Depth (H', W') uint16 in mm as seen from the colour camera; infrared (H', W') or None. Both are 0 where no
        reading arrived.

    Raises:
        ValueError: If sizes or types do not fit.
    """
    _check(depth, ir, depth_camera)
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation_mm, np.float64)
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns] * np.float64(mm_per_unit)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)

    def corner(half: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where a corner of every pixel is seen (N, 2), and its distance (N,)."""
        points = _rays(pixels + half, depth_camera) * z[:, None] @ rotation.T + translation
        return _project(points, colour_camera), points[:, 2]

    # Upper left and lower right corner, as librealsense does: larger pixels leave no gaps.
    (first, near), (last, far) = corner(-0.5), corner(0.5)
    away = (near + far) / 2
    nearest = _nearest(first, last, away, colour_camera)
    seen = nearest >= 0
    moved = np.zeros(seen.shape, np.uint16)
    moved[seen] = np.rint(away[nearest[seen]]).clip(0, 65535)
    if ir is None:
        return moved, None
    lit = np.zeros(seen.shape, ir.dtype)
    lit[seen] = ir[rows, columns][nearest[seen]]
    return moved, lit


def _check(depth: np.ndarray, ir: np.ndarray | None, camera: Pinhole) -> None:
    """Raise if the pictures do not fit the calibration."""
    size = (camera.height, camera.width)
    if depth.dtype != np.uint16 or depth.shape != size:
        raise InputError(f'depth must be uint16 of {size}, but is {depth.dtype} of {depth.shape}')
    if ir is not None and (ir.dtype not in (np.uint8, np.uint16) or ir.shape != size):
        raise InputError(f'ir must be uint8 or uint16 of {size}, as depth is, but is {ir.dtype} of {ir.shape}')


def _rays(pixels: np.ndarray, camera: Pinhole) -> np.ndarray:
    """Return where the rays of pixels (N, 2) meet the plane z = 1, (N, 3)."""
    if camera.distortion and len(pixels):
        flat = cv2.undistortPoints(pixels[:, None], camera.matrix, np.array(camera.distortion))[:, 0]
    else:
        flat = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return np.column_stack([flat, np.ones(len(flat))])


def _project(points: np.ndarray, camera: Pinhole) -> np.ndarray:
    """Return the pixels (N, 2), whole numbers, that see points (N, 3)."""
    ahead = np.maximum(points[:, 2:], 1e-6)
    if camera.distortion and len(points):
        points = np.column_stack([points[:, :2], ahead])
        none = np.zeros(3)
        seen = cv2.projectPoints(points, none, none, camera.matrix, np.array(camera.distortion))[0][:, 0]
    else:
        seen = points[:, :2] / ahead * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return np.floor(seen + 0.5).clip(-(2**30), 2**30).astype(np.int64)


def _nearest(first: np.ndarray, last: np.ndarray, away: np.ndarray, camera: Pinhole) -> np.ndarray:
    """Return, for every pixel of a camera (H, W), the number of the nearest point that it sees, or -1.

    Args:
        first: Pixel of one corner of every point (N, 2), as (x, y).
        last: Pixel of the opposite corner (N, 2).
        away: Distance of every point (N,).
        camera: The camera.
    """
    first, last = np.minimum(first, last), np.maximum(first, last)  # cameras may be turned to each other
    span = last - first
    usable = (away > 0) & (span < _LARGEST_FOOTPRINT).all(axis=1)
    pairs = []
    across, down = span[usable].max(axis=0, initial=0)
    for right, below in np.ndindex(int(across) + 1, int(down) + 1):
        x, y = first[:, 0] + right, first[:, 1] + below
        inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        (point,) = np.nonzero(usable & inside & (span[:, 0] >= right) & (span[:, 1] >= below))
        pairs.append((y[point] * camera.width + x[point], point))
    closest = np.full(camera.height * camera.width, np.inf)
    for pixel, point in pairs:
        np.minimum.at(closest, pixel, away[point])
    out = np.full(closest.shape, -1, np.int64)
    for pixel, point in pairs:
        seen = away[point] == closest[pixel]
        out[pixel[seen]] = point[seen]
    return out.reshape(camera.height, camera.width)
