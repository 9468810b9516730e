"""WebP: one picture, lossy or lossless. Source: RFC 9649."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mmfas.utils.errors import InputError

from .header import ImageHeader
from .tiff import orientation_of

__all__ = ['check_whole', 'read_header']

_PICTURES = (b'VP8 ', b'VP8L')
#: This many bytes may follow the last one that the decoder needs. With libwebp's encoder up to 3 were seen.
_MOST_UNUSED = 8


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place and size of every chunk inside the container; what follows it is not looked at."""
    end = 8 + int.from_bytes(data[4:8], 'little')
    if end > len(data):
        raise InputError('the WebP data are cut off')
    at = 12
    while at + 8 <= end:
        size = int.from_bytes(data[at + 4 : at + 8], 'little')
        if at + 8 + size > end:
            raise InputError('the WebP data are damaged (a chunk is longer than the file)')
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2


def read_header(data: bytes) -> ImageHeader:
    """Read size, orientation, alpha and number of frames.

    Args:
        data: Content of the file.

    Returns:
        The header.

    Raises:
        ValueError: If the data are cut off or hold no picture.
    """
    size: list[int] | None = None
    alpha, orientation, num_frames = False, 1, 0
    for name, at, length in _chunks(data):
        body = data[at : at + min(length, 16)]
        if name == b'VP8X':
            alpha = bool(int.from_bytes(body[:1], 'little') & 0x10)
            size = [int.from_bytes(body[place : place + 3], 'little') + 1 for place in (4, 7)]
        elif name == b'VP8 ' and size is None:
            size = [int.from_bytes(body[place : place + 2], 'little') & 0x3FFF for place in (6, 8)]
        elif name == b'VP8L':
            packed = int.from_bytes(body[1:5], 'little')
            alpha = alpha or bool(packed >> 28 & 1)
            size = size or [(packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1]
        elif name == b'EXIF':
            orientation = orientation_of(data[at : at + length])
        elif name == b'ANIM':
            num_frames = max(num_frames, 1)
        elif name == b'ANMF':
            num_frames += 1
    if size is None:
        raise InputError('the WebP data hold no picture')
    refusal = 'the file is an animation; save the frame you mean as a picture' if num_frames else ''
    return ImageHeader('WebP', size[0], size[1], 4 if alpha else 3, 8, orientation=orientation, refusal=refusal)


def _can_be_decoded(name: bytes, body: bytes) -> bool:
    """Decode the data of one picture without its container."""
    chunk = name + len(body).to_bytes(4, 'little') + body + b'\0' * (len(body) % 2)
    file = b'RIFF' + (4 + len(chunk)).to_bytes(4, 'little') + b'WEBP' + chunk
    try:
        return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    except cv2.error:
        return False


def check_whole(data: bytes, header: ImageHeader) -> None:
    """Check that the decoder needs all of the data, neither more nor less.

    WebP has no checksum, and libwebp returns whatever it decodes. But behind damage the codes mean something else,
    so that the picture is complete too early or not at all; the first is seen by decoding without the last bytes,
    which must fail. A flipped bit that changes a value and not the length of its code stays unseen.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If the data are damaged.
    """
    for name, at, size in _chunks(data):
        if name not in _PICTURES:
            continue
        body = data[at : at + size]
        if not _can_be_decoded(name, body) or _can_be_decoded(name, body[:-_MOST_UNUSED]):
            raise InputError('the WebP data are damaged')
