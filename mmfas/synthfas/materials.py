"""Reflectance of the materials of SynthFAS in the visible (linear R, G, B) and in the near infrared.

Each row is (R, G, B, NIR at 850-940 nm, gloss, depth failure affinity). Sources and spreads are given in
`docs/en/synthfas.md`; where a value is a choice because there is no source, that page says so.
"""

from __future__ import annotations

import numpy as np

__all__ = ['MATERIALS', 'material', 'skin_colour']

#: Diffuse linear reflectance of skin for melanin 0, 1/3, 2/3, 1 (visible falls five- to ninefold, NIR by a third).
SKIN_TABLE: tuple[tuple[float, float, float, float], ...] = (
    (0.66, 0.45, 0.36, 0.50),
    (0.52, 0.325, 0.235, 0.47),
    (0.30, 0.165, 0.105, 0.42),
    (0.125, 0.066, 0.042, 0.35),
)

MATERIALS: dict[str, tuple[float, float, float, float, float, float]] = {
    'sclera': (0.44, 0.41, 0.385, 0.46, 0.55, 0.05),
    'pupil': (0.012, 0.012, 0.012, 0.06, 0.8, 0.1),
    'tooth': (0.62, 0.58, 0.48, 0.55, 0.4, 0.0),
    'mouth': (0.10, 0.03, 0.03, 0.20, 0.1, 0.1),
    'nostril': (0.05, 0.025, 0.02, 0.14, 0.0, 0.1),
    'frame_black': (0.02, 0.02, 0.022, 0.08, 0.5, 0.35),
    'frame_metal': (0.45, 0.42, 0.38, 0.50, 0.9, 0.35),
    'paper': (0.84, 0.84, 0.82, 0.85, 0.04, 0.0),
    'photo_paper': (0.86, 0.86, 0.86, 0.83, 0.45, 0.03),
    'cardboard': (0.62, 0.56, 0.46, 0.76, 0.04, 0.0),
    'screen_glass': (0.015, 0.015, 0.018, 0.05, 0.75, 0.18),
    'bezel': (0.03, 0.03, 0.03, 0.09, 0.35, 0.12),
    'resin': (0.66, 0.60, 0.50, 0.86, 0.50, 0.02),
    'silicone': (0.60, 0.38, 0.33, 0.80, 0.34, 0.0),
    'plastic': (0.62, 0.48, 0.38, 0.86, 0.60, 0.03),
    'stand': (0.10, 0.10, 0.11, 0.30, 0.2, 0.0),
}


def material(name: str) -> np.ndarray:
    """Return the (6,) row of a named material."""
    return np.array(MATERIALS[name], np.float32)


def skin_colour(melanin: float, redness: float) -> np.ndarray:
    """Interpolate skin reflectance.

    Args:
        melanin: 0 (very light) to 1 (very dark).
        redness: Haemoglobin proxy, 0 pale to 1 ruddy; takes green and blue, leaves NIR alone.

    Returns:
        (6,) material row: R, G, B, NIR, gloss, depth failure affinity.

    >>> bool(skin_colour(0.0, 0.5)[3] < 2 * skin_colour(1.0, 0.5)[3])
    True
    """
    table = np.log(np.array(SKIN_TABLE, np.float32))
    position = float(np.clip(melanin, 0.0, 1.0)) * (len(SKIN_TABLE) - 1)
    low = min(int(position), len(SKIN_TABLE) - 2)
    row = np.exp(table[low] + (position - low) * (table[low + 1] - table[low]))
    row[1] *= 1.08 - 0.16 * redness
    row[2] *= 1.10 - 0.20 * redness
    return np.append(row, [0.12, 0.0]).astype(np.float32)
