"""The one reader of image files: bytes in, arrays out, by one rule for every modality and format; needs no torch.

Whatever decodes pictures of samples (training, `verify_dataset`, `browse_dataset`, face crop, conversion) calls
`decode_raw` or `decode_colour`. The pixels are OpenCV's, those of `cv2.imread`; `mmfas.datasets.image_formats`
reads what a file is and whether it is whole.

| in the file | rule, the same for rgb, depth and infrared |
| --- | --- |
| format | JPEG, PNG, TIFF, WebP, BMP, binary PGM and PPM, recognised by the first bytes; others are refused |
| EXIF orientation | obeyed, with 8 and 16 bits: JPEG, PNG (`eXIf`), WebP (`EXIF`), TIFF (tag 274) |
| alpha, transparent colour | left out if every pixel is opaque, else refused |
| values | unsigned, 1 to 8 or 16 bits; signed, floating point, 12 or 32 bits in a TIFF are refused |
| 8 bits, grey or colour | taken as they are, grey repeated to three channels; palettes are looked up |
| 16 bits | rgb: divided by 256, rounded down; depth, infrared: by a stated range |
| 9 to 15 bits in a PGM | rgb: refused; depth, infrared: by a stated range |
| CMYK | JPEG with Adobe's mark: converted without colour profile; else refused |
| several pictures | animations and TIFFs of several pages are refused; smaller copies in a TIFF are passed over |
| behind the end | not looked at: trailers of JPEG (motion photos, MPF), PNG and WebP |
| damage | refused where the format lets one see it, see `docs/en/own_data.md` |
| size | refused before unpacking if it would take more than a limit |
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import cv2
import numpy as np

from mmfas.datasets.image_formats import ImageHeader, check_whole, read_header
from mmfas.utils.errors import InputError, MissingFileError, UserError
from mmfas.utils.files import open_file

__all__ = [
    'MAX_SAMPLE_MB',
    'PADISI_SIZE',
    'as_colour',
    'check_memory',
    'decode_colour',
    'decode_raw',
    'encode_jpeg',
    'read_image_bytes',
    'read_padisi',
    'turn_upright',
]

#: Memory that one sample may take once unpacked, in megabytes (10^6 bytes), unless another limit is given.
MAX_SAMPLE_MB = 256.0
#: Height and width of PADISI's faces (README_FACE.md of github vimal-isi-edu/PADISI_USC_Dataset).
PADISI_SIZE = (320, 256)
#: Where PADISI's 22-channel arrays keep our modalities (colour is stored blue first; the same readme).
_PADISI_CHANNELS = {'rgb': (2, 1, 0), 'depth': (4, 4, 4), 'ir': (3, 3, 3)}
_PADISI_NUM_CHANNELS = 22
_READ_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)  # since OpenCV 4.10
#: Hashes of contents that were found complete: a file is checked once per process, not once per epoch.
_whole: set[int] = set()
_MOST_REMEMBERED = 1_000_000


class _TooLargeError(InputError):
    """A picture or an array would exceed the memory limit."""


def read_image_bytes(path: str, backend: Any = None) -> bytes:
    """Read a whole file.

    Args:
        path: File of a picture.
        backend: Backend of `mmengine.fileio` that reads it; None for a file of this machine.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it cannot be read.
    """
    try:
        if backend is not None:
            return _read_through(backend, path)
        with open_file(path) as file:
            return file.read()
    except MissingFileError:
        raise
    except FileNotFoundError:
        raise MissingFileError('the file does not exist') from None
    except OSError as error:
        raise InputError(f'the file cannot be read: {error}') from error


def _read_through(backend: Any, path: str) -> bytes:
    """Read a file through a backend of the engine, some of which return nothing for one that they do not have."""
    try:
        data = backend.get(path)
    except (UserError, OSError):
        raise
    except Exception as error:  # clients of stores have errors of their own
        raise InputError(f'{type(backend).__name__} cannot read it: {type(error).__name__}: {error}') from error
    if data is None:
        raise MissingFileError(f'{type(backend).__name__} has no such file')
    return bytes(data)


def check_memory(num_bytes: int, shape: Sequence[int], max_mb: float) -> None:
    """Check that a picture or array is not too large to be unpacked.

    Args:
        num_bytes: Memory that it would take.
        shape: Its shape, for the message.
        max_mb: Memory that it may take, in megabytes.

    Raises:
        ValueError: If it would take more.
    """
    if num_bytes > max_mb * 1e6:
        raise _TooLargeError(
            f'unpacking {"x".join(map(str, shape))} values would take {num_bytes / 1e6:.0f} MB, but only '
            f'{max_mb:.0f} MB are left for it; if the file is sound, raise max_sample_mb of the loader'
        )


def _check(data: bytes, max_mb: float) -> ImageHeader:
    """Raise if a file cannot or should not be decoded."""
    header = read_header(data)
    if header.refusal:
        raise InputError(header.refusal)
    if header.num_pictures > 1:
        raise InputError(
            f'the file holds {header.num_pictures} pictures (animation or pages); save the one you mean as a file'
        )
    if header.width < 1 or header.height < 1:
        raise InputError(f'the picture is {header.width}x{header.height}, which is empty')
    check_memory(header.unpacked_bytes, (header.width, header.height, header.channels), max_mb)
    if (known := hash(data)) not in _whole:
        check_whole(data, header)
        if len(_whole) < _MOST_REMEMBERED:
            _whole.add(known)
    return header


def _decode(data: bytes, flag: int) -> np.ndarray:
    """Let OpenCV decode."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise InputError(f'the file cannot be decoded: {error}') from error
    if image is None:
        raise InputError('the file cannot be decoded as an image')
    return image


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture upright, as EXIF says.

    Args:
        image: (H, W) or (H, W, C).
        orientation: 1..8 as in EXIF.

    Returns:
        The picture, or a turned copy.
    """
    if orientation == 1:
        return image
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _hidden_alpha(data: bytes) -> np.ndarray:
    """Read the alpha channel of the few kinds of which OpenCV returns none: grey TIFF, BMP."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.getchannel('A'))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError('the picture has an alpha channel that cannot be read; save it without one') from error


def _without_alpha(data: bytes, image: np.ndarray, header: ImageHeader) -> np.ndarray:
    """Leave an opaque alpha channel out and refuse another."""
    if image.ndim == 3 and image.shape[2] == 4:
        alpha, image = image[..., 3], image[..., :3]
        opaque = bool((alpha == np.iinfo(alpha.dtype).max).all())
        if header.channels == 2:  # grey, which OpenCV repeats
            image = image[..., 0]
        image = np.ascontiguousarray(image)
    elif header.key is not None:
        levels = np.iinfo(image.dtype).max // (2**header.bits - 1)  # OpenCV spreads 1, 2 and 4 bits over 0..255
        opaque = not (image == header.key * levels).any()
    elif header.has_alpha:
        opaque = bool((_hidden_alpha(data) == 255).all())
    else:
        return image
    if not opaque:
        raise InputError(
            'some pixels are transparent (an alpha channel that is not 255 everywhere, or a transparent colour); '
            'save the picture without alpha, on the background that you want'
        )
    return image


def decode_raw(data: bytes, *, max_mb: float = MAX_SAMPLE_MB) -> np.ndarray:
    """Decode the bytes of a picture and keep what the file has: grey or colour, 8 or 16 bits.

    Args:
        data: Content of its file.
        max_mb: Memory that it may take once unpacked, in megabytes.

    Returns:
        Upright picture (H, W) or (H, W, 3), blue first, uint8 or uint16.

    Raises:
        ValueError: If it is broken, too large, or of a kind that is not read; see the table of this module.
    """
    header = _check(data, max_mb)
    image = _decode(data, cv2.IMREAD_UNCHANGED)
    image = _without_alpha(data, image, header)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype not in (np.uint8, np.uint16) or channels not in (1, 3):
        raise InputError(f'expected 8 or 16 bits and 1 or 3 channels, but got {image.dtype}, {channels}')
    return turn_upright(image, header.orientation)


def decode_colour(data: bytes, *, rgb: bool = False, max_mb: float = MAX_SAMPLE_MB) -> np.ndarray:
    """Decode the bytes of a picture as 8-bit colour: grey is repeated, 16 bits are divided by 256.

    Args:
        data: Content of its file.
        rgb: Red first instead of blue first.
        max_mb: Memory that it may take once unpacked, in megabytes.

    Returns:
        Upright picture (H, W, 3), uint8.

    Raises:
        ValueError: If it is broken, too large, or of a kind that is not read; see the table of this module.
    """
    header = _check(data, max_mb)
    if not header.uses_all_bits:
        raise InputError(
            'the PGM names a number between 256 and 65534 as its highest value, and a colour picture has no range '
            'to scale it by; expected 255 or 65535, so save it with 8 bits'
        )
    if rgb and _READ_RGB is not None and header.format == 'JPEG':  # saves a pass over the pixels
        return turn_upright(_decode(data, _READ_RGB | cv2.IMREAD_IGNORE_ORIENTATION), header.orientation)
    return as_colour(decode_raw(data, max_mb=max_mb), rgb=rgb)


def as_colour(image: np.ndarray, *, rgb: bool = False) -> np.ndarray:
    """Turn any decoded picture into 8-bit colour: grey is repeated, 16 bits are divided by 256.

    Args:
        image: (H, W) or (H, W, 3), blue first, uint8 or uint16.
        rgb: Red first instead of blue first.

    Returns:
        (H, W, 3), uint8.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if rgb else image


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode a picture as JPEG that keeps the colour of every pixel (no chroma subsampling).

    Args:
        image: Picture (H, W), or (H, W, 3) blue first, uint8.
        quality: 1..100; at 100 pixels change by rounding only.

    Returns:
        Content of the file.
    """
    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality, *full_colour])[1].tobytes()


def _check_archive(file: str | io.BytesIO, max_mb: float) -> None:
    """Read the memory that the array `data` of a `.npz` takes from its header, and raise if it is too much."""
    opened = nullcontext(file) if isinstance(file, io.BytesIO) else open_file(file)
    with opened as source, zipfile.ZipFile(source) as archive:
        entry = archive.getinfo('data' if 'data' in archive.namelist() else 'data.npy')  # as numpy picks
        check_memory(entry.file_size, (entry.file_size,), max_mb)
        with archive.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
    check_memory(math.prod(shape) * dtype.itemsize, shape, max_mb)


def read_padisi(
    path: str | io.BytesIO, modalities: Sequence[str], *, max_mb: float = MAX_SAMPLE_MB
) -> dict[str, np.ndarray]:
    """Read the wanted modalities of a PADISI array of shape (1, 22, H, W) or (22, H, W) with values in [0, 1].

    Args:
        path: The `.npz`, or its content.
        modalities: Some of rgb, depth and ir.
        max_mb: Memory that the array may take once unpacked, in megabytes.

    Returns:
        Modality -> uint8 (H, W, 3); colour is in RGB order.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it holds no such array, or a larger one.
    """
    try:
        _check_archive(path, max_mb)
        with np.load(path, allow_pickle=False) as archive:
            array = archive['data']
    except FileNotFoundError:
        raise MissingFileError('the file does not exist') from None
    except _TooLargeError:
        raise
    except Exception as error:  # zipfile, zlib and numpy have no common error
        raise InputError(f"no array 'data' can be read: {error}") from error
    cube = array[0] if array.ndim == 4 and len(array) == 1 else array
    if cube.ndim != 3 or len(cube) != _PADISI_NUM_CHANNELS or cube.dtype.kind != 'f' or not cube.size:
        raise InputError(
            f"'data' must be floating point of shape (1, {_PADISI_NUM_CHANNELS}, H, W), "
            f'but is {array.dtype} of {array.shape}'
        )
    cube = cube[:5]
    if not (cube.min() >= 0 and cube.max() <= 1):  # also catches NaN
        raise InputError(f"'data' must lie in [0, 1], but spans {cube.min()} to {cube.max()}")
    levels = np.rint(cube * cube.dtype.type(255)).astype(np.uint8)
    return {m: np.ascontiguousarray(levels[list(_PADISI_CHANNELS[m])].transpose(1, 2, 0)) for m in modalities}
