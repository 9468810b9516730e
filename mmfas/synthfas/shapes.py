"""Small vectorised building blocks of SynthFAS: bumps, soft edges, outlines and noise fields.

Letters: H rows (y, downwards), W columns (x, to the right). All arrays are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

__all__ = [
    'bump',
    'bump_sum',
    'ellipse_mask',
    'noise_field',
    'outer',
    'positive',
    'sensor_noise',
    'smooth_interp',
    'soft_step',
    'streak_field',
    'unit_clip',
]


def outer(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Multiply a column profile (H,) with a row profile (W,) to an (H, W) map."""
    return np.asarray(column, np.float32)[:, None] * np.asarray(row, np.float32)[None, :]


def bump(
    x_mm: np.ndarray, y_mm: np.ndarray, centre: tuple[float, float], sigma: tuple[float, float]
) -> np.ndarray:
    """Draw a separable Gaussian of height 1.

    Args:
        x_mm: (W,) column coordinates.
        y_mm: (H,) row coordinates.
        centre: (x, y) of the top in mm.
        sigma: (x, y) standard deviations in mm.

    Returns:
        (H, W) map in (0, 1].

    >>> import numpy as np
    >>> float(bump(np.zeros(1), np.zeros(1), (0.0, 0.0), (5.0, 5.0))[0, 0])
    1.0
    """
    row = np.exp(-0.5 * ((x_mm - centre[0]) / sigma[0]) ** 2)
    column = np.exp(-0.5 * ((y_mm - centre[1]) / sigma[1]) ** 2)
    return outer(column, row)


def unit_clip(values: np.ndarray) -> np.ndarray:
    """Limit floats of any shape to 0..1; the method has less overhead than `np.clip` on small pictures."""
    return values.clip(0.0, 1.0)


def positive(values: np.ndarray) -> np.ndarray:
    """Replace what is below 0 by 0, any shape; half the time of `np.maximum`, which is slow with a number."""
    return values.clip(0.0, np.inf)


def soft_step(distance_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """Turn signed distances of any shape (positive = inside) into coverage 0..1 over a ramp of `width_mm`."""
    coverage = np.asarray(distance_mm, np.float32) * np.float32(1.0 / max(width_mm, 1e-3))
    coverage += np.float32(0.5)
    return coverage.clip(0.0, 1.0, out=coverage)


def ellipse_mask(
    x_mm: np.ndarray,
    y_mm: np.ndarray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    width_mm: float,
) -> np.ndarray:
    """Draw a filled ellipse with a soft edge of about `width_mm`.

    Args:
        x_mm: (W,) column coordinates.
        y_mm: (H,) row coordinates.
        centre: (x, y) in mm.
        radii: (x, y) half axes in mm.
        width_mm: Width of the soft edge.

    Returns:
        (H, W) coverage in 0..1.
    """
    u = ((x_mm - centre[0]) / radii[0]).astype(np.float32) ** 2
    v = ((y_mm - centre[1]) / radii[1]).astype(np.float32) ** 2
    inside = 1.0 - cv2.sqrt(u[None, :] + v[:, None])
    return soft_step(inside, width_mm / min(radii))


def smooth_interp(values: np.ndarray, knots: tuple[tuple[float, float], ...], sigma: float) -> np.ndarray:
    """Interpolate through `knots` and round the corners with a Gaussian of `sigma` samples.

    Args:
        values: (H,) positions, evenly spaced.
        knots: Pairs (position, height), positions increasing.
        sigma: Rounding in samples of `values`.

    Returns:
        (H,) heights.
    """
    positions, heights = np.array(knots, np.float32).T
    line = np.interp(values, positions, heights).astype(np.float32)
    return cv2.GaussianBlur(line[:, None], (1, 0), sigmaX=1e-3, sigmaY=sigma)[:, 0] if sigma > 0 else line


def noise_field(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Draw smooth noise, about zero mean and unit variance, with `cells` (rows, columns) blobs.

    Args:
        rng: Source of the draws.
        shape: (H, W) of the result.
        cells: Rows and columns of the coarse lattice; more = finer.

    Returns:
        (H, W) noise.
    """
    coarse = rng.standard_normal((cells[0] + 3, cells[1] + 3), dtype=np.float32)
    height, width = shape
    # A margin of one and a half cells keeps the replicated border of the spline out of the picture.
    scale_y, scale_x = height / cells[0], width / cells[1]
    matrix = np.array([[1 / scale_x, 0, 1.0], [0, 1 / scale_y, 1.0]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return 1.25 * cv2.warpAffine(coarse, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)


def bump_sum(x_mm: np.ndarray, y_mm: np.ndarray, bumps: Sequence[tuple[float, ...]]) -> np.ndarray:
    """Add up separable Gaussians with one matrix product.

    Args:
        x_mm: (W,) column coordinates.
        y_mm: (H,) row coordinates.
        bumps: Rows of (height, centre x, centre y, sigma x, sigma y), lengths in mm.

    Returns:
        (H, W) float32 sum.
    """
    height, centre_x, centre_y, sigma_x, sigma_y = np.array(bumps, np.float32).T[:, :, None]
    rows = np.exp(-0.5 * ((x_mm - centre_x) / sigma_x) ** 2)
    columns = height * np.exp(-0.5 * ((y_mm - centre_y) / sigma_y) ** 2)
    return cv2.gemm(columns, rows, 1.0, None, 0.0, flags=cv2.GEMM_1_T)


@lru_cache(maxsize=64)
def _noise_tile(side: int, sigma_px: float) -> np.ndarray:
    """Unit-variance noise (side, side) with a Gaussian correlation; the same in every process."""
    noise = np.random.default_rng(20).standard_normal((side, side), dtype=np.float32)
    if sigma_px < 0.3:
        return noise
    kernel = cv2.getGaussianKernel(int(sigma_px * 6) | 1, sigma_px, cv2.CV_32F)
    gain = float(np.sum(kernel**2))
    return cv2.sepFilter2D(noise, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101) / np.float32(gain)


def sensor_noise(rng: np.random.Generator, shape: tuple[int, int], sigma_px: float = 0.0) -> np.ndarray:
    """Cut unit-variance noise at a drawn place out of one large tile, several times faster than drawing it.

    Args:
        rng: Source of the place, the flip and so of the noise.
        shape: (H, W) of the result.
        sigma_px: Width of the Gaussian correlation; below 0.3 means white.

    Returns:
        (H, W) noise, a read-only view.
    """
    tile = _noise_tile(max(shape) + 320, sigma_px)
    # One draw for row, column and flip; a flip of columns as well would slow down whatever uses the noise.
    place = int(rng.integers(2 * 320 * 320))
    top, left = place // 2 // 320, place // 2 % 320
    return tile[top : top + shape[0], left : left + shape[1]][:: 1 - 2 * (place % 2)]


def streak_field(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Draw hair-like streaks: fine across, long along y. Arguments and result as in `noise_field`."""
    fine = noise_field(rng, shape, cells)
    broad = noise_field(rng, shape, (max(cells[0] // 2, 1), max(cells[1] // 4, 1)))
    return 0.7 * fine + 0.5 * broad
