"""Cropping a face out of registered pictures: geometry and policies, without files.

All pictures of a sample are cut by one square, which is found on one of them. Coordinates are continuous as in
`mmfas.datasets.detectors`: the pixel in column 3 spans x from 3 to 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.datasets.detectors.base import BaseFaceDetector, Face
from mmfas.utils.errors import InputError

__all__ = [
    'ALIGNMENTS',
    'NO_FACE',
    'SEVERAL_FACES',
    'CropSpec',
    'SampleCrop',
    'Square',
    'central_square',
    'choose_face',
    'crop_picture',
    'crop_sample',
    'picture_for_detector',
    'square_of',
]

ALIGNMENTS = ('eyes', 'none')
#: What may happen to a sample without a face: refused, left out, or its middle kept.
NO_FACE = ('error', 'skip', 'keep')
#: What may happen to a sample with several: one is taken, refused, or left out.
SEVERAL_FACES = ('largest', 'centre', 'error', 'skip')

#: Eyes closer than this fraction of the box give no reliable direction: a face from the side.
_MIN_EYE_DISTANCE = 0.15
#: Pictures whose aspect ratios differ by more than this fraction show different fields of view.
_ASPECT_TOLERANCE = 0.02
_MAX_SUPERSAMPLE = 8


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """How faces are cut out and what happens to samples with none or several.

    Args:
        size: Side of the crop in pixels.
        margin: What is added to each side of the box, as a fraction of its longer side.
        align: `'eyes'` turns the picture so that the eyes are level, if the detector found them; `'none'` cuts
            an upright square.
        no_face: One of `NO_FACE`.
        several_faces: One of `SEVERAL_FACES`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    size: int = 224
    margin: float = 0.15
    align: str = 'eyes'
    no_face: str = 'error'
    several_faces: str = 'error'

    def __post_init__(self) -> None:
        if self.size < 8:
            raise InputError(f'size must be 8 pixels or more, got {self.size}')
        if not -0.5 < self.margin <= 5:
            raise InputError(f'margin must lie above -0.5 and be 5 at most, got {self.margin}')
        for name, known in (('align', ALIGNMENTS), ('no_face', NO_FACE), ('several_faces', SEVERAL_FACES)):
            if getattr(self, name) not in known:
                raise InputError(f'{name} must be one of {", ".join(known)}, got {getattr(self, name)!r}')


@dataclass(frozen=True)
class Square:
    """A square in a picture, perhaps turned.

    Args:
        centre: (x, y) in pixels.
        side: Length of a side in pixels.
        angle_deg: How far its upper side is turned clockwise as seen in the picture.
    """

    centre: tuple[float, float]
    side: float
    angle_deg: float = 0.0


@dataclass(frozen=True)
class SampleCrop:
    """What became of a sample.

    Args:
        action: `'cropped'`, `'whole'` (no face, its middle was kept), `'skipped'` or `'refused'`, as the policies
            say.
        faces: All faces that were found.
        face: The one that was cut out; None if none was.
        square: What was cut out; None if nothing was.
        pictures: The crops by modality; empty if there are none.
    """

    action: str
    faces: tuple[Face, ...]
    face: Face | None = None
    square: Square | None = None
    pictures: Mapping[str, np.ndarray] | None = None


def choose_face(faces: Sequence[Face], size: tuple[int, int], policy: str) -> Face | None:
    """Choose among several faces.

    Args:
        faces: At least one.
        size: (width, height) of the picture in pixels.
        policy: One of `SEVERAL_FACES`.

    Returns:
        The face; None if the policy takes none of several.

    >>> small, big = Face((40, 40, 60, 60)), Face((0, 0, 50, 50))
    >>> [choose_face([small, big], (100, 100), policy) is small for policy in ('largest', 'centre')]
    [False, True]
    """
    if len(faces) == 1:
        return faces[0]
    if policy == 'largest':
        return max(faces, key=lambda face: (face.area, face.score))
    if policy == 'centre':
        middle = (size[0] / 2, size[1] / 2)
        return min(faces, key=lambda face: (math.dist(face.centre, middle), -face.area))
    return None


def square_of(face: Face, *, margin: float, align: str) -> Square:
    """Return the square that is cut out around a face.

    Args:
        face: The face.
        margin: As in `CropSpec`.
        align: As in `CropSpec`; without eyes, or with eyes that fall together, the square is upright.

    >>> square_of(Face((10, 0, 30, 40)), margin=0.25, align='none')
    Square(centre=(20.0, 20.0), side=60.0, angle_deg=0.0)
    """
    left, top, right, bottom = face.box
    angle = 0.0
    if align == 'eyes' and face.eyes is not None:
        (x0, y0), (x1, y1) = face.eyes
        if math.hypot(x1 - x0, y1 - y0) >= _MIN_EYE_DISTANCE * (right - left):
            angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    side = max(right - left, bottom - top) * (1 + 2 * margin)
    return Square(face.centre, side, angle)


def central_square(size: tuple[int, int]) -> Square:
    """Return the largest upright square in the middle of a picture.

    Args:
        size: (width, height) in pixels.
    """
    return Square((size[0] / 2, size[1] / 2), float(min(size)))


def crop_picture(
    picture: np.ndarray, square: Square, size: int, *, reference: tuple[int, int], nearest: bool = False
) -> np.ndarray:
    """Cut a square out of a picture and bring it to a size; what lies outside the picture is 0.

    Args:
        picture: (H, W) or (H, W, C), uint8 or uint16.
        square: In pixels of the picture it was found on.
        size: Side of the result in pixels.
        reference: (width, height) of the picture that the square was found on; if this one has another size, the
            square is scaled.
        nearest: Take over values as they are: for depth, where a mean of face and background, or of a distance and
            a hole (0), would be a distance that nobody measured.

    Returns:
        (size, size) or (size, size, C) of the same type.
    """
    ratio = np.array([picture.shape[1] / reference[0], picture.shape[0] / reference[1]])
    # Several source pixels per result pixel would alias: sample finer, then average.
    finer = 1 if nearest else min(_MAX_SUPERSAMPLE, max(1, math.ceil(square.side * ratio.max() / size - 1e-6)))
    num = size * finer
    step = square.side / num
    angle = math.radians(square.angle_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    # Output pixel u has its centre at u + 0.5; relative to the square's centre, turned, moved, scaled.
    linear = ratio[:, None] * turn * step
    offset = ratio * np.array(square.centre) + linear @ np.full(2, 0.5 - num / 2) - 0.5
    matrix = np.column_stack([linear, offset])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    crop = cv2.warpAffine(picture, matrix, (num, num), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return crop if finer == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def picture_for_detector(picture: np.ndarray, modality: str) -> np.ndarray:
    """Convert any picture to the input of a detector.

    Args:
        picture: (H, W) or (H, W, 3), blue first, uint8 or uint16.
        modality: rgb, depth or ir; 16 bits of depth and infrared are stretched from the 1st to the 99th percentile
            of what is not 0, for the search only.

    Returns:
        uint8 (H, W, 3), RGB order.
    """
    if picture.dtype == np.uint16:
        low, high = 0.0, 2.0**16 - 1
        if modality != 'rgb' and picture.any():
            low, high = np.percentile(picture[picture > 0], (1, 99))
        scaled = (picture.astype(np.float32) - low) * (255 / max(high - low, 1))
        picture = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB)


def _check_aspects(pictures: Mapping[str, np.ndarray], detect_on: str) -> None:
    """Raise if one square cannot fit all pictures."""
    height, width = pictures[detect_on].shape[:2]
    for modality, picture in pictures.items():
        ratio = (picture.shape[1] * height) / (picture.shape[0] * width)
        if abs(ratio - 1) > _ASPECT_TOLERANCE:
            raise InputError(
                f'{modality} is {picture.shape[1]}x{picture.shape[0]}, but {detect_on} is {width}x{height}: with '
                'other aspect ratios they are not registered; register them first'
            )


def crop_sample(
    pictures: Mapping[str, np.ndarray], detector: BaseFaceDetector, spec: CropSpec, *, detect_on: str = 'rgb'
) -> SampleCrop:
    """Find the face of a sample on one of its pictures and cut it out of all of them.

    Args:
        pictures: Registered pictures by modality, (H, W) or (H, W, 3), blue first, uint8 or uint16. They may have
            different sizes, but not other aspect ratios.
        detector: Finds faces.
        spec: Geometry and policies.
        detect_on: Modality that is searched.

    Returns:
        What became of it; crops have the types of the pictures, depth has only values of the picture or 0.

    Raises:
        ValueError: If `detect_on` is missing, or aspect ratios differ.
    """
    if detect_on not in pictures:
        raise InputError(f'there is no {detect_on} picture to find the face on; choose another one (--detect-on)')
    _check_aspects(pictures, detect_on)
    searched = pictures[detect_on]
    size = (searched.shape[1], searched.shape[0])
    faces = tuple(detector.detect(picture_for_detector(searched, detect_on)))
    policy = spec.several_faces if faces else spec.no_face
    not_taken = SampleCrop('skipped' if policy == 'skip' else 'refused', faces)
    face = choose_face(faces, size, policy) if faces else None
    if face is not None:
        action, square = 'cropped', square_of(face, margin=spec.margin, align=spec.align)
    elif policy == 'keep':
        action, square = 'whole', central_square(size)
    else:
        return not_taken
    crops = {
        name: crop_picture(picture, square, spec.size, reference=size, nearest=name == 'depth')
        for name, picture in pictures.items()
    }
    return SampleCrop(action, faces, face, square, crops)
