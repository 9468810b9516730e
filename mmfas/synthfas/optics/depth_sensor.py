"""Depth sensors: ideal distance in, noisy, quantised and holed distance out, encoded as each data set does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.shapes import sensor_noise, unit_clip
from mmfas.utils.errors import InputError

__all__ = ['DepthSensor', 'degrade_depth', 'depth_sigma_mm', 'encode_depth', 'hole_probability']


@dataclass(frozen=True)
class DepthSensor:
    """One depth camera; see `docs/en/synthfas.md` for the sources of the models.

    Args:
        kind: 'triangulation' (structured light, active stereo) or 'tof'.
        noise_per_m2_mm: Standard deviation at 1 m for 'triangulation', grows with z^2; larger means noisier.
        noise_floor_mm: Distance-independent standard deviation; larger means noisier.
        quantum_per_m2_mm: Step of the disparity quantisation at 1 m, grows with z^2; 0 means none.
        correlation_px: Gaussian width of the matching window at 224 pixels; larger means blotchier noise.
        dropout: 0..1 rate of holes on an easy surface.
        dark_dropout: 0..1 additional rate on black surfaces.
        shine_dropout: 0..1 additional rate on glass, hair and highlights.
        sun_dropout: 0..1 additional rate where the full sun shines.
        edge_mm: Jump of distance that makes an edge hole; larger means fewer holes.
        baseline_mm: Distance emitter to receiver; larger means wider shadows beside near things; 0 for 'tof'.
        range_mm: (near, far) limits; outside is a hole.
        encoding: 'window' (linear in a window), 'robust' (stretched per frame), 'inverse' (1/Z in the window).
        near_bright: Polarity of the code; False means far is bright.
        window_mm: Width of the coded window.
        window_spread: Standard deviation of the log width of the window between videos.
    """

    kind: str
    noise_per_m2_mm: float
    noise_floor_mm: float
    quantum_per_m2_mm: float
    correlation_px: float
    dropout: float
    dark_dropout: float
    shine_dropout: float
    sun_dropout: float
    edge_mm: float
    baseline_mm: float
    range_mm: tuple[float, float]
    encoding: str
    near_bright: bool
    window_mm: float
    window_spread: float


def depth_sigma_mm(depth_mm: np.ndarray, nir: np.ndarray, sensor: DepthSensor) -> np.ndarray:
    """Standard deviation of the range noise.

    Triangulation: `floor + k z^2` (Khoshelham and Elberink 2012). Time of flight: `floor + k z / sqrt(nir)`,
    as noise falls with the root of the received signal `nir / z^2` (Lange and Seitz 2001).

    Args:
        depth_mm: (H, W) ideal distance.
        nir: (H, W) NIR reflectance 0..1; only 'tof' depends on it.
        sensor: Parameters.

    Returns:
        (H, W) sigma in mm.
    """
    metres = depth_mm / np.float32(1000.0)
    if sensor.kind == 'triangulation':
        return sensor.noise_floor_mm + sensor.noise_per_m2_mm * metres**2
    return sensor.noise_floor_mm + sensor.noise_per_m2_mm * metres / np.sqrt(np.maximum(nir, 0.02))


def hole_probability(
    depth_mm: np.ndarray, nir: np.ndarray, fail: np.ndarray, sun: np.ndarray, sensor: DepthSensor
) -> np.ndarray:
    """Probability (H, W) of a hole from material and light; grows with every dropout parameter.

    Args:
        depth_mm: (H, W) ideal distance.
        nir: (H, W) NIR reflectance 0..1.
        fail: (H, W) failure affinity of the material 0..1.
        sun: (H, W) sunlight on the surface 0..1.
        sensor: Parameters.
    """
    dark = unit_clip(1.0 - nir / 0.16)
    chance = sensor.dropout + sensor.dark_dropout * dark + sensor.shine_dropout * fail + sensor.sun_dropout * sun
    outside = (depth_mm < sensor.range_mm[0]) | (depth_mm > sensor.range_mm[1])
    return np.maximum(unit_clip(chance), outside).astype(np.float32)


def _edge_holes(depth_mm: np.ndarray, sensor: DepthSensor, focal_px: float) -> np.ndarray:
    """Boolean (H, W) holes beside jumps of distance and in the shadow of the emitter."""
    kernel = np.ones((3, 3), np.uint8)
    jump = cv2.dilate(depth_mm, kernel) - cv2.erode(depth_mm, kernel)
    holes = jump > sensor.edge_mm
    if sensor.baseline_mm > 0:
        # The emitter sits to the left: a near edge hides a strip of the far side to its right.
        nearest = float(depth_mm.min())
        disparity = sensor.baseline_mm * focal_px * (1.0 / nearest - 1.0 / np.maximum(depth_mm, nearest))
        reach = int(min(float(disparity.max()), 0.06 * depth_mm.shape[1]))
        inverse = sensor.baseline_mm * focal_px / depth_mm
        for shift in range(1, reach + 1):
            gap = inverse[:, :-shift] - inverse[:, shift:]
            step = depth_mm[:, shift:] - depth_mm[:, :-shift]
            holes[:, shift:] |= (gap > shift) & (step > sensor.edge_mm)
    return holes


def degrade_depth(
    depth_mm: np.ndarray,
    nir: np.ndarray,
    hole_chance: np.ndarray,
    sensor: DepthSensor,
    rng: np.random.Generator,
    *,
    focal_px: float = 0.0,
) -> np.ndarray:
    """Turn ideal distances into what the sensor delivers.

    Args:
        depth_mm: (H, W) ideal distance.
        nir: (H, W) NIR reflectance 0..1.
        hole_chance: (H, W) from `hole_probability`.
        sensor: Parameters.
        rng: Source of the draws; the number of draws does not depend on the values.
        focal_px: Focal length, for the width of emitter shadows.

    Returns:
        (H, W) float32 distance in mm, 0 = no measurement.
    """
    shape = depth_mm.shape
    sigma_px = sensor.correlation_px * shape[1] / 224.0
    noisy = depth_mm + depth_sigma_mm(depth_mm, nir, sensor) * sensor_noise(rng, shape, sigma_px)
    if sensor.quantum_per_m2_mm > 0:
        # Disparity is what is quantised, so the step in z grows with z^2.
        step = sensor.quantum_per_m2_mm * 1e-6
        noisy = 1.0 / (np.rint(1.0 / np.maximum(noisy, 1.0) / step) * step)
    # Holes come in blotches: a smooth uniform field is compared with the chance.
    field = sensor_noise(rng, shape, max(1.6 * shape[1] / 112.0, 0.7))
    odds = cv2.exp(np.float32(-1.702) * field)
    # The field as a uniform number is 1 / (1 + odds): the logistic function in place of the normal distribution.
    holes = ((1.0 + odds) * hole_chance > 1.0) | _edge_holes(depth_mm, sensor, focal_px)
    return (noisy * ~holes).astype(np.float32)


def _median(values: np.ndarray) -> float:
    """Upper median; `np.median` costs more than the rest of the coding and loads `numpy.ma`."""
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])


def encode_depth(depth_mm: np.ndarray, sensor: DepthSensor, centre_mm: float) -> np.ndarray:
    """Code distances as 8-bit grey values, 0 = hole.

    Args:
        depth_mm: (H, W) measured distance, 0 = hole.
        sensor: Encoding, polarity and window.
        centre_mm: Distance that is coded as mid grey by 'window' and 'inverse'.

    Returns:
        (H, W) uint8.
    """
    valid = depth_mm > 0
    safe = depth_mm + np.float32(centre_mm) * ~valid
    if sensor.encoding == 'window':
        code = (centre_mm - safe) / sensor.window_mm
    elif sensor.encoding == 'inverse':
        code = (centre_mm / safe - 1.0) * (centre_mm / sensor.window_mm)
    elif sensor.encoding == 'robust':
        side = depth_mm.shape[0] // 5
        core = depth_mm[side:-side, side:-side]
        core = core[core > 0]
        middle, spread = (centre_mm, 1.0) if core.size == 0 else (_median(core), 0.0)
        if core.size:
            spread = 1.4826 * _median(np.abs(core - middle))
        # The window stretches the code as it does elsewhere, so that a stretched code has no constant contrast.
        code = (np.float32(middle) - safe) / np.float32(0.03 * sensor.window_mm * max(spread, 3.3))
    else:
        raise InputError(f"encoding must be 'window', 'inverse' or 'robust', got {sensor.encoding!r}.")
    code = code if sensor.near_bright else -code
    grey = (128.0 + 254.0 * code).clip(1.0, 255.0)
    return (np.rint(grey) * valid).astype(np.uint8)
