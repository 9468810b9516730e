"""The face crop of a bundle as data: detector, geometry and the picture that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfas.datasets.face_crop import CropSpec
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.face_front import FaceFront
from mmfas.deploy.trusted_parts import check_parts
from mmfas.registry import FACE_DETECTORS, register_all_modules

__all__ = ['crop_record', 'face_front_of']


def crop_record(detector: Mapping[str, Any], *, detect_on: str = 'rgb', **spec: Any) -> dict[str, Any]:
    """Return the record of a face crop, checked.

    Args:
        detector: Config of a face detector.
        detect_on: Modality that is searched.
        **spec: Fields of `CropSpec`, such as `margin`; those of the training set's crop.

    Raises:
        ValueError: If a value is out of its range, or the detector is not a registered one.
        TypeError: If there is no such field.
    """
    _check(detector, 'the face crop')
    return dict(detector=dict(detector), detect_on=detect_on, spec=vars(CropSpec(**spec)))


def face_front_of(bundle: Bundle) -> FaceFront | None:
    """Build the face detection and crop of a bundle; None where pictures come cropped.

    Args:
        bundle: The bundle.

    Raises:
        BundleError: If its record cannot be used.
        ImportError: If the detector needs a package that is not installed.
    """
    if bundle.crop is None:
        return None
    try:
        _check(bundle.crop['detector'], f"the face crop of bundle '{bundle.name}'")
        spec = CropSpec(**bundle.crop['spec'])
        return FaceFront(bundle.crop['detector'], spec, detect_on=bundle.crop['detect_on'])
    except (KeyError, TypeError) as error:
        raise BundleError(f"the face crop of bundle '{bundle.name}' cannot be used: {error}") from error


def _check(detector: Mapping[str, Any], what: str) -> None:
    """Refuse detectors that are not registered."""
    register_all_modules()
    check_parts(detector, FACE_DETECTORS, what)
