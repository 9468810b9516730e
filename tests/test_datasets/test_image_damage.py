"""What is damaged or cut off is refused, what stands behind the end of a picture does not matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.data.verify import main as verify_main
from mmfas.datasets import image_files
from mmfas.datasets.image_files import decode_colour, decode_raw
from mmfas.datasets.transforms import LoadMultiModalImages

from .data_files import smooth_image
from .image_writers import encoded, several, tiff

PICTURE = smooth_image(8, (160, 128)) // 2 + np.random.default_rng(8).integers(0, 99, (128, 160, 3), np.uint8)
GREY = PICTURE[..., 1].copy()

FILES: dict[str, bytes] = {
    'jpeg': encoded(PICTURE, 'JPEG'),
    'grey jpeg': encoded(GREY, 'JPEG', quality=60),
    'progressive jpeg': encoded(PICTURE, 'JPEG', progressive=True, quality=90),
    'jpeg without subsampling': encoded(PICTURE, 'JPEG', subsampling=0, quality=97),
    'cmyk jpeg': encoded(PICTURE, 'JPEG', 'CMYK'),
    'jpeg with restarts': cv2.imencode('.jpg', PICTURE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 9])[1].tobytes(),
    'webp': encoded(PICTURE, 'WEBP', quality=60),
    'fine webp': encoded(PICTURE, 'WEBP', quality=97, method=6),
    'lossless webp': encoded(PICTURE // 8 * 8, 'WEBP', lossless=True),
    'png': encoded(PICTURE, 'PNG'),
    '16-bit png': cv2.imencode('.png', GREY.astype(np.uint16) * 99)[1].tobytes(),
    'deflate tiff': encoded(PICTURE, 'TIFF', compression='tiff_adobe_deflate'),
    'deflate tiff, MM': tiff(GREY.astype(np.uint16) * 99, '>', rows=20, deflate=True),
    'lzw tiff': encoded(PICTURE, 'TIFF', compression='tiff_lzw'),
    '16-bit colour lzw tiff': cv2.imencode('.tiff', PICTURE.astype(np.uint16) * 99)[1].tobytes(),
    'jpeg tiff': encoded(PICTURE, 'TIFF', compression='jpeg', quality=90),
}
PLAIN: dict[str, bytes] = {
    'bmp': encoded(PICTURE, 'BMP'),
    'pgm': cv2.imencode('.pgm', GREY)[1].tobytes(),
    'ppm': cv2.imencode('.ppm', PICTURE.astype(np.uint16) * 99)[1].tobytes(),
    'tiff': tiff(PICTURE, rows=16),
    'packbits tiff': encoded(PICTURE, 'TIFF', compression='packbits'),
}


def with_hole(data: bytes, place: float, size: int = 300, fill: bytes = b'\0') -> bytes:
    """Overwrite part of a file, as a bad sector does."""
    at = int(len(data) * place)
    return data[:at] + fill * size + data[at + size :]


@pytest.mark.parametrize('kind', [*FILES, *PLAIN])
def test_whole_files_are_read(kind: str) -> None:
    assert decode_colour({**FILES, **PLAIN}[kind]).shape == PICTURE.shape


@pytest.mark.parametrize('place', [0.35, 0.5, 0.8])
@pytest.mark.parametrize('kind', FILES)
def test_a_hole_is_refused(kind: str, place: float) -> None:
    with pytest.raises(ValueError, match='damaged|cut off|cannot be decoded'):
        decode_raw(with_hole(FILES[kind], place))


@pytest.mark.parametrize('quality', [50, 75, 90, 97])
@pytest.mark.parametrize('subsampling', [0, 2])
def test_a_hole_in_the_last_scans_of_a_progressive_jpeg_is_refused(quality: int, subsampling: int) -> None:
    data = encoded(PICTURE, 'JPEG', progressive=True, quality=quality, subsampling=subsampling)
    start = data.rindex(b'\xff\xda')  # of the scan with the last bits of brightness
    for number in range(8):
        at = start + 30 + (len(data) - start - 300) * number // 8
        with pytest.raises(ValueError, match='the JPEG data are damaged'):
            decode_raw(data[:at] + bytes(200) + data[at + 200 :])


@pytest.mark.parametrize('quality', [75, 95])
def test_what_a_shorter_hole_there_may_leave_is_small(quality: int) -> None:
    """Regular pictures have such runs of zeros, too: docs/en/safety.md states what may pass."""
    data = encoded(PICTURE, 'JPEG', progressive=True, quality=quality)
    whole, start, passed = decode_colour(data).astype(int), data.rindex(b'\xff\xda') + 30, 0
    for size in (8, 32, 120):
        for number in range(10):
            at = start + (len(data) - start - 160) * number // 10
            try:
                left = decode_colour(data[:at] + bytes(size) + data[at + size :])
            except ValueError:
                continue
            passed += 1
            assert np.abs(left - whole).mean() < 4
    assert 0 < passed < 30


def test_regular_pictures_have_no_holes() -> None:
    y, x = np.mgrid[:240, :320]
    for grey in (x // 2 % 2 * 255, y // 4 % 2 * 255, (x + y) * 255 // 560, 127 + 100 * np.sin(x * np.pi / 4)):
        for quality in (10, 60, 80, 90, 95):
            image = np.dstack([grey, grey[::-1], grey[:, ::-1]]).astype(np.uint8)
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
            assert decode_raw(cv2.imencode('.jpg', image, options)[1].tobytes()).shape == image.shape


@pytest.mark.parametrize('kind', [*FILES, *PLAIN])
@pytest.mark.parametrize('place', [0.02, 0.3, 0.7, 0.99])
def test_a_cut_file_is_refused(kind: str, place: float) -> None:
    data = {**FILES, **PLAIN}[kind]
    with pytest.raises(ValueError, match='damaged|cut off|head|lack|blocks|cannot be decoded'):
        decode_raw(data[: int(len(data) * place)])


@pytest.mark.parametrize('kind', [kind for kind in FILES if kind.endswith('jpeg')])
@pytest.mark.parametrize('place', [0.4, 0.6, 0.9])
def test_a_cut_jpeg_that_was_closed_is_refused(kind: str, place: float) -> None:
    data = FILES[kind]
    with pytest.raises(ValueError, match='the JPEG data are (damaged|cut off)'):
        decode_raw(data[: int(len(data) * place)] + b'\xff\xd9')


@pytest.mark.parametrize('options', [{}, {'optimize': True}, {'subsampling': 0}, {'progressive': True}])
def test_flat_pictures_are_no_holes(options: dict[str, object]) -> None:
    for image in (np.zeros((400, 600, 3), np.uint8), np.full((300, 300), 129, np.uint8), PICTURE // 255):
        assert decode_raw(encoded(image, 'JPEG', **options)).shape[:2] == image.shape[:2]


def test_a_jpeg_without_its_end_marker_is_refused() -> None:
    with pytest.raises(ValueError, match='cut off'):
        decode_raw(FILES['jpeg'][:-2])


@pytest.mark.parametrize('kind', ['jpeg', 'progressive jpeg', 'jpeg without subsampling', 'webp', 'fine webp'])
def test_most_runs_of_flipped_bits_are_refused(kind: str) -> None:
    data, rng = FILES[kind], np.random.default_rng(1)
    refused = 0
    for _ in range(25):
        flipped = bytearray(data)
        at = int(rng.integers(len(data) // 2, len(data) - 40))
        flipped[at : at + 16] = bytes(byte ^ 0x55 for byte in flipped[at : at + 16])
        try:
            decode_raw(bytes(flipped))
        except ValueError:
            refused += 1
    assert refused >= 15


@pytest.mark.parametrize('kind', ['png', '16-bit png', 'deflate tiff, MM'])
def test_every_flipped_bit_is_refused_where_there_is_a_checksum(kind: str) -> None:
    data, rng = FILES[kind], np.random.default_rng(2)
    for at in rng.integers(60, len(data) * 9 // 10, 25):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError, match='damaged'):
            decode_raw(bytes(flipped))


TRAILERS: dict[str, Callable[[bytes], bytes]] = {
    'zeros': lambda data: data + bytes(5000),
    'video': lambda data: data + b'\0\0\0\x18ftypmp42' + np.random.default_rng(0).bytes(9000),
    'end markers': lambda data: data + b'\xff\xd9' * 3000,
    'another picture': lambda data: data + encoded(PICTURE[::-1], 'JPEG'),
    'half a picture': lambda data: data + encoded(PICTURE[::-1], 'JPEG')[:4000],
}


@pytest.mark.parametrize('trailer', TRAILERS)
@pytest.mark.parametrize(
    'kind', ['jpeg', 'grey jpeg', 'progressive jpeg', 'jpeg with restarts', 'png', 'webp', 'bmp']
)
def test_what_stands_behind_the_end_does_not_matter(kind: str, trailer: str) -> None:
    data = {**FILES, **PLAIN}[kind]
    np.testing.assert_array_equal(decode_raw(TRAILERS[trailer](data)), decode_raw(data))


def test_a_file_of_several_jpegs_gives_the_first() -> None:
    data = several([PICTURE, PICTURE[::-1]], 'MPO')
    np.testing.assert_array_equal(decode_raw(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_harmless_heads_of_cameras_are_read_and_damage_behind_them_is_not() -> None:
    data = FILES['jpeg']
    at = data.index(b'\xff\xda')
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    odd = data[: end - 3] + b'\0\0\0' + data[end:]  # start and end of the spectrum, which baseline does not need
    np.testing.assert_array_equal(decode_raw(odd), decode_raw(data))
    with pytest.raises(ValueError, match='damaged'):
        decode_raw(with_hole(odd, 0.6))


def test_a_file_is_checked_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    monkeypatch.setattr(image_files, '_whole', set())
    monkeypatch.setattr(image_files, 'check_whole', lambda data, header: checked.append(len(data)))
    for kind in ('jpeg', 'png', 'jpeg', 'jpeg'):
        decode_raw(FILES[kind])
    assert checked == [len(FILES['jpeg']), len(FILES['png'])]


def test_a_damaged_file_is_refused_every_time() -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match='damaged'):
            decode_raw(with_hole(FILES['jpeg'], 0.5))


def test_verification_and_training_refuse_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        'whole.jpg': FILES['jpeg'],
        'hole.jpg': with_hole(FILES['jpeg'], 0.5),
        'closed.jpg': FILES['grey jpeg'][:1500] + b'\xff\xd9',
        'hole.webp': with_hole(FILES['webp'], 0.4),
        'hole.tif': with_hole(FILES['lzw tiff'], 0.5),
        'motion.jpg': TRAILERS['video'](FILES['progressive jpeg']),
    }
    for name, data in files.items():
        Path(name).write_bytes(data)
    rows = [f'{name},{number % 2}' for number, name in enumerate(files)]
    Path('list.csv').write_text('\n'.join(['rgb,label', *rows]))
    assert verify_main(['--lists', 'list.csv']) == 1
    report = capsys.readouterr().out
    assert 'image: 4\n' in report and '6 samples checked: 4 problem(s)' in report
    for number, name in enumerate(files):
        info = {'img_paths': {'rgb': name}, 'modalities': ('rgb',), 'sample_id': name}
        line = f'list.csv:{number + 2}'
        try:
            LoadMultiModalImages().transform({**info, 'source_line': line})
        except ValueError as error:
            assert f'list.csv ({line}): {error}' in report
        else:
            assert line not in report
