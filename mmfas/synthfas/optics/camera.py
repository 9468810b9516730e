"""Pinhole camera: find, for every pixel, the point of a posed height field that it sees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.records import Pose, Surface

__all__ = ['Camera', 'View', 'project', 'rotation']

_COARSE_STEPS = 4
_FINE_STEPS = 2


@dataclass(frozen=True)
class Camera:
    """A square pinhole camera.

    Args:
        size: Rows and columns in pixels.
        focal_px: Focal length in pixels; larger means narrower view.
    """

    size: int
    focal_px: float

    @classmethod
    def framing(cls, size: int, crop_mm: float, distance_mm: float) -> Camera:
        """Make the camera that sees `crop_mm` across `size` pixels at `distance_mm`."""
        return cls(size, size * distance_mm / crop_mm)

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X/Z per column (size,) and Y/Z per row (size,)."""
        offset = (np.arange(self.size, dtype=np.float32) + 0.5 - self.size / 2) / np.float32(self.focal_px)
        return offset, offset


@dataclass(frozen=True)
class View:
    """What a camera sees of one surface, per pixel (H, W) of the window that can see it.

    Args:
        box: Rows and columns of the window in the picture of the camera.
        depth_mm: Z of the point in the camera frame.
        alpha: Coverage 0..1.
        normal: (H, W, 3) unit normal in camera axes, but z towards the camera.
        colour: (H, W, 4) as in `Surface`.
        optics: (H, W, 3) as in `Surface`.
    """

    box: tuple[slice, slice]
    depth_mm: np.ndarray
    alpha: np.ndarray
    normal: np.ndarray
    colour: np.ndarray
    optics: np.ndarray


def rotation(pose: Pose) -> np.ndarray:
    """Return the (3, 3) matrix from object axes (x right, y down, z to camera) to the same axes of the camera.

    >>> import numpy as np
    >>> bool(np.allclose(rotation(Pose()), np.eye(3)))
    True
    """
    yaw, pitch, roll = np.deg2rad((pose.yaw_deg, pose.pitch_deg, pose.roll_deg))
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def _sample(image: np.ndarray, u: np.ndarray, v: np.ndarray, border: int) -> np.ndarray:
    """Sample an (H, W, C) map bilinearly at columns `u` and rows `v`."""
    return cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=border, borderValue=0)


@dataclass(frozen=True)
class _Rays:
    """Rays of a window in the frame of a surface, in units of its grid.

    Args:
        u, v, z: (H, W) change of column, row and height per mm of distance.
        start: Column, row and height of the camera.
    """

    u: np.ndarray
    v: np.ndarray
    z: np.ndarray
    start: tuple[np.float32, np.float32, np.float32]

    def place(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and rows (H, W) of the points at a distance (H, W)."""
        u, v = distance * self.u, distance * self.v
        u += self.start[0]
        v += self.start[1]
        return u, v

    def every_second(self) -> _Rays:
        """Return the rays of every second row and column."""
        u, v, z = (np.ascontiguousarray(part[::2, ::2]) for part in (self.u, self.v, self.z))
        return _Rays(u, v, z, self.start)


def _search(heights: np.ndarray, rays: _Rays, distance: np.ndarray, rate: float, num_steps: int) -> np.ndarray:
    """Shorten rays (H, W) by `rate` of their gap to the height field, `num_steps` times."""
    # Fixed-point iteration: read the height below the end of the ray, and take the distance at which the ray would
    # meet a plane of this height, (height - start) / z. That needs no slope of the field, which is steep at noses
    # and ears where Newton's method would jump, and one look-up for all pixels at once. Of each step only the part
    # `rate` is taken: the gap is start + distance * z - height, so (1 - rate) of the distance is kept.
    per_height = np.float32(rate) / rays.z
    for _ in range(num_steps):
        target = _sample(heights, *rays.place(distance), cv2.BORDER_REPLICATE)
        target -= rays.start[2]
        target *= per_height
        distance = target if rate == 1.0 else cv2.scaleAdd(distance, 1.0 - rate, target)
    return distance


def _window(camera: Camera, surface: Surface, pose: Pose, turn: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that can see the box around a surface; at least two of each."""
    rows, columns = surface.shape.shape[:2]
    xs = (surface.x0_mm, surface.x0_mm + (columns - 1) * surface.step_mm)
    ys = (surface.y0_mm, surface.y0_mm + (rows - 1) * surface.step_mm)
    # Noses and hair stand out of the relief, bent sheets fall behind it.
    zs = (-20.0, surface.relief_mm + 50.0)
    corners = np.array([(x, y, z) for x in xs for y in ys for z in zs], np.float32) @ turn.T
    away = np.maximum(pose.z_mm - corners[:, 2], 1.0)
    centre = camera.size / 2
    spans = []
    for offset in (corners[:, 1] + pose.y_mm, corners[:, 0] + pose.x_mm):
        place = camera.focal_px * offset / away + centre
        low = min(max(int(place.min()) - 1, 0), camera.size - 2)
        spans.append(slice(low, max(min(int(place.max()) + 2, camera.size), low + 2)))
    return spans[0], spans[1]


def project(camera: Camera, surface: Surface, pose: Pose) -> View:
    """Project a posed height field into the camera.

    The ray of a pixel is followed towards the surface by a fixed-point search: the gap between the ray and the
    height below it shortens the ray. It converges while slope times tan(view angle) stays below one, which holds
    for heads turned by up to 25 degrees except in the shadow of the nose, where the last step is kept.

    Args:
        camera: Its picture is square.
        surface: Height field and materials.
        pose: Where the surface is.

    Returns:
        The view; outside the surface `alpha` is 0.
    """
    turn = rotation(pose)
    box = _window(camera, surface, pose, turn)
    ray_y, ray_x = (axis[part] for axis, part in zip(camera.rays()[::-1], box))
    # Everything is moved into the frame of the surface once, where the height field is a plain image: then a step
    # of the search is two multiplications and one `cv2.remap`, with no rotation in the loop. Camera axes with z to
    # the camera: the ray is (X, Y, -1) * distance; columns of `turn` lead to the surface.
    unit = np.array((1.0 / surface.step_mm, 1.0 / surface.step_mm, 1.0), np.float32)
    across, along, away = turn * unit
    origin = -(turn.T @ np.array([pose.x_mm, pose.y_mm, -pose.z_mm], np.float32))
    start = (origin - np.array((surface.x0_mm, surface.y0_mm, 0.0), np.float32)) * unit
    u, v, z = ((ray_x * across[k])[None, :] + (ray_y * along[k] - away[k])[:, None] for k in range(3))
    rays = _Rays(u, v, z, (start[0], start[1], start[2]))
    heights = np.ascontiguousarray(surface.shape[..., 0])
    distance = (np.float32(0.7 * surface.relief_mm) - start[2]) / rays.z
    # Damped steps keep the search from overshooting on steep slopes; on a plane the first step is exact.
    rate = 0.75 if surface.relief_mm > 0 else 1.0
    if surface.relief_mm > 0:
        # Most of the way on every second pixel, the rest on all: four steps cost as much as one at full size.
        coarse = np.ascontiguousarray(distance[::2, ::2])
        found = _search(heights, rays.every_second(), coarse, rate, _COARSE_STEPS)
        distance = cv2.resize(found, distance.shape[::-1], interpolation=cv2.INTER_LINEAR)
    distance = _search(heights, rays, distance, rate, _FINE_STEPS if surface.relief_mm > 50 else 1)
    u, v = rays.place(distance)
    shape4 = _sample(surface.shape, u, v, cv2.BORDER_CONSTANT)
    colour = _sample(surface.colour, u, v, cv2.BORDER_REPLICATE)
    optics = _sample(surface.optics, u, v, cv2.BORDER_REPLICATE)
    _, alpha, slope_x, slope_y = cv2.split(shape4)
    scale = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    # In the frame of the surface the normal is (-slope_x, -slope_y, 1).
    upright = cv2.merge([slope_x * -scale, slope_y * -scale, scale])
    return View(box, distance, alpha, cv2.transform(upright, turn), colour, optics)
