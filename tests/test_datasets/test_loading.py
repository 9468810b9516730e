"""Loading real files: formats, sizes, bit depths, and what the errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.datasets import image_files
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.structures import MODALITIES

from .data_files import smooth_image, write_padisi

RNG = np.random.default_rng(0)


def sample(modalities: tuple[str, ...] = MODALITIES, **paths: Path) -> dict[str, Any]:
    """Return what the data set hands to the loader."""
    return {
        'img_paths': {key: str(path) for key, path in paths.items()},
        'modalities': modalities,
        'sample_id': 'someone',
        'source_line': 'list.txt:7',
    }


def write(folder: Path, name: str, image: np.ndarray) -> Path:
    """Write an image, losslessly for png."""
    path = folder / name
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def triple(tmp_path: Path) -> dict[str, Path]:
    """Three registered PNG files."""
    return {m: write(tmp_path, f'{m}.png', smooth_image(i)) for i, m in enumerate(MODALITIES)}


def test_colour_is_rgb_and_grey_is_repeated(tmp_path: Path) -> None:
    bgr, grey = smooth_image(1), smooth_image(2)[..., 0]
    paths = {'rgb': write(tmp_path, 'c.png', bgr), 'ir': write(tmp_path, 'i.png', grey)}
    results = LoadMultiModalImages().transform(sample(**paths))
    np.testing.assert_array_equal(results['rgb'], bgr[..., ::-1])
    np.testing.assert_array_equal(results['ir'], np.repeat(grey[..., None], 3, axis=2))
    assert results['present'] == {'rgb': True, 'depth': False, 'ir': True}
    assert results['depth'].shape == bgr.shape and not results['depth'].any()


@pytest.mark.parametrize('flag', [image_files._READ_RGB, None])
@pytest.mark.parametrize('grey', [True, False])
def test_jpeg_equals_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: int | None, grey: bool) -> None:
    monkeypatch.setattr(image_files, '_READ_RGB', flag)
    image = smooth_image(1)
    path = write(tmp_path, 'a.jpg', image[..., 0] if grey else image)
    results = LoadMultiModalImages().transform(sample(rgb=path, depth=path))
    expected = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(results['rgb'], expected)
    np.testing.assert_array_equal(results['depth'], expected)


def test_unwanted_modality_is_not_read(triple: dict[str, Path]) -> None:
    triple['depth'].write_bytes(b'broken')
    results = LoadMultiModalImages().transform(sample(('rgb', 'ir'), **triple))
    assert results['present'] == {'rgb': True, 'depth': False, 'ir': True}


def test_16_bit_depth_by_a_stated_range(tmp_path: Path) -> None:
    depth = np.array([[0, 399, 400, 401], [800, 1199, 1200, 65535]], np.uint16)
    path = write(tmp_path, 'd.png', depth)
    results = LoadMultiModalImages(depth_range_mm=(400, 1200)).transform(sample(depth=path))
    scaled = np.clip((depth.astype(float) - 400) / 800, 0, 1) * 255
    scaled[1, 3] = 0  # 65535 means "no reading"
    np.testing.assert_array_equal(results['depth'][..., 0], np.rint(scaled).astype(np.uint8))
    assert results['rgb'].shape == (2, 4, 3)


def test_16_bit_ir_has_its_own_range(tmp_path: Path) -> None:
    path = write(tmp_path, 'i.png', np.full((2, 2), 500, np.uint16))
    results = LoadMultiModalImages(depth_range_mm=(0, 1), ir_range=(0, 1000)).transform(sample(ir=path))
    assert (results['ir'] == 128).all()


@pytest.mark.parametrize(('modality', 'argument'), [('depth', 'depth_range_mm'), ('ir', 'ir_range')])
def test_16_bit_without_a_range_is_refused(tmp_path: Path, modality: str, argument: str) -> None:
    path = write(tmp_path, 'd.png', np.zeros((2, 2), np.uint16))
    with pytest.raises(ValueError, match=rf'{modality} image .*d\.png \(list\.txt:7\): .* by {argument}='):
        LoadMultiModalImages().transform(sample(**{modality: path}))


def test_padisi_channels(tmp_path: Path) -> None:
    data = write_padisi(tmp_path, 'a.npz', 1)
    results = LoadMultiModalImages().transform(sample(npz=tmp_path / 'PADISI' / 'a.npz'))
    levels = np.rint(data[0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(results['rgb'], levels[[2, 1, 0]].transpose(1, 2, 0))
    np.testing.assert_array_equal(results['depth'], levels[[4, 4, 4]].transpose(1, 2, 0))
    np.testing.assert_array_equal(results['ir'], levels[[3, 3, 3]].transpose(1, 2, 0))


def test_padisi_without_batch_axis_and_fewer_modalities(tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', data=RNG.random((22, 4, 5)))
    results = LoadMultiModalImages().transform(sample(('ir',), npz=tmp_path / 'a.npz'))
    assert results['present'] == {'rgb': False, 'depth': False, 'ir': True}
    assert results['rgb'].shape == (4, 5, 3)


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'data': np.zeros((1, 21, 4, 4))}, r'shape \(1, 22, H, W\), but is float64 of \(1, 21, 4, 4\)'),
        ({'data': np.zeros((22, 4, 4), np.uint8)}, 'but is uint8'),
        ({'data': np.full((22, 4, 4), 255.0)}, r'must lie in \[0, 1\], but spans 255'),
        ({'data': np.full((22, 4, 4), np.nan)}, r'must lie in \[0, 1\], but spans nan'),
        ({'image': np.zeros((22, 4, 4))}, "no array 'data' can be read"),
        ({'data': np.array([{}], dtype=object)}, "no array 'data' can be read: Object arrays cannot be loaded"),
    ],
)
def test_bad_padisi_file(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(ValueError, match=rf'npz image .*a\.npz \(list\.txt:7\): .*{message}'):
        LoadMultiModalImages().transform(sample(npz=tmp_path / 'a.npz'))


@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize('suffix', ['png', 'jpg'])
@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda data: data[: len(data) // 2], r'(cannot be decoded|are cut off)'),
        (lambda data: b'', 'the file is empty'),
        (lambda data: b'not an image', 'cannot be decoded as an image'),
    ],
)
def test_broken_file(tmp_path: Path, modality: str, suffix: str, damage: Any, message: str) -> None:
    paths = {m: write(tmp_path, f'{m}.{suffix}', smooth_image(1, (64, 64))) for m in MODALITIES}
    paths[modality].write_bytes(damage(paths[modality].read_bytes()))
    with pytest.raises(ValueError, match=rf'{modality} image .*{modality}\.{suffix} \(list\.txt:7\): .*{message}'):
        LoadMultiModalImages().transform(sample(**paths))


def test_missing_files(tmp_path: Path, triple: dict[str, Path]) -> None:
    triple['ir'].unlink()
    with pytest.raises(FileNotFoundError, match=r'ir image .*ir\.png \(list\.txt:7\): the file does not exist'):
        LoadMultiModalImages().transform(sample(**triple))
    with pytest.raises(FileNotFoundError, match=r'npz image .*no\.npz \(list\.txt:7\): the file does not exist'):
        LoadMultiModalImages().transform(sample(npz=tmp_path / 'no.npz'))
    with pytest.raises(ValueError, match='none of the modalities'):
        LoadMultiModalImages().transform(sample(('ir',), rgb=triple['rgb']))


def test_odd_size_is_refused_or_resized(tmp_path: Path, triple: dict[str, Path]) -> None:
    triple['depth'] = write(tmp_path, 'small.png', smooth_image(5, (20, 16)))
    message = r'depth image .*small\.png \(list\.txt:7\): is 20x16, but rgb is 40x32; .*allow_size_mismatch'
    with pytest.raises(ValueError, match=message):
        LoadMultiModalImages().transform(sample(**triple))
    results = LoadMultiModalImages(allow_size_mismatch=True).transform(sample(**triple))
    assert results['depth'].shape == results['rgb'].shape == (32, 40, 3)


def test_unsupported_kinds(tmp_path: Path, triple: dict[str, Path]) -> None:
    triple['depth'] = write(tmp_path, 'a.png', np.zeros((32, 40, 4), np.uint8))
    with pytest.raises(ValueError, match=r'depth image .*a\.png \(list\.txt:7\): some pixels are transparent'):
        LoadMultiModalImages().transform(sample(**triple))
    with pytest.raises(ValueError, match='low < high'):
        LoadMultiModalImages(depth_range_mm=(1000, 1000))
