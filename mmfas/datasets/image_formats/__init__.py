"""Formats of image files, read without unpacking a pixel: what a file is, and whether it is whole.

Every format answers two questions: `read_header` (size, kind, orientation, frames) and `check_whole` (is anything
missing or damaged). The pixels are decoded by OpenCV, see `mmfas.datasets.image_files`.
"""

from __future__ import annotations

from collections.abc import Callable

from mmfas.utils.errors import InputError

from . import jpeg, plain, png, tiff, webp
from .header import ImageHeader, turned

__all__ = ['FORMATS', 'ImageHeader', 'check_whole', 'read_header', 'turned']

#: What the readers understand, as messages name it.
FORMATS = 'JPEG, PNG, TIFF, WebP, BMP or binary PGM/PPM'

_Format = tuple[Callable[[bytes], ImageHeader], Callable[[bytes, ImageHeader], None]]
_JPEG: _Format = (jpeg.read_header, jpeg.check_whole)
_PNG: _Format = (png.read_header, png.check_whole)
_TIFF: _Format = (tiff.read_header, tiff.check_whole)
_WEBP: _Format = (webp.read_header, webp.check_whole)
_BMP: _Format = (plain.read_header_bmp, plain.check_whole_bmp)
_PNM: _Format = (plain.read_header_pnm, plain.check_whole_pnm)
_STARTS: dict[bytes, _Format] = {
    b'\xff\xd8': _JPEG,
    b'\x89PNG\r\n\x1a\n': _PNG,
    b'II*\0': _TIFF,
    b'MM\0*': _TIFF,
    b'II+\0': _TIFF,
    b'MM\0+': _TIFF,
    b'BM': _BMP,
    b'P5': _PNM,
    b'P6': _PNM,
}


def _format_of(data: bytes) -> _Format:
    """Return the readers of a format by the first bytes, whatever the file is called."""
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return _WEBP
    for start, found in _STARTS.items():
        if data.startswith(start):
            return found
    raise InputError(f'the file cannot be decoded as an image: it is not a {FORMATS}')


def read_header(data: bytes) -> ImageHeader:
    """Read what the head of an image file says.

    Args:
        data: Content of the file.

    Returns:
        Size and kind.

    Raises:
        ValueError: If it is empty, of another format, or broken in its structure.
    """
    if not data:
        raise InputError('the file is empty')
    return _format_of(data)[0](data)


def check_whole(data: bytes, header: ImageHeader) -> None:
    """Check that nothing is missing or damaged, as far as the format lets one see it.

    Args:
        data: Content of the file.
        header: What `read_header` returned of it.

    Raises:
        ValueError: If something is.
    """
    _format_of(data)[1](data, header)
