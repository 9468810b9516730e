"""Geometry and policies of the face crop, on arrays and with stub detectors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmfas.datasets.detectors import Face, build_detector
from mmfas.datasets.face_crop import CropSpec, Square, crop_picture, crop_sample
from mmfas.datasets.face_crop.geometry import central_square, choose_face, picture_for_detector, square_of

from .stub_detectors import FixedDetector

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)
DEPTH = np.where(RNG.random((60, 80)) < 0.2, 0, RNG.integers(400, 900, (60, 80))).astype(np.uint16)
BIG, SMALL = Face((2, 2, 32, 42), 0.8), Face((35, 25, 45, 35), 0.9)


@pytest.mark.parametrize('nearest', [False, True])
@pytest.mark.parametrize('picture', [PICTURE, DEPTH], ids=['rgb', 'depth'])
def test_a_square_on_whole_pixels_is_cut_out_exactly(picture: np.ndarray, nearest: bool) -> None:
    crop = crop_picture(picture, Square((30, 25), 20), 20, reference=(80, 60), nearest=nearest)
    assert crop.dtype == picture.dtype
    np.testing.assert_array_equal(crop, picture[15:35, 20:40])


def test_outside_the_picture_is_black() -> None:
    crop = crop_picture(PICTURE, Square((0, 0), 20), 20, reference=(80, 60))
    assert not crop[:10].any() and not crop[:, :10].any()
    np.testing.assert_array_equal(crop[10:, 10:], PICTURE[:10, :10])


def test_making_smaller_takes_means_not_samples() -> None:
    crop = crop_picture(PICTURE, Square((40, 30), 60), 20, reference=(80, 60))
    expected = PICTURE[:, 10:70].reshape(20, 3, 20, 3, 3).mean(axis=(1, 3))
    assert abs(crop.astype(float) - expected).max() <= 0.51


def test_a_turned_square_is_turned_back() -> None:
    smooth = cv2.GaussianBlur(PICTURE, (0, 0), 4)
    for angle in (90, -90, 180):
        crop = crop_picture(smooth, Square((40, 30), 40, angle), 40, reference=(80, 60))
        # The upper side of the square, turned clockwise, becomes the upper side of the crop.
        expected = np.rot90(smooth[10:50, 20:60], angle // 90)
        assert abs(crop.astype(int) - expected).max() <= 1, angle
    tilted = cv2.warpAffine(smooth, cv2.getRotationMatrix2D((39.5, 29.5), -20, 1), (80, 60))
    crop = crop_picture(tilted, Square((40, 30), 30, 20), 30, reference=(80, 60))
    assert abs(crop.astype(int) - smooth[15:45, 25:55]).max() <= 6


def test_depth_has_only_values_of_the_picture() -> None:
    for square in (Square((40, 30), 57.3, 13), Square((31.7, 28.2), 11.9, -31)):
        crop = crop_picture(DEPTH, square, 48, reference=(80, 60), nearest=True)
        assert crop.dtype == np.uint16
        assert set(np.unique(crop)) <= set(np.unique(DEPTH)) | {0}
    smoothed = crop_picture(DEPTH, Square((40, 30), 57.3, 13), 48, reference=(80, 60))
    assert set(np.unique(smoothed)) - set(np.unique(DEPTH)), 'the other way would invent distances'


def test_modalities_of_other_sizes_are_cut_alike() -> None:
    smooth = cv2.GaussianBlur(PICTURE, (0, 0), 3)
    half = cv2.resize(smooth, (40, 30), interpolation=cv2.INTER_AREA)
    square = Square((41, 29), 36, 11)
    full_crop = crop_picture(smooth, square, 32, reference=(80, 60)).astype(int)
    half_crop = crop_picture(half, square, 32, reference=(80, 60)).astype(int)
    assert abs(full_crop - half_crop).max() < 12
    assert abs(full_crop - half_crop).mean() < 1.5
    shifted = crop_picture(half, Square((43, 29), 36, 11), 32, reference=(80, 60)).astype(int)
    assert abs(full_crop - shifted).mean() > 2 * abs(full_crop - half_crop).mean()


def test_the_square_has_margin_and_level_eyes() -> None:
    face = Face((10, 20, 30, 60), eyes=((14, 30), (24, 40)))
    assert square_of(face, margin=0.25, align='none') == Square((20, 40), 60)
    assert square_of(face, margin=0, align='eyes') == Square((20, 40), 40, pytest.approx(45))
    assert square_of(Face(face.box), margin=0, align='eyes').angle_deg == 0
    from_the_side = Face(face.box, eyes=((20, 30), (21, 32)))
    assert square_of(from_the_side, margin=0, align='eyes').angle_deg == 0
    assert central_square((80, 60)) == Square((40, 30), 60)


def test_aligned_eyes_end_on_one_line() -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    eyes = ((30.5, 20.5), (46.5, 32.5))
    for x, y in eyes:
        cv2.circle(picture, (int(x), int(y)), 2, (255, 255, 255), -1)
    face = Face((20, 8, 60, 52), eyes=eyes)
    crop = crop_sample({'rgb': picture}, FixedDetector([face]), CropSpec(size=64, no_face='skip')).pictures['rgb']
    _, _, _, centres = cv2.connectedComponentsWithStats((crop[..., 0] > 100).astype(np.uint8))
    (x0, y0), (x1, y1) = sorted(centres[1:].tolist())
    assert abs(y0 - y1) < 0.7
    assert x1 - x0 == pytest.approx(20 * 64 / (44 * 1.3), abs=1)


@pytest.mark.parametrize(
    ('policy', 'action', 'taken'),
    [
        ('largest', 'cropped', BIG),
        ('centre', 'cropped', SMALL),
        ('error', 'refused', None),
        ('skip', 'skipped', None),
    ],
)
def test_several_faces(policy: str, action: str, taken: Face | None) -> None:
    spec = CropSpec(size=16, several_faces=policy, no_face='keep')
    crop = crop_sample({'rgb': PICTURE, 'depth': DEPTH}, FixedDetector([BIG, SMALL]), spec)
    assert (crop.action, crop.face, crop.faces) == (action, taken, (BIG, SMALL))
    assert (crop.pictures is None) == (taken is None)
    assert choose_face([SMALL], (80, 60), policy) is SMALL


@pytest.mark.parametrize(('policy', 'action'), [('error', 'refused'), ('skip', 'skipped'), ('keep', 'whole')])
def test_no_face(policy: str, action: str) -> None:
    crop = crop_sample(
        {'rgb': PICTURE, 'depth': DEPTH},
        FixedDetector([]),
        CropSpec(size=60, no_face=policy, several_faces='largest'),
    )
    assert (crop.action, crop.face, crop.faces) == (action, None, ())
    if policy == 'keep':
        np.testing.assert_array_equal(crop.pictures['rgb'], PICTURE[:, 10:70])
        np.testing.assert_array_equal(crop.pictures['depth'], DEPTH[:, 10:70])
    else:
        assert crop.pictures is None


def test_the_detector_sees_eight_bits_in_rgb_order() -> None:
    detector = FixedDetector([BIG])
    spec = CropSpec(size=16)
    crop_sample({'rgb': PICTURE}, detector, spec)
    np.testing.assert_array_equal(detector.image, PICTURE[..., ::-1])
    crop_sample({'ir': DEPTH}, detector, spec, detect_on='ir')
    assert detector.image.dtype == np.uint8 and detector.image.shape == (60, 80, 3)
    assert detector.image[DEPTH == 0].max() == 0
    assert detector.image.max() == 255
    assert picture_for_detector(np.zeros((4, 4), np.uint16), 'depth').max() == 0
    np.testing.assert_array_equal(
        picture_for_detector(DEPTH.astype(np.uint8), 'ir')[..., 1], DEPTH.astype(np.uint8)
    )


def test_pictures_that_cannot_be_registered_are_refused() -> None:
    spec = CropSpec(size=16)
    with pytest.raises(ValueError, match='ir is 60x60, but rgb is 80x60: with other aspect ratios'):
        crop_sample({'rgb': PICTURE, 'ir': PICTURE[:, :60]}, FixedDetector([BIG]), spec)
    with pytest.raises(ValueError, match='there is no rgb picture to find the face on'):
        crop_sample({'ir': PICTURE}, FixedDetector([BIG]), spec)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'size': 4}, 'size must be 8 pixels or more, got 4'),
        ({'margin': -0.5}, 'margin must lie above -0.5'),
        ({'align': 'nose'}, "align must be one of eyes, none, got 'nose'"),
        ({'no_face': 'drop'}, 'no_face must be one of error, skip, keep'),
        ({'several_faces': 'all'}, 'several_faces must be one of largest, centre, error, skip'),
    ],
)
def test_wrong_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropSpec(**changes)


def test_detectors_are_built_by_name_and_checked() -> None:
    detector = build_detector({'type': 'test_datasets.stub_detectors.RedDetector'})
    assert type(detector).__name__ == 'RedDetector'
    assert build_detector(detector) is detector
    with pytest.raises(TypeError, match='NoDetector is not a face detector: it must derive from'):
        build_detector({'type': 'test_datasets.stub_detectors.NoDetector'})
    with pytest.raises(KeyError, match='did you mean CenterFaceDetector'):
        build_detector({'type': 'CentreFaceDetector'})
    with pytest.raises(ValueError, match='a box is'):
        Face((3, 0, 3, 5))
