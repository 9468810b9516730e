"""Pictures from memory give the very images that files give, and what is no picture is refused in one sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mmfas.datasets.transforms import LoadMultiModalImages, PackFASInputs
from mmfas.structures import MODALITIES

from .data_files import smooth_image
from .image_writers import encoded, several, with_exif

RNG = np.random.default_rng(0)
COLOUR = smooth_image(1)
DEPTH = RNG.integers(0, 2000, (32, 40)).astype(np.uint16)
DEPTH[:4] = 65535
INFRARED = RNG.integers(0, 1023, (32, 40)).astype(np.uint16)
LOADER = LoadMultiModalImages(depth_range_mm=(300, 1500), ir_range=(0, 1023))


def in_memory(modalities: tuple[str, ...] = MODALITIES, **arrays: Any) -> dict[str, Any]:
    """Return a sample whose pictures are in memory."""
    return {'img_arrays': arrays, 'modalities': modalities, 'sample_id': 'someone', 'source_line': 'list.txt:7'}


def load(loader: LoadMultiModalImages = LOADER, **arrays: Any) -> dict[str, Any]:
    """Load pictures that are in memory."""
    return loader.transform(in_memory(**arrays))


def load_files(folder: Path, loader: LoadMultiModalImages = LOADER, **contents: bytes) -> dict[str, Any]:
    """Write files and load them."""
    paths = {modality: str(folder / f'{modality}.image') for modality in contents}
    for modality, path in paths.items():
        Path(path).write_bytes(contents[modality])
    info = {'img_paths': paths, 'modalities': MODALITIES, 'sample_id': 'someone', 'source_line': 'list.txt:7'}
    return loader.transform(info)


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check that two samples show the same."""
    assert first['present'] == second['present']
    for modality in MODALITIES:
        assert first[modality].dtype == np.uint8
        np.testing.assert_array_equal(first[modality], second[modality])


def test_arrays_give_what_files_give(tmp_path: Path) -> None:
    files = {
        'rgb': encoded(COLOUR, 'PNG'),
        'depth': encoded(DEPTH, 'PNG'),
        'ir': encoded(INFRARED, 'TIFF'),
    }
    expected = load_files(tmp_path, **files)
    assert expected['rgb'].std() > 5 and expected['depth'].std() > 5 and expected['ir'].std() > 5
    same(load(rgb=COLOUR, depth=DEPTH, ir=INFRARED), expected)
    same(load(**{m: Image.open(io.BytesIO(data)) for m, data in files.items()}), expected)
    same(load(**files), expected)
    same(load(rgb=bytearray(files['rgb']), depth=memoryview(files['depth']), ir=INFRARED), expected)
    mixed = {**in_memory(ir=INFRARED, depth=DEPTH), 'img_paths': {'rgb': str(tmp_path / 'rgb.image')}}
    same(LOADER.transform(mixed), expected)


@pytest.mark.parametrize('suffix', ['JPEG', 'PNG', 'WEBP', 'BMP'])
def test_what_a_user_decodes_with_opencv_is_equal(suffix: str, tmp_path: Path) -> None:
    data = encoded(COLOUR, suffix)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    expected = load_files(tmp_path, rgb=data, ir=encoded(bgr[..., 0], 'PNG'))
    same(load(rgb=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), ir=bgr[..., 0]), expected)


@pytest.mark.parametrize(
    'change',
    [
        lambda a: a.astype('>u2'),
        lambda a: a[..., None],
        lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a[..., None], 3, 2),
        lambda a: np.dstack([a, a, a, np.full_like(a, 65535)]),
        lambda a: Image.fromarray(a),
        lambda a: Image.fromarray(a.astype(np.int32)),
        lambda a: Image.frombytes('I;16B', a.shape[::-1], a.astype('>u2').tobytes()),
    ],
    ids=['byte order', 'channel', 'strides', 'Fortran', 'colour', 'alpha', 'I;16', 'I', 'I;16B'],
)  # fmt: skip
def test_layouts_and_modes_of_16_bits(change: Any) -> None:
    same(load(depth=change(DEPTH), ir=change(INFRARED)), load(depth=DEPTH, ir=INFRARED))


def test_grey_and_16_bits_of_rgb_and_8_bits_of_depth_follow_the_rules_for_files(tmp_path: Path) -> None:
    grey = COLOUR[..., 0]
    sixteen = cv2.imencode('.png', cv2.cvtColor(COLOUR, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)[1].tobytes()
    loader = LoadMultiModalImages(no_reading=(0, 130))
    expected = load_files(tmp_path, loader, rgb=sixteen, depth=encoded(grey, 'PNG'), ir=encoded(grey, 'PNG'))
    same(load(loader, rgb=COLOUR.astype(np.uint16) * 257, depth=grey, ir=Image.fromarray(grey)), expected)
    assert (grey == 130).any() and not (expected['depth'] == 130).any() and (expected['ir'] == 130).any()
    np.testing.assert_array_equal(load(rgb=grey)['rgb'], np.repeat(grey[..., None], 3, 2))


def test_no_reading_is_not_applied_to_what_was_a_jpeg(tmp_path: Path) -> None:
    data = encoded(COLOUR[..., 0], 'JPEG', quality=100)
    loader = LoadMultiModalImages(no_reading=(0, 130))
    expected = load_files(tmp_path, loader, depth=data)
    assert (expected['depth'] == 130).any()
    same(load(loader, depth=data), expected)
    same(load(loader, depth=Image.open(io.BytesIO(data))), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('form', ['PNG', 'TIFF'])
def test_pillow_pictures_are_turned_as_their_files_are(orientation: int, form: str, tmp_path: Path) -> None:
    if form == 'PNG':
        data = with_exif(encoded(COLOUR, form), orientation)
    else:
        data = encoded(COLOUR, form, tiffinfo={274: orientation})
    expected = load_files(tmp_path, rgb=data)
    same(load(rgb=Image.open(io.BytesIO(data))), expected)
    assert expected['rgb'].shape[:2] == ((32, 40) if orientation < 5 else (40, 32))


@pytest.mark.parametrize('mode', ['1', 'P', 'L', 'LA', 'RGBA', 'PA', 'RGB'])
def test_modes_of_pillow_give_what_their_files_give(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(COLOUR).convert(mode)
    file = io.BytesIO()
    (picture.convert('RGBA') if mode == 'PA' else picture).save(file, 'PNG')
    same(load(rgb=picture, ir=picture), load_files(tmp_path, rgb=file.getvalue(), ir=file.getvalue()))


def test_a_transparent_colour_that_no_pixel_has_is_left_out() -> None:
    grey = Image.fromarray(np.full((8, 8), 7, np.uint8))
    for picture, unused, used in ((grey, 3, 7), (grey.convert('RGB'), (1, 2, 3), (7, 7, 7))):
        picture.info['transparency'] = unused
        assert (load(ir=picture)['ir'] == 7).all()
        picture.info['transparency'] = used
        with pytest.raises(ValueError, match='some pixels are transparent'):
            load(ir=picture)


def test_what_was_given_does_not_change_and_is_not_shared() -> None:
    given = COLOUR.copy()
    found = load(rgb=given)
    found['rgb'][:] = 0
    np.testing.assert_array_equal(given, COLOUR)
    given.flags.writeable = False
    assert load(rgb=given)['rgb'].any()


def test_absent_modalities_and_packing() -> None:
    results = load(ir=INFRARED)
    assert results['present'] == {'rgb': False, 'depth': False, 'ir': True} and not results['rgb'].any()
    packed = PackFASInputs().transform(results)
    assert packed['inputs']['ir'].shape == (3, 32, 40)
    assert 'img_arrays' not in packed['data_samples'] and packed['data_samples'].sample_id == 'someone'
    assert LOADER.transform(in_memory(('rgb',), rgb=COLOUR, ir='not looked at'))['present']['ir'] is False
    with pytest.raises(ValueError, match=r'someone \(list\.txt:7\): none of the modalities is there'):
        load()


NAN = np.where(DEPTH > 0, DEPTH, np.nan)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (DEPTH / 1000, r'expected uint8 or uint16 values, but got float64; .*np\.rint\(1000 \* metres\)'),
        (NAN.astype(np.float32), 'but got float32 with NaN'),
        (DEPTH.astype(np.int64) - 3, 'but got int64 from -3 to 65532'),
        (DEPTH.astype(np.int32), r'but got int32; convert it, as in values\.astype\(np\.uint16\)'),
        (DEPTH.astype(np.uint32) * 2, 'but got uint32 from 0 to 131070'),
        (DEPTH > 9, 'but got bool'),
        (np.array([[None]]), 'but got object'),
        (np.array(['a']), 'but got <U1'),
        (DEPTH[0], r'of shape \(H, W\), .* but got \(40,\)'),
        (DEPTH[None], r'but got \(1, 32, 40\); put the channels last'),
        (np.zeros((4, 5, 2), np.uint8), r'but got \(4, 5, 2\)'),
        (np.zeros((1, 3, 4, 5), np.uint8), r'but got \(1, 3, 4, 5\)'),
        (np.zeros((), np.uint8), r'but got \(\)'),
        (np.zeros((0, 5), np.uint8), 'the picture is 5x0, which is empty'),
        (np.dstack([COLOUR, COLOUR[..., 0]]), 'some pixels are transparent'),
        (np.zeros((9000, 12000), np.uint8), 'unpacking 9000x12000 values would take 324 MB, .*max_sample_mb'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('modality', ['rgb', 'depth'])
def test_arrays_that_are_no_pictures(modality: str, given: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf'^{modality} array of someone \(list\.txt:7\): .*{message}'):
        load(**{modality: given})


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (Image.new('F', (4, 4)), 'expected uint8 or uint16 values, but got float32'),
        (Image.new('CMYK', (4, 4)), r"the picture has mode 'CMYK'; convert it, as in picture\.convert\('RGB'\)"),
        (Image.new('I', (4, 4), -2), 'int32 from -2 to -2'),
        (Image.new('I', (4, 4), 70000), 'int32 from 70000 to 70000'),
        (Image.new('L', (0, 4)), 'the picture is 0x4, which is empty'),
        (Image.new('RGBA', (4, 4), (1, 2, 3, 4)), 'some pixels are transparent'),
        (Image.open(io.BytesIO(several([COLOUR, COLOUR[::-1]], 'GIF'))), 'animation or has several pages'),
        (Image.open(io.BytesIO(encoded(COLOUR, 'PNG')[:-300])), 'the picture cannot be decoded'),
        (None, r'expected an array, .* but got NoneType \(leave out what is absent\)'),
        ('face.png', 'but got str'),
    ],
)  # fmt: skip
def test_pictures_of_pillow_and_others_that_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf'^ir picture of someone \(list\.txt:7\): .*{message}'):
        load(ir=given)


def test_bytes_are_checked_as_files_are() -> None:
    with pytest.raises(ValueError, match=r'^rgb bytes of someone \(list\.txt:7\): the file is empty'):
        load(rgb=b'')
    with pytest.raises(ValueError, match=r'^depth bytes of someone .*are cut off'):
        load(depth=encoded(COLOUR, 'JPEG')[:-300])


def test_sizes_ranges_and_sources_are_checked_as_for_files() -> None:
    with pytest.raises(ValueError, match=r'^ir array of someone \(list\.txt:7\): is 20x32, but rgb is 40x32'):
        load(rgb=COLOUR, ir=INFRARED[:, :20])
    loader = LoadMultiModalImages(allow_size_mismatch=True, ir_range=(0, 1023))
    found = load(loader, rgb=COLOUR, ir=INFRARED[:, :20])
    assert found['ir'].shape == (32, 40, 3)
    with pytest.raises(ValueError, match=r'^depth array of someone .*16 bits: .* by depth_range_mm='):
        load(LoadMultiModalImages(), depth=DEPTH)
    with pytest.raises(ValueError, match=r"^someone \(list\.txt:7\): img_arrays has 'nir', but the modalities"):
        load(rgb=COLOUR, nir=INFRARED)
    for other in ('ir', 'npz'):
        with pytest.raises(ValueError, match='ir is given in memory and as a file; give one of them'):
            LOADER.transform({**in_memory(ir=INFRARED), 'img_paths': {other: 'a.png'}})
    with pytest.raises(ValueError, match='^ir array of someone: expected'):
        LOADER.transform({'img_arrays': {'ir': NAN}, 'modalities': ('ir',), 'sample_id': 'someone'})


def test_the_limit_holds_for_all_pictures_of_a_sample_together() -> None:
    big = np.zeros((500, 500, 3), np.uint8)  # 0.75 MB
    arrays = dict.fromkeys(MODALITIES, big)
    assert load(LoadMultiModalImages(max_sample_mb=2.3), **arrays)['present']['ir']
    with pytest.raises(ValueError, match='^ir array of someone .*max_sample_mb'):
        load(LoadMultiModalImages(max_sample_mb=2), **arrays)
