"""Light on a picture: Lambert and Blinn shading, cast shadows, occlusion; visible and active NIR."""

from __future__ import annotations

import cv2
import numpy as np

from mmfas.synthfas.optics.compose import Picture
from mmfas.synthfas.records import Light
from mmfas.synthfas.shapes import positive, unit_clip

__all__ = ['cast_shadow', 'draw_light', 'occlusion', 'shade_nir', 'shade_visible']


def draw_light(rng: np.random.Generator, *, sun_rate: float, warmth: tuple[float, float], shadow: float) -> Light:
    """Draw the visible light of a video.

    Args:
        rng: Source of the draws.
        sun_rate: Probability 0..1 that the sun shines in (bright key light, NIR from outside).
        warmth: (low, high) of the ratio red to blue of the key light, 1 is neutral.
        shadow: 0..1 depth of cast shadows indoors.

    Returns:
        The light.
    """
    azimuth = np.deg2rad(rng.uniform(-65, 65))
    elevation = np.deg2rad(rng.uniform(5, 60))
    direction = (
        float(np.sin(azimuth) * np.cos(elevation)),
        float(-np.sin(elevation)),
        float(np.cos(azimuth) * np.cos(elevation)),
    )
    ratio = float(np.sqrt(rng.uniform(*warmth)))
    sunny = rng.random() < sun_rate
    sun = float(rng.uniform(0.4, 1.0)) if sunny else 0.0
    key = float(rng.uniform(0.45, 0.9)) + 0.8 * sun
    ambient = float(rng.uniform(0.28, 0.6))
    tint = rng.normal(0.0, 0.05, 3)
    red, green, blue = (float(ambient * (1 + t)) for t in tint)
    return Light(
        direction,
        (key * ratio, key, key / ratio),
        (red, green, blue),
        min(shadow + 0.4 * sun, 1.0),
        sun,
    )


def _shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Read the image `dx` columns to the right and `dy` rows down of each pixel."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, image.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def cast_shadow(depth_mm: np.ndarray, direction: tuple[float, float, float], mm_per_px: float) -> np.ndarray:
    """Approximate cast shadows by marching over the depth map towards the lamp.

    Args:
        depth_mm: (H, W) distances.
        direction: Unit vector to the lamp, z towards the camera.
        mm_per_px: Size of a pixel on the subject.

    Returns:
        (H, W) fraction of the light that arrives, 0..1.
    """
    flat = float(np.hypot(direction[0], direction[1]))
    if flat < 0.05 or direction[2] < 0.02:
        return np.ones_like(depth_mm)
    # Shadows are soft: every second pixel is enough.
    small = np.ascontiguousarray(depth_mm[::2, ::2])
    mm_per_px *= 2.0
    shade = np.zeros_like(small)
    for reach_mm in (5.0, 10.0, 17.0, 27.0, 42.0):
        shift = reach_mm / mm_per_px
        other = _shifted(small, shift * direction[0] / flat, shift * direction[1] / flat)
        over = small - other
        over -= reach_mm * direction[2] / flat + 1.5
        # Things far in front (another object) shadow too, but not without limit.
        shadow = unit_clip(over * (1.0 / (3.0 + 0.25 * reach_mm)))
        shadow *= over < 140.0
        shade = np.maximum(shade, shadow)
    return 1.0 - cv2.resize(shade, depth_mm.shape[::-1], interpolation=cv2.INTER_LINEAR)


def occlusion(depth_mm: np.ndarray, mm_per_px: float) -> np.ndarray:
    """Approximate ambient occlusion (H, W), 1 = open sky: points behind their surroundings get less light."""
    out = np.ones_like(depth_mm)
    for radius_mm, reach_mm in ((7.0, 9.0), (24.0, 34.0)):
        kernel = max(int(radius_mm / mm_per_px) * 2 + 1, 3)
        behind = depth_mm - cv2.blur(depth_mm, (kernel, kernel))
        behind *= 1.0 / reach_mm
        out -= 0.26 * unit_clip(behind)
    return out


def shade_visible(picture: Picture, light: Light, mm_per_px: float) -> np.ndarray:
    """Light a picture with key and ambient light.

    Args:
        picture: Geometry and materials, H x W.
        light: Lamp and surroundings.
        mm_per_px: Size of a pixel on the subject.

    Returns:
        (H, W, 3) linear radiance in R, G, B order, not exposed.
    """
    direction = np.array(light.key_direction, np.float32)
    # As 1 - shadow * (1 - cast), with one pass less.
    lit = cast_shadow(picture.depth_mm, light.key_direction, mm_per_px)
    lit *= light.shadow
    lit += 1.0 - light.shadow
    half = direction + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    axes = np.stack([direction, half, np.array((0, 1, 0), np.float32)])
    facing, mirror, down = cv2.split(cv2.transform(picture.normal, axes))
    gloss, _, emission = cv2.split(picture.optics)
    shine = cv2.pow(positive(mirror), 24)
    shine *= gloss
    shine *= lit
    sky = (0.72 - 0.28 * down) * occlusion(picture.depth_mm, mm_per_px)
    planes = cv2.split(picture.colour)[:3]
    screen = bool(emission.any())
    for k, seen in enumerate(planes):
        # Red scatters furthest in skin: its terminator is softer (wrap lighting).
        wrap = (0.22, 0.12, 0.08)[k]
        arriving = positive((facing + wrap) * (light.key_rgb[k] / (1.0 + wrap)))
        arriving *= lit
        arriving += light.ambient_rgb[k] * sky
        if screen:
            arriving *= 1.0 - 0.97 * emission
            arriving += 1.15 * emission
        seen *= arriving
        seen += (0.42 * light.key_rgb[k]) * shine
    return cv2.merge(planes)


def shade_nir(picture: Picture, light: Light, *, led_mm: tuple[float, float], range_mm: float) -> np.ndarray:
    """Light a picture with the camera's own NIR lamp and with the NIR part of the sun.

    Args:
        picture: Geometry and materials, H x W.
        light: For its sun.
        led_mm: Offset (x, y) of the lamp from the lens.
        range_mm: Distance at which the lamp gives irradiance 1.

    Returns:
        (H, W) linear NIR radiance, not exposed; falls with the square of the distance.
    """
    depth = picture.depth_mm
    to_lamp = np.array((led_mm[0] / range_mm, led_mm[1] / range_mm, 1.0), np.float32)
    to_lamp /= np.linalg.norm(to_lamp)
    axes = np.stack([to_lamp, np.array(light.key_direction, np.float32)])
    towards, sunward = cv2.split(cv2.transform(picture.normal, axes))
    falloff = np.float32(range_mm) / depth
    falloff *= falloff
    facing = positive((towards + 0.25) * 0.8) * falloff
    if light.sun > 0:
        facing += 0.7 * light.sun * positive(sunward)
    shine = cv2.pow(positive(towards), 40) * cv2.extractChannel(picture.optics, 0)
    return cv2.extractChannel(picture.colour, 3) * facing + 0.5 * shine * falloff
