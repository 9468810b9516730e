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
#: Likewise, where zero bits correct nothing.
_HOLE_IN_BITS = bytes(128)
#: What ends a scan: a marker that is neither stuffing nor a restart.
_END_OF_SCAN = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}


class _NoScanError(InputError):
    """The data end where a scan is expected."""


def _segments(data: bytes, at: int = 2) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of every segment from a place up to the head of the next scan."""
    while (at := data.find(b'\xff', at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        at += 1
        if marker in (0x00, 0xFF) or marker in _ALONE:  # stuffing, fill bytes, marks without content
            continue
        if marker == _END:
            raise _NoScanError('the JPEG data hold no picture')
        size = int.from_bytes(data[at + 1 : at + 3], 'big')
        end = at + 1 + size
        yield marker, data[at + 3 : end], end
        if marker == _SCAN:
            return
        at = end
    raise _NoScanError('the JPEG data are cut off')


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


def _scans(data: bytes) -> Iterator[tuple[int, bytes, dict[int, int], bytes]]:
    """Yield kind of frame, head, what codes of zero bits mean (see `_first_symbols`) and codes of every scan."""
    at, frame, first = 2, 0, dict[int, int]()
    while True:
        head = b''
        try:
            for marker, content, end in _segments(data, at):
                if marker == _CODES:
                    first |= dict(_first_symbols(content))
                elif marker in _FRAMES:
                    frame = marker
                head, at = content, end
        except _NoScanError:  # remarks between the last scan and the end
            return
        found = _END_OF_SCAN.search(data, at)
        stop = found.start() if found else len(data)
        yield frame, head, first, data[at:stop]
        if not found or data[stop + 1] == _END:
            return
        at = stop


def _has_hole(data: bytes) -> bool:
    """Look for a run of zero bytes that no picture gives.

    In a sequential scan, libjpeg takes one for blocks of coefficients of 1; where the code of zero bits means the
    end of a block, such a run is a flat part of a picture. A scan that refines coefficients (progressive) is made
    of bits that correct them: of regular pictures all may be 0, but libjpeg writes 937 of them in a row at most.
    """
    if data.find(_HOLE) < 0:
        return False
    for frame, head, first, codes in _scans(data):
        num_parts = head[0]
        if len(head) < 4 + 2 * num_parts:
            return False  # a head that the strict decoder forgives
        is_refinement = head[1 + 2 * num_parts] > 0 and head[3 + 2 * num_parts] >> 4 > 0
        if frame in _SEQUENTIAL:
            if first.get(0x10 | head[2] & 0x0F) and _HOLE in codes:
                return True
        elif is_refinement and _HOLE_IN_BITS in codes:
            return True
    return False


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
