"""Frozen parameter records of SynthFAS and the coordinate frames they use.

Frames: an object frame has x to the image right, y down and z towards the camera, all in mm; the origin of a
head lies between the eyes, one nose length in. The camera frame has X right, Y down and Z away from the camera.
Angles are degrees: yaw > 0 turns the nose to the image right, pitch > 0 lowers it, roll > 0 is clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ['Expression', 'Light', 'Pose', 'Subject', 'Surface']


@dataclass(frozen=True)
class Subject:
    """One synthetic person; every length is in mm, every weight in 0..1.

    `melanin` 0 is very light, 1 very dark skin (visible reflectance falls, NIR hardly: Jacques 2013).
    """

    key: str
    half_width_mm: float
    crown_mm: float
    chin_mm: float
    jaw_power: float
    depth_mm: float
    brow_mm: float
    eye_dx_mm: float
    eye_width_mm: float
    eye_open_mm: float
    nose_length_mm: float
    nose_height_mm: float
    nose_width_mm: float
    mouth_width_mm: float
    lip_mm: float
    cheek_mm: float
    melanin: float
    redness: float
    age: float
    iris_rgb: tuple[float, float, float]
    hair_rgb: tuple[float, float, float]
    hair_style: str
    hair_mm: float
    hairline_mm: float
    beard: float
    moustache: float
    brow_density: float
    glasses: str
    makeup: float
    cloth_rgb: tuple[float, float, float]
    cloth_stripes: float
    texture_seed: int


@dataclass(frozen=True)
class Expression:
    """What changes from frame to frame inside a face: 0 is neutral, 1 full (smile may be -1..1)."""

    blink: float = 0.0
    mouth_open: float = 0.0
    smile: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Pose:
    """Rigid placement of an object frame in the camera frame."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    x_mm: float = 0.0
    y_mm: float = 0.0
    z_mm: float = 600.0


@dataclass(frozen=True)
class Light:
    """Visible light of a scene; directions point from the surface to the lamp, in object axes (z to camera)."""

    key_direction: tuple[float, float, float]
    key_rgb: tuple[float, float, float]
    ambient_rgb: tuple[float, float, float]
    shadow: float
    sun: float


@dataclass(frozen=True)
class Surface:
    """A height field with its materials, sampled on a regular grid in its object frame.

    Args:
        x0_mm: x of the first column.
        y0_mm: y of the first row.
        step_mm: Grid spacing.
        shape: (H, W, 4) height z in mm, coverage 0..1, dz/dx, dz/dy.
        colour: (H, W, 4) reflectance (or emission) in linear R, G, B and in NIR, 0..1.
        optics: (H, W, 3) gloss 0..1, depth failure affinity 0..1, emission 0..1 (1 = a screen).
        relief_mm: Depth range that the ray search must cover; 0 for a plane.
    """

    x0_mm: float
    y0_mm: float
    step_mm: float
    shape: np.ndarray
    colour: np.ndarray
    optics: np.ndarray
    relief_mm: float
