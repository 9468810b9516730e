"""What would take too much memory is refused by its head, and the values of the loader are checked."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.datasets.image_files import MAX_SAMPLE_MB, decode_raw, read_padisi
from mmfas.datasets.transforms import LoadMultiModalImages

from .data_files import smooth_image
from .image_writers import encoded, png_chunk, tiff, webp_chunk


def png_bomb(width: int, height: int) -> bytes:
    """Return a PNG of zeros with a true head and few pixels behind it."""
    head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    chunks = png_chunk(b'IHDR', head) + png_chunk(b'IDAT', zlib.compress(bytes(9999))) + png_chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + chunks


def npz_bomb(path: Path, shape: tuple[int, ...], *, real: int = 100) -> Path:
    """Write an archive whose array claims a shape; only part of it is there."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            'data.npy', b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode() + bytes(real)
        )
    return path


def jpeg_with_size(width: int, height: int) -> bytes:
    """Return a JPEG whose head claims another size."""
    data = bytearray(encoded(smooth_image(1), 'JPEG'))
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = struct.pack('>HH', height, width)
    return bytes(data)


def webp_with_size(width: int, height: int) -> bytes:
    """Return a WebP whose canvas claims another size."""
    size = b''.join((edge - 1).to_bytes(3, 'little') for edge in (width, height))
    body = b'WEBP' + webp_chunk(b'VP8X', bytes(4) + size) + encoded(smooth_image(1), 'WEBP')[12:]
    return b'RIFF' + struct.pack('<I', len(body)) + body


BOMBS = {
    'png': png_bomb(20000, 20000),
    'jpeg': jpeg_with_size(30000, 30000),
    'tiff': tiff(smooth_image(1), t256=50000, t257=9000),
    'webp': webp_with_size(16000, 16000),
    'bmp': b'BM' + struct.pack('<IIIIiiHHIIiiII', 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
    'pgm': b'P5 40000 40000 65535\n',
}


@pytest.mark.parametrize('kind', BOMBS)
def test_a_picture_beyond_the_limit_is_refused_before_it_is_unpacked(kind: str, tmp_path: Path) -> None:
    (tmp_path / 'bomb').write_bytes(BOMBS[kind])
    info = {'img_paths': {'ir': str(tmp_path / 'bomb')}, 'modalities': ('ir',), 'sample_id': 'x'}
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r'ir image .*bomb \(l:2\): unpacking .* MB, but only 256 MB .*max_sample_mb'
    ):
        LoadMultiModalImages().transform({**info, 'source_line': 'l:2'})
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize('shape', [(1, 22, 3000, 3000), (22, 10**6, 10**6), (22, 40000, 80)])
def test_an_archive_beyond_the_limit_is_refused_before_it_is_unpacked(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = npz_bomb(tmp_path / 'a.npz', shape)
    tracemalloc.start()
    with pytest.raises(ValueError, match='only 256 MB are left for it; if the file is sound, raise max_sample_mb'):
        read_padisi(str(path), ('rgb',))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_an_archive_whose_member_is_larger_than_its_array_is_refused(tmp_path: Path) -> None:
    path = npz_bomb(tmp_path / 'a.npz', (1, 22, 4, 4), real=3_000_000)
    with pytest.raises(ValueError, match='3 MB, but only 1 MB'):
        read_padisi(str(path), ('rgb',), max_mb=1)


def test_the_limit_is_raised_and_lowered_by_an_argument(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((1, 22, 100, 100), dtype=np.float32)  # 0.88 MB
    np.savez(tmp_path / 'a.npz', data=data)
    info: dict[str, Any] = {'img_paths': {'npz': str(tmp_path / 'a.npz')}, 'modalities': ('ir',), 'sample_id': 'x'}
    info['source_line'] = 'l:2'
    with pytest.raises(ValueError, match=r'npz image .* \(l:2\): .*would take 1 MB, but only 0 MB'):
        LoadMultiModalImages(max_sample_mb=0.4).transform(dict(info))
    assert LoadMultiModalImages(max_sample_mb=1).transform(dict(info))['ir'].shape == (100, 100, 3)


def test_the_limit_holds_for_all_files_of_a_sample_together(tmp_path: Path) -> None:
    paths = {}
    for number, modality in enumerate(('rgb', 'depth', 'ir')):
        paths[modality] = str(tmp_path / f'{modality}.png')
        Path(paths[modality]).write_bytes(encoded(smooth_image(number, (500, 500)), 'PNG'))  # 0.75 MB each
    info = {'img_paths': paths, 'modalities': ('rgb', 'depth', 'ir'), 'sample_id': 'x', 'source_line': 'l:2'}
    assert LoadMultiModalImages(max_sample_mb=2.3).transform(dict(info))['ir'].any()
    with pytest.raises(ValueError, match='ir image .*max_sample_mb'):
        LoadMultiModalImages(max_sample_mb=2).transform(dict(info))


def test_common_sizes_are_far_from_the_limit() -> None:
    assert MAX_SAMPLE_MB * 1e6 > 3 * 3 * 4000 * 3000  # three pictures of 12 megapixels
    assert decode_raw(encoded(np.arange(4096, dtype=np.uint8)[None].repeat(2048, 0), 'PNG')).shape == (2048, 4096)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'no_reading': (0, 70000)}, r'no_reading must be whole numbers between 0 and 65535'),
        ({'no_reading': 65535}, 'no_reading must be whole numbers'),
        ({'no_reading': '0'}, "no_reading must be .* got '0'"),
        ({'no_reading': (0.5,)}, 'no_reading must be'),
        ({'max_sample_mb': 0}, 'max_sample_mb must be a number above 0, got 0'),
        ({'max_sample_mb': float('nan')}, 'max_sample_mb must be a number above 0'),
        ({'depth_range_mm': (1, 2, 3)}, r'depth_range_mm must be two numbers \(low, high\), but got \(1, 2, 3\)'),
        ({'depth_range_mm': '12'}, "depth_range_mm must be two numbers .* got '12'"),
        ({'ir_range': 5}, 'ir_range must be two numbers'),
    ],
)
def test_values_of_the_loader_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadMultiModalImages(**arguments)


@pytest.mark.parametrize(
    ('no_reading', 'expected'),
    [((0, 65535), [0, 0, 255, 0]), ((0,), [0, 0, 255, 255]), ((0, 2047), [0, 0, 0, 255]), ((), [0, 0, 255, 255])],
)
def test_no_reading_is_black(no_reading: tuple[int, ...], expected: list[int], tmp_path: Path) -> None:
    depth = np.array([[0, 300, 2047, 65535]], np.uint16)
    (tmp_path / 'd.tif').write_bytes(tiff(depth, '>'))
    info = {'img_paths': {'depth': str(tmp_path / 'd.tif')}, 'modalities': ('depth',), 'sample_id': 'x'}
    loader = LoadMultiModalImages(depth_range_mm=(300, 1500), no_reading=no_reading)
    assert loader.transform({**info, 'source_line': 'l:2'})['depth'][0, :, 0].tolist() == expected


def test_no_reading_of_8_bits_and_not_of_infrared(tmp_path: Path) -> None:
    image = np.array([[0, 90, 254, 255]], np.uint8)
    (tmp_path / 'd.png').write_bytes(encoded(image, 'PNG'))
    info = {'img_paths': dict.fromkeys(('depth', 'ir'), str(tmp_path / 'd.png')), 'modalities': ('depth', 'ir')}
    found = LoadMultiModalImages(no_reading=(0, 255)).transform({**info, 'sample_id': 'x', 'source_line': 'l:2'})
    assert found['depth'][0, :, 1].tolist() == [0, 90, 254, 0]
    assert found['ir'][0, :, 1].tolist() == [0, 90, 254, 255]
