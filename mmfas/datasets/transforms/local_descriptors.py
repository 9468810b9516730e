"""Local descriptors of the infrared image: its HOG picture and its PLGF map beside the grey values.

Legend: H, W size of an image in pixels; R, C cells in a column and in a row; O orientations; K pixels per side of
a cell.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.utils.errors import InputError
from mmfas.utils.files import atomic_file, remove_leftovers

__all__ = ['IRLocalDescriptors', 'hog_picture', 'plgf']

#: Part of the key of cached files; raise it when the arithmetic below changes.
_VERSION = 1
_SPAN = 2 * 255 + 1  # values of a difference of two grey values
_LEAST_GREY = 2  # PLGF divides by the grey value
_NO_ZERO = 1e-4
_PLGF_RADIUS = 2


@cache
def _gradient_tables(orientations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return orientation bin and magnitude of every pair of 8-bit differences, each (511 * 511,).

    Grey values are whole numbers, so that all arc tangents and roots there can be are known beforehand.
    """
    values = np.arange(-255, 256, dtype=np.float64)
    rows, columns = values[:, None], values[None, :]
    degrees = np.rad2deg(np.arctan2(rows, columns)) % 180
    bins = np.minimum(degrees * orientations / 180, orientations - 1).astype(np.intp)
    return bins.ravel(), np.hypot(rows, columns).ravel()


@cache
def _strokes(orientations: int, cell: int) -> np.ndarray:
    """Return the line that represents each orientation in the picture of a cell, (O, K * K) of 0 and 1."""
    from skimage.draw import line

    radius, centre = cell // 2 - 1, cell // 2
    pictures = np.zeros((orientations, cell, cell))
    for number, angle in enumerate(np.pi * (np.arange(orientations) + 0.5) / orientations):
        down, right = radius * np.cos(angle), radius * np.sin(angle)
        ends = (centre - down, centre + right, centre + down, centre - right)
        pictures[number][line(*map(int, ends))] = 1
    return pictures.reshape(orientations, cell * cell)


def hog_picture(gray: np.ndarray, *, orientations: int = 9, cell: int = 8) -> np.ndarray:
    """Draw the histograms of oriented gradients of an image: in each cell, a line per orientation.

    The picture of `skimage.feature.hog(gray, orientations, (cell, cell), visualize=True)`, up to rounding. Rows
    and columns beyond the last whole cell stay zero. (Dalal and Triggs, CVPR 2005; without block normalisation,
    which the picture never had.)

    Args:
        gray: Image (H, W), uint8.
        orientations: Number of bins O over 180 degrees.
        cell: Pixels per side of a cell, K >= 4 and even.

    Returns:
        Picture (H, W), float64, >= 0: sums of mean gradient magnitudes, in grey levels, not scaled.

    Raises:
        ValueError: If the image is of another kind or smaller than one cell.
    """
    _check_gray(gray, cell)
    height, width = gray.shape
    num_rows, num_columns = height // cell, width // cell
    down, right = _differences(gray, num_rows * cell, num_columns * cell)
    bins, magnitudes = _gradient_tables(orientations)
    index = down * _SPAN + right + (255 * _SPAN + 255)
    cells = np.arange(num_rows)[:, None].repeat(cell, 0) * num_columns + np.arange(num_columns).repeat(cell)
    slots = cells * orientations + bins[index]  # (R K, C K)
    size = num_rows * num_columns * orientations
    histograms = np.bincount(slots.ravel(), magnitudes[index].ravel(), minlength=size) / cell**2
    drawn = histograms.reshape(num_rows, num_columns, orientations) @ _strokes(orientations, cell)
    picture = np.zeros((height, width))
    tiles = drawn.reshape(num_rows, num_columns, cell, cell).transpose(0, 2, 1, 3)
    picture[: num_rows * cell, : num_columns * cell] = tiles.reshape(num_rows * cell, num_columns * cell)
    return picture


def _differences(gray: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return central differences downwards and to the right, (height, width); zero at the border of the image."""
    values = gray.astype(np.int32)
    down, right = np.zeros_like(values), np.zeros_like(values)
    np.subtract(values[2:], values[:-2], out=down[1:-1])
    np.subtract(values[:, 2:], values[:, :-2], out=right[:, 1:-1])
    return down[:height, :width], right[:height, :width]


@cache
def _gravity_masks() -> tuple[np.ndarray, np.ndarray]:
    """Return the masks (5, 5) of pull to the right and upwards: direction over squared distance, centre 0."""
    span = np.arange(-_PLGF_RADIUS, _PLGF_RADIUS + 1, dtype=np.float64)
    right, up = span[None, :], -span[:, None]
    squared = right**2 + up**2
    squared[_PLGF_RADIUS, _PLGF_RADIUS] = np.inf
    angle = np.arctan2(up, right)
    return np.cos(angle) / squared, np.sin(angle) / squared


def plgf(gray: np.ndarray) -> np.ndarray:
    """Compute the pattern of local gravitational force of an image.

    `arctan(sqrt((Fx / I)^2 + (Fy / I)^2))`, F the force that the 24 neighbours exert, scaled to [1, 255]: a
    measure of local contrast that does not change with illumination. (Bhattacharjee and Roy, TPAMI 2021.)

    Args:
        gray: Image (H, W), uint8. Beyond its border is nothing.

    Returns:
        Map (H, W), float32, in [1, 255]; 1 everywhere if nothing varies.

    Raises:
        ValueError: If the image is of another kind.
    """
    _check_gray(gray, 1)
    values = np.maximum(gray, _LEAST_GREY).astype(np.float32)
    forces = [cv2.filter2D(values, cv2.CV_32F, mask, borderType=cv2.BORDER_CONSTANT) for mask in _gravity_masks()]
    angle = np.arctan(cv2.magnitude(*forces) / (values + np.float32(_NO_ZERO)))
    low, high = float(angle.min()), float(angle.max())
    scale = 254 / (high - low) if high > low else 0.0
    return (angle - np.float32(low)) * np.float32(scale) + np.float32(1)


def _check_gray(gray: np.ndarray, least: int) -> None:
    """Raise if an array is not an 8-bit grey image of at least `least` pixels per side."""
    if gray.ndim != 2 or gray.dtype != np.uint8 or min(gray.shape) < least:
        raise InputError(
            f'expected a grey image (H, W) of uint8, at least {least} pixels high and wide, but got '
            f'{gray.dtype} of {gray.shape}'
        )


@TRANSFORMS.register_module()
@numpy_draws_only
class IRLocalDescriptors(BaseTransform):
    """Put [grey, HOG picture, PLGF map] into the three channels of the infrared image.

    The best input for infrared in AMA (arXiv 2302.05744), and what the prototypes of the released MMDG see. As
    there, the descriptors are made of the image as it was loaded, so this comes right after the loader; later
    photometry should leave infrared out. An absent image stays absent.

    Differs from the released scripts in: values are rounded and kept, not saved as JPEG.

    Required Keys:
        ir, present, source_line
    Modified Keys:
        ir

    Args:
        orientations: Number of orientations of the HOG picture.
        cell: Pixels per side of a cell of the HOG picture, even, >= 4.
        cache_dir: Folder where descriptors are kept, one file per image. The name is a hash of pixels and
            parameters, so that changed images or parameters never match old files; several processes may use it.
            None keeps nothing.

    Raises:
        ValueError: If an argument is out of range, or an image is smaller than a cell.
    """

    def __init__(self, *, orientations: int = 9, cell: int = 8, cache_dir: str | None = None) -> None:
        if orientations < 1 or cell < 4 or cell % 2:
            raise InputError(f'orientations must be >= 1 and cell even and >= 4, but got {orientations=}, {cell=}')
        self.orientations = orientations
        self.cell = cell
        self.cache_dir = cache_dir
        if cache_dir is not None:
            remove_leftovers(cache_dir, below=True)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'orientations': 9, 'cell': 8}

    def _describe(self, gray: np.ndarray) -> np.ndarray:
        """Return HOG picture and PLGF map as uint8 (H, W, 2)."""
        pictures = (hog_picture(gray, orientations=self.orientations, cell=self.cell), plgf(gray))
        return np.stack([np.rint(np.minimum(picture, 255)).astype(np.uint8) for picture in pictures], axis=-1)

    def _cached_file(self, gray: np.ndarray) -> Path:
        """Return the file that belongs to an image and to the parameters."""
        parameters = (_VERSION, self.orientations, self.cell, gray.shape)
        digest = hashlib.blake2b(repr(parameters).encode(), digest_size=20)
        digest.update(gray.tobytes())
        name = digest.hexdigest()
        return Path(str(self.cache_dir), name[:2], f'{name}.npy')

    def _describe_cached(self, gray: np.ndarray) -> np.ndarray:
        """Read the descriptors; compute and keep them if there is no file or a damaged one."""
        file = self._cached_file(gray)
        try:
            kept = np.load(file, allow_pickle=False)
            if kept.shape == (*gray.shape, 2) and kept.dtype == np.uint8:
                return np.asarray(kept)
        except (FileNotFoundError, ValueError, EOFError):
            pass
        described = self._describe(gray)
        with atomic_file(file, durable=False) as stream:  # a damaged one is computed again
            np.save(stream, described)
        return described

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the infrared image.

        Args:
            results: Sample with `ir` (uint8 (H, W, 3), grey), `present` and `source_line`.

        Returns:
            The sample with `ir` as [grey, HOG, PLGF].
        """
        if not results['present']['ir']:
            return results
        gray = cv2.cvtColor(results['ir'], cv2.COLOR_RGB2GRAY)
        try:
            described = self._describe(gray) if self.cache_dir is None else self._describe_cached(gray)
        except ValueError as error:
            raise InputError(f'ir image ({results["source_line"]}): {error}') from error
        results['ir'] = np.dstack([gray, described])
        return results

    def __repr__(self) -> str:
        options = f'orientations={self.orientations}, cell={self.cell}, cache_dir={self.cache_dir!r}'
        return f'{type(self).__name__}({options})'
