"""Enrolment photos: the pictures that attackers print, show and wear."""

from __future__ import annotations

import numpy as np

from mmfas.synthfas.optics.camera import Camera, project
from mmfas.synthfas.optics.compose import compose
from mmfas.synthfas.optics.lighting import draw_light, shade_visible
from mmfas.synthfas.people.body import build_body, build_wall
from mmfas.synthfas.people.head import build_head, to_surface
from mmfas.synthfas.people.head_shape import head_grid
from mmfas.synthfas.people.subject import draw_expression
from mmfas.synthfas.records import Pose, Subject
from mmfas.synthfas.shapes import unit_clip

__all__ = ['PHOTO_MM', 'shoot_photo']

#: Width of the scene in a photo, life size.
PHOTO_MM = 300.0
_DISTANCE_MM = 1100.0
_FACE_DEPTH_MM = 80.0


def shoot_photo(subject: Subject, rng: np.random.Generator, size: int) -> np.ndarray:
    """Take an RGB picture of a live subject at 1.1 m in indoor light.

    Args:
        subject: Who is photographed.
        rng: Light, room, expression and pose.
        size: Side in pixels.

    Returns:
        (size, size, 3) linear R, G, B in 0..1, `PHOTO_MM` wide at the face.
    """
    step = PHOTO_MM / size
    maps = build_head(subject, head_grid(step, subject), draw_expression(rng))
    pose = Pose(float(rng.normal(0, 4)), float(rng.normal(0, 3)), float(rng.normal(0, 2)), 0.0, -4.0, _DISTANCE_MM)
    camera = Camera.framing(size, PHOTO_MM, _DISTANCE_MM - _FACE_DEPTH_MM)
    body = project(camera, build_body(subject, step, reach_mm=180.0), Pose(z_mm=_DISTANCE_MM))
    head = project(camera, to_surface(maps.grid, maps.height, maps.cover, maps.canvas), pose)
    picture = compose(build_wall(rng, 64, 1800.0), [body, head], size)
    light = draw_light(rng, sun_rate=0.0, warmth=(0.9, 1.3), shadow=0.35)
    radiance = shade_visible(picture, light, step)
    centre = slice(size // 4, size - size // 4)
    exposed = radiance * np.float32(0.30 / max(float(radiance[centre, centre].mean()), 1e-4))
    return unit_clip(exposed)
