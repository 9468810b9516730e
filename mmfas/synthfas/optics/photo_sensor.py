"""RGB and NIR sensors: exposure, blur, noise, tone curve, 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.shapes import positive, sensor_noise, unit_clip

__all__ = ['PhotoSensor', 'expose', 'expose_nir', 'resample', 'to_grey_levels']


@dataclass(frozen=True)
class PhotoSensor:
    """One colour or NIR camera.

    Args:
        target: Mean of the exposed picture centre, linear 0..1; larger means brighter.
        target_spread: Relative spread of that target between videos; larger means that brightness tells less of
            the scene.
        contrast_spread: Standard deviation of the log contrast between videos.
        max_gain: Limit of the automatic gain; smaller means dark scenes stay dark.
        read_noise: Standard deviation at gain 1, in units of full scale.
        shot_noise: Variance per linear signal; larger means noisier highlights.
        blur_px: Gaussian width of optics and sensor at 224 pixels.
        native: Resolution of the sensor relative to the output, 0..1; smaller means softer.
        gamma: Exponent of the tone curve (1 / 2.2 is sRGB-like, 1 linear).
        white_balance: Standard deviation of the colour cast.
        jpeg_quality: 1..100 of the stored picture, mean of the videos; npz data sets have none.
    """

    target: float
    target_spread: float
    contrast_spread: float
    max_gain: float
    read_noise: float
    shot_noise: float
    blur_px: float
    native: float
    gamma: float
    white_balance: float
    jpeg_quality: int


def resample(image: np.ndarray, sensor: PhotoSensor, extra_blur: float) -> np.ndarray:
    """Apply optics and native resolution to an (H, W[, C]) picture; `extra_blur` is a fraction of the width."""
    size = image.shape[1]
    sigma = float(np.hypot(sensor.blur_px * size / 224.0, extra_blur * size))
    out = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.25 else image
    small = int(round(sensor.native * size))
    if small < size:
        out = cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA)
        out = cv2.resize(out, (size, size), interpolation=cv2.INTER_LINEAR)
    return out


def _centre_mean(image: np.ndarray) -> float:
    """Mean of the middle, where an exposure meter looks."""
    side = image.shape[0] // 5
    channels = cv2.mean(image[side:-side, side:-side])
    return sum(channels) / (1 if image.ndim == 2 else image.shape[2])


def expose(
    radiance: np.ndarray,
    sensor: PhotoSensor,
    rng: np.random.Generator,
    *,
    target_factor: float,
    cast: np.ndarray,
    light_level: float = 1.0,
) -> np.ndarray:
    """Expose a colour picture automatically and add sensor noise.

    Args:
        radiance: (H, W, 3) linear scene radiance.
        sensor: Parameters.
        rng: Source of the noise.
        target_factor: Factor on the exposure target, drawn per video.
        cast: (3,) white-balance factors, drawn per video.
        light_level: 0..1 factor on the light of the scene (perturbation `dark_rgb`); the gain is limited, so
            little light means a dark and noisy picture.

    Returns:
        (H, W, 3) in 0..1 after the tone curve.
    """
    mean = _centre_mean(radiance) * light_level
    gain = min(sensor.target * target_factor / max(mean, 1e-6), sensor.max_gain)
    planes = []
    for k, plane in enumerate(cv2.split(radiance)):
        exposed = plane * np.float32(gain * light_level * cast[k])
        noisy = _add_noise(exposed, sensor, gain, rng)
        planes.append(cv2.pow(unit_clip(_shoulder(noisy)), sensor.gamma))
    return cv2.merge(planes)


def _shoulder(signal: np.ndarray) -> np.ndarray:
    """Bend a plane (H, W) softly above 0.7, towards 1; hard clipping would cost light skin its highlights."""
    over = positive(signal - np.float32(0.7))
    bent = cv2.exp(over * np.float32(-1.0 / 0.3))
    bent *= np.float32(-0.3)
    bent += np.float32(0.3)
    bent += signal
    bent -= over
    return bent


def _add_noise(exposed: np.ndarray, sensor: PhotoSensor, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Add shot and read noise to an exposed plane (H, W); both grow with the gain."""
    variance = positive(exposed)
    variance *= np.float32(sensor.shot_noise * gain)
    variance += np.float32((sensor.read_noise * gain) ** 2)
    noisy = cv2.sqrt(variance)
    noisy *= sensor_noise(rng, exposed.shape)
    noisy += exposed
    return noisy


def expose_nir(
    radiance: np.ndarray,
    sensor: PhotoSensor,
    rng: np.random.Generator,
    *,
    target_factor: float,
    light_level: float = 1.0,
    overexposure: float = 0.0,
) -> np.ndarray:
    """Expose an NIR picture (H, W) automatically and add sensor noise.

    Args:
        radiance: (H, W) linear scene radiance.
        sensor: Parameters.
        rng: Source of the noise.
        target_factor: Factor on the exposure target, drawn per video.
        light_level: 0..1 factor on the light of the lamps (perturbation `dark_ir`); the gain is limited.
        overexposure: 0..1 drives the gain up to two stops too high (perturbation
            `ir_overexposure`).

    Returns:
        (H, W) in 0..1 after the tone curve.
    """
    mean = _centre_mean(radiance) * light_level
    gain = min(sensor.target * target_factor / max(mean, 1e-6), sensor.max_gain)
    gain *= 4.0**overexposure
    exposed = radiance * np.float32(gain * light_level) + np.float32(0.12 * overexposure)
    return cv2.pow(unit_clip(_add_noise(exposed, sensor, gain, rng)), sensor.gamma)


def to_grey_levels(image: np.ndarray) -> np.ndarray:
    """Round a picture (H, W) or (H, W, 3) in 0..1 to uint8."""
    return np.rint(image * np.float32(255.0)).astype(np.uint8)
