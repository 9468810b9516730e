"""Descriptors of infrared images: equal to the released ones and to slow twins, much faster, and kept on disk."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from golden_vectors import golden
from skimage.feature import hog

from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.transforms import IRLocalDescriptors
from mmfas.datasets.transforms.local_descriptors import hog_picture, plgf

GOLDEN = {name: array.numpy() for name, array in golden('ir_local_descriptors').items()}
LEAST_SPEED_UP = 10


def plain_plgf(gray: np.ndarray) -> np.ndarray:
    """Sum the pulls of the 24 neighbours one after the other, in double precision; nothing beyond the border."""
    values = np.maximum(gray, 2).astype(np.float64)
    height, width = gray.shape
    padded = np.pad(values, 2)
    right, up = np.zeros_like(values), np.zeros_like(values)
    for row in range(-2, 3):
        for column in range(-2, 3):
            if row or column:
                squared, angle = row**2 + column**2, np.arctan2(-row, column)
                neighbour = padded[2 + row : 2 + row + height, 2 + column : 2 + column + width]
                right += neighbour * np.cos(angle) / squared
                up += neighbour * np.sin(angle) / squared
    pattern = np.arctan(np.sqrt((right / (values + 1e-4)) ** 2 + (up / (values + 1e-4)) ** 2))
    return 1 + 254 * (pattern - pattern.min()) / (pattern.max() - pattern.min())


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a random grey image that has smooth and flat parts."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth[: height // 4] = 255
    smooth[: height // 4, : width // 2] = 0
    return smooth


def results_of(gray: np.ndarray, *, present: bool = True) -> dict[str, Any]:
    """Return a sample with this infrared image."""
    return {'ir': np.dstack([gray] * 3), 'present': {'ir': present}, 'source_line': 'list.txt:7'}


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error as a share of the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_golden_hog_picture() -> None:
    assert relative_error(hog_picture(GOLDEN['gray']), GOLDEN['hog_image']) < 1e-3
    assert relative_error(hog_picture(GOLDEN['gray'], orientations=8), GOLDEN['hog_image']) > 0.1
    assert relative_error(hog_picture(GOLDEN['gray'].T.copy()), GOLDEN['hog_image']) > 0.1


def test_golden_plgf() -> None:
    assert relative_error(plgf(GOLDEN['gray']), GOLDEN['plgf']) < 1e-5
    assert relative_error(plgf(255 - GOLDEN['gray']), GOLDEN['plgf']) > 1e-2


def test_golden_transform() -> None:
    found = IRLocalDescriptors()(results_of(GOLDEN['gray']))['ir']
    np.testing.assert_array_equal(found[..., 0], GOLDEN['gray'])
    for channel, key in ((1, 'hog_image'), (2, 'plgf')):
        assert np.abs(found[..., channel] - GOLDEN[key]).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(('height', 'width'), [(16, 16), (45, 33), (64, 100)])
@pytest.mark.parametrize(('orientations', 'cell'), [(9, 8), (8, 8), (4, 6), (12, 4)])
def test_hog_picture_is_that_of_scikit_image(height: int, width: int, orientations: int, cell: int) -> None:
    gray = image(height, width)
    _, expected = hog(gray, orientations, (cell, cell), (2, 2), visualize=True)
    found = hog_picture(gray, orientations=orientations, cell=cell)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(('height', 'width'), [(5, 5), (40, 23)])
def test_plgf_is_that_of_its_slow_twin(height: int, width: int) -> None:
    gray = image(height, width, seed=1)
    np.testing.assert_allclose(plgf(gray), plain_plgf(gray), rtol=1e-4, atol=1e-3)


def test_flat_and_tiny_images() -> None:
    assert (plgf(np.full((1, 1), 9, np.uint8)) == 1).all()
    assert not hog_picture(np.full((24, 17), 200, np.uint8)).any()
    for wrong in (np.zeros((7, 40), np.uint8), np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.float32)):
        with pytest.raises(ValueError, match=r'expected a grey image \(H, W\) of uint8, at least 8 pixels'):
            hog_picture(wrong)
    with pytest.raises(ValueError, match=r'ir image \(list\.txt:7\): expected a grey image'):
        IRLocalDescriptors()(results_of(np.zeros((4, 4), np.uint8)))


@pytest.mark.parametrize('wrong', [{'orientations': 0}, {'cell': 3}, {'cell': 7}])
def test_wrong_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match='orientations must be >= 1 and cell even and >= 4'):
        IRLocalDescriptors(**wrong)


def test_absent_images_stay_absent(tmp_path: Path) -> None:
    given = results_of(np.zeros((16, 16), np.uint8), present=False)
    found = IRLocalDescriptors(cache_dir=str(tmp_path))(given)
    assert not found['ir'].any() and not list(tmp_path.iterdir())


def seconds(function: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_faster_than_the_released_way() -> None:
    """Both in turn, in one process, on one thread; the best of five of each."""
    gray = cv2.resize(GOLDEN['gray'], (224, 224))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        plgf(gray), hog_picture(gray)  # tables are made once per process
        slow, fast = [], []
        for _ in range(5):
            slow.append(seconds(lambda: (hog(gray, 9, (8, 8), (2, 2), visualize=True), plain_plgf(gray))))
            fast.append(seconds(lambda: (hog_picture(gray), plgf(gray))))
    finally:
        cv2.setNumThreads(threads)
    ratio = min(slow) / min(fast)
    print(f'224 x 224 pixels: {1e3 * min(slow):.1f} ms and {1e3 * min(fast):.2f} ms, {ratio:.0f} times as fast')
    assert ratio >= LEAST_SPEED_UP


def cached_files(folder: Path) -> list[Path]:
    """Return all files below a folder, hidden ones too."""
    return sorted(path for path in folder.rglob('*') if path.is_file())


def test_cache_is_used_and_knows_pixels_and_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = IRLocalDescriptors(cache_dir=str(tmp_path))
    plain = IRLocalDescriptors()(results_of(image(40, 32)))['ir']
    np.testing.assert_array_equal(transform(results_of(image(40, 32)))['ir'], plain)
    assert len(cached_files(tmp_path)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(IRLocalDescriptors, '_describe', None)  # calling it would fail
        np.testing.assert_array_equal(transform(results_of(image(40, 32)))['ir'], plain)
    other = image(40, 32)
    other[20, 20] ^= 1
    transform(results_of(other))
    transform(results_of(image(40, 32).reshape(32, 40)))
    IRLocalDescriptors(cell=4, cache_dir=str(tmp_path))(results_of(image(40, 32)))
    IRLocalDescriptors(orientations=6, cache_dir=str(tmp_path))(results_of(image(40, 32)))
    assert len(cached_files(tmp_path)) == 5


@pytest.mark.parametrize('content', [b'', b'\x93NUMPY', b'nonsense' * 10, None])
def test_damaged_files_are_made_anew(tmp_path: Path, content: bytes | None) -> None:
    transform = IRLocalDescriptors(cache_dir=str(tmp_path))
    expected = transform(results_of(image(24, 24)))['ir']
    (file,) = cached_files(tmp_path)
    good = file.read_bytes()
    if content is None:
        np.save(file, np.zeros((3, 3, 2), np.uint8))
    else:
        file.write_bytes(content)
    np.testing.assert_array_equal(transform(results_of(image(24, 24)))['ir'], expected)
    assert file.read_bytes() == good


def describe_many(folder: str) -> list[int]:
    """Describe the same eight images in every process."""
    transform = IRLocalDescriptors(cache_dir=folder)
    return [int(transform(results_of(image(64, 64, seed)))['ir'].sum()) for seed in range(8)]


def test_processes_share_a_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context('fork').Pool(4) as pool:
        sums = pool.map(describe_many, [str(tmp_path)] * 8, chunksize=1)
    expected = [int(IRLocalDescriptors()(results_of(image(64, 64, seed)))['ir'].sum()) for seed in range(8)]
    assert sums == [expected] * 8
    files = cached_files(tmp_path)
    assert len(files) == 8 and all(file.suffix == '.npy' for file in files)


def test_in_the_pipeline_of_a_data_set(wmca_root: Path, tmp_path: Path) -> None:
    pipeline = [
        {'type': 'LoadMultiModalImages'},
        {'type': 'IRLocalDescriptors', 'cache_dir': str(tmp_path / 'kept')},
        {'type': 'ResizeModalities', 'scale': 32},
        {'type': 'PhotometricModalities', 'modalities': ('rgb', 'depth')},
        {'type': 'PackFASInputs'},
    ]
    dataset = MultiModalFaceDataset('W-train.txt', str(wmca_root), pipeline=pipeline)
    first = dataset[0]['inputs']['ir'].float()
    assert first.shape == (3, 32, 32)
    assert len({tuple(channel.flatten()[:50].tolist()) for channel in first}) == 3
    assert len(cached_files(tmp_path / 'kept')) == 1
