"""Live samples turned into imitated prints and screens, in training only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import current_rng, numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import LIVE, SPOOF
from mmfas.utils.errors import InputError

__all__ = ['IMITATIONS', 'ImitateAttacks']


def _grids(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (H, 1) and columns (1, W) of an image, in pixels."""
    height, width = image.shape[:2]
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Round and clip to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _flat(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace a face by the plane of a sheet or screen at its median depth, tilted by up to 12 grey levels."""
    readings = depth[depth > 0]  # black is "no reading"
    tilt_y, tilt_x = rng.uniform(-12, 12, size=2)
    middle = float(np.median(readings)) if readings.size else 128.0
    rows, columns = _grids(depth)
    plane = middle + tilt_y * (rows / len(depth) - 0.5) + tilt_x * (columns / depth.shape[1] - 0.5)
    return np.repeat(_eight_bits(np.clip(plane, 1, 255))[..., None], 3, axis=2)


def _print_rgb(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print: ink reaches neither black nor white nor strong colours, takes a tint, and is laid in dots."""
    colour, contrast = rng.uniform(0.5, 0.85), rng.uniform(0.6, 0.85)
    period, angle, depth = rng.uniform(2.5, 4), rng.uniform(0, np.pi), rng.uniform(4, 14)
    tint = rng.uniform(-12, 12, size=3)
    values = rgb.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = (grey + colour * (values - grey) - 128) * contrast + 138 + tint
    rows, columns = _grids(rgb)
    turn = 2 * np.pi / period
    along = turn * (np.cos(angle) * columns + np.sin(angle) * rows)
    across = turn * (np.cos(angle) * rows - np.sin(angle) * columns)
    return _eight_bits(values + depth * (np.sin(along) * np.sin(across))[..., None])


def _screen_rgb(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Screen: a bluish backlight, and the beat of its raster with that of the camera, shifted by channel."""
    gamma, light = rng.uniform(0.8, 1.1), rng.uniform(0.85, 1.15)
    angle, period, depth = rng.uniform(0, np.pi), rng.uniform(5, 18), rng.uniform(0.06, 0.2)
    rows, columns = _grids(rgb)
    wave = 2 * np.pi / period * (np.cos(angle) * columns + np.sin(angle) * rows)
    beat = 1 + depth * np.sin(wave[..., None] + np.array([0, 2.1, 4.2], np.float32))
    backlight = np.array([0.94, 1.0, 1.1], np.float32) * light
    return _eight_bits(255 * (rgb.astype(np.float32) / 255) ** gamma * backlight * beat)


def _print_ir(ir: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Infrared sees through most ink: bright paper with a faint face."""
    left, paper = rng.uniform(0.05, 0.4), rng.uniform(110, 200)
    values = ir.astype(np.float32)
    return _eight_bits(paper + left * (values - values.mean()))


def _screen_ir(ir: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A screen does not shine in infrared: dark glass with one broad reflection."""
    glass, spot = rng.uniform(6, 30), rng.uniform(0, 90)
    rows, columns = _grids(ir)
    middle_y, middle_x = rng.uniform(0, 1, size=2) * ir.shape[:2]
    radius = rng.uniform(0.1, 0.3) * max(ir.shape[:2])
    distance = ((rows - middle_y) ** 2 + (columns - middle_x) ** 2) / radius**2
    return np.repeat(_eight_bits(glass + spot * np.exp(-distance))[..., None], 3, axis=2)


_Painter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
#: Instrument -> what it does to each modality.
IMITATIONS: dict[str, dict[str, _Painter]] = {
    'print': {'rgb': _print_rgb, 'depth': _flat, 'ir': _print_ir},
    'replay': {'rgb': _screen_rgb, 'depth': _flat, 'ir': _screen_ir},
}


@TRANSFORMS.register_module()
@numpy_draws_only
class ImitateAttacks(BaseTransform):
    """Turn live samples into imitated attacks, so that training sees more of them than were recorded.

    The idea of simulated physical spoofing clues (He et al., CVPR workshops 2024, arXiv:2404.08450), which are
    drawn into live colour pictures, brought to three modalities; the arithmetic is our own. A print loses colour
    and contrast and gets dots, a screen gets a moire pattern and a backlight; depth becomes a plane; infrared
    becomes bright paper with a faint face, or dark glass. The sample is an attack afterwards (`gt_label`, `pai`).
    Attacks and absent modalities stay untouched. It stands after geometry, so that patterns keep their period, and
    before photometry. It changes labels: a data set with `test_mode=True` refuses it.

    Required Keys:
        rgb, depth, ir, present, gt_label, pai
    Modified Keys:
        rgb, depth, ir, gt_label, pai

    Args:
        prob: Probability that a live sample becomes an attack, in (0, 1).
        instruments: What is imitated, of `print` and `replay`; one is drawn for a sample.

    Raises:
        ValueError: If the probability is out of range or an instrument is unknown.
    """

    #: It makes other labels of those that are known, which is for training only.
    relabels = True

    def __init__(self, prob: float = 0.2, *, instruments: Sequence[str] = ('print', 'replay')) -> None:
        if not 0 < prob < 1:
            raise InputError(f'prob must be between 0 and 1, both excluded, but got {prob}')
        listed = not isinstance(instruments, str) and len(instruments) > 0
        if not listed or not set(instruments) <= set(IMITATIONS) or len(set(instruments)) != len(instruments):
            raise InputError(
                f'instruments must be one or more of {sorted(IMITATIONS)}, each once, but got {instruments!r}'
            )
        self.prob = prob
        self.instruments = tuple(instruments)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'prob': 0.5}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Imitate an attack with a live sample, or leave it.

        Args:
            results: Sample with uint8 images (H, W, 3) and its label.

        Returns:
            The sample, live or an attack.
        """
        # Three numbers for every sample, so that labels and what is missing shift no later draw.
        rng = current_rng()
        chance, choice, seed = rng.random(), rng.random(), int(rng.integers(2**31))
        if results['gt_label'] != LIVE or chance >= self.prob:
            return results
        instrument = self.instruments[int(choice * len(self.instruments))]
        own = np.random.Generator(np.random.SFC64(seed))
        for modality, paint in IMITATIONS[instrument].items():
            if results['present'][modality]:
                results[modality] = paint(results[modality], own)
        results['gt_label'], results['pai'] = SPOOF, instrument
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, instruments={self.instruments})'
