"""Converters: fake originals in the formats of the releases become what the lists name, pixel by pixel."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.conversion import (
    CasiaSurfConverter,
    CefaConverter,
    ConversionReport,
    Converter,
    PadisiConverter,
    WmcaConverter,
    convert_dataset,
)
from mmfas.datasets.conversion.cefa import content_box
from mmfas.datasets.image_files import read_padisi

from . import original_files as originals
from .data_files import CPSW_ARCHIVES, write_cpsw_lists

PROFILE = 'CeFA/CeFA-Race/AF/AF-000/1_000_1_1_1/profile/0026.jpg'
CROP = 'CASIA-SURF-CROP/real_part/real_train_part/CLKJ_AS0005/real.rssdk'


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Folder for originals, beside the lists."""
    (tmp_path / 'lists').mkdir()
    write_cpsw_lists(tmp_path / 'lists')
    (tmp_path / 'raw').mkdir()
    return tmp_path / 'raw'


def convert(converter: Converter, raw: Path) -> ConversionReport:
    """Convert into `out` beside the originals."""
    return convert_dataset(converter, raw, raw.parent / 'out', lists=raw.parent / 'lists')


def found(report: ConversionReport, kind: str) -> list[tuple[str, str]]:
    """Places and texts of one kind of oddity."""
    return sorted((oddity.place, oddity.text) for oddity in report.oddities if oddity.kind == kind)


def decoded(path: Path) -> np.ndarray:
    """A picture as it lies on disk, as signed integers."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image.astype(int)


def assert_nearly(picture: np.ndarray, wanted: np.ndarray) -> None:
    """Compare up to the rounding of a JPEG at its best: DCT, and for colour also Y, Cb and Cr."""
    assert picture.shape == wanted.shape
    error = np.abs(picture - wanted.astype(int))
    assert error.max() <= (5 if wanted.ndim == 3 else 2)
    assert error.mean() < 1


@pytest.mark.parametrize('is_later_release', [False, True])
def test_cefa_keeps_frames_as_they_are(is_later_release: bool, raw: Path) -> None:
    originals.write_cefa(raw, is_later_release=is_later_release)
    report = convert(CefaConverter(), raw)
    assert (report.missing, report.num_targets, report.num_recordings) == ((), 27, 9)
    sources = {path.read_bytes() for path in raw.rglob('*.jpg')}
    results = sorted((raw.parent / 'out').rglob('*.jpg'))
    assert len(results) == 27
    assert len({path.read_bytes() for path in results} & sources) == 27
    top = 'CASIA_CeFA/Ethnicity' if is_later_release else 'CeFA-Race/CeFA-Race'
    card = '-198006250024' if is_later_release else ''
    original = raw / top / f'AF/AF-000{card}/1_000_1_1_1' / ('color' if is_later_release else 'profile')
    assert (raw.parent / 'out' / PROFILE).read_bytes() == (original / '0026.jpg').read_bytes()
    assert found(report, 'unlisted') == [(f'{top}/EA/EA-012{card}/3_012_1_1_1', 'recording')]


def test_cefa_removes_borders_from_all_three_alike(raw: Path) -> None:
    originals.write_cefa(raw)
    before = raw / 'CeFA-Race/CeFA-Race/AF/AF-000/1_000_1_1_1'
    depth = decoded(before / 'depth/0026.jpg').astype(np.uint8)
    depth[: len(depth) // 2] = 0  # a hole at the top of one picture is no border of the frame
    cv2.imwrite(str(before / 'depth/0026.jpg'), depth)
    report = convert(CefaConverter(border_level=40), raw)  # JPEG lets the face bleed one pixel into the border
    assert report.missing == ()
    top, bottom, left, right = originals.CEFA_BORDERS
    for name in ('profile', 'depth', 'ir'):
        full = decoded(before / name / '0026.jpg')
        cropped = decoded((raw.parent / 'out' / PROFILE).parents[1] / name / '0026.jpg')
        assert cropped.shape == (40, 32, 3)
        assert_nearly(cropped, full[top : len(full) - bottom, left : full.shape[1] - right])
    assert len(list((raw.parent / 'out').rglob('*.jpg'))) == 27


def test_black_frames_and_unequal_sizes_are_kept_and_reported(raw: Path) -> None:
    originals.write_cefa(raw)
    folder = raw / 'CeFA-Race/CeFA-Race/AF'
    for name in ('profile', 'depth', 'ir'):
        cv2.imwrite(str(folder / f'AF-000/1_000_1_1_1/{name}/0026.jpg'), np.zeros((9, 8, 3), np.uint8))
    cv2.imwrite(str(folder / 'AF-000/1_000_3_1_2/ir/0012.jpg'), np.full((9, 8, 3), 99, np.uint8))
    report = convert(CefaConverter(border_level=10), raw)
    assert report.missing == ()
    recording = 'CeFA/CeFA-Race/AF/AF-000/'
    assert found(report, 'black') == [(f'{recording}1_000_1_1_1 0026', 'no pixel is brighter than 10')]
    assert found(report, 'size') == [(f'{recording}1_000_3_1_2 0012', 'depth 44x50, ir 8x9, rgb 44x50')]
    assert decoded(raw.parent / 'out' / PROFILE).shape == (9, 8, 3)


def test_a_box_spans_what_is_bright_in_any_picture() -> None:
    pictures = np.zeros((2, 6, 5, 3), np.uint8)
    pictures[0, 2, 1, 0], pictures[1, 4, 3, 2], pictures[:, 0, 0] = 11, 200, 10
    assert content_box(pictures, 10) == (slice(2, 5), slice(1, 4))
    assert content_box(pictures, 9) == (slice(0, 5), slice(0, 4))
    assert content_box(pictures, 200) is None


@pytest.mark.parametrize('is_challenge', [False, True])
def test_surf_copies_crops(is_challenge: bool, raw: Path) -> None:
    originals.write_surf(raw, is_challenge=is_challenge)
    report = convert(CasiaSurfConverter(), raw)
    assert (report.missing, report.oddities, report.num_targets) == ((), (), 21)
    folder = 'Training/real_part/CLKJ_AS0005/real.rssdk' if is_challenge else CROP
    for name in ('color', 'depth', 'ir'):
        result = raw.parent / 'out' / CROP / name / '131.jpg'
        assert result.read_bytes() == (raw / folder / name / '131.jpg').read_bytes()
    assert len(list((raw.parent / 'out').rglob('*.jpg'))) == 21


def test_surf_reports_frames_that_cannot_be_attributed(raw: Path) -> None:
    originals.write_surf(raw, is_challenge=True)
    folder = raw / 'Training/real_part/CLKJ_AS0005/real.rssdk'
    for name in ('color', 'depth', 'ir'):
        (folder / name / '131.jpg').rename(folder / name / '0014.jpg')
    originals.write_jpeg(raw / 'Val/0007/007243-color.jpg', originals.picture(0))
    report = convert(CasiaSurfConverter(), raw)
    assert report.missing == tuple(f'{CROP}/{name}/131.jpg' for name in ('color', 'depth', 'ir'))
    assert [place for place, _ in found(report, 'missing')] == sorted(report.missing)
    assert found(report, 'index') == [
        (CROP, 'its frames are numbered 0001, 0002, ..., so they cannot be matched with those of the lists')
    ]
    ((place, text),) = found(report, 'unknown')
    assert place.endswith('Val/0007')
    assert text == 'anonymous files of the challenge, which the lists do not name'


def test_padisi_keeps_archives_that_the_reader_takes(raw: Path) -> None:
    originals.write_padisi_originals(raw)
    report = convert(PadisiConverter(), raw)
    assert (report.missing, report.oddities, report.num_targets) == ((), (), 6)
    names = [name for lines in CPSW_ARCHIVES.values() for name, _ in lines]
    for seed, name in enumerate(names):
        levels = np.rint(originals.padisi_array(seed)[0, :5] * 255).astype(np.uint8)
        pictures = read_padisi(str(raw.parent / 'out/PADISI' / name), ('rgb', 'depth', 'ir'))
        assert (pictures['rgb'] == levels[2::-1].transpose(1, 2, 0)).all()
        assert (pictures['ir'] == levels[3][..., None]).all()
        assert (pictures['depth'] == levels[4][..., None]).all()


def test_padisi_reports_archives(raw: Path) -> None:
    originals.write_padisi_originals(raw)
    folder = raw / 'padisi_face'
    spoilt = {'zc7db0ae': np.full((1, 22, 4, 4), 2.0), '1c7d905a': np.zeros((1, 3, 4, 4))}
    for trial, data in spoilt.items():
        originals.write_padisi_archive(folder, trial, data)
    originals.write_padisi_archive(folder, 'm86eabe9', originals.padisi_array(0, (8, 6)))
    next(folder.glob('*z892e2c8*')).write_bytes(b'PK')
    next(folder.glob('*074b487a*')).unlink()
    originals.write_padisi_archive(folder, 'zd6c8787', originals.padisi_array(0), transaction='f' * 40)
    originals.write_padisi_archive(folder, '00000000', originals.padisi_array(0))
    (folder / 'zd6c8787.npz').write_bytes(b'')
    report = convert(PadisiConverter(), raw)
    assert sorted(report.missing) == [f'PADISI/{t}.npz' for t in ('074b487a', '1c7d905a', 'z892e2c8', 'zc7db0ae')]
    unreadable = dict(found(report, 'unreadable'))
    assert "'data' must lie in [0, 1], but spans 2.0 to 2.0" in unreadable['PADISI/zc7db0ae.npz']
    assert "'data' must be floating point of shape (1, 22, H, W)" in unreadable['PADISI/1c7d905a.npz']
    assert "no array 'data' can be read" in unreadable['PADISI/z892e2c8.npz']
    assert found(report, 'missing') == [('PADISI/074b487a.npz', 'no ID_..._074b487a_....npz')]
    assert found(report, 'size') == [('PADISI/m86eabe9.npz', '(8, 6) instead of (320, 256)')]
    assert [place[:4] for place, _ in found(report, 'twice')] == ['ID_f']
    assert ['00000000' in place for place, _ in found(report, 'unlisted')] == [True]
    assert [place for place, _ in found(report, 'unknown')] == ['zd6c8787.npz']


def test_padisi_compares_labels_and_writes_what_the_lists_do_not_say(raw: Path) -> None:
    originals.write_padisi_originals(raw)
    table = raw.parent / 'truth.csv'
    originals.write_ground_truth(table, lie_about='zd6c8787')
    report = convert(PadisiConverter(str(table)), raw)
    assert found(report, 'label') == [('zd6c8787', 'label 1, but ground truth m50504')]
    out = raw.parent / 'out'
    with open(out / 'P-meta.csv', newline='') as file:
        rows = {row['sample_id']: (row['subject'], row['pai']) for row in csv.DictReader(file)}
    assert rows['1c7d905a.npz'] == ('p1c7d905a', 'padisi-05')
    assert rows['zc7db0ae.npz'] == ('pzc7db0ae', '')
    dataset = MultiModalFaceDataset(['P-train.txt', 'P-test.txt'], str(out), meta_file='P-meta.csv')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['pai'] for info in infos] == ['live', 'padisi-05', 'live', 'padisi-05']
    assert [info['subject'] for info in infos] == ['pzc7db0ae', 'p1c7d905a', 'pzd6c8787', 'p074b487a']


def test_wmca_writes_a_picture_per_channel(raw: Path) -> None:
    originals.write_wmca_originals(raw)
    report = convert(WmcaConverter(), raw)
    assert (report.missing, report.oddities, report.num_targets) == ((), (), 21)
    for seed, (recording, frame, _) in enumerate(originals.listed_frames('W')):
        rgb, cdit = originals.wmca_arrays(100 * seed + int(frame))
        folder = raw.parent / 'out' / recording
        wanted = {'color': rgb[::-1].transpose(1, 2, 0), 'depth': cdit[1], 'ir': cdit[2]}
        for name, array in wanted.items():
            picture = decoded(folder / name / f'{frame}.jpg')
            assert_nearly(picture, array)


def test_wmca_reports_frames_that_do_not_match(raw: Path) -> None:
    originals.write_wmca_originals(raw)
    lists = raw.parent / 'lists'
    known = ('100_03_015_2_10', '101_06_067_1_02')
    lines = [
        ' '.join(f'WMCA-Image/R_CDIT/{video}/{folder}/{frame}.jpg' for folder in ('color', 'depth', 'ir')) + ' 0'
        for video, frame in zip(known, ('0012', '0020'))
    ]
    (lists / 'W-val.txt').write_bytes('\r\n'.join(lines).encode())
    originals.write_wmca_recording(raw, known[0], range(10, 15), 1)
    rgb, cdit = originals.wmca_paths(raw, known[0])
    arrays = {index: originals.wmca_arrays(index)[1] for index in (10, 11, 13, 20)}
    originals.write_hdf5(cdit, arrays)
    originals.write_wmca_recording(raw, known[1], (20, 21), 2)
    report = convert(WmcaConverter(), raw)
    recordings = [f'WMCA-Image/R_CDIT/{video}' for video in known]
    noted = 'one of the two that Flex-Modal-FAS notes; '
    assert found(report, 'index') == [
        (recordings[0], f'{noted}only RGB has 12 14, only CDIT has 20'),
        (recordings[1], f'{noted}here both files hold the same 2 indices'),
    ]
    assert found(report, 'missing') == [
        (f'{recordings[0]}/{name}/0012.jpg', 'the CDIT file has no Frame_12') for name in ('depth', 'ir')
    ]
    assert report.missing == tuple(place for place, _ in found(report, 'missing'))
    assert len(found(report, 'unlisted')) == 4  # both files of the two recordings that the list named before


def test_wmca_reports_broken_files(raw: Path) -> None:
    originals.write_wmca_originals(raw)
    videos = [recording for recording, _, _ in originals.listed_frames('W')]
    frames = [frame for _, frame, _ in originals.listed_frames('W')]
    paths = [originals.wmca_paths(raw / 'WMCA', Path(video).name) for video in videos]
    paths[0][0].write_bytes(paths[0][0].read_bytes()[:700])
    originals.write_hdf5(paths[1][1], {0: np.zeros((4, 128, 128)), 5: np.zeros(3), 24: np.zeros((4, 128, 128))})
    originals.write_hdf5(paths[2][0], {0: np.zeros(1), 5: np.zeros(1), 12: np.zeros((3, 64, 64), np.uint8)})
    paths[3][1].unlink()
    originals.write_hdf5(raw / 'other' / 'x.hdf5', {})
    report = convert(WmcaConverter(), raw)
    unreadable = dict(found(report, 'unreadable'))
    assert f'{Path(videos[0]).name}.hdf5 (RGB): ' in unreadable[f'{videos[0]}/color/{frames[0]}.jpg']
    assert unreadable[f'{videos[1]}/ir/{frames[1]}.jpg'] == (
        'Frame_24 of the CDIT file is float64 (4, 128, 128), not uint8 (4, 128, 128)'
    )
    assert len(unreadable) == 3
    assert found(report, 'size') == [(f'{videos[2]}/color/{frames[2]}.jpg', '64x64 instead of 128x128')]
    name = Path(videos[3]).name
    assert found(report, 'missing') == [(videos[3], f'no {name}.hdf5 among the CDIT files; 3 files')]
    assert [place for place, _ in found(report, 'unknown')] == ['other/x.hdf5']
    assert len(report.missing) == 6
