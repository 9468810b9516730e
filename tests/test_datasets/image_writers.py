"""Writers of image files with what usual encoders do not write: tags, chunks, planes, several pictures."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

#: Orientation -> what brings the stored picture upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def encoded(image: np.ndarray, form: str, mode: str | None = None, **options: Any) -> bytes:
    """Encode with Pillow; `mode` is given where the shape does not tell it."""
    picture = Image.fromarray(image)
    if mode is not None and picture.mode != mode:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def exif(orientation: int, order: str = '<') -> bytes:
    """EXIF of a single tag, in either byte order."""
    mark = b'II' if order == '<' else b'MM'
    return mark + struct.pack(order + 'HIHHHIHHI', 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(data: bytes, orientation: int, order: str = '<', *, at_end: bool = False) -> bytes:
    """Put an orientation into a JPEG, a PNG (before or behind the pixels) or a lossy or lossless WebP."""
    tags = exif(orientation, order)
    if data.startswith(b'\xff\xd8'):
        return data[:2] + b'\xff\xe1' + struct.pack('>H', len(tags) + 8) + b'Exif\0\0' + tags + data[2:]
    if data.startswith(b'\x89PNG'):
        place = len(data) - 12 if at_end else 33
        return data[:place] + png_chunk(b'eXIf', tags) + data[place:]
    with Image.open(io.BytesIO(data)) as picture:
        size = b''.join((edge - 1).to_bytes(3, 'little') for edge in picture.size)
    body = b'WEBP' + webp_chunk(b'VP8X', b'\x08\0\0\0' + size) + data[12:] + webp_chunk(b'EXIF', tags)
    return b'RIFF' + struct.pack('<I', len(body)) + body


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of PNG with its checksum."""
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def webp_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of WebP."""
    return name + struct.pack('<I', len(content)) + content + b'\0' * (len(content) % 2)


def tiff(
    image: np.ndarray,
    order: str = '<',
    *,
    big: bool = False,
    rows: int | None = None,
    deflate: bool = False,
    **tags: int,
) -> bytes:
    """Write a TIFF of (H, W) or (H, W, C) in strips; `t274=6` and the like set further tags."""
    height, width = image.shape[:2]
    samples = 1 if image.ndim == 2 else image.shape[2]
    rows = rows or height
    stored = image.astype(image.dtype.newbyteorder(order))
    strips = [stored[at : at + rows].tobytes() for at in range(0, height, rows)]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    start = 16 if big else 8
    offsets = [start + sum(map(len, strips[:number])) for number in range(len(strips))]
    values = {
        256: [width], 257: [height], 258: [8 * image.itemsize] * samples, 259: [8 if deflate else 1],
        262: [2 if samples > 2 else 1], 273: offsets, 277: [samples], 278: [rows], 279: [len(s) for s in strips],
    }  # fmt: skip
    values |= {int(name[1:]): [value] for name, value in tags.items()}
    body = b''.join(strips)
    body += b'\0' * (-len(body) % 8)
    places = {}
    code, inline = ('Q', 8) if big else ('I', 4)
    kinds = {tag: 'H' if tag in (258, 259, 262, 274, 277, 284, 339) else 'I' for tag in values}
    for tag, numbers in values.items():
        packed = struct.pack(f'{order}{len(numbers)}{kinds[tag]}', *numbers)
        if len(packed) > inline:
            places[tag] = start + len(body)
            body += packed + b'\0' * (-len(packed) % 8)
    entries = b''
    for tag, numbers in sorted(values.items()):
        entries += struct.pack(order + 'HH' + code, tag, 3 if kinds[tag] == 'H' else 4, len(numbers))
        if tag in places:
            entries += struct.pack(order + code, places[tag])
        else:
            entries += struct.pack(f'{order}{len(numbers)}{kinds[tag]}', *numbers).ljust(inline, b'\0')
    mark = (b'II' if order == '<' else b'MM') + struct.pack(order + 'H', 43 if big else 42)
    head = mark + (
        struct.pack(order + 'HHQ', 8, 0, start + len(body)) if big else struct.pack(order + 'I', start + len(body))
    )
    return head + body + struct.pack(order + ('Q' if big else 'H'), len(values)) + entries + b'\0' * inline


def several(images: list[np.ndarray], form: str) -> bytes:
    """Write an animation or a file of several pages."""
    first, *others = [Image.fromarray(image) for image in images]
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=others)
    return file.getvalue()
