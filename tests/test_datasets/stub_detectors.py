"""Face detectors for tests: one that sees red rectangles, so that pictures decide, and what is not one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmfas.datasets.detectors import BaseFaceDetector, Face


class RedDetector(BaseFaceDetector):
    """Takes every rectangle of pure red for a face.

    Args:
        calls: Where the shape of every picture is noted.
    """

    def __init__(self, calls: list | None = None) -> None:
        self.calls = [] if calls is None else calls

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find red rectangles."""
        self.calls.append(image.shape)
        red = ((image[..., 0] > 250) & (image[..., 1:].max(axis=-1) < 5)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(red)
        return [Face((x, y, x + w, y + h), 0.9) for x, y, w, h, _ in stats[1:].tolist()]


def red_faces(
    rng: np.random.Generator, faces: Sequence[tuple[int, int, int, int]], *, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a colour picture and depth of half its size, whose faces are red rectangles and near."""
    rgb = rng.integers(0, 200, (height, width, 3), dtype=np.uint8)
    depth = rng.integers(1000, 1400, (height // 2, width // 2)).astype(np.uint16)
    for left, top, right, bottom in faces:
        rgb[top:bottom, left:right] = (255, 0, 0)
        depth[top // 2 : bottom // 2, left // 2 : right // 2] = 600
    return rgb, depth


class FixedDetector(BaseFaceDetector):
    """Finds what it was told, and keeps the picture it was shown."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces = list(faces)
        self.image = np.empty(0)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Return the faces."""
        self.image = image
        return self.faces


class NoDetector:
    """Derives from nothing."""
