"""PNG: 1 to 16 bits, grey, colour and palette. Every chunk has a checksum.

Source: PNG specification, third edition (W3C, 2025).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from mmfas.utils.errors import InputError

from .header import ImageHeader
from .tiff import orientation_of

__all__ = ['check_whole', 'read_header']

_SIGNATURE_SIZE = 8
#: Colour type -> values per pixel once unpacked: grey, colour, palette, grey and alpha, colour and alpha.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place and size of every chunk up to the last."""
    at = _SIGNATURE_SIZE
    while True:
        size, name = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
        if at + 12 + size > len(data):
            raise InputError('the PNG data are cut off')
        yield name, at + 8, size
        if name == b'IEND':
            return
        at += 12 + size


def read_header(data: bytes) -> ImageHeader:
    """Read size, kind, orientation and number of frames.

    Args:
        data: Content of the file.

    Returns:
        The header.

    Raises:
        ValueError: If the data end before the last chunk or do not begin with a valid one.
    """
    first, orientation, num_pictures = b'', 1, 1
    key: bytes | None = None
    for name, at, size in _chunks(data):
        if not first:
            if name != b'IHDR' or size != 13:
                raise InputError('the PNG data have no valid head')
            first = data[at : at + size]
        elif name == b'eXIf':  # before or behind the pixels
            orientation = orientation_of(data[at : at + size])
        elif name == b'tRNS':
            key = data[at : at + size]
        elif name == b'acTL':
            num_pictures = max(num_pictures, int.from_bytes(data[at : at + 4], 'big'))
        elif name == b'fdAT':  # a frame of an animation beside the picture
            num_pictures = max(num_pictures, 2)
    bits, colours = first[8], first[9]
    channels = _CHANNELS.get(colours, 0)
    if key is not None and channels == 3:
        channels = 4  # so the decoder returns it
    return ImageHeader(
        'PNG',
        int.from_bytes(first[:4], 'big'),
        int.from_bytes(first[4:8], 'big'),
        channels,
        bits,
        orientation=orientation,
        num_pictures=num_pictures,
        key=int.from_bytes(key[:2], 'big') if key is not None and channels == 1 else None,
        refusal='' if channels else f'colour type {colours} of PNG is not known',
    )


def check_whole(data: bytes, header: ImageHeader) -> None:
    """Check the checksum of every chunk.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If one does not fit.
    """
    for name, at, size in _chunks(data):
        if zlib.crc32(data[at - 4 : at + size]) != int.from_bytes(data[at + size : at + size + 4], 'big'):
            raise InputError(f'the PNG data are damaged (checksum of {name.decode("latin-1")})')
