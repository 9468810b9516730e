"""Attacks on pictures and on PADISI's archives."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from harness import CANARY, Attack, must_be_refused
from mutators import cut, damage, flip_bits
from PIL import Image

from mmfas.datasets.image_files import decode_colour, decode_raw, read_padisi

sys.path.append(str(Path(__file__).parents[1] / 'test_datasets'))
from image_writers import UPRIGHT, tiff, with_exif  # noqa: E402

#: Name -> encoder of (H, W, 3) uint8. Formats with a checksum or a strict structure come first.
ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    'png': lambda a: _pillow(a, 'PNG'),
    'png grey': lambda a: _pillow(a[..., 0], 'PNG'),
    'png 16': lambda a: _pillow(a[..., 0].astype(np.uint16) * 257, 'PNG'),
    'jpeg': lambda a: _pillow(a, 'JPEG', quality=90),
    'jpeg progressive': lambda a: _pillow(a, 'JPEG', quality=80, progressive=True),
    'jpeg grey': lambda a: _pillow(a[..., 0], 'JPEG'),
    'webp': lambda a: _pillow(a, 'WEBP', quality=80),
    'webp lossless': lambda a: _pillow(a, 'WEBP', lossless=True),
    'tiff lzw': lambda a: _pillow(a, 'TIFF', compression='tiff_lzw'),
    'tiff deflate': lambda a: _pillow(a, 'TIFF', compression='tiff_adobe_deflate'),
    'tiff plain': lambda a: _pillow(a, 'TIFF'),
    'tiff 16': lambda a: tiff(a[..., 0].astype(np.uint16) * 257, '>', rows=5),
    'bmp': lambda a: _pillow(a, 'BMP'),
    'ppm': lambda a: _pillow(a, 'PPM'),
}
#: Formats in which every flipped bit of the pixels is seen; in the others some give another picture.
SEALED = ('png', 'png grey', 'png 16')


def _pillow(image: np.ndarray, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def _picture(rng: Random) -> np.ndarray:
    """A picture with gradients and some noise, no side a multiple of a block."""
    height, width = rng.randint(17, 40), rng.randint(17, 40)
    rows, columns = np.mgrid[:height, :width]
    base = np.stack([rows * 5, columns * 5, rows + columns], axis=-1) % 256
    noise = np.random.default_rng(rng.randrange(2**32)).integers(0, 20, base.shape)
    return (base + noise).clip(0, 255).astype(np.uint8)


def pictures(rng: Random, folder: Path) -> Attack:
    """Damage, trailers and orientations of every format."""
    name = rng.choice(list(ENCODERS))
    data = ENCODERS[name](_picture(rng))
    read = rng.choice([decode_raw, decode_colour])
    good = read(data)

    def differs(result: np.ndarray) -> str | None:
        is_equal = result.shape == good.shape and bool((result == good).all())
        return None if is_equal else 'another picture'

    kind = rng.choice(['damage', 'damage', 'cut', 'trailer', 'exif', 'swap'])
    if kind == 'cut':
        short = cut(data, rng)
        return Attack(f'{name}, cut to {len(short)} of {len(data)} bytes', lambda: read(short), differs)
    if kind == 'trailer' and name.startswith(('jpeg', 'png', 'webp')):
        tail = data + rng.randbytes(rng.randint(1, 5000))
        return Attack(f'{name}, {len(tail) - len(data)} bytes behind the end', lambda: read(tail), differs, False)
    if kind == 'exif' and name.startswith(('jpeg', 'png')):
        turn = rng.randint(1, 8)
        turned = with_exif(data, turn, rng.choice('<>'))
        upright = UPRIGHT[turn](good)
        return Attack(
            f'{name}, orientation {turn}',
            lambda: read(turned),
            lambda result: None if np.array_equal(result, upright) else 'not upright',
            False,
        )
    if kind == 'swap':
        mixed = data[:20] + ENCODERS[rng.choice(list(ENCODERS))](_picture(rng))[20:]
        return Attack(f'{name}, head on the body of another', lambda: read(mixed))
    how, broken = damage(data, rng)
    return Attack(f'{name}, {how}', lambda: read(broken), differs if name in SEALED else lambda result: None)


class _Payload:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.folder / CANARY}',)


def archives(rng: Random, folder: Path) -> Attack:
    """PADISI's `.npz`: damage, other arrays, pickles, bombs."""
    path = folder / 'face.npz'
    cube = np.random.default_rng(rng.randrange(2**32)).random((1, 22, 9, 7)).astype(np.float32)
    np.savez(path, data=cube)
    good = read_padisi(str(path), ('rgb', 'ir'))

    def differs(result: dict[str, np.ndarray]) -> str | None:
        return None if all(np.array_equal(result[m], good[m]) for m in good) else 'another picture'

    read = lambda: read_padisi(str(path), ('rgb', 'ir'))  # noqa: E731
    kind = rng.choice(
        ['damage', 'flip', 'shape', 'values', 'dtype', 'pickle', 'raw pickle', 'bomb', 'name', 'sound']
    )
    if kind in ('damage', 'flip'):
        how, data = (
            damage(path.read_bytes(), rng) if kind == 'damage' else ('flip', flip_bits(path.read_bytes(), rng))
        )
        path.write_bytes(data)
        return Attack(f'npz, {how}', read, differs)
    if kind == 'sound':
        np.savez_compressed(path, data=cube[0], other=np.arange(3))
        return Attack('npz, compressed, another array beside', read, differs, False)
    if kind == 'raw pickle':
        path.write_bytes(pickle.dumps({'data': _Payload(folder)}))
    elif kind == 'bomb':
        _bomb(path)
    else:
        odd = {
            'shape': np.zeros(
                rng.choice([(22,), (2, 22, 9, 7), (21, 9, 7), (1, 1, 22, 9, 7), (22, 0, 7)]), np.float32
            ),
            'values': cube + rng.choice([1.5, -0.5, np.nan, np.inf]),
            'dtype': (cube * 255).astype(rng.choice([np.uint8, np.int64, np.complex64, 'S3'])),
            'pickle': np.array([_Payload(folder)], dtype=object),
            'name': cube,
        }
        np.savez(path, allow_pickle=True, **{'dat' if kind == 'name' else 'data': odd[kind]})
    return Attack(f'npz, {kind}', read, must_be_refused)


def _bomb(path: Path) -> None:
    """An archive of some kilobytes that claims to be an array of 64 TB."""
    header = io.BytesIO()
    shape = (22, 1 << 20, 1 << 20)
    np.lib.format.write_array_header_1_0(header, dict(descr='<f4', fortran_order=False, shape=shape))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('data.npy', header.getvalue() + bytes(100_000))
