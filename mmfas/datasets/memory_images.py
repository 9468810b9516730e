"""Pictures that are in memory already, arrays and Pillow pictures, read by the rules for files.

Whatever comes in, the result is what `mmfas.datasets.image_files` would decode from a file that holds it without
loss.

| given | rule |
| --- | --- |
| array, grey | (H, W) or (H, W, 1), `uint8` or `uint16`, any strides and byte order |
| array, colour | (H, W, 3) red first, or (H, W, 4) with alpha last; likewise |
| Pillow picture | its present pixels, turned as EXIF says; palettes are looked up; `I;16` and `I` as 16 bits |
| alpha, transparent colour | left out if every pixel is opaque, else refused |
| floats, negative or Boolean values, other shapes | refused; the message says how to convert |
| CMYK, YCbCr, LAB, HSV, `F` of Pillow, animations | refused |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import cv2
import numpy as np

from mmfas.datasets.image_files import MAX_SAMPLE_MB, check_memory, turn_upright
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ['is_encoded', 'kind_of', 'read_memory_image']

_TRANSPARENT = 'some pixels are transparent (alpha is not {full} everywhere); put the picture on a background'
_WITH_ALPHA = ('LA', 'La', 'PA', 'RGBA', 'RGBa')
_SIXTEEN_BITS = ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I')
#: Tag of EXIF that holds the orientation.
_ORIENTATION = 274


def is_encoded(given: Any) -> TypeGuard[bytes | bytearray | memoryview]:
    """Tell whether a picture in memory is the content of an image file.

    Args:
        given: A picture in memory.
    """
    return isinstance(given, bytes | bytearray | memoryview)


def kind_of(given: Any) -> str:
    """Name what was given in messages: `'array'`, `'bytes'` or `'picture'`.

    Args:
        given: A picture in memory.
    """
    if is_encoded(given):
        return 'bytes'
    return 'array' if isinstance(given, np.ndarray) else 'picture'


def read_memory_image(given: Any, *, max_mb: float = MAX_SAMPLE_MB) -> tuple[np.ndarray, bool]:
    """Read a picture from memory; see the table of this module.

    Args:
        given: Array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), red first; or a Pillow picture.
        max_mb: Memory that it may take, in megabytes.

    Returns:
        Upright picture (H, W), or (H, W, 3) blue first as from a file, uint8 or uint16, no view of what was given;
        and whether its values are those that were written, as those of a JPEG are not.

    Raises:
        ValueError: If it is broken, too large, or of a kind that is not read.
    """
    if isinstance(given, np.ndarray):
        return _raw_of_array(given, max_mb), True
    from PIL import Image

    if isinstance(given, Image.Image):
        return _raw_of_picture(given, max_mb), given.format not in ('JPEG', 'MPO')
    hint = ' (leave out what is absent)' if given is None else ''
    raise InputError(
        f'expected an array, a Pillow picture or the bytes of an image file, but got {type(given).__name__}{hint}'
    )


def _check_array(array: np.ndarray, max_mb: float) -> None:
    """Raise if an array cannot be a picture."""
    if array.dtype.newbyteorder('=') not in (np.uint8, np.uint16):
        raise InputError(f'expected uint8 or uint16 values, but got {_wrong_values(array)}')
    channels = array.shape[2:] or (1,)
    if array.ndim not in (2, 3) or channels[0] not in (1, 3, 4):
        raise InputError(
            f'expected an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), but got {array.shape}'
            + ('; put the channels last' if array.ndim == 3 and array.shape[0] in (1, 3, 4) else '')
        )
    if not array.size:
        raise InputError(f'the picture is {array.shape[1]}x{array.shape[0]}, which is empty')
    height, width = array.shape[:2]
    check_memory(height * width * max(3, channels[0] * array.itemsize), array.shape, max_mb)


def _wrong_values(array: np.ndarray) -> str:
    """Say what an array of another type holds, and how to convert it."""
    if array.dtype.kind == 'f':
        nan = ' with NaN' if np.isnan(array).any() else ''
        return (
            f'{array.dtype}{nan}; bring colour to 0..255 and depth to whole millimetres and convert it, as in '
            'np.rint(1000 * metres).astype(np.uint16)'
        )
    if array.dtype.kind not in 'iu' or not array.size:
        return str(array.dtype)
    low, high = array.min(), array.max()
    if low < 0 or high >= 2**16:
        return f'{array.dtype} from {low} to {high}'
    return f'{array.dtype}; convert it, as in values.astype(np.uint16)'


def _raw_of_array(array: np.ndarray, max_mb: float) -> np.ndarray:
    """Bring an array to what a file would give, in memory of its own."""
    _check_array(array, max_mb)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] == 4:
        full = np.iinfo(array.dtype).max
        if not (array[..., 3] == full).all():
            raise InputError(_TRANSPARENT.format(full=full))
        array = array[..., :3]
    array = np.array(array, array.dtype.newbyteorder('='), order='C')
    return array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)


def _raw_of_picture(picture: Image, max_mb: float) -> np.ndarray:
    """Bring a Pillow picture to what its file would give."""
    if getattr(picture, 'is_animated', False) and picture.format != 'MPO':
        raise InputError('it is an animation or has several pages; give one of them, as picture.copy()')
    if not picture.width or not picture.height:
        raise InputError(f'the picture is {picture.width}x{picture.height}, which is empty')
    check_memory(picture.width * picture.height * 3, (picture.width, picture.height, 3), max_mb)
    try:
        picture.load()  # turns TIFF by itself and removes the orientation
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f'the picture cannot be decoded: {error}') from error
    raw = _raw_of_array(_pixels(picture), max_mb)
    return turn_upright(raw, orientation if orientation in range(1, 9) else 1)


def _pixels(picture: Image) -> np.ndarray:
    """Return the pixels of a picture (H, W) or (H, W, C), red first, transparency as alpha."""
    key = picture.info.get('transparency')
    if picture.mode in _SIXTEEN_BITS:
        values = np.asarray(picture)
        if values.dtype.kind == 'i' and values.min() >= 0 and values.max() < 2**16:
            values = values.astype(np.uint16)
        if key is not None and (values == key).any():
            raise InputError(_TRANSPARENT.format(full='full'))
        return values
    if picture.mode in ('1', 'L', 'RGB') and key is None:
        return np.asarray(picture.convert('L') if picture.mode == '1' else picture)
    if picture.mode in _WITH_ALPHA or picture.mode in ('1', 'L', 'RGB'):
        pixels = np.asarray(picture.convert('RGBA'))
        if picture.mode in ('1', 'L', 'LA', 'La'):  # grey stays grey
            return pixels[..., [0]] if (pixels[..., 3] == 255).all() else pixels
        return pixels
    if picture.mode == 'P':
        return np.asarray(picture.convert('RGB' if key is None else 'RGBA'))
    if picture.mode == 'F':
        return np.asarray(picture)  # refused with the message for floats
    raise InputError(f"the picture has mode '{picture.mode}'; convert it, as in picture.convert('RGB')")
