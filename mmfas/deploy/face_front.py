"""Face detection and crop in front of a model: a raw frame goes in, a crop as in the training set comes out.

The square is found and cut by the code of `mmfas data crop` (`mmfas.datasets.face_crop`): a frame gives the
same pixels in use as in a training set. Depth must be registered to the picture that is searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mmfas.datasets.detectors import BaseFaceDetector, Face, build_detector
from mmfas.datasets.face_crop import CropSpec, Square, crop_sample, read_picture
from mmfas.datasets.image_files import MAX_SAMPLE_MB
from mmfas.structures import check_modalities

__all__ = ['FaceFront', 'FrontCrop']


@dataclass(frozen=True)
class FrontCrop:
    """What became of a frame.

    Args:
        reason: Empty if there are crops; else `'no face'` or `'several faces'`.
        message: Sentence for people, without a full stop; empty if there are crops.
        faces: All faces that were found.
        square: What was cut out, in pixels of the searched picture; None if nothing was.
        pictures: The crops by modality, (S, S) or (S, S, 3), red first, as the loader takes them; empty if there
            are none.
    """

    reason: str
    message: str
    faces: tuple[Face, ...]
    square: Square | None = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


class FaceFront:
    """Finds the face of a frame and cuts it out of all modalities.

    Args:
        detector: Config of a face detector, such as `dict(type='CenterFaceDetector')`, or a detector.
        spec: Geometry and policies, the same as for the training set. Without a face, or with several, the
            policies `'error'` and `'skip'` both give a reason instead of crops; `no_face='keep'` gives the middle
            of the frame, `several_faces='largest'` or `'centre'` one of them.
        detect_on: Modality that is searched.

    Raises:
        KeyError, TypeError, ImportError: As `build_detector`.
        ValueError: If the modality is unknown.
    """

    def __init__(
        self, detector: Mapping[str, Any] | BaseFaceDetector, spec: CropSpec, *, detect_on: str = 'rgb'
    ) -> None:
        check_modalities([detect_on])
        self.detector = build_detector(detector)
        self.spec = spec
        self.detect_on = detect_on

    def __call__(self, frame: Mapping[str, Any], *, max_mb: float = MAX_SAMPLE_MB) -> FrontCrop:
        """Crop one frame.

        Args:
            frame: Modality -> registered picture: path, array (red first), Pillow picture or bytes of a file.
                They may have different sizes, but not other aspect ratios.
            max_mb: Memory that all of them may take once unpacked, in megabytes.

        Returns:
            The crops, or why there are none.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If a picture cannot be read, `detect_on` is missing, or aspect ratios differ.
        """
        pictures: dict[str, np.ndarray] = {}
        for modality, given in frame.items():
            left = max_mb - sum(picture.nbytes for picture in pictures.values()) / 1e6
            pictures[modality] = read_picture(given, modality, max_mb=left)
        found = crop_sample(pictures, self.detector, self.spec, detect_on=self.detect_on)
        if found.pictures is not None:
            crops = {modality: _red_first(crop) for modality, crop in found.pictures.items()}
            return FrontCrop('', '', found.faces, found.square, crops)
        if not found.faces:
            return FrontCrop('no face', f'no face was found in the {self.detect_on} picture', ())
        message = f'{len(found.faces)} faces were found in the {self.detect_on} picture'
        return FrontCrop('several faces', message, found.faces)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({type(self.detector).__name__}, {self.spec}, detect_on={self.detect_on!r})'


def _red_first(crop: np.ndarray) -> np.ndarray:
    """Turn a crop (S, S) or (S, S, 3), blue first, into what was given."""
    return crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
