"""Writers of small real files in the exact layouts and formats of the published benchmark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FOLDERS = ('color', 'depth', 'ir')


def smooth_image(seed: int, size: tuple[int, int] = (40, 32)) -> np.ndarray:
    """Return a smooth random uint8 image (H, W, 3), so that JPEG changes it little."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def write_triple(root: Path, video: str, frame: str, seed: int) -> list[str]:
    """Write three registered JPEGs of one frame and return their paths relative to `root`."""
    names = []
    for offset, folder in enumerate(FOLDERS):
        path = root / video / folder / f'{frame}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), smooth_image(3 * seed + offset))
        names.append(path.relative_to(root).as_posix())
    return names


def write_padisi(root: Path, name: str, seed: int) -> np.ndarray:
    """Write a PADISI archive and return its array (1, 22, H, W)."""
    data = np.random.default_rng(seed).random((1, 22, 32, 40), dtype=np.float32)
    (root / 'PADISI').mkdir(exist_ok=True)
    np.savez(root / 'PADISI' / name, data=data)
    return data


WMCA_VIDEOS = [  # (video, label)
    ('001_01_000_0_00', 1),
    ('002_01_000_0_01', 1),
    ('098_03_021_3_11', 0),
    ('535_07_066_1_16', 0),
    ('501_05_031_2_02', 0),
    ('019_04_015_4_01', 0),
]


def write_wmca(root: Path, name: str = 'W-train.txt') -> None:
    """Write six WMCA frames with a list in the published format: CRLF, no newline at the end."""
    lines = []
    for seed, (video, label) in enumerate(WMCA_VIDEOS):
        paths = write_triple(root, f'WMCA-Image/R_CDIT/{video}', '0012', seed)
        lines.append(f'{" ".join(paths)} {label}')
    (root / name).write_bytes('\r\n'.join(lines).encode())
