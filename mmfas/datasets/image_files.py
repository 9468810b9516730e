"""Files of pictures: bytes in, arrays out, with an error that says what is wrong with the file; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ['JPEG_START', 'PADISI_SIZE', 'decode_image', 'encode_jpeg', 'read_image_bytes', 'read_padisi']

JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
#: Height and width of PADISI's faces (README_FACE.md of github vimal-isi-edu/PADISI_USC_Dataset).
PADISI_SIZE = (320, 256)
#: Where PADISI's 22-channel arrays keep our modalities (colour is stored blue first; the same readme).
_PADISI_CHANNELS = {'rgb': (2, 1, 0), 'depth': (4, 4, 4), 'ir': (3, 3, 3)}
_PADISI_NUM_CHANNELS = 22


def read_image_bytes(path: str) -> bytes:
    """Read a whole file, and refuse a JPEG that was cut off (OpenCV would return it half grey).

    Args:
        path: File of a picture.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it cannot be read or is cut off.
    """
    try:
        with open(path, 'rb') as file:  # twice as fast as Path.read_bytes
            data = file.read()
    except FileNotFoundError:
        raise FileNotFoundError('the file does not exist') from None
    except OSError as error:
        raise ValueError(f'the file cannot be read: {error}') from error
    if data.startswith(JPEG_START) and _JPEG_END not in data[-1024:]:
        raise ValueError('the JPEG data are cut off')
    return data


def decode_image(data: bytes, flag: int) -> np.ndarray:
    """Decode the bytes of a picture.

    Args:
        data: Content of its file.
        flag: How OpenCV decodes it, such as `cv2.IMREAD_COLOR`.

    Returns:
        Picture (H, W) or (H, W, channels).

    Raises:
        ValueError: If OpenCV cannot decode it.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error as error:
        raise ValueError(f'the file cannot be decoded: {error}') from error
    if image is None:
        raise ValueError('the file is empty' if not data else 'the file cannot be decoded as an image')
    return image


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


def read_padisi(path: str, modalities: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the wanted modalities of a PADISI array of shape (1, 22, H, W) or (22, H, W) with values in [0, 1].

    Args:
        path: The `.npz`.
        modalities: Some of rgb, depth and ir.

    Returns:
        Modality -> uint8 (H, W, 3); colour is in RGB order.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it holds no such array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive['data']
    except FileNotFoundError:
        raise FileNotFoundError('the file does not exist') from None
    except Exception as error:  # zipfile, zlib and numpy have no common error
        raise ValueError(f"no array 'data' can be read: {error}") from error
    cube = array[0] if array.ndim == 4 and len(array) == 1 else array
    if cube.ndim != 3 or len(cube) != _PADISI_NUM_CHANNELS or cube.dtype.kind != 'f':
        raise ValueError(
            f"'data' must be floating point of shape (1, {_PADISI_NUM_CHANNELS}, H, W), "
            f'but is {array.dtype} of {array.shape}'
        )
    cube = cube[:5]
    if not (cube.min() >= 0 and cube.max() <= 1):  # also catches NaN
        raise ValueError(f"'data' must lie in [0, 1], but spans {cube.min()} to {cube.max()}")
    levels = np.rint(cube * cube.dtype.type(255)).astype(np.uint8)
    return {m: np.ascontiguousarray(levels[list(_PADISI_CHANNELS[m])].transpose(1, 2, 0)) for m in modalities}
