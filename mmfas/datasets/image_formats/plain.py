"""BMP and binary PNM (PGM, PPM): pixels without compression and without a checksum.

Source: Microsoft's BITMAPINFOHEADER; the pages pgm(5) and ppm(5) of Netpbm.
"""

from __future__ import annotations

import re

import numpy as np

from mmfas.utils.errors import InputError

from .header import ImageHeader

__all__ = ['check_whole_bmp', 'check_whole_pnm', 'read_header_bmp', 'read_header_pnm']

_PNM_HEAD = re.compile(rb'P[56](?:(?:\s|#[^\n]*\n)+(\d+))(?:(?:\s|#[^\n]*\n)+(\d+))(?:(?:\s|#[^\n]*\n)+(\d+))\s')
_RGB, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 3, 6


def _number(data: bytes, at: int, size: int = 4, *, signed: bool = False) -> int:
    """Read a little-endian number."""
    return int.from_bytes(data[at : at + size], 'little', signed=signed)


def read_header_bmp(data: bytes) -> ImageHeader:
    """Read size and kind of a BMP.

    Args:
        data: Content of the file.

    Returns:
        The header.

    Raises:
        ValueError: If the data end within the head.
    """
    head_size = _number(data, 14)
    if len(data) < 26 or len(data) < 14 + head_size:
        raise InputError('the BMP data are cut off')
    if head_size == 12:  # of OS/2
        width, height, bits, packing = _number(data, 18, 2), _number(data, 20, 2), _number(data, 24, 2), _RGB
    else:
        width, height = _number(data, 18, signed=True), abs(_number(data, 22, signed=True))
        bits, packing = _number(data, 28, 2), _number(data, 30)
    has_alpha = packing in (_BIT_FIELDS, _ALPHA_BIT_FIELDS) and head_size >= 56 and _number(data, 66) != 0
    known = packing in (_RGB, _BIT_FIELDS, _ALPHA_BIT_FIELDS)
    refusal = '' if known else f'compression {packing} of BMP is not read; save it as PNG'
    if has_alpha and (bits != 32 or _number(data, 66) != 0xFF000000):
        refusal = 'the alpha channel of the BMP is of an unusual kind; save it as PNG'
    return ImageHeader('BMP', width, height, 4 if has_alpha else 3, 8, refusal=refusal)


def check_whole_bmp(data: bytes, header: ImageHeader) -> None:
    """Check that all rows are there.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If some are missing.
    """
    bits = _number(data, 24, 2) if _number(data, 14) == 12 else _number(data, 28, 2)
    row = -(-header.width * bits // 32) * 4
    if len(data) < _number(data, 10) + row * header.height:
        raise InputError('the BMP data are cut off')


def _pnm_head(data: bytes) -> tuple[int, int, int, int]:
    """Return width, height, highest value and the place of the pixels."""
    match = _PNM_HEAD.match(data[:4096])
    if match is None:
        raise InputError('the PNM data have no valid head')
    width, height, highest = map(int, match.groups())
    return width, height, highest, match.end()


def read_header_pnm(data: bytes) -> ImageHeader:
    """Read size and kind of a binary PGM or PPM.

    Args:
        data: Content of the file.

    Returns:
        The header; a PGM with a highest value between 256 and 65534 does not use all of its 16 bits.

    Raises:
        ValueError: If the data do not begin with a valid head.
    """
    width, height, highest, _ = _pnm_head(data)
    grey = data.startswith(b'P5')
    allowed = highest == 255 or (256 <= highest <= 65535 if grey else highest == 65535)
    refusal = '' if allowed else f'the highest value of the PNM is {highest}; expected 255 or 65535'
    bits, full = (8 if highest <= 255 else 16), highest in (255, 65535)
    return ImageHeader('PNM', width, height, 1 if grey else 3, bits, uses_all_bits=full, refusal=refusal)


def check_whole_pnm(data: bytes, header: ImageHeader) -> None:
    """Check that all pixels are there, and none above the highest value that the head names.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If some are missing or too high.
    """
    _, _, highest, start = _pnm_head(data)
    num_values = header.width * header.height * header.channels
    if len(data) - start < num_values * header.bits // 8:
        raise InputError('the PNM data are cut off')
    if not header.uses_all_bits and (top := int(np.frombuffer(data, '>u2', num_values, start).max())) > highest:
        raise InputError(f'the PNM data are damaged (a value is {top}, the highest should be {highest})')
