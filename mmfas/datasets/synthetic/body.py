"""Neck, shoulders and the wall behind: everything of a scene that is neither head nor attack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .head import to_surface
from .head_shape import HeadGrid
from .materials import material, skin_colour
from .records import Subject, Surface
from .shapes import noise_field, soft_step

__all__ = ['Wall', 'build_body', 'build_wall']


def build_body(subject: Subject, step_mm: float, *, bare_stand: bool = False, reach_mm: float = 250.0) -> Surface:
    """Build neck and clothed shoulders in the head frame (they do not follow the rotation of the head).

    Args:
        subject: whose skin and clothes.
        step_mm: grid spacing; the body is sampled at twice this.
        bare_stand: True for a mannequin: a stand instead of shoulders.
        reach_mm: how far to the sides it can be seen; nothing is built beyond.

    Returns:
        The surface.
    """
    step = 2.0 * step_mm
    grid = HeadGrid(
        np.arange(-reach_mm, reach_mm + step, step, dtype=np.float32),
        np.arange(30.0, 30.0 + reach_mm + step, step, dtype=np.float32),
        step,
    )
    x, y = grid.x_mm[None, :], grid.y_mm[:, None]
    neck_half = 0.80 * subject.half_width_mm + 0.0015 * np.maximum(y - 100.0, 0.0) ** 2
    shoulder = subject.chin_mm + 42.0 + 0.00125 * x**2 + 0.14 * np.abs(x)
    torso = soft_step(y - shoulder, 1.5 * step)
    neck = soft_step(neck_half - np.abs(x), 1.5 * step)
    z_neck = 42.0 * np.sqrt(np.clip(1.0 - (x / (neck_half + 2.0)) ** 2, 0.0, 1.0))
    z_torso = 18.0 + 34.0 * np.clip(1.0 - (x / 240.0) ** 2, 0.0, 1.0) * np.clip((y - shoulder) / 60.0, 0.0, 1.0)
    canvas = np.broadcast_to(skin_colour(subject.melanin, subject.redness), (*grid.shape, 6)).astype(np.float32)
    cover = np.maximum(neck, torso)
    if bare_stand:
        canvas = np.broadcast_to(material('plastic'), (*grid.shape, 6)).astype(np.float32)
        foot = soft_step(y - subject.chin_mm - 55.0, 2.0)
        canvas = canvas + foot[..., None] * (material('stand') - canvas)
        height = z_neck + 0 * z_torso
        return to_surface(grid, height.astype(np.float32), neck, canvas, relief_mm=45.0)
    stripes = 1.0 + 0.45 * subject.cloth_stripes * np.sign(np.sin(y / 6.5) + 0 * x)
    cloth = np.empty((*grid.shape, 6), np.float32)
    cloth[..., :3] = np.array(subject.cloth_rgb, np.float32) * stripes[..., None]
    # Dyes of textiles are mostly transparent in NIR: dark clothes look light there.
    cloth[..., 3] = 0.35 + 0.4 * float(np.mean(subject.cloth_rgb))
    cloth[..., 4:] = (0.03, 0.05)
    canvas += torso[..., None] * (cloth - canvas)
    height = np.maximum(z_neck * neck, z_torso * torso)
    return to_surface(grid, height.astype(np.float32), cover, canvas, relief_mm=45.0)


@dataclass(frozen=True)
class Wall:
    """The background: a picture of reflectance and a tilted plane, fixed during a video.

    Attributes:
        colour: (S, S, 4) linear R, G, B and NIR reflectance.
        distance_mm: distance of its centre from the camera.
        slope_mm: growth of the distance over the width and the height of the picture.
    """

    colour: np.ndarray
    distance_mm: float
    slope_mm: tuple[float, float]

    def depth(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the distance map (H, W) in mm."""
        height, width = shape
        u = np.linspace(-0.5, 0.5, width, dtype=np.float32)
        v = np.linspace(-0.5, 0.5, height, dtype=np.float32)
        return np.float32(self.distance_mm) + self.slope_mm[0] * u[None, :] + self.slope_mm[1] * v[:, None]


def build_wall(rng: np.random.Generator, size: int, distance_mm: float) -> Wall:
    """Draw a room: a wall with a gradient, furniture edges and a few patches.

    Args:
        rng: source of the draws.
        size: side of the square picture in pixels.
        distance_mm: mean distance from the camera.

    Returns:
        The wall; nothing in it knows the label of the scene.
    """
    base = rng.uniform(0.06, 0.6) * rng.uniform(0.85, 1.15, 3)
    nir = rng.uniform(0.25, 0.75)
    colour = np.empty((size, size, 4), np.float32)
    colour[...] = np.append(base, nir).astype(np.float32)
    colour *= (1.0 + 0.22 * noise_field(rng, (size, size), (2, 2)))[..., None]
    for _ in range(int(rng.integers(0, 6))):
        left, top = (rng.uniform(-0.3, 1.0, 2) * size).astype(int)
        width, height = (rng.uniform(0.08, 0.6, 2) * size).astype(int)
        tone = rng.uniform(0.04, 0.7) * (1.0 + 0.55 * rng.uniform(-1, 1, 3))
        patch = np.append(tone, rng.uniform(0.15, 0.8)).astype(np.float32)
        colour[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = patch
    colour *= (1.0 + 0.05 * noise_field(rng, (size, size), (24, 24)))[..., None]
    slope = rng.normal(0.0, 160.0, 2)
    return Wall(np.clip(colour, 0.01, 0.95), distance_mm, (float(slope[0]), float(slope[1])))
