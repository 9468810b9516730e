"""Input and output of a face detector.

Coordinates are continuous: the pixel in column 3 spans x from 3 to 4, and the picture spans 0 to its width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmfas.registry import FACE_DETECTORS, SCOPE
from mmfas.utils.errors import InputError, WrongTypeError

__all__ = ['BaseFaceDetector', 'Face', 'build_detector']

Point = tuple[float, float]


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Args:
        box: (left, top, right, bottom) in pixels; may reach out of the picture.
        score: How sure the detector is, in [0, 1].
        eyes: (x, y) in pixels of both eyes, the one further left in the picture first; None if the detector finds
            none.
    """

    box: tuple[float, float, float, float]
    score: float = 1.0
    eyes: tuple[Point, Point] | None = None

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (left < right and top < bottom):
            raise InputError(
                f'a box is (left, top, right, bottom) with left < right, top < bottom, got {self.box}'
            )

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def centre(self) -> Point:
        """Centre of the box in pixels."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


class BaseFaceDetector(ABC):
    """Finds the faces of one picture.

    An object is built once in every worker process, from its config. The same picture must always give the same
    faces.
    """

    @abstractmethod
    def detect(self, image: np.ndarray) -> list[Face]:
        """Find faces.

        Args:
            image: uint8 (H, W, 3), RGB order; infrared and depth pictures come as grey repeated three times.

        Returns:
            The faces in any order; empty if there are none.
        """


def build_detector(cfg: Mapping[str, Any] | BaseFaceDetector) -> BaseFaceDetector:
    """Build a face detector.

    Args:
        cfg: Config with `type`, a registered name or the dotted path of a class; or a detector, which is returned.

    Returns:
        The detector.

    Raises:
        KeyError: If nothing has this name.
        TypeError: If it is not a face detector.
        ImportError: If its package is not installed.
    """
    if isinstance(cfg, BaseFaceDetector):
        return cfg
    with FACE_DETECTORS.switch_scope_and_registry(SCOPE) as registry:
        detector = registry.build(dict(cfg))
    if not isinstance(detector, BaseFaceDetector):
        raise WrongTypeError(
            f'{type(detector).__name__} is not a face detector: it must derive from '
            'mmfas.datasets.detectors.BaseFaceDetector'
        )
    return detector
