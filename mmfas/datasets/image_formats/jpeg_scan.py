"""The verdict on JPEG data: a decoder that reports what libjpeg only warns of."""

from __future__ import annotations

import io

import simplejpeg

from mmfas.utils.errors import InputError

__all__ = ['check_scan']

#: Errors of simplejpeg on valid pictures with rare sampling factors, which it cannot decode.
_RARE_SAMPLING = 'subsampling level'
#: Warning of libjpeg on intact files of some cameras: meaningless bytes in the head of a scan.
_HARMLESS = 'Invalid SOS parameters'


def _with_usual_scan_head(data: bytes) -> bytes:
    """Return a sequential JPEG with the bytes in the head of its first scan that the standard prescribes."""
    at = data.find(b'\xff\xda')
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return data[: end - 3] + b'\x00\x3f\x00' + data[end:]


def _check_with_pillow(data: bytes) -> None:
    """Decode with Pillow, which reports what is cut off, but not what libjpeg only warns of."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f'the JPEG data are damaged or cut off ({error})') from error


def check_scan(data: bytes) -> None:
    """Decode JPEG data strictly and throw the pixels away; what follows the end marker is not looked at.

    The smallest scale is used, so that this costs little more than unpacking the Huffman codes.

    Args:
        data: From the start marker on.

    Raises:
        ValueError: If libjpeg-turbo finds damage.
    """
    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        target = 'CMYK' if colours in ('CMYK', 'YCCK') else 'GRAY'
        simplejpeg.decode_jpeg(data, target, min_factor=8, strict=True)
    except ValueError as error:
        if _HARMLESS in str(error) and (usual := _with_usual_scan_head(data)) != data:
            return check_scan(usual)
        if _RARE_SAMPLING in str(error):
            return _check_with_pillow(data)
        if 'Premature end of JPEG' in str(error):
            raise InputError('the JPEG data are cut off') from error
        raise InputError(f'the JPEG data are damaged ({error})') from error
