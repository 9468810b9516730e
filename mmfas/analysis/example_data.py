"""A small data set of random pictures, written when it is needed, to measure loading with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfas.datasets import MultiModalFaceDataset
from mmfas.utils.files import write_atomically


def write_example(folder: Path, edge: int = 256, *, num_files: int = 16, size: int = 224) -> Any:
    """Write smooth random JPEG triples and return a data set with the published training recipe.

    Args:
        folder: Where to write.
        edge: Edge of the images in pixels.
        num_files: Triples.
        size: Edge of what the pipeline yields, in pixels.

    Returns:
        The data set.
    """
    rng = np.random.default_rng(0)
    lines = []
    for number in range(num_files):
        names = [f'{kind}/{number:02d}.jpg' for kind in ('rgb', 'depth', 'ir')]
        for name in names:
            noise = rng.integers(0, 256, (edge, edge, 3), dtype=np.uint8)
            picture = cv2.imencode('.jpg', cv2.GaussianBlur(noise, (0, 0), 3))[1]
            write_atomically(folder / name, picture.tobytes(), durable=False)  # `imwrite` hides a full disk
        lines.append(f'{" ".join(names)} {number % 2}')
    write_atomically(folder / 'train.txt', '\n'.join(lines))
    steps = ('LoadMultiModalImages', 'ResizeModalities', 'RandomFlipModalities', 'PhotometricModalities')
    pipeline = [{'type': name, **({'scale': size} if name == 'ResizeModalities' else {})} for name in steps]
    return MultiModalFaceDataset('train.txt', str(folder), pipeline=[*pipeline, {'type': 'PackFASInputs'}])
