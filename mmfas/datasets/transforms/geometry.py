"""Geometry: one draw per sample, shared by all modalities, so that registered images stay registered.

Each transform draws once and treats all modalities, which makes mmcv's `cache_randomness` needless here (its
descriptor copies itself at every call). To apply a transform that takes a single image to all modalities, use
`TransformBroadcaster(mapping={'img': ['rgb', 'depth', 'ir']}, auto_remap=True, share_random_params=True)`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import current_rng, numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = [
    'CenterCropModalities',
    'RandomCropModalities',
    'RandomFlipModalities',
    'RandomResizedCropModalities',
    'ResizeModalities',
]

PixelSize = tuple[int, int]
Warp = Callable[[np.ndarray], np.ndarray]


def _as_size(value: int | tuple[int, int]) -> PixelSize:
    """Return (width, height) from one number or a pair."""
    width, height = (value, value) if isinstance(value, int) else value
    if width <= 0 or height <= 0:
        raise InputError(f'a size must be positive (width, height), but got {(width, height)}')
    return int(width), int(height)


def _crop(left: int, top: int, width: int, height: int) -> Warp:
    """Return the function that cuts out a box."""
    return lambda image: image[top : top + height, left : left + width]


class _SharedGeometry(BaseTransform):
    """Apply one and the same warp to every modality.

    Subclasses draw in `make_warp`, once per sample. Absent modalities stay zeros, of the new size.
    """

    @abstractmethod
    def make_warp(self, height: int, width: int) -> Warp:
        """Return the warp of one sample, given the size of its images."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Apply the same warp to all modalities.

        Args:
            results: Sample with images (H, W, 3).

        Returns:
            The sample with warped images.
        """
        height, width = results[MODALITIES[0]].shape[:2]
        warp = self.make_warp(height, width)
        present = results['present']
        for modality in MODALITIES:
            if present[modality]:
                results[modality] = warp(results[modality])
        shape = next(results[m].shape for m in MODALITIES if present[m])
        for modality in MODALITIES:
            if results[modality].shape != shape:
                results[modality] = np.zeros(shape, np.uint8)
        return results

    def __repr__(self) -> str:
        values = {key: value for key, value in vars(self).items() if not key.startswith('_')}
        return f'{type(self).__name__}({", ".join(f"{key}={value!r}" for key, value in values.items())})'


@TRANSFORMS.register_module()
@numpy_draws_only
class ResizeModalities(_SharedGeometry):
    """Resize all modalities.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        scale: New size in pixels, one number or (width, height) as in mmcv.
        interpolation: Name that `mmcv.imresize` knows; `'bilinear'` is what the published loaders use.
    """

    def __init__(self, scale: int | tuple[int, int], interpolation: str = 'bilinear') -> None:
        self.scale = _as_size(scale)
        self.interpolation = interpolation

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'scale': 16}

    def make_warp(self, height: int, width: int) -> Warp:
        """Return the resize; nothing to do where the size is right already."""
        if (width, height) == self.scale:
            return lambda image: image
        return lambda image: mmcv.imresize(image, self.scale, interpolation=self.interpolation)


@TRANSFORMS.register_module()
@numpy_draws_only
class CenterCropModalities(_SharedGeometry):
    """Cut the middle out of all modalities.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        crop_size: Size in pixels, one number or (width, height).
    """

    def __init__(self, crop_size: int | tuple[int, int]) -> None:
        self.crop_size = _as_size(crop_size)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'crop_size': 8}

    def make_warp(self, height: int, width: int) -> Warp:
        """Return the crop of the middle."""
        free_x, free_y = _free_space(self.crop_size, height, width)
        return _crop(free_x // 2, free_y // 2, *self.crop_size)


@TRANSFORMS.register_module()
@numpy_draws_only
class RandomCropModalities(_SharedGeometry):
    """Cut the same random box out of all modalities.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        crop_size: Size in pixels, one number or (width, height).
    """

    def __init__(self, crop_size: int | tuple[int, int]) -> None:
        self.crop_size = _as_size(crop_size)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'crop_size': 8}

    def draw_offset(self, free_x: int, free_y: int) -> tuple[int, int]:
        """Draw the left and top edge of the box, in pixels."""
        rng = current_rng()
        return int(rng.integers(free_x + 1)), int(rng.integers(free_y + 1))

    def make_warp(self, height: int, width: int) -> Warp:
        """Return the crop of a random box."""
        left, top = self.draw_offset(*_free_space(self.crop_size, height, width))
        return _crop(left, top, *self.crop_size)


@TRANSFORMS.register_module()
@numpy_draws_only
class RandomResizedCropModalities(_SharedGeometry):
    """Cut the same box of random area and aspect ratio out of all modalities and resize it.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        scale: New size in pixels, one number or (width, height).
        area_range: Smallest and largest part of the image area, in (0, 1].
        ratio_range: Smallest and largest width / height of the box.
    """

    _NUM_TRIES = 10

    def __init__(
        self,
        scale: int | tuple[int, int],
        *,
        area_range: tuple[float, float] = (0.8, 1.0),
        ratio_range: tuple[float, float] = (0.75, 4 / 3),
    ) -> None:
        if not 0 < area_range[0] <= area_range[1] <= 1 or not 0 < ratio_range[0] <= ratio_range[1] < math.inf:
            raise InputError(
                f'area_range must lie in (0, 1] and ratio_range be positive, both low to high, '
                f'but got {area_range} and {ratio_range}'
            )
        self.scale = _as_size(scale)
        self.area_range = area_range
        self.ratio_range = ratio_range

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'scale': 16}

    def draw_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw left, top, width and height of the box in pixels; the whole image if ten tries do not fit."""
        rng = current_rng()
        low, high = np.log(self.ratio_range)
        for _ in range(self._NUM_TRIES):
            area = height * width * rng.uniform(*self.area_range)
            ratio = np.exp(rng.uniform(low, high))
            box_width, box_height = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < box_width <= width and 0 < box_height <= height:
                left, top = rng.integers((width - box_width + 1, height - box_height + 1)).tolist()
                return left, top, box_width, box_height
        return 0, 0, width, height

    def make_warp(self, height: int, width: int) -> Warp:
        """Return the crop and resize of a random box."""
        crop = _crop(*self.draw_box(height, width))
        return lambda image: mmcv.imresize(crop(image), self.scale)


@TRANSFORMS.register_module()
@numpy_draws_only
class RandomFlipModalities(_SharedGeometry):
    """Mirror all modalities left to right, or none.

    Required Keys:
        rgb, depth, ir, present
    Modified Keys:
        rgb, depth, ir

    Args:
        prob: Probability of a flip, in [0, 1]. The published recipe uses 0.5.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise InputError(f'prob must lie in [0, 1], but got {prob}')
        self.prob = prob

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'prob': 0.5}

    def draw_flip(self) -> bool:
        """Draw whether to flip."""
        return bool(current_rng().random() < self.prob)

    def make_warp(self, height: int, width: int) -> Warp:
        """Return the flip or nothing."""
        if not self.draw_flip():
            return lambda image: image
        # Not mmcv.imflip: its view with negative strides costs 300 us in the next copy, OpenCV's flip 7 us.
        return lambda image: cv2.flip(image, 1)


def _free_space(crop_size: PixelSize, height: int, width: int) -> PixelSize:
    """Return the pixels that a box can move right and down."""
    free_x, free_y = width - crop_size[0], height - crop_size[1]
    if free_x < 0 or free_y < 0:
        raise InputError(f'crop_size {crop_size} does not fit into an image of {width}x{height}; resize first')
    return free_x, free_y
