"""One reader, one rule: orientation, alpha, bits and frames are read alike in every format and modality."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from mmfas.datasets.face_crop import read_picture
from mmfas.datasets.image_files import decode_colour, decode_raw
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.structures import MODALITIES

from .data_files import smooth_image
from .image_writers import UPRIGHT, encoded, several, tiff, with_exif

COLOUR = smooth_image(3, (24, 18))
GREY = COLOUR[..., 0].copy()
GREY_16 = GREY.astype(np.uint16) * 200 + 7
OPAQUE, HOLED = np.full_like(GREY, 255), np.full_like(GREY, 255)
HOLED[3, 4] = 254

#: Encoder -> a picture with the given orientation.
TAGGED: dict[str, Callable[[np.ndarray, int], bytes]] = {
    'jpeg': lambda image, way: with_exif(encoded(image, 'JPEG'), way),
    'progressive jpeg, MM': lambda image, way: with_exif(encoded(image, 'JPEG', progressive=True), way, '>'),
    'png': lambda image, way: with_exif(encoded(image, 'PNG'), way),
    'png, behind the pixels': lambda image, way: with_exif(encoded(image, 'PNG'), way, '>', at_end=True),
    'webp': lambda image, way: with_exif(encoded(image, 'WEBP', lossless=True), way),
    'tiff': lambda image, way: tiff(image, t274=way),
    'tiff, MM, strips': lambda image, way: tiff(image, '>', rows=5, t274=way),
    'tiff, lzw': lambda image, way: encoded(image, 'TIFF', compression='tiff_lzw', tiffinfo={274: way}),
}


def load(modality: str, folder: Path, data: bytes, **arguments: Any) -> np.ndarray:
    """Load one file as one modality."""
    path = folder / 'picture'
    path.write_bytes(data)
    info = {
        'img_paths': {modality: str(path)},
        'modalities': (modality,),
        'sample_id': 'x',
        'source_line': 'l.csv:2',
    }
    return LoadMultiModalImages(**arguments).transform(info)[modality]  # type: ignore[arg-type]


@pytest.mark.parametrize('orientation', UPRIGHT)
@pytest.mark.parametrize('kind', TAGGED)
def test_orientation_is_obeyed_in_every_modality(kind: str, orientation: int, tmp_path: Path) -> None:
    for image in (GREY, COLOUR):
        plain, data = TAGGED[kind](image, 1), TAGGED[kind](image, orientation)
        for modality in MODALITIES:
            expected = UPRIGHT[orientation](load(modality, tmp_path, plain))
            np.testing.assert_array_equal(load(modality, tmp_path, data), expected)
        (tmp_path / 'crop').write_bytes(data)
        for modality in MODALITIES:
            crop = read_picture(str(tmp_path / 'crop'), modality)
            assert crop.shape[:2] == expected.shape[:2]
            shown = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop
            np.testing.assert_array_equal(shown[..., ::-1], expected)


@pytest.mark.parametrize('orientation', UPRIGHT)
@pytest.mark.parametrize('kind', ['png', 'tiff', 'tiff, MM, strips', 'tiff, lzw'])
def test_orientation_is_obeyed_with_16_bits(kind: str, orientation: int) -> None:
    picture = decode_raw(TAGGED[kind](GREY_16, orientation))
    assert picture.dtype == np.uint16
    np.testing.assert_array_equal(picture, UPRIGHT[orientation](GREY_16))


@pytest.mark.parametrize('orientation', [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    np.testing.assert_array_equal(decode_raw(with_exif(encoded(GREY, 'PNG'), orientation)), GREY)


def test_broken_exif_turns_nothing() -> None:
    tagged = with_exif(encoded(GREY, 'JPEG'), 6)
    assert decode_raw(tagged).shape == GREY.shape[::-1]
    assert decode_raw(tagged.replace(b'II*\0\x08', b'II*\0\xff')).shape == GREY.shape


ALPHA: dict[str, Callable[[np.ndarray], bytes]] = {
    'colour png': lambda alpha: encoded(np.dstack([COLOUR, alpha]), 'PNG'),
    'grey png': lambda alpha: encoded(np.dstack([GREY, alpha]), 'PNG', 'LA'),
    '16-bit png': lambda alpha: cv2.imencode('.png', np.dstack([COLOUR, alpha]).astype(np.uint16) * 257)[
        1
    ].tobytes(),
    'colour tiff': lambda alpha: encoded(np.dstack([COLOUR, alpha]), 'TIFF'),
    'grey tiff': lambda alpha: encoded(np.dstack([GREY, alpha]), 'TIFF', 'LA', compression='tiff_lzw'),
    'webp': lambda alpha: cv2.imencode('.webp', np.dstack([COLOUR, alpha]))[1].tobytes(),
    'bmp': lambda alpha: cv2.imencode('.bmp', np.dstack([COLOUR, alpha]))[1].tobytes(),
    'transparent grey of png': lambda alpha: encoded(
        np.where(GREY == 0, 1, GREY).astype(np.uint8),
        'PNG',
        transparency=0 if alpha.all() and alpha.min() == 255 else int(GREY.max()),
    ),
    'transparent colour of png': lambda alpha: encoded(
        COLOUR, 'PNG', transparency=(1, 254, 1) if alpha.min() == 255 else tuple(map(int, COLOUR[2, 2]))
    ),
    'palette png': lambda alpha: encoded(
        GREY // 2, 'PNG', 'P', transparency=200 if alpha.min() == 255 else int(GREY[0, 0] // 2)
    ),
}


@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize('kind', ALPHA)
def test_alpha_is_left_out_where_it_says_nothing_and_refused_elsewhere(
    kind: str, modality: str, tmp_path: Path
) -> None:
    ranges = {'depth_range_mm': (0, 65535), 'ir_range': (0, 65535)}
    opaque = load(modality, tmp_path, ALPHA[kind](OPAQUE), **ranges)
    assert opaque.shape == (*GREY.shape, 3)
    if kind in ('colour png', 'colour tiff'):
        np.testing.assert_array_equal(opaque, COLOUR)
    with pytest.raises(ValueError, match=rf'{modality} image .*picture \(l\.csv:2\): some pixels are transparent'):
        load(modality, tmp_path, ALPHA[kind](HOLED), **ranges)


ORDINARY: dict[str, bytes] = {
    'jpeg': encoded(COLOUR, 'JPEG'),
    'progressive': encoded(COLOUR, 'JPEG', progressive=True),
    'grey jpeg': encoded(GREY, 'JPEG'),
    'cmyk jpeg': encoded(COLOUR, 'JPEG', 'CMYK'),
    'jpeg with restarts': cv2.imencode('.jpg', COLOUR, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes(),
    'png': encoded(COLOUR, 'PNG'),
    'palette': encoded(GREY, 'PNG', 'P'),
    'one bit': encoded(GREY > 100, 'PNG'),
    '16-bit png': cv2.imencode('.png', COLOUR.astype(np.uint16) * 201)[1].tobytes(),
    '16-bit grey png': cv2.imencode('.png', GREY_16)[1].tobytes(),
    'webp': encoded(COLOUR, 'WEBP'),
    'lossless webp': encoded(COLOUR, 'WEBP', lossless=True),
    'bmp': encoded(COLOUR, 'BMP'),
    'grey bmp': encoded(GREY, 'BMP'),
    'lzw tiff': encoded(COLOUR, 'TIFF', compression='tiff_lzw'),
    'deflate tiff': encoded(GREY, 'TIFF', compression='tiff_adobe_deflate'),
    'packbits tiff': encoded(COLOUR, 'TIFF', compression='packbits'),
    'jpeg tiff': encoded(COLOUR, 'TIFF', compression='jpeg'),
    'big-endian tiff': tiff(COLOUR, '>', rows=4),
    'bigtiff': tiff(GREY_16, big=True, rows=7, deflate=True),
    'pgm': cv2.imencode('.pgm', GREY)[1].tobytes(),
    'ppm': b'P6 # a remark\n24 18\n255\n' + COLOUR.tobytes(),
}


@pytest.mark.parametrize('kind', ORDINARY)
def test_pixels_are_those_of_opencv(kind: str) -> None:
    data = ORDINARY[kind]
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_colour(data), expected)
    np.testing.assert_array_equal(decode_colour(data, rgb=True), expected[..., ::-1])
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decode_raw(data), raw)


def test_16_bits_of_rgb_are_divided_by_256_in_every_format() -> None:
    image = COLOUR.astype(np.uint16) * 201 + 55
    for data in (
        tiff(image[..., ::-1]),
        tiff(image[..., ::-1], '>', deflate=True),
        *(cv2.imencode(suffix, image)[1].tobytes() for suffix in ('.png', '.tiff', '.ppm')),
    ):
        np.testing.assert_array_equal(decode_colour(data), image >> 8)


@pytest.mark.parametrize('highest', [256, 1023, 4095, 65534])
def test_a_pgm_of_9_to_15_bits_has_raw_values_for_a_stated_range_only(highest: int, tmp_path: Path) -> None:
    raw = np.random.default_rng(3).integers(0, highest + 1, GREY.shape).astype('>u2')
    data = b'P5\n# camera\n%d %d\n%d\n' % (*GREY.shape[::-1], highest) + raw.tobytes()
    np.testing.assert_array_equal(decode_raw(data), raw)
    loaded = load('ir', tmp_path, data, ir_range=(0, highest))
    np.testing.assert_array_equal(loaded[..., 0], np.rint(raw / highest * 255))
    with pytest.raises(ValueError, match=r'rgb image .* \(l\.csv:2\): the PGM names .* as its highest value'):
        load('rgb', tmp_path, data)
    raw[1, 1] = highest + 1
    with pytest.raises(ValueError, match=rf'a value is {highest + 1}, the highest should be {highest}'):
        decode_raw(data[: -raw.nbytes] + raw.tobytes())


REFUSED: dict[str, tuple[bytes, str]] = {
    'int16 tiff': (tiff(GREY.astype(np.int16), t339=2), 'signed numbers; expected 8 or 16 bits unsigned'),
    'int8 tiff': (tiff(GREY.astype(np.int8), t339=2), 'signed numbers'),
    'float tiff': (tiff(GREY.astype(np.float32), '>', t339=3), 'floating point numbers'),
    'double tiff': (cv2.imencode('.tiff', GREY.astype(np.float64))[1].tobytes(), 'floating point'),
    'uint32 tiff': (tiff(GREY.astype(np.uint32)), '32 bits; expected 8 or 16'),
    'planar tiff': (tiff(COLOUR, t284=2), 'planar'),
    'inverted 16-bit tiff': (tiff(GREY_16, t262=0), 'inverted grey'),
    'cmyk tiff': (encoded(COLOUR, 'TIFF', 'CMYK'), 'CMYK; expected grey or RGB'),
    'lab tiff': (encoded(COLOUR, 'TIFF', 'LAB'), 'CIELab'),
    'five channels': (
        tiff(np.dstack([COLOUR, GREY, GREY])),
        '1 or 3 channels|cannot be decoded',
    ),
    'pages': (several([COLOUR, COLOUR[::-1]], 'TIFF'), 'holds 2 pictures'),
    'animated png': (several([COLOUR, COLOUR[::-1], COLOUR], 'PNG'), 'holds 3 pictures'),
    'animated webp': (several([COLOUR, COLOUR[::-1]], 'WEBP'), 'is an animation'),
    'gif': (several([GREY, GREY[::-1]], 'GIF'), 'not a JPEG, PNG, TIFF, WebP, BMP or binary PGM/PPM'),
    'jpeg 2000': (encoded(COLOUR, 'JPEG2000'), 'not a JPEG'),
    'hdr': (cv2.imencode('.hdr', COLOUR.astype(np.float32))[1].tobytes(), 'not a JPEG'),
    'text pgm': (b'P2 2 2 255 1 2 3 4', 'not a JPEG'),
    'dark pgm': (b'P5 2 2 100\n' + bytes(4), 'highest value of the PNM is 100'),
    'empty picture': (b'P5 0 2 255\n', 'is 0x2, which is empty'),
}


@pytest.mark.parametrize('kind', REFUSED)
def test_what_is_not_read_is_refused_in_every_modality(kind: str, tmp_path: Path) -> None:
    data, message = REFUSED[kind]
    for modality in MODALITIES:
        with pytest.raises(ValueError, match=rf'{modality} image .*\(l\.csv:2\): .*({message})'):
            load(modality, tmp_path, data)
        (tmp_path / 'crop').write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_picture(str(tmp_path / 'crop'), modality)


def test_smaller_copies_in_a_tiff_are_passed_over(tmp_path: Path) -> None:
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / 'a.tif'), True) as file:
        for page, tags in ((COLOUR, {}), (COLOUR[::2, ::2], {254: 1})):
            Image.fromarray(page).save(file, 'TIFF', tiffinfo=tags)
            file.newFrame()
    np.testing.assert_array_equal(decode_raw((tmp_path / 'a.tif').read_bytes()), COLOUR[..., ::-1])
