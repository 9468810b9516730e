"""Photometry, drawn for each modality separately; look-up tables for changes of single values."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import current_rng, numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES, check_modalities
from mmfas.utils.errors import InputError

__all__ = ['GaussianNoiseModalities', 'PhotometricModalities']

_LEVELS = np.arange(256, dtype=np.float32)


def _check_range(name: str, values: tuple[float, float], least: float) -> tuple[float, float]:
    """Return (low, high) after checking its order and lower bound."""
    low, high = values
    if not least <= low <= high < math.inf:
        raise InputError(f'{name} must be (low, high) with {least} <= low <= high, finite, but got {values}')
    return float(low), float(high)


@TRANSFORMS.register_module()
@numpy_draws_only
class PhotometricModalities(BaseTransform):
    """Add a brightness offset, then apply a gamma curve, drawn anew for every modality.

    This is the recipe of the published trainers (imgaug's `Add(-40..40)` and `GammaContrast(0.5..1.5)`), folded
    into one look-up table per modality. Absent modalities stay untouched.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        brightness: Smallest and largest offset, in grey levels of 0..255.
        gamma: Smallest and largest exponent of the value in 0..1; below 1 brightens.
        per_channel: Draw the offset for each of the three channels, as the published code does, also for grey
            depth and IR images, which become tinted; False draws one for all.
        modalities: Modalities to change.
    """

    def __init__(
        self,
        brightness: tuple[float, float] = (-40, 40),
        gamma: tuple[float, float] = (0.5, 1.5),
        *,
        per_channel: bool = True,
        modalities: tuple[str, ...] = MODALITIES,
    ) -> None:
        self.brightness = _check_range('brightness', brightness, -255)
        self.gamma = _check_range('gamma', gamma, 0)
        self.per_channel = per_channel
        self.modalities = check_modalities(modalities)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'brightness': (-40, 40), 'gamma': (0.5, 1.5)}

    def draw_tables(self) -> np.ndarray:
        """Draw one table per modality.

        Returns:
            Tables (M, 256, C) of uint8, C = 3 with `per_channel`, else 1.
        """
        count, channels = len(self.modalities), 3 if self.per_channel else 1
        rng = current_rng()
        gamma = rng.uniform(*self.gamma, size=(count, 1)).astype(np.float32)
        bent = np.rint((_LEVELS / np.float32(255)) ** gamma * 255).astype(np.uint8)  # (M, 256)
        # Whole grey levels, as imgaug draws them: the offset is a shift along the table of the gamma.
        offset = np.rint(rng.uniform(*self.brightness, size=(count, 1, channels))).astype(np.int64)
        shifted = np.clip(np.arange(256)[:, None] + offset, 0, 255)  # (M, 256, C)
        return bent[np.arange(count)[:, None, None], shifted]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Look every value up in the table of its modality.

        Args:
            results: Sample with uint8 images (H, W, 3).

        Returns:
            The sample with changed images.
        """
        for modality, table in zip(self.modalities, self.draw_tables()):
            if results['present'][modality]:
                results[modality] = cv2.LUT(results[modality], table[None] if self.per_channel else table[:, 0])
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(brightness={self.brightness}, gamma={self.gamma}, '
            f'per_channel={self.per_channel}, modalities={self.modalities})'
        )


@TRANSFORMS.register_module()
@numpy_draws_only
class GaussianNoiseModalities(BaseTransform):
    """Add Gaussian noise whose strength is drawn anew for every modality.

    The recipe of the released MMDA trainer: sigma uniform in 0..51 grey levels. Absent modalities stay untouched.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        sigma: Smallest and largest standard deviation, in grey levels of 0..255.
        per_channel: Draw noise for every channel; False adds the same grey noise to all three.
        modalities: Modalities to change.
    """

    def __init__(
        self,
        sigma: tuple[float, float] = (0, 51),
        *,
        per_channel: bool = False,
        modalities: tuple[str, ...] = MODALITIES,
    ) -> None:
        self.sigma = _check_range('sigma', sigma, 0)
        self.per_channel = per_channel
        self.modalities = check_modalities(modalities)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'sigma': (0, 51)}

    def draw_noise(self) -> list[tuple[float, int]]:
        """Draw the standard deviation and the seed of the noise of every modality."""
        rng = current_rng()
        return [(rng.uniform(*self.sigma), int(rng.integers(2**31))) for _ in self.modalities]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the noise, rounded and clipped to 0..255.

        Args:
            results: Sample with uint8 images (H, W, 3).

        Returns:
            The sample with noisy images.
        """
        for modality, (sigma, seed) in zip(self.modalities, self.draw_noise()):
            if not results['present'][modality]:
                continue
            image = results[modality]
            shape = image.shape if self.per_channel else (*image.shape[:2], 1)
            # Generators draw float32 three times as fast as the legacy functions draw float64.
            noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(shape, dtype=np.float32)
            steps = np.broadcast_to(np.rint(noise * np.float32(sigma)).astype(np.int16), image.shape)
            results[modality] = np.clip(image + steps, 0, 255).astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(sigma={self.sigma}, per_channel={self.per_channel}, '
            f'modalities={self.modalities})'
        )
