"""The face crop of a bundle as data: detector, geometry and the picture that is searched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmfas.datasets.face_crop import CropSpec
from mmfas.datasets.face_crop.outcome import JOURNAL_NAME
from mmfas.deploy.bundle import UNUSABLE, Bundle, BundleError
from mmfas.deploy.face_front import FaceFront
from mmfas.deploy.trusted_parts import check_parts
from mmfas.registry import FACE_DETECTORS, register_all_modules
from mmfas.utils.errors import InputError, MissingFileError, UserError

__all__ = ['crop_record', 'crop_record_of_folder', 'face_front_of']


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


def crop_record_of_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record of the crop with which a training set was made, so that frames get the same one.

    Args:
        folder: OUT of `mmfas data crop`. Its journal holds detector, size, margin, alignment and the picture that
            was searched; a frame without a face, or with several, is not judged.

    Raises:
        FileNotFoundError: If the folder has no such journal.
        ValueError: If the journal is broken, or its detector is not a registered one or was not a config.
    """
    path = Path(folder, JOURNAL_NAME)
    if not path.is_file():
        raise MissingFileError(
            f"'{path}' does not exist: give the OUT folder of `mmfas data crop`, or the geometry by hand"
        )
    try:
        with path.open('rb') as file:
            header = json.loads(file.readline())
        settings = {name: header[name] for name in ('detector', 'detect_on', 'size', 'margin', 'align')}
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"'{path}' is broken: its first line does not say how faces were cropped") from error
    if not isinstance(settings['detector'], dict):  # an object that Python handed over: its arguments are unknown
        raise InputError(
            f"'{path}' names the detector {settings['detector']!r} without its arguments: give the geometry "
            'by hand'
        )
    return crop_record(**settings)


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
    except UserError:
        raise
    except UNUSABLE as error:
        raise BundleError(f"the face crop of bundle '{bundle.name}' cannot be used: {error}") from error


def _check(detector: Mapping[str, Any], what: str) -> None:
    """Refuse detectors that are not registered."""
    register_all_modules()
    check_parts(detector, FACE_DETECTORS, what)
