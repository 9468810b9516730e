"""Neck, shoulders and the wall behind: everything of a scene that is neither head nor attack."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.materials import material, skin_colour
from mmfas.synthfas.people.head import to_surface
from mmfas.synthfas.people.head_paint import paint, primed
from mmfas.synthfas.people.head_shape import HeadGrid
from mmfas.synthfas.records import Subject, Surface
from mmfas.synthfas.shapes import noise_field, soft_step, unit_clip

__all__ = ['Wall', 'build_body', 'build_wall']


def build_body(subject: Subject, step_mm: float, *, bare_stand: bool = False, reach_mm: float = 250.0) -> Surface:
    """Build neck and clothed shoulders in the head frame (they do not follow the rotation of the head).

    Args:
        subject: Whose skin and clothes.
        step_mm: Grid spacing; the body is sampled at twice this.
        bare_stand: True for a mannequin: a stand instead of shoulders.
        reach_mm: How far to the sides it can be seen; nothing is built beyond.

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
    z_neck = 42.0 * np.sqrt(np.maximum(1.0 - (x / (neck_half + 2.0)) ** 2, 0.0))
    z_torso = 18.0 + 34.0 * np.maximum(1.0 - (x / 240.0) ** 2, 0.0) * unit_clip((y - shoulder) / 60.0)
    if bare_stand:
        canvas = primed(material('plastic'), grid.shape)
        canvas[grid.y_mm > subject.chin_mm + 55.0] = material('stand')
        return to_surface(grid, z_neck, neck, canvas, relief_mm=45.0)
    # Dyes of textiles are mostly transparent in NIR: dark clothes look light there.
    nir = 0.35 + 0.4 * sum(subject.cloth_rgb) / 3.0
    cloth = primed(np.array([*subject.cloth_rgb, nir, 0.03, 0.05], np.float32), grid.shape)
    cloth[..., :3] *= (1.0 + 0.45 * subject.cloth_stripes * np.sign(np.sin(y / 6.5)))[..., None]
    canvas = primed(skin_colour(subject.melanin, subject.redness), grid.shape)
    paint(canvas, torso, cloth)
    height = np.maximum(z_neck * neck, z_torso * torso)
    return to_surface(grid, height, np.maximum(neck, torso), canvas, relief_mm=45.0)


@dataclass(frozen=True)
class Wall:
    """The background: a picture of reflectance and a tilted plane, fixed during a video.

    Args:
        colour: (S, S, 4) linear R, G, B and NIR reflectance.
        distance_mm: Distance of its centre from the camera.
        slope_mm: Growth of the distance over the width and the height of the picture.
    """

    colour: np.ndarray
    distance_mm: float
    slope_mm: tuple[float, float]

    def depth(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the distance map (H, W) in mm."""
        height, width = shape
        across = self.slope_mm[0] * np.linspace(-0.5, 0.5, width, dtype=np.float32)
        down = self.slope_mm[1] * np.linspace(-0.5, 0.5, height, dtype=np.float32)
        return (np.float32(self.distance_mm) + across)[None, :] + down[:, None]


def build_wall(rng: np.random.Generator, size: int, distance_mm: float) -> Wall:
    """Draw a room: a wall with a gradient, furniture edges and a few patches.

    Args:
        rng: Source of the draws.
        size: Side of the square picture in pixels.
        distance_mm: Mean distance from the camera.

    Returns:
        The wall; nothing in it knows the label of the scene.
    """
    base = rng.uniform(0.06, 0.6) * rng.uniform(0.85, 1.15, 3)
    nir = rng.uniform(0.25, 0.75)
    colour = primed(np.array([*base, nir], np.float32), (size, size))
    colour *= (1.0 + 0.22 * noise_field(rng, (size, size), (2, 2)))[..., None]
    for _ in range(int(rng.integers(0, 6))):
        left, top = (rng.uniform(-0.3, 1.0, 2) * size).astype(int)
        width, height = (rng.uniform(0.08, 0.6, 2) * size).astype(int)
        tone = rng.uniform(0.04, 0.7) * (1.0 + 0.55 * rng.uniform(-1, 1, 3))
        patch = (*tone, rng.uniform(0.15, 0.8))
        colour[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = patch
    colour *= (1.0 + 0.05 * noise_field(rng, (size, size), (24, 24)))[..., None]
    slope = rng.normal(0.0, 160.0, 2)
    planes = [unit_clip(colour[..., k]) for k in range(4)]
    return Wall(cv2.merge(planes), distance_mm, (float(slope[0]), float(slope[1])))
