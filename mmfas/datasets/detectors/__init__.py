"""Face detectors for cropping your own footage; a detector of your own needs one method."""

from mmfas.datasets.detectors.base import BaseFaceDetector, Face, build_detector
from mmfas.datasets.detectors.center_face import CenterFaceDetector

__all__ = ['BaseFaceDetector', 'CenterFaceDetector', 'Face', 'build_detector']
