"""JPEG: baseline and progressive, grey, colour, and CMYK with Adobe's mark.

What follows the end marker is not part of the picture: the video of a motion photo, further pictures (MPF),
padding. Source: ITU-T T.81 annex B; EXIF 2.32 section 4.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmfas.utils.errors import InputError

from .header import ImageHeader
from .jpeg_scan import check_scan
from .tiff import orientation_of

__all__ = ['check_whole', 'read_header']

_SCAN, _END, _EXIF, _ADOBE, _CODES = 0xDA, 0xD9, 0xE1, 0xEE, 0xC4
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
#: Where zero bits mean a coefficient of 1, this many zero bytes in a row are a hole in the file, not a picture.
_HOLE = bytes(48)
#: What ends a scan: a marker that is neither stuffing nor a restart.
_END_OF_SCAN = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of every segment up to the head of the first scan."""
    at = 2
    while (at := data.find(b'\xff', at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        at += 1
        if marker in (0x00, 0xFF) or marker in _ALONE:  # stuffing, fill bytes, marks without content
            continue
        if marker == _END:
            raise InputError('the JPEG data hold no picture')
        size = int.from_bytes(data[at + 1 : at + 3], 'big')
        end = at + 1 + size
        yield marker, data[at + 3 : end], end
        if marker == _SCAN:
            return
        at = end
    raise InputError('the JPEG data are cut off')


def read_header(data: bytes) -> ImageHeader:
    """Read size, kind and orientation.

    Args:
        data: Content of the file.

    Returns:
        The header.

    Raises:
        ValueError: If the data end before the size is known.
    """
    orientation, has_exif, has_adobe, frame = 1, False, False, b''
    for marker, content, _ in _segments(data):
        if marker == _EXIF and not has_exif and content.startswith(b'Exif\0\0'):
            orientation, has_exif = orientation_of(content), True
        elif marker == _ADOBE and content.startswith(b'Adobe'):
            has_adobe = True
        elif marker in _FRAMES:
            frame = content
    if len(frame) < 6:
        raise InputError('the JPEG data have no valid head')
    bits, channels = frame[0], frame[5]
    height, width = int.from_bytes(frame[1:3], 'big'), int.from_bytes(frame[3:5], 'big')
    refusal = ''
    if bits != 8:
        refusal = f'the values have {bits} bits; expected 8 in a JPEG'
    elif channels == 4 and not has_adobe:
        refusal = "the colours are CMYK without Adobe's mark, which is ambiguous; save it as RGB"
    elif channels not in (1, 3, 4):
        refusal = f'there are {channels} channels; expected 1 or 3'
    stored = 3 if channels == 4 else channels  # the decoder makes colour of CMYK
    return ImageHeader('JPEG', width, height, stored, bits, orientation=orientation, refusal=refusal)


def _first_symbols(tables: bytes) -> Iterator[tuple[int, int]]:
    """Yield class and number of every Huffman table of a segment, and what a code of zero bits means."""
    at = 0
    while at + 17 < len(tables):
        yield tables[at], tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])


def _has_hole(data: bytes) -> bool:
    """Look for a run of zero bytes in a sequential scan, which libjpeg takes for blocks of coefficients of 1.

    Where the code of zero bits means the end of a block, such a run is a flat part of a picture.
    """
    is_sequential, scan, start = False, b'', 0
    first: dict[int, int] = {}
    for marker, content, end in _segments(data):
        if marker == _CODES:
            first |= dict(_first_symbols(content))
        elif marker in _SEQUENTIAL:
            is_sequential = True
        scan, start = content, end
    if not is_sequential or len(scan) < 3 or not first.get(0x10 | scan[2] & 0x0F):
        return False
    found = _END_OF_SCAN.search(data, start)
    return data.find(_HOLE, start, found.start() if found else len(data)) >= 0


def check_whole(data: bytes, header: ImageHeader) -> None:
    """Check that every scan is whole.

    JPEG has no checksum: a flipped bit that changes a value and not the length of its code stays unseen.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If the data are cut off or damaged.
    """
    check_scan(data)
    if _has_hole(data):
        raise InputError('the JPEG data are damaged (a part of them is zero)')
